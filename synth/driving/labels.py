"""What a scene shows, seen from the ego vehicle, by rules in a fixed order; a scene shows the first that holds.

1. ``near_miss``: the ego vehicle and its leader or follower are less than NEAR_MISS seconds from a crash while they
   close in by NEAR_CLOSING m/s or more (a jam that creeps bumper to bumper is none).
2. ``hard_brake``: the ego vehicle, or whoever is its leader at that moment, loses speed at HARD_BRAKE m/s^2 or more
   over BRAKE_OVER seconds.
3. ``cut_in``: another vehicle changes into the ego vehicle's lane as the next one ahead of it, at most NEAR metres
   away (bumper to bumper).
4. ``cut_out``: the next vehicle ahead in the ego vehicle's lane, at most NEAR metres away, leaves that lane.
5. ``lane_change``: the ego vehicle changes its lane.
6. ``follow``: a leader within HEADWAY seconds for at least half of the time.
7. ``free``: none of these.

A vehicle is in the lane of its centre; a change counts once the centre is PAST_LINE metres beyond the line, so that
wander along a line is no change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.driving.safety import CLOSE, Following, along_road, following
from synth.driving.scenes import EGO, LANE_WIDTH, LANES, LENGTH, MANOEUVRES, D, S, Scenes

NEAR_MISS = 1.5  # s; a serious conflict in the literature on surrogate safety
NEAR_CLOSING = 2.0  # m/s
HARD_BRAKE = 3.5  # m/s^2; beyond what drivers do in ordinary traffic (comfort: 2)
BRAKE_OVER = 0.6  # s
NEAR = 40.0  # m
HEADWAY = 3.0  # s
PAST_LINE = 0.25  # m
_BLOCK = 4096  # scenes at once


@dataclass(frozen=True, kw_only=True)
class Events:
    """What each scene shows; arrays [n]."""

    label: NDArray[np.str_]  # of MANOEUVRES
    actor: NDArray[np.int8]  # slot of who does it: near miss and follow: the other vehicle; free: -1
    step: NDArray[np.int16]  # near miss: the least time to collision; braking: its first step; changes of lane: the
    # crossing of the line; follow and free: 0


def labels(scenes: Scenes) -> NDArray[np.str_]:
    """What each scene shows, of MANOEUVRES; [n]."""
    return event(scenes).label


def event(scenes: Scenes) -> Events:
    """What each scene shows, who does it and when."""
    if len(scenes) == 0:
        return Events(label=np.zeros(0, f"<U{max(map(len, MANOEUVRES))}"), actor=np.zeros(0, np.int8),
                      step=np.zeros(0, np.int16))
    blocks = [scenes.take(np.arange(i, min(i + _BLOCK, len(scenes)))) for i in range(0, len(scenes), _BLOCK)]
    found = [_event(block) for block in blocks]
    return Events(label=np.concatenate([f.label for f in found]), actor=np.concatenate([f.actor for f in found]),
                  step=np.concatenate([f.step for f in found]))


def lanes(scenes: Scenes) -> NDArray[np.int8]:
    """Each vehicle's lane at every step, 0 the rightmost, -1 where the slot is empty; [n, K, T]."""
    across = scenes.states[..., D].astype(np.float64)
    width = scenes.road[:, None, LANE_WIDTH].astype(np.float64)
    most = scenes.road[:, None, LANES].astype(np.int64) - 1
    found = np.empty(across.shape, np.int64)
    now = np.clip(np.floor(across[..., 0] / width), 0, most).astype(np.int64)
    found[..., 0] = now
    for t in range(1, across.shape[-1]):
        d = across[..., t]
        left = (d > (now + 1) * width + PAST_LINE) & (now < most)
        right = (d < now * width - PAST_LINE) & (now > 0)
        there = np.clip(np.floor(d / width), 0, most).astype(np.int64)
        now = np.where(left | right, there, now)
        found[..., t] = now
    return np.where(scenes.present[..., None], found, -1).astype(np.int8)


def _event(scenes: Scenes) -> Events:
    n = len(scenes)
    label = np.full(n, "free", f"<U{max(map(len, MANOEUVRES))}")
    actor, step = np.full(n, -1, np.int8), np.zeros(n, np.int16)
    pairs, lane = following(scenes), lanes(scenes)
    for name, (where, who, when) in (  # the last that holds is kept, so from the weakest to the strongest
            ("follow", _follow(scenes, pairs)), ("lane_change", _own_change(lane)),
            ("cut_out", _cut(scenes, lane, into=False)), ("cut_in", _cut(scenes, lane, into=True)),
            ("hard_brake", _brake(scenes, pairs)), ("near_miss", _near_miss(pairs))):
        label[where], actor[where], step[where] = name, who[where], when[where]
    return Events(label=label, actor=actor, step=step)


_Found = tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]  # holds, actor, step; each [n]


def _first(holds: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(holds at all, first step at which it does) over the last axis."""
    anywhere: NDArray[np.bool_] = np.any(holds, axis=-1)
    return anywhere, holds.argmax(axis=-1)


def _follow(scenes: Scenes, pairs: Following) -> _Found:
    speed = np.maximum(along_road(scenes.states[:, EGO]), CLOSE)
    close = pairs.gap[:, EGO] / speed < HEADWAY
    slots = np.arange(scenes.shape.vehicles)
    often = ((pairs.leader[:, EGO, None] == slots[:, None]) & close[:, None]).sum(axis=-1).argmax(axis=-1)
    return close.mean(axis=-1) >= 0.5, often, np.zeros(len(scenes), np.int64)


def _own_change(lane: NDArray[np.int8]) -> _Found:
    holds, step = _first(lane[:, EGO, 1:] != lane[:, EGO, :-1])
    return holds, np.full(len(lane), EGO), step + 1


def _cut(scenes: Scenes, lane: NDArray[np.int8], *, into: bool) -> _Found:
    """Another vehicle comes into the ego vehicle's lane, or leaves it, as the next one ahead and near."""
    s, length = scenes.states[..., S].astype(np.float64), scenes.sizes[..., LENGTH].astype(np.float64)
    ahead = s - s[:, :1]
    same = lane == lane[:, :1]
    there, kept = (same[..., 1:], same[..., :-1]) if into else (same[..., :-1], same[..., 1:])
    ahead = ahead[..., 1:] if into else ahead[..., :-1]
    distance = np.where(there & (ahead > 0), ahead, np.inf)
    own = (lane[:, :1, 1:] == lane[:, :1, :-1])
    gap = distance - (length + length[:, :1])[..., None] / 2
    holds = there & ~kept & own & (distance == distance.min(axis=1, keepdims=True)) & (gap <= NEAR)
    holds[:, EGO] = False
    anywhere, step = _first(holds.any(axis=1))
    return anywhere, holds[np.arange(len(scenes)), :, step].argmax(axis=-1), step + 1


def _brake(scenes: Scenes, pairs: Following) -> _Found:
    n, steps = len(scenes), scenes.shape.steps
    over = min(max(round(BRAKE_OVER * scenes.shape.rate), 1), steps - 1)
    speed = along_road(scenes.states)
    loss = (speed[..., :-over] - speed[..., over:]) / (over * scenes.shape.dt)  # [n, K, T - over]
    hard = loss >= HARD_BRAKE
    front = pairs.leader[:, EGO, : steps - over].astype(np.int64)
    theirs = np.take_along_axis(hard, np.maximum(front, 0)[:, None], axis=1)[:, 0] & (front >= 0)
    own, own_step = _first(hard[:, EGO])
    other, other_step = _first(theirs)
    who = np.where(own, EGO, front[np.arange(n), other_step])
    return own | other, who, np.where(own, own_step, other_step)


def _near_miss(pairs: Following) -> _Found:
    n = len(pairs.leader)
    time = np.where(pairs.closing >= NEAR_CLOSING, pairs.ttc, np.inf)
    mine, theirs = time[:, EGO], np.where(pairs.leader == EGO, time, np.inf)
    own_step, slot_step = mine.argmin(axis=-1), theirs.reshape(n, -1).argmin(axis=-1)
    slot, behind_step = np.divmod(slot_step, pairs.leader.shape[-1])
    own, behind = mine.min(axis=-1), theirs.min(axis=(1, 2))
    front = own <= behind
    who = np.where(front, pairs.leader[np.arange(n), EGO, own_step], slot)
    return np.minimum(own, behind) < NEAR_MISS, who, np.where(front, own_step, behind_step)
