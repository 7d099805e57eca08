"""Where trips begin and end does not survive the ingest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synth.driving.check import examine
from synth.driving.cut import cut
from synth.driving.endpoints import trimmed
from synth.driving.ingest import ingest
from synth.driving.readers.base import Recorded
from synth.driving.stored import StoredScenes
from synth.errors import Problems
from synth.progress import Silent
from tests.driving.recorded import contract, states

HOME, WORK, PASSING = np.array([5e5, 5.5e6]), np.array([5.02e5, 5.5e6]), np.array([1000.0, 0.0])


def doors(driver: int) -> tuple[np.ndarray, np.ndarray]:
    """Home and work of a driver; homes lie 5 km apart."""
    north = np.array([0.0, 5000.0 * driver])
    return HOME + north, WORK + north


def trips(drivers: int = 3, hours: float = 9.0) -> pd.DataFrame:
    """There and back, and once past their own doors."""
    rows = []
    for driver in range(drivers):
        home, work = doors(driver)
        for number, (start, end) in enumerate(((home, work), (work, home), (home - PASSING, work + PASSING))):
            way = np.linalg.norm(end - start)
            time = np.arange(0, way / 20.0, 0.2)
            place = start + (end - start) * (20.0 * time / way)[:, None]
            rows.append(pd.DataFrame({"recording": f"{driver}-{number}", "track": "car", "driver": f"D{driver}",
                                      "time": time + hours * 3600 * number, "x": place[:, 0], "y": place[:, 1],
                                      "speed": 20.0, "heading": np.arctan2(*(end - start)[::-1])}))
    return pd.concat(rows, ignore_index=True)


def recorded(table: pd.DataFrame, about: tuple[str, ...] = ("driver",)) -> Recorded:
    return Recorded(states=table.drop(columns="driver"), about=table[list(about)].astype("category"))


def test_no_state_near_a_home_or_a_place_of_work_survives_whichever_trip_it_is_of() -> None:
    table = trips()
    found = trimmed(recorded(table), 200.0, "driver")
    left = found.recorded.states[["x", "y"]].to_numpy()
    for driver in range(3):
        for door in doors(driver):
            assert np.linalg.norm(left - door, axis=1).min() > 200.0
    assert found.trips == 9 and found.gone == 0 and found.states == len(table) - len(left) > 0
    assert len(found.recorded.about) == len(left)
    # the third trip passes both doors: three pieces, which no scene bridges
    third = found.recorded.states[found.recorded.states.recording == "0-2"]
    assert third["piece"].nunique() == 3 and (third.groupby("piece").time.diff().dropna() < 0.3).all()
    # a track whose driver nobody names still loses its own ends, and nothing else
    nameless = trimmed(recorded(table), 200.0, None).recorded.states
    passing = nameless[nameless.recording == "0-2"][["x", "y"]].to_numpy()
    assert np.linalg.norm(passing - HOME, axis=1).min() < 3.0
    assert np.linalg.norm(passing - (HOME - PASSING), axis=1).min() > 200.0


def test_a_logger_that_was_silent_started_again_at_a_door_and_short_trips_are_counted() -> None:
    time = np.r_[np.arange(0, 100, 0.2), np.arange(700, 800, 0.2), np.arange(2000, 2005, 0.2)]
    x = np.r_[20 * np.arange(0, 100, 0.2), 2000 + 20 * np.arange(0, 100, 0.2), 4000 + 20 * np.arange(0, 5, 0.2)]
    table = pd.DataFrame({"recording": "r", "track": "t", "driver": "D", "time": time, "x": x, "y": 0.0, "speed": 20.0})
    found = trimmed(recorded(table), 200.0, "driver")
    assert found.trips == 3 and found.gone == 1  # the last one is 100 m long
    left = found.recorded.states.x.to_numpy()
    for door in (0.0, 2000.0, 4000.0):
        assert np.abs(left - door).min() > 199.9
    assert trimmed(recorded(table), 0.0, "driver").recorded.states is not None
    assert len(trimmed(recorded(table), 0.0, "driver").recorded.states) == len(table)


def put(folder: Path, table: pd.DataFrame, **traffic: Any) -> Any:
    return contract(folder, table, extra=(), traffic={"vehicles": 1, "lanes": 1, "laneWidth": 3.5, **traffic})


def test_the_ingest_cuts_them_by_default_where_places_are_on_earth(tmp_path: Path) -> None:
    table = trips(6)
    (tmp_path / "out").mkdir()
    said = put(tmp_path, table, positions="global", seconds=8, stride=8)
    record = ingest(said, tmp_path / "out", progress=Silent())
    assert record["ends_of_trips"]["metres"] == 200 and record["ends_of_trips"]["trips"] == 18
    scenes = StoredScenes.open(tmp_path / "out").scenes()
    # 1,600 m of a way there or back, and three stretches of 800, 1,600 and 800 m of the third
    longest = 6 * (2 * 1600 + 800 + 1600 + 800) / 20.0
    assert 0.7 * longest < 8 * len(scenes) <= longest
    assert "D0" not in json.dumps(record)
    for how, gone in (({"positions": "local"}, False), ({"endpoints": 300, "positions": "local"}, True)):
        (tmp_path / str(gone)).mkdir()
        other = ingest(put(tmp_path / str(gone), table, seconds=8, stride=8, **how), tmp_path / str(gone),
                       progress=Silent())
        assert ("ends_of_trips" in other) is gone
    with_latitudes = put(tmp_path / "lat", table.assign(latitude=50.0), seconds=8, stride=8)
    assert any("within 200 m" in note.what for note in examine(with_latitudes).notes)


def test_longitudes_and_latitudes_are_asked_back_put_on_a_plane_and_trimmed(tmp_path: Path) -> None:
    table, radius = trips(3), 6_371_008.8
    north = 50 + np.degrees((table.y - HOME[1]) / radius)
    east = 8 + np.degrees((table.x - HOME[0]) / (radius * np.cos(np.radians(50))))
    there = table.assign(x=east, y=north)

    def checked(name: str, **traffic: Any) -> Any:
        return examine(put(tmp_path / name, there, seconds=8, stride=8, **traffic))

    asked = checked("asked").problems
    assert len(asked) == 1 and "look like degrees" in asked[0].what and "{position: deg}" in asked[0].todo
    fine = checked("fine", units={"position": "deg"})
    assert not fine.problems and any("within 200 m of an end of 9 trips" in note.what for note in fine.notes)
    found = cut(put(tmp_path / "cut", there, seconds=8, stride=8, units={"position": "deg"}), Silent()).scenes
    assert np.ptp(found.states[:, 0, :, 0], axis=1) == pytest.approx(20.0 * 7.8, rel=0.003)
    there["x"], there["y"] = north + 60, east
    there.loc[0, "y"] = 130.0
    assert "no longitudes and latitudes" in checked("swapped", units={"position": "deg"}).problems[0].what


def test_watched_roads_keep_everything_unless_the_contract_says_otherwise(tmp_path: Path) -> None:
    road = states(recordings=3, each=3, seconds=9.0)
    assert not any("of an end of" in note.what for note in examine(contract(tmp_path, road)).notes)
    cut = examine(contract(tmp_path / "cut", road, traffic={"endpoints": 500}))
    assert len(cut.problems) == 1 and "27 trips that never leave the radius" in cut.problems[0].what


@pytest.mark.parametrize(("wrong", "words"), [
    ({"endpoints": -1}, "number from 0 to 10000"), ({"endpoints": "home"}, "'endpoints'"),
    ({"endpoints": 1e6}, "number from 0"), ({"positions": "everywhere"}, "unknown kind of positions"),
    ({"format": "telemetry", "vehicles": 1, "endpoints": 100}, "no ends of trips"),
    ({"endpoint": 100}, "unknown key")])
def test_what_a_contract_may_not_say(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(Problems) as error:
        contract(tmp_path, trips(1), extra=(), traffic=wrong)
    assert any(words in p.what for p in error.value.problems), [p.what for p in error.value.problems]
