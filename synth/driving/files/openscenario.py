"""ASAM OpenSCENARIO XML 1.2 with an OpenDRIVE road, built with ``scenariogeneration``.

Every vehicle follows its trajectory in time (``FollowTrajectoryAction`` with a timing, as players overshoot without
one), from a start trigger without an edge (with one, players miss the moment zero). The reference point of a vehicle is
the middle of its rear axle, as the standard has it. Files carry a fixed date, so equal scenes give equal bytes.
"""

from __future__ import annotations

import datetime
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving.files.base import NOTE, Released, number
from synth.driving.files.roads import Road
from synth.driving.files.weather import Weather
from synth.driving.scenes import EGO, HEADING, LENGTH, SPEED, WIDTH, D, Kind, S

FOLDER, MINOR = "openscenario", 2
DATE = datetime.datetime(2000, 1, 1)  # no clock in a released file
AXLE = 0.3  # rear axle behind the middle of the box, as a share of the length; the front axle as far ahead
HEIGHT = {Kind.CAR: 1.5, Kind.TRUCK: 3.5, Kind.MOTORCYCLE: 1.5}  # m; recordings of traffic do not say
WHEEL = 0.65  # m
_LIMITS = (70.0, 10.0, 10.0)  # speed, acceleration, deceleration that the vehicles are declared to reach


def names(row: int, road: int) -> tuple[str, str]:
    """Paths of a scene's scenario and road."""
    return f"{FOLDER}/{number(row)}.xosc", f"{FOLDER}/road_{road}.xodr"


def write_roads(folder: Path, released: Released, which: NDArray[np.int64]) -> None:
    """The OpenDRIVE files with these numbers."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for index in np.unique(which):
        road = released.roads[int(index)]
        (folder / FOLDER / f"road_{index}.xodr").write_bytes(opendrive(road))


def write(folder: Path, released: Released, row: int) -> None:
    """The scenario of a scene; its road is there already."""
    path, road = names(row, int(released.which[row]))
    (folder / path).write_bytes(scenario(released, row, Path(road).name))


def opendrive(road: Road) -> bytes:
    """A straight road; its reference line is the left edge, so all lanes are right lanes (-1 is the leftmost)."""
    from scenariogeneration import xodr

    plan = xodr.PlanView(x_start=road.start, y_start=road.width, h_start=0.0)
    plan.add_geometry(xodr.Line(road.length))
    solid, broken = xodr.RoadMarkType.solid, xodr.RoadMarkType.broken
    middle = xodr.Lane(a=0)
    middle.add_roadmark(xodr.RoadMark(solid, 0.15))
    section = xodr.LaneSection(0, middle)
    for lane in range(road.lanes):
        made = xodr.Lane(lane_type=xodr.LaneType.driving, a=road.lane_width)
        made.add_roadmark(xodr.RoadMark(solid if lane + 1 == road.lanes else broken, 0.15))
        section.add_right_lane(made)
    lanes = xodr.Lanes()
    lanes.add_lanesection(section)
    drive = xodr.OpenDrive("road", revMinor="6")
    drive.add_road(xodr.Road(0, plan, lanes, name="road"))
    drive.adjust_roads_and_lanes()
    root = drive.get_element()
    header = root.find("header")
    assert header is not None
    header.set("date", DATE.isoformat())
    ET.SubElement(header, "userData", code="SyntheticData", value="YES")
    return _text(root)


def scenario(released: Released, row: int, road: str) -> bytes:
    """The OpenSCENARIO file of a scene on the road file ``road``."""
    from scenariogeneration import xosc

    scenes, shape, slots = released.scenes, released.scenes.shape, released.slots(row)
    entities, init = xosc.Entities(), xosc.Init()
    init.add_global_action(xosc.EnvironmentAction(environment(released.weather[row])))
    group_of_all = xosc.Act("act", _at(xosc, "act starts", 0.0))
    times = [round(step * shape.dt, 4) for step in range(shape.steps)]
    for slot in slots:
        name = "ego" if slot == EGO else f"vehicle_{slot}"
        length = float(scenes.sizes[row, slot, LENGTH])
        entities.add_scenario_object(name, _vehicle(released, row, slot))
        states = scenes.states[row, slot].astype(np.float64)
        heading, back = states[:, HEADING], AXLE * length
        x, y = states[:, S] - back * np.cos(heading), states[:, D] - back * np.sin(heading)
        points = [xosc.WorldPosition(round(a, 3), round(b, 3), 0, round(h, 5), 0, 0)
                  for a, b, h in zip(x.tolist(), y.tolist(), heading.tolist(), strict=True)]
        init.add_init_action(name, xosc.TeleportAction(points[0]))
        init.add_init_action(name, xosc.AbsoluteSpeedAction(
            round(float(states[0, SPEED]), 3),
            xosc.TransitionDynamics(xosc.DynamicsShapes.step, xosc.DynamicsDimension.time, 0)))
        path = xosc.Trajectory(f"path of {name}", False)
        path.add_shape(xosc.Polyline(times, points))
        follow = xosc.FollowTrajectoryAction(path, xosc.FollowingMode.position, xosc.ReferenceContext.absolute, 1, 0)
        event = xosc.Event(f"{name} drives", xosc.Priority.override)
        event.add_action(f"{name} follows its path", follow)
        event.add_trigger(_at(xosc, f"{name} starts", 0.0))
        manoeuvre = xosc.Maneuver(f"drive of {name}")
        manoeuvre.add_event(event)
        group = xosc.ManeuverGroup(f"group of {name}")
        group.add_actor(name)
        group.add_maneuver(manoeuvre)
        group_of_all.add_maneuver_group(group)
    end = _at(xosc, "scene ends", times[-1], trigger="stop")
    story = xosc.Story("story")
    story.add_act(group_of_all)
    board = xosc.StoryBoard(init, end)
    board.add_story(story)
    properties = xosc.Properties()
    properties.add_property("SyntheticData", "YES")
    built = xosc.Scenario(NOTE, "synth-pipeline", xosc.ParameterDeclarations(), entities, board,
                          xosc.RoadNetwork(road), xosc.Catalog(), osc_minor_version=MINOR, creation_date=DATE,
                          header_properties=properties)
    return _text(built.get_element())


def environment(weather: Weather) -> Any:
    """Weather, time of day and friction of the road."""
    from scenariogeneration import xosc

    kinds = {"dry": xosc.PrecipitationType.dry, "rain": xosc.PrecipitationType.rain,
             "snow": xosc.PrecipitationType.snow}
    clouds = xosc.FractionalCloudCover.sixOktas if weather.wet else xosc.FractionalCloudCover.twoOktas
    hour = 0 if weather.night else 12
    return xosc.Environment(
        "environment", xosc.TimeOfDay(False, DATE.year, DATE.month, DATE.day, hour, 0, 0),
        xosc.Weather(clouds, sun=xosc.Sun(1.0 if weather.night else 10_000.0, 0.0, -0.5 if weather.night else 0.8),
                     fog=xosc.Fog(weather.sight),
                     precipitation=xosc.Precipitation(kinds[weather.precipitation], weather.intensity)),
        xosc.RoadCondition(weather.friction))


def _vehicle(released: Released, row: int, slot: int) -> Any:
    from scenariogeneration import xosc

    length, width = (round(float(v), 3) for v in released.scenes.sizes[row, slot, [LENGTH, WIDTH]])
    kind = Kind(int(released.scenes.kinds[row, slot]))
    categories = {Kind.CAR: xosc.VehicleCategory.car, Kind.TRUCK: xosc.VehicleCategory.truck,
                  Kind.MOTORCYCLE: xosc.VehicleCategory.motorbike}
    height = HEIGHT[kind]
    box = xosc.BoundingBox(width, length, height, round(AXLE * length, 3), 0, height / 2)
    track = round(0.85 * width, 3)
    return xosc.Vehicle(f"vehicle {slot}", categories[kind], box,
                        xosc.Axle(0.5, WHEEL, track, round(2 * AXLE * length, 3), WHEEL / 2),
                        xosc.Axle(0.0, WHEEL, track, 0.0, WHEEL / 2), *_LIMITS)


def _at(xosc: Any, name: str, seconds: float, trigger: str = "start") -> Any:
    rule = xosc.Rule.greaterOrEqual if trigger == "start" else xosc.Rule.greaterThan
    return xosc.ValueTrigger(name, 0, xosc.ConditionEdge.none, xosc.SimulationTimeCondition(seconds, rule),
                             triggeringpoint=trigger)


def _text(root: ET.Element) -> bytes:
    ET.indent(root, " ")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8") + b"\n"
