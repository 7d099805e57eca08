"""From rows to scenes: the plan of each row of a frame with the listing's and the header's columns.

Whatever a row says, its vehicles are on the road, those of a lane are apart, and what they intend agrees with the
manoeuvre that is asked for.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.driving.bicycle import BOUNDS
from synth.driving.header import ABSENT, HAPPENS, MOST_LANES, NEEDS_ACTOR, OTHERS, Floats, Header
from synth.driving.placing import place
from synth.driving.plan import SEGMENTS, Plan
from synth.driving.roles import ACTOR, apart, sides_for, spared, turns_for
from synth.driving.scenes import EGO, HEADING, LENGTH, MANOEUVRE, SPEED, WIDTH, D, Kind, S

NEAREST, NEAR, NEAR_BOUNDS = "min_ttc", 1.2, (0.8, 1.25)  # s of a near miss: column, where it says nothing, bounds
EDGE, STILL = 0.25, 0.1  # m left to the road's edge at the start; m/s towards it there


def realise(header: Header, frame: pd.DataFrame, friction: NDArray[np.float32], condition: NDArray[np.float32]
            ) -> Plan:
    """``friction`` [n] of each row's road, ``condition`` [n, C] what the drivers are told of it."""
    n, count = len(frame), header.shape.vehicles

    def number(name: str, default: float = 0.0) -> Floats:
        if name not in frame:
            return np.full(n, default)
        return np.nan_to_num(frame[name].to_numpy(dtype=np.float64), nan=default)

    road_lanes = np.round(_numeric(frame["lanes" if "lanes" in header.listed else "road lanes"])).clip(1, MOST_LANES)
    speed_ego = np.clip(_numeric(frame["speed" if "speed" in header.listed else "ego speed"]), 0, BOUNDS.speed)
    states, sizes = np.zeros((n, count, 4)), np.zeros((n, count, 2))
    there, kinds = np.zeros((n, count), bool), np.zeros((n, count), np.int8)
    lane = np.zeros((n, count), np.int64)
    turn, cross = np.zeros((n, count)), np.full((n, count), np.nan)
    profile = np.full((n, count, SEGMENTS), np.nan)
    shows = frame[MANOEUVRE].to_numpy(dtype=str) if MANOEUVRE in frame else np.full(n, "")
    most = road_lanes.astype(np.int64) - 1
    past = np.zeros((n, count), bool)
    names = {kind.name.lower(): int(kind) for kind in Kind}
    known = np.array(header.sizes)
    for slot in range(count):
        name = header.vehicle(slot)
        kind = frame[f"{name} kind"].map(names).fillna(0).to_numpy(dtype=np.int8)
        where = frame[f"{name} where"].fillna(ABSENT).to_numpy(dtype=str) if slot else np.full(n, "+0 ahead")
        on = where != ABSENT
        if slot == ACTOR:
            on |= np.isin(shows, NEEDS_ACTOR)
        there[:, slot], kinds[:, slot] = on, np.where(on, kind, 0)
        for i, (part, least) in enumerate((("length", 1.5), ("width", 0.5))):
            column = f"{name} {part}"
            own = frame[column].to_numpy(dtype=np.float64) if column in frame else np.full(n, np.nan)
            sizes[:, slot, i] = np.where(np.isfinite(own), np.maximum(own, least), known[kind, i])
        if slot == EGO:
            lane[:, EGO] = np.clip(frame["ego lane"].to_numpy(dtype=str).astype(np.int64), 0, road_lanes - 1)
            states[:, EGO, SPEED] = speed_ego
        else:
            side = np.array([int(w.split()[0]) if w != ABSENT else 0 for w in where])
            ahead = np.array(["ahead" in w for w in where])
            past[:, slot] = np.array([w.endswith("past") for w in where])
            if slot == ACTOR:
                side = sides_for(shows, side, lane[:, EGO], most)
                ahead |= np.isin(shows, ("cut_out", "follow"))
            lane[:, slot] = np.clip(lane[:, EGO] + side, 0, road_lanes - 1)
            gap, closing = np.maximum(number(f"{name} gap", 30.0), 0.0), number(f"{name} closing")
            states[:, slot, S], mate = place(states[..., S], sizes[..., LENGTH], lane, there, slot, ahead, gap,
                                                  past[:, slot])
            states[:, slot, SPEED] = np.clip(states[np.arange(n), mate, SPEED] + closing, 0, BOUNDS.speed)
        room = np.maximum(0.0, (header.lane_width - sizes[:, slot, WIDTH]) / 2 + 0.9)
        offset = np.clip(number(f"{name} offset"), -room, room)
        half, edge = sizes[:, slot, WIDTH] / 2, road_lanes * header.lane_width
        half = half + np.minimum(EDGE, (header.lane_width - sizes[:, slot, WIDTH]).clip(0) / 2)
        states[:, slot, D] = np.clip((lane[:, slot] + 0.5) * header.lane_width + offset, half, edge - half)
        left, right = edge - half - states[:, slot, D], states[:, slot, D] - half  # to steer back in time
        drift = np.clip(number(f"{name} drift"), -right - STILL, left + STILL)
        fast = np.maximum(states[:, slot, SPEED], 1.0)
        swing = 2 * (np.minimum(left, right) + half - sizes[:, slot, WIDTH] / 2) / sizes[:, slot, LENGTH]
        states[:, slot, HEADING] = np.clip(np.arcsin(np.clip(drift / fast, -0.3, 0.3)), -swing, swing)
        moved = frame[f"{name} turn"].fillna("+0").to_numpy(dtype=str).astype(np.int64)
        turn[:, slot] = moved
        cross[:, slot] = number(f"{name} cross", np.nan)
        pieces = SEGMENTS if slot == EGO else OTHERS
        for i in range(SEGMENTS):
            profile[:, slot, i] = number(f"{name} a{i * pieces // SEGMENTS}", np.nan)
        states[:, slot] *= on[:, None]
        sizes[:, slot] *= on[:, None]
    slots = {header.vehicle(i): i for i in range(count)}

    def who(name: str) -> NDArray[np.int64]:
        slot = frame[name].map(slots).fillna(-1).to_numpy(dtype=np.int64)
        return np.where((slot >= 0) & there[np.arange(n), np.maximum(slot, 0)], slot, -1)

    braker, actor = who("braker"), who("actor")
    turn = turns_for(shows, turn.astype(np.int64), lane, most).astype(float)
    onset, depth, brake = (number(part, np.nan) for part in ("onset", "depth", "brake"))
    onset = np.where(np.isnan(onset) & np.isin(shows, HAPPENS), header.shape.steps * header.shape.dt / 2, onset)
    for slot, doing in ((EGO, ("lane_change",)), (ACTOR, ("cut_in", "cut_out"))):
        if slot < count:
            cross[:, slot] = np.where(np.isin(shows, doing), onset, cross[:, slot])
    cross = np.where(turn != 0, np.nan_to_num(cross, nan=4.0), np.nan)
    actor = np.where(np.isin(shows, NEEDS_ACTOR), min(ACTOR, count - 1), actor)
    actor = np.where(shows == "lane_change", EGO, actor)
    hard = shows == "hard_brake"
    actor = np.where(hard & ~np.isin(actor, (EGO, ACTOR)), EGO, actor)
    braker = np.where(hard, actor, braker)
    depth = np.where(hard, np.maximum(np.nan_to_num(depth, nan=5.0), 3.8), depth)
    brake = np.where(hard, np.where(np.isnan(brake), onset, brake), brake)
    mild = np.isin(shows, (*HAPPENS[:3], "free", "follow")) & (braker <= ACTOR)
    depth = np.where(mild, np.minimum(depth, 3.2), depth)
    near = np.where(shows == "near_miss", np.clip(number(NEAREST, NEAR), *NEAR_BOUNDS), 0.0)
    apart(states, sizes, there, spared(shows), friction.astype(np.float64))
    return Plan(start=states.astype(np.float32), present=there, sizes=sizes.astype(np.float32), kinds=kinds,
                road=np.stack([road_lanes, np.full(n, header.lane_width)], 1).astype(np.float32), friction=friction,
                turn=turn.astype(np.float32), cross=cross.astype(np.float32), profile=profile.astype(np.float32),
                actor=actor, onset=np.where(actor >= 0, onset, np.nan).astype(np.float32),
                room=np.where(actor > 0, number("room", np.nan), np.nan).astype(np.float32),
                pace=np.where(actor > 0, number("pace", np.nan), np.nan).astype(np.float32), braker=braker,
                depth=np.where(braker >= 0, depth, np.nan).astype(np.float32),
                brake=np.where(braker >= 0, brake, np.nan).astype(np.float32),
                lasting=np.where(braker >= 0, number("lasting", 1.0), np.nan).astype(np.float32),
                near=near.astype(np.float32), condition=condition)


def _numeric(column: pd.Series) -> Floats:
    """A number column, or a label column of printed numbers; what is neither is its first usable value."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    return np.nan_to_num(values, nan=float(values[np.isfinite(values)][0]) if np.isfinite(values).any() else 1.0)
