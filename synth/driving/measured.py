"""Channels that logs measured beside speed and yaw rate, cut like the scenes of their drives."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.driving.scenes import MEASURED, SceneShape
from synth.driving.tracks import Recording, mean

PREFIX = "measured "  # of a column of the table of states
HEARD = 0.5  # share of the values that a step stands for


def measured(states: pd.DataFrame, found: list[Recording], place: NDArray[np.int64], shape: SceneShape
             ) -> NDArray[np.float32] | None:
    """Float32 [n, len(MEASURED), T], NaN where nothing was measured; ``None`` where no channel was.

    ``place`` [n, 2] is the recording and the first step of each scene; a log is a recording of one vehicle.
    """
    names = [name for name in MEASURED if PREFIX + name in states]
    if not names:
        return None
    out = np.full((len(place), len(MEASURED), shape.steps), np.nan, np.float32)
    rows_of = states.groupby("recording", observed=True).indices
    by_name = {str(name): np.asarray(rows) for name, rows in rows_of.items()}
    steps = np.arange(shape.steps)
    for number in np.unique(place[:, 0]):
        recording, mine = found[number], np.flatnonzero(place[:, 0] == number)
        rows = by_name[recording.name]
        time = states["time"].to_numpy(np.float64)[rows]
        order = np.argsort(time, kind="stable")
        rows, time = rows[order], time[order]
        own = float(np.median(np.diff(time)))
        at = recording.begin + (place[mine, 1][:, None] + steps) / recording.rate
        for name in names:
            values = states[PREFIX + name].to_numpy(np.float64)[rows]
            out[mine, MEASURED.index(name)] = np.interp(at, time, _smoothed(values, round(0.5 / recording.rate / own)))
    return out


def _smoothed(values: NDArray[np.float64], over: int) -> NDArray[np.float64]:
    """Mean over as many values as a step stands for, of those that were heard; NaN where too few were."""
    heard = np.isfinite(values)
    share = mean(heard.astype(np.float64), over)
    total = mean(np.where(heard, values, 0.0), over)
    return np.where(share >= HEARD, total / np.maximum(share, HEARD), np.nan)
