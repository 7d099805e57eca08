"""How the gates see a table: distances, bins and tree features, all learned from the reference part.

The encodings are fitted on reference, never on train: a scaler or a vocabulary fitted on train sits closer
to train than to holdout and would bias every comparison of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from synth.seeds import generator
from synth.tabular.schema import ColumnSchema, TableSchema

ONE_HOT = 40  # labels of a column up to which the distance encoding is one-hot
TREE_LABELS = 200  # labels of a column that the tree features tell apart (HGB takes 255)


def label_codes(values: pd.Series, vocabulary: dict[str, int]) -> np.ndarray:
    """int64 codes of a label column: position in the vocabulary, its length if unseen, length + 1 if missing."""
    size = len(vocabulary)
    codes, uniques = pd.factorize(values)  # missing is -1
    table = np.array([*(vocabulary.get(str(u), size) for u in uniques), size + 1], dtype=np.int64)
    return table[codes]


def _vocabulary(values: pd.Series, column: ColumnSchema, most: int) -> dict[str, int]:
    """The ``most`` frequent labels of reference, then declared ones that reference lacks, as codes."""
    counts = values.dropna().value_counts()
    labels = sorted(map(str, counts.index), key=lambda text: (-int(counts[text]), text))
    seen = set(labels)
    labels += [v for v in column.values if v not in seen]
    return {text: code for code, text in enumerate(labels[:most])}


@dataclass(frozen=True)
class _Number:
    """Robustly scaled and compressed: (arcsinh of robust z) at standard deviation 1/2, and a missing flag."""

    centre: float
    scale: float
    spread: float
    flag: bool

    @classmethod
    def fit(cls, values: np.ndarray, column: ColumnSchema) -> _Number:
        present = values[np.isfinite(values)]
        if len(present) == 0:
            return cls(0.0, 1.0, 1.0, True)
        low, centre, high = np.quantile(present, [0.25, 0.5, 0.75])
        scale = float(high - low) / 1.349 or float(np.std(present)) or 1.0
        spread = float(np.std(np.arcsinh((present - centre) / scale))) or 1.0
        return cls(float(centre), scale, spread, column.nullable or len(present) < len(values))

    def transform(self, values: np.ndarray) -> np.ndarray:
        missing = ~np.isfinite(values)
        filled = np.where(missing, self.centre, values)
        scaled = 0.5 * np.arcsinh((filled - self.centre) / self.scale) / self.spread
        columns = [scaled, missing.astype(float)] if self.flag else [scaled]
        return np.column_stack(columns)


@dataclass(frozen=True)
class _Label:
    """One-hot over sqrt(2), so that two labels are 1 apart; wide columns get random unit vectors instead."""

    vocabulary: dict[str, int]
    vectors: np.ndarray  # (labels + unseen + missing, dimensions)

    @classmethod
    def fit(cls, values: pd.Series, column: ColumnSchema, seed: int) -> _Label:
        vocabulary = _vocabulary(values, column, 100_000)
        states = len(vocabulary) + 2
        if states <= ONE_HOT:
            vectors = np.eye(states)
        else:  # unit vectors in many dimensions are nearly orthogonal: distances stay near 1 for any vocabulary
            vectors = generator(seed, "label vectors", column.name).standard_normal((states, ONE_HOT))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls(vocabulary, vectors / np.sqrt(2.0))

    def transform(self, values: pd.Series) -> np.ndarray:
        return self.vectors[label_codes(values, self.vocabulary)]


@dataclass(frozen=True)
class Encoding:
    """Rows as points in which Euclidean distance is Gower-like: a column that differs adds about one."""

    columns: tuple[tuple[str, _Number | _Label], ...]

    @classmethod
    def fit(cls, reference: pd.DataFrame, schema: TableSchema, seed: int = 0,
            without: frozenset[str] = frozenset()) -> Encoding:
        """Learn scales and vocabularies from the reference part, leaving out the columns ``without``."""
        fitted: list[tuple[str, _Number | _Label]] = []
        for column in schema.columns:
            if column.name in without:
                continue
            values = reference[column.name]
            fitted.append((column.name, _Number.fit(values.to_numpy(float), column) if column.is_number
                           else _Label.fit(values, column, seed)))
        return cls(tuple(fitted))

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """float32 (rows, dimensions), C-contiguous."""
        blocks = [e.transform(frame[name].to_numpy(float)) if isinstance(e, _Number) else e.transform(frame[name])
                  for name, e in self.columns]
        if not blocks:
            return np.zeros((len(frame), 1), np.float32)
        return np.ascontiguousarray(np.concatenate(blocks, axis=1), dtype=np.float32)


@dataclass(frozen=True)
class Features:
    """Rows for gradient boosting: numbers as they are, labels as codes, missing as NaN."""

    names: tuple[str, ...]
    vocabularies: dict[str, dict[str, int]]

    @classmethod
    def fit(cls, reference: pd.DataFrame, schema: TableSchema, without: frozenset[str] = frozenset()) -> Features:
        """Learn the vocabularies from the reference part, leaving out the columns ``without``."""
        columns = [c for c in schema.columns if c.name not in without]
        return cls(tuple(c.name for c in columns),
                   {c.name: _vocabulary(reference[c.name], c, TREE_LABELS) for c in columns if not c.is_number})

    @property
    def categorical(self) -> np.ndarray:
        """Boolean mask over the features for HistGradientBoosting."""
        return np.array([name in self.vocabularies for name in self.names], dtype=bool)

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """float64 (rows, columns)."""
        out = np.empty((len(frame), len(self.names)))
        for position, name in enumerate(self.names):
            if name in self.vocabularies:
                vocabulary = self.vocabularies[name]
                codes = label_codes(frame[name], vocabulary).astype(float)
                codes[codes == len(vocabulary) + 1] = np.nan
                out[:, position] = codes
            else:
                values = frame[name].to_numpy(float)
                out[:, position] = np.where(np.isfinite(values), values, np.nan)
        return out


def cut_points(values: np.ndarray, bins: int) -> np.ndarray:
    """Fixed edges from reference: quantiles, and both sides of every value that fills a bin by itself.

    A value x falls in bin ``searchsorted(edges, x, side="right")``; the outer bins are open.
    """
    present = values[np.isfinite(values)]
    if len(present) == 0:
        return np.zeros(0)
    atoms, counts = np.unique(present, return_counts=True)
    atoms = atoms[counts * bins >= len(present)]
    edges = np.quantile(present, np.arange(1, bins) / bins, method="inverted_cdf") if bins > 1 else np.zeros(0)
    return np.unique(np.concatenate([edges, atoms, np.nextafter(atoms, np.inf)]))


@dataclass(frozen=True)
class Binning:
    """Every column as a small number of states, missing being one of them."""

    names: tuple[str, ...]
    edges: dict[str, np.ndarray]  # numbers
    vocabularies: dict[str, dict[str, int]]  # labels

    @classmethod
    def fit(cls, reference: pd.DataFrame, schema: TableSchema, bins: int, labels: int) -> Binning:
        """Learn edges (``bins`` quantiles a number) and vocabularies (``labels`` at most) from reference."""
        return cls(tuple(schema.names),
                   {n: cut_points(reference[n].to_numpy(float), bins) for n in schema.numbers},
                   {n: _vocabulary(reference[n], schema[n], labels) for n in schema.labels})

    def states(self, name: str) -> int:
        """Number of states of a column, with unseen (labels) and missing."""
        if name in self.edges:
            return len(self.edges[name]) + 2
        return len(self.vocabularies[name]) + 2

    def codes(self, frame: pd.DataFrame, name: str) -> np.ndarray:
        """int64 state of each row; missing is state 0 for numbers and the last one for labels."""
        if name in self.edges:
            values = frame[name].to_numpy(float)
            codes = 1 + np.searchsorted(self.edges[name], values, side="right")
            return np.where(np.isnan(values), 0, codes).astype(np.int64)
        return label_codes(frame[name], self.vocabularies[name])
