"""Who plays which part in a scene: slots in an order that says it, and starts that the part can be played from.

In a header the vehicle that does something to the ego vehicle (cuts in, leaves, brakes ahead, is followed) is always
the first after it, so that what it does is learnt from all scenes that show it, whatever its distance was.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from synth.driving.bicycle import BOUNDS
from synth.driving.labels import event
from synth.driving.safety import GRAVITY
from synth.driving.scenes import EGO, LENGTH, SPEED, WIDTH, D, S, Scenes

ACTOR = 1  # the actor's slot in a cast scene
LEAST, HEADWAY = 1.0, 0.4  # m and s between vehicles of a lane at the start, at least
CALM = 0.5  # share of the grip: no start asks for more braking
LEAST_TIME = (1.2, 1.6, 2.2)  # s to a collision at the start: near misses, hard braking, all others

Floats = NDArray[np.float64]


def cast(scenes: Scenes) -> Scenes:
    """The same scenes with who acts on the ego vehicle in the slot after it; the others keep their order."""
    actor = event(scenes).actor.astype(np.int64)
    slots = np.broadcast_to(np.arange(scenes.shape.vehicles, dtype=np.float64), scenes.present.shape).copy()
    rows = np.flatnonzero(actor > 0)
    slots[rows, actor[rows]] = 0.5
    return reordered(scenes, np.argsort(slots, axis=1, kind="stable"))


def nearest_first(scenes: Scenes) -> Scenes:
    """The same scenes with the slots after the ego vehicle in the order of distance at the first step."""
    apart = np.hypot(*np.moveaxis(scenes.states[:, :, 0, :2] - scenes.states[:, :1, 0, :2], -1, 0))
    apart = np.where(scenes.present, apart, np.inf)
    apart[:, EGO] = -1.0
    return reordered(scenes, np.argsort(apart, axis=1, kind="stable"))


def reordered(scenes: Scenes, order: NDArray[np.int64]) -> Scenes:
    """The same scenes with slots in ``order`` [n, K]."""
    return replace(scenes, states=np.take_along_axis(scenes.states, order[..., None, None], 1),
                   present=np.take_along_axis(scenes.present, order, 1),
                   sizes=np.take_along_axis(scenes.sizes, order[..., None], 1),
                   kinds=np.take_along_axis(scenes.kinds, order, 1))


def sides_for(shows: NDArray[np.str_], side: NDArray[np.int64], lane: NDArray[np.int64], most: NDArray[np.int64]
              ) -> NDArray[np.int64]:
    """The actor's lane relative to the ego vehicle's, from which it can do what the scene shows [n]."""
    there = np.where(lane + side > most, -1, np.where(lane + side < 0, 1, side))
    beside = np.where(there == 0, np.where(lane < most, 1, -1), np.sign(there))
    found = np.where(shows == "cut_in", beside, np.where(np.isin(shows, ("cut_out", "follow")), 0, side))
    return np.asarray(found, dtype=np.int64)


def turns_for(shows: NDArray[np.str_], turn: NDArray[np.int64], lane: NDArray[np.int64], most: NDArray[np.int64]
              ) -> NDArray[np.int64]:
    """Changes of lane [n, K] that agree with what the scene shows; ``lane`` [n, K] at the start."""
    turn = np.clip(lane + turn, 0, most[:, None]) - lane

    def some(slot: int) -> NDArray[np.int64]:
        away = np.where(lane[:, slot] < most, 1, -1)
        return np.asarray(np.where(turn[:, slot] != 0, turn[:, slot], np.where(most > 0, away, 0)), dtype=np.int64)

    turn[:, EGO] = np.where(shows == "lane_change", some(EGO), np.where(np.isin(shows, (
        "free", "follow", "cut_in", "cut_out")), 0, turn[:, EGO]))
    if turn.shape[1] > ACTOR:
        turn[:, ACTOR] = np.where(shows == "cut_in", lane[:, EGO] - lane[:, ACTOR],
                                  np.where(shows == "cut_out", some(ACTOR), turn[:, ACTOR]))
        turn[:, ACTOR] = np.where(shows == "follow", 0, turn[:, ACTOR])
    return turn


def spared(shows: NDArray[np.str_]) -> Floats:
    """Seconds to a collision [n] that a scene may start with: recorded ones that show something else do not start just
    before a near miss."""
    return np.where(shows == "near_miss", LEAST_TIME[0], np.where(shows == "hard_brake", *LEAST_TIME[1:]))


def apart(states: Floats, sizes: Floats, there: NDArray[np.bool_], spare: Floats, friction: Floats
          ) -> None:
    """Move vehicles [n, K, 4] of a lane that overlap away from the ego vehicle, and let nobody start into a crash:
    nobody must brake harder than the ``friction`` [n] of the road lets them with ease, and no pair is nearer than
    ``spare`` [n] seconds to a collision.

    In place; the ego vehicle stays as it is.
    """
    rows, calm = np.arange(len(states)), CALM * BOUNDS.grip * GRAVITY * friction
    order = np.argsort(np.where(there, np.abs(states[..., S]), np.inf), axis=1, kind="stable")
    for place in range(1, states.shape[1]):
        slot = order[:, place]
        way = np.where(states[rows, slot, S] < 0, -1.0, 1.0)
        for before in range(place):
            other = order[:, before]
            both = there[rows, slot] & there[rows, other] & (slot != EGO)
            both &= np.abs(states[rows, slot, D] - states[rows, other, D]) < (
                sizes[rows, slot, WIDTH] + sizes[rows, other, WIDTH]) / 2 + 0.3
            touch = (sizes[rows, slot, LENGTH] + sizes[rows, other, LENGTH]) / 2
            follower = np.where(way > 0, states[rows, other, SPEED], states[rows, slot, SPEED])
            need = touch + LEAST + HEADWAY * follower
            away = (states[rows, slot, S] - states[rows, other, S]) * way
            moved = states[rows, other, S] + way * np.maximum(away, need)
            states[rows, slot, S] = np.where(both, moved, states[rows, slot, S])
            gap = np.maximum(away, need) - touch - LEAST / 2
            most = np.minimum(np.sqrt(2 * calm * gap), gap / spare)
            theirs, mine = states[rows, other, SPEED], states[rows, slot, SPEED]
            safe = np.where(way > 0, np.maximum(mine, theirs - most), np.minimum(mine, theirs + most))
            states[rows, slot, SPEED] = np.where(both, np.maximum(safe, 0.0), mine)
