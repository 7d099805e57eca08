"""SUMO's floating car data: ``timestep`` with ``vehicle`` elements, positions of front bumpers, compass angles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from synth.contract.traffic import Traffic
from synth.driving.readers.base import Recorded, files, gathered
from synth.driving.readers.xml import BadXml, elements
from synth.driving.scenes import Kind
from synth.driving.tracks import SIZES, kind_of
from synth.progress import Progress


def read(source: str, options: Iterable[tuple[str, str]], block: Traffic, wanted: list[str], progress: Progress
         ) -> Recorded:
    """See :data:`synth.driving.readers.base.Reader`. About a vehicle: recording, track, type."""
    refused: Counter[str] = Counter()
    parts = []
    found = files(source, (".xml", ".xml.gz"))
    with progress.step("read the recordings", len(found)) as step:
        for number, path in enumerate(found):
            try:
                parts.append(_file(path))
            except BadXml as error:
                refused[error.reason] += 1
            step.update(number + 1)
    return gathered(parts, refused)


def _file(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, names, kinds = [], [], []
    for _, attributes, element in elements(path, ("timestep",)):
        time = _number(attributes.get("time"))
        for vehicle in element.iterfind("vehicle"):
            kind = kind_of(str(vehicle.get("type") or ""))
            length, width = SIZES[kind or Kind.CAR]
            length = _number(vehicle.get("length"), length)
            angle = math.pi / 2 - math.radians(_number(vehicle.get("angle")))
            lane = str(vehicle.get("lane") or "").rpartition("_")[2]
            rows.append((time, _number(vehicle.get("x")) - length / 2 * math.cos(angle),
                         _number(vehicle.get("y")) - length / 2 * math.sin(angle), angle,
                         _number(vehicle.get("speed")), length, _number(vehicle.get("width"), width),
                         float(lane) if lane.isdigit() else math.nan))
            names.append(str(vehicle.get("id")))
            kinds.append(str(vehicle.get("type") or "car"))
    columns = ["time", "x", "y", "heading", "speed", "length", "width", "lane"]
    states = pd.DataFrame(np.array(rows, float).reshape(-1, len(columns)), columns=columns)
    if states["speed"].isna().any():
        states = states.drop(columns="speed")
    states["recording"], states["track"] = pd.Categorical([path.name] * len(rows)), pd.Categorical(names)
    states["kind"] = pd.Categorical(kinds)
    tracks = pd.Categorical([f"{path.name}/{n}" for n in names])
    about = pd.DataFrame({"recording": states["recording"], "track": tracks, "type": states["kind"]})
    return states, about


def _number(text: str | None, default: float = math.nan) -> float:
    try:
        return default if text is None else float(text)
    except ValueError:
        return math.nan
