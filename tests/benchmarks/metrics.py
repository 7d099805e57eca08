"""Density metrics of the field: column shapes, pair trends, mutual information.

All take working frames (float64 numbers, str labels) of equal columns and return errors (0 is perfect). A
missing label is a category of its own. Definitions: SDMetrics' QualityReport (KSComplement, TVComplement,
CorrelationSimilarity, ContingencySimilarity) and TabPC's weighted NMI error (arXiv 2603.23016); each function
says where it departs from them.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

BINS = 10


def is_number(frame: pd.DataFrame, name: str) -> bool:
    """True for float64 columns of a working frame."""
    return frame[name].dtype == "float64"


def label_codes(real: pd.Series, synthetic: pd.Series) -> tuple[np.ndarray, np.ndarray, int]:
    """Common integer codes 0..K-1 of two label columns (missing is the last code) and K."""
    codes, values = pd.factorize(pd.concat([real, synthetic], ignore_index=True), use_na_sentinel=True)
    codes = np.where(codes < 0, len(values), codes)
    return codes[: len(real)], codes[len(real):], len(values) + 1


def kolmogorov_smirnov(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Largest distance between the two empirical distribution functions; missing cells are left out."""
    real, synthetic = np.sort(real[~np.isnan(real)]), np.sort(synthetic[~np.isnan(synthetic)])
    if not len(real) or not len(synthetic):
        return float(len(real) != len(synthetic))
    points = np.concatenate([real, synthetic])
    gap = (np.searchsorted(real, points, "right") / len(real)
           - np.searchsorted(synthetic, points, "right") / len(synthetic))
    return float(np.abs(gap).max())


def total_variation(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Half the L1 distance of the distributions of two arrays of non-negative integer codes."""
    top = int(max(real.max(), synthetic.max())) + 1
    if top > 20_000_000:  # huge contingency table: count only the cells that occur
        _, codes = np.unique(np.concatenate([real, synthetic]), return_inverse=True)
        real, synthetic, top = codes[: len(real)], codes[len(real):], int(codes.max()) + 1
    return float(np.abs(np.bincount(real, minlength=top) / len(real)
                        - np.bincount(synthetic, minlength=top) / len(synthetic)).sum() / 2)


def shape_errors(real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, float]:
    """Per column: KS statistic (numbers) or total variation distance (labels)."""
    errors = {}
    for name in real:
        if is_number(real, name):
            errors[name] = kolmogorov_smirnov(real[name].to_numpy(), synthetic[name].to_numpy())
        else:
            a, b, _ = label_codes(real[name], synthetic[name])
            errors[name] = total_variation(a, b)
    return errors


def missing_error(real: pd.DataFrame, synthetic: pd.DataFrame) -> float:
    """Mean absolute difference of the columns' shares of missing cells (KS and correlation do not see them)."""
    return float((real.isna().mean() - synthetic.isna().mean()).abs().mean())


def _own_range_codes(column: pd.Series) -> np.ndarray:
    """Bins of the table's own range, as SDMetrics up to 0.29 has them (its largest value is a bin of its own)."""
    values = column.to_numpy()
    return np.digitize(values, np.histogram_bin_edges(values[~np.isnan(values)], bins=BINS))


def _fixed_codes(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Bins with inner edges of the real range, outer bins open, missing a bin of its own."""
    return np.where(np.isnan(values), BINS, np.digitize(values, edges[1:-1]))


def _edges(values: np.ndarray) -> np.ndarray:
    return np.histogram_bin_edges(values[~np.isnan(values)], bins=BINS)


def _correlations(frame: pd.DataFrame) -> np.ndarray:
    """Pearson correlations of all pairs, over the rows where both are present; NaN where one is constant."""
    values = frame.to_numpy(dtype=np.float64)
    if not np.isnan(values).any():
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.atleast_2d(np.corrcoef(values, rowvar=False))
    return frame.corr(method="pearson").to_numpy()


def trend_errors(real: pd.DataFrame, synthetic: pd.DataFrame, *, fixed_edges: bool) -> dict[tuple[str, str], float]:
    """Per pair of columns: half the difference of Pearson correlations (two numbers), else total variation of
    the contingency table with numbers in ten bins of equal width.

    ``fixed_edges=False`` is the published variant: each table is binned over its own range, so that one value
    outside the range moves every bin. ``fixed_edges=True`` takes the edges from ``real`` with open outer bins
    and clips synthetic numbers to the real range before correlating. Pairs where the real correlation is not
    defined are left out; a synthetic constant counts as correlation 0.
    """
    numbers = [c for c in real if is_number(real, c)]
    codes: dict[str, tuple[np.ndarray, np.ndarray, int]] = {}
    clipped = synthetic
    if numbers:
        low, high = real[numbers].min(), real[numbers].max()
        clipped = synthetic[numbers].clip(low, high, axis=1) if fixed_edges else synthetic[numbers]
    for name in real:
        if not is_number(real, name):
            codes[name] = label_codes(real[name], synthetic[name])
        elif fixed_edges:
            edges = _edges(real[name].to_numpy())
            codes[name] = (_fixed_codes(real[name].to_numpy(), edges),
                           _fixed_codes(synthetic[name].to_numpy(), edges), BINS + 1)
        else:
            codes[name] = (_own_range_codes(real[name]), _own_range_codes(synthetic[name]), BINS + 2)
    errors = {}
    if len(numbers) > 1:
        a, b = _correlations(real[numbers]), _correlations(clipped)
        for i, j in combinations(range(len(numbers)), 2):
            if not np.isnan(a[i, j]):
                errors[numbers[i], numbers[j]] = float(abs(a[i, j] - np.nan_to_num(b[i, j])) / 2)
    for first, second in combinations(real.columns, 2):
        if first in numbers and second in numbers:
            continue
        (a1, b1, _), (a2, b2, size) = codes[first], codes[second]
        errors[first, second] = total_variation(a1.astype(np.int64) * size + a2, b1.astype(np.int64) * size + b2)
    return errors


def normalised_mutual_information(codes: list[np.ndarray]) -> np.ndarray:
    """Matrix of 2 I(x, y) / (H(x) + H(y)) of integer-coded columns of equal length."""
    count = len(codes)
    codes = [np.unique(c, return_inverse=True)[1].astype(np.int64) for c in codes]
    sizes = [int(c.max()) + 1 for c in codes]

    def entropy(values: np.ndarray) -> float:
        share = np.bincount(values) if values.max() < 20_000_000 else np.unique(values, return_counts=True)[1]
        share = share[share > 0] / len(values)
        return float(-(share * np.log(share)).sum())

    single = [entropy(c) for c in codes]
    result = np.ones((count, count))
    for i, j in combinations(range(count), 2):
        shared = single[i] + single[j] - entropy(codes[i] * sizes[j] + codes[j])
        total = single[i] + single[j]
        result[i, j] = result[j, i] = 2 * shared / total if total > 0 else 0.0
    return result


def mutual_information_error(real: pd.DataFrame, synthetic: pd.DataFrame) -> float:
    """TabPC's weighted NMI error: sum of w |NMI_r - NMI_s| over sum of w, with w = NMI_r + NMI_s.

    Numbers with more than eleven values are put in ten equal-width bins of the real range. Synthetic values
    outside the range go to the outer bins (published: a state of their own).
    """
    columns: list[tuple[np.ndarray, np.ndarray]] = []
    for name in real:
        if is_number(real, name) and real[name].nunique() > BINS + 1:
            edges = _edges(real[name].to_numpy())
            # right-closed bins, as pandas.cut
            columns.append(tuple(np.where(np.isnan(v), BINS, np.searchsorted(edges[1:-1], v, "left"))
                                 for v in (real[name].to_numpy(), synthetic[name].to_numpy())))
        else:
            columns.append(label_codes(real[name], synthetic[name])[:2])
    a = normalised_mutual_information([c[0] for c in columns])
    b = normalised_mutual_information([c[1] for c in columns])
    lower = np.tril_indices(len(columns), k=-1)
    weights = (a + b)[lower]
    return float((weights * np.abs(a - b)[lower]).sum() / weights.sum()) if weights.sum() > 0 else 0.0


def density(real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, float]:
    """Shape, both Trend variants (percent), weighted NMI error and missing-share error (percent)."""
    mean = lambda errors: 100 * float(np.mean(list(errors.values()))) if errors else float("nan")  # noqa: E731
    return {"shape": mean(shape_errors(real, synthetic)),
            "trend": mean(trend_errors(real, synthetic, fixed_edges=True)),
            "trend_own_range": mean(trend_errors(real, synthetic, fixed_edges=False)),
            "nmi": mutual_information_error(real, synthetic),
            "missing": 100 * missing_error(real, synthetic)}
