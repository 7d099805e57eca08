"""A number column's distribution from noisy counts alone: a tree of intervals that grows where there are rows.

Each level cuts the intervals whose noisy count stands out into eight and counts those anew (after PrivTree, Zhang,
Xiao, Xie 2016, with Gaussian noise of one scale for all levels; for wide trees see Qardaji, Yang, Li 2013); least
squares makes a parent's count and its children's agree (Hay et al. 2010). Every level is a Gaussian mechanism on
disjoint cells, so a spike at a single grid point is found however fine the grid is: of a grid of more than a million
points the tree goes down to intervals of several, and only those that stand out are searched for their point, at little
cost, because they hold many rows. From the leaves come spikes and ranges of about equal mass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from synth.tabular.private.axes import Axis

FAN = 8  # intervals of the first level, and parts into which one is cut
STANDS_OUT = 3.0  # noise scales above which an interval is cut again
WIDE, CLEAR = 1024, 4.5  # parts at a time in search of a spike's point, and noise scales above which one is it

Measure = Callable[[np.ndarray, int], np.ndarray]  # (cell of each row, -1 for none; cells) -> noisy counts
Search = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # starts of intervals -> point of each, -1; its count


@dataclass
class _Node:
    """An interval [start, start + width) of the grid."""

    start: int
    width: int
    variance: float
    count: float = 0.0
    children: list[_Node] = field(default_factory=list)


def levels(points: int, fan: int = FAN) -> int:
    """How many levels a grid takes at most, cut into ``fan`` at each."""
    depth = 1
    while fan**depth < points:
        depth += 1
    return depth


def grow(places: np.ndarray, points: int, measure: Measure, scale: float) -> list[tuple[int, float]]:
    """Leaves (start, mass) of the tree. ``places`` are grid indices of the rows, -1 where missing.

    ``measure`` is asked once a level, and answers with noise of ``scale`` on every count.
    """
    width = FAN ** (levels(points) - 1)
    roots = [_Node(start, width, scale**2) for start in range(0, points, width)]
    active = roots
    while active:
        starts = np.array([n.start for n in active])
        width = active[0].width
        cell = np.maximum(np.searchsorted(starts, places, "right") - 1, 0)
        inside = (places >= starts[cell]) & (places < starts[cell] + width)
        for node, count in zip(active, measure(np.where(inside, cell, -1), len(active)), strict=True):
            node.count = float(count)
            if width > 1 and count > STANDS_OUT * scale:
                part = width // FAN
                node.children = [_Node(s, part, scale**2) for s in range(node.start, node.start + width, part)
                                 if s < points]
        active = [child for node in active for child in node.children]
    leaves: list[tuple[int, float]] = []
    for node in roots:
        _upwards(node)
        _downwards(node, max(0.0, node.count), leaves)
    return leaves


def _upwards(node: _Node) -> None:
    """Weigh a node's own count with the sum of its children's."""
    if not node.children:
        return
    for child in node.children:
        _upwards(child)
    variance = sum(c.variance for c in node.children)
    weight = variance / (variance + node.variance)
    node.count = weight * node.count + (1 - weight) * sum(c.count for c in node.children)
    node.variance *= weight


def _downwards(node: _Node, mass: float, leaves: list[tuple[int, float]]) -> None:
    """Share a node's mass out to its children: the nearest shares that are not negative and add up to it."""
    if not node.children:
        leaves.append((node.start, mass))
        return
    for child, share in zip(node.children, _shared(np.array([c.count for c in node.children]), mass), strict=True):
        _downwards(child, float(share), leaves)


def _shared(counts: np.ndarray, mass: float) -> np.ndarray:
    """The projection of counts onto non-negative shares of ``mass``: the same is taken from all that stay above 0."""
    falling = np.sort(counts)[::-1]
    excess = (np.cumsum(falling) - mass) / np.arange(1, len(counts) + 1)
    last = np.flatnonzero(falling - excess > 0)
    return np.maximum(counts - excess[last[-1] if len(last) else 0], 0.0)


def fan_of(width: int) -> int:
    """Into how many parts a search for the point of a spike cuts an interval."""
    return min(WIDE, width)


def points(places: np.ndarray, starts: np.ndarray, width: int, measure: Measure, scale: float
           ) -> tuple[np.ndarray, np.ndarray]:
    """The single grid point in each interval [start, start + width) that holds its rows: (point or -1, noisy count).

    Each level keeps of every interval the part with the highest noisy count, if that stands out. ``starts`` ascend,
    and the intervals are disjoint.
    """
    low, found, counts = starts.copy(), np.ones(len(starts), bool), np.zeros(len(starts))
    fan = fan_of(width)
    part = fan ** levels(width, fan)
    while part > 1:
        part //= fan
        at = np.maximum(np.searchsorted(low, places, "right") - 1, 0)
        inside = (places >= low[at]) & (places < np.minimum(low[at] + fan * part, starts[at] + width))
        cells = np.where(inside, at * fan + (places - low[at]) // part, -1)
        each = measure(cells, fan * len(starts)).reshape(len(starts), fan)
        best = each.argmax(axis=1)
        low, counts = low + best * part, each[np.arange(len(starts)), best]
        found &= counts > CLEAR * scale
    return np.where(found, low, -1), counts


def cut(axis: Axis, leaves: list[tuple[int, float]], cells: int, scale: float, search: Search | None = None) -> Axis:
    """An axis of at most ``cells`` cells: the points that stand out as spikes, the rest in ranges of equal mass.

    Leaves start at grid points. Where the shortest interval has more than one, ``search`` finds the point in those
    that stand out; one without such a point is no spike.
    """
    assert axis.grid is not None
    last, shortest = axis.grid.points, axis.grid.interval
    starts, mass = np.array([s for s, _ in leaves]), np.array([m for _, m in leaves])
    width = np.diff(np.append(starts, last))
    single = (width <= shortest) & (mass > max(2 * scale, mass.sum() / (2 * cells)))
    order = np.argsort(-np.where(single, mass, -1.0), kind="stable")[:cells // 2]
    spike = np.zeros(len(starts), bool)
    spike[order[single[order]]] = True
    spikes, rest = starts[spike], np.where(spike, 0.0, mass)
    if search is not None and len(spikes):
        spikes, counts = search(spikes)
        rest[spike] = np.where(spikes < 0, mass[spike], np.maximum(mass[spike] - counts, 0.0))
        spikes = spikes[spikes >= 0]
    mass = rest
    if mass.sum() <= 0:
        mass = np.where(spike, 0.0, width).astype(float)
        ranges = 1
    else:
        ranges = max(1, min(cells - len(spikes), int(mass.sum() / max(6 * scale, 1e-9))))
    below = np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum() + np.arange(len(mass) + 1) * 1e-12
    inner = np.interp(np.arange(1, ranges) / ranges, below, np.append(starts, last))
    edges = np.unique(np.concatenate([[0], np.round(inner), [last]]).astype(int))
    return replace(axis, spikes=tuple(spikes.tolist()), edges=tuple(edges.tolist()),
                   leaves=tuple(zip(starts.tolist(), mass.tolist(), strict=True)))
