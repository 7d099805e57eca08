"""The frame of a road: metres along it and across it, from the vehicles that drive there.

Vehicles are parted by the two directions of the road's axis. Each direction gets a reference line, a polynomial across
the axis that is fitted to all tracks at once, with an offset for each lane (each track, where lanes are not known),
and then lanes: from the recording's lane numbers, or from the contract's width of a lane, whose lines are put where the
fewest drive. Where vehicles drive other ways, or the line bends too much, there is no such frame, and a recording says
so (:class:`NoFrame`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving.tracks import Recording

DEGREES, GAIN = (1, 3, 5), 0.05  # of the reference line; a higher one must make what is left smaller by this share
ENDS = (0.005, 0.995)  # quantiles of the traffic along the axis; beyond, the line goes on straight
FAITHFUL = 2.0  # lane numbers are used for the line if not this much more is left than with an offset for each track
ASIDE = 1.4  # m from the middle of a lane, within which nine tenths of its vehicles are
SHARPEST = 1 / 120.0  # 1/m; curvature of a line that vehicles ten metres aside still share
ASTRAY, ASTRAY_SHARE = 0.45, 0.1  # rad off the road's direction; the share of moving points that may be
MOVING = 2.0  # m/s
WIDTHS = (2.4, 5.0)  # m; of a lane
SHARE_OF_LANE = 0.005  # of the points that make a lane


class NoFrame(Exception):
    """No road frame holds here; the reason is a word for the count of what was put aside."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Carriageway:
    """Vehicles of one direction of a road, in its frame; arrays as in :class:`Recording`, rows ``vehicles`` of it."""

    vehicles: NDArray[np.int64]
    s: NDArray[np.float64]  # m
    d: NDArray[np.float64]  # m from the right edge of the rightmost lane
    heading: NDArray[np.float64]  # rad from the road's direction
    speed: NDArray[np.float64]  # m/s
    lanes: int
    lane_width: float


def carriageways(recording: Recording, lanes: int | None = None, lane_width: float | None = None
                 ) -> tuple[list[Carriageway], list[str]]:
    """The directions of a recording's road that have a frame, and the reasons of those that have none."""
    known = np.isfinite(recording.x)
    moving = known & (recording.speed > MOVING)
    if not moving.any():
        return [], ["nobody_moves"]
    headings = recording.heading[moving]
    axis = np.angle(np.exp(2j * headings).mean()) / 2
    if abs(np.exp(2j * headings).mean()) < 0.6:
        return [], ["no_axis"]
    along = np.where(moving, np.cos(recording.heading - axis), 0.0).sum(axis=1)
    found, reasons = [], []
    for sign in (1, -1):
        vehicles = np.flatnonzero(sign * along > 0)
        if not len(vehicles):
            continue
        try:
            found.append(_carriageway(recording, vehicles, axis if sign > 0 else axis + np.pi, lanes, lane_width))
        except NoFrame as problem:
            reasons.append(problem.reason)
    return found, reasons


def _carriageway(recording: Recording, vehicles: NDArray[np.int64], axis: float, lanes: int | None,
                 lane_width: float | None) -> Carriageway:
    x, y = recording.x[vehicles], recording.y[vehicles]
    known = np.isfinite(x)
    cos, sin = np.cos(axis), np.sin(axis)
    x0, y0 = x[known].mean(), y[known].mean()
    u = (x - x0) * cos + (y - y0) * sin
    w = -(x - x0) * sin + (y - y0) * cos
    line = _Line.fit(u, w, recording.lane[vehicles])
    s, d, direction = line.project(u, w)
    heading = np.angle(np.exp(1j * (recording.heading[vehicles] - axis - direction)))
    moving = known & (recording.speed[vehicles] > MOVING)
    if (np.abs(heading[moving]) > ASTRAY).mean() > ASTRAY_SHARE:
        raise NoFrame("astray")
    count, width, edge = _lanes(d[known], recording.lane[vehicles][known], lanes, lane_width)
    return Carriageway(vehicles=vehicles, s=s, d=d - edge, heading=heading, speed=recording.speed[vehicles],
                       lanes=count, lane_width=width)


@dataclass(frozen=True)
class _Line:
    """The reference line, sampled every metre along ``u``."""

    u: NDArray[np.float64]
    w: NDArray[np.float64]
    slope: NDArray[np.float64]
    s: NDArray[np.float64]

    @classmethod
    def fit(cls, u: NDArray[np.float64], w: NDArray[np.float64], lane: NDArray[np.int64]) -> _Line:
        """Least squares with an offset for each lane, or each track; NoFrame where the line bends too much."""
        known = np.isfinite(u)
        low, high = float(u[known].min()), float(u[known].max())
        half, middle = max((high - low) / 2, 1.0), (high + low) / 2
        scaled, places = (u[known] - middle) / half, w[known]
        tracks = np.nonzero(known)[0]
        factors, spread = _fit(scaled, places, tracks)
        if (lane[known] >= 0).all():
            of_lanes, left = _fit(scaled, places, lane[known])
            if left < FAITHFUL * spread:
                factors, tracks = of_lanes, lane[known]
        factors = _parallel(factors, scaled, places, tracks, half)
        degree = len(factors)
        near, far = (np.quantile(scaled, q) for q in ENDS)
        at = np.arange(low - 30, high + 31, 1.0)
        inside = np.clip((at - middle) / half, near, far)
        powers = np.arange(1, degree + 1)
        slope = (factors * powers * inside[:, None] ** (powers - 1)).sum(axis=1) / half  # beyond the ends: straight on
        place = np.r_[0.0, np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(at))]
        anchor = len(at) // 2
        place += (factors * ((at[anchor] - middle) / half) ** powers).sum() - place[anchor]
        bend = np.gradient(slope, at) / (1 + slope**2) ** 1.5
        if np.abs(bend).max() > SHARPEST or np.abs(slope).max() > 1.5:
            raise NoFrame("bends")
        return cls(at, place, slope, np.r_[0.0, np.cumsum(np.hypot(np.diff(at), np.diff(place)))])

    def project(self, u: NDArray[np.float64], w: NDArray[np.float64]
                ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(s, distance to the left, direction of the line from the axis) of the nearest point of the line."""
        at = u.copy()
        for _ in range(4):
            place, slope = np.interp(at, self.u, self.w), np.interp(at, self.u, self.slope)
            at = at + ((u - at) + (w - place) * slope) / (1 + slope**2)
        place, slope = np.interp(at, self.u, self.w), np.interp(at, self.u, self.slope)
        direction = np.arctan(slope)
        d = (w - place) * np.cos(direction) - (u - at) * np.sin(direction)
        return np.interp(at, self.u, self.s), d, direction


def _fit(u: NDArray[np.float64], w: NDArray[np.float64], alike: NDArray[np.int64]) -> tuple[NDArray[Any], float]:
    """Factors of a polynomial without a constant, one offset for each of ``alike``, and what is left (m)."""
    group = np.unique(alike, return_inverse=True)[1]
    count = np.bincount(group)
    factors: NDArray[Any] = np.zeros(0)
    spread = np.inf
    for degree in DEGREES:
        basis = np.stack([u**p for p in range(1, degree + 1)], axis=1)
        basis -= np.stack([np.bincount(group, b) / count for b in basis.T], axis=1)[group]
        rest = w - (np.bincount(group, w) / count)[group]
        gram = basis.T @ basis + 1e-9 * len(rest) * np.eye(degree)
        tried = np.linalg.solve(gram, basis.T @ rest)
        left = float(np.std(rest - basis @ tried))
        if left > (1 - GAIN) * spread:
            break
        factors, spread = tried, left
    return factors, spread


def _parallel(factors: NDArray[Any], u: NDArray[np.float64], w: NDArray[np.float64], alike: NDArray[np.int64],
              half: float) -> NDArray[Any]:
    """The factors again, with offsets that stand square to the line instead of to the axis."""
    group = np.unique(alike, return_inverse=True)[1]
    count = np.bincount(group)
    for _ in range(2):
        powers = np.arange(1, len(factors) + 1)
        place = (factors * u[:, None] ** powers).sum(axis=1)
        upright = np.cos(np.arctan((factors * powers * u[:, None] ** (powers - 1)).sum(axis=1) / half))
        offset = (np.bincount(group, (w - place) * upright) / count)[group]
        factors, _ = _fit(u, w - offset / upright, np.zeros(len(u), np.int64))
    return factors


def _faithful(d: NDArray[np.float64], lane: NDArray[np.int64]) -> bool:
    """Whether vehicles of one lane's number are in one place across the road."""
    if (lane >= 0).mean() <= 0.9:
        return False
    names, which = np.unique(lane, return_inverse=True)
    middle = np.array([np.median(d[which == i]) for i in range(len(names))])
    return bool((np.abs(d - middle[which]) < ASIDE).mean() > 0.9)


def _lanes(d: NDArray[np.float64], lane: NDArray[np.int64], lanes: int | None, lane_width: float | None
           ) -> tuple[int, float, float]:
    """(number of lanes, width of a lane in m, d of the right edge)."""
    if _faithful(d, lane):
        names, counts = np.unique(lane[lane >= 0], return_counts=True)
        names = names[counts >= SHARE_OF_LANE * counts.sum()]
        centres = np.sort([float(np.median(d[lane == name])) for name in names])
        width = lane_width
        if width is None:
            if len(centres) < 2:
                raise NoFrame("lane_width_unknown")
            width = float(np.median(np.diff(centres)))
        if not WIDTHS[0] <= width <= WIDTHS[1]:
            raise NoFrame("lane_width")
        places = np.round((centres - centres[0]) / width)
        edge = float(np.median(centres - places * width)) - width / 2
        count = int(places[-1]) + 1
    elif lane_width is not None:
        width = lane_width
        phase = float(np.angle(np.exp(2j * np.pi * d / width).mean()) / (2 * np.pi)) * width  # of the lanes' centres
        number = np.floor((d - phase) / width + 0.5)
        used, counts = np.unique(number, return_counts=True)
        used = used[counts >= SHARE_OF_LANE * counts.sum()]
        edge, count = phase + (float(used[0]) - 0.5) * width, int(used[-1] - used[0]) + 1
    else:
        raise NoFrame("lanes_unknown")
    if lanes is not None:
        count = max(count, lanes) if lane_width is None else lanes
    if not 1 <= count <= 12:
        raise NoFrame("lanes")
    return count, float(width), edge
