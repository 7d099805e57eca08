"""The stretches of road that a set of scenes plays on, and scenes at another rate.

A released road is straight: scenes know where along and across the lanes a vehicle is, not how the road bends.
``x`` of every file is ``s`` of :mod:`synth.driving.scenes` and ``y`` is ``d``, so the ego vehicle starts at x = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synth.driving.scenes import HEADING, LANE_WIDTH, LANES, SPEED, D, S, Scenes

MARGIN, GRID = 60.0, 50.0  # m of road beyond the outermost vehicle; ends lie on multiples of GRID


@dataclass(frozen=True, kw_only=True, slots=True)
class Road:
    """Parallel lanes from ``x = start`` to ``x = end``; lane 0 is the right one and begins at ``y = 0``."""

    lanes: int
    lane_width: float  # m
    start: float
    end: float

    @property
    def length(self) -> float:
        """m."""
        return self.end - self.start

    @property
    def width(self) -> float:
        """Of all lanes, m."""
        return self.lanes * self.lane_width

    def centre(self, lane: int) -> float:
        """``y`` of the middle of a lane."""
        return (lane + 0.5) * self.lane_width


def roads(scenes: Scenes) -> tuple[list[Road], NDArray[np.int64]]:
    """The roads of the set, one for each number and width of lanes, and the one of each scene [n].

    Each is long enough for all of its scenes. Widths are told to the centimetre.
    """
    if not len(scenes):
        return [], np.zeros(0, np.int64)
    told = np.round(scenes.road[:, [LANES, LANE_WIDTH]].astype(np.float64), 2)
    kinds, which = np.unique(told, axis=0, return_inverse=True)
    which = which.reshape(-1).astype(np.int64)
    along = scenes.states[..., S].astype(np.float64)
    there = scenes.present[:, :, None] & np.ones(along.shape[2], bool)
    first, last = np.where(there, along, np.inf), np.where(there, along, -np.inf)
    found = []
    for number, (lanes, width) in enumerate(kinds):
        rows = which == number
        found.append(Road(lanes=int(lanes), lane_width=float(width),
                          start=float(np.floor((first[rows].min() - MARGIN) / GRID) * GRID),
                          end=float(np.ceil((last[rows].max() + MARGIN) / GRID) * GRID)))
    return found, which


def lane_of(d: NDArray[np.floating], lanes: NDArray[np.floating] | float,
            width: NDArray[np.floating] | float) -> NDArray[np.int64]:
    """The lane that holds ``d`` (0 is the right one); beside the road: the lane next to it."""
    return np.clip(np.floor(np.asarray(d, np.float64) / width), 0, np.asarray(lanes) - 1).astype(np.int64)


def at_rate(scenes: Scenes, rate: float) -> Scenes:
    """The scenes at ``rate`` Hz over the same seconds, for formats that have a rate of their own.

    Positions by cubic Hermite interpolation through the given positions and velocities (so speed stays continuous),
    heading and speed linearly. A set that has the rate already is returned unchanged.
    """
    shape = scenes.shape
    if abs(shape.rate - rate) < 1e-9 or shape.steps < 2:
        return scenes
    seconds = (shape.steps - 1) * shape.dt
    times = np.arange(int(np.floor(seconds * rate + 1e-6)) + 1) / rate
    left = np.minimum((times / shape.dt + 1e-9).astype(np.int64), shape.steps - 2)
    u = (times / shape.dt - left)[:, None]
    states = scenes.states.astype(np.float64)
    velocity = np.stack([states[..., SPEED] * np.cos(states[..., HEADING]),
                         states[..., SPEED] * np.sin(states[..., HEADING])], axis=-1) * shape.dt
    a, b = states[:, :, left], states[:, :, left + 1]
    out = a + u * (b - a)
    out[..., [S, D]] = ((2 * u**3 - 3 * u**2 + 1) * a[..., [S, D]] + (u**3 - 2 * u**2 + u) * velocity[:, :, left]
                        + (3 * u**2 - 2 * u**3) * b[..., [S, D]] + (u**3 - u**2) * velocity[:, :, left + 1])
    out[~scenes.present] = 0
    return replace(scenes, states=out.astype(np.float32), shape=replace(shape, steps=len(times), rate=rate),
                   measured=None)
