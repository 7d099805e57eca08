"""Generators that mark the scale: independent columns, a Gaussian copula, a bootstrap of the training rows.

Each is ``baseline(train, rows, seed) -> working frame``. Independent columns must be caught by fidelity, the
bootstrap by leakage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from synth import seeds


def independent_columns(train: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Every cell drawn from its column's empirical distribution: perfect marginals, no dependence."""
    draw = seeds.generator(seed, "independent")
    return pd.DataFrame({name: train[name].iloc[draw.integers(len(train), size=rows)].to_numpy()
                         for name in train}).astype(train.dtypes)


def bootstrap(train: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Training rows drawn with replacement: perfect fidelity, nothing but copies."""
    draw = seeds.generator(seed, "bootstrap")
    return train.iloc[draw.integers(len(train), size=rows)].reset_index(drop=True)


def gaussian_copula(train: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Normal scores of all columns, one correlation matrix, empirical marginals.

    A label is an interval of the unit line as long as its share (most frequent first), a missing cell one more
    label, tied numbers are spread over their ranks.
    """
    from scipy.stats import norm

    draw = seeds.generator(seed, "copula")
    scores = np.empty((len(train), train.shape[1]))
    ordered: list[np.ndarray] = []
    for j, name in enumerate(train):
        column = train[name]
        if column.dtype == "float64":
            position = column.to_numpy()
        else:
            position = column.map(column.value_counts().rank(method="first", ascending=False)).to_numpy(np.float64)
        order = np.lexsort((draw.random(len(train)), position))  # NaN sorts last
        uniform = np.empty(len(train))
        uniform[order] = (np.arange(len(train)) + 0.5) / len(train)
        scores[:, j] = norm.ppf(uniform)
        ordered.append(order)
    correlation = np.atleast_2d(np.corrcoef(scores, rowvar=False))
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    uniform = norm.cdf(draw.standard_normal((rows, len(values))) @ root.T)
    columns = {name: train[name].to_numpy()[ordered[j][np.minimum((uniform[:, j] * len(train)).astype(int),
                                                                  len(train) - 1)]]
               for j, name in enumerate(train)}
    return pd.DataFrame(columns).astype(train.dtypes)


BASELINES: dict[str, Callable[[pd.DataFrame, int, int], pd.DataFrame]] = {
    "independent": independent_columns,
    "copula": gaussian_copula,
    "bootstrap": bootstrap,
}
