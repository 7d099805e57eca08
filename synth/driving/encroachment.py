"""Post-encroachment time: how soon one vehicle is where another one has just been, where their ways cross or merge.

From the moment the first leaves the place to the moment the second reaches it (Allen, Shin and Cooper, "Analysis of
traffic conflicts and collisions", 1978), to one step of the scenes. Ways cross where two vehicles are not in line with
each other at first and one later drives over a place of the other; whoever follows another from the beginning has a
headway, no such time. Boxes lie along the road.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synth.driving.scenes import EGO, LENGTH, WIDTH, D, S, Scenes

_CELLS = 8_000_000  # pairs of steps at once


def min_pet(scenes: Scenes) -> NDArray[np.float64]:
    """The ego vehicle's smallest post-encroachment time with any other vehicle in s, inf where no ways cross; [n]."""
    d, sizes = scenes.states[..., D].astype(np.float64), scenes.sizes.astype(np.float64)
    beside = (sizes[:, :, WIDTH] + sizes[:, :1, WIDTH]) / 2
    apart = np.abs(d[:, :, 0] - d[:, :1, 0]) >= beside
    low, high = d.min(axis=2) - sizes[..., WIDTH] / 2, d.max(axis=2) + sizes[..., WIDTH] / 2
    crosses = scenes.present & apart & (low < high[:, :1]) & (high > low[:, :1])
    crosses[:, EGO] = False
    rows, slots = np.nonzero(crosses)
    found = np.full(len(scenes), np.inf)
    block = max(1, _CELLS // scenes.shape.steps ** 2)
    for start in range(0, len(rows), block):
        row, slot = rows[start:start + block], slots[start:start + block]
        own, other = (scenes.states[row, k][..., [S, D]].astype(np.float64) for k in (EGO, slot))
        both = (sizes[row, EGO] + sizes[row, slot])[:, None, None] / 2
        away = np.abs(own[:, :, None] - other[:, None])  # [pairs, step of the ego, step of the other, 2]
        shared = (away[..., 0] < both[..., LENGTH]) & (away[..., 1] < both[..., WIDTH])
        np.minimum.at(found, row, np.minimum(_after(shared), _after(shared.transpose(0, 2, 1))) * scenes.shape.dt)
    return found


def _after(shared: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Steps from when the first was last at a place to when the second first gets to any of its places; ``shared``
    [pairs, step of the first, step of the second] says that the boxes would overlap."""
    steps = shared.shape[1]
    before = shared & np.triu(np.ones((steps, steps), bool))
    reached = np.asarray(before.any(axis=1))
    second = reached.argmax(axis=1)
    column = before[np.arange(len(before)), :, second]
    first = steps - 1 - column[:, ::-1].argmax(axis=1)
    found: NDArray[np.float64] = np.where(reached.any(axis=1), (second - first).astype(np.float64), np.inf)
    return found
