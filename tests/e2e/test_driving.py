"""The road for recordings of traffic through the command line: published, pulled, drawn from; no drive leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from synth.driving.scenes import MEASURED
from tests.driving.logs import contract_document, drive, sensed
from tests.driving.recorded import document, states
from tests.e2e.walk import nothing_came_along, walk

RECORDINGS = 24


def opened(said: dict[str, Any], contract: Path, scenes: int) -> Path:
    """The contract with hardly any training, and gates that let its scenes through, written."""
    limits = {key: {"limit": 1.0, "reason": "a test of files, with hardly any training"} for key in (
        "motion", "collisions", "off_road", "obeyed", "obeyed_class", "replay")}
    limits["minimum_scenes"] = {"limit": 20, "reason": "a test"}
    said["customProperties"] += [
        {"property": "synthesis.training", "value": {"recipe": "driving/likelihood", "effort": 0.002}},
        {"property": "synthesis.rows", "value": scenes},
        {"property": "synthesis.gates", "value": {"contract": limits}}]
    contract.write_text(yaml.safe_dump(said), encoding="utf-8")
    return contract


def motorway(folder: Path) -> tuple[Path, list[bytes]]:
    """Small recordings, their contract, and what must not be found outside ``private/``."""
    table = states(recordings=RECORDINGS, each=3, seconds=9.0, lanes=2)
    table["driver"] = "Wilhelmina-" + table.driver
    table["plate"] = "SYN-" + table.track + "-" + table.recording + "-QX"
    table["recording"] = "camera-bridge-" + table.recording
    table["time"] += 1763798400
    (folder / "recordings").mkdir(parents=True)
    table.drop(columns="noise").to_parquet(folder / "recordings" / "drives-of-tuesday.parquet")
    said = document("recordings", traffic={
        "friction": {"dry": 0.9, "wet": 0.6}, "scenarioFiles": 2, "laneWidth": 3.5,
        "release": ["argoverse2", "openscenario", "commonroad", "sumo", "telemetry"]})
    said["schema"][0]["properties"].append({"name": "plate", "logicalType": "string", "customProperties": [
        {"property": "synthesis.role", "value": "identifier"}, {"property": "synthesis.privacy", "value": "direct"},
        {"property": "synthesis.generate", "value": "drop"}]})
    said["schema"][0]["customProperties"].append(
        {"property": "synthesis.conditions", "value": ["manoeuvre", "weather"]})
    contract = opened(said, folder / "road.yaml", 60)
    secrets = [b"Wilhelmina-", b"SYN-00-", b"camera-bridge", b"drives-of-tuesday"]
    for row in table.iloc[:: len(table) // 30].itertuples():
        secrets += [row.driver.encode(), row.plate.encode(), f"{row.x:.3f}".encode(), f"{row.y:.3f}".encode(),
                    f"{row.time:.1f}".encode()]
    return contract, secrets


def test_recordings_go_the_whole_road_and_no_drive_comes_along(
        tmp_path: Path, synth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet

    contract, secrets = motorway(tmp_path / "source")
    walked = walk(tmp_path, synth, monkeypatch, contract, domain="driving", name="road", unit="scenes",
                  data="source/recordings", samples=[("--rows", "12", "--where", "manoeuvre=cut_out", "--where",
                                                      "weather=wet", "--out", "more")])
    train = walked.release / "data" / "train"
    listing = parquet.read_table(train / "metadata.parquet").to_pydict()
    assert {"manoeuvre", "weather", "lanes", "density", "speed", "min_ttc"} <= set(listing)
    assert not {"driver", "plate", "track", "time"} & set(listing) and len(listing["weather"]) == 60
    named = {name for column, cells in listing.items() if "file" in column for name in cells if name}
    assert named and all((train / name).is_file() for name in named)
    more = parquet.read_table(tmp_path / "more" / "train" / "metadata.parquet").to_pydict()
    assert set(more["manoeuvre"]) == {"cut_out"} and set(more["weather"]) == {"wet"} and len(more["lanes"]) == 12
    nothing_came_along(walked, secrets, tmp_path / "source", files=30)


def logs(folder: Path) -> tuple[Path, list[bytes]]:
    """Drives of 24 people as logs without positions, a folder each, and what must not leave ``private/``."""
    secrets = []
    for number in range(24):
        home = folder / "logs" / f"Wilhelmina-{number}"
        home.mkdir(parents=True)
        table = sensed(number, drive(number, seconds=24.0, rate=10.0))
        table.assign(time=table.time + 1763798400 + 9000 * number).to_csv(home / f"tuesday-{number}.csv", index=False)
        secrets += [f"{1763798400 + 9000 * number}".encode(), f"{table.yaw_rate[7]:.12f}".encode(),
                    f"{table.acceleration[7]:.12f}".encode()]
    said = contract_document("logs", release=["openscenario", "telemetry"], scenarioFiles=2)
    said["schema"][0]["customProperties"].append({"property": "synthesis.conditions", "value": ["manoeuvre"]})
    return opened(said, folder / "drives.yaml", 40), [b"Wilhelmina-", b"tuesday-", *secrets]


@pytest.mark.slow
def test_logs_without_positions_go_the_whole_road_too(
        tmp_path: Path, synth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet

    contract, secrets = logs(tmp_path / "source")
    walked = walk(tmp_path, synth, monkeypatch, contract, domain="driving", name="road", unit="scenes",
                  data="source/logs", samples=[("--rows", "6", "--where",
                                                                           "manoeuvre=free", "--out", "more")])
    train = walked.release / "data" / "train"
    channels = parquet.read_table(train / "telemetry.parquet").to_pandas()
    assert {"speed", "yaw_rate", "acceleration", "brake"} <= set(channels) and len(channels) == 40 * 30
    fields = [f for f in parquet.read_schema(train / "telemetry.parquet") if f.metadata and b"origin" in f.metadata]
    assert {f.name for f in fields if f.metadata[b"origin"] == b"learned"} == set(MEASURED)
    listing = parquet.read_table(train / "metadata.parquet").to_pydict()
    assert not {"folder", "driver", "recording"} & set(listing) and set(listing["lanes"]) == {1}
    assert sum(name is not None for name in listing["mf4_file"]) == 2
    nothing_came_along(walked, secrets, tmp_path / "source", files=15)
