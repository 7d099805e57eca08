"""Logs without positions as a contract's recordings: their way, their drivers, and all that can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from synth.contract import Contract
from synth.contract.load import loads
from synth.driving.check import examine
from synth.driving.draft import draft, recognises
from synth.driving.ingest import ingest
from synth.driving.readers import read
from synth.driving.stored import StoredScenes
from synth.errors import Problems, UserError
from synth.progress import Silent
from tests.driving.logs import DBC, contract_document, drive, write_messages, write_mf4


def said(folder: Path, **traffic: Any) -> Contract:
    return loads(yaml.safe_dump(contract_document("logs", **traffic)), folder / "drives.yaml")


def put(folder: Path, drivers: int = 3, **about: Any) -> Path:
    for number in range(drivers):
        (folder / "logs" / f"driver{number}").mkdir(parents=True, exist_ok=True)
        drive(number, **about).to_csv(folder / "logs" / f"driver{number}" / "a.csv", index=False)
    return folder


def problem(contract: Contract) -> str:
    found = examine(contract).problems
    assert found, "nothing was found"
    return " ".join(f"{p.what} {p.todo}" for p in found)


def test_a_way_is_as_long_as_its_speed_says_and_a_change_of_lane_stays_where_a_bend_goes(tmp_path: Path) -> None:
    folder = put(tmp_path, 1, seconds=60.0, bend=1 / 600, changes=30.0)
    found = read(said(folder), Silent()).states
    table = drive(0, seconds=60.0, bend=1 / 600, changes=30.0)
    assert found.x.iloc[-1] == pytest.approx(np.trapezoid(table.speed, table.time), rel=0.01)
    assert np.abs(found.heading).max() < 0.1, "the bend, 2 rad in all, is the road's"
    at = [int(np.searchsorted(found.time, t)) for t in (29.5, 34.5)]
    assert found.y.iloc[at[1]] - found.y.iloc[at[0]] == pytest.approx(2.9, abs=0.5)  # of 3.5 m


def test_the_same_drive_through_csv_parquet_mf4_and_messages(tmp_path: Path) -> None:
    (tmp_path / "bus.dbc").write_text(DBC)
    table, ways = drive(3), {}
    for name in ("a.csv", "a.parquet", "a.mf4", "a.log"):
        folder = tmp_path / name.removeprefix("a.")
        (folder / "logs" / "driver").mkdir(parents=True)
        path = folder / "logs" / "driver" / name
        if name == "a.csv":
            table.to_csv(path, index=False)
        elif name == "a.parquet":
            table.to_parquet(path)
        elif name == "a.mf4":
            write_mf4(path, table)
        else:
            write_messages(path, table, tmp_path / "bus.dbc")
        more = {} if name != "a.log" else {"dbc": str(tmp_path / "bus.dbc"), "units": {"speed": "km/h"}, "columns": {
            "speed": "Speed", "yaw_rate": "YawRate"}}
        ways[name] = read(said(folder, **more), Silent()).states[["x", "y", "speed"]].to_numpy()
    first = ways.pop("a.csv")
    for name, way in ways.items():
        assert len(way) == len(first) and np.abs(way - first).max() < (0.3 if name == "a.log" else 1e-6), name


def test_scenes_of_a_driver_stay_together_and_tell_no_name(tmp_path: Path) -> None:
    contract = said(put(tmp_path, 5))
    (tmp_path / "ingest").mkdir()
    record = ingest(contract, tmp_path / "ingest", progress=Silent())
    scenes = StoredScenes.open(tmp_path / "ingest").scenes()
    assert record["scenes"] == len(scenes) >= 50 and record["groups"] == len(np.unique(scenes.entities)) == 5
    assert scenes.present.all() and scenes.states.shape[1:3] == (1, 30) and "folder" not in scenes.table
    assert {"free", "hard_brake"} <= set(scenes.table["manoeuvre"])


def test_a_drivers_name_may_stand_in_a_column_of_the_logs(tmp_path: Path) -> None:
    put(tmp_path, 2)
    for number, path in enumerate(sorted((tmp_path / "logs").rglob("*.csv"))):
        pd.read_csv(path).assign(driver=f"D{number}").to_csv(path, index=False)
    document = contract_document("logs")
    text = yaml.safe_dump(document).replace("name: folder", "name: driver").replace("value: folder", "value: driver")
    found = read(loads(text, tmp_path / "drives.yaml"), Silent())
    assert set(found.about["driver"]) == {"D0", "D1"}


def test_a_dbc_that_does_not_fit_stops_the_check(tmp_path: Path) -> None:
    (tmp_path / "logs" / "driver").mkdir(parents=True)
    (tmp_path / "bus.dbc").write_text(DBC)
    (tmp_path / "other.dbc").write_text(DBC.replace("BO_ 291", "BO_ 292"))
    write_messages(tmp_path / "logs" / "driver" / "a.log", drive(0, seconds=10), tmp_path / "bus.dbc")
    names = {"columns": {"speed": "Speed", "yaw_rate": "YawRate"}, "units": {"speed": "km/h"}}
    assert not examine(said(tmp_path, dbc="bus.dbc", **names)).problems
    assert "the DBC does not fit the log" in problem(said(tmp_path, dbc="other.dbc", **names))
    assert "needs a DBC" in problem(said(tmp_path, **names))
    assert "no such DBC" in problem(said(tmp_path, dbc="lost.dbc", **names))
    assert "units: {speed: km/h}" in problem(said(tmp_path, dbc="bus.dbc", columns=names["columns"]))


def test_swapped_units_are_asked_back(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "logs" / str(number)).mkdir(parents=True)
        table = drive(number)
        table.assign(speed=table.speed * 3.6 + 60, yaw_rate=np.degrees(table.yaw_rate)).to_csv(
            tmp_path / "logs" / str(number) / "a.csv", index=False)
    assert "units: {speed: km/h}" in problem(said(tmp_path))
    (tmp_path / "turned").mkdir()
    put(tmp_path / "turned", 1, bend=1 / 150)
    path = tmp_path / "turned" / "logs" / "driver0" / "a.csv"
    table = pd.read_csv(path)
    table.assign(yaw_rate=np.degrees(table.yaw_rate)).to_csv(path, index=False)
    assert "units: {angle: deg}" in problem(said(tmp_path / "turned"))
    write_mf4(path.with_suffix(".mf4"), drive(1), unit="km/h")
    path.unlink()
    assert "the log says that its speeds are in km/h" in problem(said(tmp_path / "turned"))


def test_slow_logs_broken_logs_and_logs_without_a_speed(tmp_path: Path) -> None:
    put(tmp_path, 2)
    (tmp_path / "logs" / "driver0" / "broken.mf4").write_bytes(b"MDF     nothing")
    drive(7, rate=1.0).to_csv(tmp_path / "logs" / "driver1" / "slow.csv", index=False)
    found = read(said(tmp_path), Silent())
    assert found.refused == {"damaged": 1, "slower_than_rate": 1} and found.states.recording.nunique() == 2
    assert "no channel 'v'" in problem(said(tmp_path, columns={"speed": "v"}))
    for path in (tmp_path / "logs").rglob("*.csv"):
        path.unlink()
    assert "cannot be read as MDF" in problem(said(tmp_path))


def test_a_silence_ends_a_drive_and_without_a_yaw_rate_it_keeps_to_the_middle(tmp_path: Path) -> None:
    put(tmp_path, 1)
    path = tmp_path / "logs" / "driver0" / "a.csv"
    table = pd.read_csv(path).drop(columns="yaw_rate")
    table[(table.time < 15) | (table.time > 20)].to_csv(path, index=False)
    found = read(said(tmp_path), Silent()).states
    assert (found.y == 0).all() and found.time.diff().max() > 3
    assert not examine(said(tmp_path, seconds=14)).problems
    assert "pauses in tracks" in problem(said(tmp_path, seconds=25))
    assert "no recording lasts longer" in problem(said(tmp_path, seconds=50))


def test_what_a_contract_may_not_say_of_logs(tmp_path: Path) -> None:
    for wrong, words in (({"vehicles": 4}, "one vehicle"), ({"columns": {"x": "lon"}}, "unknown key"),
                         ({"format": "fcd", "vehicles": 4, "dbc": "bus.dbc"}, "DBC file is for logs"),
                         ({"dbc": "../bus.dbc"}, "leaves the contract's folder"), ({"dbc": 3}, "path of a file")):
        with pytest.raises(Problems) as error:
            said(tmp_path, **wrong)
        assert any(words in p.what for p in error.value.problems), wrong


def test_logs_are_recognised_and_their_draft_is_a_contract(tmp_path: Path) -> None:
    put(tmp_path, 1)
    (tmp_path / "measured").mkdir()
    write_mf4(tmp_path / "measured" / "a.mf4", drive(0, seconds=5))
    one = str(tmp_path / "logs" / "driver0" / "a.csv")
    assert recognises(one) and recognises(str(tmp_path / "measured")) and recognises(str(tmp_path / "logs"))
    whole = draft(str(tmp_path / "logs"), "drives")
    assert '"yaw_rate"' in whole and "driver0" not in whole
    pd.DataFrame({"time": [1, 2], "speed": [3, 4], "price": [1, 1]}).to_csv(tmp_path / "table.csv", index=False)
    assert not recognises(str(tmp_path / "table.csv"))
    drafted = loads(draft(one, "drives"), tmp_path / "drives.yaml")
    assert drafted.traffic is not None and drafted.traffic.vehicles == 1
    assert dict(drafted.traffic.columns) == {"time": "time", "speed": "speed", "yaw_rate": "yaw_rate"}
    with pytest.raises(UserError):
        draft(str(tmp_path / "table.csv"), "t")
