"""Windows of traffic: for every vehicle and every few steps, the vehicle and those round it as one scene.

Who is in a scene besides the ego vehicle: first whoever is its leader at some time of the window within LEADER metres
(the longest first), then the nearest, by the least distance in the window. A vehicle that is not seen throughout
cannot be in it; a window whose leader is such a vehicle is put aside, because half of a story would be missing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.driving.road import Carriageway
from synth.driving.scenes import SceneShape
from synth.driving.tracks import Recording

LEADER = 50.0  # m
REACH = 120.0  # m along the road; vehicles further away are not part of a scene
ROUND = 200.0  # m before and behind the ego vehicle, over which density is counted
ASTRAY = 0.6  # rad off the road's direction that a vehicle of a scene may be
BESIDE = 1.0  # m that a centre may be off the lanes


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Scenes of one carriageway before they are listed; ``n`` windows."""

    states: NDArray[np.float32]  # [n, K, T, 4]
    present: NDArray[np.bool_]  # [n, K]
    sizes: NDArray[np.float32]  # [n, K, 2]
    kinds: NDArray[np.int8]  # [n, K]
    road: NDArray[np.float32]  # [n, 2]
    vehicles: NDArray[np.int64]  # [n, K] rows of the recording, -1 where a slot is empty
    start: NDArray[np.int64]  # [n] step of the recording's clock
    density: NDArray[np.float64]  # [n] vehicles per km and lane


def windows(recording: Recording, way: Carriageway, shape: SceneShape, stride: int, refused: Counter[str]
            ) -> Windows:
    """All scenes of a carriageway. Counts in ``refused``: astray, beside_the_road, leader_leaves."""
    total, width = way.s.shape[1], way.lanes * way.lane_width
    there = np.isfinite(way.s)
    span = (np.nanmin(way.s), np.nanmax(way.s))
    sizes, kinds = recording.sizes[way.vehicles], recording.kinds[way.vehicles]
    found: list[tuple[int, float, list[int]]] = []
    for start in range(0, total - shape.steps + 1, stride):
        during = slice(start, start + shape.steps)
        here = there[:, during]
        whole = np.flatnonzero(here.all(axis=1))
        if not len(whole):
            continue
        anyone = np.flatnonzero(here.any(axis=1))
        s, d = way.s[anyone, during], way.d[anyone, during]
        place = {int(v): i for i, v in enumerate(anyone)}
        throughout = np.isin(anyone, whole)
        straight = np.nanmax(np.abs(way.heading[anyone, during]), axis=1) <= ASTRAY
        inside = (np.nanmin(d, axis=1) >= -BESIDE) & (np.nanmax(d, axis=1) <= width + BESIDE)
        first = way.s[there[:, start], start]
        for ego in whole:
            i = place[int(ego)]
            others, reason = _others(i, s, d, sizes[anyone], throughout, straight & inside, shape.vehicles)
            if not straight[i]:
                reason = "astray"
            elif not inside[i]:
                reason = "beside_the_road"
            if reason:
                refused[reason] += 1
                continue
            low, high = max(s[i, 0] - ROUND, span[0]), min(s[i, 0] + ROUND, span[1])
            near = ((first >= low) & (first <= high)).sum()
            density = 1000.0 * near / max(high - low, 50.0) / way.lanes
            found.append((start, float(density), [int(anyone[i]), *(int(anyone[j]) for j in others)]))
    return _gather(recording, way, shape, found, sizes, kinds)


def _others(ego: int, s: NDArray[np.float64], d: NDArray[np.float64], sizes: NDArray[np.float64],
            throughout: NDArray[np.bool_], usable: NDArray[np.bool_], slots: int) -> tuple[list[int], str]:
    """Rows of those who share the scene, by distance at its first step; and why there is no scene."""
    ahead = s - s[ego]
    half = (sizes[:, 1] + sizes[ego, 1])[:, None] / 2
    same = np.abs(d - d[ego]) < half
    distance = np.where(same & (ahead > 0) & (ahead < LEADER), ahead, np.inf)
    leads = (distance == distance.min(axis=0)) & np.isfinite(distance)
    time = leads.sum(axis=1)
    if (time[~throughout] > 0).any():
        return [], "leader_leaves"
    apart = np.hypot(ahead, d - d[ego])
    least = np.where(throughout, np.nanmin(np.where(np.isfinite(apart), apart, np.inf), axis=1), np.inf)
    can = throughout & (least < REACH)
    can[ego] = False
    if (can & ~usable & ((time > 0) | (least < LEADER))).any():
        return [], "astray_neighbour"
    can &= usable
    order = np.lexsort((least, -time))
    chosen = [int(j) for j in order if can[j]][: slots - 1]
    return sorted(chosen, key=lambda j: apart[j, 0]), ""


def _gather(recording: Recording, way: Carriageway, shape: SceneShape, found: list[tuple[int, float, list[int]]],
            sizes: NDArray[np.float64], kinds: NDArray[np.int8]) -> Windows:
    n, slots, steps = len(found), shape.vehicles, shape.steps
    who = np.full((n, slots), -1, np.int64)
    for row, (_, _, members) in enumerate(found):
        who[row, : len(members)] = members
    start = np.array([f[0] for f in found], np.int64)
    present, safe = who >= 0, np.maximum(who, 0)
    steps_at = start[:, None, None] + np.arange(steps)
    pick = (safe[:, :, None], steps_at)
    states = np.stack([way.s[pick], way.d[pick], way.heading[pick], way.speed[pick]], axis=-1)
    if n:
        states[..., 0] -= states[:, :1, :1, 0]
    states = np.where(present[..., None, None], states, 0.0)
    return Windows(states=states.astype(np.float32).reshape(n, slots, steps, 4), present=present,
                   sizes=np.where(present[..., None], sizes[safe], 0).astype(np.float32),
                   kinds=np.where(present, kinds[safe], 0).astype(np.int8),
                   road=np.tile(np.array([way.lanes, way.lane_width], np.float32), (n, 1)),
                   vehicles=np.where(present, way.vehicles[safe], -1), start=start,
                   density=np.array([f[1] for f in found], float))
