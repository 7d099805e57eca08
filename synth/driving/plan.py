"""What each vehicle of a scene is going to do, as the policy is told: the header in the terms of the road."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.driving.layout import innermost

SEGMENTS = 4  # stretches of equal length whose mean accelerations make up a vehicle's profile
KINDS = 3
HORIZON = 4.0  # s: an event farther away than this is just far away
CHANGE, SETTLE = 4.0, 1.5  # s: a change of lane lasts; within which one comes back to the middle of the lane
LATE = 0.2  # s: a change counts a little after the line (see labels)
STATIC = KINDS + 14  # features of a vehicle that do not change, without the condition
SCHEDULE = 14  # columns of Facts.schedule
KNOWN = KINDS + 5  # place of "has a profile" in the static features


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Arrays of n scenes of K vehicles. Numbers of vehicles and events that are not there are NaN.

    ``start`` float32 [n, K, 4] the first states, ``present`` [n, K], ``sizes`` [n, K, 2], ``kinds`` [n, K],
    ``road`` [n, 2], ``friction`` [n]; ``turn`` [n, K] lanes to the left until the end, ``cross`` [n, K] s when the
    first line is crossed, ``profile`` [n, K, SEGMENTS] m/s^2 (all NaN: left to the policy), ``actor`` [n] slot of who
    does what the scene shows, -1 nobody, ``onset`` [n] s when, ``room`` [n] m between ego vehicle and actor then
    and ``pace`` [n] m/s the ego vehicle is faster, ``braker`` [n] slot of who brakes hardest, -1 nobody, ``depth`` [n]
    m/s^2, ``brake`` [n] s when, ``lasting`` [n] s; ``near`` [n] s to a collision that a near miss which was asked
    for goes down to, 0 where none was; ``condition`` [n, C] what was asked for.
    """

    start: NDArray[np.float32]
    present: NDArray[np.bool_]
    sizes: NDArray[np.float32]
    kinds: NDArray[np.int8]
    road: NDArray[np.float32]
    friction: NDArray[np.float32]
    turn: NDArray[np.float32]
    cross: NDArray[np.float32]
    profile: NDArray[np.float32]
    actor: NDArray[np.int64]
    onset: NDArray[np.float32]
    room: NDArray[np.float32]
    pace: NDArray[np.float32]
    braker: NDArray[np.int64]
    depth: NDArray[np.float32]
    brake: NDArray[np.float32]
    lasting: NDArray[np.float32]
    near: NDArray[np.float32]
    condition: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: NDArray[np.int64] | slice) -> Plan:
        """The scenes at ``rows``."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class Facts:
    """The same as tensors: what the features of every step are made from, on the networks' device.

    ``present`` [B, K] bool, ``length`` and ``width`` [B, K], ``lanes`` and ``lane`` (width of one) [B, 1],
    ``friction`` [B, 1], ``known`` [B, K] whether there is a profile (0 or 1), ``actor`` [B, K] 1 for who meets the ego
    vehicle, ``meeting`` [B, 3] whether, how near and how fast they meet, ``near`` [B, 1] s to a collision that a near
    miss goes down to, 0 where none was asked for, ``static`` [B, K, STATIC + C], ``schedule`` [B, T, K, SCHEDULE] (see
    :func:`facts`).
    """

    present: Tensor
    length: Tensor
    width: Tensor
    lanes: Tensor
    lane: Tensor
    friction: Tensor
    known: Tensor
    actor: Tensor
    meeting: Tensor
    near: Tensor
    static: Tensor
    schedule: Tensor

    def take(self, rows: Tensor) -> Facts:
        """The scenes at ``rows``."""
        return Facts(*(getattr(self, f.name)[rows] for f in fields(self)))

    def driven(self) -> Facts:
        """The same, lying in memory as a drive is fastest (:mod:`.layout`)."""
        return Facts(*(innermost(getattr(self, f.name)) for f in fields(self)))

    def timed(self) -> Facts:
        """With an axis of one step after the first, to go with states [B, T, K, 4]; ``schedule`` stays."""
        return Facts(*(getattr(self, f.name) if f.name == "schedule" else getattr(self, f.name).unsqueeze(1)
                       for f in fields(self)))


def marks(steps: int, pieces: int) -> NDArray[np.int64]:
    """The steps at which stretches of a profile begin and end, int64 [pieces + 1]."""
    return np.asarray(np.round(np.linspace(0, steps - 1, pieces + 1)), dtype=np.int64)


(GOAL_SPEED, LEFT, PLANNED_S, PLANNED, NEXT, CROSSING, GOAL_D, BRAKING, HARD, ONSET, CLOCK, PATH_D,
 PATH_V, PATH_A) = range(SCHEDULE)


def facts(plan: Plan, steps: int, dt: float, device: torch.device | None = None) -> Facts:
    """Tensors of a plan.

    The schedule's columns: the speed at the end of the running stretch and the seconds until then, where the profile
    would have the vehicle now, the stretch's acceleration and the next one's, seconds until the line is crossed, the
    goal across the road, seconds until braking, how hard it brakes now, seconds until the event, the share of time
    that is over, and where across the road it would be now, how fast it would move there and how much faster, if it
    changed lanes as most do. Seconds are cut at HORIZON; what will not happen is 0 and said so in ``static``.
    """
    n, count = plan.present.shape
    time = np.arange(steps) * dt
    ends = marks(steps, SEGMENTS) * dt
    known = np.isfinite(plan.profile).all(-1)
    profile = np.nan_to_num(plan.profile)
    speed = plan.start[..., 3]
    goals = np.concatenate([speed[..., None], speed[..., None] + np.cumsum(profile * np.diff(ends), -1)], -1)
    goals = np.maximum(goals, 0)
    at = np.minimum(np.searchsorted(ends, time, side="right") - 1, SEGMENTS - 1)  # [T]
    inside = (time - ends[at]) / (ends[at + 1] - ends[at])
    planned_speed = goals[..., at] + (goals[..., at + 1] - goals[..., at]) * inside  # [n, K, T]
    way = np.concatenate([np.zeros((n, count, 1)), np.cumsum((planned_speed[..., 1:] + planned_speed[..., :-1]) / 2
                                                             * dt, -1)], -1)
    lane = plan.road[:, 1, None]
    first = np.clip(np.floor(plan.start[..., 1] / lane), 0, plan.road[:, :1] - 1)
    goal = (np.clip(first + np.nan_to_num(plan.turn), 0, plan.road[:, :1] - 1) + 0.5) * lane
    turning = np.isfinite(plan.cross) & (np.nan_to_num(plan.turn) != 0)

    def until(when: NDArray[np.float32]) -> NDArray[np.float32]:
        left = np.clip(when[..., None] - time, -HORIZON, HORIZON)
        return np.asarray(np.where(np.isfinite(left), left, 0.0), dtype=np.float32)

    slots = np.arange(count)
    braker, actor = slots == plan.braker[:, None], slots == plan.actor[:, None]
    schedule = np.zeros((n, count, steps, SCHEDULE), np.float32)
    schedule[..., GOAL_SPEED], schedule[..., LEFT] = goals[..., at + 1], ends[at + 1] - time
    schedule[..., PLANNED_S] = plan.start[..., 0, None] + way
    schedule[..., PLANNED], schedule[..., NEXT] = profile[..., at], profile[..., np.minimum(at + 1, SEGMENTS - 1)]
    schedule[..., CROSSING] = until(np.where(turning, plan.cross, np.nan).astype(np.float32))
    schedule[..., GOAL_D] = goal[..., None]
    schedule[..., BRAKING] = until(np.where(braker, plan.brake[:, None], np.nan).astype(np.float32))
    over = time - plan.brake[:, None]  # [n, T]
    schedule[..., HARD] = np.where((over >= -1e-3) & (over < plan.lasting[:, None] - 1e-3),
                                     np.nan_to_num(plan.depth)[:, None], 0.0)[:, None] * braker[..., None]
    schedule[..., ONSET] = until(np.repeat(plan.onset[:, None], count, 1))
    schedule[..., CLOCK] = time / max(time[-1], dt)

    centre = (first + 0.5) * lane
    lasts = CHANGE * np.maximum(np.abs(np.nan_to_num(plan.turn)), 1)[..., None]
    begins = np.nan_to_num(plan.cross)[..., None] - CHANGE / 2 - LATE
    share = np.clip((time - begins) / lasts, 0, 1) * turning[..., None]
    share = share**2 * (3 - 2 * share)
    path = centre[..., None] + (goal - centre)[..., None] * share
    path = path + (plan.start[..., 1, None] - path[..., :1]) * np.exp(-time / SETTLE)
    schedule[..., PATH_D] = path
    if steps > 1:
        schedule[..., PATH_V] = np.gradient(path, dt, axis=-1)
        schedule[..., PATH_A] = np.gradient(schedule[..., PATH_V], dt, axis=-1)

    meets = ((plan.actor > 0) & np.isfinite(plan.onset) & np.isfinite(plan.room)).astype(np.float32)

    def shared(values: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(values[:, None], count, 1)

    static = np.stack([
        *(plan.kinds == kind for kind in range(KINDS)), plan.sizes[..., 0] / 10, plan.sizes[..., 1] / 3,
        np.broadcast_to(slots == 0, actor.shape), actor, shared(plan.actor == 0), known, turning,
        np.nan_to_num(plan.turn) / 2, braker * np.nan_to_num(plan.depth)[:, None] / 5, braker,
        shared(np.exp(-np.nan_to_num(plan.room, nan=200.0) / 20)), shared(np.nan_to_num(plan.pace) / 5),
        shared(plan.friction), shared(plan.road[:, 0] / 4)],
        -1).astype(np.float32)
    static = np.concatenate([static, np.repeat(plan.condition[:, None], count, 1)], -1)

    def tensor(values: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    return Facts(tensor(plan.present), tensor(plan.sizes[..., 0]), tensor(plan.sizes[..., 1]),
                 tensor(plan.road[:, :1]), tensor(plan.road[:, 1:]), tensor(plan.friction[:, None]),
                 tensor(known.astype(np.float32)), tensor(meets[:, None] * actor.astype(np.float32)),
                 tensor(np.stack([meets, np.nan_to_num(plan.room), np.nan_to_num(plan.pace)], 1).astype(np.float32)),
                 tensor(plan.near[:, None]), tensor(static),
                 tensor(np.ascontiguousarray(schedule.transpose(0, 2, 1, 3))))
