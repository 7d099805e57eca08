"""Shadow models of a table (:mod:`.shadow_ratios` says what they are): the pool of people, trainings, signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from synth.contract.model import Constraint, Training
from synth.seeds import derive, generator
from synth.tabular.evidence import TableEvidence
from synth.tabular.schema import TableSchema
from validators import shadow_ratios
from validators import statistics as st
from validators.diversity import neighbour_distances
from validators.encode import Encoding
from validators.finding import Finding
from validators.shadow_ratios import TARGETS, Words
from validators.shadowing import SECONDS, SHADOWS, Design, Pool, choose, halves, in_processes, isolated, shorter

POOL = 4_000  # people of train in the pool, and as many untouched ones
ISOLATION = 5  # neighbours
NEIGHBOURS = 10  # of a local count
WORDS = Words(people="people", around="what synthetic rows lie around them", private="the model's own likelihood")


@dataclass(frozen=True, kw_only=True)
class TableDesign(Design):
    """Shadows of the contract's recipe for tables."""

    SIGNALS: ClassVar[tuple[str, ...]] = ("closest record", "local count", "log-likelihood")

    frame: pd.DataFrame  # the pool
    encoding: Encoding
    schema: TableSchema
    constraints: tuple[Constraint, ...]
    training: Training
    target: str | None
    conditions: tuple[str, ...]
    k: int

    @property
    def name(self) -> str:
        """See :class:`~validators.shadowing.Design`."""
        said = (self.seed, self.training, self.constraints, self.target, self.conditions, self.k, self.schema)
        return self.digest(said, [pd.util.hash_pandas_object(self.frame, index=False).to_numpy()])

    def score(self, number: int) -> np.ndarray:
        """See :class:`~validators.shadowing.Design`."""
        from synth.tabular.generator import TableGenerator

        inside = self.trained_on(number)
        model = TableGenerator.fit(
            self.frame[inside].reset_index(drop=True), self.schema, self.constraints, training=self.training,
            seed=derive(self.seed, "shadow", number), entities=self.owners[inside], target=self.target,
            conditions=self.conditions, k=self.k)
        synthetic = model.sample(int(self.inside[0].sum()), seed=derive(self.seed, "shadow rows", number))
        return signals(self, synthetic, model.log_likelihood)


def shadows(evidence: TableEvidence, limit: float, least: int, *, count: int | None = None,
            seconds: float | None = None) -> list[Finding]:
    """Two findings: what the synthetic table tells (judged), and what the model's likelihood would (information)."""
    silent = shadow_ratios.untestable(evidence, st.fewest(evidence), least, "people of each part")
    if silent is not None:
        return [silent]
    assert evidence.scratch is not None
    pool = pooled(evidence, count or SHADOWS)
    scores = in_processes(pool.design, evidence.scratch, SECONDS if seconds is None else seconds, evidence.watch)
    return judged(evidence, pool, scores, limit)


def pooled(evidence: TableEvidence, count: int) -> Pool[TableDesign]:
    """The pool of people, the most isolated of them as targets, and who trains which of ``count`` shadows."""
    rng = generator(evidence.seed, "shadows", "pool")
    untouched = pd.concat([evidence.holdout, evidence.reference], ignore_index=True)
    chosen = choose(evidence.entities["train"],
                    np.concatenate([evidence.entities["holdout"], evidence.entities["reference"]]), POOL, rng)
    frame = pd.concat([evidence.train[chosen.train], untouched[chosen.untouched]], ignore_index=True)
    encoding = Encoding.fit(frame, evidence.schema, evidence.seed)
    points = encoding.transform(frame)
    distance = neighbour_distances(points, points, ISOLATION, skip_self=True)[:, -1]
    targets = isolated(distance, chosen.owners, TARGETS)
    contract = evidence.contract
    return Pool(TableDesign(
        frame=frame, owners=chosen.owners, inside=halves(count, 2 * chosen.most, rng),
        rows=np.flatnonzero(np.isin(chosen.owners, targets)), encoding=encoding, schema=evidence.schema,
        constraints=contract.constraints, training=shorter(contract.training), target=contract.target,
        conditions=contract.conditions, k=contract.k, seed=evidence.seed), targets < chosen.most)


def judged(evidence: TableEvidence, pool: Pool[TableDesign], scores: np.ndarray, limit: float) -> list[Finding]:
    """Findings from scores (shadows done, signals, target rows)."""
    few = shadow_ratios.too_few(len(scores), limit)
    if few is not None:
        return [few]
    real = signals(pool.design, evidence.synthetic, evidence.likelihood)
    return shadow_ratios.verdict(pool.design, pool.members, scores, real, limit, pool.design.training, WORDS)


def signals(design: TableDesign, synthetic: pd.DataFrame,
            likelihood: Callable[[pd.DataFrame], np.ndarray | None] | None) -> np.ndarray:
    """What synthetic rows and a model's likelihood say of the scored rows: (signals, rows), NaN without likelihood.

    As many synthetic rows for every model, because nearness depends on their number.
    """
    records = design.frame.iloc[design.rows]
    count = int(design.inside[0].sum())
    order = generator(design.seed, "shadows", "synthetic").permutation(len(synthetic))[:count]
    drawn = design.encoding.transform(synthetic.iloc[np.sort(order)])
    logs = np.log(neighbour_distances(drawn, design.encoding.transform(records), NEIGHBOURS) + 1e-3)
    told = likelihood(records) if likelihood is not None else None
    return np.stack([-logs[:, 0], -logs.mean(axis=1), np.full(len(records), np.nan) if told is None else told])
