"""What logs measured beyond the motion: read, cut like the scenes, learnt by a small law, released, and told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from synth.contract import Contract
from synth.contract.load import loads
from synth.contract.model import Role
from synth.driving.check import examine
from synth.driving.cut import cut
from synth.driving.draft import draft
from synth.driving.files import channels
from synth.driving.reread import learnt
from synth.driving.residual import Residual, beyond
from synth.driving.scenes import MEASURED, Scenes, joined
from synth.driving.stored import read_scenes, write_scenes
from synth.driving.telemetry import telemetry
from synth.progress import Silent
from synth.tabular.schema import ColumnSchema, TableSchema
from tests.driving.logs import contract_document, drive, sensed


def said(folder: Path, **traffic: Any) -> Contract:
    return loads(yaml.safe_dump(contract_document("logs", **traffic)), folder / "drives.yaml")


def put(folder: Path, drivers: int, first: int = 0, **about: Any) -> Path:
    for number in range(first, first + drivers):
        home = folder / "logs" / f"driver{number}"
        home.mkdir(parents=True, exist_ok=True)
        sensed(number, drive(number, **about)).to_csv(home / "a.csv", index=False)
    return folder


def scenes_of(folder: Path, **traffic: Any) -> Scenes:
    found = cut(said(folder, **traffic), Silent())
    return replace(found.scenes, entities=found.groups.group)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenes, Scenes]:
    """Scenes of 24 drivers to learn from, and of 24 others."""
    first, second = (scenes_of(put(tmp_path_factory.mktemp("logs"), 24, 100 * i)) for i in (0, 1))
    return first, second


@pytest.fixture(scope="module")
def law(logged: tuple[Scenes, Scenes]) -> Residual:
    made, _ = Residual.fit(logged[0], k=10, seed=1)
    assert made is not None
    return made


def test_channels_are_cut_where_their_scenes_are(logged: tuple[Scenes, Scenes], tmp_path: Path) -> None:
    scenes = logged[0]
    assert scenes.measured is not None and scenes.measured.shape == (len(scenes), len(MEASURED), 30)
    assert np.isfinite(scenes.measured).all()
    own = telemetry(scenes)
    for name, least in (("acceleration", 0.8), ("lateral_acceleration", 0.8), ("brake", 0.8)):
        place = MEASURED.index(name)
        assert np.corrcoef(own[name].ravel(), scenes.measured[:, place].ravel())[0, 1] > least, name
    # one step aside they agree less: times are those of the scenes
    acceleration = scenes.measured[:, 0]
    right, late = (np.corrcoef(own["acceleration"][:, a].ravel(), acceleration[:, b].ravel())[0, 1]
                   for a, b in ((slice(0, -5), slice(0, -5)), (slice(0, -5), slice(5, None))))
    assert right > late + 0.2
    # what nobody measured stays derived, and taking scenes takes their channels
    quiet = scenes_of(put(tmp_path, 2), columns={"brake": None, "acceleration": None})
    assert quiet.measured is not None and np.isnan(quiet.measured[:, [0, 5]]).all()
    assert (scenes.take(np.array([3, 1])).measured == scenes.measured[[3, 1]]).all()


def test_a_law_learns_how_far_and_how_slowly_sensors_leave_the_motion(logged: tuple[Scenes, Scenes], law: Residual
                                                                      ) -> None:
    train, other = logged
    assert [channel.name for channel in law.channels] == list(MEASURED)
    drawn = replace(other, measured=law.draw(other, seed=5))
    real, made = beyond(other), beyond(drawn)
    for i, name in enumerate(MEASURED[:5]):
        assert made[:, i].std() == pytest.approx(real[:, i].std(), rel=0.3), name
        assert made[:, i].mean() == pytest.approx(real[:, i].mean(), abs=0.3 * real[:, i].std()), name

    def memory(values: np.ndarray, lag: int) -> float:
        return float(np.corrcoef(values[:, :-lag].ravel(), values[:, lag:].ravel())[0, 1])

    for lag in (1, 5):
        assert memory(made[:, 0], lag) == pytest.approx(memory(real[:, 0], lag), abs=0.15)
    assert np.isfinite(drawn.measured).all() and (drawn.measured[:, 4:] >= 0).all()
    _, gained = Residual.fit(train, k=10, seed=1)
    for name in ("acceleration", "steering_angle"):
        assert gained[name]["log_likelihood"] > gained[name]["constant"] + 0.3


def test_equal_seeds_give_equal_bytes_and_a_law_survives_its_file(logged: tuple[Scenes, Scenes], law: Residual) -> None:
    other = logged[1]
    first = law.draw(other, seed=5)
    assert (first == law.draw(other, seed=5)).all() and (first != law.draw(other, seed=6)).any()
    assert (Residual.from_json(law.to_json()).draw(other, seed=5) == first).all()
    again, _ = Residual.fit(logged[0], k=10, seed=1)
    assert again is not None and again.to_json() == law.to_json()
    numbers = sum(len(x.location) + len(x.spread) + len(x.surprises) for c in law.channels for x in (c.first, c.then))
    assert numbers < 1000 < logged[0].measured[0].size * 20  # type: ignore[index]  # no room for twenty drives


def test_no_bound_is_that_of_fewer_drivers_than_k(logged: tuple[Scenes, Scenes]) -> None:
    train = logged[0]
    assert train.measured is not None
    spoilt = train.measured.copy()
    spoilt[np.isin(train.entities, np.unique(train.entities)[:3]), 0, 3] = 99.0  # in every scene of three drivers
    law, _ = Residual.fit(replace(train, measured=spoilt), k=10, seed=1)
    assert law is not None and law.channels[0].high < 20
    assert float(law.draw(logged[1], seed=1)[:, 0].max()) < 20


def test_nothing_is_learnt_where_nothing_or_too_little_was_measured(logged: tuple[Scenes, Scenes]) -> None:
    train = logged[0]
    assert Residual.fit(replace(train, measured=None), k=10, seed=1) == (None, {})
    assert train.measured is not None
    seldom = train.measured.copy()
    seldom[len(seldom) // 3:, 1] = np.nan
    law, _ = Residual.fit(replace(train, measured=seldom), k=10, seed=1)
    assert law is not None and "lateral_acceleration" not in [c.name for c in law.channels]
    assert np.isnan(law.draw(train, seed=1)[:, 1]).all()


def test_released_telemetry_says_which_channels_were_learnt(logged: tuple[Scenes, Scenes], law: Residual,
                                                            tmp_path: Path) -> None:
    drawn = replace(logged[1], measured=law.draw(logged[1], seed=5)).take(np.arange(4))
    assert drawn.measured is not None
    drawn.measured[:, MEASURED.index("brake")] = np.nan
    found = channels.channels(drawn)
    channels.write_parquet(tmp_path / "telemetry.parquet", drawn, found)
    schema = pq.read_schema(tmp_path / "telemetry.parquet")
    origins = {field.name: field.metadata[b"origin"].decode() for field in schema if field.metadata}
    assert origins["acceleration"] == "learned" and origins["speed"] == origins["brake"] == "derived"
    table = pd.read_parquet(tmp_path / "telemetry.parquet")
    assert (table["acceleration"].to_numpy().reshape(4, 30) == drawn.measured[:, 0]).all()
    assert np.isfinite(table.to_numpy()).all()
    again = learnt(tmp_path, np.array([1, 3]), drawn.shape)  # as an earlier release is read back
    assert again is not None and np.array_equal(again, drawn.measured[[1, 3]], equal_nan=True)
    channels.write_parquet(tmp_path / "telemetry.parquet", replace(drawn, measured=None), found)
    assert learnt(tmp_path, np.array([1, 3]), drawn.shape) is None
    two = joined(drawn, drawn.take(np.array([0])))
    assert two.measured is not None and len(two.measured) == len(two) == 5
    assert joined(drawn, replace(drawn, measured=None)).measured is None


def test_scenes_are_kept_with_their_channels(logged: tuple[Scenes, Scenes], tmp_path: Path) -> None:
    schema = TableSchema(columns=(ColumnSchema(name="lanes", role=Role.NUMERIC, nullable=False),))
    kept = replace(logged[0].take(np.arange(3)), table=pd.DataFrame({"lanes": [1.0] * 3}))
    write_scenes(tmp_path / "with", kept, schema)
    assert (read_scenes(tmp_path / "with", schema).measured == kept.measured).all()
    write_scenes(tmp_path / "without", replace(kept, measured=None), schema)
    assert read_scenes(tmp_path / "without", schema).measured is None


def test_a_draft_names_the_channels_that_a_log_has(tmp_path: Path) -> None:
    put(tmp_path, 1)
    drafted = loads(draft(str(tmp_path / "logs" / "driver0" / "a.csv"), "drives"), tmp_path / "drives.yaml")
    assert drafted.traffic is not None
    assert dict(drafted.traffic.columns) == {name: name for name in ("time", "speed", *MEASURED)}


def test_pedals_in_per_cent_and_angles_in_degrees_are_asked_back(tmp_path: Path) -> None:
    put(tmp_path, 2)
    for path in (tmp_path / "logs").rglob("*.csv"):
        table = pd.read_csv(path)
        table.assign(throttle=100 * table.throttle, steering_angle=np.degrees(table.steering_angle) * 5).to_csv(
            path, index=False)
    problems = [f"{p.what} {p.todo}" for p in examine(said(tmp_path)).problems]
    assert len(problems) == 1 and ("{pedal: %}" in problems[0] or "{angle: deg}" in problems[0])
    fine = said(tmp_path, units={"pedal": "%"}, columns={"steering_angle": None})
    assert not examine(fine).problems
    missing = examine(said(tmp_path, units={"pedal": "%"},
                           columns={"steering_angle": None, "brake": "Bremse"})).problems
    assert "no channel 'Bremse'" in missing[0].what
