"""A classifier two-sample test: can gradient boosting tell two tables apart, and by which columns?

Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (ICLR 2017), with HistGradientBoosting, folds
that keep an entity together, and an entity bootstrap of the held-out scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.seeds import derive, generator
from validators import statistics as st


@dataclass(frozen=True)
class Separation:
    """How well two samples are told apart: AUC over held-out folds, its bounds, and the columns that did it."""

    auc: float
    low: float
    high: float
    error: float
    importance: np.ndarray  # (columns,) loss of AUC when a column is shuffled


def boosting(seed: int, categorical: np.ndarray, *, regression: bool = False, iterations: int = 100):  # type: ignore[no-untyped-def]
    """The gates' gradient boosting: fixed number of trees (no early stopping, so no hidden split of rows)."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    return kind(max_iter=iterations, learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=20, early_stopping=False,
                categorical_features=categorical if categorical.any() else None, random_state=seed % 2**31)


def learnable(data: np.ndarray) -> np.ndarray:
    """``data`` with columns that have no value at all set to zero: the trees' binning cannot take them."""
    empty = np.isnan(data).all(axis=0)
    return np.where(empty, 0.0, data) if empty.any() and len(data) else data


def separate(real: np.ndarray, real_entities: np.ndarray, other: np.ndarray, other_entities: np.ndarray,
             categorical: np.ndarray, *, seed: int, folds: int = 3, draws: int = st.DRAWS,
             importance: bool = False) -> Separation:
    """Cross-validated C2ST of ``other`` (positive) against ``real``, tree features (rows, columns)."""
    rng = generator(seed, "folds")
    data, label = np.concatenate([other, real]), np.r_[np.ones(len(other)), np.zeros(len(real))]
    fold = np.concatenate([_folds(other_entities, folds, rng), _folds(real_entities, folds, rng)])
    weights = np.concatenate([st.entity_weights(other_entities, draws, rng),
                              st.entity_weights(real_entities, draws, rng)])
    values, sampled, lost = [], [], np.zeros(data.shape[1])
    for number in range(folds):
        test = fold == number
        model = boosting(derive(seed, "boosting", number), categorical).fit(
            learnable(data[~test]), label[~test])
        members, others = test & (label == 1), test & (label == 0)
        held, truth = data[test], label[test] == 1
        scores = model.predict_proba(held)[:, 1]
        values.append(float(st.auc(scores[truth], scores[~truth])))
        sampled.append(st.auc(scores[truth], scores[~truth], weights[members], weights[others]))
        if importance:
            for column in range(data.shape[1]):
                shuffled = held.copy()
                shuffled[:, column] = rng.permutation(held[:, column])
                again = model.predict_proba(shuffled)[:, 1]
                lost[column] += (values[-1] - float(st.auc(again[truth], again[~truth]))) / folds
    value, draws_of = float(np.mean(values)), np.mean(sampled, axis=0)
    low, high = st.bounds(value, draws_of)
    return Separation(value, low, high, st.standard_error(draws_of), lost)


def _folds(entities: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    unique, inverse = np.unique(entities, return_inverse=True)
    return (rng.permutation(len(unique)) % folds)[inverse]
