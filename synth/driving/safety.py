"""Surrogate measures of safety between a vehicle and its leader, step by step.

The leader of a vehicle is the nearest vehicle whose centre is ahead of its own and whose box overlaps its box across
the road (half the sum of the widths; headings are not looked at, so that noise in them makes nobody a leader). Time
to collision, deceleration rate to avoid a crash and headway follow SUMO's SSM device: Hayward, "Near-miss
determination through use of a scale of danger", 1972; Cooper and Ferguson, "Traffic studies at T-junctions", 1976.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving.scenes import EGO, HEADING, LENGTH, SPEED, WIDTH, D, S, Scenes

GRAVITY = 9.81  # m/s^2
CLOSE = 0.1  # m and m/s: below it a gap or a speed counts as this much where something is divided by it
_BLOCK = 4096  # scenes at once


@dataclass(frozen=True, kw_only=True)
class Following:
    """Each vehicle behind its leader; all arrays [n, K, T]. Where there is no leader, gap, ttc and headway are inf."""

    leader: NDArray[np.int8]  # slot, -1: none
    gap: NDArray[np.float64]  # m, bumper to bumper; negative where the boxes overlap along the road
    closing: NDArray[np.float64]  # m/s along the road, positive where the gap shrinks; 0 without a leader

    @property
    def ttc(self) -> NDArray[np.float64]:
        """Seconds until the bumpers meet at these speeds; 0 where they have, inf where the gap does not shrink."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(self.closing > 0, np.maximum(self.gap, 0.0) / self.closing, np.inf)
        return np.where((self.gap <= 0) & (self.leader >= 0), 0.0, found)

    @property
    def drac(self) -> NDArray[np.float64]:
        """Deceleration in m/s^2 that avoids a crash if the leader keeps its speed; 0 where the gap does not shrink."""
        found: NDArray[np.float64] = np.maximum(self.closing, 0.0) ** 2 / (2 * np.maximum(self.gap, CLOSE))
        return found

    @property
    def min_ttc(self) -> NDArray[np.float64]:
        """The smallest time to collision of the ego vehicle with its leader or its follower in s; [n]."""
        found = self.ttc
        behind = np.where(self.leader == EGO, found, np.inf).min(axis=(1, 2))
        least: NDArray[np.float64] = np.minimum(found[:, EGO].min(axis=-1), behind)
        return least

    @property
    def max_drac(self) -> NDArray[np.float64]:
        """The largest deceleration that the ego vehicle behind its leader, or its follower behind it, needs to avoid a
        crash, m/s^2; 0 where nobody closes in; [n]."""
        found = self.drac
        behind = np.where(self.leader == EGO, found, 0.0).max(axis=(1, 2))
        most: NDArray[np.float64] = np.maximum(found[:, EGO].max(axis=-1), behind)
        return most


def following(scenes: Scenes) -> Following:
    """Leader, gap and closing speed of every vehicle at every step."""
    parts = [_following(scenes, slice(i, i + _BLOCK)) for i in range(0, max(len(scenes), 1), _BLOCK)]
    return Following(leader=np.concatenate([p.leader for p in parts]), gap=np.concatenate([p.gap for p in parts]),
                     closing=np.concatenate([p.closing for p in parts]))


def leader(scenes: Scenes) -> NDArray[np.int8]:
    """Slot of each vehicle's leader, -1 where it has none; [n, K, T]."""
    return following(scenes).leader


def gap(scenes: Scenes) -> NDArray[np.float64]:
    """Distance to the leader in m, bumper to bumper, inf without one; [n, K, T]."""
    return following(scenes).gap


def ttc(scenes: Scenes) -> NDArray[np.float64]:
    """Time to collision with the leader in s, inf where they do not close in; [n, K, T]."""
    return following(scenes).ttc


def drac(scenes: Scenes) -> NDArray[np.float64]:
    """Deceleration rate to avoid a crash with the leader in m/s^2; [n, K, T]."""
    return following(scenes).drac


def headway(scenes: Scenes) -> NDArray[np.float64]:
    """Time headway to the leader in s (gap over own speed), inf without one; [n, K, T]."""
    found: NDArray[np.float64] = np.maximum(gap(scenes), 0.0) / np.maximum(along_road(scenes.states), CLOSE)
    return found


def min_ttc(scenes: Scenes) -> NDArray[np.float64]:
    """See :attr:`Following.min_ttc`."""
    return following(scenes).min_ttc


def max_drac(scenes: Scenes) -> NDArray[np.float64]:
    """See :attr:`Following.max_drac`."""
    return following(scenes).max_drac


def avoidable(needed: NDArray[np.float64], mu: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether brakes could have kept the ego vehicle and its leader or follower apart at every step: the deceleration
    they ``needed`` [n] (:attr:`Following.max_drac`) is within what the road of friction ``mu`` [n] gives (Cunto and
    Saccomanno 2008). Drivers who react at once; [n]."""
    found: NDArray[np.bool_] = needed <= np.asarray(mu, np.float64) * GRAVITY
    return found


def along_road(states: NDArray[Any]) -> NDArray[np.float64]:
    """Speed along the road, m/s."""
    found: NDArray[np.float64] = states[..., SPEED].astype(np.float64) * np.cos(states[..., HEADING])
    return found


def _following(scenes: Scenes, rows: slice) -> Following:
    states = scenes.states[rows].astype(np.float64)
    sizes = scenes.sizes[rows].astype(np.float64)
    present = scenes.present[rows]
    s, d = states[..., S], states[..., D]
    ahead = s[:, None, :, :] - s[:, :, None, :]  # [n, follower, leader, T]
    overlap = np.abs(d[:, None] - d[:, :, None]) < (sizes[:, None, :, WIDTH] + sizes[:, :, None, WIDTH])[..., None] / 2
    both = (present[:, None] & present[:, :, None])[..., None]
    distance = np.where(overlap & both & (ahead > 0), ahead, np.inf)
    slot = distance.argmin(axis=2)  # [n, K, T]
    nearest = distance.min(axis=2)
    found = np.isfinite(nearest)
    length = sizes[..., LENGTH]
    theirs = np.take_along_axis(np.broadcast_to(length[..., None], s.shape), slot, axis=1)
    speed = along_road(states)
    closing = speed - np.take_along_axis(speed, slot, axis=1)
    return Following(leader=np.where(found, slot, -1).astype(np.int8),
                     gap=np.where(found, nearest - (length[..., None] + theirs) / 2, np.inf),
                     closing=np.where(found, closing, 0.0))
