"""Released files of scenes: every one is listed, equal input gives equal bytes, and others read back what was said."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.contract.traffic import RELEASES, Traffic
from synth.driving import geometry
from synth.driving.files import commonroad
from synth.driving.files.base import Released
from synth.driving.files.replay import available
from synth.driving.files.roads import at_rate, lane_of, roads
from synth.driving.files.weather import weather
from synth.driving.files.write import write_scenes
from synth.driving.labels import labels
from synth.driving.safety import min_ttc
from synth.driving.scenes import Scenes
from synth.driving.telemetry import CHANNELS, telemetry
from synth.progress import Silent
from synth.release.published import FILES_ARE, SCENE_FILES, listed_files
from tests.driving import arbiters
from tests.driving.arbiters import needs_arbiters
from tests.driving.traffic import scenes

FRICTION = (("dry", 0.9), ("rain", 0.6), ("snow", 0.3))


def contract(**said) -> SimpleNamespace:
    block = Traffic(**{"release": RELEASES, "friction": FRICTION, "scenario_files": 4, **said})
    return SimpleNamespace(traffic=block, pixels=None)


def put(folder: Path, traffic: Scenes, **said) -> pd.DataFrame:
    table = pa.Table.from_pandas(traffic.table, preserve_index=False)
    assert write_scenes(folder, traffic, table, contract(**said), seed=0, progress=Silent()) == len(traffic)
    return pd.read_parquet(folder / "metadata.parquet")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, Scenes, pd.DataFrame]:
    folder, traffic = tmp_path_factory.mktemp("set") / "train", scenes(6, crash=True)
    return folder, traffic, put(folder, traffic)


def columns(listing: pd.DataFrame) -> list[str]:
    return [name for name in listing.columns if name in FILES_ARE]


def test_every_file_is_listed_and_every_listed_file_is_there(written):
    folder, traffic, listing = written
    listed = {cell for name in columns(listing) for cell in listing[name].dropna()} | {"metadata.parquet"}
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == listed
    assert columns(listing) == list(listed_files(contract()))
    assert listing.drop(columns=columns(listing)).columns.tolist() == traffic.table.columns.tolist()
    assert set(FILES_ARE) >= {name for given in SCENE_FILES.values() for name in given}


def test_files_of_one_scene_are_there_for_the_first_scenes_only(written):
    _, _, listing = written
    for name in ("openscenario_file", "commonroad_file", "sumo_file", "sumo_net", "mf4_file"):
        assert listing[name].notna().tolist() == [True] * 4 + [False] * 2
    for name in ("states_file", "measures_file", "argoverse2_file", "telemetry_file"):
        assert listing[name].notna().all()


@pytest.mark.parametrize("few", [0, 1])
def test_no_road_is_written_that_no_listed_scene_needs(tmp_path, few):
    traffic = scenes(4)
    road = traffic.road.copy()
    road[2:] = (2, 3.75)
    listing = put(tmp_path / "t", replace(traffic, road=road), scenario_files=few)
    listed = {c for n in columns(listing) for c in listing[n].dropna()} | {"metadata.parquet"}
    assert {p.relative_to(tmp_path / "t").as_posix() for p in (tmp_path / "t").rglob("*") if p.is_file()} == listed


def test_equal_scenes_give_equal_bytes_and_names_are_numbers(written, tmp_path):
    folder, traffic, _ = written
    put(tmp_path / "again", traffic)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        relative = path.relative_to(folder)
        assert path.read_bytes() == (tmp_path / "again" / relative).read_bytes(), relative
        stem = relative.name.split(".")[0].removeprefix("scenario_").removeprefix("log_map_archive_")
        assert stem.removeprefix("road_").isdigit() or stem in ("metadata", "states", "measures", "telemetry")


def test_every_file_says_that_it_is_synthetic(written):
    folder, _, _ = written
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix == ".parquet":
            assert pq.read_schema(path).metadata[b"SyntheticData"] == b"YES", path
        else:
            assert b"SyntheticData" in path.read_bytes(), path


def test_a_set_can_have_its_own_tables_only(tmp_path):
    listing = put(tmp_path / "t", scenes(3), release=())
    assert columns(listing) == ["states_file", "measures_file"]


def test_states_hold_every_vehicle_at_every_step(written):
    folder, traffic, _ = written
    states = pd.read_parquet(folder / "states.parquet")
    assert len(states) == traffic.present.sum() * traffic.shape.steps
    for scene, vehicle in ((0, 0), (1, 2), (5, 3)):
        own = states[(states.scene == scene) & (states.vehicle == vehicle)]
        assert np.array_equal(own[["s", "d", "heading", "speed"]].to_numpy(np.float32), traffic.states[scene, vehicle])
        assert own.step.tolist() == list(range(40)) and own.time.iloc[-1] == pytest.approx(7.8)
        assert own.length.iloc[0] == traffic.sizes[scene, vehicle, 0]
    assert set(states[states.vehicle == 3].kind) == {"truck"} and (states.lane_width == 3.5).all()
    assert (states.lane == np.floor(states.d / 3.5)).all()
    assert pq.read_schema(folder / "states.parquet").metadata[b"rate"] == b"5"


# The types of Argoverse 2's own files (scenario_*.parquet), as its reader and its writer have them.
ARGOVERSE2 = {
    "observed": "bool", "track_id": "string", "object_type": "string", "object_category": "int64", "timestep": "int64",
    "position_x": "double", "position_y": "double", "heading": "double", "velocity_x": "double",
    "velocity_y": "double", "scenario_id": "string", "start_timestamp": "double", "end_timestamp": "double",
    "num_timestamps": "int64", "focal_track_id": "string", "city": "string"}


def test_argoverse_2_has_its_schema_its_rate_and_a_map(written):
    folder, traffic, listing = written
    path = folder / listing.argoverse2_file[1]
    assert {f.name: str(f.type) for f in pq.read_schema(path)} == ARGOVERSE2
    tracks = pd.read_parquet(path)
    assert tracks.num_timestamps.unique().tolist() == [79] and tracks.timestep.max() == 78
    assert tracks.observed.groupby(tracks.track_id).sum().tolist() == [36] * 4  # 50 of 110, as there
    assert tracks.focal_track_id.unique().tolist() == ["AV"] and set(tracks.object_type) == {"vehicle"}
    ego = tracks[tracks.track_id == "AV"]
    assert (ego.object_category == 3).all() and (tracks[tracks.track_id != "AV"].object_category == 2).all()
    assert np.allclose(ego.position_x[::2], traffic.states[1, 0, :, 0], atol=1e-4)
    assert np.allclose(np.hypot(ego.velocity_x, ego.velocity_y)[::2], traffic.states[1, 0, :, 3], atol=1e-4)
    lanes = json.loads((folder / listing.argoverse2_map[1]).read_text())
    assert len(lanes["lane_segments"]) == 3 and lanes["lane_segments"]["1"]["left_neighbor_id"] == 2
    corners = [(p["x"], p["y"]) for p in lanes["drivable_areas"]["0"]["area_boundary"]]
    assert corners[0] == corners[-1] and max(y for _, y in corners) == 10.5


@needs_arbiters
def test_argoverse_2_s_own_package_reads_tracks_and_maps(written):
    folder, traffic, listing = written
    for row, said in enumerate(arbiters.argoverse2([folder / name for name in listing.argoverse2_file[:2]])):
        assert (said["id"], said["city"], said["focal"]) == (f"{row:06d}", "synthetic", "AV")
        assert (said["timestamps"], said["seconds"], said["lanes"], said["areas"]) == (79, 7.8, 3, 1)
        assert said["centre"] == pytest.approx([5.25] * len(said["centre"]))
        for slot in np.flatnonzero(traffic.present[row]):
            track = said["tracks"][str(slot) if slot else "AV"]
            assert track["category"] == (2 if slot else 3) and track["type"] == "vehicle"
            assert np.allclose(track["x"][::2], traffic.states[row, slot, :, 0], atol=1e-4)


def test_another_rate_keeps_speed_and_place():
    t = np.arange(40) / 5
    traffic = scenes(1)
    states = traffic.states.copy()
    states[0, 0] = np.stack([20 * t + t**2, np.full(40, 1.75), np.zeros(40), 20 + 2 * t], axis=-1)
    faster = at_rate(replace(traffic, states=states), 10)
    fine = np.arange(79) / 10
    assert faster.shape.rate == 10 and faster.states.shape[2] == 79
    assert np.abs(faster.states[0, 0, :, 0] - (20 * fine + fine**2)).max() < 1e-3
    assert np.abs(faster.states[0, 0, :, 3] - (20 + 2 * fine)).max() < 1e-4
    assert at_rate(traffic, 5.0) is traffic
    assert not faster.states[0, 3].any()


def test_openscenario_reads_back_with_its_library(written):
    from scenariogeneration import xosc

    folder, traffic, listing = written
    for row in range(4):
        parsed = xosc.ParseOpenScenario(str(folder / listing.openscenario_file[row]))
        assert parsed.header.version_minor == 2 and "SyntheticData=YES" in parsed.header.description
        names = [o.name for o in parsed.entities.scenario_objects]
        slots = np.flatnonzero(traffic.present[row]).tolist()
        assert names == ["ego", *(f"vehicle_{s}" for s in slots[1:])]
        groups = parsed.storyboard.stories[0].acts[0].maneuvergroup
        for slot, group, thing in zip(slots, groups, parsed.entities.scenario_objects, strict=True):
            event = group.maneuvers[0].events[0]
            assert event.trigger.conditiongroups[0].conditions[0].conditionedge == xosc.ConditionEdge.none
            action = event.action[0].action
            assert action.timeref is not None
            line, box = action.trajectory.shapes, thing.entityobject.boundingbox.boundingbox
            x = np.array([p.x for p in line.positions]) + thing.entityobject.boundingbox.center.x * np.cos(
                [p.h for p in line.positions])
            assert np.abs(x - traffic.states[row, slot, :, 0]).max() < 2e-3  # the box's middle, from the rear axle
            assert float(box.length) == pytest.approx(traffic.sizes[row, slot, 0], abs=1e-3)
            assert line.time[-1] == pytest.approx(7.8)


def test_openscenario_says_weather_and_friction(written):
    folder, _, listing = written
    for row, (kind, mu) in enumerate([("dry", 0.9), ("rain", 0.6), ("snow", 0.3)]):
        root = ET.parse(folder / listing.openscenario_file[row]).getroot()
        assert root.find(".//Precipitation").get("precipitationType") == kind
        assert float(root.find(".//RoadCondition").get("frictionScaleFactor")) == mu
    road = ET.parse(folder / listing.opendrive_file[0]).getroot()
    assert len(road.findall(".//right/lane")) == 3 and {w.get("a") for w in road.findall(".//width")} == {"3.5"}


@needs_arbiters
def test_the_asam_checkers_find_nothing(written, tmp_path):
    folder, _, listing = written
    completed, checks, issues = arbiters.asam(folder / listing.openscenario_file[1], tmp_path)
    assert (completed, issues) == (checks, []) and checks == 17
    completed, checks, issues = arbiters.asam(folder / listing.opendrive_file[0], tmp_path)
    assert completed >= 10 and issues == []
    broken = tmp_path / "broken.xosc"
    broken.write_bytes((folder / listing.openscenario_file[1]).read_bytes().replace(b'entityRef="ego"',
                                                                                    b'entityRef="nobody"'))
    assert arbiters.asam(broken, tmp_path)[2]  # the checker can find something


def test_commonroad_is_well_formed_and_numbers_are_unique(written):
    folder, _, listing = written
    root = ET.parse(folder / listing.commonroad_file[1]).getroot()
    assert root.get("commonRoadVersion") == "2020a" and root.get("timeStepSize") == "0.2"
    ids = [e.get("id") for e in root if e.get("id")]
    assert len(set(ids)) == len(ids) == 3 + 4 + 1
    assert len(root.findall("dynamicObstacle/trajectory/state")) == 4 * 39
    assert root.find("location/environment/weather").text == "light_rain"
    assert root.find("scenarioTags/lane_following") is not None


@needs_arbiters
def test_commonroad_and_its_checkers_agree_with_ours(tmp_path):
    """Collisions, leaving the road, and what a car can do."""
    traffic = scenes(4, crash=True)
    states = traffic.states.copy()
    states[1, 2, :, 1] += np.linspace(0, 4, 40)  # leaves the road on the left
    states[2, 1, 20:, 0] += 6  # jumps
    traffic = replace(traffic, states=states)
    released = Released.of(traffic, {})
    paths = []
    for row in (2, 0, 1, 3):
        commonroad.write(tmp_path, released, row)
        paths.append(tmp_path / commonroad.name(row))
    told = arbiters.commonroad(paths, feasibility=2)
    for row, said in zip((2, 0, 1, 3), told, strict=True):
        slots = np.flatnonzero(traffic.present[row])
        assert [o["id"] for o in said["obstacles"]] == [1000 + s for s in slots]
        for slot, obstacle in zip(slots, said["obstacles"], strict=True):
            assert np.abs(np.array(obstacle["states"]) - traffic.states[row, slot]).max() < 1e-3
        assert said["collide"] == geometry.collisions(traffic)[row][np.ix_(slots, slots)].tolist()
        assert said["off_road"] == geometry.off_road(traffic)[row][slots].tolist()
        assert (said["lanelets"], said["problems"], said["dt"]) == (3, 1, 0.2) and "SyntheticData" in said["source"]
    assert told[1]["collide"][0][1] and told[2]["off_road"][2]
    assert told[0]["drivable"] == [True, False]  # the ego vehicle's drive, and the jump


def test_our_own_readers_take_the_released_files_for_recordings(written):
    """What the formats hold, no more and no less: positions of all, sizes where the format has them."""
    from synth.driving.readers import argoverse2, commonroad, fcd

    folder, traffic, _ = written
    for module, place, ego, step in ((argoverse2, "argoverse2/000001", "AV", 2), (fcd, "sumo/000001.fcd.xml", "0", 1),
                                     (commonroad, "commonroad/000001.xml", "1000", 1)):
        found = module.read(str(folder / place), (), Traffic(), [], Silent())
        assert not found.refused and found.states.track.nunique() == 4, place
        own = found.states[found.states.track.astype(str) == ego].sort_values("time").iloc[::step]
        assert np.abs(own[["x", "y"]].to_numpy(float) - traffic.states[1, 0, :, :2]).max() < 5e-3, place
        assert np.abs(own.speed.to_numpy(float) - traffic.states[1, 0, :, 3]).max() < 1e-2, place
        if place.startswith(("sumo", "common")):
            assert own.length.iloc[0] == pytest.approx(traffic.sizes[1, 0, 0], abs=0.01)


@pytest.mark.skipif(not available(), reason="libsumo is not installed (extra demo)")
def test_sumo_replays_its_own_files(written):
    """SUMO with the released configuration, and nothing of ours, has every vehicle where the scene has it."""
    folder, traffic, listing = written
    code = ("import json, sys, libsumo\n"
            "libsumo.start(['sumo', '-c', sys.argv[1], '--no-step-log', '--no-warnings'])\n"
            "seen = []\n"
            "for _ in range(40):\n"
            "    libsumo.simulationStep()\n"
            "    seen.append({v: libsumo.vehicle.getPosition(v) for v in libsumo.vehicle.getIDList()})\n"
            "libsumo.close()\n"
            "print('\\n' + json.dumps(seen))")
    for row in (0, 1):
        done = subprocess.run([sys.executable, "-c", code, str(folder / listing.sumo_file[row])], capture_output=True,
                              text=True, timeout=60, check=True)
        seen = json.loads(done.stdout.splitlines()[-1])
        for step, places in enumerate(seen):
            assert sorted(places) == [str(s) for s in np.flatnonzero(traffic.present[row])]
            for vehicle, (x, y) in places.items():
                s, d, heading, _ = traffic.states[row, int(vehicle), step].astype(float)
                half = traffic.sizes[row, int(vehicle), 0] / 2
                assert np.hypot(x - s - half * np.cos(heading), y - d - half * np.sin(heading)) < 5e-3


def test_telemetry_follows_from_the_movement():
    """A constant turn with constant braking, by hand."""
    t = np.arange(40) / 5
    speed, yaw = 30 - 2 * t, 0.02
    traffic = scenes(1)
    states = traffic.states.copy()
    states[0, 0] = np.stack([np.cumsum(speed) / 5, np.full(40, 5), yaw * t, speed], axis=-1)
    found = {k: v[0] for k, v in telemetry(replace(traffic, states=states)).items()}
    length = traffic.sizes[0, 0, 0]
    assert list(found) == list(CHANNELS)
    assert np.allclose(found["acceleration"], -2, atol=1e-4) and np.allclose(found["yaw_rate"], yaw, atol=1e-4)
    assert np.allclose(found["lateral_acceleration"], speed * yaw, atol=1e-2)
    assert np.allclose(found["steering_angle"], np.arctan(0.6 * length * yaw / speed), atol=1e-5)
    assert np.allclose(found["brake"], (2 - 0.01 * 9.81 - 2.6e-4 * speed**2) / 9, atol=1e-3)
    assert not found["throttle"].any()
    assert not any(v.any() for v in telemetry(traffic, slot=3).values())  # nobody there


def test_telemetry_files_say_the_same(written):
    from asammdf import MDF

    folder, traffic, listing = written
    whole, own = pd.read_parquet(folder / "telemetry.parquet"), telemetry(traffic)
    assert len(whole) == 6 * 40
    units = {f.name: f.metadata for f in pq.read_schema(folder / "telemetry.parquet")}
    assert units["yaw_rate"] == {b"unit": b"rad/s", b"origin": b"derived"}
    with MDF(folder / listing.mf4_file[3]) as logged:
        assert "SyntheticData=YES" in logged.header.comment
        for name, unit in CHANNELS.items():
            signal = logged.get(name)
            assert signal.unit == unit and np.array_equal(signal.samples, own[name][3])
            assert np.array_equal(whole.loc[whole.scene == 3, name], own[name][3])
            assert signal.timestamps[-1] == pytest.approx(7.8)


@pytest.mark.parametrize(("word", "kind", "mu", "night"), [
    ("rain", "rain", 0.6, False), ("Heavy Rain at night", "rain", 0.9, True), ("snow", "snow", 0.3, False),
    ("fog", "dry", 0.9, False), ("clear", "dry", 0.9, False), (None, "dry", 0.9, False),
    ("ü & <b>", "dry", 0.9, False)])
def test_words_for_weather(word, kind, mu, night):
    found = weather(word, dict(FRICTION))
    assert (found.precipitation, found.friction, found.night) == (kind, mu, night)


def test_roads_are_long_enough_and_shared():
    traffic = scenes(4)
    road = traffic.road.copy()
    road[1] = (2, 3.749999)
    stretches, which = roads(replace(traffic, road=road))
    assert which.tolist() == [1, 0, 1, 1] and [r.lanes for r in stretches] == [2, 3]
    assert stretches[0].lane_width == 3.75
    for row in range(4):
        along = traffic.states[row, traffic.present[row], :, 0]
        assert stretches[which[row]].start <= along.min() - 60 and stretches[which[row]].end >= along.max() + 60
    assert lane_of(np.array([-1, 3.6, 99.0]), 3, 3.5).tolist() == [0, 1, 2]


def test_a_lone_vehicle_and_an_empty_set_are_written_too(tmp_path):
    traffic = scenes(2)
    alone = np.zeros_like(traffic.present)
    alone[:, 0] = True
    listing = put(tmp_path / "alone", replace(traffic, present=alone, states=traffic.states * alone[..., None, None]))
    assert len(listing) == 2
    assert len(put(tmp_path / "none", traffic.take(np.zeros(2, bool)))) == 0


def test_formats_are_the_contract_s():
    assert set(RELEASES) == set(SCENE_FILES)


def test_measures_say_what_each_scene_shows_and_mark_near_misses(written):
    folder, traffic, _ = written
    found, shows = pd.read_parquet(folder / "measures.parquet"), labels(traffic)
    assert found.shows.tolist() == shows.tolist() and found.scene.tolist() == list(range(len(traffic)))
    assert found.min_ttc.isna().tolist() == np.isinf(min_ttc(traffic)).tolist()
    assert found.avoidable.isna().tolist() == (shows != "near_miss").tolist()
    assert shows[0] == "near_miss" and not found.avoidable[0]  # it ends in a crash
