"""States of vehicles as recorded, brought to one rate, with what cannot be used counted.

The internal table of states has one row a vehicle and moment: ``recording``, ``track`` (text), ``time`` (s), ``x``,
``y`` (m), ``heading`` (rad, mathematically), ``speed`` (m/s), ``length``, ``width`` (m), ``kind`` (text), ``lane``
(whole number), where all but the first five may be missing; further columns are what the contract declares. Points
are centres of boxes.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.driving.endpoints import PIECE
from synth.driving.scenes import Kind

GAP = 0.5  # s: a longer silence ends a track (or 2.5 of the recording's own steps, if that is more)
FASTEST = 70.0  # m/s; a step that needs more is a jump
SIZES = {Kind.CAR: (4.5, 1.8), Kind.TRUCK: (12.0, 2.5), Kind.MOTORCYCLE: (2.2, 0.8)}  # where a recording has none
LONGEST, WIDEST = 30.0, 4.0  # m
_KINDS = {Kind.TRUCK: ("truck", "bus", "lorry", "trailer", "van_large", "heavy"),
          Kind.MOTORCYCLE: ("motor", "bike", "cycl", "scooter")}
_OTHERS = ("pedestrian", "person", "static", "background", "construction", "unknown_static", "animal")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Vehicles of one recording on a common clock; NaN (or -1) where a vehicle is not there.

    ``x``, ``y``, ``heading``, ``speed`` float64 [V, T]; ``lane`` int64 [V, T], -1 unknown; ``sizes`` [V, 2];
    ``kinds`` [V]; ``rows`` [V]: a row of the table of states that belongs to the vehicle, for what else it says. A
    track with a gap is several vehicles here, with one ``track`` number; one whose middle was cut away
    (:mod:`.endpoints`) has several numbers.
    """

    name: str
    rate: float
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    heading: NDArray[np.float64]
    speed: NDArray[np.float64]
    lane: NDArray[np.int64]
    sizes: NDArray[np.float64]
    kinds: NDArray[np.int8]
    track: NDArray[np.int64]
    rows: NDArray[np.int64]
    begin: float = 0.0  # s of the first step on the recording's own clock


def kind_of(name: str) -> Kind | None:
    """The kind of a road user by the name that a recording gives it; ``None`` for one that does not drive."""
    low = name.strip().lower()
    if any(word in low for word in _OTHERS):
        return None
    return next((kind for kind, words in _KINDS.items() if any(word in low for word in words)), Kind.CAR)


def _kind_by(length: float) -> Kind:
    """The likeliest kind of a vehicle of this length."""
    return Kind.TRUCK if length > 7.5 else Kind.MOTORCYCLE if length < 2.8 else Kind.CAR


def recordings(states: pd.DataFrame, rate: float, refused: Counter[str]) -> list[Recording]:
    """Every recording of a table of states at ``rate`` Hz; tracks that cannot be used are counted in ``refused``.

    Reasons: not_finite (rows), repeated_rows (rows), twice_in_a_frame, not_a_vehicle, gaps, jumps, too_short, size,
    slower_than_rate (recordings).
    """
    finite = np.isfinite(states[["time", "x", "y"]].to_numpy(np.float64)).all(axis=1)
    refused["not_finite"] += int((~finite).sum())
    index = np.flatnonzero(finite)
    recording = pd.factorize(states["recording"].iloc[index], sort=True)
    found = []
    order = np.argsort(recording[0], kind="stable")
    edges = np.flatnonzero(np.r_[True, np.diff(recording[0][order]) != 0, True]) if len(order) else np.zeros(1, int)
    for a, b in itertools.pairwise(edges):
        rows = np.sort(index[order[a:b]])
        one = _recording(str(recording[1][recording[0][order[a]]]), states, rows, rate, refused)
        if one is not None:
            found.append(one)
    refused += Counter()  # drops zeros
    return found


def _recording(name: str, states: pd.DataFrame, rows: NDArray[np.int64], rate: float, refused: Counter[str]
               ) -> Recording | None:
    part = states.iloc[rows]
    track, time = pd.factorize(part[PIECE if PIECE in part else "track"])[0], part["time"].to_numpy(np.float64)
    order = np.lexsort((time, track))
    track, time, rows = track[order], time[order], rows[order]
    x, y = (states[c].to_numpy(np.float64)[rows] for c in ("x", "y"))
    same = np.r_[False, (np.diff(track) == 0) & (np.diff(time) < 1e-6)]
    if same.any():
        again = same & np.r_[False, (np.abs(np.diff(x)) < 1e-6) & (np.abs(np.diff(y)) < 1e-6)]
        refused["repeated_rows"] += int(again.sum())
        twice = np.isin(track, np.unique(track[same & ~again]))
        refused["twice_in_a_frame"] += len(np.unique(track[twice]))
        keep = ~again & ~twice
        track, time, rows, x, y = track[keep], time[keep], rows[keep], x[keep], y[keep]
    if not len(rows):
        return None
    here = np.diff(track) == 0
    steps = np.diff(time)[here]
    own = float(np.median(steps)) if len(steps) else np.inf
    if not own <= 1.05 / rate:
        refused["slower_than_rate"] += 1
        return None
    pause = np.diff(time) > max(GAP, 2.5 * own)
    jump = np.hypot(np.diff(x), np.diff(y)) > FASTEST * np.diff(time) + 1.0
    refused["gaps"] += int((here & pause).sum())
    refused["jumps"] += int((here & ~pause & jump).sum())
    starts = np.flatnonzero(np.r_[True, ~here | pause | jump])
    ends = np.r_[starts[1:], len(rows)]
    grid0 = np.floor(time.min() * rate) / rate
    total = int(np.floor((time.max() - grid0) * rate + 1e-6)) + 1
    made = []
    for a, b in zip(starts, ends, strict=True):
        one = _vehicle(states, rows[a:b], time[a:b] - grid0, x[a:b], y[a:b], own, rate, refused)
        if one is not None:
            made.append((int(track[a]), int(rows[a]), *one))
    if not made:
        return None
    n = len(made)
    values, lane = np.full((4, n, total), np.nan), np.full((n, total), -1, np.int64)
    for i, (_, _, first, four, lanes, _, _) in enumerate(made):
        span = slice(first, first + four.shape[1])
        values[:, i, span], lane[i, span] = four, lanes
    return Recording(name=name, rate=rate, x=values[0], y=values[1], heading=values[2], speed=values[3], lane=lane,
                     sizes=np.array([m[5] for m in made], float), kinds=np.array([m[6] for m in made], np.int8),
                     track=np.array([m[0] for m in made]), rows=np.array([m[1] for m in made]), begin=grid0)


_Vehicle = tuple[int, NDArray[np.float64], NDArray[np.int64], tuple[float, float], Kind]


def _vehicle(states: pd.DataFrame, rows: NDArray[np.int64], time: NDArray[np.float64], x: NDArray[np.float64],
             y: NDArray[np.float64], own: float, rate: float, refused: Counter[str]) -> _Vehicle | None:
    """(first step, x y heading speed [4, t], lanes [t], (length, width), kind) on the clock of ``rate``."""
    name = states["kind"].iloc[rows[:1]].astype(object).tolist()[0] if "kind" in states else None
    kind = kind_of(name) if isinstance(name, str) else _kind_by(_size(states, rows, "length", SIZES[Kind.CAR][0]))
    if kind is None:
        refused["not_a_vehicle"] += 1
        return None
    first, last = int(np.ceil(time[0] * rate - 1e-6)), int(np.floor(time[-1] * rate + 1e-6))
    if len(rows) < 3 or last - first < 2:
        refused["too_short"] += 1
        return None
    length, width = (_size(states, rows, c, s) for c, s in zip(("length", "width"), SIZES[kind], strict=True))
    if not (0.5 <= length <= LONGEST and 0.3 <= width <= WIDEST):
        refused["size"] += 1
        return None
    at = np.arange(first, last + 1) / rate
    over = round(0.5 / rate / own)  # recorded steps on either side that a step of ours stands for
    px, py = (np.interp(at, time, mean(v, over)) for v in (x, y))
    vx, vy = np.gradient(px) * rate, np.gradient(py) * rate
    if "speed" in states and np.isfinite(given := states["speed"].to_numpy(np.float64)[rows]).all():
        speed = np.interp(at, time, mean(given, over))
    else:
        speed = np.hypot(vx, vy)
    if "heading" in states and np.isfinite(given := states["heading"].to_numpy(np.float64)[rows]).all():
        heading = np.interp(at, time, mean(np.unwrap(given), over))
    else:
        moving = np.hypot(vx, vy) > 0.5
        if not moving.any():
            refused["too_short"] += 1
            return None
        angle = np.unwrap(np.arctan2(vy, vx)[moving])
        heading = np.interp(at, at[moving], angle)
    lanes = np.full(len(at), -1, np.int64)
    if "lane" in states:
        given = states["lane"].to_numpy(np.float64)[rows]
        near = given[np.clip(np.searchsorted(time, at - own / 2), 0, len(time) - 1)]
        lanes = np.where(np.isfinite(near), near, -1).astype(np.int64)
    return first, np.stack([px, py, heading, speed]), lanes, (length, width), kind


def _size(states: pd.DataFrame, rows: NDArray[np.int64], column: str, usual: float) -> float:
    """The median of a size; the usual one where the recording has none at all."""
    if column not in states:
        return usual
    given = states[column].to_numpy(np.float64)[rows]
    given = given[np.isfinite(given)]
    return float(np.median(given)) if len(given) else usual


def mean(values: NDArray[np.float64], over: int) -> NDArray[np.float64]:
    """Running mean over ``2 * over + 1`` values; near an end over as many as there are on its nearer side."""
    if over < 1 or len(values) < 3:
        return values
    total = np.r_[0.0, np.cumsum(values)]
    i = np.arange(len(values))
    half = np.minimum(np.minimum(over, i), len(values) - 1 - i)
    found: NDArray[np.float64] = (total[i + half + 1] - total[i - half]) / (2 * half + 1)
    return found
