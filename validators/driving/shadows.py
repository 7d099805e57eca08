"""Shadow models of scenes (:mod:`validators.shadow_ratios` says what they are): entities, trainings, signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from synth.contract import Contract
from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import ARRAYS, Scenes, joined
from synth.seeds import derive, generator
from synth.tabular.schema import TableSchema
from validators import shadow_ratios
from validators.diversity import neighbour_distances
from validators.driving.aligned import KNOWN, match
from validators.driving.arms import thinned, untouched
from validators.driving.fidelity import summed
from validators.driving.membership import beyond_conditions
from validators.driving.summaries import Axes
from validators.finding import Finding
from validators.membership import Side
from validators.shadow_ratios import TARGETS, Words
from validators.shadowing import SECONDS, SHADOWS, Design, Pool, alike, choose, halves, in_processes, isolated, shorter

POOL = 2_000  # entities of train in the pool, and as many untouched ones
DRAWN = 2_000  # synthetic scenes looked at, at most
SCORED = 4_000  # scenes of those attacked, at most
LEAST = 20  # entities of train, and untouched ones
ENTITIES = 150  # attacked of each kind from which on scenes are taken together: of fewer bounds are too wide
AXES = 24  # principal axes of the summaries
ISOLATION = 5  # neighbours
NEIGHBOURS = 10  # of a local count
WORDS = Words(people="entities", around="what synthetic scenes lie around theirs", private="the private model's score")
ALONE = (f", each scene by itself (there are fewer than {ENTITIES} entities of each kind), less what the listing's "
         "columns explain, the bootstrap by entity")


@dataclass(frozen=True, kw_only=True)
class SceneDesign(Design):
    """Shadows of the contract's recipe for scenes: listing, headers and drivers."""

    SIGNALS: ClassVar[tuple[str, ...]] = ("closest scene, summaries", "local count, summaries",
                                          "closest scene, aligned", "likelihood of the drive")

    scenes: Scenes  # the pool
    axes: Axes
    schema: TableSchema
    contract: Contract  # with the training of a shadow
    draws: int  # synthetic scenes of every model, because nearness depends on their number

    @property
    def name(self) -> str:
        """See :class:`~validators.shadowing.Design`."""
        table = pd.util.hash_pandas_object(self.scenes.table, index=False).to_numpy()
        measured = [] if self.scenes.measured is None else [self.scenes.measured]
        return self.digest((self.seed, self.contract, self.schema, self.scenes.shape, self.draws),
                           (table, *(getattr(self.scenes, name) for name in ARRAYS), *measured))

    def score(self, number: int) -> np.ndarray:
        """See :class:`~validators.shadowing.Design`."""
        from synth.driving.generator import SceneGenerator
        from synth.progress import Silent

        inside = self.trained_on(number)
        model = SceneGenerator.fit(
            replace(self.scenes.take(inside), entities=self.owners[inside]), self.schema, self.contract,
            seed=derive(self.seed, "shadow", number), device="cpu", progress=Silent())
        return signals(self, model.draw(self.draws, seed=derive(self.seed, "shadow scenes", number)), model.scores)


def shadows(evidence: SceneEvidence, limit: float, *, count: int | None = None, seconds: float | None = None
            ) -> list[Finding]:
    """Two findings: what the synthetic scenes tell (judged), and what the private model's score would (information)."""
    fewest = min(len(np.unique(part.entities)) for part in (evidence.train, untouched(evidence)))
    silent = shadow_ratios.untestable(evidence, fewest, LEAST, "entities to train on and as many untouched ones")
    if silent is not None:
        return [silent]
    assert evidence.scratch is not None
    pool = pooled(evidence, count or SHADOWS)
    scores = in_processes(pool.design, evidence.scratch, SECONDS if seconds is None else seconds, evidence.watch)
    return judged(evidence, pool, scores, limit)


def pooled(evidence: SceneEvidence, count: int) -> Pool[SceneDesign]:
    """The pool of entities, the most isolated of them as targets, and who trains which of ``count`` shadows."""
    rng = generator(evidence.seed, "shadows", "pool")
    others = untouched(evidence)
    chosen = choose(evidence.train.entities, others.entities, POOL, rng)
    scenes = joined(evidence.train.take(chosen.train), others.take(chosen.untouched))
    data = summed(scenes)
    axes = Axes.fit(data, AXES)
    points = axes.of(data)
    targets = isolated(neighbour_distances(points, points, ISOLATION, skip_self=True)[:, -1], chosen.owners, TARGETS)
    rows = np.flatnonzero(np.isin(chosen.owners, targets))
    return Pool(SceneDesign(
        owners=chosen.owners, inside=halves(count, 2 * chosen.most, rng), rows=_some(rows, chosen.owners, rng),
        seed=evidence.seed, scenes=scenes, axes=axes, schema=evidence.schema,
        contract=replace(evidence.contract, training=shorter(evidence.contract.training)),
        draws=min(len(evidence.synthetic), DRAWN),
    ), targets < chosen.most)


def _some(rows: np.ndarray, owners: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At most SCORED of the scenes, one of every entity among them."""
    if len(rows) <= SCORED:
        return rows
    order = rng.permutation(rows)
    first = order[np.unique(owners[order], return_index=True)[1]]
    rest = order[~np.isin(order, first)][: max(0, SCORED - len(first))]
    return np.sort(np.concatenate([first, rest]))


def judged(evidence: SceneEvidence, pool: Pool[SceneDesign], scores: np.ndarray, limit: float) -> list[Finding]:
    """Findings from scores (shadows done, signals, scenes of targets)."""
    early = shadow_ratios.too_few(len(scores), limit)
    if early is not None:
        return [early]
    return verdict(pool, scores, signals(pool.design, evidence.synthetic, evidence.critic), limit)


def verdict(pool: Pool[SceneDesign], scores: np.ndarray, real: np.ndarray, limit: float) -> list[Finding]:
    """Findings from scores of shadows and what the released model says; of few entities each scene is attacked."""
    design = pool.design
    few = min(pool.members.sum(), (~pool.members).sum()) < ENTITIES
    return shadow_ratios.verdict(design, pool.members, scores, real, limit, design.contract.training,
                                 replace(WORDS, around=f"{WORDS.around}{ALONE}") if few else WORDS,
                                 (lambda told, members: _beyond(design, told, members)) if few else None)


def _beyond(design: SceneDesign, told: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Scores of single scenes less what their rows of the listing explain, as the quick attacks have it."""
    records = design.scenes.take(design.rows)
    side = Side(records.take(members), records.take(~members), records, records)
    out = np.empty(len(told))
    out[members], out[~members] = beyond_conditions(side, told[members], told[~members])
    return out


def signals(design: SceneDesign, synthetic: Scenes, score: Callable[[Scenes], np.ndarray] | None) -> np.ndarray:
    """What synthetic scenes and a private score say of the scored scenes: (signals, scenes), NaN without score.

    All relative to their mean, as models differ in how near they come to anybody.
    """
    records = design.scenes.take(design.rows)
    drawn = thinned(synthetic, design.draws, generator(design.seed, "shadows", "synthetic"))
    made, real = (design.axes.of(summed(scenes)) for scenes in (drawn, records))
    logs = np.log(neighbour_distances(made, real, NEIGHBOURS) + 1e-3)
    near = np.log(match(records, drawn, relative=False, egos=False).distance[:, 0] + KNOWN)
    told = np.full(len(records), np.nan) if score is None else score(records)
    return alike(np.stack([-logs[:, 0], -logs.mean(axis=1), -near, told]))
