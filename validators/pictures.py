"""Aggregates for the report's pictures: every number has at least k entities behind it, edges are coarse."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd

from synth.tabular.schema import ColumnSchema
from validators.encode import cut_points

BINS = 8  # coarse on purpose: pictures are published
LABELS = 12  # labels shown before the rest becomes "(few)"
FEW, MISSING = "(few)", "(missing)"


def bars(title: str, labels: list[str], series: dict[str, list[float | None]], unit: str,
         limit: float | None = None) -> dict[str, Any]:
    """Bars, one group a label."""
    return {"kind": "bars", "title": title, "labels": labels, "unit": unit, "limit": limit,
            "series": [{"name": name, "values": values} for name, values in series.items()]}


def heat(title: str, labels: list[str], values: np.ndarray, unit: str) -> dict[str, Any]:
    """A square of figures; NaN becomes null."""
    rows = [[None if not math.isfinite(v) else round(float(v), 4) for v in row] for row in values]
    return {"kind": "heat", "title": title, "labels": labels, "values": rows, "unit": unit}


def intervals(title: str, rows: list[dict[str, Any]], unit: str) -> dict[str, Any]:
    """Estimates with bounds, floor and limit."""
    return {"kind": "intervals", "title": title, "rows": rows, "unit": unit}


def table(title: str, columns: list[str], rows: list[list[str | float | None]]) -> dict[str, Any]:
    """A small table."""
    return {"kind": "table", "title": title, "columns": columns, "rows": rows}


def interval_row(label: str, value: float, low: float, high: float, floor: float | None = None,
                 limit: float | None = None) -> dict[str, Any]:
    """One row for :func:`intervals`."""
    return {"label": label, "value": st_number(value), "low": st_number(low), "high": st_number(high),
            "floor": st_number(floor), "limit": limit}


def st_number(value: float | None) -> float | None:
    """Finite and rounded to four digits, else None."""
    return None if value is None or not math.isfinite(value) else round(float(value), 4)


def round_edge(edge: float, spread: float) -> float:
    """An edge rounded to two significant digits of the column's spread."""
    if not spread > 0 or not math.isfinite(spread):
        return edge
    step = 10.0 ** (math.floor(math.log10(spread)) - 1)
    return round(edge / step) * step


def _date(edge: float, unit: str) -> str:
    return str(np.array(int(edge)).astype(f"datetime64[{unit}]"))[:10]


def _print(edge: float, column: ColumnSchema, spread: float) -> str:
    if column.unit is not None:
        return _date(edge, column.unit)
    step = 10.0 ** (math.floor(math.log10(spread)) - 1) if spread > 0 else 1.0
    digits = max(0, -math.floor(math.log10(step)))
    return f"{edge:,.{min(digits, 12)}f}"


def marginal(column: ColumnSchema, real: pd.Series, real_entities: np.ndarray, synthetic: pd.Series,
             k: int) -> dict[str, Any] | None:
    """Shares of coarse bins or labels in untouched real rows and in the synthetic table.

    Returns None where fewer than 2 k entities are there, or where no two bins with k entities are left.
    """
    if len(np.unique(real_entities)) < 2 * k:
        return None
    found = _number(column, real, synthetic) if column.is_number else _label(column, real, synthetic)
    labels, real_codes, synthetic_codes = found
    people = np.array([len(np.unique(real_entities[real_codes == code])) for code in range(len(labels))])
    groups = _merge_numbers(people, k) if column.is_number else _merge_labels(people, k)
    if people[-1] == 0 and not (synthetic_codes == len(labels) - 1).any():  # nothing is missing anywhere
        groups = [[code for code in group if code != len(labels) - 1] for group in groups]
    names: list[str] = []
    real_share: list[float] = []
    synthetic_share: list[float] = []
    for members in groups:
        names.append(_name(members, labels, column))
        real_share.append(round(float(np.isin(real_codes, members).mean()), 3))
        synthetic_share.append(round(float(np.isin(synthetic_codes, members).mean()), 3))
    if len(names) < 2:
        return None
    return {"kind": "marginal", "column": column.name, "role": str(column.role), "labels": names,
            "real": real_share, "synthetic": synthetic_share}


def _number(column: ColumnSchema, real: pd.Series, synthetic: pd.Series) -> tuple[list[str], np.ndarray, np.ndarray]:
    values, others = real.to_numpy(float), synthetic.to_numpy(float)
    present = values[np.isfinite(values)]
    low, high = np.quantile(present, [0.05, 0.95]) if len(present) else (0.0, 0.0)
    spread = float(high - low)
    # atoms would print an exact value as both ends of a bin: plain quantiles, rounded, are enough for a picture
    edges = cut_points(present, 1) if spread <= 0 else np.quantile(present, np.arange(1, BINS) / BINS)
    edges = np.unique([round_edge(float(e), spread) for e in edges])
    printed = [_print(float(e), column, spread) for e in edges]
    if len(edges) == 0:
        labels = ["(all values)"]
    else:
        labels = [f"below {printed[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(printed)),
                  f"{printed[-1]} and above"]
    labels.append(MISSING)

    def codes(v: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(v), len(edges) + 1, np.searchsorted(edges, v, side="right"))

    return labels, codes(values), codes(others)


def _label(column: ColumnSchema, real: pd.Series, synthetic: pd.Series) -> tuple[list[str], np.ndarray, np.ndarray]:
    from validators.encode import label_codes

    counts = real.dropna().value_counts()
    frequent = set(list(map(str, counts.index))[:LABELS])
    # only labels of the schema's vocabulary may be named: the rest were folded or never checked against k
    shown = [v for v in column.values if v in frequent]
    vocabulary = {v: i for i, v in enumerate(shown)}
    return [*shown, FEW, MISSING], label_codes(real, vocabulary), label_codes(synthetic, vocabulary)


def _merge_numbers(people: np.ndarray, k: int) -> list[list[int]]:
    """Neighbouring bins joined until each has k entities; missing (last) stays alone if it has k or none."""
    groups: list[list[int]] = []
    current: list[int] = []
    for code in range(len(people) - 1):
        current.append(code)
        if people[current].sum() >= k:
            groups.append(current)
            current = []
    missing = len(people) - 1
    if current and groups:
        groups[-1] = groups[-1] + current
    elif current:  # fewer than k values in all: shown with the missing cells or not at all
        return [[*current, missing]]
    if people[missing] >= k:
        groups.append([missing])
    elif groups:  # a few missing cells: hidden in the last bin, whose name says so
        groups[-1] = [*groups[-1], missing]
    return groups


def _merge_labels(people: np.ndarray, k: int) -> list[list[int]]:
    few, missing = len(people) - 2, len(people) - 1
    alone = [c for c in range(few) if people[c] >= k]
    rest = [c for c in range(few) if people[c] < k] + [few]
    if people[missing] >= k:
        alone.append(missing)
    else:
        rest.append(missing)
    while 0 < people[rest].sum() < k and alone:
        smallest = min(alone, key=lambda c: people[c])
        alone.remove(smallest)
        rest.append(smallest)
    groups = [[c] for c in alone]
    if people[rest].sum() > 0:
        groups.append(rest)
    return groups


def _name(members: list[int], labels: list[str], column: ColumnSchema) -> str:
    if len(members) == 1:
        return labels[members[0]]
    if not column.is_number:
        return FEW
    missing = len(labels) - 1
    bins = [m for m in members if m != missing]
    tail = " or missing" if missing in members else ""
    if not bins:
        return MISSING
    first, last = labels[bins[0]], labels[bins[-1]]
    if first == last:
        return first + tail
    if first.startswith("below") and last.endswith("above"):
        return "(all values)" + tail
    if first.startswith("below"):
        return "below " + last.split(" to ")[-1] + tail
    if last.endswith("above"):
        return first.split(" to ")[0] + " and above" + tail
    return first.split(" to ")[0] + " to " + last.split(" to ")[-1] + tail
