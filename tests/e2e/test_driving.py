"""The road for recordings of traffic through the command line: published, pulled, drawn from; no drive leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from synth.workspace import STAGES, Workspace
from tests.driving.recorded import document, states
from tests.e2e.conftest import DIRECT
from tests.e2e.secrets_scanner import Scanner

RECORDINGS = 24


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
    said["customProperties"].append(
        {"property": "synthesis.training", "value": {"recipe": "driving/likelihood", "effort": 0.002}})
    said["customProperties"].append({"property": "synthesis.rows", "value": 60})
    opened = {key: {"limit": 1.0, "reason": "a test of files, with hardly any training"} for key in (
        "motion", "collisions", "off_road", "obeyed", "obeyed_class", "replay")}
    opened["minimum_scenes"] = {"limit": 20, "reason": "a test"}
    said["customProperties"].append({"property": "synthesis.gates", "value": {"contract": opened}})
    contract = folder / "road.yaml"
    contract.write_text(yaml.safe_dump(said), encoding="utf-8")
    secrets = [b"Wilhelmina-", b"SYN-00-", b"camera-bridge", b"drives-of-tuesday"]
    for row in table.iloc[:: len(table) // 30].itertuples():
        secrets += [row.driver.encode(), row.plate.encode(), f"{row.x:.3f}".encode(), f"{row.y:.3f}".encode(),
                    f"{row.time:.1f}".encode()]
    return contract, secrets


def test_recordings_go_the_whole_road_and_no_drive_comes_along(
        tmp_path: Path, synth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the contract gate alone, open for motion: files, release and leaks are under test, not the generator."""
    from pyarrow import parquet

    from validators import gates

    monkeypatch.setitem(gates.GATES, "driving", gates.GATES["driving"][:1])
    contract, secrets = motorway(tmp_path / "source")
    outputs = [synth("check", contract), synth("run", contract, *DIRECT, "--seed", "3")]
    for output in outputs:
        assert output.code == 0, output.err
    (run,) = Workspace(tmp_path / ".synth").runs()
    assert list(run.read()["stages"]) == list(STAGES)
    for arguments in [("show", run.id), ("pull", "road", "--to", "pulled"), ("list",),
                      ("ledger", "road"),
                      ("sample", run.id, "--rows", "12", "--where", "manoeuvre=cut_out", "--where", "weather=wet",
                       "--out", "more"), ("init", "source/recordings", "--name", "drafted")]:
        outputs.append(synth(*arguments))
        assert outputs[-1].code == 0, (arguments, outputs[-1].err)
    (release,) = (tmp_path / "pulled" / "road").iterdir()
    page = (release / "report.html").read_text()
    assert all(f'<section id="{part}"' in page for part in ("summary", "intruder", "dp", "ledger", "decision"))
    assert json.loads((release / "report.json").read_text())["ledger"]["unit"] == "scenes"
    outputs.append(synth("revoke", f"road@{release.name}", "--as", "A. Okafor", "--reason", "a test", "--key",
                         tmp_path / "keys" / "signing.pem"))
    assert outputs[-1].code == 0, outputs[-1].err
    outputs.append(synth("pull", "road", "--to", "again"))
    assert outputs[-1].code == 2 and "revoked" in outputs[-1].err
    listing = parquet.read_table(release / "data" / "train" / "metadata.parquet").to_pydict()
    assert {"manoeuvre", "weather", "lanes", "density", "speed", "min_ttc"} <= set(listing)
    assert not {"driver", "plate", "track", "time"} & set(listing) and len(listing["weather"]) == 60
    named = {name for column, cells in listing.items() if "file" in column for name in cells if name}
    assert named and all((release / "data" / "train" / name).is_file() for name in named)
    more = parquet.read_table(tmp_path / "more" / "train" / "metadata.parquet").to_pydict()
    assert set(more["manoeuvre"]) == {"cut_out"} and set(more["weather"]) == {"wet"} and len(more["lanes"]) == 12

    source = Scanner(secrets).folder(tmp_path / "source")
    assert source.found, "the scanner finds nothing even where the secrets are"

    def skipped(path: Path) -> bool:
        return run.private in [path, *path.parents] or (tmp_path / "source") in [path, *path.parents]

    outside = Scanner(secrets).folder(tmp_path, skip=skipped)
    outside.folder(run.private / "judge")
    for number, output in enumerate(outputs):
        outside.bytes((output.out + output.err).encode(), f"output {number}")
    assert outside.files > 30 and outside.found == {}
