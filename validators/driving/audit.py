"""An audit of the promise made for scenes: canaries among them, guessed from the noisy marginals of their rows.

As for tables (:mod:`validators.audit`), but what is planted are scenes: they go the whole way from the stored drives
over who may be measured, the listing and the header to the noisy counts. A canary's vehicles drive with speeds that
recorded vehicles have, anywhere round an ego vehicle, and change lanes by chance; of its listing labels are drawn
evenly and numbers from those recorded. So its cells are spread out: of rows drawn evenly over the declared domain most
numbers share a cell, since cells are narrow where recorded scenes are. Under the unit
entity a canary is a group of as many equal scenes as a group may add.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract.model import Contract, Unit
from synth.driving.evidence import SceneEvidence
from synth.driving.header import FARTHEST_LANE, SIZES
from synth.driving.private.measure import Known, described, measured
from synth.driving.scenes import EGO, HEADING, LANE_WIDTH, LANES, SPEED, D, Kind, S, Scenes, joined
from synth.gan.private import noise
from synth.progress import Silent
from synth.records.budget import units
from synth.tabular.private.axes import SINGLE, Grid
from synth.tabular.private.find import lacking
from synth.tabular.private.measure import kept
from synth.tabular.schema import TableSchema
from validators import audit as tables
from validators.audit import CANARIES, GUESSES, Audit, asked, counted, declared, finding, guessed, plant
from validators.finding import Finding

HERE = 0.9  # share of the other vehicles' slots that are taken
RUNS = 4  # measurements: the bound of one alone is too wide to catch noise of a quarter at epsilon 1
MISSING = 0.1  # of the listing's numbers that may be missing
CHANGE = 3.0  # s that a change of lane lasts

Measure = Callable[["Held"], Known]


@dataclass(frozen=True)
class Held:
    """Scenes in memory as the measurement reads stored ones: all of them train."""

    held: Scenes
    schema: TableSchema

    def __len__(self) -> int:
        return len(self.held)

    def scenes(self, rows: NDArray[np.bool_]) -> Scenes:
        """Those under a mask."""
        return self.held.take(rows)

    def entities(self) -> NDArray[np.int64]:
        """Whose each scene is."""
        return self.held.entities

    def rows_of(self, part: str) -> NDArray[np.bool_]:
        """All of them."""
        return np.ones(len(self), bool)


def planted(like: Scenes, schema: TableSchema, many: int, rng: np.random.Generator) -> Scenes:
    """Canaries, each a unit of its own, of the shape of recorded scenes; ``schema`` is that of the listing."""
    shape, cells = like.shape, (many, like.shape.vehicles)
    who = np.argwhere(like.present)
    slots = who[rng.integers(0, len(who), cells)]
    theirs = like.states[slots[..., 0], slots[..., 1]].astype(np.float64)  # of a recorded vehicle for each
    width, most = float(np.median(like.road[:, LANE_WIDTH])), int(like.road[:, LANES].max())
    side = rng.integers(-FARTHEST_LANE, FARTHEST_LANE + 1, cells)
    side[:, EGO] = 0
    lane = np.clip(rng.integers(0, most, (many, 1)) + side, 0, most - 1)
    turn = np.clip(lane + rng.integers(-FARTHEST_LANE, FARTHEST_LANE + 1, cells), 0, most - 1) - lane
    time = np.arange(shape.steps) * shape.dt
    share = np.clip((time - rng.random((*cells, 1)) * time[-1]) / CHANGE, 0, 1)
    states = np.zeros((*cells, shape.steps, 4))
    states[..., SPEED] = theirs[..., SPEED]
    states[..., S] = rng.choice([-1.0, 1.0], (*cells, 1)) * np.abs(theirs[..., :1, S])
    states[:, EGO, :, S] = 0.0
    states[..., 1:, S] += np.cumsum(theirs[..., :-1, SPEED], -1) * shape.dt
    states[..., D] = width * ((lane + theirs[..., 0, D] / width % 1)[..., None] + turn[..., None] * share)
    states[..., HEADING] = np.arctan2(np.gradient(states[..., D], shape.dt, axis=-1),
                                      np.maximum(states[..., SPEED], 1.0))
    states[..., 0, HEADING] = theirs[..., 0, HEADING]
    present = rng.random(cells) < HERE
    present[:, EGO] = True
    kinds = rng.integers(0, len(Kind), cells)
    return Scenes(states=np.where(present[..., None, None], states, 0).astype(np.float32), present=present,
                  sizes=np.array([SIZES[kind] for kind in Kind], np.float32)[kinds], kinds=kinds.astype(np.int8),
                  road=np.tile(np.array([most, width], np.float32), (many, 1)),
                  table=listed(like.table, schema, many, rng), entities=np.arange(many, dtype=np.int64), shape=shape)


def listed(like: pd.DataFrame, schema: TableSchema, many: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of the listing: what has a cell for each value drawn evenly, other numbers from the recorded ones."""
    table = plant(schema, many, rng)
    for column in schema.columns:
        fine = column.is_number and Grid.of(column).points > SINGLE
        known = like[column.name].dropna().to_numpy() if fine else np.empty(0)
        if len(known):
            drawn = known[rng.integers(0, len(known), many)].astype(np.float64)
            table[column.name] = np.where(rng.random(many) < MISSING * column.nullable, np.nan, drawn)
    return table


def audit(scenes: Scenes, schema: TableSchema, contract: Contract, *, canaries: int = CANARIES,
          guesses: int = GUESSES, runs: int = RUNS, each: int | None = None, run: Measure | None = None) -> Audit:
    """Audit the measurement of ``scenes`` under the contract's budget; ``schema`` is the listing's, public.

    It is made ``runs`` times, each with ``canaries`` and ``guesses`` of its own, which are judged together. ``each``:
    equal scenes of a canary's group; by default as many as a unit may add, and more shows whether that bound holds.
    ``run`` is what is audited: by default the measurement of a run.
    """
    budget = contract.budget
    assert budget is not None
    each = each or (budget.contributions if budget.unit is Unit.ENTITY else 1)
    contract = spelled_out(contract, schema)
    rng = np.random.default_rng(noise.seed())
    scenes = scenes.take(kept(units(scenes.entities, budget), budget).astype(np.int64))  # so that all of it is used
    inside = rng.random((runs, canaries)) < 0.5
    score, left, most = np.zeros((runs, canaries)), list[np.ndarray](), counted(each, budget)
    for number in range(runs):
        spies = planted(scenes, schema, canaries, rng)
        together = joined(scenes, spies.take(np.repeat(np.flatnonzero(inside[number]), each)))
        held = Held(together.take(rng.permutation(len(together))), schema)
        known = run(held) if run else measured(held, contract, Silent())  # type: ignore[arg-type]
        rows, theirs = (described(part, known.listing, known.header) for part in (scenes, spies))
        rest = tables.remainders(known.rows, rows, theirs)
        score[number] = tables.memberships(rest, canaries, each=most)
        left.append(tables.noises(rest, inside[number], each=most))
    return guessed(score.reshape(-1), inside.reshape(-1), guesses * runs, budget, rng, runs=runs,
                   left=np.concatenate(left))


def spelled_out(contract: Contract, schema: TableSchema) -> Contract:
    """The contract as if it declared what a run finds with noise, which is not what is audited."""
    found, budget = set(lacking(contract)), contract.budget
    assert budget is not None
    columns = tuple(replace(c, values=schema[c.name].values) if c.name in found and not c.role.is_number else c
                    for c in contract.columns)
    return replace(contract, columns=columns, budget=replace(budget, find=False))


def audited(evidence: SceneEvidence) -> list[Finding]:
    """The audit of a run's measurement, if asked for: a veto, and never a proof.

    Nothing that is released holds a canary.
    """
    contract = evidence.contract
    if contract.budget is None or not asked(contract):
        return []
    found = audit(evidence.train, declared(evidence.listing()), contract)
    return [finding(found, "all other scenes and the noisy counts")]
