"""How near two drives are, whoever is called the ego vehicle, wherever and whenever the window begins.

The middle of a scene is laid over pieces of other scenes that begin earlier and later, with each of their first few
vehicles in the role of the ego vehicle, and mirrored across the road; the others are ordered by distance where the
piece begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving.scenes import EGO, HEADING, LANE_WIDTH, LANES, SPEED, D, S, Scenes

Floats = NDArray[np.float32]
EGOS = 4  # vehicles of a real scene that are tried in the role of the ego vehicle, the nearest first
OTHERS = 3  # vehicles besides the ego vehicle that are compared, the nearest first
POINTS = 5  # moments of a piece
SHIFTS = 7  # beginnings of a piece
ACROSS = 3.0  # a metre across the road is worth three along it: drivers keep lanes, not distances
MISSING = 20.0  # m: what a vehicle that only one of two scenes has is worth
SPEEDS = 0.3  # s: what a difference of mean speed is worth, where only relative motion is compared
CANDIDATES = 3  # nearest scenes of a piece that are looked at with time warping
KNOWN = 0.25  # m: how exactly a drive is recorded; nobody is nearer than that
BAND = 5  # steps by which time may be warped
_BLOCK = 256  # queries at once


def length(scenes: Scenes) -> int:
    """Steps of a compared piece: half a scene."""
    return max(scenes.shape.steps // 2, 2)


def starts(scenes: Scenes) -> NDArray[np.int64]:
    """Steps at which pieces begin."""
    return np.unique(np.linspace(0, scenes.shape.steps - length(scenes), SHIFTS).round().astype(np.int64))


def mirrored(scenes: Scenes) -> Scenes:
    """The same traffic with left and right in each other's place."""
    width = (scenes.road[:, LANES] * scenes.road[:, LANE_WIDTH])[:, None, None]
    states = scenes.states.copy()
    states[..., D] = np.where(scenes.present[:, :, None], width - states[..., D], 0)
    states[..., HEADING] = -states[..., HEADING]
    return replace(scenes, states=states)


def sequences(scenes: Scenes, start: int, ego: int, *, relative: bool) -> tuple[Floats, NDArray[np.bool_]]:
    """One piece of every scene, float32 [n, 1 + others, steps, 2] (along, across), and who is there [n, 1 + others].

    With ``relative`` the others are seen from the ego vehicle at every moment and the ego vehicle's own row is its
    speed beyond its mean and its place across the road; else everything is seen from where the ego vehicle begins.
    """
    own = scenes.states[:, :, start : start + length(scenes)]
    first = own[:, ego, None, 0, :]
    away = np.hypot(own[:, :, 0, S] - first[..., S], own[:, :, 0, D] - first[..., D])
    away = np.where(scenes.present, away, np.inf)
    away[:, ego] = -1.0
    order = np.argsort(away, axis=1, kind="stable")[:, : 1 + OTHERS]
    rows = np.arange(len(own))[:, None]
    picked, there = own[rows, order], scenes.present[rows, order]
    place = picked[..., [S, D]].copy()
    if relative:
        speed = own[:, ego, :, SPEED]
        place[:, 1:] -= own[:, ego, None, :, :][..., [S, D]]
        place[:, 0, :, 0] = speed - speed.mean(axis=1, keepdims=True)
    else:
        place[..., 0] -= own[:, ego, None, :1, S]
    place[..., 1] *= ACROSS
    return np.where(there[:, :, None, None], place, 0.0).astype(np.float32), there


def flat(scenes: Scenes, start: int, ego: int, *, relative: bool) -> Floats:
    """The piece as one row a scene, float32 [n, columns]; the Euclidean distance of rows is a root mean square in m."""
    place, there = sequences(scenes, start, ego, relative=relative)
    moments = np.linspace(0, length(scenes) - 1, POINTS).round().astype(np.int64)
    rows = place[:, :, moments].reshape(len(place), -1) / np.sqrt(POINTS)
    found = [rows, MISSING * there[:, 1:].astype(np.float32)]
    if relative:
        speed = scenes.states[:, ego, start : start + length(scenes), SPEED].mean(axis=1)
        found.append(SPEEDS * speed[:, None])
    return np.concatenate(found, axis=1).astype(np.float32)


def pieces(scenes: Scenes, *, relative: bool, egos: bool = True) -> tuple[Floats, NDArray[np.int64]]:
    """All variants, float32 [variants, n, columns], and (start, ego) of each, int64 [variants, 2].

    A variant whose ego slot is empty lies infinitely far from everything.
    """
    found, which = [], []
    for start in starts(scenes):
        for ego in range(min(scenes.shape.vehicles, EGOS) if egos else 1):
            rows = flat(scenes, int(start), ego, relative=relative)
            rows[~scenes.present[:, ego]] = 1e6
            found.append(rows)
            which.append((int(start), ego))
    return np.stack(found), np.array(which, np.int64)


def middle(scenes: Scenes) -> int:
    """Where the compared piece of a query begins."""
    return (scenes.shape.steps - length(scenes)) // 2


@dataclass(frozen=True)
class Match:
    """Nearest scenes of one set: all [n, candidates], the nearest first."""

    distance: NDArray[np.float64]
    index: NDArray[np.int64]
    variant: NDArray[np.int64]  # place in ``pieces``
    turned: NDArray[np.bool_]  # the query was mirrored


def match(queries: Scenes, targets: Scenes, *, relative: bool, egos: bool = True, count: int = 1) -> Match:
    """The ``count`` nearest scenes of ``targets`` to each query, over all variants."""
    bank, which = pieces(targets, relative=relative, egos=egos)
    flattened = bank.reshape(-1, bank.shape[2])
    half = 0.5 * (flattened.astype(np.float64) ** 2).sum(axis=1).astype(np.float32)
    sides = [flat(q, middle(q), EGO, relative=relative) for q in (queries, mirrored(queries))]
    n, size, count = len(queries), len(targets), min(count, len(targets))
    distance, index = np.full((n, count), np.inf), np.zeros((n, count), np.int64)
    variant, turned = np.zeros((n, count), np.int64), np.zeros((n, count), bool)
    for begin in range(0, n, _BLOCK):
        block = slice(begin, min(begin + _BLOCK, n))
        best, found = None, None
        for side, rows in enumerate(sides):
            away = (half - rows[block] @ flattened.T).reshape(-1, len(which), size)
            least = away.min(axis=1)
            square = 2 * least + (rows[block].astype(np.float64) ** 2).sum(axis=1)[:, None]
            at = np.argpartition(square, count - 1, axis=1)[:, :count]
            some = np.take_along_axis(square, at, axis=1)
            kind = np.take_along_axis(away, at[:, None, :], axis=2).argmin(axis=1)
            pair = np.concatenate([at, kind, np.full_like(at, side)], axis=1).reshape(len(at), 3, count)
            best = some if best is None else np.concatenate([best, some], axis=1)
            found = pair if found is None else np.concatenate([found, pair], axis=2)
        assert best is not None and found is not None
        order = np.argsort(best, axis=1, kind="stable")[:, :count]
        index[block], variant[block], side_of = (np.take_along_axis(found[:, i], order, axis=1) for i in range(3))
        turned[block] = side_of > 0
        own = np.stack([rows[block] for rows in sides], axis=1)[np.arange(len(order))[:, None], side_of]
        # once more without the cancellation of large squares, which hides the nearness of exact copies
        exact = bank[variant[block], index[block]].astype(np.float64) - own
        distance[block] = np.sqrt((exact**2).sum(axis=2))
    return Match(distance, index, variant, turned)


@dataclass(frozen=True)
class Aligned:
    """Detector: root mean square distance of the pieces, seen from where the ego vehicle begins."""

    name: str = "aligned"
    title: str = "aligned distance"

    def nearest(self, queries: Scenes, pieces: list[Scenes]) -> tuple[np.ndarray, np.ndarray]:
        """Distances float64 [n, pieces] to the nearest scene of each piece, and which it is, int64 [n, pieces]."""
        found = [match(queries, piece, relative=False) for piece in pieces]
        return (KNOWN + np.stack([f.distance[:, 0] for f in found], axis=1),
                np.stack([f.index[:, 0] for f in found], axis=1))


@dataclass(frozen=True)
class Warped:
    """Detector: dynamic time warping of relative motion, on the scenes that come nearest without it.

    Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word recognition", 1978.
    """

    name: str = "warped"
    title: str = "time warping of relative motion"

    def nearest(self, queries: Scenes, pieces: list[Scenes]) -> tuple[np.ndarray, np.ndarray]:
        """Distances float64 [n, pieces] to the nearest scene of each piece, and which it is, int64 [n, pieces]."""
        distances, indices = [], []
        for piece in pieces:
            found = match(queries, piece, relative=True, count=CANDIDATES)
            warped = self.warped(queries, piece, found)
            best = warped.argmin(axis=1)[:, None]
            distances.append(np.take_along_axis(warped, best, axis=1)[:, 0])
            indices.append(np.take_along_axis(found.index, best, axis=1)[:, 0])
        return KNOWN + np.stack(distances, axis=1), np.stack(indices, axis=1)

    def warped(self, queries: Scenes, targets: Scenes, found: Match, *, longest: bool = False) -> NDArray[np.float64]:
        """Warped distance of every candidate, float64 [n, candidates]; ``longest``: discrete Frechet distance."""
        n, count = found.index.shape
        sides = [sequences(q, middle(q), EGO, relative=True) for q in (queries, mirrored(queries))]
        which = _variants(targets)
        first = np.where(found.turned[:, :, None, None, None], sides[1][0][:, None], sides[0][0][:, None])
        seen = np.where(found.turned[..., None], sides[1][1][:, None], sides[0][1][:, None])
        second, there = np.empty_like(first), np.zeros_like(seen)
        for number, (start, ego) in enumerate(which):
            rows, places = np.nonzero(found.variant == number)
            if len(rows):
                picked = targets.take(found.index[rows, places])
                second[rows, places], there[rows, places] = sequences(picked, int(start), int(ego), relative=True)
        a, b = (x.transpose(0, 1, 3, 2, 4).reshape(n * count, x.shape[3], -1) for x in (first, second))
        missing = (seen != there).sum(axis=2) * MISSING
        reached = warp(a, b, BAND, longest=longest).reshape(n, count)
        return np.asarray(np.hypot(reached if longest else reached / np.sqrt(a.shape[1]), missing))


def _variants(targets: Scenes) -> list[tuple[int, int]]:
    return [(int(s), e) for s in starts(targets) for e in range(min(targets.shape.vehicles, EGOS))]


def warp(first: NDArray[Any], second: NDArray[Any], band: int, *, longest: bool = False) -> NDArray[np.float64]:
    """Time warping of ``n`` pairs of sequences [n, steps, columns] at once, (n,).

    The root of the least sum of squared distances over warpings of at most ``band`` steps, or with ``longest`` the
    least longest distance (discrete Frechet distance, Eiter and Mannila 1994).
    """
    n, steps = first.shape[:2]
    out = np.empty(n)
    for begin in range(0, n, 8192):
        rows = slice(begin, min(begin + 8192, n))
        a, b = first[rows].astype(np.float32), second[rows].astype(np.float32)
        table = np.full((steps + 1, steps + 1, len(a)), np.inf, np.float32)
        table[0, 0] = 0
        for i in range(1, steps + 1):
            for j in range(max(1, i - band), min(steps, i + band) + 1):
                cost = ((a[:, i - 1] - b[:, j - 1]) ** 2).sum(axis=1)
                before = np.minimum(np.minimum(table[i - 1, j], table[i, j - 1]), table[i - 1, j - 1])
                table[i, j] = np.maximum(before, cost) if longest else before + cost
        out[rows] = np.sqrt(table[steps, steps])
    return out
