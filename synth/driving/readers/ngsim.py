"""NGSIM's CSV (US-101, I-80, Lankershim, Peachtree): feet, 10 Hz, positions of the middle of the front bumper.

``Local_X`` grows to the right across the road and ``Local_Y`` in the direction of travel. Vehicle numbers are used
again in other periods, so a track is a number and its total of frames. The published speeds are smoothed otherwise than
the positions, so speeds follow from the positions here.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from synth.contract.traffic import Traffic
from synth.driving.readers.base import FOOT, Recorded, text
from synth.errors import UserError
from synth.progress import Progress
from synth.tabular.source import guess_options, open_source

RATE = 10.0
_NEEDED = ("Vehicle_ID", "Frame_ID", "Local_X", "Local_Y", "v_Length", "v_Width", "v_Class", "Lane_ID")
_CLASSES = {1: "motorcycle", 2: "car", 3: "truck"}
_HALF = 5  # frames on either side over which the direction of the way is taken


def read(source: str, options: Iterable[tuple[str, str]], block: Traffic, wanted: list[str], progress: Progress
         ) -> Recorded:
    """See :data:`synth.driving.readers.base.Reader`. About a vehicle: all columns of the file, recording, track."""
    opened = open_source(source, dict(options) or guess_options(source))
    names = {n.lower(): n for n in opened.names}
    missing = [n for n in _NEEDED if n.lower() not in names]
    if missing:
        raise UserError(f"column {missing[0]!r} of NGSIM is not in the file", where=source,
                        todo="use format: table for trajectories with other columns")
    chosen = [names[n.lower()] for n in _NEEDED]
    chosen += [names[n] for n in ("location", "total_frames") if n in names]
    chosen = list(dict.fromkeys([*chosen, *(n for n in wanted if n in opened.names)]))
    with progress.step("read the recordings", 1) as step:
        frame = pd.concat([b.to_pandas() for b in opened.batches(chosen)], ignore_index=True)
        step.update(1)
    raw = {n: pd.to_numeric(frame[names[n.lower()]], errors="coerce").to_numpy(np.float64) for n in _NEEDED}
    place = frame[names["location"]].astype(str) if "location" in names else pd.Series("recording", index=frame.index)
    total = frame[names["total_frames"]].astype(str) if "total_frames" in names else pd.Series("", index=frame.index)
    track = text(frame[names["vehicle_id"]]).astype(str) + "/" + total
    x, y, length = raw["Local_X"] * FOOT, raw["Local_Y"] * FOOT, raw["v_Length"] * FOOT
    heading = _directions(place, track, raw["Frame_ID"], x, y)
    states = pd.DataFrame({
        "recording": pd.Categorical(place), "track": pd.Categorical(track), "time": raw["Frame_ID"] / RATE,
        "x": x - np.cos(heading) * length / 2, "y": y - np.sin(heading) * length / 2, "length": length,
        "width": raw["v_Width"] * FOOT, "lane": raw["Lane_ID"],
        "kind": pd.Categorical(pd.Series(raw["v_Class"]).map(_CLASSES).fillna("car"))})
    about = pd.DataFrame({n: pd.Categorical(text(frame[n])) for n in wanted if n in frame})
    for name, values in (("recording", place), ("track", place + "/" + track)):
        if name not in about:
            about[name] = pd.Categorical(values)
    return Recorded(states=states, about=about)


def _directions(place: pd.Series, track: pd.Series, frame: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Direction of the way round each state, rad; up the road where a vehicle hardly moves."""
    codes = pd.factorize(place + "/" + track)[0]
    order = np.lexsort((frame, codes))
    codes, x, y = codes[order], x[order], y[order]
    i = np.arange(len(order))
    before, after = np.maximum(i - _HALF, 0), np.minimum(i + _HALF, len(i) - 1)
    before = np.where(codes[before] == codes, before, i)
    after = np.where(codes[after] == codes, after, i)
    dx, dy = x[after] - x[before], y[after] - y[before]
    found = np.full(len(order), np.pi / 2)
    found[order] = np.where(np.hypot(dx, dy) > 1.0, np.arctan2(dy, dx), np.pi / 2)
    return found
