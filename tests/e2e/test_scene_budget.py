"""A whole run of scenes under a budget: killed while it measures and while it learns, then published and counted."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from synth.driving.scenes import MANOEUVRE
from synth.tabular.private.road import BEGUN, KEPT, STORED
from synth.tabular.stored import StoredTable
from synth.workspace import Workspace
from tests.driving.recorded import document, states
from tests.driving.test_scene_budget import LITTLE, declare
from tests.e2e.conftest import DIRECT, only_run
from tests.e2e.test_driving import opened
from tests.e2e.walk import Walked, nothing_came_along

ALONE, FEW = "Hagelsturm-Wqzx", "Zwielicht-Qvbn"  # weather of one scene each; of one scene of each of four people
BUDGET = {"epsilon": 20, "delta": 1e-5, "unit": "row", "find": True, "totalEpsilon": 30, "totalDelta": 1e-3}


def motorway(folder: Path) -> tuple[Path, list[bytes]]:
    """Recordings, their contract with a budget, and what must not be found outside ``private/``."""
    table = states(recordings=24, each=3, seconds=9.0, lanes=2)
    short = [states(recordings=1, each=1, seconds=4.5, lanes=2, seed=90 + n).assign(recording=f"s{n}")
             for n in range(8)]  # one scene of each driver
    for n, part in enumerate(short):
        part["driver"] = part.driver + f"-short-{n}"
        part.loc[part.track == part.track.iloc[0], "weather"] = f"{ALONE}-{n}" if n % 2 else FEW
    table = pd.concat([table, *short], ignore_index=True)
    table["driver"] = "Wilhelmina-" + table.driver
    table["recording"] = "camera-bridge-" + table.recording
    table["time"] += 1763798400
    folder.mkdir(parents=True)
    table.drop(columns="noise").to_parquet(folder / "drives-of-tuesday.parquet")
    said = document("drives-of-tuesday.parquet", traffic={
        "vehicles": 2, "laneWidth": 3.5, "friction": {"dry": 0.9, "wet": 0.6}, "scenarioFiles": 2,
        "release": ["argoverse2", "commonroad"]})
    declare(said)
    said["schema"][0]["customProperties"].append({"property": "synthesis.conditions", "value": [MANOEUVRE, "weather"]})
    said["customProperties"] += [{"property": "synthesis.budget", "value": BUDGET},
                                 {"property": "synthesis.maxAttempts", "value": 9}]
    contract = opened(said, folder / "road.yaml", 60)
    text = yaml.safe_load(contract.read_text(encoding="utf-8"))
    (training,) = (p for p in text["customProperties"] if p["property"] == "synthesis.training")
    training["value"] = LITTLE
    contract.write_text(yaml.safe_dump(text), encoding="utf-8")
    secrets = [b"Wilhelmina-", b"camera-bridge", b"drives-of-tuesday", ALONE.encode(), FEW.encode()]
    for row in table.iloc[:: len(table) // 30].itertuples():
        secrets += [row.driver.encode(), f"{row.x:.3f}".encode(), f"{row.y:.3f}".encode(), f"{row.time:.1f}".encode()]
    return contract, secrets


@pytest.mark.slow
def test_scenes_under_a_budget_go_the_whole_road_and_spend_once(forks: Any, tmp_path: Path) -> None:
    from pyarrow import parquet

    contract, secrets = motorway(tmp_path / "source")
    outputs = [forks.run(tmp_path, "check", contract)]
    assert outputs[0].code == 0, outputs[0].err
    outputs.append(forks.run(tmp_path, "run", contract, *DIRECT, "--seed", "3", hook="kill_measuring:driving"))
    assert outputs[-1].code == -signal.SIGKILL, outputs[-1].err
    run = only_run(tmp_path)
    place = run.private / "fit.partial"
    assert sorted(p.name for p in place.iterdir()) == [BEGUN]  # nothing of what was measured by then

    outputs.append(forks.run(tmp_path, "run", "--resume", run.id, *DIRECT, hook="kill_training:driving"))
    assert outputs[-1].code == -signal.SIGKILL, outputs[-1].err
    measured = (place / KEPT).read_bytes()
    assert json.loads((place / BEGUN).read_text())["begun"] == 2 and list((place / "checkpoints").rglob("*"))

    outputs.append(forks.run(tmp_path, "run", "--resume", run.id, *DIRECT, hook="quick_measuring:driving"))
    assert outputs[-1].code == 0, outputs[-1].err
    told = run.read()["stages"]["fit"]["privacy"]
    assert (told["epsilon"], told["unit"], told["contributions"], told["interrupted"]) == (20.0, "row", 1, 1)
    assert json.loads(measured)["statement"] == told

    assert (run.private / "fit" / STORED).read_bytes() == measured  # for whoever has the stage done again

    for arguments in [("pull", "road", "--to", "pulled"), ("ledger", "road"), ("show", run.id),
                      ("sample", run.id, "--rows", "12", "--where", "weather=wet", "--out", "more")]:
        outputs.append(forks.run(tmp_path, *arguments))
        assert outputs[-1].code == 0, outputs[-1].err
    (release,) = (tmp_path / "pulled" / "road").iterdir()
    said = json.loads((release / "report.json").read_text())
    assert (said["dp"]["epsilon"], said["dp"]["delta"], said["dp"]["unit"]) == (20.0, 1e-5, "row")
    assert any("interrupted" in line for line in said["dp"]["outside"])
    assert any("put together because they share scenes" in line for line in said["dp"]["outside"])
    assert len(said["dp"]["accountants"]) == 2 and said["dp"]["curve"] and said["dp"]["attacks_bound"]
    assert said["ledger"]["asked"] == {"epsilon": 20.0, "delta": 1e-5} and said["ledger"]["spent"]["epsilon"] == 0
    listing = parquet.read_table(release / "data" / "train" / "metadata.parquet").to_pydict()
    assert len(listing["weather"]) == 60 and set(listing["weather"]) <= {"dry", "wet"}  # which were found with noise

    second = forks.run(tmp_path, "run", contract, *DIRECT, "--seed", "4", "--acknowledge-attempts",
                       "M. Lindqvist: again", hook="quick_measuring:driving")
    assert second.code == 2 and "budget of this source is used up" in second.err  # 20 + 20 > 30
    refused, = (r for r in Workspace(tmp_path / ".synth").runs() if r.id != run.id)
    assert "fit" not in refused.read()["stages"] and not (refused.private / "fit.partial").exists()
    stored = StoredTable.open(run.private / "ingest", run.private / "split")
    few = int((stored.read(stored.rows_of("train"))["weather"] == FEW).sum())
    assert 0 < few <= 4  # trained on, and not found: too few for the noise
    nothing_came_along(Walked(tmp_path, run, release, (*outputs, second)), secrets, tmp_path / "source", files=20)
