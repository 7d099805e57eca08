"""Argoverse 2 motion forecasting: one Parquet file a scenario, 10 Hz, centres, no sizes and no lanes.

Sizes are the usual ones of a kind; lanes need ``laneWidth`` in the contract.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from synth.contract.traffic import Traffic
from synth.driving.readers.base import Recorded, files, gathered, text
from synth.progress import Progress

RATE = 10.0
_NEEDED = ("track_id", "object_type", "timestep", "position_x", "position_y", "heading", "velocity_x", "velocity_y")


def read(source: str, options: Iterable[tuple[str, str]], block: Traffic, wanted: list[str], progress: Progress
         ) -> Recorded:
    """See :data:`synth.driving.readers.base.Reader`. About a vehicle: all columns, recording, track."""
    refused: Counter[str] = Counter()
    parts = []
    found = files(source, (".parquet",))
    with progress.step("read the recordings", len(found)) as step:
        for number, path in enumerate(found):
            part = _file(path, wanted)
            if part is None:
                refused["damaged"] += 1
            else:
                parts.append(part)
            step.update(number + 1)
    return gathered(parts, refused)


def _file(path: Path, wanted: list[str]) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = set(pq.read_schema(path).names)
        if not set(_NEEDED) <= names:
            return None
        extra = [n for n in (*wanted, "scenario_id") if n in names and n not in _NEEDED]
        frame = pq.read_table(path, columns=[*_NEEDED, *dict.fromkeys(extra)]).to_pandas()
    except (pa.ArrowException, OSError, ValueError):
        return None
    name = frame["scenario_id"].astype(str) if "scenario_id" in frame and len(frame) else \
        pd.Series(path.stem, index=frame.index)
    states = pd.DataFrame({
        "time": frame["timestep"].to_numpy(float) / RATE, "x": frame["position_x"].to_numpy(float),
        "y": frame["position_y"].to_numpy(float), "heading": frame["heading"].to_numpy(float),
        "speed": np.hypot(frame["velocity_x"].to_numpy(float), frame["velocity_y"].to_numpy(float))})
    states["recording"], states["track"] = pd.Categorical(name), pd.Categorical(frame["track_id"].astype(str))
    states["kind"] = pd.Categorical(frame["object_type"].astype(str))
    about = pd.DataFrame({n: pd.Categorical(text(frame[n])) for n in wanted if n in frame})
    for column, values in (("recording", name), ("track", name + "/" + frame["track_id"].astype(str))):
        if column not in about:
            about[column] = pd.Categorical(values)
    return states, about
