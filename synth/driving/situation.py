"""What is known of a scene while its header is drawn, and what each block of fields is told of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving.plan import KINDS
from synth.driving.roles import ACTOR
from synth.driving.scenes import EGO, HEADING, LANE_WIDTH, LANES, LENGTH, SPEED, WIDTH, D, S, Scenes

Floats = NDArray[np.float64]
START, INTENT = 13 + KINDS, 9  # features of a vehicle
NEAR = 15.0  # m


@dataclass
class Situation:
    """Arrays of n scenes of K vehicles; what has not been drawn yet is 0 and not ``there`` (or not ``told``).

    ``condition`` [n, C], ``lanes`` [n]; ``lane``, ``s``, ``speed``, ``offset``, ``drift``, ``kind``, ``length``,
    ``width``, ``there`` [n, K]; ``turn``, ``cross`` [n, K], ``gain`` [n, K, 2] mean accelerations of both halves,
    ``told`` [n, K] whether those are known.
    """

    condition: Floats
    lanes: NDArray[np.int64]
    lane: NDArray[np.int64]
    s: Floats
    speed: Floats
    offset: Floats
    drift: Floats
    kind: NDArray[np.int64]
    length: Floats
    width: Floats
    there: NDArray[np.bool_]
    turn: Floats
    cross: Floats
    gain: Floats
    told: NDArray[np.bool_]

    @classmethod
    def empty(cls, condition: NDArray[Any], lanes: NDArray[np.int64], vehicles: int) -> Situation:
        """Nobody on the road yet."""
        n = len(lanes)
        zeros = [np.zeros((n, vehicles)) for _ in range(8)]
        return cls(condition=np.asarray(condition, np.float64), lanes=lanes, lane=np.zeros((n, vehicles), np.int64),
                   s=zeros[0], speed=zeros[1], offset=zeros[2], drift=zeros[3],
                   kind=np.zeros((n, vehicles), np.int64), length=zeros[4], width=zeros[5],
                   there=np.zeros((n, vehicles), bool), turn=zeros[6], cross=zeros[7],
                   gain=np.zeros((n, vehicles, 2)), told=np.zeros((n, vehicles), bool))

    def take(self, rows: NDArray[np.int64]) -> Situation:
        """The scenes at ``rows``."""
        return Situation(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def vehicles(self, starts: int, intents: int) -> Floats:
        """Features [n, K, START + INTENT] of vehicles seen from the ego vehicle: starts of the first ``starts`` slots,
        intents of the first ``intents``."""
        slots = np.arange(self.s.shape[1])
        on = (self.there & (slots < starts))[..., None].astype(float)
        know = (self.told & (slots < intents))[..., None]
        away, faster = self.s, self.speed - self.speed[:, :1]
        side = self.lane - self.lane[:, :1]
        start = np.stack([
            np.ones_like(away), np.sign(away) * np.exp(-np.abs(away) / NEAR), np.tanh(away / 40), away / 60,
            side / 2.0, side == 0, side > 0, faster / 4, np.tanh(faster), self.speed / 20, self.offset / 0.3,
            self.drift / 0.5, self.length / 10, *(self.kind == k for k in range(KINDS))], -1)
        gain = self.gain
        intent = np.stack([
            np.ones_like(away), self.turn / 2, self.turn != 0, (self.turn != 0) * self.cross / 4,
            (side + self.turn == 0) & (self.turn != 0), gain[..., 0], gain[..., 1],
            np.tanh(3 * gain[..., 0]), np.tanh(3 * gain[..., 1])], -1)
        return np.concatenate([start * on, intent * (on * know)], -1)

    def road(self) -> Floats:
        """The road under the ego vehicle [n, 4]."""
        return np.stack([self.lanes / 3, self.lane[:, EGO] / 2, (self.lanes - 1 - self.lane[:, EGO]) / 2,
                         self.speed[:, EGO] / 20], 1)

    def scene(self, starts: int, intents: int = 0) -> Floats:
        """Condition, road and vehicles."""
        return np.concatenate([self.condition, self.road(), self.vehicles(starts, intents).reshape(len(self.s), -1)], 1)

    def which(self, slot: int) -> Floats:
        """Which slot it is [n, K]."""
        return np.eye(self.s.shape[1])[np.full(len(self.s), slot)]

    def beside(self, slot: int, mate: NDArray[np.int64], ahead: NDArray[np.bool_], past: NDArray[np.bool_]) -> Floats:
        """The vehicle in ``slot`` whose lane and size are known, beside whom it is placed by (``mate``, -1: the ego
        vehicle's own place along the road)."""
        rows, whom = np.arange(len(self.s)), np.maximum(mate, 0)
        side = self.lane[:, slot] - self.lane[:, EGO]
        far = np.abs(self.s[rows, whom])
        return np.stack([
            side / 2, side == 0, side > 0, ahead, past, mate < 0, mate == EGO, mate == ACTOR, far / 40,
            np.exp(-far / NEAR), (self.speed[rows, whom] - self.speed[:, EGO]) / 4, self.length[rows, whom] / 10,
            self.turn[rows, whom], self.length[:, slot] / 10, self.kind[:, slot] == 1, self.kind[:, slot] == 2,
            self.lane[:, slot] / 2, (self.lanes - 1 - self.lane[:, slot]) / 2], 1).astype(float)

    def pairs(self, slot: int) -> Floats:
        """The vehicle in ``slot``: itself, and the nearest ahead and behind in its lane and in the lane it goes to or
        beside it, [n, ...]."""
        n, count = self.s.shape
        rows = np.arange(n)
        mine = self.vehicles(count, 0)[:, slot]
        parts = [mine]
        away = self.s - self.s[:, slot, None]
        for step in (0, 1, -1):
            same = self.there & (self.lane == self.lane[:, slot, None] + step) & (np.arange(count) != slot)
            for sign in (1, -1):
                place = np.where(same & (sign * away > 0), np.abs(away), np.inf)
                who = place.argmin(1)
                seen = np.isfinite(place[rows, who])
                gap = np.where(seen, place[rows, who], 0) - (self.length[rows, who] + self.length[:, slot]) / 2
                closing = sign * (self.speed[:, slot] - self.speed[rows, who])
                told = self.told[rows, who]
                gain = self.gain[rows, who] * told[:, None]
                parts.append(np.stack([
                    np.ones(n), np.exp(-np.maximum(gap, 0) / 8), np.exp(-np.maximum(gap, 0) / 40), closing / 4,
                    np.clip(closing / np.maximum(gap, 1), -0.6, 1.2),
                    np.exp(-np.maximum(gap, 0) / np.maximum(self.speed[:, slot], 2)), told, self.turn[rows, who] * told,
                    gain[:, 0], gain[:, 1]], 1) * seen[:, None])
        parts.append(np.stack([self.lane[:, slot] / 2, (self.lanes - 1 - self.lane[:, slot]) / 2], 1))
        return np.concatenate(parts, 1)

    def later(self, slot: NDArray[np.int64], after: Floats) -> Floats:
        """Where ego vehicle and ``slot`` [n] would be ``after`` seconds at their first speeds [n, 5]."""
        rows, who = np.arange(len(self.s)), np.maximum(slot, 0)
        after = np.nan_to_num(after)
        away = self.s[rows, who] + (self.speed[rows, who] - self.speed[:, EGO]) * after
        half = (self.length[rows, who] + self.length[:, EGO]) / 2
        change = (self.gain[rows, who].mean(1) - self.gain[:, EGO].mean(1)) * after
        return np.stack([slot > 0, away / 30, (np.abs(away) - half) / 30, (self.speed[:, EGO]
                        - self.speed[rows, who]) / 4, change / 4], 1) * (slot >= 0)[:, None]


def recorded(scenes: Scenes, condition: NDArray[Any], lane: NDArray[np.int64], turn: Floats, cross: Floats,
             gain: Floats) -> Situation:
    """All that is known of recorded scenes; ``lane``, ``turn``, ``cross`` [n, K] and ``gain`` [n, K, 2] are theirs."""
    there = scenes.present
    first = scenes.states[:, :, 0].astype(np.float64)
    out = Situation.empty(condition, scenes.road[:, LANES].astype(np.int64), there.shape[1])
    out.lane = np.where(there, lane, 0)
    out.s, out.speed = first[..., S], first[..., SPEED]
    out.offset = np.where(there, first[..., D] - (lane + 0.5) * scenes.road[:, None, LANE_WIDTH], 0)
    out.drift = first[..., SPEED] * np.sin(first[..., HEADING])
    out.kind = scenes.kinds.astype(np.int64)
    out.length, out.width = (scenes.sizes[..., i].astype(np.float64) for i in (LENGTH, WIDTH))
    out.there, out.told = there.copy(), there.copy()
    out.turn, out.cross, out.gain = np.nan_to_num(turn), np.nan_to_num(cross), np.nan_to_num(gain)
    return out
