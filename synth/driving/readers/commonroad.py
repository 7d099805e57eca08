"""CommonRoad scenarios (XML 2018b and 2020a): dynamic obstacles with trajectories on a network of lanelets.

Times are in steps of the scenario. A vehicle's lane is the number of lanelets of its direction to the right of the one
that holds its centre; where no lanelet does, it is unknown. References to lanelets that are not there make a scenario
untrustworthy: it is put aside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract.traffic import Traffic
from synth.driving.readers.base import Recorded, files, gathered
from synth.driving.readers.xml import BadXml, tree
from synth.progress import Progress

_REFERENCES = ("predecessor", "successor", "adjacentLeft", "adjacentRight")


def read(source: str, options: Iterable[tuple[str, str]], block: Traffic, wanted: list[str], progress: Progress
         ) -> Recorded:
    """See :data:`synth.driving.readers.base.Reader`. About a vehicle: recording, track, type, benchmark."""
    refused: Counter[str] = Counter()
    parts = []
    found = files(source, (".xml",))
    with progress.step("read the recordings", len(found)) as step:
        for number, path in enumerate(found):
            try:
                part = _file(path)
                if part is None:
                    refused["not_commonroad"] += 1
                else:
                    parts.append(part)
            except BadXml as error:
                refused[error.reason] += 1
            step.update(number + 1)
    return gathered(parts, refused)


def _file(path: Path) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    root = tree(path)
    if root.tag != "commonRoad":
        return None
    try:
        dt = float(root.get("timeStepSize"))
    except (TypeError, ValueError):
        raise BadXml("damaged") from None
    lanelets = _lanelets(root)
    rows, names, kinds = [], [], []
    for obstacle in [*root.iterfind("dynamicObstacle"), *root.iterfind("obstacle")]:
        if obstacle.tag == "obstacle" and (obstacle.findtext("role") or "").strip() != "dynamic":
            continue
        length, width = (_value(obstacle.find(f"shape/rectangle/{n}")) for n in ("length", "width"))
        kind = (obstacle.findtext("type") or "car").strip()
        for state in [*obstacle.iterfind("initialState"), *obstacle.iterfind("trajectory/state")]:
            point = state.find("position/point")
            x, y = (math.nan, math.nan) if point is None else (_value(point.find("x")), _value(point.find("y")))
            rows.append((_value(state.find("time")) * dt, x, y, _value(state.find("orientation")),
                         _value(state.find("velocity")), length, width))
            names.append(str(obstacle.get("id")))
            kinds.append(kind)
    columns = ["time", "x", "y", "heading", "speed", "length", "width"]
    states = pd.DataFrame(np.array(rows, float).reshape(-1, len(columns)), columns=columns)
    for column in ("heading", "speed", "length", "width"):
        if states[column].isna().all():
            states = states.drop(columns=column)
    states["lane"] = _lanes(lanelets, states["x"].to_numpy(), states["y"].to_numpy())
    states["recording"], states["track"] = pd.Categorical([path.name] * len(rows)), pd.Categorical(names)
    states["kind"] = pd.Categorical(kinds)
    about = pd.DataFrame({
        "recording": states["recording"], "track": pd.Categorical([f"{path.name}/{n}" for n in names]),
        "type": states["kind"], "benchmark": pd.Categorical([str(root.get("benchmarkID"))] * len(rows))})
    return states, about


def _value(element: Any) -> float:
    """A number, exact or the middle of an interval; NaN where there is none."""
    if element is None:
        return math.nan
    texts = [element.findtext("exact") or "", element.findtext("intervalStart") or "",
             element.findtext("intervalEnd") or "", element.text or ""]
    try:
        if texts[0].strip():
            return float(texts[0])
        if texts[1].strip() and texts[2].strip():
            return (float(texts[1]) + float(texts[2])) / 2
        return float(texts[3])
    except ValueError:
        return math.nan


def _lanelets(root: Any) -> list[tuple[int, NDArray[np.float64]]]:
    """(number of lanes to the right, polygon [p, 2]) of every lanelet; BadXml where references are wrong."""
    found = {str(e.get("id")): e for e in root.iterfind("lanelet")}
    right: dict[str, str] = {}
    for name, element in found.items():
        for kind in _REFERENCES:
            for reference in element.iterfind(kind):
                if str(reference.get("ref")) not in found:
                    raise BadXml("lanelet_reference")
                if kind == "adjacentRight" and reference.get("drivingDir") == "same":
                    right[name] = str(reference.get("ref"))
    out = []
    for name, element in found.items():
        number, at, seen = 0, name, {name}
        while at in right and right[at] not in seen:
            at, number = right[at], number + 1
            seen.add(at)
        sides = [np.array([(_value(p.find("x")), _value(p.find("y"))) for p in bound.iterfind("point")], float)
                 for bound in (element.find("leftBound"), element.find("rightBound")) if bound is not None]
        if len(sides) != 2 or any(len(s) < 2 or not np.isfinite(s).all() for s in sides):
            raise BadXml("damaged")
        out.append((number, np.concatenate([sides[0], sides[1][::-1]])))
    return out


def _lanes(lanelets: list[tuple[int, NDArray[np.float64]]], x: NDArray[np.float64], y: NDArray[np.float64]
           ) -> NDArray[np.float64]:
    """The lane of each point, NaN outside all lanelets."""
    lane = np.full(len(x), np.nan)
    for number, polygon in lanelets:
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        near = np.flatnonzero((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]) & np.isnan(lane))
        if len(near):
            lane[near[_inside(polygon, x[near], y[near])]] = number
    return lane


def _inside(polygon: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points are in a polygon, by crossings of a ray."""
    odd = np.zeros(len(x), bool)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        odd ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return odd
