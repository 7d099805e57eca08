"""Fixed combinations: several columns as one label, so that only combinations people share can come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synth.contract.model import Role
from synth.errors import UserError
from synth.tabular.conditions import Allowed
from synth.tabular.schema import ColumnSchema, TableSchema

MOST_NUMBERS = 200  # distinct values up to which a number column can be part of a combination
_CHUNK = 20_000_000  # cells compared at once when the nearest combination is looked for
Cell = str | float | None


@dataclass(frozen=True, kw_only=True)
class Combinations:
    """The allowed combinations of ``columns``, each with the share of rows that has it.

    ``cells[c][i]`` is the cell of combination ``i`` in column ``c``; ``None`` is a missing cell, which is a
    state like any other here. As a column of its own a combination is the label ``labels[i]`` (opaque).
    """

    name: str
    columns: tuple[str, ...]
    numbers: tuple[bool, ...]  # which of them are number columns
    cells: tuple[tuple[Cell, ...], ...]
    shares: tuple[float, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, schema: TableSchema, columns: tuple[str, ...], *, name: str, k: int,
            entities: np.ndarray | None, line: int = 0) -> Combinations:
        """The combinations of ``frame`` that at least ``k`` entities (default: rows) have."""
        place = f"contract line {line}" if line else f"combinations of {', '.join(columns)}"
        for column in columns:
            if schema[column].is_number and frame[column].nunique() > MOST_NUMBERS:
                raise UserError(f"column {column!r} has too many different numbers for a fixed combination",
                                where=place, todo=f"leave it out, or round it to at most {MOST_NUMBERS} values")
        vocabularies = [pd.Index(sorted(frame[c].dropna().unique()), dtype=frame[c].dtype) for c in columns]
        codes = _cell_codes(frame, columns, vocabularies)
        rows, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
        inverse = inverse.reshape(-1)
        owners = counts
        if entities is not None:
            pairs = np.unique(np.column_stack([inverse, entities]), axis=0)
            owners = np.bincount(pairs[:, 0], minlength=len(rows))
        kept = owners >= k
        if not kept.any():
            raise UserError(f"no combination of {', '.join(columns)} is shared by {k} entities", where=place,
                            todo="leave a column out of the combination, or lower synthesis.k with a reason")
        rows, counts = rows[kept], counts[kept]
        cells = tuple(tuple(None if code == len(words) else _plain(words[code]) for code in rows[:, j])
                      for j, words in enumerate(vocabularies))
        return cls(name=name, columns=columns, numbers=tuple(schema[c].is_number for c in columns), cells=cells,
                   shares=tuple((counts / counts.sum()).tolist()))

    @property
    def labels(self) -> list[str]:
        """The labels of the composite column, one a combination."""
        width = len(str(len(self.shares) - 1))
        return [f"{i:0{width}d}" for i in range(len(self.shares))]

    @property
    def schema(self) -> ColumnSchema:
        """The composite column."""
        return ColumnSchema(name=self.name, role=Role.CATEGORICAL, nullable=False, values=tuple(self.labels))

    @property
    def _vocabularies(self) -> list[pd.Index]:
        return [pd.Index(sorted({c for c in cells if c is not None}), dtype="float64" if number else "str")
                for number, cells in zip(self.numbers, self.cells, strict=True)]

    def _table(self, vocabularies: list[pd.Index]) -> np.ndarray:
        """Codes of the allowed combinations, one row each."""
        places = [{w: i for i, w in enumerate(words)} for words in vocabularies]
        return np.array([[len(place) if c is None else place[c] for c in cells]
                         for place, cells in zip(places, self.cells, strict=True)]).T

    def encode(self, frame: pd.DataFrame, *, exact: bool = False) -> np.ndarray:
        """The combination of each row; a row with another one gets the nearest (``exact``: -1).

        Nearest means: agrees in the most columns, and of those the most frequent.
        """
        vocabularies = self._vocabularies
        table = self._table(vocabularies)
        codes, inverse = np.unique(_cell_codes(frame, self.columns, vocabularies), axis=0, return_inverse=True)
        found = np.full(len(codes), -1)
        known = {tuple(row): i for i, row in enumerate(table.tolist())}
        for i, row in enumerate(codes.tolist()):
            found[i] = known.get(tuple(row), -1)
        lost = np.flatnonzero(found < 0)
        if not exact and len(lost):
            shares = np.array(self.shares) / 2
            for part in np.array_split(lost, 1 + len(lost) * table.size // _CHUNK):
                agree = np.zeros((len(part), len(table)))
                for j in range(len(self.columns)):
                    agree += codes[part, j][:, None] == table[:, j]
                found[part] = np.argmax(agree + shares, axis=1)
        return found[inverse.reshape(-1)]

    def decode(self, labels: pd.Series) -> dict[str, np.ndarray | pd.Series]:
        """The columns of composite labels; a label that is none becomes the most frequent combination."""
        codes = pd.Index(self.labels, dtype="str").get_indexer(pd.Index(labels))
        codes = np.where(codes < 0, int(np.argmax(self.shares)), codes)
        result: dict[str, np.ndarray | pd.Series] = {}
        for name, number, cells in zip(self.columns, self.numbers, self.cells, strict=True):
            if number:
                result[name] = np.array([np.nan if c is None else c for c in cells], dtype=float)[codes]
            else:
                result[name] = pd.Series(list(cells), dtype="str").take(codes).reset_index(drop=True)
        return result

    def compatible(self, conditions: Mapping[str, Allowed]) -> frozenset[str]:
        """The composite labels whose cells satisfy the conditions on these columns."""
        frame = pd.DataFrame(self.decode(pd.Series(self.labels, dtype="str")))
        holds = np.ones(len(frame), dtype=bool)
        for name in self.columns:
            if name in conditions:
                holds &= conditions[name].holds(frame[name])
        return frozenset(np.array(self.labels, dtype=object)[holds].tolist())

    def agree(self, labels: pd.Series, given: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        """Labels changed where they contradict the filled cells of ``given``, drawn among those that agree.

        Cells to be filled come out filled where a combination allows it. Where no combination agrees with
        all given cells, the nearest is taken (the caller keeps the given cells).
        """
        vocabularies = self._vocabularies
        table, shares = self._table(vocabularies), np.array(self.shares)
        codes = _cell_codes(given, self.columns, vocabularies)
        asked = given[list(self.columns)].notna().to_numpy()
        codes[~asked] = -2  # free
        patterns, inverse = np.unique(codes, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        full = np.array([[c is not None for c in cells] for cells in self.cells]).T
        drawn = pd.Index(self.labels, dtype="str").get_indexer(pd.Index(labels))
        for i, pattern in enumerate(patterns):
            free = pattern == -2
            score = ((table == pattern) & ~free).sum(axis=1) * 2.0 + full[:, free].all(axis=1)
            best = np.flatnonzero(score == score.max())
            rows = np.flatnonzero(inverse == i)
            rows = rows[~np.isin(drawn[rows], best)]
            drawn[rows] = rng.choice(best, size=len(rows), p=shares[best] / shares[best].sum())
        return pd.Series(self.labels, dtype="str").take(drawn).reset_index(drop=True)

    def to_json(self) -> dict[str, Any]:
        """Plain data (private: it holds vocabulary)."""
        return {"name": self.name, "columns": list(self.columns), "numbers": list(self.numbers),
                "cells": [list(c) for c in self.cells], "shares": list(self.shares)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Combinations:
        """The inverse of :meth:`to_json`."""
        return cls(name=data["name"], columns=tuple(data["columns"]), numbers=tuple(data["numbers"]),
                   cells=tuple(map(tuple, data["cells"])), shares=tuple(data["shares"]))


def _plain(value: Any) -> Cell:
    return value if isinstance(value, str) else float(value)


def _cell_codes(frame: pd.DataFrame, columns: tuple[str, ...], vocabularies: list[pd.Index]) -> np.ndarray:
    """Vocabulary positions, ``(rows, columns)``: missing is ``len(vocabulary)``, unknown is -1."""
    codes = np.empty((len(frame), len(columns)), dtype=np.int64)
    for j, (name, words) in enumerate(zip(columns, vocabularies, strict=True)):
        codes[:, j] = words.get_indexer(pd.Index(frame[name]))
        codes[frame[name].isna().to_numpy(), j] = len(words)
    return codes
