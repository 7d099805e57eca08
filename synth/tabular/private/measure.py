"""The one place where private rows are read under a budget: noisy marginals, and which of them are worth their noise.

First the numbers' histograms (:mod:`.histogram`), then one marginal a column, then rounds. In a round every pair of
columns gets a noisy score, how far the model so far is from the truth (all at once, one Gaussian mechanism), and
those pairs are measured whose errors promise to shrink by more than their noise adds (after MST, McKenna, Miklau,
Sheldon 2021, and AIM, McKenna et al. 2022; scores by Gaussian noise instead of the exponential mechanism, so that
everything composes exactly). The first round takes a spanning tree. What comes out is noise-protected and plain data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from synth.contract.model import Budget, Unit
from synth.gan.private import noise
from synth.gan.private.accounting import Account, Gaussian
from synth.progress import Progress, Silent
from synth.tabular.private import histogram
from synth.tabular.private.axes import SINGLE, Axis, start
from synth.tabular.private.inference import Fitted, Measurement, fit
from synth.tabular.private.junction import Clique, Tree
from synth.tabular.schema import TableSchema


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How the budget (squared mu) is shared out. What a part does not need goes to the marginals of pairs."""

    histograms: float = 0.08
    points: float = 0.15  # of a histogram whose intervals have several points, for the exact points of its spikes
    columns: float = 0.10
    scores: float = 0.10  # all rounds together
    rounds: tuple[float, ...] = (0.45, 0.30, 0.25)  # of the rest
    cells: int = 24  # most cells of a number column
    rare: float = 3.0  # noise scales below which a label shares a cell with the other rare ones
    model: float = 3e5  # most cells of the junction tree


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is known of a private table after measuring: axes and noisy marginals, nothing else."""

    schema: TableSchema
    axes: tuple[Axis, ...]
    measurements: tuple[Measurement, ...]

    def fit(self) -> Fitted:
        """The distribution that agrees best with the measurements."""
        return fit([a.size for a in self.axes], self.measurements, steps=600)

    def frame(self, cells: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """A working frame of drawn cells [rows, columns]."""
        return pd.DataFrame({a.name: a.decode(cells[:, j], rng) for j, a in enumerate(self.axes)})

    def to_json(self) -> dict[str, Any]:
        """Plain data; private all the same, until the gates have passed what is made of it."""
        return {"schema": self.schema.to_json(), "axes": [a.to_json() for a in self.axes],
                "measurements": [{"clique": list(m.clique), "scale": m.scale, "shape": list(m.counts.shape),
                                  "counts": m.counts.reshape(-1).tolist()} for m in self.measurements]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Measured:
        """The inverse of :meth:`to_json`."""
        return cls(schema=TableSchema.from_json(data["schema"]),
                   axes=tuple(Axis.from_json(a) for a in data["axes"]),
                   measurements=tuple(Measurement(clique=tuple(m["clique"]), scale=m["scale"],
                                                  counts=np.array(m["counts"], float).reshape(m["shape"]))
                                      for m in data["measurements"]))


def kept(units: np.ndarray, budget: Budget) -> np.ndarray:
    """Places of at most ``contributions`` records of each unit, drawn at random, in order."""
    if budget.unit is Unit.ROW:
        return np.arange(len(units))
    order = np.random.default_rng(noise.seed()).permutation(len(units))
    place = pd.Series(units[order]).groupby(units[order]).cumcount().to_numpy()
    return np.sort(order[place < budget.contributions])


def bounded(frame: pd.DataFrame, units: np.ndarray, budget: Budget) -> pd.DataFrame:
    """At most ``contributions`` rows of each unit, drawn at random."""
    return frame if budget.unit is Unit.ROW else frame.iloc[kept(units, budget)].reset_index(drop=True)


def measure(frame: pd.DataFrame, schema: TableSchema, units: np.ndarray, budget: Budget, account: Account, *,
            wanted: Sequence[tuple[str, str]] = (), shares: Shares | None = None, progress: Progress | None = None
            ) -> Measured:
    """Measure the rows of ``frame`` (``units``: whose each one is) within what ``account`` has left.

    ``schema`` is public (:func:`synth.tabular.private.axes.public_schema`). Pairs of columns that are ``wanted`` are in
    the spanning tree before any other. :class:`~synth.errors.UserError` where
    the budget is exhausted.
    """
    plan = shares or Shares()
    rows = bounded(frame, units, budget)
    work = _Work(rows, schema, float(budget.contributions if budget.unit is Unit.ENTITY else 1), account, plan)
    places = {name: j for j, name in enumerate(schema.names)}
    work.wanted = [(min(p), max(p)) for a, b in wanted if len(p := {places[a], places[b]}) == 2]
    with (progress or Silent()).step("measuring with noise", 2 + len(plan.rounds)) as step:
        work.numbers()
        step.update(1)
        work.columns()
        for number, _ in enumerate(plan.rounds):
            step.update(2 + number)
            work.round(number)
        step.update(2 + len(plan.rounds))
    return Measured(schema=schema, axes=tuple(work.axes), measurements=tuple(work.found))


class _Work:
    """One pass of measuring; holds private rows and does not outlive :func:`measure`."""

    def __init__(self, rows: pd.DataFrame, schema: TableSchema, most: float, account: Account, plan: Shares) -> None:
        self.rows, self.most, self.account, self.plan = rows, most, account, plan
        self.axes = list(start(schema))
        self.budget = account.left
        self.cells = np.zeros((len(rows), len(self.axes)), np.int64)
        self.found: list[Measurement] = []
        self.model: Fitted | None = None
        self.wanted: list[Clique] = []

    def _scale(self, share: float) -> float:
        """Noise on counts that spends this much of squared mu."""
        return self.most / share**0.5

    def _counts(self, name: str, cells: np.ndarray, size: int, share: float) -> np.ndarray:
        scale = self._scale(share)
        self.account.spend(Gaussian(name=name, noise=scale, sensitivity=self.most))
        return noise.noisy(np.bincount(cells[cells >= 0], minlength=size), scale)

    def numbers(self) -> None:
        """Spikes and ranges of every number with a long grid; then the cells of all columns."""
        long = [j for j, a in enumerate(self.axes) if a.grid is not None and a.grid.points > SINGLE]
        for j in long:
            axis = self.axes[j]
            assert axis.grid is not None
            places, wide = axis.grid.place(self.rows[axis.name].to_numpy(float)), axis.grid.interval
            whole = self.plan.histograms * self.budget / len(long)
            points, search = -(-axis.grid.points // wide), None
            share = whole / histogram.levels(points)
            if wide > 1:
                share *= 1 - self.plan.points
                exact = whole * self.plan.points / histogram.levels(wide, histogram.fan_of(wide))
                search = partial(histogram.points, places, width=wide, scale=self._scale(exact),
                                 measure=partial(self._level, axis.name, exact))
            leaves = histogram.grow(np.where(places < 0, -1, places // wide), points,
                                    partial(self._level, axis.name, share), self._scale(share))
            self.axes[j] = histogram.cut(axis, [(start * wide, mass) for start, mass in leaves], self.plan.cells,
                                         self._scale(share), search)
        for j, axis in enumerate(self.axes):
            self.cells[:, j] = axis.encode(self.rows[axis.name])

    def _level(self, name: str, share: float, cells: np.ndarray, size: int) -> np.ndarray:
        return self._counts(f"histogram of {name!r}", cells, size, share)

    def columns(self) -> None:
        """One marginal a column; labels that hardly occur are put together afterwards."""
        share = self.plan.columns * self.budget / len(self.axes)
        scale = self._scale(share)
        for j, axis in enumerate(self.axes):
            counts = self._counts(f"marginal of {axis.name!r}", self.cells[:, j], axis.size, share)
            least = self.plan.rare * scale
            if axis.missing and counts[0] < least and axis.size > 1:  # none, as far as can be told
                axis, counts = replace(axis, missing=False), counts[1:]
            if axis.grid is None:
                axis, counts = _folded(axis, counts, least)
            self.axes[j] = axis
            self.cells[:, j] = axis.encode(self.rows[axis.name])
            self.found.append(Measurement(clique=(j,), counts=counts, scale=scale))
        self.model = fit(self.sizes, self.found)

    @property
    def sizes(self) -> list[int]:
        return [a.size for a in self.axes]

    def round(self, number: int) -> None:
        """Score all pairs, measure those that pay, fit again."""
        pairs = list(combinations(range(len(self.axes)), 2))
        if not pairs:
            return
        plan = self.plan
        scores = self._scores(number, pairs, plan.scores * self.budget / len(plan.rounds))
        later = len(plan.rounds) - 1 - number  # rounds after this one, whose scores must be paid, too
        left = self.account.left - later * plan.scores * self.budget / len(plan.rounds)
        share = left * plan.rounds[number] / sum(plan.rounds[number:])
        chosen = self._tree(pairs, scores) if number == 0 else self._paying(pairs, scores, share)
        for a, b in chosen:
            both = self.cells[:, a] * self.axes[b].size + self.cells[:, b]
            size = self.axes[a].size * self.axes[b].size
            part = share / len(chosen) * (1 - 1e-9)
            counts = self._counts(f"marginal of {self.axes[a].name!r} and {self.axes[b].name!r}", both, size, part)
            self.found.append(Measurement(clique=(a, b), scale=self._scale(part),
                                          counts=counts.reshape(self.axes[a].size, self.axes[b].size)))
        self.model = fit(self.sizes, self.found, start=self.model)

    def _scores(self, number: int, pairs: Sequence[Clique], share: float) -> np.ndarray:
        """Noisy distances (L1, rows) between the model and the truth, of all pairs at once."""
        assert self.model is not None
        true = []
        for a, b in pairs:
            both = self.cells[:, a] * self.axes[b].size + self.cells[:, b]
            counts = np.bincount(both, minlength=self.axes[a].size * self.axes[b].size)
            expected = self.model.pair(a, b).reshape(-1)
            # what sampling alone makes of a right model is not worth measuring (mean deviation of a Poisson count)
            chance = np.minimum((2 * expected / np.pi) ** 0.5, 2 * expected).sum()
            true.append(float(np.abs(counts - expected).sum() - chance))
        sensitivity = self.most * len(pairs) ** 0.5
        scale = sensitivity / share**0.5
        self.account.spend(Gaussian(name=f"scores of {len(pairs)} pairs, round {number + 1}", noise=scale,
                                    sensitivity=sensitivity))
        return noise.noisy(np.array(true), scale)

    def _tree(self, pairs: Sequence[Clique], scores: np.ndarray) -> list[Clique]:
        """The spanning tree of what is wanted and of the largest scores (Kruskal)."""
        component = list(range(len(self.axes)))
        chosen: list[Clique] = []
        for a, b in [*self.wanted, *(pairs[i] for i in np.argsort(-scores, kind="stable"))]:
            if component[a] != component[b]:
                old, new = component[b], component[a]
                component = [new if c == old else c for c in component]
                chosen.append((a, b))
        return chosen

    def _paying(self, pairs: Sequence[Clique], scores: np.ndarray, share: float) -> list[Clique]:
        """As many pairs as shrink errors by more than the noise of measuring them all adds; at least one."""
        cells = np.array([self.sizes[a] * self.sizes[b] for a, b in pairs])
        best: tuple[float, list[Clique]] = (-np.inf, [])
        for many in range(1, len(pairs) + 1):
            added = (2 / np.pi) ** 0.5 * self._scale(share / many) * cells
            gains = scores - added
            order = [int(i) for i in np.argsort(-gains, kind="stable")[:many]]
            total = float(gains[order].sum())
            if total > best[0]:
                best = (total, [pairs[i] for i in order])
            elif gains[order[-1]] < 0 and many > 3:
                break
        return self._fitting(best[1])

    def _fitting(self, wanted: Sequence[Clique]) -> list[Clique]:
        """Those that leave the junction tree small enough, best first."""
        kept: list[Clique] = []
        held = [m.clique for m in self.found]
        for pair in wanted:
            if Tree.of(self.sizes, [*held, *kept, pair]).cells <= self.plan.model:
                kept.append(pair)
        return kept or [max(held, key=len)]


def _folded(axis: Axis, counts: np.ndarray, least: float) -> tuple[Axis, np.ndarray]:
    """Labels whose noisy count is below ``least`` share a cell, if there are two or more."""
    first = int(axis.missing)
    own = counts[first:]
    rare = own < least
    shown = np.maximum(own, 0.0)
    if rare.sum() < 2:
        return replace(axis, weights=tuple(np.maximum(shown, 1e-6).tolist())), counts
    kept = int((~rare).sum())
    groups = np.where(rare, kept, np.cumsum(~rare) - 1)
    weights = np.where(rare, shown + least / 10, np.maximum(shown, 1e-6))
    merged = np.concatenate([counts[:first], own[~rare], [own[rare].sum()]])
    return replace(axis, groups=tuple(groups.tolist()), weights=tuple(weights.tolist())), merged
