"""Inference: a sensitive value guessed from the most similar synthetic row."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synth.contract import Privacy
from synth.seeds import generator
from validators.criteria.base import Outcome, People

TOLERANCE = 0.05  # of a number, within which a guess is right
NAIVE = 20  # random guesses a person behind the baseline


def inference(people: People) -> list[Outcome]:
    """One attempt a sensitive column (Giomi et al. 2023): the attacker knows all other columns.

    The baseline guesses a random synthetic row's value.
    """
    names = [c.name for c in people.contract.columns
             if c.privacy is Privacy.SENSITIVE and c.name in people.schema.names]
    found = []
    for name in names:
        nearest = people.nearest(frozenset(people.schema.names) - {name}, 1)
        values = people.synthetic[name]
        rights = [right(values.iloc[index[:, 0]], part[name])
                  for index, part in zip(nearest, (people.train, people.control), strict=True)]
        rng = generator(people.seed, "criteria", "inference", name)
        naive = float(np.mean([right(values.iloc[rng.integers(0, len(values), len(people.train))], people.train[name])
                               for _ in range(NAIVE)]))
        found.append(Outcome(name, rights[0], rights[1], naive, len(people.train)))
    return found


def right(guess: pd.Series, truth: pd.Series) -> float:
    """Share of guesses that are right: equal, both missing, or a number within the tolerance."""
    missing = guess.isna().to_numpy(), truth.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(truth.dtype):
        told, true = guess.to_numpy(float), truth.to_numpy(float)
        with np.errstate(invalid="ignore"):
            same = np.abs(told - true) <= TOLERANCE * np.abs(true)
    else:
        same = np.asarray(guess.to_numpy(object) == truth.to_numpy(object), bool)
    return float(np.where(missing[0] | missing[1], missing[0] & missing[1], same).mean())
