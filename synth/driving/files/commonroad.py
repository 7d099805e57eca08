"""CommonRoad XML 2020a, written directly (``commonroad-io`` pins libraries that this project cannot have).

Althoff et al., "CommonRoad: Composable Benchmarks for Motion Planning on Roads", IV 2017. Every vehicle is a dynamic
obstacle with its trajectory, the ego vehicle too (number 1000). The planning problem is to get from its first state to
its last lane in the time of the scene; a planner that drives in its place leaves obstacle 1000 out. Positions are
middles of boxes, x and y as in the scenes. The published schema and the reader of ``commonroad-io`` 2024.3 know
different words for fair weather and daylight, so neither is said.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from synth.driving.files.base import NOTE, Released, number
from synth.driving.files.roads import Road, lane_of
from synth.driving.files.weather import Weather
from synth.driving.scenes import EGO, HEADING, LENGTH, SPEED, WIDTH, D, Kind, S

FOLDER = "commonroad"
OBSTACLE, PROBLEM = 1000, 2000  # obstacles are numbered from here; lanelets from 1
TYPES = {Kind.CAR: "car", Kind.TRUCK: "truck", Kind.MOTORCYCLE: "motorcycle"}
TAGS = {"follow": ("lane_following",), "lane_change": ("lane_change",), "cut_in": ("cut_in",),
        "hard_brake": ("emergency_braking",), "near_miss": ("critical",)}  # manoeuvre -> scenario tags
DATE = "2000-01-01"  # no clock in a released file


def name(row: int) -> str:
    """Path of a scene's file."""
    return f"{FOLDER}/{number(row)}.xml"


def write(folder: Path, released: Released, row: int) -> None:
    """The file of a scene."""
    path = folder / name(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(scenario(released, row))


def scenario(released: Released, row: int) -> bytes:
    """The XML of a scene."""
    scenes = released.scenes
    root = ET.Element("commonRoad", {
        "timeStepSize": f"{scenes.shape.dt:g}", "commonRoadVersion": "2020a", "author": "synth-pipeline",
        "affiliation": "", "source": NOTE, "date": DATE,
        "benchmarkID": f"ZAM_Synthetic-{int(released.which[row]) + 1}_{row + 1}_T-1"})
    _location(root, released.weather[row])
    tags = ET.SubElement(root, "scenarioTags")
    lanes = "multi_lane" if released.road(row).lanes > 1 else "single_lane"
    for tag in ("highway", "simulated", lanes, *TAGS.get(str(released.shows[row]), ())):
        ET.SubElement(tags, tag)
    _lanelets(root, released.road(row))
    for slot in released.slots(row):
        made = ET.SubElement(root, "dynamicObstacle", id=str(OBSTACLE + slot))
        ET.SubElement(made, "type").text = TYPES[Kind(int(scenes.kinds[row, slot]))]
        box = ET.SubElement(ET.SubElement(made, "shape"), "rectangle")
        ET.SubElement(box, "length").text = f"{scenes.sizes[row, slot, LENGTH]:.3f}"
        ET.SubElement(box, "width").text = f"{scenes.sizes[row, slot, WIDTH]:.3f}"
        _states(made, scenes.states[row, slot].astype(np.float64), scenes.shape.dt)
    _problem(root, released, row)
    ET.indent(root, " ")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8") + b"\n"


def _location(root: ET.Element, weather: Weather) -> None:
    """Nowhere (the values that stand for an unknown place), and the weather unless it is fair."""
    place = ET.SubElement(root, "location")
    for key, value in (("geoNameId", "-999"), ("gpsLatitude", "999"), ("gpsLongitude", "999")):
        ET.SubElement(place, key).text = value
    kinds = {"rain": ("heavy_rain" if weather.intensity > 8 else "light_rain", "wet"), "snow": ("snow", "snow"),
             "dry": ("fog" if weather.sight < 1_000 else "", "clean")}
    falls, ground = kinds[weather.precipitation]
    if falls:
        around = ET.SubElement(place, "environment")
        for key, value in (("time", "00:00:00" if weather.night else "12:00:00"),
                           ("timeOfDay", "night" if weather.night else "unknown"), ("weather", falls),
                           ("underground", ground)):
            ET.SubElement(around, key).text = value


def _lanelets(root: ET.Element, road: Road) -> None:
    along = np.linspace(road.start, road.end, max(2, int(road.length // 25) + 1))
    for lane in range(road.lanes):
        made = ET.SubElement(root, "lanelet", id=str(lane + 1))
        for bound, edge in (("leftBound", lane + 1), ("rightBound", lane)):
            line = ET.SubElement(made, bound)
            for x in along:
                _point(line, float(x), edge * road.lane_width)
            ET.SubElement(line, "lineMarking").text = "solid" if edge in (0, road.lanes) else "dashed"
        if lane + 1 < road.lanes:
            ET.SubElement(made, "adjacentLeft", ref=str(lane + 2), drivingDir="same")
        if lane:
            ET.SubElement(made, "adjacentRight", ref=str(lane), drivingDir="same")
        ET.SubElement(made, "laneletType").text = "highway"
        ET.SubElement(made, "userOneWay").text = "vehicle"


def _states(made: ET.Element, states: np.ndarray, dt: float) -> None:
    """The first state and the trajectory."""
    _first(made, states, dt)
    path = ET.SubElement(made, "trajectory")
    for step in range(1, len(states)):
        _state(ET.SubElement(path, "state"), states[step], step)


def _first(made: ET.Element, states: np.ndarray, dt: float) -> None:
    """The initial state; acceleration and yaw rate are differences to the second state."""
    ahead = states[1] - states[0] if len(states) > 1 else np.zeros(states.shape[1])
    first = ET.SubElement(made, "initialState")
    _state(first, states[0], 0)
    for key, value in (("acceleration", ahead[SPEED] / dt), ("yawRate", ahead[HEADING] / dt), ("slipAngle", 0.0)):
        _exact(first, key, f"{value:.4f}")


def _problem(root: ET.Element, released: Released, row: int) -> None:
    states, road = released.scenes.states[row, EGO].astype(np.float64), released.road(row)
    made = ET.SubElement(root, "planningProblem", id=str(PROBLEM))
    _first(made, states, released.scenes.shape.dt)
    goal = ET.SubElement(made, "goalState")
    lane = int(lane_of(states[-1:, D], road.lanes, road.lane_width)[0])
    ET.SubElement(ET.SubElement(goal, "position"), "lanelet", ref=str(lane + 1))
    time = ET.SubElement(goal, "time")
    for key in ("intervalStart", "intervalEnd"):
        ET.SubElement(time, key).text = str(len(states) - 1)


def _state(parent: ET.Element, state: np.ndarray, step: int) -> None:
    _point(ET.SubElement(parent, "position"), float(state[S]), float(state[D]))
    _exact(parent, "orientation", f"{state[HEADING]:.5f}")
    _exact(parent, "time", str(step))
    _exact(parent, "velocity", f"{state[SPEED]:.4f}")


def _exact(parent: ET.Element, key: str, value: str) -> None:
    ET.SubElement(ET.SubElement(parent, key), "exact").text = value


def _point(parent: ET.Element, x: float, y: float) -> None:
    point = ET.SubElement(parent, "point")
    ET.SubElement(point, "x").text = f"{x:.4f}"
    ET.SubElement(point, "y").text = f"{y:.4f}"
