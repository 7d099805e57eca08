"""What a criterion is given and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synth.contract import Contract
from synth.seeds import generator
from synth.tabular.evidence import TableEvidence
from synth.tabular.schema import TableSchema
from validators.encode import Encoding

ROWS = 10_000  # synthetic rows that an attacker works with
PEOPLE = 4_000  # training people guessed at, and as many of the control


@dataclass(frozen=True)
class People:
    """One row a person: as many people who were trained on as of the control (holdout and reference)."""

    train: pd.DataFrame
    control: pd.DataFrame
    synthetic: pd.DataFrame
    reference: pd.DataFrame  # what scales and vocabularies are learned from
    schema: TableSchema
    contract: Contract
    seed: int

    @classmethod
    def of(cls, evidence: TableEvidence) -> People:
        """Drawn at random, equal numbers on both sides: whether somebody is alone in a set depends on its size."""
        rng = generator(evidence.seed, "criteria", "people")
        untouched = pd.concat([_one_each(getattr(evidence, p), evidence.entities[p], rng)
                               for p in ("holdout", "reference")], ignore_index=True)
        train = _one_each(evidence.train, evidence.entities["train"], rng)
        count = min(len(train), len(untouched), PEOPLE)
        synthetic = evidence.synthetic
        if len(synthetic) > ROWS:
            synthetic = synthetic.iloc[np.sort(rng.permutation(len(synthetic))[:ROWS])]
        return cls(_drawn(train, count, rng), _drawn(untouched, count, rng), synthetic.reset_index(drop=True),
                   evidence.reference, evidence.schema, evidence.contract, evidence.seed)

    def nearest(self, columns: frozenset[str], count: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices (people, count) of the nearest synthetic rows by some columns: of train and of the control."""
        from sklearn.neighbors import NearestNeighbors

        without = frozenset(self.schema.names) - columns
        encoding = Encoding.fit(self.reference, self.schema, self.seed, without)
        # rows that tie are met in random order, so that the first of many equal ones is not always the same
        order = generator(self.seed, "criteria", "ties", *sorted(columns)).permutation(len(self.synthetic))
        search = NearestNeighbors(n_neighbors=min(count, len(self.synthetic)), algorithm="brute")
        search.fit(encoding.transform(self.synthetic)[order])
        found = [order[search.kneighbors(encoding.transform(part), return_distance=False)]
                 for part in (self.train, self.control)]
        return found[0], found[1]


def _one_each(frame: pd.DataFrame, entities: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    order = rng.permutation(len(frame))
    return frame.iloc[np.sort(order[np.unique(entities[order], return_index=True)[1]])]


def _drawn(frame: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    return frame.iloc[np.sort(rng.permutation(len(frame))[:count])].reset_index(drop=True)


@dataclass(frozen=True)
class Outcome:
    """How often guesses are right: about training people, about the control, and without the synthetic table."""

    name: str
    attack: float  # shares of ``trials`` guesses each
    control: float
    baseline: float
    trials: int

    @property
    def informative(self) -> bool:
        """False if the attack does no better than guessing without the table, or nobody is left to be guessed."""
        return self.attack > self.baseline and self.control < 1.0

    def residual(self, z: float) -> tuple[float, float, float]:
        """(a - c) / (1 - c) with bounds at ``z`` standard errors each way.

        The residual risk is one minus a ratio of failure rates, so Wilson's intervals of the two are joined on the
        logarithm by recovering variances (MOVER, Zou and Donner 2008): also right where a rate is near 0 or 1.
        """
        failed, missed = 1.0 - self.attack, 1.0 - self.control
        if missed <= 0 or self.trials == 0:
            return 0.0, -math.inf, 1.0
        (low_f, high_f), (low_m, high_m) = wilson(failed, self.trials, z), wilson(missed, self.trials, z)
        if failed <= 0:
            return 1.0, 1.0 - high_f / low_m, 1.0
        ratio = math.log(failed / missed)
        up = math.hypot(math.log(high_f / failed), math.log(missed / low_m))
        down = math.hypot(math.log(failed / low_f), math.log(high_m / missed))
        return 1.0 - math.exp(ratio), 1.0 - math.exp(ratio + up), 1.0 - math.exp(ratio - down)


def wilson(share: float, trials: int, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share of independent trials."""
    centre = (share * trials + 0.5 * z * z) / (trials + z * z)
    half = z / (trials + z * z) * math.sqrt(share * (1.0 - share) * trials + 0.25 * z * z)
    return max(centre - half, 0.0), min(centre + half, 1.0)


Criterion = Callable[[People], list[Outcome]]
