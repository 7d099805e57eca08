"""The blocks of a header: which fields are drawn together, in which order, and what each block is told.

The ego vehicle's start comes first, then where each of the others is and how it moves (one vehicle after the other,
one network for all), the event, what each vehicle is going to do, and how ego vehicle and actor meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.driving.cells import Cells, Field
from synth.driving.header import NOBODY, OTHERS, Header
from synth.driving.labels import lanes
from synth.driving.placing import beyond, mates
from synth.driving.plan import SEGMENTS
from synth.driving.scenes import EGO, Scenes
from synth.driving.situation import Situation, recorded

FIELDS: dict[str, tuple[str, ...]] = {
    "ego": ("road lanes", "ego speed", "ego lane", "ego kind", "ego length", "ego width", "ego offset", "ego drift"),
    "where": ("where", "kind", "length", "width"), "gap": ("gap", "closing", "offset", "drift"),
    "event": ("actor", "onset", "braker", "depth", "brake", "lasting"),
    "plan": ("ego turn", "ego cross", *(f"ego a{i}" for i in range(SEGMENTS))),
    "plans": ("turn", "cross", *(f"a{i}" for i in range(OTHERS))), "meeting": ("room", "pace")}
SHARED = ("where", "gap", "plans")  # blocks of every vehicle after the ego vehicle
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Event:
    """What is known of the event: ``facts`` [n, E], slots of ``actor`` and ``braker`` [n] (-1: nobody), ``onset``."""

    facts: NDArray[np.float64]
    actor: NDArray[np.int64]
    braker: NDArray[np.int64]
    onset: NDArray[np.float64]

    @classmethod
    def of(cls, columns: Columns, header: Header) -> Event:
        """From the fields of the block."""
        names = people(header)
        slots = {name: i - 1 for i, name in enumerate(names)}
        parts: list[NDArray[Any]] = []
        for name, scale in (("onset", 4.0), ("depth", 5.0), ("brake", 4.0), ("lasting", 2.0)):
            values = columns[name].astype(np.float64)
            parts += [np.isfinite(values), np.nan_to_num(values) / scale]
        for name in ("actor", "braker"):
            parts += [columns[name] == who for who in names]
        actor, braker = (np.array([slots[who] for who in columns[name]], dtype=np.int64).reshape(-1)
                         for name in ("actor", "braker"))
        return cls(np.stack(parts, 1).astype(np.float64), actor, braker, columns["onset"].astype(np.float64))


@dataclass(frozen=True)
class Placed:
    """By whom the vehicle of a slot is placed: slot of its ``mate`` (-1 the ego vehicle's place), on which side."""

    mate: NDArray[np.int64]
    ahead: NDArray[np.bool_]
    past: NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """Training rows of a block: ``context`` [m, C], what is told of the fields [m, P], ``tokens`` [m, F] (-1: not
    to be learnt), and each row's scene [m]."""

    context: Tensor
    told: Tensor
    tokens: Tensor
    scene: Tensor

    def of(self, scenes: Tensor) -> Rows:
        """The rows of scenes under a mask."""
        at = torch.nonzero(scenes[self.scene])[:, 0]
        return Rows(self.context[at], self.told[at], self.tokens[at], self.scene[at])


def people(header: Header) -> tuple[str, ...]:
    """Labels of who does something."""
    return (NOBODY, *(header.vehicle(i) for i in range(header.shape.vehicles)))


def columns_of(frame: pd.DataFrame, header: Header) -> Columns:
    """The header's columns; those of the vehicles after the ego vehicle stacked [n, K - 1] under one name."""
    found: Columns = {str(name): frame[name].to_numpy(
        dtype=np.float64 if pd.api.types.is_numeric_dtype(frame[name]) else object) for name in header.schema().names}
    for block in SHARED:
        for part in FIELDS[block]:
            if f"v1 {part}" in found:
                found[part] = np.stack([found[f"{header.vehicle(i)} {part}"]
                                        for i in range(1, header.shape.vehicles)], 1)
    return found


def fitted(columns: Columns, header: Header, k: int) -> dict[str, Cells]:
    """The fields of every block, bins from the train part; no bound is one of fewer than ``k`` values."""
    schema = header.schema()
    last = header.vehicle(header.shape.vehicles - 1)  # the actor's slot has fewer labels than those after it
    out = {}
    for block, names in FIELDS.items():
        fields = []
        for name in names:
            full = f"{last} {name}" if block in SHARED else name
            if full not in schema.names or (block in SHARED and header.shape.vehicles < 2):
                continue
            fields.append(Field.fit(name, columns[name].astype(np.float64).ravel(), k) if schema[full].is_number
                          else Field(name=name, labels=tuple(schema[full].values or ())))
        if fields:
            out[block] = Cells(tuple(fields))
    return out


def told(block: str, now: Situation, slot: int, event: Event | None = None, placed: Placed | None = None
         ) -> NDArray[np.float32]:
    """What a block knows before it draws for the vehicle in ``slot``, float32 [n, C]."""
    count = now.s.shape[1]
    parts: list[NDArray[Any]]
    if block == "ego":
        parts = [now.condition, now.lanes[:, None] / 3, now.speed[:, :1] / 20]
    elif block == "where":
        parts = [now.scene(slot), now.which(slot)]
    elif block == "gap":
        assert placed is not None
        parts = [now.scene(slot), now.which(slot), now.beside(slot, placed.mate, placed.ahead, placed.past)]
    elif block == "event":
        parts = [now.scene(count), now.pairs(EGO)]
    else:
        assert event is not None
        if block == "meeting":
            parts = [now.scene(count, count), event.facts, now.later(event.actor, event.onset)]
        else:
            mine = np.stack([event.actor == slot, event.braker == slot], 1)
            parts = [now.scene(count, slot), now.which(slot), event.facts, mine, now.pairs(slot)]
    return np.concatenate(parts, 1).astype(np.float32)


def known(scenes: Scenes, columns: Columns, condition: NDArray[Any], header: Header) -> Situation:
    """The situation of recorded scenes, all of it known."""
    names = [header.vehicle(i) for i in range(header.shape.vehicles)]
    turn, cross = (np.stack([columns[f"{name} {part}"].astype(np.float64) for name in names], 1)
                   for part in ("turn", "cross"))
    gain = []
    for slot, name in enumerate(names):
        pieces = SEGMENTS if slot == EGO else OTHERS
        a = np.stack([columns[f"{name} a{i}"] for i in range(pieces)], 1)
        gain.append(a.reshape(len(a), 2, -1).mean(-1))
    return recorded(scenes, condition, lanes(scenes)[..., 0].astype(np.int64), turn, cross, np.stack(gain, 1))


def rows(scenes: Scenes, frame: pd.DataFrame, condition: NDArray[Any], header: Header, cells: dict[str, Cells]
         ) -> dict[str, Rows]:
    """Training rows of every block, from cast scenes and their header."""
    columns = columns_of(frame, header)
    now, event = known(scenes, columns, condition, header), Event.of(columns, header)
    past = beyond(now.s, now.lane, now.there)
    out = {}
    for block, mine in cells.items():
        parts: list[tuple[Tensor, ...]] = []
        for slot in range(1, header.shape.vehicles) if block in SHARED else (EGO,):
            there, placed = now.there[:, slot], None
            if block == "gap":
                ahead = now.s[:, slot] > now.s[:, EGO]
                placed = Placed(mates(now.s, now.lane, now.there, slot, ahead, past[:, slot]), ahead, past[:, slot])
            values = {f.name: columns[f.name][:, slot - 1] if block in SHARED else columns[f.name]
                      for f in mine.fields}
            tokens, said = mine.encode(values)
            tokens[~torch.from_numpy(there), 1 if block == "where" else 0:] = -1  # where nobody is, is something, too
            asked = np.ones(len(there), bool) if block == "where" else event.actor > 0 if block == "meeting" else there
            at = torch.from_numpy(np.flatnonzero(asked))
            parts.append((torch.from_numpy(told(block, now, slot, event, placed))[at], said[at], tokens[at], at))
        out[block] = Rows(*(torch.cat(part) for part in zip(*parts, strict=True)))
    return out
