"""Drawing headers: block after block, vehicle after vehicle, each told of what came before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.driving import possible
from synth.driving.blocks import Columns, Event, Placed, people, told
from synth.driving.cells import Cells, Field
from synth.driving.header import ABSENT, MOST_LANES, OTHERS, Header
from synth.driving.networks.fields import FieldNetwork
from synth.driving.placing import mates
from synth.driving.plan import SEGMENTS
from synth.driving.roles import ACTOR, apart, spared
from synth.driving.scenes import EGO, MANOEUVRE, SPEED, D, Kind, S
from synth.driving.situation import Situation

May = Callable[[Field, Columns], NDArray[np.bool_] | None]
MISSING = (5.0, 3.5)  # m left in a near miss, and m/s at which it is closed in to
MEETING = (4.0, 36.0)  # m between ego vehicle and whoever cuts in or out, when it does
KINDS = {kind.name.lower(): int(kind) for kind in Kind}


class Outline:
    """Headers of n scenes on their way from nothing to all columns; :meth:`draw` gives them."""

    def __init__(self, table: pd.DataFrame, condition: NDArray[Any], friction: NDArray[Any], header: Header,
                 cells: dict[str, Cells], networks: dict[str, FieldNetwork], rng: torch.Generator) -> None:
        self.friction = friction.astype(np.float64)
        self.header, self.cells, self.networks, self.rng = header, cells, networks, rng
        self.n, self.rows = len(table), np.arange(len(table))
        self.shows = (table[MANOEUVRE].fillna("").to_numpy(dtype=str) if MANOEUVRE in table
                      else np.full(self.n, "", dtype=str))
        self.now = Situation.empty(condition, np.ones(self.n, np.int64), header.shape.vehicles)
        if "lanes" in header.listed:
            self.now.lanes = np.round(_filled(table["lanes"])).clip(1, MOST_LANES).astype(np.int64)
        if "speed" in header.listed:
            self.now.speed[:, EGO] = _filled(table["speed"])
        self.found: Columns = {}

    def draw(self) -> pd.DataFrame:
        """The header's columns."""
        self._ego()
        for slot in range(1, self.header.shape.vehicles):
            self._other(slot)
        self._settle()
        event = self._event()
        self._meet(event)
        for slot in range(self.header.shape.vehicles):
            self._plan(slot, event)
        meeting = self._step("meeting", EGO, lambda *_: None, event) if "meeting" in self.cells else {}
        meets = (event.actor > 0) & np.isfinite(event.onset)
        self.found |= {name: np.where(meets, values, np.nan) for name, values in meeting.items()}
        return pd.DataFrame({c.name: pd.Series(self.found[c.name], dtype="float64" if c.is_number else "str")
                             for c in self.header.schema().columns})

    def _step(self, block: str, slot: int, may: May, event: Event | None = None, placed: Placed | None = None
              ) -> Columns:
        """Draw a block's fields for the vehicle in ``slot``."""
        fields, found = self.cells[block].fields, {}

        def allowed(i: int, values: Tensor) -> Tensor | None:
            if i:
                found[fields[i - 1].name] = _read(fields[i - 1], values[:, i - 1])
            mask = may(fields[i], found)
            return None if mask is None else torch.from_numpy(mask)

        context = torch.from_numpy(told(block, self.now, slot, event, placed))
        values = self.networks[block].draw(context, self.cells[block], self.rng, allowed)
        return found | {fields[-1].name: _read(fields[-1], values[:, -1])}

    def _moved(self, slot: int, found: Columns, before: str) -> None:
        for part, target in (("offset", self.now.offset), ("drift", self.now.drift)):
            target[:, slot] = np.nan_to_num(found[before + part].astype(np.float64))

    def _sized(self, slot: int, found: Columns, before: str) -> None:
        kind = np.array([KINDS[name] for name in found[f"{before}kind"]], dtype=np.int64)
        known = np.array(self.header.sizes)[kind]
        self.now.kind[:, slot] = kind
        for i, (part, target) in enumerate((("length", self.now.length), ("width", self.now.width))):
            own = found.get(before + part, np.full(self.n, np.nan)).astype(np.float64)
            target[:, slot] = np.where(np.isfinite(own), own, known[:, i])

    def _ego(self) -> None:
        now = self.now

        def may(field: Field, so_far: Columns) -> NDArray[np.bool_] | None:
            if field.name != "ego lane":
                return possible.given(field, np.ones(self.n, bool)) if field.number else None
            if "road lanes" in so_far:
                now.lanes = np.round(so_far["road lanes"]).clip(1, MOST_LANES).astype(np.int64)
            return np.asarray(np.array(field.labels).astype(int) < now.lanes[:, None])

        found = self._step("ego", EGO, may)
        if "ego speed" in found:
            now.speed[:, EGO] = np.maximum(found["ego speed"], 0)
        now.lane[:, EGO] = found["ego lane"].astype(str).astype(np.int64)
        now.there[:, EGO] = True
        self._sized(EGO, found, "ego ")
        self._moved(EGO, found, "ego ")
        self.found |= found

    def _other(self, slot: int) -> None:
        now, shows = self.now, self.shows
        field = self.cells["where"].at("where")
        fits = possible.places(field, now, slot, shows)
        found = self._step("where", slot, lambda f, _: fits if f.name == "where" else None)
        where = found["where"].astype(str)
        on = where != ABSENT
        side = np.array([int(w.split()[0]) if w != ABSENT else 0 for w in where], dtype=np.int64)
        ahead, past = np.char.find(where, "ahead") >= 0, np.char.endswith(where, "past")
        now.lane[:, slot] = np.where(on, np.clip(now.lane[:, EGO] + side, 0, now.lanes - 1), 0)
        now.there[:, slot] = on
        self._sized(slot, found, "")
        placed = Placed(mates(now.s, now.lane, now.there, slot, ahead, past), ahead, past)

        def may(f: Field, _: Columns) -> NDArray[np.bool_]:
            known = possible.given(f, np.ones(self.n, bool))
            if f.name == "gap":
                known &= possible.gaps(f, now, slot, placed.mate, ahead, shows)
            return known

        found |= self._step("gap", slot, may, placed=placed)
        whom = np.maximum(placed.mate, 0)
        half = (now.length[self.rows, whom] + now.length[:, slot]) / 2
        way = np.maximum(found["gap"], 0) + np.where(placed.mate < 0, 0.0, half)
        now.s[:, slot] = now.s[self.rows, whom] + np.where(ahead, way, -way)
        now.speed[:, slot] = np.maximum(now.speed[self.rows, whom] + found["closing"], 0)
        self._moved(slot, found, "")
        for array in (now.s, now.speed, now.offset, now.drift, now.length, now.width):
            array[:, slot] *= on
        self._keep(slot, found)

    def _keep(self, slot: int, found: Columns) -> None:
        on, name = self.now.there[:, slot], self.header.vehicle(slot)
        for part, values in found.items():
            number = values.dtype != object
            self.found[part if slot == EGO else f"{name} {part}"] = np.where(on, values, np.nan) if number else values

    def _settle(self) -> None:
        """Starts as they will be realised, so that what follows is told of them."""
        now = self.now
        states = np.zeros((*now.s.shape, 4))
        states[..., S], states[..., SPEED] = now.s, now.speed
        states[..., D] = (now.lane + 0.5) * self.header.lane_width + now.offset
        apart(states, np.stack([now.length, now.width], -1), now.there, spared(self.shows), self.friction)
        now.s, now.speed = states[..., S], states[..., SPEED]

    def _event(self) -> Event:
        labels = people(self.header)[1:]

        def may(field: Field, so_far: Columns) -> NDArray[np.bool_]:
            if not field.number:
                return possible.people(field, self.now, so_far, self.shows)
            return possible.event(field, self.now, so_far, self.shows, labels)

        found = self._step("event", EGO, may)
        self.found |= found
        return Event.of(found, self.header)

    def _meet(self, event: Event) -> None:
        """Who cuts in or out is ahead and near when it does, and a near miss can be reached at an ordinary pace: a
        start that leads elsewhere is moved along the road."""
        if self.header.shape.vehicles <= ACTOR:
            return
        now, near = self.now, self.shows == "near_miss"
        moves = (np.isin(self.shows, ("cut_in", "cut_out")) | near) & now.there[:, ACTOR]
        half, onset = (now.length[:, ACTOR] + now.length[:, EGO]) / 2, np.nan_to_num(event.onset)
        after = onset * (now.speed[:, ACTOR] - now.speed[:, EGO])
        gap = now.s[:, ACTOR] + after - half
        least = np.where(self.shows == "cut_out", np.maximum(MEETING[0], MEETING[0] + after), MEETING[0])
        s = now.s[:, ACTOR] + np.clip(gap, least, np.maximum(least, MEETING[1])) - gap
        away = np.clip(np.abs(now.s[:, ACTOR]) - half, MISSING[0] + 1, MISSING[0] + MISSING[1] * onset) + half
        s = np.where(moves, np.where(near, np.where(now.s[:, ACTOR] > 0, away, -away), s), now.s[:, ACTOR])
        changed = moves & (np.abs(s - now.s[:, ACTOR]) > 0.01)
        same = now.lane[:, ACTOR] == now.lane[:, EGO]
        name = self.header.vehicle(ACTOR)
        side = np.where(now.s[:, ACTOR] > 0, "ahead", "behind"), np.where(s > 0, "ahead", "behind")
        where = self.found[f"{name} where"].astype(str)
        self.found[f"{name} where"] = np.where(changed, np.char.replace(where, side[0], side[1]), where).astype(object)
        self.found[f"{name} gap"] = np.where(changed, np.maximum(np.abs(s) - half * same, 0), self.found[f"{name} gap"])
        now.s[:, ACTOR] = s
        self._settle()

    def _plan(self, slot: int, event: Event) -> None:
        now, block, before = self.now, *(("plan", "ego ") if slot == EGO else ("plans", ""))

        half = (self.header.shape.steps - 1) * self.header.shape.dt / 2

        def may(field: Field, so_far: Columns) -> NDArray[np.bool_]:
            if not field.number:
                return possible.turns(field, now, slot, self.shows, event.onset)
            if field.name == f"{before}cross":
                return possible.crossings(field, now, slot, so_far[f"{before}turn"].astype(str).astype(np.int64))
            return possible.profiles(field, now, slot, self.shows, so_far, event.onset, half)

        found = self._step(block, slot, may, event)
        turn = found[f"{before}turn"].astype(str).astype(np.int64)
        acts = self.shows == "lane_change" if slot == EGO else np.isin(self.shows, ("cut_in", "cut_out"))
        if slot <= ACTOR:  # the event is this change of lane
            cross = f"{before}cross"
            found[cross] = np.where(acts & (turn != 0), event.onset, found[cross])
        now.turn[:, slot], now.cross[:, slot] = turn, np.nan_to_num(found[f"{before}cross"].astype(np.float64))
        pieces = SEGMENTS if slot == EGO else OTHERS
        profile = np.stack([found[f"{before}a{i}"] for i in range(pieces)], 1)
        now.gain[:, slot] = profile.reshape(self.n, 2, -1).mean(-1)
        now.told[:, slot] = now.there[:, slot]
        self._keep(slot, found)


def _read(field: Field, values: Tensor) -> NDArray[Any]:
    """A field's values as they stand in a frame."""
    if field.number:
        return np.asarray(values.double().numpy())
    return np.asarray(np.array(field.labels, dtype=object)[values.long().numpy()])


def _filled(column: pd.Series) -> NDArray[np.float64]:
    values = column.to_numpy(dtype=np.float64)
    return np.asarray(np.nan_to_num(values, nan=float(np.nanmedian(values)) if np.isfinite(values).any() else 1.0))
