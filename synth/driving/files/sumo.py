"""SUMO: a network a road, and a scene as routes, as floating car data (FCD) and as a configuration that replays it.

``sumo -c 000000.sumocfg`` puts every vehicle where the FCD file says (device ``fcd-replay``); the routes alone start
SUMO's own driver models from the scene's first step. SUMO's positions are those of the middle of the front bumper.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.driving.files.base import Released, number
from synth.driving.files.roads import lane_of
from synth.driving.files.sumo_net import EDGE, ROUTE, SAID, network
from synth.driving.scenes import HEADING, LENGTH, SPEED, WIDTH, D, Kind, S

FOLDER = "sumo"
CLASSES = {Kind.CAR: "passenger", Kind.TRUCK: "truck", Kind.MOTORCYCLE: "motorcycle"}
_XML = f'<?xml version="1.0" encoding="UTF-8"?>\n{SAID}'


def names(row: int, road: int) -> tuple[str, str, str, str]:
    """Paths of a scene's configuration, network, routes and FCD."""
    name = f"{FOLDER}/{number(row)}"
    return f"{name}.sumocfg", f"{FOLDER}/road_{road}.net.xml", f"{name}.rou.xml", f"{name}.fcd.xml"


def write_networks(folder: Path, released: Released, which: NDArray[np.int64]) -> None:
    """The networks with these numbers."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for index in np.unique(which):
        road = released.roads[int(index)]
        (folder / FOLDER / f"road_{index}.net.xml").write_text(network(road), encoding="utf-8")


def write(folder: Path, released: Released, row: int) -> None:
    """Configuration, routes and FCD of a scene; its network is there already."""
    config, net, rou, fcd = names(row, int(released.which[row]))
    shape, tick = released.scenes.shape, round(released.scenes.shape.dt, 3)
    (folder / rou).write_text(routes(released, row), encoding="utf-8")
    (folder / fcd).write_text(floating(released, row), encoding="utf-8")
    (folder / config).write_text(
        f'{_XML}<configuration>\n    <input>\n        <net-file value="{Path(net).name}"/>\n'
        f'        <additional-files value="{number(row)}.rou.xml"/>\n    </input>\n'
        f'    <time>\n        <begin value="0"/>\n        <end value="{shape.steps * tick:.3f}"/>\n'
        f'        <step-length value="{tick:.3f}"/>\n    </time>\n    <processing>\n'
        '        <lateral-resolution value="0.4"/>\n        <collision.action value="warn"/>\n'
        '        <collision.mingap-factor value="0"/>\n        <insertion-checks value="none"/>\n'
        f'    </processing>\n    <fcd_replay_device>\n        <device.fcd-replay.file value="{number(row)}.fcd.xml"/>\n'
        '    </fcd_replay_device>\n</configuration>\n', encoding="utf-8")


def routes(released: Released, row: int) -> str:
    """Types of the vehicles and the one route."""
    scenes, lines = released.scenes, []
    for slot in released.slots(row):
        length, width = (float(v) for v in scenes.sizes[row, slot, [LENGTH, WIDTH]])
        lines.append(f'    <vType id="{_type(released, row, slot)}" vClass="{_class(released, row, slot)}" '
                     f'length="{length:.2f}" width="{width:.2f}" minGap="0"/>\n')
    return f'{_XML}<routes>\n{"".join(lines)}    <route id="{ROUTE}" edges="{EDGE}"/>\n</routes>\n'


def _class(released: Released, row: int, slot: int) -> str:
    return CLASSES[Kind(int(released.scenes.kinds[row, slot]))]


def _type(released: Released, row: int, slot: int) -> str:
    return f"{_class(released, row, slot)}_{slot}"


def floating(released: Released, row: int) -> str:
    """The scene as an FCD export: SUMO's angles are degrees clockwise from north."""
    scenes, road, slots = released.scenes, released.road(row), released.slots(row)
    states = scenes.states[row, slots].astype(np.float64)
    half = scenes.sizes[row, slots, LENGTH].astype(np.float64)[:, None] / 2
    x = states[..., S] + half * np.cos(states[..., HEADING])
    y = states[..., D] + half * np.sin(states[..., HEADING])
    angle = 90.0 - states[..., HEADING] * (180 / math.pi)
    lane = lane_of(y, road.lanes, road.lane_width)
    same = [f'type="{_type(released, row, slot)}" length="{scenes.sizes[row, slot, LENGTH]:.2f}" '
            f'width="{scenes.sizes[row, slot, WIDTH]:.2f}"' for slot in slots]
    lines, tick = [f"{_XML}<fcd-export>\n"], round(scenes.shape.dt, 3)  # SUMO counts milliseconds
    for step in range(scenes.shape.steps):
        lines.append(f'    <timestep time="{step * tick:.3f}">\n')
        lines += [
            f'        <vehicle id="{slot}" x="{x[i, step]:.3f}" y="{y[i, step]:.3f}" angle="{angle[i, step]:.3f}" '
            f'{same[i]} speed="{states[i, step, SPEED]:.3f}" pos="{x[i, step] - road.start:.3f}" '
            f'lane="{EDGE}_{lane[i, step]}" slope="0.00"/>\n' for i, slot in enumerate(slots)]
        lines.append("    </timestep>\n")
    lines.append("</fcd-export>\n")
    return "".join(lines)
