"""Which scenes belong together: those that share a driver (or trip, or vehicle) go to one part of a split.

Sharing is carried on: if A and B share a driver and B and C another, all three are one group. On a busy road this
joins a whole recording. Where a group is too large a share of all scenes, it is cut: its scenes are sorted by
recording and time, parted into pieces, and in each piece the scenes are dropped that share a driver with a piece
before it; what is left of different pieces shares nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST = 0.15  # share of all scenes that one group may be before it is cut
PIECE = 0.05  # of all scenes: as small as its pieces should become
DROPPED = 0.5  # share of a group's scenes that cutting may cost
PIECES = (2, 3, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True)
class Groups:
    """``group`` int64 [n], -1 for scenes that were dropped; ``cut`` is the number of groups that were cut."""

    group: NDArray[np.int64]
    cut: int


def groups(drivers: NDArray[np.int64], recording: NDArray[np.int64], start: NDArray[np.int64]) -> Groups:
    """``drivers`` [n, K]: codes of those in each scene, -1 for empty slots; ``recording``, ``start`` [n]."""
    group = _joined(drivers)
    n, cut = len(group), 0
    following = int(group.max(initial=-1)) + 1
    for code, size in zip(*np.unique(group, return_counts=True), strict=True):
        if size <= max(LARGEST * n, 1):
            continue
        rows = np.flatnonzero(group == code)
        rows = rows[np.lexsort((start[rows], recording[rows]))]
        pieces = _pieces(drivers[rows], recording[rows], start[rows], int(max(PIECE * n, 1)))
        if pieces is None:
            continue
        cut += 1
        group[rows] = np.where(pieces < 0, -1, following + pieces)
        following += int(pieces.max()) + 1
    return Groups(group=group, cut=cut)


def _pieces(drivers: NDArray[np.int64], recording: NDArray[np.int64], start: NDArray[np.int64], most: int
            ) -> NDArray[np.int64] | None:
    """The piece of each scene (in order of recording and time), -1: dropped; ``None`` if cutting costs too much."""
    moment = np.unique(np.column_stack([recording, start]), axis=0, return_inverse=True)[1].reshape(-1)
    moments = int(moment.max()) + 1
    best = None
    for count in PIECES:
        if count > moments:
            break
        piece = moment * count // moments
        seen = np.zeros(int(drivers.max(initial=0)) + 1, bool)
        kept = np.zeros(len(drivers), bool)
        for number in range(count):
            here = np.flatnonzero(piece == number)
            free = ~(seen[np.maximum(drivers[here], 0)] & (drivers[here] >= 0)).any(axis=1)
            kept[here[free]] = True
            members = drivers[here[free]]
            seen[members[members >= 0]] = True
        if kept.mean() <= 1 - DROPPED or len(np.unique(piece[kept])) < 2:
            break
        best = np.where(kept, piece, -1)
        if np.bincount(piece[kept]).max() <= most:
            break
    return best


def _joined(drivers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The connected component of each scene, int64 [n]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(drivers)
    if n == 0:
        return np.zeros(0, np.int64)
    row, slot = np.nonzero(drivers >= 0)
    who = drivers[row, slot]
    total = n + int(who.max(initial=0)) + 1
    graph = coo_array((np.ones(len(row), np.int8), (row, n + who)), shape=(total, total))
    found = connected_components(graph, directed=False)[1][:n]
    return np.unique(found, return_inverse=True)[1].reshape(-1).astype(np.int64)
