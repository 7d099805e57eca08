"""Classifier two-sample tests: how well a model tells synthetic rows from real ones.

The score is 1 - mean over three folds of (2 max(AUC, .5) - 1): 1 is indistinguishable, 0 is told apart
perfectly. Features are SDMetrics' (0.24): numbers with missing cells at the real mean, labels one-hot.
Published code shuffles its folds unseeded; here the folds are seeded.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from synth import seeds
from tests.benchmarks.metrics import is_number, label_codes

FOLDS = 3
DENSE_COLUMNS = 400  # wider one-hot tables are held sparse (labels absent, numbers explicit)


def features(real: pd.DataFrame, other: pd.DataFrame):
    """Feature matrix (rows of ``real``, then of ``other``), dense float64 or CSR if it is wide."""
    from scipy import sparse

    numbers, blocks, width = [], [], 0
    rows = len(real) + len(other)
    for name in real:
        if is_number(real, name):
            column = np.concatenate([real[name].to_numpy(), other[name].to_numpy()])
            mean = np.nanmean(real[name].to_numpy()) if real[name].notna().any() else 0.0
            numbers.append(np.where(np.isnan(column), mean, column))
        else:
            a, b, size = label_codes(real[name], other[name])
            codes = np.concatenate([a, b])
            blocks.append(sparse.csr_matrix((np.ones(rows), (np.arange(rows), codes)), shape=(rows, size)))
            width += size
    values = np.stack(numbers, 1) if numbers else np.empty((rows, 0))
    if width + values.shape[1] <= DENSE_COLUMNS:
        parts = [values] + [b.toarray() for b in blocks]
        matrix = np.concatenate(parts, 1)
        return matrix[:, matrix.any(axis=0)]  # drops the unused "missing" indicators
    explicit = sparse.csr_matrix((values.ravel(), np.tile(np.arange(values.shape[1]), rows),
                                  np.arange(rows + 1) * values.shape[1]), shape=values.shape)
    return sparse.hstack([explicit, *blocks], format="csr")


def _classifier(kind: str, threads: int):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import RobustScaler

    if kind == "logistic":
        return make_pipeline(RobustScaler(), LogisticRegression(solver="lbfgs"))
    from xgboost import XGBClassifier

    # TabPC: XGBClassifier(eval_metric="logloss", enable_categorical=True, random_state=0); no scaling needed
    return XGBClassifier(eval_metric="logloss", random_state=0, n_jobs=threads)


def two_sample_score(real: pd.DataFrame, synthetic: pd.DataFrame, *, seed: int, kind: str = "xgboost",
                     threads: int = 1) -> float:
    """Detection score of ``kind`` ("xgboost" or "logistic") in [0, 1]; both tables need at least 3 rows."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    matrix = features(real, synthetic)
    if kind == "logistic" and not isinstance(matrix, np.ndarray):
        return float("nan")  # not defined by anybody for thousands of indicators; takes hours
    if kind == "xgboost":
        matrix = matrix.astype(np.float32)
    labels = np.r_[np.ones(len(real)), np.zeros(len(synthetic))]
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seeds.derive(seed, "folds") % 2**32)
    gaps = []
    for fit, judge in folds.split(labels, labels):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lbfgs stops at 100 steps, as published
            model = _classifier(kind, threads).fit(matrix[fit], labels[fit])
        area = roc_auc_score(labels[judge], model.predict_proba(matrix[judge])[:, 1])
        gaps.append(max(0.5, area) * 2 - 1)
    return float(1 - np.mean(gaps))


def subsample(frame: pd.DataFrame, rows: int, *, seed: int) -> pd.DataFrame:
    """``rows`` rows without replacement (all of them if there are fewer)."""
    if len(frame) <= rows:
        return frame.reset_index(drop=True)
    chosen = np.sort(seeds.generator(seed, "subsample").permutation(len(frame))[:rows])
    return frame.iloc[chosen].reset_index(drop=True)
