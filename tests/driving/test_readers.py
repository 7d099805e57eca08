"""Each format against the traffic it was written from, and what is refused of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synth.contract.traffic import RecordingFormat, Traffic, Units
from synth.driving.readers import argoverse2, commonroad, fcd, levelx, ngsim, table
from synth.driving.readers.base import FOOT, Recorded
from synth.errors import Problems, UserError
from synth.progress import Silent
from tests.driving.recorded import states

EAST, NORTH = 5e5, 5.5e6


def made(bearing: float = 0.0) -> pd.DataFrame:
    """Traffic near nought, so that formats of few decimals hold it."""
    found = states(recordings=1, seconds=5.0, bearing=bearing)
    return found.assign(x=found.x - EAST, y=found.y - NORTH)


def same(found: Recorded, wanted: pd.DataFrame, *, places: float = 2e-3, columns: tuple[str, ...] = (
        "x", "y", "heading", "speed", "length", "width", "lane")) -> None:
    """States are those that were written, in any order."""
    ours = found.states.assign(track=found.states.track.astype(str)).sort_values(["track", "time"])
    theirs = wanted.sort_values(["track", "time"])
    assert len(ours) == len(theirs) and (ours.track.to_numpy() == theirs.track.to_numpy()).all()
    assert np.allclose(ours.time - ours.time.min(), theirs.time - theirs.time.min(), atol=1e-6)
    for column in columns:
        a, b = ours[column].to_numpy(float), theirs[column].to_numpy(float)
        if column == "heading":
            a, b = np.angle(np.exp(1j * (a - b))), np.zeros(len(b))
        assert np.abs(a - b).max() < places, column


def as_fcd(made: pd.DataFrame) -> str:
    rows = ['<?xml version="1.0"?>', "<!-- made for a test -->", "<fcd-export>"]
    for time, group in made.groupby("time"):
        rows.append(f'<timestep time="{time:.2f}">')
        rows += [f'<vehicle id="{v.track}" x="{v.x + 2.25 * np.cos(v.heading):.4f}" '
                 f'y="{v.y + 2.25 * np.sin(v.heading):.4f}" angle="{90 - np.degrees(v.heading):.5f}" '
                 f'type="car" speed="{v.speed:.4f}" pos="0" lane="e1_{v.lane:.0f}" slope="0"/>'
                 for v in group.itertuples()]
        rows.append("</timestep>")
    return "\n".join([*rows, "</fcd-export>"])


@pytest.mark.parametrize("name", ["a.xml", "a.xml.gz"])
def test_fcd(tmp_path: Path, name: str) -> None:
    wanted = made()
    data = as_fcd(wanted).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = fcd.read(str(tmp_path), (), Traffic(format=RecordingFormat.FCD), [], Silent())
    same(found, wanted)
    assert found.about["track"].iloc[0] == f"{name}/00"


def as_commonroad(made: pd.DataFrame, reference: int = 2) -> str:
    def bound(name: str, y: float) -> str:
        points = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x in (-50, 500))
        return f"<{name}>{points}</{name}>"

    rows = ['<?xml version="1.0"?><commonRoad timeStepSize="0.1" benchmarkID="XXX_T-1" commonRoadVersion="2020a">']
    for lane in (1, 2, 3):
        right = f'<adjacentRight ref="{lane - 1}" drivingDir="same"/>' if lane > 1 else ""
        left = f'<adjacentLeft ref="{lane + 1 if lane < reference else 99}" drivingDir="same"/>' if lane < 3 else ""
        rows.append(f'<lanelet id="{lane}">{bound("leftBound", 3.5 * lane)}{bound("rightBound", 3.5 * (lane - 1))}'
                    f"{left}{right}</lanelet>")
    for track, group in made.groupby("track"):
        shape = "<shape><rectangle><length>4.5</length><width>1.8</width></rectangle></shape>"
        rows.append(f'<dynamicObstacle id="{track}"><type>car</type>{shape}')
        for i, v in enumerate(group.itertuples()):
            step = (f"<position><point><x>{v.x:.5f}</x><y>{v.y:.5f}</y></point></position><orientation><exact>"
                    f"{v.heading:.6f}</exact></orientation><time><exact>{i}</exact></time><velocity><exact>{v.speed:.5f}"
                    f"</exact></velocity>")
            rows.append(f"<initialState>{step}</initialState><trajectory>" if i == 0 else f"<state>{step}</state>")
        rows.append("</trajectory></dynamicObstacle>")
    return "".join([*rows, "</commonRoad>"])


def test_commonroad(tmp_path: Path) -> None:
    wanted = made()
    (tmp_path / "a.xml").write_text(as_commonroad(wanted, reference=3))
    found = commonroad.read(str(tmp_path / "a.xml"), (), Traffic(format=RecordingFormat.COMMONROAD), [], Silent())
    same(found, wanted.assign(lane=wanted.lane - 1))
    assert set(found.about["benchmark"]) == {"XXX_T-1"}


BOMB = ('<?xml version="1.0"?><!DOCTYPE bomb [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        '<commonRoad timeStepSize="0.1" benchmarkID="&b;"></commonRoad>')
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/hostname"><commonRoad timeStepSize="0.1"/>'


@pytest.mark.parametrize(("text", "reason"), [
    (BOMB, "doctype"), (OUTSIDE, "doctype"), ("", "truncated"), ("<commonRoad", "truncated"),
    ("<commonRoad timeStepSize='0.1'><lanelet id='1'>", "truncated"), ("<a></b>", "damaged"),
    ("<commonRoad timeStepSize='soon'></commonRoad>", "damaged"), ("<scenario></scenario>", "not_commonroad"),
    ("<commonRoad timeStepSize='0.1'><lanelet id='1'><successor ref='9'/></lanelet></commonRoad>",
     "lanelet_reference")])
def test_bad_commonroad_is_put_aside_and_counted(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.xml").write_text(text)
    (tmp_path / "good.xml").write_text(as_commonroad(made(), reference=3))
    found = commonroad.read(str(tmp_path), (), Traffic(), [], Silent())
    assert found.refused == {reason: 1} and len(found.states) == len(made())
    alone = commonroad.read(str(tmp_path / "bad.xml"), (), Traffic(), [], Silent())
    assert len(alone.states) == 0 and alone.refused == {reason: 1}


@pytest.mark.parametrize(("text", "reason"), [
    (BOMB.replace("commonRoad", "fcd-export"), "doctype"), ("<fcd-export><timestep time='0'>", "truncated")])
def test_bad_fcd_is_put_aside(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.xml").write_text(text)
    assert fcd.read(str(tmp_path), (), Traffic(), [], Silent()).refused == {reason: 1}


def test_argoverse2(tmp_path: Path) -> None:
    wanted = made(0.3)
    pd.DataFrame({
        "observed": True, "track_id": wanted.track, "object_type": "vehicle", "object_category": 1,
        "timestep": np.round(wanted.time * 10).astype(int), "position_x": wanted.x, "position_y": wanted.y,
        "heading": wanted.heading, "velocity_x": wanted.speed * np.cos(wanted.heading),
        "velocity_y": wanted.speed * np.sin(wanted.heading), "scenario_id": "s1", "city": "there"}
    ).to_parquet(tmp_path / "scenario_s1.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    found = argoverse2.read(str(tmp_path), (), Traffic(), ["city"], Silent())
    same(found, wanted, columns=("x", "y", "heading", "speed"))
    assert set(found.about["city"]) == {"there"} and found.refused == {"damaged": 2}
    assert set(found.states.recording) == {"s1"}


def test_ngsim(tmp_path: Path) -> None:
    wanted = made(np.pi / 2)
    front = wanted.assign(x=wanted.x + 2.25 * np.cos(wanted.heading), y=wanted.y + 2.25 * np.sin(wanted.heading))
    pd.DataFrame({
        "Vehicle_ID": wanted.track.astype(int), "Frame_ID": np.round(wanted.time * 10).astype(int), "Total_Frames": 50,
        "Global_Time": 1118846979700, "Local_X": front.x / FOOT, "Local_Y": front.y / FOOT,
        "v_Length": 4.5 / FOOT, "v_Width": 1.8 / FOOT, "v_Class": 2, "v_Vel": 0.0, "Lane_ID": wanted.lane,
        "Location": "i-80"}).to_csv(tmp_path / "n.csv", index=False)
    found = ngsim.read(str(tmp_path / "n.csv"), (), Traffic(format=RecordingFormat.NGSIM), ["Location"], Silent())
    same(found, wanted.assign(track=wanted.track.astype(int).astype(str) + "/50"), places=0.12,
         columns=("x", "y", "length", "width", "lane"))
    same(found, wanted.assign(track=wanted.track.astype(int).astype(str) + "/50"), columns=("length", "width"))
    assert set(found.states.kind) == {"car"} and set(found.about["Location"]) == {"i-80"}
    pd.DataFrame({"Vehicle_ID": [1]}).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(UserError, match="'Frame_ID' of NGSIM"):
        ngsim.read(str(tmp_path / "other.csv"), (), Traffic(), [], Silent())


def test_highd_and_ind(tmp_path: Path) -> None:
    wanted = made()
    number = pd.factorize(wanted.track)[0] + 1
    meta = pd.DataFrame({"id": np.unique(number), "class": "Car", "drivingDirection": 2})
    high = tmp_path / "high"
    high.mkdir()
    pd.DataFrame({"frame": np.round(wanted.time * 10).astype(int), "id": number, "x": wanted.x - 2.25,
                  "y": -wanted.y - 0.9, "width": 4.5, "height": 1.8, "xVelocity": wanted.speed * np.cos(wanted.heading),
                  "yVelocity": -wanted.speed * np.sin(wanted.heading), "laneId": wanted.lane}
                 ).to_csv(high / "01_tracks.csv", index=False)
    meta.to_csv(high / "01_tracksMeta.csv", index=False)
    pd.DataFrame({"id": [1], "frameRate": [10], "weekDay": ["Mon"]}).to_csv(high / "01_recordingMeta.csv", index=False)
    found = levelx.read(str(high), (), Traffic(), ["weekDay", "class"], Silent())
    renamed = wanted.assign(track=number.astype(str))
    same(found, renamed)
    assert set(found.about["weekDay"]) == {"Mon"} and set(found.about["class"]) == {"Car"}
    ind = tmp_path / "ind"
    ind.mkdir()
    pd.DataFrame({"recordingId": 7, "trackId": number, "frame": np.round(wanted.time * 10).astype(int),
                  "xCenter": wanted.x, "yCenter": wanted.y, "heading": np.degrees(wanted.heading) % 360, "width": 1.8,
                  "length": 4.5, "xVelocity": wanted.speed * np.cos(wanted.heading),
                  "yVelocity": wanted.speed * np.sin(wanted.heading)}).to_csv(ind / "07_tracks.csv", index=False)
    meta.rename(columns={"id": "trackId"}).to_csv(ind / "07_tracksMeta.csv", index=False)
    with pytest.raises(UserError, match="no recordingMeta file"):
        levelx.read(str(ind), (), Traffic(), [], Silent())
    pd.DataFrame({"recordingId": [7], "frameRate": [10]}).to_csv(ind / "07_recordingMeta.csv", index=False)
    same(levelx.read(str(ind), (), Traffic(), [], Silent()), renamed,
         columns=("x", "y", "heading", "speed", "length", "width"))


def test_a_table_with_its_own_names_and_units(tmp_path: Path) -> None:
    wanted = made(0.2)
    pd.DataFrame({"car": wanted.track, "ms": (wanted.time * 1000).round(), "east": wanted.x / FOOT,
                  "north": wanted.y / FOOT, "yaw": np.degrees(wanted.heading), "kmh": wanted.speed * 3.6,
                  "length": 4.5 / FOOT, "width": 1.8 / FOOT, "lane": wanted.lane, "rain": "no"}
                 ).to_csv(tmp_path / "t.csv", index=False)
    block = Traffic(columns=(("track", "car"), ("time", "ms"), ("x", "east"), ("y", "north"), ("heading", "yaw"),
                             ("speed", "kmh")), units=Units(length="ft", speed="km/h", angle="deg", time="ms"))
    found = table.read(str(tmp_path / "t.csv"), (), block, ["rain", "not there"], Silent())
    same(found, wanted.assign(time=wanted.time.round(3)))
    assert list(found.about) == ["rain"]
    short = Traffic(columns=(*block.columns[:4], ("lane", "")), units=block.units)
    assert "lane" not in table.read(str(tmp_path / "t.csv"), (), short, [], Silent()).states
    with pytest.raises(Problems, match="'velocity' for 'speed' is not in the recordings"):
        table.read(str(tmp_path / "t.csv"), (), Traffic(columns=(*block.columns[:4], ("speed", "velocity"))), [],
                   Silent())


def test_times_may_be_dates_and_cells_may_be_words(tmp_path: Path) -> None:
    wanted = made()
    stamps = pd.Timestamp("2026-01-02T03:04:05Z") + pd.to_timedelta(wanted.time, unit="s")
    frame = wanted[["track", "x", "y"]].assign(time=stamps.map(lambda t: t.isoformat()))
    frame["x"] = frame.x.astype(str)
    frame.loc[3, "x"] = "unknown"
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = table.read(str(tmp_path / "t.csv"), (), Traffic(), [], Silent()).states
    assert np.isnan(found.x[3]) and np.isfinite(found.x).sum() == len(wanted) - 1
    assert np.allclose(found.time - found.time.min(), wanted.time, atol=1e-4)
    wanted.assign(time=stamps).to_parquet(tmp_path / "t.parquet")
    dated = table.read(str(tmp_path / "t.parquet"), (), Traffic(), [], Silent()).states
    assert np.allclose(dated.time - dated.time.min(), wanted.time, atol=1e-4)


def test_links_out_of_the_folder_and_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.xml").write_text(as_fcd(made()))
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match=r"no \.xml"):
        fcd.read(str(tmp_path / "in"), (), Traffic(), [], Silent())
    (tmp_path / "in" / "a.xml").symlink_to(tmp_path / "elsewhere.xml")
    with pytest.raises(UserError, match="link to somewhere outside"):
        fcd.read(str(tmp_path / "in"), (), Traffic(), [], Silent())
