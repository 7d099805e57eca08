"""The exact repair of one row: a small integer program on the printed grids."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from synth.contract.model import Inequality, Sum
from synth.tabular.grid import Grid

_NEAR = 1e8  # steps: how far from zero wanted values may lie
_FAR = 1e12  # steps: a bound further away than this binds nothing


class Program(Protocol):
    """What is to be solved: number columns on a common unit and what must hold among them."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def inequalities(self) -> tuple[Inequality, ...]:
        """Between two columns each."""

    @property
    def sums(self) -> tuple[Sum, ...]:
        """Totals and their parts."""

    @property
    def grids(self) -> Mapping[str, Grid]:
        """The values each column can print."""


def closest(component: Program, wanted: Mapping[str, float], low: Mapping[str, float],
            high: Mapping[str, float]) -> dict[str, float] | None:
    """Values nearest to ``wanted`` within the bounds that satisfy every constraint; ``None`` if there are none.

    Columns whose wanted value is NaN are missing and free every constraint they are in. The distance is the
    sum of relative moves. Variables are whole steps away from the wanted value, so that large values (dates)
    lose no precision in the solver.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    names = [n for n in component.columns if not math.isnan(wanted[n])]
    if not names:
        return {}
    place = {n: i for i, n in enumerate(names)}
    steps = np.array([component.grids[n].step or max(1.0, abs(wanted[n])) * 1e-3 for n in names])
    whole = np.array([component.grids[n].step is not None for n in names])
    lows, highs = np.array([low[n] for n in names]), np.array([high[n] for n in names])
    # values that differ by more steps than the solver can tell apart are first brought near each other
    pins = np.abs(lows[lows == highs]).max(initial=0.0)
    near = np.maximum(_NEAR * steps, 4 * pins)
    start = np.clip(np.clip([wanted[n] for n in names], -near, near), lows, highs)
    rows, least, most = [], [], []

    def require(terms: dict[str, float], at_least: float, at_most: float) -> None:
        """``at_least <= sum(coefficient * value) <= at_most``, written in steps of the finest column."""
        unit = min(steps[place[n]] for n in terms)
        row = np.zeros(2 * len(names))
        for name, coefficient in terms.items():
            row[place[name]] = coefficient * steps[place[name]] / unit
        offset = sum(c * start[place[n]] for n, c in terms.items())
        rows.append(row)
        least.append((at_least - offset) / unit)
        most.append((at_most - offset) / unit)

    for edge in component.inequalities:
        if edge.low in place and edge.high in place:
            finest = min(component.grids[edge.low].step or 0.0, component.grids[edge.high].step or 0.0)
            gap = (finest or 1e-9 * max(1.0, abs(wanted[edge.high]))) if edge.strict else 0.0
            require({edge.high: 1.0, edge.low: -1.0}, gap, np.inf)
    for total in component.sums:
        if total.total in place and all(p in place for p in total.parts):
            fine = [component.grids[p].step or 0.0 for p in total.parts]
            step = component.grids[total.total].step or 0.0
            slack = step / 2 if min(fine) < step else 0.0
            require({total.total: 1.0, **{p: -1.0 for p in total.parts}}, -slack, slack)
    for i, name in enumerate(names):  # |move| <= distance, twice
        for sign in (1.0, -1.0):
            row = np.zeros(2 * len(names))
            row[place[name]], row[len(names) + i] = sign, -1.0
            rows.append(row)
            least.append(-np.inf)
            most.append(0.0)
    fewest, largest = (lows - start) / steps - 1e-9, (highs - start) / steps + 1e-9
    fewest[fewest < -_FAR], largest[largest > _FAR] = -np.inf, np.inf
    # a step on the grid costs its share of the value, so that small parts are not emptied first
    price = steps / np.maximum(np.abs(start), steps * 100)
    result = milp(np.concatenate([np.zeros(len(names)), price]),
                  constraints=LinearConstraint(np.array(rows), np.array(least), np.array(most)),
                  integrality=np.concatenate([whole, np.zeros(len(names))]),
                  bounds=Bounds(np.concatenate([fewest, np.zeros(len(names))]),
                                np.concatenate([largest, np.full(len(names), np.inf)])))
    if result.x is None:
        return None
    moves = result.x[: len(names)]
    found = {}
    for i, name in enumerate(names):
        grid = component.grids[name]
        value = grid.nearest(start[i] + (np.rint(moves[i]) if whole[i] else moves[i]) * steps[i])
        found[name] = float(np.clip(value, lows[i], highs[i]))
    return found
