"""Scenes under a budget: what a scene adds, that the policy is handed no recorded state, and the statement."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import yaml

from synth.contract.load import loads
from synth.driving.generator import SceneGenerator
from synth.driving.geometry import collisions, off_road
from synth.driving.labels import labels
from synth.driving.plug import PLUG
from synth.driving.private import measure, road
from synth.driving.private.header import public_columns, public_header
from synth.driving.roles import cast
from synth.driving.scenes import MANOEUVRE, MANOEUVRES, Scenes
from synth.driving.stored import StoredScenes
from synth.errors import Problems, UserError
from synth.gan.private.accounting import Account
from synth.progress import Silent
from synth.records.budget import units
from synth.tabular.private import measure as marginals
from synth.tabular.private import road as tables
from synth.tabular.private.measure import kept
from tests.driving.recorded import document, states
from tests.driving.tiny import OPTIONS
from tests.records.stages import ingested

BOUNDS = {"lanes": (1, 12), "density": (0, 150), "speed": (0, 60), "min_ttc": (0, 10), "max_drac": (0, 20),
          "min_pet": (0, 10)}
BUDGET = {"epsilon": 20, "delta": 1e-4, "unit": "row"}
LITTLE = {"recipe": "driving/likelihood", "options": {**dict(OPTIONS), "control.steps": 2, "control.batch": 4}}


def declare(said: dict[str, Any]) -> None:
    """Write what a budget does not let a run read off the recordings into the columns that ingest makes."""
    for column in said["schema"][0]["properties"]:
        if column["name"] in BOUNDS:
            low, high = BOUNDS[column["name"]]
            column["logicalTypeOptions"] = {"minimum": low, "maximum": high}
            column["customProperties"] = [{"property": "synthesis.decimals", "value": 1 if low < high - 11 else 2}]
        if column["name"] == MANOEUVRE:
            column["customProperties"].append({"property": "synthesis.values", "value": sorted(MANOEUVRES)})


def agreed(folder: Path, *, budget: Any = None, values: bool = True) -> Any:
    said = document(str(folder / "states.parquet"), traffic={
        "vehicles": 2, "laneWidth": 3.5, "friction": {"dry": 0.9, "wet": 0.6}})
    declare(said)
    for column in said["schema"][0]["properties"]:
        if column["name"] == "weather" and values:
            column["customProperties"].append({"property": "synthesis.values", "value": ["dry", "wet"]})
    said["customProperties"] += [
        {"property": "synthesis.budget", "value": budget or BUDGET},
        {"property": "synthesis.training", "value": LITTLE}]
    return loads(yaml.safe_dump(said), folder / "road.yaml")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ingest and split of small recordings."""
    folder = tmp_path_factory.mktemp("budget")
    states(recordings=24, each=3, seconds=9.0, lanes=2).to_parquet(folder / "states.parquet")
    return ingested(PLUG, agreed(folder), folder)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of measuring, and little inference."""
    exact, whole = measure.measure, marginals.fit
    monkeypatch.setattr(measure, "measure", partial(exact, shares=marginals.Shares(rounds=(1.0,))))
    monkeypatch.setattr(marginals, "fit", lambda *args, **options: whole(*args, **{**options, "steps": 40}))


def test_a_scene_is_one_row_that_hangs_on_nothing_but_itself(home: Path) -> None:
    """What noise on counts hides is one row: no other scene may change it."""
    stored = StoredScenes.open(home / "ingest", home / "split")
    scenes = stored.scenes("train")
    header = public_header(agreed(home), stored.schema)
    whole = header.describe(cast(scenes))
    for place in (0, len(scenes) // 2, len(scenes) - 1):
        alone = header.describe(cast(scenes.take(np.array([place]))))
        pd.testing.assert_frame_equal(alone, whole.iloc[[place]].reset_index(drop=True))
    assert set(public_columns(header).names) == set(whole.columns)
    for column in public_columns(header).columns:
        assert (column.minimum is not None and column.maximum is not None) if column.is_number else column.values


def test_the_policy_is_handed_no_recorded_state(home: Path, tmp_path: Path) -> None:
    """After the measurement the recordings are not there, and training goes on; it sees drives by rules alone."""
    said, handed = agreed(home), list[Scenes]()
    with mock.patch.object(road, "rehearsed", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        PLUG.fit(said, home / "ingest", home / "split", tmp_path, seed=1, device="cpu", progress=Silent())
    before, nowhere, train = (tmp_path / tables.KEPT).read_bytes(), tmp_path / "nowhere", SceneGenerator.fit

    def spied(scenes: Scenes, *args: Any, **options: Any) -> SceneGenerator:
        handed.append(scenes)
        with mock.patch("synth.tabular.players.CALIBRATION_ROWS", 200):
            return train(scenes, *args, **options)

    with mock.patch.object(SceneGenerator, "fit", spied), mock.patch.object(
            road, "measured", side_effect=AssertionError("measured again")):
        record = PLUG.fit(said, nowhere, nowhere, tmp_path, seed=1, device="cpu", progress=Silent())
    assert (tmp_path / tables.KEPT).read_bytes() == before  # the budget was not spent again
    names = re.compile(rb"D\d+-\d+-\d+")  # of drivers; shorter ones turn up by chance in megabytes of weights
    assert not any(names.search(p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file())
    real = StoredScenes.open(home / "ingest", home / "split").scenes("train")
    (scenes,) = handed
    recorded = {row.tobytes() for row in real.states[:, 0]}
    assert not any(row.tobytes() in recorded for row in scenes.states[:, 0])
    assert (labels(scenes) == scenes.table[MANOEUVRE].to_numpy(dtype=str)).all()
    assert not collisions(scenes).any() and not off_road(scenes).any()
    assert record["rows"] == PLUG.rows_to_release(None, tmp_path) and record["released_phase"]
    told = record["privacy"]
    assert (told["epsilon"], told["unit"], told["contributions"]) == (20.0, "row", 1)
    assert any("put together because they share scenes" in line for line in told["outside"])

    (tmp_path / "fit").mkdir()
    (tmp_path / tables.STORED).rename(tmp_path / "fit" / tables.STORED)  # of a stage that was finished
    with mock.patch.object(road, "measured", side_effect=AssertionError("measured again")):
        again = road._measurement(said, nowhere, nowhere, tmp_path / "fit.partial", Silent())
    assert json.loads(json.dumps(again.to_json())) == json.loads(before)

    (tmp_path / "generated").mkdir()
    made = PLUG.generate(dataclasses.replace(said, rows=30), home / "ingest", home / "split", tmp_path,
                         tmp_path / "generated", seed=1, progress=Silent())
    seen = PLUG.evidence(said, home / "ingest", home / "split", tmp_path, tmp_path / "generated", seed=1)
    assert made["rows"] == len(seen.synthetic) == 30 and made["files"] > 5
    assert seen.listing().synthetic.columns.tolist() == seen.listing().train.columns.tolist()

    with pytest.raises(UserError, match="another budget"):
        PLUG.fit(agreed(home, budget={**BUDGET, "epsilon": 9}), nowhere, nowhere, tmp_path, seed=1, device="cpu",
                 progress=Silent())
    more = SceneGenerator.load(tmp_path / "model").draw(20, seed=3, where=["weather=wet"])
    assert set(more.table["weather"]) == {"wet"} and np.isfinite(more.states).all()


def test_a_group_is_the_unit_and_the_whole_budget_is_accounted(home: Path) -> None:
    said = agreed(home, budget={"epsilon": 2, "delta": 1e-4, "unit": "entity", "contributions": 3})
    accounts: list[Account] = []

    def account(*args: Any) -> Account:
        accounts.append(Account(*args))
        return accounts[-1]

    with mock.patch.object(measure, "Account", account):
        known = measure.measured(StoredScenes.open(home / "ingest", home / "split"), said, Silent())
    (spent,) = accounts
    assert 0 <= spent.left < 1e-6 * 2 and known.statement["unit"] == "entity"
    assert {m.sensitivity for m in spent.spent} >= {3.0}  # counts move by as many scenes as a group may have
    owners = units(np.repeat(np.arange(4), 9), said.budget)
    assert np.bincount(owners[kept(owners, said.budget)]).tolist() == [3, 3, 3, 3]


def test_more_noise_than_traffic_is_said(home: Path) -> None:
    said = agreed(home, budget={"epsilon": 0.01, "delta": 1e-4, "unit": "row"})
    known = measure.measured(StoredScenes.open(home / "ingest", home / "split"), said, Silent())
    with mock.patch.object(road, "labels", lambda scenes: np.full(len(scenes), "none")), \
            pytest.raises(UserError, match="more noise than traffic"):
        road.rehearsed(known, said, 60, 1, Silent())


def test_what_is_not_declared_is_refused(home: Path) -> None:
    with pytest.raises(Problems, match="does not declare its values"):
        PLUG.ingest(agreed(home, values=False), home / "other", progress=Silent())
