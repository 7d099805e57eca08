"""What each column's values may be, before any is looked at, and the coarser cells that marginals are counted in.

An :class:`Axis` comes from the contract (declared bounds, precision, values) and from noisy counts. Its cells are
[missing?] + single values (labels; numbers that are spikes) + ranges of the grid on which the numbers lie. Inside
a cell a value is drawn by the noisy counts, so nothing here has read a row.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synth.contract.model import Column, Contract, FixedCombinations, Role
from synth.errors import UserError
from synth.tabular.schema import ColumnSchema, TableSchema

POINTS = 1 << 52  # most grid points of a number, as float64 holds integers; a finer grid is coarsened to it
COARSE = 1 << 20  # most intervals that its histogram tells apart; of a spike the exact point is sought in its interval
SINGLE = 40  # a number with no more grid points has a cell for each


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The declared grid of a number: ``points`` values from ``low``, ``step`` apart."""

    low: float
    step: float
    points: int

    @property
    def interval(self) -> int:
        """Grid points of the shortest interval of the histogram."""
        return -(-self.points // COARSE)

    def place(self, values: np.ndarray) -> np.ndarray:
        """Index of the nearest grid point, int64; NaN gives -1."""
        at = np.round((np.nan_to_num(values, nan=self.low) - self.low) / self.step)
        return np.where(np.isnan(values), -1, np.clip(at, 0, self.points - 1)).astype(np.int64)

    @classmethod
    def of(cls, column: ColumnSchema) -> Grid:
        """From declared bounds and precision."""
        assert column.minimum is not None and column.maximum is not None
        fine = 10.0 ** -(column.decimals or 0) if column.unit is None else 1.0
        wide = column.maximum - column.minimum
        points = int(min(POINTS, max(1, round(wide / fine) + 1)))
        return cls(low=column.minimum, points=points, step=max(fine, wide / max(1, points - 1)) if wide else fine)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Cells of one column. ``edges`` and ``spikes`` are grid indices; ``leaves`` is (start, mass) inside ranges."""

    name: str
    missing: bool
    labels: tuple[str, ...] = ()  # of a label column
    groups: tuple[int, ...] = ()  # cell of each label, after rare ones were put together
    weights: tuple[float, ...] = ()  # share of each label inside its cell
    grid: Grid | None = None  # of a number column
    decimals: int | None = None
    spikes: tuple[int, ...] = ()
    edges: tuple[int, ...] = ()  # ranges are [edges[i], edges[i + 1])
    leaves: tuple[tuple[int, float], ...] = ()

    @property
    def size(self) -> int:
        """Number of cells."""
        own = len(self.spikes) + max(0, len(self.edges) - 1) if self.grid is not None else max(self.groups) + 1
        return int(self.missing) + own

    def encode(self, values: pd.Series) -> np.ndarray:
        """Cell of each value, int64; what has no cell (missing, where none is kept for it) goes to the first."""
        first = int(self.missing)
        if self.grid is None:
            codes = pd.Index(self.labels, dtype="str").get_indexer(pd.Index(values))
            cells = np.array(self.groups, np.int64)[np.maximum(codes, 0)] + first
            return np.where(codes < 0, 0, cells)
        place = self.grid.place(values.to_numpy(float))
        out = np.searchsorted(np.array(self.edges), place, "right") - 1
        out = np.clip(out, 0, max(0, len(self.edges) - 2)) + first + len(self.spikes)
        if self.spikes:
            at = np.searchsorted(self.spikes, place)
            hit = np.array([*self.spikes, -2])[at] == place
            out = np.where(hit, at + first, out)
        return np.where(place < 0, 0, out)

    def decode(self, cells: np.ndarray, rng: np.random.Generator) -> pd.Series:
        """A value of each cell."""
        own = cells - int(self.missing)
        if self.grid is None:
            return self._labels(own, rng)
        place = np.full(len(cells), np.nan)
        spike = (own >= 0) & (own < len(self.spikes))
        place[spike] = np.array(self.spikes, float)[own[spike]]
        ranged = own >= len(self.spikes)
        if ranged.any():
            place[ranged] = self._inside(own[ranged] - len(self.spikes), rng)
        values = self.grid.low + self.grid.step * place
        return pd.Series(values if self.decimals is None else np.round(values, self.decimals) + 0.0)

    def _labels(self, own: np.ndarray, rng: np.random.Generator) -> pd.Series:
        out, groups, weights = np.full(len(own), -1), np.array(self.groups), np.array(self.weights)
        for cell in np.unique(own[own >= 0]):
            rows, members = np.flatnonzero(own == cell), np.flatnonzero(groups == cell)
            share = weights[members] / weights[members].sum()
            out[rows] = members if len(members) == 1 else rng.choice(members, len(rows), p=share)
        words = np.array([*self.labels, None], dtype=object)
        return pd.Series(words[out], dtype="str")

    def _inside(self, ranges: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Grid places inside ranges: a leaf by its mass, uniform over the leaf's points, never a spike."""
        assert self.grid is not None
        starts = np.array([s for s, _ in self.leaves])
        mass = np.array([m for _, m in self.leaves])
        below = np.concatenate([[0.0], np.cumsum(mass)])
        stops = np.append(starts[1:], self.grid.points)
        edges = np.array(self.edges)
        at = np.interp(edges, np.append(starts, self.grid.points), below)
        low, high = at[ranges], at[ranges + 1]
        drawn = low + rng.random(len(ranges)) * (high - low)
        leaf = np.clip(np.searchsorted(below, drawn, "right") - 1, 0, len(starts) - 1)
        share = (drawn - below[leaf]) / np.maximum(mass[leaf], 1e-300)
        place = np.floor(starts[leaf] + np.clip(share, 0, 1 - 1e-12) * (stops[leaf] - starts[leaf]))
        place = np.clip(place, edges[ranges], edges[ranges + 1] - 1)
        for _ in range(3 if self.spikes else 0):  # a spike inside the range has a cell of its own
            hit = np.isin(place, self.spikes)
            moved = edges[ranges[hit]] + np.floor(rng.random(int(hit.sum())) * np.diff(edges)[ranges[hit]])
            place[hit] = moved
        return place

    def to_json(self) -> dict[str, Any]:
        """Plain data (noisy figures and declared values only)."""
        grid = None if self.grid is None else {"low": self.grid.low, "step": self.grid.step,
                                               "points": self.grid.points}
        return {"name": self.name, "missing": self.missing, "labels": list(self.labels), "groups": list(self.groups),
                "weights": list(self.weights), "grid": grid, "decimals": self.decimals, "spikes": list(self.spikes),
                "edges": list(self.edges), "leaves": [list(leaf) for leaf in self.leaves]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Axis:
        """The inverse of :meth:`to_json`."""
        return cls(name=data["name"], missing=data["missing"], labels=tuple(data["labels"]),
                   groups=tuple(data["groups"]), weights=tuple(data["weights"]),
                   grid=None if data["grid"] is None else Grid(**data["grid"]), decimals=data["decimals"],
                   spikes=tuple(data["spikes"]), edges=tuple(data["edges"]),
                   leaves=tuple((int(s), float(m)) for s, m in data["leaves"]))


def undeclared(contract: Contract) -> list[UserError]:
    """What a contract with a budget must say, because finding it out would read private rows."""
    found = []
    for column in contract.modelled:
        if lacking := _lacking(column, contract.budget is not None and contract.budget.find):
            found.append(UserError(
                f"column {column.name!r} does not declare its {' and '.join(lacking)}, which a privacy budget does "
                "not let the run read off the data", where=f"{contract.path}:{column.line}",
                todo="write down what you know of the column (not what this table happens to hold)" + (
                    "" if lacking == ["decimals"] else "; or have it found with noise: `find: true` in the budget")))
    for constraint in contract.constraints:
        if isinstance(constraint, FixedCombinations):
            found.append(UserError(
                "which combinations of columns occur would be read off private rows, which a privacy budget does not "
                "let the run do", where=f"{contract.path}:{constraint.line}",
                todo="remove `fixedCombinations`, or make one column of them and declare its values"))
    if importlib.util.find_spec("dp_accounting") is None or importlib.util.find_spec("opacus") is None:
        found.append(UserError("the libraries that account for a privacy budget are not installed",
                               todo="pip install 'synth-pipeline[dp]'"))
    return found


def _lacking(column: Column, find: bool) -> list[str]:
    if column.role is Role.BOOLEAN:
        return []
    if not column.role.is_number:
        return [] if column.values is not None or find else ["values"]
    lacking = ["bounds"] if (column.minimum is None or column.maximum is None) and not find else []
    return lacking + (["decimals"] if column.role is Role.NUMERIC and column.digits is None else [])


def public_schema(contract: Contract, found: TableSchema) -> TableSchema:
    """The schema with everything that ingest read off the cells replaced by what the contract declares.

    What stays of ``found`` is how the source's files hold a column: type, unit, zone and date format.
    """
    from dataclasses import replace

    columns = []
    for declared in contract.modelled:
        column = replace(found[declared.name], nullable=not declared.required, folded=None)
        if column.is_number:
            whole = declared.role is Role.NUMERIC and declared.digits == 0
            column = replace(column, integer=whole, decimals=declared.digits if column.unit is None else None)
        else:
            values = ("false", "true") if declared.role is Role.BOOLEAN else tuple(declared.values or ())
            column = replace(column, values=values if declared.role is not Role.CATEGORICAL
                             else tuple(sorted(values)))
        columns.append(column)
    return TableSchema(columns=tuple(columns))


def start(schema: TableSchema) -> tuple[Axis, ...]:
    """Axes that need no measurement: a cell for each label, and for each point of a short grid."""
    out = []
    for column in schema.columns:
        if column.is_number:
            grid = Grid.of(column)
            single = grid.points <= SINGLE
            out.append(Axis(name=column.name, missing=column.nullable, grid=grid,
                            decimals=column.decimals if column.unit is None else 0,
                            spikes=tuple(range(grid.points)) if single else (),
                            edges=() if single else (0, grid.points),
                            leaves=() if single else ((0, 1.0),)))
        else:
            count = len(column.values)
            out.append(Axis(name=column.name, missing=column.nullable, labels=column.values,
                            groups=tuple(range(count)), weights=(1.0,) * count))
    return tuple(out)
