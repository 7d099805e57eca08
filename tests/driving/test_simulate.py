"""SUMO's recordings: the same from the same seed, physical, varied, and cut into scenes by the contract that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synth.contract.load import loads
from synth.driving import simulate
from synth.driving.check import examine
from synth.driving.ingest import ingest
from synth.driving.stored import StoredScenes
from synth.errors import UserError
from synth.progress import Silent

pytestmark = pytest.mark.skipif(not simulate.available(), reason="SUMO is not installed")
CONTRACT = Path(__file__).resolve().parents[2] / "data_contracts" / "motorway.yaml"


@pytest.fixture(scope="module")
def driven() -> pd.DataFrame:
    return simulate.simulate(simulate.runs(9, seconds=14.0), seed=5)


def test_the_seed_decides(driven: pd.DataFrame) -> None:
    two = simulate.simulate(simulate.runs(2, seconds=14.0), seed=5)
    assert two.equals(driven[driven.recording.isin(["rec-000", "rec-001"])].reset_index(drop=True))
    other = simulate.simulate(simulate.runs(1, seconds=14.0), seed=6)
    assert len(other) != (two.recording == "rec-000").sum() or not np.allclose(
        other.speed, two.speed[two.recording == "rec-000"])


def test_vehicles_move_as_vehicles(driven: pd.DataFrame) -> None:
    assert set(driven.weather) == set(simulate.FRICTION) and set(driven.kind) <= set(simulate.KINDS)
    for _, track in list(driven.groupby("trip"))[:150]:
        if len(track) < 10:
            continue
        way = np.hypot(np.diff(track.x), np.diff(track.y)) * simulate.RATE
        assert np.abs(way - (track.speed.to_numpy()[1:] + track.speed.to_numpy()[:-1]) / 2).max() < 0.6
        assert np.abs(np.diff(track.speed)).max() * simulate.RATE < 9.0
    slower = driven.groupby("weather").speed.mean()
    assert slower["snow"] < slower["clear"]


def test_wander_is_as_wide_as_said_and_stands_with_the_vehicle() -> None:
    rng = np.random.default_rng(0)
    wide = np.concatenate([simulate.wander(np.full(200, 20.0), rng) for _ in range(200)])
    assert np.std(wide) == pytest.approx(simulate.WANDER, rel=0.15)
    assert np.ptp(simulate.wander(np.zeros(50), rng)) == 0


def test_a_recording_ends_before_a_crash() -> None:
    from synth.driving.simulate import _crash

    step, x, y = np.array([0, 0, 1, 1.0]), np.array([0, 10, 0, 4.0]), np.zeros(4)
    size = np.full(4, 4.5), np.full(4, 1.8)
    assert _crash(step, x, y, *size) == 1 and _crash(step[:2], x[:2], y[:2], size[0][:2], size[1][:2]) == np.inf


def test_the_demos_contract_takes_them(driven: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    driven.to_parquet(tmp_path / "data" / "motorway.parquet")
    said = loads(CONTRACT.read_text(encoding="utf-8"), tmp_path / "motorway.yaml")
    assert examine(said).problems == ()
    record = ingest(said, tmp_path, progress=Silent())
    scenes = StoredScenes.open(tmp_path).scenes()
    assert record["scenes"] > 100 and record["manoeuvres"]["follow"] > 20 and record["manoeuvres"]["lane_change"] > 3
    from synth.driving.geometry import collisions, off_road

    assert collisions(scenes).any(axis=(1, 2)).mean() < 0.005 and off_road(scenes).mean() < 0.01


def test_without_sumo_there_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "available", lambda: False)
    with pytest.raises(UserError, match="SUMO is not installed"):
        simulate.simulate(simulate.runs(1), seed=1)
