"""Distances between rows: alpha-precision and beta-recall, distance to the closest record, exact copies.

Rows are compared on scaled numbers plus mismatching labels, which is the one-hot distance without the one-hot
matrix: a mismatch adds 2 to the L1 distance and 2 to the squared L2 distance. A missing number counts as the
real mean, and its being missing as one more label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from synth import seeds
from tests.benchmarks.metrics import is_number

MISMATCH = 2.0
QUERIES, TARGETS = 32, 4096  # block of the distance matrix that stays in the cache


@dataclass(frozen=True)
class Rows:
    """Coded rows: numbers (n, d) float32, labels (n, c) small integers."""

    numbers: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, index: np.ndarray) -> Rows:
        """The rows at ``index``."""
        return Rows(self.numbers[index], self.labels[index])


def code_rows(real: pd.DataFrame, *others: pd.DataFrame, scale: str) -> list[Rows]:
    """Coded rows of ``real`` and of the others, on the scale of ``real``: "standard" or "range"."""
    frames = (real, *others)
    cuts = np.cumsum([len(f) for f in frames])[:-1]
    numbers, labels = [], []
    for name in real:
        joint = pd.concat([f[name] for f in frames], ignore_index=True)
        if is_number(real, name):
            values, known = joint.to_numpy(), real[name].dropna().to_numpy()
            if not len(known):
                continue
            missing = np.isnan(values)
            values = np.where(missing, known.mean(), values)
            shift, width = (known.mean(), known.std()) if scale == "standard" else (known.min(), np.ptp(known))
            numbers.append((values - shift) / (width or 1.0))
            if missing.any():
                labels.append(missing.astype(np.int64))
        else:
            labels.append(pd.factorize(joint)[0])
    total = sum(len(f) for f in frames)
    top = max((int(c.max()) for c in labels), default=0)
    kind = np.int8 if top < 127 else np.int16 if top < 32_767 else np.int32
    number_matrix = np.stack(numbers, 1).astype(np.float32) if numbers else np.empty((total, 0), np.float32)
    label_matrix = np.stack(labels, 1).astype(kind) if labels else np.empty((total, 0), kind)
    return [Rows(n, c) for n, c in zip(np.split(number_matrix, cuts), np.split(label_matrix, cuts), strict=True)]


def nearest(query: Rows, target: Rows, *, power: int, self_excluded: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Distance and index of each query's nearest target. ``power=1``: L1; ``power=2``: squared L2.

    ``self_excluded``: query and target are the same rows, and row i is not a neighbour of itself.
    """
    best = np.full(len(query), np.inf, np.float32)
    where = np.zeros(len(query), np.int64)
    target_numbers = np.ascontiguousarray(target.numbers.T)
    target_labels = np.ascontiguousarray(target.labels.T)
    distance = np.empty((QUERIES, TARGETS), np.float32)
    change = np.empty((QUERIES, TARGETS), np.float32)
    differs = np.empty((QUERIES, TARGETS), bool)
    mismatches = np.empty((QUERIES, TARGETS), np.uint16)
    for start in range(0, len(query), QUERIES):
        stop = min(start + QUERIES, len(query))
        height = stop - start
        for left in range(0, len(target), TARGETS):
            right = min(left + TARGETS, len(target))
            window = (slice(0, height), slice(0, right - left))
            d, step, unequal, count = distance[window], change[window], differs[window], mismatches[window]
            count[...] = 0
            for j in range(len(target_labels)):
                np.not_equal(target_labels[j, None, left:right], query.labels[start:stop, j, None], out=unequal)
                np.add(count, unequal, out=count)
            np.multiply(count, np.float32(MISMATCH), out=d)
            for j in range(len(target_numbers)):
                np.subtract(target_numbers[j, None, left:right], query.numbers[start:stop, j, None], out=step)
                (np.abs if power == 1 else np.square)(step, out=step)
                np.add(d, step, out=d)
            if self_excluded and start < right and left < stop:
                for i in range(max(start, left), min(stop, right)):
                    d[i - start, i - left] = np.inf
            index = d.argmin(1)
            value = d[np.arange(height), index]
            better = value < best[start:stop]
            best[start:stop][better] = value[better]
            where[start:stop][better] = index[better] + left
    return best, where


def precision_recall(real: pd.DataFrame, synthetic: pd.DataFrame, *, seed: int, cap: int = 40_000) -> dict[str, float]:
    """Alpha-precision and beta-recall in percent (Alaa et al., 2022), synthcity's "naive" keys: min-max scale
    and centre of the real rows, 30 levels. 50 is what fresh real rows get for beta-recall, more is copying.
    Both tables are cut to equal length, at most ``cap`` rows.
    """
    rows = min(len(real), len(synthetic), cap)
    draw = seeds.generator(seed, "precision-recall")
    pick = lambda f: f if len(f) == rows else f.iloc[np.sort(draw.permutation(len(f))[:rows])]  # noqa: E731
    a, b = code_rows(pick(real), pick(synthetic), scale="range")
    levels = np.linspace(0, 1, 30)

    def squared_to(points: Rows, centre: Rows) -> np.ndarray:
        """Squared distance of one-hot rows to the mean of ``centre``, without the one-hot matrix."""
        total = ((points.numbers.astype(np.float64) - centre.numbers.astype(np.float64).mean(0)) ** 2).sum(1)
        for j in range(points.labels.shape[1]):
            size = int(max(points.labels[:, j].max(), centre.labels[:, j].max())) + 2
            share = np.bincount(centre.labels[:, j].astype(np.int64) + 1, minlength=size) / len(centre)
            total += (share**2).sum() + 1 - 2 * share[points.labels[:, j].astype(np.int64) + 1]
        return total

    radii = np.quantile(squared_to(a, a), levels)
    inside = np.sort(squared_to(b, a))
    precision = np.searchsorted(inside, radii, "right") / rows
    to_real, _ = nearest(a, a, power=2, self_excluded=True)
    to_synthetic, closest = nearest(a, b, power=2)
    closest_distance = squared_to(b, b)[closest]
    limits = np.quantile(closest_distance, levels)
    covered = to_synthetic <= to_real
    recall = np.array([(covered & (closest_distance <= limit)).mean() for limit in limits])
    step = levels[1] - levels[0]
    return {"alpha_precision": 100 * float(1 - 2 * np.abs(levels - precision).sum() * step),
            "beta_recall": 100 * float(1 - 2 * np.abs(levels - recall).sum() * step)}


def row_hashes(frame: pd.DataFrame) -> np.ndarray:
    """One uint64 per row; equal rows have equal hashes."""
    rounded = frame.copy()
    for name in rounded:
        if is_number(rounded, name):
            rounded[name] = rounded[name].round(9) + 0.0
    return pd.util.hash_pandas_object(rounded, index=False).to_numpy()


def copies(train: pd.DataFrame, test: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, float]:
    """Percent of rows that are an exact copy of a train row: synthetic, and the untouched rows for comparison."""
    known = row_hashes(train)
    return {"copies": 100 * float(np.isin(row_hashes(synthetic), known).mean()),
            "copies_real": 100 * float(np.isin(row_hashes(test), known).mean())}


def closest_record(train: pd.DataFrame, test: pd.DataFrame, synthetic: pd.DataFrame, *, seed: int,
                   cap: int = 40_000) -> dict[str, float]:
    """TabPC's quantile-DCR and a DCR share, in percent.

    ``qdcr2``: share of synthetic rows closer to train than the 2 % quantile of the test rows' distances to
    train (L1, standardised numbers, 2 for a mismatch); ``qdcr2_low/high``: 95 % interval of the same figure for
    one random half of the test rows under the other half's quantile (200 halvings). Where ties at zero make
    2 % unreachable both are small alike. ``dcr_share``: share of synthetic rows nearer to train than to test,
    with train cut to the size of test (ties count half); 50 is ideal. Published DCR shares retrain on half of
    the data instead.
    """
    draw = seeds.generator(seed, "closest-record")
    pick = lambda f: f if len(f) <= cap else f.iloc[np.sort(draw.permutation(len(f))[:cap])]  # noqa: E731
    a, t, s = code_rows(train, test, pick(synthetic), scale="standard")
    small = draw.permutation(len(a))[: len(t)]
    rest = np.setdiff1d(np.arange(len(a)), small)
    near_small, _ = nearest(s, a.take(small), power=1)
    synthetic_distance = near_small if not len(rest) else np.minimum(near_small, nearest(s, a.take(rest), power=1)[0])
    test_distance, _ = nearest(t, a, power=1)
    near_test, _ = nearest(s, t, power=1)
    result = {"dcr_share": 100 * float((near_small < near_test).mean() + (near_small == near_test).mean() / 2)}
    half = len(t) // 2
    for percent in (2, 5):
        level = percent / 100
        result[f"qdcr{percent}"] = 100 * float((synthetic_distance < np.quantile(test_distance, level)).mean())
        floor = []
        for _ in range(200):
            mixed = draw.permutation(test_distance)
            floor.append(100 * float((mixed[half:] < np.quantile(mixed[:half], level)).mean()))
        result[f"qdcr{percent}_low"], result[f"qdcr{percent}_high"] = map(float, np.quantile(floor, [0.025, 0.975]))
    return result
