"""Values and bounds that a contract does not declare, found with noise and paid from the budget.

Labels: a noisy count of each that occurs, shown above a threshold that a unit's own labels pass with a chance that is
taken from delta (stability-based histogram: Korolova et al. 2009; with Gaussian noise Wilkins et al. 2024). The
threshold also lies above ``k`` units, so it hides which labels ingest put together as too rare. Numbers: noisy counts
between powers of two; bounds are the outermost powers between which counts rise out of the noise (a finer grid inside
them would cut the tails: each part of it holds too few). What lies outside the bounds is cut to them, and a label that
was not found becomes one that was, by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtri

from synth.contract.model import Budget, Contract, Role, Unit
from synth.errors import UserError
from synth.gan.private import noise
from synth.gan.private.accounting import Account, Gaussian, Threshold
from synth.tabular.private.measure import bounded
from synth.tabular.schema import ColumnSchema, TableSchema

SHARE = 0.10  # of the budget's squared mu
DELTA = 0.10  # of its delta, for all label columns together
LABELS = 500_000  # most labels of a column: a unit with many rows may have that many
CHANCE = 0.01  # that an empty part of a number's grid looks filled
POWERS = tuple(range(-20, 61))  # of two: the sizes of numbers that are told apart


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one column costs: ``scale`` of its noise, ``most`` rows of a unit, ``delta`` of its threshold."""

    scale: float
    most: float
    delta: float
    k: int


def lacking(contract: Contract) -> tuple[str, ...]:
    """Modelled columns without declared values or bounds."""
    return tuple(c.name for c in contract.modelled if c.role is not Role.BOOLEAN and (
        (c.minimum is None or c.maximum is None) if c.role.is_number else c.values is None))


def complete(frame: pd.DataFrame, units: np.ndarray, schema: TableSchema, seen: TableSchema, names: Sequence[str],
             contract: Contract, account: Account) -> tuple[pd.DataFrame, TableSchema]:
    """The frame and the public ``schema`` with columns ``names`` filled in; ``seen`` is the private schema of ingest.

    The frame that comes back is brought to the schema row by row. :class:`UserError` where nothing rises out of the
    noise, or where the budget is exhausted.
    """
    budget = contract.budget
    assert budget is not None
    if not names:
        return frame, schema
    rows, whole = bounded(frame, units, budget), account.left
    labels = sum(not schema[n].is_number for n in names)
    most = float(budget.contributions if budget.unit is Unit.ENTITY else 1)
    columns, out = {c.name: c for c in schema.columns}, frame.copy()
    for name in names:
        plan = Plan(scale=most / (SHARE * whole / len(names)) ** 0.5, most=most, k=contract.k,
                    delta=DELTA * budget.delta / max(1, labels))
        if columns[name].is_number:
            columns[name] = _bounds(rows[name].to_numpy(float), columns[name], plan, account)
        else:
            columns[name], weights = _values(rows[name], columns[name], seen[name], plan, account)
            out[name] = _known(out[name], columns[name].values, weights)
    return out, TableSchema(columns=tuple(columns[c.name] for c in schema.columns))


def threshold(plan: Plan) -> float:
    """Noisy counts above this are shown: labels of fewer than ``k`` + 1 units pass it with chance ``delta`` at most."""
    return plan.most * plan.k + plan.scale * float(-ndtri(plan.delta / LABELS))


def _values(values: pd.Series, column: ColumnSchema, seen: ColumnSchema, plan: Plan, account: Account
            ) -> tuple[ColumnSchema, np.ndarray]:
    account.spend(Gaussian(name=f"values of {column.name!r}", noise=plan.scale, sensitivity=plan.most))
    account.spend(Threshold(name=f"values of {column.name!r}, threshold", delta=plan.delta))
    counts = values[values != seen.folded].value_counts()  # missing cells are not counted
    noisy = noise.noisy(counts.to_numpy(float), plan.scale)
    shown = noisy > threshold(plan)
    if not shown.any():
        raise _nothing(column.name)
    order = np.argsort(counts.index[shown].to_numpy().astype(str) if column.role is not Role.ORDINAL
                       else counts.index[shown].to_numpy().astype(float))
    return replace(column, values=tuple(str(v) for v in counts.index[shown][order])), noisy[shown][order]


def _known(values: pd.Series, known: tuple[str, ...], weights: np.ndarray) -> pd.Series:
    """Labels that were not found become found ones, by their noisy counts; missing stays missing."""
    other = (values.notna() & ~values.isin(known)).to_numpy()
    out = values.to_numpy(dtype=object, copy=True)
    drawn = np.random.default_rng(noise.seed()).choice(len(known), int(other.sum()), p=weights / weights.sum())
    out[other] = np.array(known, dtype=object)[drawn]
    return pd.Series(out, index=values.index, dtype="str")


def _bounds(values: np.ndarray, column: ColumnSchema, plan: Plan, account: Account) -> ColumnSchema:
    """Powers of two (or 0) with what rises out of the noise between them, on the declared precision's grid."""
    fine = 1.0 if column.unit is not None else 10.0 ** -(column.decimals or 0)
    sizes = np.exp2(np.array(POWERS, float))
    edges = np.unique(np.r_[-sizes, 0.0, sizes])
    account.spend(Gaussian(name=f"bounds of {column.name!r}", noise=plan.scale, sensitivity=plan.most))
    known = values[np.isfinite(values)]
    place = np.clip(np.searchsorted(edges, known, "right") - 1, 0, len(edges) - 2)
    counts = noise.noisy(np.bincount(place, minlength=len(edges) - 1).astype(float), plan.scale)
    filled = np.flatnonzero(counts > plan.scale * float(-ndtri(CHANCE / len(counts))))
    if not len(filled):
        raise _nothing(column.name)
    low, high = float(edges[filled[0]]), float(edges[filled[-1] + 1])
    return replace(column, minimum=float(np.floor(low / fine) * fine), maximum=float(np.ceil(high / fine) * fine))


def _nothing(name: str) -> UserError:
    return UserError(f"nothing rises out of the noise of the budget in column {name!r}",
                     todo="declare the values or bounds from what you know, raise epsilon, or give more people")


def for_budget(budget: Budget) -> str:
    """What the statement says of bounds and categories."""
    return "declared, or found with noise paid from this budget" if budget.find else "declared"
