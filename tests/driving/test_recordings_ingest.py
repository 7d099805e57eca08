"""Recordings to stored scenes: what is kept, what is left behind, what is refused on one screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synth.driving.check import examine
from synth.driving.draft import draft, recognises
from synth.driving.encroachment import min_pet
from synth.driving.ingest import ingest
from synth.driving.labels import labels
from synth.driving.plug import PLUG
from synth.driving.safety import max_drac, min_ttc
from synth.driving.scenes import MANOEUVRES
from synth.driving.stored import StoredScenes, read_scenes, write_scenes
from synth.errors import Problems, UserError
from synth.progress import Silent
from tests.driving.recorded import contract, states


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    return states(recordings=12, each=3, seconds=9.0)


@pytest.fixture(scope="module")
def stored(many: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("road")
    said = contract(folder, many)
    out = folder / "ingest"
    out.mkdir()
    return said, out, ingest(said, out, progress=Silent())


def test_scenes_and_listing_tell_the_same(stored: tuple[Any, Path, dict[str, Any]]) -> None:
    said, out, record = stored
    scenes = StoredScenes.open(out).scenes()
    assert record["rows"] == record["scenes"] == len(scenes) and record["recordings"] == 12
    assert record["entities"] == record["groups"] == 12 and record["groups_cut"] == 0
    assert (scenes.table["manoeuvre"].to_numpy() == labels(scenes)).all()
    assert np.abs(scenes.table["min_ttc"] - np.minimum(min_ttc(scenes), 10)).max() < 0.006
    assert np.abs(scenes.table["max_drac"] - np.minimum(max_drac(scenes), 20)).max() < 0.006
    assert np.abs(scenes.table["min_pet"] - np.minimum(min_pet(scenes), 10)).max() < 0.006
    assert np.abs(scenes.table["speed"] - scenes.states[:, 0, 0, 3]).max() < 0.006
    assert set(scenes.table["lanes"]) == {3.0} and set(scenes.table["weather"]) == {"dry", "wet"}
    assert len(set(labels(scenes))) >= 3 and set(scenes.table["manoeuvre"]) <= set(MANOEUVRES)
    assert scenes.shape == said.traffic.shape and scenes.states.shape[1:] == (4, 20, 4)
    for entity in np.unique(scenes.entities):  # one recording each
        assert len(set(scenes.table["weather"][scenes.entities == entity])) == 1


def test_who_and_where_and_when_stays_behind(stored: tuple[Any, Path, dict[str, Any]], many: pd.DataFrame) -> None:
    _, out, record = stored
    assert "D3-1-2" not in json.dumps(record)
    found = b"".join(path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file())
    assert b"D3-1-2" not in found and b"D0-0-0" not in found
    scenes = StoredScenes.open(out).scenes()
    assert np.abs(scenes.states[..., :2]).max() < 1000  # no place on earth
    assert "driver" not in scenes.table


def test_parts_share_no_driver(stored: tuple[Any, Path, dict[str, Any]], tmp_path: Path) -> None:
    said, out, _ = stored
    counts = PLUG.split(said, out, tmp_path, seed=1)
    opened = StoredScenes.open(out, tmp_path)
    parts = {name: set(opened.scenes(name).entities.tolist()) for name in ("train", "holdout", "reference")}
    assert all(parts.values()) and sum(map(len, parts.values())) == 12
    assert counts["rows"]["train"] == len(opened.scenes("train"))
    batches, schema = PLUG.table(said, out)
    assert sum(map(len, batches)) == len(opened) and "manoeuvre" in schema.names


def test_scenes_are_written_and_read_back(stored: tuple[Any, Path, dict[str, Any]], tmp_path: Path) -> None:
    _, out, _ = stored
    opened = StoredScenes.open(out)
    scenes = opened.scenes(np.arange(len(opened)) < 30)
    write_scenes(tmp_path / "s", scenes, opened.schema)
    again = read_scenes(tmp_path / "s", opened.schema)
    assert (again.states == scenes.states).all() and again.table.equals(scenes.table) and again.shape == scenes.shape
    assert (again.entities == scenes.entities).all() and (again.present == scenes.present).all()


def test_the_same_twice(stored: tuple[Any, Path, dict[str, Any]], tmp_path: Path) -> None:
    said, out, record = stored
    assert ingest(said, tmp_path, progress=Silent()) == record
    for name in ("states.npy", "entities.npy", "table.parquet"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_check_is_content_and_says_what_to_know(many: pd.DataFrame, tmp_path: Path) -> None:
    found = examine(contract(tmp_path, many))
    assert found.problems == ()
    notes = " ".join(n.what for n in found.notes)
    assert "12 groups that share no driver" in notes and "hard_brake (0)" in notes


def test_a_track_may_be_asserted_to_be_a_driver(many: pd.DataFrame, tmp_path: Path) -> None:
    said = contract(tmp_path, many, entity=None, traffic={"eachTrackIsADriver": True})
    assert ingest(said, tmp_path, progress=Silent())["entities"] == 12
    assert any("each track is another driver" in n.what for n in examine(said).notes)


def bad(name: str) -> pd.DataFrame:
    table = states(recordings=2, seconds=9.0, each=3)
    turned = {"degrees": table.assign(heading=np.degrees(table.heading)), "km/h": table.assign(speed=table.speed * 3.6),
              "feet": table.assign(x=table.x / .3048, y=table.y / .3048, length=table.length / .3048,
                                   speed=table.speed / .3048),
              "reversed": table.assign(y=-table.y), "no column": table.drop(columns="weather"),
              "no x": table.drop(columns="x"), "short": table[table.time < 3], "slow": table[table.time % 1 < 0.01],
              "alone": table[table.track == "00"], "stacked": table.assign(lane=np.nan, x=table.x + 3 * 0 - (
                  table.groupby(["recording", "track"]).x.transform("first")), y=table.y - (
                  table.groupby(["recording", "track"]).y.transform("first"))),
              "empty": table.iloc[:0], "words": table.assign(x="somewhere"),
              "crossing": pd.concat([table, table.assign(track=table.track + "c", heading=table.heading + np.pi / 2,
                                                         x=5e5 - (table.y - 5.5e6), y=5.5e6 + (table.x - 5e5))]),
              "no driver": table.drop(columns="driver")}
    return turned[name]


@pytest.mark.parametrize(("name", "what", "block"), [
    ("degrees", "headings look like degrees", {}), ("km/h", "speeds look like km/h", {}),
    ("feet", "lengths of vehicles look like feet", {}), ("reversed", "headings are mirrored", {}),
    ("no column", "column 'weather' is not in the recordings", {}), ("no x", "column 'x' for 'x'", {}),
    ("short", "no recording lasts longer than 3.0 s", {}), ("slow", "fewer states a second than the contract's", {}),
    ("alone", "no vehicle ever has another one near it", {"laneWidth": 3.5}),
    ("stacked", "vehicles stand in one another", {"laneWidth": 3.5, "lanes": 3}),
    ("empty", "no states of vehicles", {}), ("words", "no scene can be cut", {}),
    ("crossing", "without a common direction", {}), ("no driver", "column 'driver' is not in the recordings", {})])
def test_bad_recordings_are_refused_on_one_screen(tmp_path: Path, name: str, what: str, block: dict[str, Any]) -> None:
    said = contract(tmp_path, bad(name), traffic=block)
    problems = examine(said).problems
    assert any(what in p.what for p in problems), [p.what for p in problems]
    assert sum(len(p.render().splitlines()) for p in problems) <= 24
    assert "D0-0-0" not in "".join(p.render() for p in problems)
    with pytest.raises(UserError) as caught:
        ingest(said, tmp_path, progress=Silent())
    assert what in caught.value.render()


@pytest.mark.parametrize(("said", "what"), [
    ({"entity": None}, "no column says whose drive"),
    ({"traffic": {"eachTrackIsADriver": True}}, "names the driver and says that each track is one"),
    ({"extra": ("driver2",)}, "column 'driver2' is not in the recordings")])
def test_bad_contracts(tmp_path: Path, many: pd.DataFrame, said: dict[str, Any], what: str) -> None:
    found = contract(tmp_path, many, **said)
    assert any(what in p.what for p in examine(found).problems)
    with pytest.raises(UserError, match=what):
        ingest(found, tmp_path, progress=Silent())


def test_half_bad_recordings_are_counted(tmp_path: Path) -> None:
    table = states(recordings=12, each=3, seconds=9.0)
    table.loc[(table.recording == "r1") & (table.track == "10") & table.time.between(4, 5), "x"] = np.nan
    twice = table[(table.recording == "r2") & (table.track == "11")].iloc[:9]
    slow = table[(table.recording != "r3") | (table.time % 1 < 0.01)]
    record = ingest(contract(tmp_path, pd.concat([slow, twice.assign(x=twice.x + 9)])), tmp_path, progress=Silent())
    assert record["refused"]["not_finite"] > 0 and record["refused"]["gaps"] == 1
    assert record["refused"]["twice_in_a_frame"] == 1 and record["refused"]["slower_than_rate"] == 1
    assert record["recordings"] == 11


def test_a_draft_can_be_confirmed_and_checked(tmp_path: Path, many: pd.DataFrame) -> None:
    from synth.contract.load import loads

    folder = tmp_path / "recordings"
    folder.mkdir()
    many.rename(columns={"x": "x_utm", "track": "vehicle_id"}).drop(columns="noise").to_parquet(folder / "a.parquet")
    assert recognises(str(folder)) and recognises(str(folder / "a.parquet"))
    text = draft(str(folder), "drafted")
    assert "D0-0-0" not in text and "r0" not in text and "wet" not in text
    said = loads(text, tmp_path / "c.yaml")
    assert said.traffic is not None and said.traffic.column("x") == "x_utm" and said.entity == "driver"
    assert said.traffic.column("track") == "vehicle_id" and not said.column("driver").modelled
    assert said.column("weather").modelled
    problems = examine(said).problems
    assert all("bounds" in p.what for p in problems), [p.what for p in problems]


def test_other_tables_are_not_taken_for_traffic(tmp_path: Path) -> None:
    pd.DataFrame({"age": [1], "time": [2], "x": [3]}).to_csv(tmp_path / "a.csv", index=False)
    assert not recognises(str(tmp_path / "a.csv")) and not recognises(str(tmp_path)) and not recognises("s3://b/k")
    assert not recognises(str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="does not look like recordings"):
        draft(str(tmp_path / "a.csv"), "name")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.xml").write_text("<?xml version='1.0'?><fcd-export></fcd-export>")
    assert recognises(str(tmp_path / "x")) and "format: fcd" in draft(str(tmp_path / "x"), "n")


def test_impute_and_folders(tmp_path: Path, many: pd.DataFrame) -> None:
    said = contract(tmp_path, many)
    with pytest.raises(UserError, match="no missing cells"):
        PLUG.impute(said, tmp_path, tmp_path, "x", tmp_path, seed=1, progress=Silent())
    with pytest.raises(UserError, match="not empty"):
        PLUG.check_output(said, tmp_path)
    with pytest.raises(UserError, match="no folder"):
        PLUG.check_output(said, tmp_path / "no" / "where")
    PLUG.check_output(said, tmp_path / "new")


def test_problems_are_all_shown_at_once(tmp_path: Path) -> None:
    table = states(recordings=1)
    with pytest.raises(Problems) as caught:
        ingest(contract(tmp_path, table.assign(speed=table.speed * 3.6, heading=np.degrees(table.heading))), tmp_path,
               progress=Silent())
    assert len(caught.value.problems) == 2
