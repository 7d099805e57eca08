"""Constraints as a reversible change of the table: what the generator learns cannot express a broken row.

Before training, a fixed combination becomes one label column, a column above others becomes its distance
from them, and a total becomes what is left of it after its parts. After sampling, the change is undone and
what rounding, bounds or a poor model broke is repaired (:mod:`synth.tabular.repair`), so every constraint
holds in every row of the printed table. The fit also repairs rows of the data that break a constraint
(count them with :func:`violations`). For the idea see Patki, Wedge, Veeramachaneni, "The Synthetic Data
Vault", DSAA 2016; the repair is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from synth.contract.model import Constraint, FixedCombinations, Inequality, Role, Sum
from synth.errors import UserError
from synth.tabular.combinations import Combinations
from synth.tabular.conditions import Allowed
from synth.tabular.grid import Grid, at_precision, bounds
from synth.tabular.repair import NumericSystem, columns_of, describe, topological
from synth.tabular.schema import ColumnSchema, TableSchema


@dataclass(frozen=True, kw_only=True)
class Gap:
    """``column`` is held as its distance from the largest filled cell of ``lows``.

    Where none of them is filled it is the distance from ``stand_in``. All in the component's common unit.
    """

    column: str
    lows: tuple[str, ...]
    strict: bool
    stand_in: float
    open_below: bool  # some row of the fit had no filled low: the distance may be negative


@dataclass(frozen=True, kw_only=True)
class Rest:
    """``column`` is held as itself minus its filled ``parts``; not at all if no cell of them is ever missing."""

    column: str
    parts: tuple[str, ...]
    kept: bool


Derived = Gap | Rest


class Reshape:
    """The change of one table's form. ``source`` is the schema before, ``schema`` the one after."""

    def __init__(self, source: TableSchema, constraints: Sequence[Constraint], derived: Sequence[Derived],
                 combinations: Sequence[Combinations], complete: Iterable[str]) -> None:
        """Built by :meth:`fit` and :meth:`from_json`; ``complete`` names the columns that miss no cell."""
        self.source, self.constraints, self.complete = source, tuple(constraints), frozenset(complete)
        self.derived, self.combinations = tuple(derived), tuple(combinations)
        self.system = NumericSystem(source, constraints)
        self.schema = self._reshaped()

    @classmethod
    def fit(cls, frame: pd.DataFrame, schema: TableSchema, constraints: Iterable[Constraint], k: int,
            entities: np.ndarray | None = None) -> Reshape:
        """Learn the change from a working frame.

        ``entities``: one code a row, for counting the people behind a combination (at least ``k``).
        :class:`UserError` if the constraints cannot be kept.
        """
        constraints = tuple(constraints)
        system = NumericSystem(schema, constraints)
        repaired = frame.copy()
        system.settle(repaired)
        derived = [_measure(item, repaired, system) for item in _plan(constraints, schema)]
        taken = set(schema.names)
        combinations = []
        for columns, line in _merged(constraints, schema):
            name = _unused(" & ".join(columns), taken)
            combinations.append(Combinations.fit(repaired, schema, columns, name=name, k=k, entities=entities,
                                                 line=line))
        # what may be missing but never was must not come out missing
        return cls(schema, constraints, derived, combinations, frame.columns[frame.notna().all()])

    @property
    def composite(self) -> dict[str, Combinations]:
        """For each column inside a combination, its combinations."""
        return {name: c for c in self.combinations for name in c.columns}

    @property
    def replaced(self) -> dict[str, Derived]:
        """The number columns that the generator sees in another form, or not at all."""
        return {item.column: item for item in self.derived}

    def forward(self, frame: pd.DataFrame, *, partial: bool = False) -> pd.DataFrame:
        """The frame the generator sees; rows that break a constraint are repaired on the way.

        ``partial``: missing cells are unknown, not a state of their own; whatever depends on one is missing.
        """
        frame = frame[self.source.names].copy()
        self.system.settle(frame)
        out = frame.copy()
        for item in self.derived:
            values, unknown = self._held(item, frame)
            out[item.column] = np.where(unknown, np.nan, values) if partial else values
        for combination in self.combinations:
            codes = pd.Series(combination.labels, dtype="str").take(combination.encode(frame)).to_numpy()
            composite = pd.Series(codes, dtype="str", index=out.index)
            if partial:
                composite[frame[list(combination.columns)].isna().any(axis=1)] = np.nan
            out[combination.name] = composite
        return out[self.schema.names]

    def inverse(self, frame: pd.DataFrame, fixed: frozenset[str] = frozenset(), *,
                given: pd.DataFrame | None = None,
                within: Mapping[str, Allowed] | None = None) -> pd.DataFrame:
        """Back to the source's columns; every constraint holds in every row, at printed precision.

        Columns in ``fixed`` and filled cells of ``given`` (source columns, same rows) stay as they are and
        the other cells give way; only a row that has no solution so gives them up. ``within`` narrows the
        bounds of number columns. ``frame`` may be anything of the reshaped form.
        """
        out: dict[str, Any] = {n: frame[n].to_numpy() if self.source[n].is_number else frame[n].reset_index(drop=True)
                               for n in self.source.names if n in frame}
        for combination in self.combinations:
            out.update(combination.decode(frame[combination.name]))
        pinned = {n: np.full(len(frame), n in fixed) for n in self.source.numbers}
        for key, cells in given.reset_index(drop=True).items() if given is not None else ():
            name = str(key)
            if self.source[name].is_number:
                pinned[name] |= cells.notna().to_numpy(dtype=bool)
                out[name] = cells.to_numpy(dtype=float) if name not in out else np.where(
                    cells.notna(), cells, out[name])
            else:
                out[name] = cells.where(cells.notna(), out[name])
        numbers = {n: np.array(out[n], dtype=float) for n in self.source.numbers if n in out}
        for item in self.derived:
            source = frame[item.column].to_numpy() if item.column in frame else None
            self._restore(item, source, numbers, pinned, given)
        for column in self.source.columns:
            if column.is_number:
                low, high = bounds(column)
                clipped = np.clip(at_precision(numbers[column.name], column), low, high)
                # a replaced column that is fixed but not given has no cell of its own to keep
                keep = pinned[column.name] & (column.name in frame or given is not None)
                numbers[column.name] = np.where(keep, numbers[column.name], clipped)
        result = pd.DataFrame({**out, **numbers})[self.source.names]
        self._settle(result, pinned, within or {})
        return result

    def _settle(self, result: pd.DataFrame, pinned: dict[str, np.ndarray], within: Mapping[str, Allowed]) -> None:
        limits = {n: (a.low, a.high) for n, a in within.items() if self.source[n].is_number and not a.missing}
        for name, (low, high) in limits.items():
            cells = result[name].to_numpy()
            result[name] = np.where(pinned[name], cells, np.clip(cells, low, high))
        stuck = self.system.repair(result, pinned=pinned, within=limits)
        if stuck.any():  # no solution with the fixed cells: they give way in these rows
            rows = result[stuck].copy()
            self.system.settle(rows)
            result.loc[stuck] = rows

    def _held(self, item: Derived, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """(the replaced column's values, rows where they depend on a missing cell)."""
        system, column = self.system, item.column
        value = frame[column].to_numpy() * system.factors[column]
        if isinstance(item, Gap):
            lows = np.array([frame[n].to_numpy() * system.factors[n] for n in item.lows])
            base = _largest(lows)
            base = np.where(np.isnan(base), item.stand_in, base)
            return self._grid(item).nearest(value - base), np.isnan(lows).any(axis=0)
        parts = np.array([frame[n].to_numpy() for n in item.parts])
        return self._grid(item).nearest(value - np.nansum(parts, axis=0)), np.isnan(parts).any(axis=0)

    def _restore(self, item: Derived, held: np.ndarray | None, numbers: dict[str, np.ndarray],
                 pinned: dict[str, np.ndarray], given: pd.DataFrame | None) -> None:
        """Compute the replaced column in ``numbers`` from its held form; given cells are kept."""
        column, factors = item.column, self.system.factors
        grid = Grid.of(self.source[column], factors[column])
        known = None if given is None or column not in given else given[column].to_numpy(dtype=float)
        if isinstance(item, Gap):
            assert held is not None  # a gap always has a column of its own
            base = _largest(np.array([numbers[n] * factors[n] for n in item.lows]))
            base = np.where(np.isnan(base), item.stand_in, base)
            value = grid.nearest(held + base) / factors[column]
            if known is not None:
                # a given upper end keeps the sampled distance: the lower ends move below it
                for name in item.lows:
                    over = numbers[name] * factors[name] > known * factors[column]
                    moved = Grid.of(self.source[name], factors[name]).down(known * factors[column] - np.abs(held))
                    numbers[name] = np.where(over & ~pinned[name], moved / factors[name], numbers[name])
        else:
            parts = np.array([numbers[n] for n in item.parts])
            value = np.where(np.isnan(parts).all(axis=0), np.nan, np.nansum(parts, axis=0))
            if held is not None:
                loose = np.isnan(parts).any(axis=0) | np.isnan(held)
                value = np.where(loose, np.nansum(parts, axis=0) + held, value)
            value = grid.nearest(value)
        numbers[column] = value if known is None else np.where(np.isnan(known), value, known)

    def _grid(self, item: Derived) -> Grid:
        """The grid of the replaced column's held form: the finest of the columns it is made of."""
        names = (item.column, *(item.lows if isinstance(item, Gap) else item.parts))
        if self.source[item.column].role is Role.DATETIME:
            return Grid(0)
        digits = [Grid.of(self.source[n]).digits for n in names]
        known = [d for d in digits if d is not None]
        return Grid(max(known) if len(known) == len(digits) else None)

    def _reshaped(self) -> TableSchema:
        replaced, columns = self.replaced, list[ColumnSchema]()
        done: set[str] = set()
        for column in self.source.columns:
            combination, item = self.composite.get(column.name), replaced.get(column.name)
            if combination is not None:
                if combination.name not in done:
                    columns.append(combination.schema)
                    done.add(combination.name)
            elif item is None:
                columns.append(column)
            elif isinstance(item, Gap) or item.kept:
                columns.append(self._held_schema(item, column))
        return TableSchema(columns=tuple(replace(c, nullable=c.nullable and c.name not in self.complete)
                                         for c in columns))

    def _held_schema(self, item: Derived, column: ColumnSchema) -> ColumnSchema:
        grid, minimum = self._grid(item), None
        if isinstance(item, Gap) and not item.open_below:
            minimum = (grid.step or 0.0) if item.strict else 0.0
        return replace(column, role=Role.NUMERIC, integer=grid.digits == 0, decimals=grid.digits, unit=None, zone=None,
                       format=None, text=False, minimum=minimum, maximum=None)

    def to_json(self) -> dict[str, Any]:
        """Plain data (private: it holds vocabulary)."""
        return {"source": self.source.to_json(),
                "constraints": [{"kind": type(c).__name__, **asdict(c)} for c in self.constraints],
                "derived": [{"kind": type(d).__name__, **asdict(d)} for d in self.derived],
                "combinations": [c.to_json() for c in self.combinations], "complete": sorted(self.complete)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Reshape:
        """The inverse of :meth:`to_json`."""
        return cls(TableSchema.from_json(data["source"]), [_revive(c) for c in data["constraints"]],
                   [_revive(d) for d in data["derived"]], [Combinations.from_json(c) for c in data["combinations"]],
                   data["complete"])


def violations(frame: pd.DataFrame, schema: TableSchema, constraints: Iterable[Constraint], *,
               allowed: Reshape | None = None) -> dict[str, int]:
    """Rows that break each constraint, under its :func:`describe` line.

    A fixed combination is judged against the combinations of ``allowed`` (a fitted reshape); without one a
    frame is its own reference and breaks none.
    """
    constraints = tuple(constraints)
    system, counts = NumericSystem(schema, constraints), dict[str, int]()
    for constraint in constraints:
        if not isinstance(constraint, FixedCombinations):
            counts[describe(constraint)] = int(system.broken_by(frame, constraint).sum())
        elif allowed is not None:
            combination = allowed.composite[constraint.columns[0]]
            counts[describe(constraint)] = int((combination.encode(frame, exact=True) < 0).sum())
        else:
            counts[describe(constraint)] = 0
    return counts


def _plan(constraints: Sequence[Constraint], schema: TableSchema) -> list[Derived]:
    """Which columns are replaced, in the order in which they can be restored.

    Totals first, then columns above others; a replacement that would make a circle is left to the repair.
    """
    arrows: list[tuple[str, str]] = []
    items: dict[str, Derived] = {}
    for constraint in constraints:
        if isinstance(constraint, Sum):
            new = [(part, constraint.total) for part in constraint.parts]
            if topological(schema.numbers, arrows + new) is not None:
                arrows += new
                items[constraint.total] = Rest(column=constraint.total, parts=constraint.parts, kept=True)
    for constraint in constraints:
        if isinstance(constraint, Inequality) and not isinstance(items.get(constraint.high), Rest):
            new = [(constraint.low, constraint.high)]
            if topological(schema.numbers, arrows + new) is not None:
                arrows += new
                old = items.get(constraint.high)
                lows = (*(old.lows if isinstance(old, Gap) else ()), constraint.low)
                strict = constraint.strict or (isinstance(old, Gap) and old.strict)
                items[constraint.high] = Gap(column=constraint.high, lows=tuple(dict.fromkeys(lows)), strict=strict,
                                             stand_in=0.0, open_below=True)
    order = topological(schema.numbers, arrows) or []
    return [items[n] for n in order if n in items]


def _measure(item: Derived, frame: pd.DataFrame, system: NumericSystem) -> Derived:
    """The parts of a replacement that depend on the data."""
    if isinstance(item, Rest):
        return replace(item, kept=bool(frame[[item.column, *item.parts]].isna().to_numpy().any()))
    base = _largest(np.array([frame[n].to_numpy() * system.factors[n] for n in item.lows]))
    filled = base[~np.isnan(base)]
    grid = Grid(0) if system.schema[item.column].role is Role.DATETIME else Grid.of(system.schema[item.column])
    middle = float(grid.nearest(np.array(np.median(filled)))) if len(filled) else 0.0
    return replace(item, stand_in=middle, open_below=len(filled) < len(base))


def _largest(values: np.ndarray) -> np.ndarray:
    """Largest filled value a column, NaN where none is; ``(columns, rows) -> (rows,)``."""
    result = values[0]
    for other in values[1:]:
        result = np.fmax(result, other)
    return np.asarray(result)


def _merged(constraints: Sequence[Constraint], schema: TableSchema) -> list[tuple[tuple[str, ...], int]]:
    """Column groups of the fixed combinations; groups that share a column become one."""
    numeric = {n for c in constraints if not isinstance(c, FixedCombinations) for n in columns_of(c)}
    groups: list[tuple[set[str], int]] = []
    for constraint in constraints:
        if not isinstance(constraint, FixedCombinations):
            continue
        place = f"contract line {constraint.line}" if constraint.line else describe(constraint)
        for name in constraint.columns:
            if name not in schema.names:
                raise UserError(f"a combination names column {name!r}, which is not modelled", where=place,
                                todo=f"modelled columns: {', '.join(schema.names[:40])}")
            if name in numeric:
                raise UserError(f"column {name!r} is in a fixed combination and in an inequality or a sum",
                                where=place, todo="keep one of the two")
        touching = [g for g in groups if g[0] & set(constraint.columns)]
        groups = [g for g in groups if g not in touching]
        groups.append((set(constraint.columns).union(*(g[0] for g in touching)), constraint.line))
    return [(tuple(sorted(g[0], key=schema.names.index)), g[1]) for g in groups]


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += " &"
    taken.add(name)
    return name


def _revive(data: dict[str, Any]) -> Any:
    kinds: dict[str, Any] = {k.__name__: k for k in (Inequality, FixedCombinations, Sum, Gap, Rest)}
    return kinds[data["kind"]](**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "kind"})
