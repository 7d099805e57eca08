"""Boxes on the road: which vehicles touch, how far apart they are, and who leaves the lanes.

A vehicle is a rectangle round its centre, turned by its heading. Two convex shapes are apart if some axis separates
them, and for rectangles the four sides' directions are enough (separating axis theorem; Gottschalk et al. 1996).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from synth.driving.scenes import HEADING, LANE_WIDTH, LANES, LENGTH, WIDTH, D, S, Scenes

Floats = NDArray[np.float64]
_SIGNS = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)], np.float64)  # of the corners: front left, then clockwise


def corners(scenes: Scenes) -> Floats:
    """Corners of every box, float64 [n, K, T, 4, 2]: (s, d) in m, from the front left clockwise."""
    states = scenes.states.astype(np.float64)
    half = 0.5 * scenes.sizes.astype(np.float64)[:, :, None, None, :] * _SIGNS
    cos, sin = np.cos(states[..., HEADING])[..., None], np.sin(states[..., HEADING])[..., None]
    along, across = half[..., LENGTH], half[..., WIDTH]
    return np.stack([states[..., S][..., None] + cos * along - sin * across,
                     states[..., D][..., None] + sin * along + cos * across], axis=-1)


def pairs(scenes: Scenes) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Two slots, the lower first, and the scenes where both have a vehicle."""
    for one, other in itertools.combinations(range(scenes.shape.vehicles), 2):
        yield one, other, np.flatnonzero(scenes.present[:, one] & scenes.present[:, other])


def depth(first: Floats, first_size: Floats, second: Floats, second_size: Floats) -> Floats:
    """Largest distance by which an axis separates two boxes; below 0: they overlap by as much.

    ``first`` and ``second`` are states [..., 4], sizes [..., 2] (they may broadcast); returns [...], m. The overlap is
    how far one would have to be moved to be free; the distance is exact only where two sides face each other.
    """
    apart = second[..., [S, D]] - first[..., [S, D]]
    halves = [0.5 * np.broadcast_to(size, (*apart.shape[:-1], 2)) for size in (first_size, second_size)]
    frames = [_axes(first[..., HEADING]), _axes(second[..., HEADING])]
    found = np.full(apart.shape[:-1], -np.inf)
    for axis in (*frames[0], *frames[1]):
        reach = sum(half[..., part] * np.abs((axis * own[part]).sum(axis=-1))
                    for half, own in zip(halves, frames, strict=True) for part in (LENGTH, WIDTH))
        found = np.maximum(found, np.abs((apart * axis).sum(axis=-1)) - reach)
    return found


def _axes(heading: Floats) -> tuple[Floats, Floats]:
    """Unit vectors forward and to the left, each [..., 2]."""
    cos, sin = np.cos(heading), np.sin(heading)
    return np.stack([cos, sin], axis=-1), np.stack([-sin, cos], axis=-1)


def collisions(scenes: Scenes) -> NDArray[np.bool_]:
    """Pairs of vehicles whose boxes overlap at any step, bool [n, K, K], symmetric, the diagonal False."""
    found = np.zeros((len(scenes), scenes.shape.vehicles, scenes.shape.vehicles), bool)
    reach = 0.5 * np.hypot(scenes.sizes[..., LENGTH], scenes.sizes[..., WIDTH])
    for one, other, both in pairs(scenes):
        apart = scenes.states[both, other, :, :HEADING] - scenes.states[both, one, :, :HEADING]
        near = np.hypot(apart[..., S], apart[..., D]) <= (reach[both, one] + reach[both, other])[:, None]
        scene, step = np.nonzero(near)  # the others cannot touch
        rows = both[scene]
        hit = depth(scenes.states[rows, one, step].astype(np.float64), scenes.sizes[rows, one].astype(np.float64),
                    scenes.states[rows, other, step].astype(np.float64),
                    scenes.sizes[rows, other].astype(np.float64)) < 0
        found[rows[hit], one, other] = found[rows[hit], other, one] = True
    return found


def separation(scenes: Scenes) -> Floats:
    """Distance between every two boxes at every step, float64 [n, K, K, T], m; below 0: the depth of their overlap.

    Exact for rectangles. ``inf`` where one of two slots is empty, and of a vehicle to itself.
    """
    n, count, steps, _ = scenes.states.shape
    found = np.full((n, count, count, steps), np.inf)
    points, states, sizes = corners(scenes), scenes.states.astype(np.float64), scenes.sizes.astype(np.float64)
    for one, other, both in pairs(scenes):
        deep = depth(states[both, one], sizes[both, one][:, None], states[both, other], sizes[both, other][:, None])
        clear = np.minimum(_to_box(points[both, one], states[both, other], sizes[both, other]),
                           _to_box(points[both, other], states[both, one], sizes[both, one]))
        found[both, one, other] = found[both, other, one] = np.where(deep < 0, deep, clear)
    return found


def _to_box(points: Floats, states: Floats, sizes: Floats) -> Floats:
    """Smallest distance [n, T] of the points [n, T, 4, 2] to the box of each step (0 within it)."""
    apart = points - states[:, :, None, [S, D]]
    forward, left = _axes(states[..., HEADING])
    along = np.abs((apart * forward[:, :, None]).sum(axis=-1)) - 0.5 * sizes[:, None, None, LENGTH]
    across = np.abs((apart * left[:, :, None]).sum(axis=-1)) - 0.5 * sizes[:, None, None, WIDTH]
    return np.asarray(np.hypot(np.maximum(along, 0), np.maximum(across, 0)).min(axis=-1))


def edge(scenes: Scenes) -> Floats:
    """How far each box stays inside the drivable lanes, float64 [n, K, T], m; below 0: a corner is outside.

    ``inf`` in empty slots.
    """
    states, sizes = scenes.states.astype(np.float64), scenes.sizes.astype(np.float64)
    heading = states[..., HEADING]
    reach = 0.5 * (sizes[:, :, None, LENGTH] * np.abs(np.sin(heading))
                   + sizes[:, :, None, WIDTH] * np.abs(np.cos(heading)))
    width = (scenes.road[:, LANES] * scenes.road[:, LANE_WIDTH]).astype(np.float64)[:, None, None]
    room = np.minimum(states[..., D], width - states[..., D]) - reach
    return np.where(scenes.present[:, :, None], room, np.inf)


def off_road(scenes: Scenes) -> NDArray[np.bool_]:
    """Vehicles with a corner outside the drivable lanes at any step, bool [n, K]."""
    return np.asarray((edge(scenes) < 0).any(axis=2))
