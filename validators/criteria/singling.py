"""Singling out: a description, made from the synthetic table alone, that fits exactly one person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from synth.seeds import generator
from validators.criteria.base import Outcome, People

GUESSES = 2_000
CELLS = (3, 6)  # of a description by several cells, at least and at most
LEAST = 50  # descriptions below which there is no such attack


@dataclass(frozen=True)
class Clause:
    """One cell of a description: a bound of a number, a value, or a missing cell (codes or NaN)."""

    column: int
    operator: str  # "=", "<=", ">=", "missing"
    value: float


def singling_out(people: People) -> list[Outcome]:
    """Descriptions of one cell, and of several (Giomi et al. 2023, section on singling out).

    A description counts if it fits one row of the synthetic table, and is right if it fits one of the real people.
    """
    tables = [_coded(people, frame) for frame in (people.synthetic, people.train, people.control)]
    numbers = np.array([c.is_number for c in people.schema.columns])
    rng = generator(people.seed, "criteria", "singling out")
    found = []
    for name, made in (("one cell", _single(tables[0], numbers, rng)), ("several cells", _several(
            tables[0], numbers, rng))):
        if len(made) < LEAST:
            continue
        naive = _random(tables[0], numbers, [len(d) for d in made], rng)
        attack, control, baseline = (float(np.mean([_fits(d, table) == 1 for d in told])) for told, table in (
            (made, tables[1]), (made, tables[2]), (naive, tables[1])))
        found.append(Outcome(name, attack, control, baseline, len(made)))
    return found


def _coded(people: People, frame: pd.DataFrame) -> np.ndarray:
    """float64 (columns, rows): numbers as they are, labels as codes of all labels there are, missing as NaN."""
    out = []
    for column in people.schema.columns:
        if column.is_number:
            out.append(frame[column.name].to_numpy(float))
            continue
        known = pd.Index(sorted({str(v) for part in (people.synthetic, people.train, people.control)
                                 for v in part[column.name].dropna().unique()}))
        codes = known.get_indexer(pd.Index(frame[column.name].where(frame[column.name].notna(), None))).astype(float)
        out.append(np.where(codes < 0, np.nan, codes))
    return np.array(out)


def _fits(description: list[Clause], table: np.ndarray) -> int:
    """Number of rows that a description fits."""
    mask = np.ones(table.shape[1], bool)
    for clause in description:
        cells = table[clause.column]
        if clause.operator == "missing":
            mask &= np.isnan(cells)
        elif clause.operator == "=":
            mask &= cells == clause.value
        else:
            mask &= cells <= clause.value if clause.operator == "<=" else cells >= clause.value
    return int(mask.sum())


def _single(table: np.ndarray, numbers: np.ndarray, rng: np.random.Generator) -> list[list[Clause]]:
    """Values that one synthetic row alone has, and beyond the outermost ones; a random choice of them."""
    found: list[Clause] = []
    for column, cells in enumerate(table):
        present = cells[~np.isnan(cells)]
        if len(present) == len(cells) - 1:
            found.append(Clause(column, "missing", np.nan))
        values, counts = np.unique(present, return_counts=True)
        found += [Clause(column, "=", float(v)) for v in rng.permutation(values[counts == 1])[:GUESSES]]
        if numbers[column] and len(values):
            found += [Clause(column, "<=", float(values[0])), Clause(column, ">=", float(values[-1]))]
    return [[found[i]] for i in rng.permutation(len(found))[:GUESSES]]


def _several(table: np.ndarray, numbers: np.ndarray, rng: np.random.Generator) -> list[list[Clause]]:
    """Random cells of random synthetic rows: numbers as bounds on the far side of the median, labels as they are."""
    columns, rows = table.shape
    if columns < 2:
        return []
    medians = [float(np.nanmedian(cells)) if (~np.isnan(cells)).any() else 0.0 for cells in table]
    found = []
    for row in rng.integers(0, rows, GUESSES):
        count = min(int(rng.integers(CELLS[0], CELLS[1] + 1)), columns)
        description = []
        for column in rng.permutation(columns)[:count]:
            value = float(table[column, row])
            operator = "missing" if np.isnan(value) else "=" if not numbers[column] else \
                ">=" if value >= medians[column] else "<="
            description.append(Clause(int(column), operator, value))
        if _fits(description, table) == 1:
            found.append(description)
    return found


def _random(table: np.ndarray, numbers: np.ndarray, lengths: list[int], rng: np.random.Generator
            ) -> list[list[Clause]]:
    """As many descriptions of as many cells that only know the ranges and labels of the columns."""
    spans = [(float(np.nanmin(c)), float(np.nanmax(c))) if (~np.isnan(c)).any() else (0.0, 0.0) for c in table]
    found = []
    for length in lengths:
        description = []
        for column in rng.permutation(len(table))[:length]:
            low, high = spans[column]
            if numbers[column]:
                clause = Clause(int(column), ("<=", ">=")[int(rng.integers(2))], float(rng.uniform(low, high)))
            else:
                clause = Clause(int(column), "=", float(rng.integers(int(low), int(high) + 1)))
            description.append(clause)
        found.append(description)
    return found
