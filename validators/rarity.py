"""How surprising is a row? Judged by the reference part alone, so the same for train and holdout rows.

A tree of columns (Chow and Liu, "Approximating discrete probability distributions with dependence trees", 1968)
says how likely a row is under the population: each cell given one other cell, backed off to the coarse state of
that cell and to the column alone where reference has not seen the combination. A row that a leak-free table of m
rows would hit with a chance below one in a hundred is *rare*: a hit on it is a copy until shown otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from synth.tabular.schema import TableSchema
from validators.encode import Binning

CHANCE = 0.01  # expected chance hits of one row by the whole synthetic table, below which it is rare
TREE_ROWS, TREE_COLUMNS, DENSE = 5_000, 80, 4_000_000


class Coded(Protocol):
    """Rows as small integers, column by column."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""

    def codes(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """int64 state of each row, never negative."""

    def states(self, name: str) -> int:
        """Number of states of a column."""


@dataclass(frozen=True)
class Exact:
    """Every value of reference is a state, and so are unseen and missing."""

    names: tuple[str, ...]
    values: dict[str, np.ndarray]  # sorted numbers
    labels: Binning  # the vocabularies

    @classmethod
    def fit(cls, reference: pd.DataFrame, schema: TableSchema) -> Exact:
        """Collect the values of the reference part."""
        values = {n: np.unique(reference[n].to_numpy(float)) for n in schema.numbers}
        return cls(tuple(schema.names), {n: v[np.isfinite(v)] + 0.0 for n, v in values.items()},
                   Binning.fit(reference, schema, 1, 100_000))

    def codes(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """int64 state: position among the values, then unseen, then missing."""
        if name not in self.values:
            return self.labels.codes(frame, name)
        known, cells = self.values[name], frame[name].to_numpy(float)
        at = np.minimum(np.searchsorted(known, cells), max(len(known) - 1, 0))
        seen = known[at] == cells if len(known) else np.zeros(len(cells), bool)
        return np.where(np.isnan(cells), len(known) + 1, np.where(seen, at, len(known))).astype(np.int64)

    def states(self, name: str) -> int:
        """Values and two more."""
        return len(self.values[name]) + 2 if name in self.values else self.labels.states(name)


class _Counts:
    """How often each pair of states occurs: a table where it is small, else sorted keys."""

    def __init__(self, first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> None:
        self.width, keys = shape[1], first * shape[1] + second
        self.table = np.bincount(keys, minlength=shape[0] * shape[1]) if shape[0] * shape[1] <= DENSE else None
        if self.table is None:
            self.keys, self.counts = np.unique(keys, return_counts=True)

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        keys = first * self.width + second
        if self.table is not None:
            return self.table[keys]
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.counts[at], 0)


class Rarity:
    """Fitted on the reference part; callable on any rows."""

    def __init__(self, reference: pd.DataFrame, schema: TableSchema, coded: Coded) -> None:
        self.coded, self.rows = coded, len(reference)
        self.coarse = Binning.fit(reference, schema, 8, 40)
        fine = {n: coded.codes(reference, n) for n in coded.names}
        rough = {n: self.coarse.codes(reference, n) for n in coded.names}
        self.single = {n: np.bincount(c, minlength=coded.states(n)) for n, c in fine.items()}
        self.group = {n: np.bincount(c, minlength=self.coarse.states(n)) for n, c in rough.items()}
        self.parents = _tree({n: c[:TREE_ROWS] for n, c in rough.items()})
        self.pairs = {n: (_Counts(fine[p], fine[n], (coded.states(p), coded.states(n))),
                          _Counts(rough[p], fine[n], (self.coarse.states(p), coded.states(n))))
                      for n, p in self.parents.items() if p is not None}

    def surprise(self, frame: pd.DataFrame) -> np.ndarray:
        """Minus the log probability of each row (nats), float64 (rows,)."""
        total = np.zeros(len(frame))
        fine = {n: self.coded.codes(frame, n) for n in self.coded.names}
        rough = {p: self.coarse.codes(frame, p) for p in {p for p in self.parents.values() if p is not None}}
        for name, parent in self.parents.items():
            own = fine[name]
            chance = (self.single[name][own] + 1.0) / (self.rows + 1.0)
            if parent is not None:
                exact, coarse = self.pairs[name]
                chance = _backed_off(coarse(rough[parent], own), self.group[parent][rough[parent]], chance)
                chance = _backed_off(exact(fine[parent], own), self.single[parent][fine[parent]], chance)
            total -= np.log(chance)
        return total

    def rare(self, frame: pd.DataFrame, rows: int) -> np.ndarray:
        """bool: rows that ``rows`` draws from the population would hardly ever hit."""
        return self.surprise(frame) > np.log(max(rows, 1) / CHANCE)


def _backed_off(together: np.ndarray, parent: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """A conditional share from counts and the chance without the condition: the larger of two smoothed estimates.

    One pseudo-row of the parent believes in what was seen together; one pseudo-row of the *pair* does not hold what
    was never seen for impossible. The larger makes a row less rare, which is the side to err on.
    """
    return np.asarray(np.maximum((together + chance) / (parent + 1.0), (together + 1.0) / (parent + 1.0 / chance)))


def _tree(codes: dict[str, np.ndarray]) -> dict[str, str | None]:
    """The parent of each column: a maximum spanning tree of mutual information (Prim)."""
    names = list(codes)
    parents: dict[str, str | None] = dict.fromkeys(names)
    if len(names) < 2 or len(names) > TREE_COLUMNS or not len(codes[names[0]]):
        return parents  # very wide tables: the columns one by one
    best = {n: (-1.0, names[0]) for n in names[1:]}
    newest = names[0]
    while best:
        for name, (gain, _) in best.items():
            found = _information(codes[newest], codes[name])
            if found > gain:
                best[name] = (found, newest)
        newest = max(best, key=lambda n: best[n][0])
        parents[newest] = best.pop(newest)[1]
    return parents


def _information(first: np.ndarray, second: np.ndarray) -> float:
    """Mutual information of two columns of states (nats)."""
    joint = np.zeros((int(first.max()) + 1, int(second.max()) + 1))
    np.add.at(joint, (first, second), 1.0)
    joint /= joint.sum()
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / product[there])).sum())
