"""Train on one table, test on untouched rows: two model families, scores with entity bootstrap.

TSTR and TRTR (train on synthetic, or on real, test on real) after Esteban, Hyland and Raetsch (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from synth.seeds import derive
from synth.tabular.schema import TableSchema
from validators import statistics as st
from validators.discriminator import boosting, learnable
from validators.encode import Encoding, Features

CLASSES = 20  # classes told apart before the rest is one class
FAMILIES = ("boosting", "linear")


@dataclass(frozen=True)
class Problem:
    """A target column, how to see the other columns, and the classes (None for a number)."""

    target: str
    classes: tuple[str, ...] | None
    features: Features
    encoding: Encoding

    @property
    def regression(self) -> bool:
        """True if the target is a number."""
        return self.classes is None

    @classmethod
    def fit(cls, reference: pd.DataFrame, schema: TableSchema, target: str, *, regression: bool, k: int,
            seed: int) -> Problem:
        """Learn encodings and the list of classes (at least ``k`` rows each) from the reference part."""
        without = frozenset({target})
        classes = None
        if not regression:
            counts = reference[target].dropna().astype(str).value_counts()
            classes = tuple(sorted(counts.index[counts >= k][:CLASSES]))
        return cls(target, classes, Features.fit(reference, schema, without),
                   Encoding.fit(reference, schema, seed, without))

    def answers(self, frame: pd.DataFrame) -> np.ndarray:
        """float64 truth per row: the value, or the class index (one past the last: any other); NaN if missing."""
        values = frame[self.target]
        if self.classes is None:
            numbers = values.to_numpy(float)
            return np.where(np.isfinite(numbers), numbers, np.nan)
        table = {name: float(i) for i, name in enumerate(self.classes)}
        texts = values.astype("str") if pd.api.types.is_float_dtype(values) else values
        codes, uniques = pd.factorize(texts)
        lookup = np.array([*(table.get(str(u), float(len(table))) for u in uniques), np.nan])
        return lookup[codes]

    def inputs(self, frame: pd.DataFrame, family: str) -> np.ndarray:
        """Model inputs for a family."""
        return learnable(self.features.transform(frame)) if family == "boosting" else self.encoding.transform(frame)

    def train(self, frame: pd.DataFrame, family: str, seed: int, *, iterations: int = 80) -> Model:
        """Fit one model; a table whose target has one class gives a constant model."""
        truth = self.answers(frame)
        keep = np.isfinite(truth)
        inputs, truth = self.inputs(frame[keep], family), truth[keep]
        if len(np.unique(truth)) < 2:
            return Model(self, family, None, float(truth[0]) if len(truth) else 0.0)
        return Model(self, family, _estimator(self, family, seed, iterations).fit(inputs, truth), 0.0)

    def usable(self, truth: np.ndarray, least: int) -> bool:
        """Enough answers to score: ``least`` rows, and two classes with a tenth of that (or a spread)."""
        truth = truth[np.isfinite(truth)]
        if len(truth) < least:
            return False
        if self.regression:
            return bool(np.std(truth) > 0)
        return int((np.unique(truth, return_counts=True)[1] >= max(least // 10, 10)).sum()) >= 2


def _estimator(problem: Problem, family: str, seed: int, iterations: int):  # type: ignore[no-untyped-def]
    from sklearn.linear_model import LogisticRegression, Ridge

    if family == "boosting":
        return boosting(derive(seed, family), problem.features.categorical, regression=problem.regression,
                        iterations=iterations)
    return Ridge(alpha=1.0) if problem.regression else LogisticRegression(max_iter=300, tol=1e-3)


@dataclass(frozen=True)
class Model:
    """A fitted model, or a constant."""

    problem: Problem
    family: str
    estimator: object
    constant: float

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Values (rows,) for a number, class probabilities (rows, classes + 1) otherwise."""
        if self.problem.classes is None:
            if self.estimator is None:
                return np.full(len(frame), self.constant)
            return np.asarray(self.estimator.predict(self.problem.inputs(frame, self.family)))  # type: ignore[attr-defined]
        out = np.zeros((len(frame), len(self.problem.classes) + 1))
        if self.estimator is None:
            out[:, int(self.constant)] = 1.0
            return out
        found = self.estimator.predict_proba(self.problem.inputs(frame, self.family))  # type: ignore[attr-defined]
        out[:, self.estimator.classes_.astype(int)] = found  # type: ignore[attr-defined]
        return out


def score(prediction: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Macro one-versus-rest AUC, or R2 for a number: 0-d, or one value per bootstrap draw.

    A draw without any row of a class leaves that class out of its mean.
    """
    if prediction.ndim == 1:
        ones = np.ones((len(truth), 1)) if weights is None else weights.astype(np.float64)
        total = np.maximum(ones.sum(axis=0), 1e-12)
        mean = truth @ ones / total
        explained = 1 - ((truth - prediction) ** 2 @ ones) / np.maximum(
            truth**2 @ ones - total * mean**2, 1e-12 * max(float(np.var(truth)), 1e-300))
        return explained[0] if weights is None else explained
    classes, counts = np.unique(truth, return_counts=True)
    kept = classes[(counts >= 10) & (counts < len(truth))].astype(int)
    if len(kept) == 2 and len(classes) == 2:
        kept = kept[1:]  # two classes: both one-versus-rest curves are the same
    found = []
    for c in kept:
        positive = truth == c
        found.append(st.auc(prediction[positive, c], prediction[~positive, c],
                            None if weights is None else weights[positive],
                            None if weights is None else weights[~positive]))
    if not found:
        return np.asarray(np.nan) if weights is None else np.full(weights.shape[1], np.nan)
    return np.nanmean(np.array(found), axis=0)


def shuffled(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The table with every column shuffled by itself: right marginals, no dependence."""
    return pd.DataFrame({c: frame[c].to_numpy()[rng.permutation(len(frame))] for c in frame.columns}).astype(
        dict(frame.dtypes))
