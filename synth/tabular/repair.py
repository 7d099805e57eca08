"""Inequalities and sums over number columns: which rows break them, and the repair of those rows.

The columns of connected constraints form a component. A component of inequalities alone is a system of
difference constraints: its feasible set is a lattice, so one sweep for the lowest values, one for the
highest and one that places each column in between (in topological order) finds a point of it whenever there
is one. A component of one sum is levelled in proportion. Components that mix the two are swept and levelled
in turn, and the rows that this leaves broken are solved one by one as small integer programs (exact).
Everything is done on printed values, so rounding cannot break a constraint afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synth.contract.model import Constraint, FixedCombinations, Inequality, Role, Sum
from synth.errors import UserError
from synth.tabular.grid import Grid
from synth.tabular.schema import ColumnSchema, TableSchema
from synth.tabular.solve import closest

MICROSECONDS = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_ROUNDS = 4  # of sweep and levelling in mixed components before the exact solver takes over
Values = dict[str, np.ndarray]


def describe(constraint: Constraint) -> str:
    """A constraint as a line for people, e.g. ``start <= end``."""
    if isinstance(constraint, Inequality):
        return f"{constraint.low} {'<' if constraint.strict else '<='} {constraint.high}"
    if isinstance(constraint, Sum):
        return f"{constraint.total} = {' + '.join(constraint.parts)}"
    return f"combinations of {', '.join(constraint.columns)}"


def columns_of(constraint: Constraint) -> tuple[str, ...]:
    """The columns a constraint speaks of."""
    if isinstance(constraint, Inequality):
        return constraint.low, constraint.high
    return (constraint.total, *constraint.parts) if isinstance(constraint, Sum) else constraint.columns


@dataclass(frozen=True)
class Component:
    """Connected number columns, in topological order of the inequalities, on a common unit."""

    columns: tuple[str, ...]
    inequalities: tuple[Inequality, ...]
    sums: tuple[Sum, ...]
    grids: Mapping[str, Grid]

    def broken_sum(self, total: Sum, values: Values) -> np.ndarray:
        """Rows where all cells are filled and the total is not the sum to its printed precision."""
        parts = np.sum([values[p] for p in total.parts], axis=0)
        step = self.grids[total.total].step
        size = np.maximum(1.0, np.abs(values[total.total]))
        return np.asarray(np.abs(values[total.total] - parts) > (step or 0.0) / 2 + 1e-9 * size)

    def broken(self, values: Values) -> np.ndarray:
        """Rows in which a constraint does not hold (missing cells satisfy every constraint)."""
        result = np.zeros(len(values[self.columns[0]]), dtype=bool)
        for edge in self.inequalities:
            low, high = values[edge.low], values[edge.high]
            result |= low >= high if edge.strict else low > high
        for total in self.sums:
            result |= self.broken_sum(total, values)
        return result

    def repair(self, values: Values, low: Values, high: Values) -> np.ndarray:
        """Move ``values`` (in place) into ``low .. high`` so that every constraint holds.

        Pinned cells have ``low == high``. Returns the rows for which no such values exist; they hold values
        within the bounds that still break a constraint.
        """
        for name in self.columns:
            values[name][:] = np.clip(self.grids[name].nearest(values[name]), low[name], high[name])
        rows = np.flatnonzero(self.broken(values))
        if len(rows):
            part = {n: values[n][rows] for n in self.columns}
            lows, highs = {n: low[n][rows] for n in self.columns}, {n: high[n][rows] for n in self.columns}
            wanted = {n: part[n].copy() for n in self.columns}
            if not self.sums:
                self._sweep(part, lows, highs, frozenset())
            else:
                self._alternate(part, lows, highs)
            left = self.broken(part)
            # without sums the sweep is complete: what it leaves has no solution
            for row in np.flatnonzero(left) if self.sums else ():
                found = closest(self, {n: float(wanted[n][row]) for n in self.columns},
                                {n: float(lows[n][row]) for n in self.columns},
                                {n: float(highs[n][row]) for n in self.columns})
                for name, value in (found or {}).items():
                    part[name][row] = value
            for name in self.columns:
                values[name][rows] = part[name]
        return self.broken(values)

    def _alternate(self, values: Values, low: Values, high: Values) -> None:
        members = frozenset(c for s in self.sums for c in (s.total, *s.parts))
        for _ in range(_ROUNDS):
            for total in self.sums:
                self._level(total, values, low, high)
            # a total that moved, by its own bounds or in the sweep, takes its parts along
            self._level_parts(values, low, high)
            if not self.broken(values).any():
                return
            self._sweep(values, low, high, members)
            if not self.broken(values).any():
                return
            self._sweep(values, low, high, frozenset())
            self._level_parts(values, low, high)
            if not self.broken(values).any():
                return

    def _level_parts(self, values: Values, low: Values, high: Values) -> None:
        for total in reversed(self.sums):
            held = {total.total: values[total.total].copy()}
            self._level(total, values, {**low, **held}, {**high, **held})

    def _sweep(self, values: Values, low: Values, high: Values, held: frozenset[str]) -> None:
        """Difference constraints: lowest and highest possible values, then the nearest placement between.

        ``held`` columns keep their values. Rows without a solution are left as they are.
        """
        lowest = {n: values[n].copy() if n in held else low[n].copy() for n in self.columns}
        highest = {n: values[n].copy() if n in held else high[n].copy() for n in self.columns}
        both = {e: ~np.isnan(values[e.low]) & ~np.isnan(values[e.high]) for e in self.inequalities}
        for name in self.columns:
            for edge in self.inequalities:
                if edge.high == name:
                    bound = self.grids[name].up(lowest[edge.low], strict=edge.strict)
                    lowest[name] = np.where(both[edge], np.maximum(lowest[name], bound), lowest[name])
        for name in reversed(self.columns):
            for edge in self.inequalities:
                if edge.low == name:
                    bound = self.grids[name].down(highest[edge.high], strict=edge.strict)
                    highest[name] = np.where(both[edge], np.minimum(highest[name], bound), highest[name])
        possible = np.logical_and.reduce([np.isnan(values[n]) | (lowest[n] <= highest[n]) for n in self.columns])
        for name in self.columns:
            floor = lowest[name]
            for edge in self.inequalities:
                if edge.high == name:
                    bound = self.grids[name].up(values[edge.low], strict=edge.strict)
                    floor = np.where(both[edge] & possible, np.maximum(floor, bound), floor)
            placed = np.minimum(np.maximum(values[name], floor), highest[name])
            values[name][:] = np.where(possible, placed, values[name])

    def _level(self, total: Sum, values: Values, low: Values, high: Values) -> None:
        """Bring the parts to the total where the total is bounded or pinned, else the total to the parts."""
        grid = self.grids[total.total]
        # coarse grids first, so that the finest part takes the last remainder
        order = sorted(total.parts, key=lambda p: -(self.grids[p].step or 0.0))
        parts = np.array([values[p] for p in order])
        least, most = np.array([low[p] for p in order]), np.array([high[p] for p in order])
        target = np.clip(grid.nearest(parts.sum(axis=0)), low[total.total], high[total.total])
        need = target - parts.sum(axis=0)
        act = ~np.isnan(need) & ~np.isnan(values[total.total]) & (np.abs(need) > (grid.step or 0.0) / 2)
        if act.any():
            mass = np.where(most > least, np.abs(parts), 0.0)
            empty = mass.sum(axis=0) == 0
            mass = np.where(empty & (most > least), 1.0, mass)
            share = mass / np.maximum(mass.sum(axis=0), 1e-300)
            for j, part in enumerate(order):
                moved = self.grids[part].nearest(parts[j] + np.where(act, need * share[j], 0.0))
                parts[j] = np.where(act, np.clip(moved, least[j], most[j]), parts[j])
            for j, part in enumerate(order):
                moved = self.grids[part].nearest(parts[j] + np.where(act, target - parts.sum(axis=0), 0.0))
                parts[j] = np.where(act, np.clip(moved, least[j], most[j]), parts[j])
                values[part][:] = parts[j]
        found = np.clip(grid.nearest(parts.sum(axis=0)), low[total.total], high[total.total])
        values[total.total][:] = np.where(np.isnan(found) | np.isnan(values[total.total]), values[total.total], found)


class NumericSystem:
    """All components of a schema's inequalities and sums."""

    def __init__(self, schema: TableSchema, constraints: Iterable[Constraint]) -> None:
        """Group and check the constraints; a :class:`UserError` names the one that cannot be kept."""
        self.schema = schema
        numeric = [c for c in constraints if not isinstance(c, FixedCombinations)]
        for constraint in numeric:
            _check(constraint, schema)
        self.components = tuple(_component(group, schema) for group in _connected(numeric))
        self._middles: list[Values] = []
        self.factors = {name: component.grids[name].factor for component in self.components
                        for name in component.columns}
        for component in self.components:
            low, high = self._limits(component, 1, {}, {}, {})
            middle = {n: np.clip(np.zeros(1), low[n], high[n]) for n in component.columns}
            if component.repair(middle, low, high).any():
                first = component.inequalities[0] if component.inequalities else component.sums[0]
                raise UserError("the constraints and the declared bounds of "
                                f"{', '.join(component.columns)} exclude each other",
                                where=f"contract line {first.line}" if first.line else describe(first),
                                todo="widen the bounds or drop a constraint")
            self._middles.append(middle)

    def broken(self, frame: pd.DataFrame) -> np.ndarray:
        """One bool per row: some inequality or sum does not hold."""
        result = np.zeros(len(frame), dtype=bool)
        for component in self.components:
            result |= component.broken(self._values(component, frame))
        return result

    def broken_by(self, frame: pd.DataFrame, constraint: Inequality | Sum) -> np.ndarray:
        """One bool per row: ``constraint`` does not hold."""
        component = next(c for c in self.components if constraint in (*c.inequalities, *c.sums))
        values = self._values(component, frame)
        if isinstance(constraint, Sum):
            return component.broken_sum(constraint, values)
        low, high = values[constraint.low], values[constraint.high]
        return np.asarray(low >= high if constraint.strict else low > high)

    def repair(self, frame: pd.DataFrame, *, pinned: Mapping[str, np.ndarray] | None = None,
               within: Mapping[str, tuple[float, float]] | None = None) -> np.ndarray:
        """Repair ``frame`` in place; cells under ``pinned`` (bool per row) keep their values.

        ``within`` narrows the declared bounds of columns (working units). Returns the rows that have no
        solution; nothing is promised for these.
        """
        pinned, within = pinned or {}, within or {}
        stuck = np.zeros(len(frame), dtype=bool)
        for component in self.components:
            values = self._values(component, frame)
            low, high = self._limits(component, len(frame), pinned, within, values)
            stuck |= component.repair(values, low, high)
            for name in component.columns:
                frame[name] = values[name] / self.factors[name]
        return stuck

    def settle(self, frame: pd.DataFrame) -> None:
        """Repair ``frame`` in place whatever it holds, with no cell pinned.

        A row that defeats the solver (values far beyond its precision) gets the point of the feasible set that
        is nearest to zero.
        """
        stuck = self.repair(frame)
        for component, middle in zip(self.components, self._middles, strict=True):
            for name in component.columns if stuck.any() else ():
                filled = stuck & frame[name].notna().to_numpy()
                frame.loc[filled, name] = middle[name][0] / self.factors[name]

    def _values(self, component: Component, frame: pd.DataFrame) -> Values:
        return {n: frame[n].to_numpy(dtype=float) * component.grids[n].factor for n in component.columns}

    def _limits(self, component: Component, rows: int, pinned: Mapping[str, np.ndarray],
                within: Mapping[str, tuple[float, float]], values: Values) -> tuple[Values, Values]:
        lows, highs = {}, {}
        for name in component.columns:
            column, grid = self.schema[name], component.grids[name]
            low, high = Grid.of(column).inside(column.minimum, column.maximum)
            if name in within:
                low, high = max(low, within[name][0]), min(high, within[name][1])
            lows[name] = np.full(rows, low * grid.factor)
            highs[name] = np.full(rows, high * grid.factor)
            if name in pinned:
                held = pinned[name] & ~np.isnan(values[name])
                lows[name][held] = highs[name][held] = values[name][held]
        return lows, highs


def _check(constraint: Inequality | Sum, schema: TableSchema) -> None:
    place = f"contract line {constraint.line}" if constraint.line else describe(constraint)
    names = columns_of(constraint)
    for name in names:
        if name not in schema.names:
            raise UserError(f"a constraint names column {name!r}, which is not modelled", where=place,
                            todo=f"modelled columns: {', '.join(schema.names[:40])}")
        if not schema[name].is_number:
            raise UserError(f"column {name!r} is a {schema[name].role}; inequalities and sums take numbers",
                            where=place, todo="use fixed combinations for labels")
    if len(set(names)) < len(names):
        raise UserError("a constraint names the same column twice", where=place, todo="name each column once")
    dates = [n for n in names if schema[n].role is Role.DATETIME]
    if dates and (isinstance(constraint, Sum) or len(dates) < len(names)):
        raise UserError(f"column {dates[0]!r} is a datetime and cannot be compared or added with a number",
                        where=place, todo="compare datetimes with datetimes")


def _connected(constraints: list[Inequality | Sum]) -> list[list[Inequality | Sum]]:
    groups: list[tuple[set[str], list[Inequality | Sum]]] = []
    for constraint in constraints:
        names = set(columns_of(constraint))
        touching = [g for g in groups if g[0] & names]
        groups = [g for g in groups if not g[0] & names]
        groups.append((names.union(*(g[0] for g in touching)), [c for g in touching for c in g[1]] + [constraint]))
    return [g[1] for g in groups]


def _component(constraints: list[Inequality | Sum], schema: TableSchema) -> Component:
    inequalities = tuple(c for c in constraints if isinstance(c, Inequality))
    sums = [c for c in constraints if isinstance(c, Sum)]
    names = sorted({n for c in constraints for n in columns_of(c)}, key=schema.names.index)
    order = topological(names, [(e.low, e.high) for e in inequalities])
    # a total that is a part of another total is settled first
    nested = topological([s.total for s in sums], [(s.total, t.total) for s in sums for t in sums
                                                   if s.total in t.parts])
    if order is None or nested is None or len(set(nested)) < len(sums):
        first = constraints[0]
        raise UserError(f"the constraints on {', '.join(names)} go in a circle or give a total twice",
                        where=f"contract line {first.line}" if first.line else describe(first),
                        todo="keep one direction: each column above or below another, each total given once")
    sums.sort(key=lambda s: nested.index(s.total))
    return Component(tuple(order), inequalities, tuple(sums), _grids([schema[n] for n in names]))


def _grids(columns: list[ColumnSchema]) -> dict[str, Grid]:
    finest = min((MICROSECONDS[c.unit] for c in columns if c.unit is not None), default=1)
    return {c.name: Grid.of(c, MICROSECONDS[c.unit] // finest if c.unit is not None else 1) for c in columns}


def topological(names: list[str], arrows: list[tuple[str, str]]) -> list[str] | None:
    """``names`` so that every arrow points forward, stable otherwise; ``None`` if they go in a circle."""
    order: list[str] = []
    while len(order) < len(names):
        ready = [n for n in names if n not in order and all(a in order for a, b in arrows if b == n and a in names)]
        if not ready:
            return None
        order.append(ready[0])
    return order
