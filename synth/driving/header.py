"""The header of a scene: how it starts and what will happen, as one row of a table (back: :mod:`.staging`).

The row holds gaps and lanes relative to the ego vehicle, never positions; a vehicle's gap is to the nearest one of
its lane that came before it in the row (else to the ego vehicle's own place along the road), so a start drawn from
the table has no two vehicles of a lane in one place. What will happen is the event (who, when, how near, how hard)
and each vehicle's intent: lanes it will change, when it crosses the line, its mean acceleration over a few stretches.

Columns of the ego vehicle begin with ``ego``, of the others with ``v1``, ``v2``, ... in the order of distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract.model import Role
from synth.driving.labels import event, lanes
from synth.driving.placing import beyond, chain
from synth.driving.plan import SEGMENTS, marks
from synth.driving.roles import ACTOR
from synth.driving.scenes import (
    EGO,
    HEADING,
    LANE_WIDTH,
    LANES,
    LENGTH,
    SPEED,
    WIDTH,
    D,
    Kind,
    S,
    Scenes,
    SceneShape,
)
from synth.tabular.schema import ColumnSchema, TableSchema

ABSENT, NOBODY = "absent", "nobody"
FARTHEST_LANE = 2  # lanes to a side that are told apart
MOST_LANES = 12
ENDS = ("behind", "ahead")
BRAKING = 1.5  # m/s^2: nobody brakes who brakes less
BRAKE_OVER = 0.6  # s over which braking is measured
OTHERS = 2  # stretches of the others' profiles; the ego vehicle has SEGMENTS
EVENT = ("actor", "onset", "room", "pace", "braker", "depth", "brake", "lasting")
HAPPENS = ("cut_in", "cut_out", "lane_change", "hard_brake", "near_miss")
NEEDS_ACTOR = ("cut_in", "cut_out", "follow", "near_miss")
SPREAD = 0.1  # m: sizes of a kind that differ by less are one size
SIZES = {Kind.CAR: (4.6, 1.85), Kind.TRUCK: (12.0, 2.5), Kind.MOTORCYCLE: (2.2, 0.8)}  # m, where none was seen

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Header:
    """How scenes of one recording are put into rows. ``sizes`` (length, width) by kind where all of a kind are alike;
    ``lengths`` and ``widths`` say whether there are columns for them; ``listed`` are header columns that the listing
    has under another name: ``speed`` and ``lanes``."""

    shape: SceneShape
    lane_width: float
    sizes: tuple[tuple[float, float], ...]
    lengths: bool
    widths: bool
    listed: tuple[str, ...]

    @classmethod
    def fit(cls, scenes: Scenes, listing: TableSchema) -> Header:
        """What the recordings have in common."""
        means, spread = [], np.zeros(2)
        for kind in Kind:
            mine = scenes.sizes[scenes.present & (scenes.kinds == kind)].astype(np.float64)
            means.append(tuple(np.round(mine.mean(0), 2).tolist()) if len(mine) >= 10 else SIZES[kind])
            if len(mine):
                spread = np.maximum(spread, mine.std(0))
        return cls(shape=scenes.shape, lane_width=round(float(np.median(scenes.road[:, LANE_WIDTH])), 3),
                   sizes=tuple((float(a), float(b)) for a, b in means), lengths=bool(spread[0] > SPREAD),
                   widths=bool(spread[1] > SPREAD), listed=tuple(n for n in ("speed", "lanes") if n in listing.names))

    # -- columns ----------------------------------------------------------------------------------------

    def vehicle(self, slot: int) -> str:
        """What the columns of a slot begin with."""
        return "ego" if slot == EGO else f"v{slot}"

    def schema(self) -> TableSchema:
        """The header's own columns, to follow those of the listing."""
        numbers, labels = self._columns()
        made = {name: ColumnSchema(name=name, role=Role.CATEGORICAL, nullable=False, values=values)
                for name, values in labels.items()}
        made |= {name: ColumnSchema(name=name, role=Role.NUMERIC, nullable=nullable, decimals=decimals)
                 for name, (nullable, decimals) in numbers.items()}
        return TableSchema(columns=tuple(made[name] for name in self._order()))

    def _columns(self) -> tuple[dict[str, tuple[bool, int]], dict[str, tuple[str, ...]]]:
        count = self.shape.vehicles
        slots = tuple(self.vehicle(i) for i in range(count))
        numbers: dict[str, tuple[bool, int]] = {name: (True, 2) for name in EVENT if name not in ("actor", "braker")}
        labels: dict[str, tuple[str, ...]] = {"actor": (NOBODY, *slots), "braker": (NOBODY, *slots)}
        sides = range(-FARTHEST_LANE, FARTHEST_LANE + 1)
        for slot, name in enumerate(slots):
            other = slot != EGO
            labels[f"{name} kind"] = tuple(kind.name.lower() for kind in Kind)
            labels[f"{name} turn"] = tuple(f"{turn:+d}" for turn in sides)
            if other:
                ends = ENDS if slot == ACTOR else (*ENDS, *(f"{end} past" for end in ENDS))
                labels[f"{name} where"] = (ABSENT, *(f"{side:+d} {end}" for side in sides for end in ends))
                numbers[f"{name} gap"] = (True, 2)
                numbers[f"{name} closing"] = (True, 2)
            else:
                labels["ego lane"] = tuple(str(i) for i in range(MOST_LANES))
                if "speed" not in self.listed:
                    numbers["ego speed"] = (False, 2)
                if "lanes" not in self.listed:
                    numbers["road lanes"] = (False, 0)
            for part, wanted in (("length", self.lengths), ("width", self.widths)):
                if wanted:
                    numbers[f"{name} {part}"] = (other, 2)
            numbers |= {f"{name} {part}": (other, 3) for part in ("offset", "drift")}
            numbers[f"{name} cross"] = (True, 2)
            numbers |= {f"{name} a{i}": (other, 3) for i in range(OTHERS if other else SEGMENTS)}
        return numbers, labels

    def _order(self) -> list[str]:
        numbers, labels = self._columns()
        mine: list[str] = []
        for slot in range(self.shape.vehicles):
            name = self.vehicle(slot)
            parts = (["road lanes", "ego lane", "ego speed"] if slot == EGO else [f"{name} where"])
            parts += [f"{name} {part}" for part in (
                "kind", "length", "width", "gap", "closing", "offset", "drift", "turn", "cross",
                *(f"a{i}" for i in range(SEGMENTS)))]
            mine += [part for part in parts if part in numbers or part in labels]
        return [*EVENT, *mine]

    # -- scenes to rows ---------------------------------------------------------------------------------

    def describe(self, scenes: Scenes) -> pd.DataFrame:
        """The header's columns of recorded scenes that :func:`.roles.cast` has ordered, a working frame."""
        n, count = scenes.present.shape
        states, there = scenes.states.astype(np.float64), scenes.present
        dt, steps = scenes.shape.dt, scenes.shape.steps
        lane, found = lanes(scenes).astype(np.int64), event(scenes)
        cells: dict[str, Any] = {}
        rows = np.arange(n)
        slots = np.array([self.vehicle(i) for i in range(count)], dtype=object)

        def named(slot: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(np.where(slot < 0, NOBODY, slots[np.maximum(slot, 0)]), dtype=object)

        actor = found.actor.astype(np.int64)
        cells["actor"] = named(actor)
        calm = np.isin(found.label, ("free", "follow"))
        cells["onset"] = np.where((actor < 0) | calm, np.nan, found.step * dt)
        centre = states[rows, np.maximum(actor, 0), found.step, S] - states[rows, EGO, found.step, S]
        length = scenes.sizes[..., LENGTH].astype(np.float64)
        room = np.abs(centre) - (length[rows, np.maximum(actor, 0)] + length[:, EGO]) / 2
        cells["room"] = np.where((actor > 0) & ~calm, room, np.nan)
        closing = states[rows, EGO, found.step, SPEED] - states[rows, np.maximum(actor, 0), found.step, SPEED]
        cells["pace"] = np.where((actor > 0) & ~calm, closing, np.nan)
        over = min(max(round(BRAKE_OVER / dt), 1), steps - 1)
        loss = (states[..., :-over, SPEED] - states[..., over:, SPEED]) / (over * dt)
        loss = np.where(there[..., None], loss, -np.inf)
        hardest = loss.max(-1)
        braker = np.where((found.label == "hard_brake") & (actor >= 0), actor, hardest.argmax(1))
        depth, when = hardest[rows, braker], loss[rows, braker].argmax(-1)
        hard = depth >= BRAKING
        cells["braker"] = named(np.where(hard, braker, -1))
        begin, end = _stretch(-np.diff(states[rows, braker, :, SPEED], axis=1) / dt, depth / 2, when)
        for part, values in (("depth", depth), ("brake", begin * dt), ("lasting", (end - begin) * dt)):
            cells[part] = np.where(hard, values, np.nan)

        first, last = lane[..., 0], lane[..., -1]
        turn = np.where(there, np.clip(last - first, -FARTHEST_LANE, FARTHEST_LANE), 0)
        changed = lane != first[..., None]
        cross = np.where((turn != 0) & there, changed.argmax(-1) * dt, np.nan)
        offset = states[..., 0, D] - (first + 0.5) * scenes.road[:, None, LANE_WIDTH]
        drift = states[..., 0, SPEED] * np.sin(states[..., 0, HEADING])
        past = beyond(states[..., 0, S], first, there)
        reference = chain(states[..., 0, S], length, first, there, past)
        for slot in range(count):
            name, on = self.vehicle(slot), there[:, slot]
            cells[f"{name} kind"] = np.array([Kind(k).name.lower() for k in Kind], dtype=object)[scenes.kinds[:, slot]]
            cells[f"{name} turn"] = np.array([f"{t:+d}" for t in turn[:, slot]], dtype=object)
            cells[f"{name} length"], cells[f"{name} width"] = (np.where(on, scenes.sizes[:, slot, i], np.nan)
                                                               for i in (LENGTH, WIDTH))
            parts = {"offset": offset, "drift": drift, "cross": cross}
            cells |= {f"{name} {part}": np.where(on, values[:, slot], np.nan) for part, values in parts.items()}
            pieces = SEGMENTS if slot == EGO else OTHERS
            at = marks(steps, pieces)
            speed = states[:, slot, at, SPEED]
            for i in range(pieces):
                mean = (speed[:, i + 1] - speed[:, i]) / ((at[i + 1] - at[i]) * dt)
                cells[f"{name} a{i}"] = np.where(on, mean, np.nan)
            if slot == EGO:
                cells["ego lane"] = np.array([str(i) for i in np.clip(first[:, EGO], 0, MOST_LANES - 1)], dtype=object)
                cells["ego speed"], cells["road lanes"] = states[:, EGO, 0, SPEED], scenes.road[:, LANES]
                continue
            side = np.clip(first[:, slot] - first[:, EGO], -FARTHEST_LANE, FARTHEST_LANE)
            ahead = states[:, slot, 0, S] > states[:, EGO, 0, S]
            cells[f"{name} where"] = np.array([
                f"{a:+d} {ENDS[int(b)]}{' past' if p else ''}" if c else ABSENT
                for a, b, p, c in zip(side, ahead, past[:, slot], on, strict=True)], dtype=object)
            gap, mate = reference[slot]
            cells[f"{name} gap"] = np.where(on, np.maximum(gap, 0.0), np.nan)
            other = states[rows, mate, 0, SPEED]
            cells[f"{name} closing"] = np.where(on, states[:, slot, 0, SPEED] - other, np.nan)
        schema = self.schema()
        return pd.DataFrame({c.name: pd.Series(cells[c.name], dtype="float64" if c.is_number else "str")
                             for c in schema.columns})

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        shape = {"vehicles": self.shape.vehicles, "steps": self.shape.steps, "rate": self.shape.rate}
        return {"shape": shape, "lane_width": self.lane_width, "sizes": [list(size) for size in self.sizes],
                "lengths": self.lengths, "widths": self.widths, "listed": list(self.listed)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Header:
        """The inverse of :meth:`to_json`."""
        return cls(shape=SceneShape(**data["shape"]), lane_width=data["lane_width"],
                   sizes=tuple((a, b) for a, b in data["sizes"]), lengths=data["lengths"], widths=data["widths"],
                   listed=tuple(data["listed"]))


def _stretch(loss: Floats, least: Floats, inside: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The unbroken stretch round the step ``inside`` in which a speed falls by ``least`` or more: first step, and the
    step after the last; ``loss`` [n, T - 1] m/s^2."""
    slow = loss < least[:, None]
    steps = np.arange(loss.shape[1])
    middle = np.minimum(inside + 1, loss.shape[1] - 1)  # braking may have begun within its window
    before = np.where(slow & (steps < middle[:, None]), steps + 1, 0).max(1)
    after = np.where(slow & (steps > middle[:, None]), steps, loss.shape[1]).min(1)
    return before, np.maximum(after, before + 1)
