"""The statistics behind the gates: entity bootstrap, weighted AUC, simultaneous bounds, verdict rules.

Everything is vectorised over bootstrap draws: a *weights* matrix has shape (rows, draws) and says how often
a row's entity was drawn. Rows of one person are always drawn together, because they are not independent.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from validators.finding import Verdict

LEVEL = 0.95  # one-sided level of every bound that decides something
DRAWS = 300  # bootstrap draws; bounds use the draws' standard error, so 200 are enough and 300 are cheap


def entity_weights(entities: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Multiplicities of an entity bootstrap: float32 (rows, draws); each column resamples E of E entities."""
    unique, inverse = np.unique(entities, return_inverse=True)
    if len(unique) == 0:
        return np.zeros((0, draws), np.float32)
    counts = np.empty((len(unique), draws), np.float32)
    for draw in range(draws):
        counts[:, draw] = np.bincount(rng.integers(0, len(unique), len(unique)), minlength=len(unique))
    return counts[inverse]


def choose(entities: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted row indices of a random choice of whole entities with about (never more than) ``rows`` rows."""
    if len(entities) <= rows:
        return np.arange(len(entities))
    unique, inverse = np.unique(entities, return_inverse=True)
    rank = rng.permutation(len(unique))[inverse]
    return np.sort(np.argsort(rank, kind="stable")[:rows])


def _by_score(scores: np.ndarray, *weights: np.ndarray) -> list[np.ndarray]:
    """Weights summed over equal scores, ascending: each (groups, draws)."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return [np.add.reduceat(w[order], starts, axis=0) for w in weights]


def _pooled(members: np.ndarray, others: np.ndarray, member_weights: np.ndarray | None,
            other_weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, bool]:
    scalar = member_weights is None or other_weights is None
    first = np.ones((len(members), 1)) if scalar else np.asarray(member_weights, np.float64)
    second = np.ones((len(others), 1)) if scalar else np.asarray(other_weights, np.float64)
    scores = np.concatenate([members, others])
    positive = np.concatenate([first, np.zeros((len(others), first.shape[1]))])
    negative = np.concatenate([np.zeros((len(members), second.shape[1])), second])
    positive, negative = _by_score(scores, positive, negative)
    return positive, negative, scalar


def auc(members: np.ndarray, others: np.ndarray, member_weights: np.ndarray | None = None,
        other_weights: np.ndarray | None = None) -> np.ndarray:
    """Probability that a member scores higher than another record, ties one half (Mann-Whitney).

    Without weights a 0-d array; with (rows, draws) weights one value per draw. An empty side gives NaN.
    """
    if len(members) == 0 or len(others) == 0:
        return np.asarray(np.nan)
    positive, negative, scalar = _pooled(members, others, member_weights, other_weights)
    below = np.cumsum(negative, axis=0) - negative
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (positive * (below + 0.5 * negative)).sum(0) / (positive.sum(0) * negative.sum(0))
    return value[0] if scalar else value


def tpr_at_fpr(members: np.ndarray, others: np.ndarray, fpr: float, member_weights: np.ndarray | None = None,
               other_weights: np.ndarray | None = None) -> np.ndarray:
    """Share of members found at a false-positive rate of ``fpr``; the ROC is linear between its corners.

    The threshold is estimated from the same draw, so its uncertainty is in the bootstrap, too.
    """
    if len(members) == 0 or len(others) == 0:
        return np.asarray(np.nan)
    positive, negative, scalar = _pooled(members, others, member_weights, other_weights)
    true = np.cumsum(positive[::-1], axis=0) / np.maximum(positive.sum(0), 1e-12)
    false = np.cumsum(negative[::-1], axis=0) / np.maximum(negative.sum(0), 1e-12)
    draws = true.shape[1]
    # np.interp wants increasing x; at a vertical step (equal x) the highest point is the ROC's corner
    value = np.empty(draws)
    for d in range(draws):
        after = np.searchsorted(false[:, d], fpr, side="right")
        left_x, left_y = (false[after - 1, d], true[after - 1, d]) if after else (0.0, 0.0)
        if after == len(false):
            value[d] = left_y
            continue
        step = false[after, d] - left_x
        value[d] = left_y + (true[after, d] - left_y) * ((fpr - left_x) / step if step > 0 else 0.0)
    return value[0] if scalar else value


def total_variation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Half the L1 distance of two sets of counts along axis 0 (each is normalised)."""
    return 0.5 * np.abs(_shares(first) - _shares(second)).sum(axis=0)


def kolmogorov(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Largest difference of cumulative shares along axis 0: Kolmogorov-Smirnov on a fixed grid."""
    return np.abs(np.cumsum(_shares(first), axis=0) - np.cumsum(_shares(second), axis=0)).max(axis=0)


def _shares(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    return counts / np.maximum(counts.sum(axis=0, keepdims=True), 1e-12)


def quantile(level: float) -> float:
    """Standard normal quantile."""
    return NormalDist().inv_cdf(level)


def bounds(value: float, draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """One-sided lower and upper bound at ``level`` each, from the draws' standard error.

    The standard error and not the percentiles: distances are biased upwards within a bootstrap (the draw
    adds its own noise), so percentiles of draws are shifted, while their spread is right.
    """
    error = quantile(level) * standard_error(draws)
    return value - error, value + error


def standard_error(draws: np.ndarray) -> float:
    """Standard deviation of the finite draws; infinite if there are fewer than two."""
    finite = draws[np.isfinite(draws)]
    return float(np.std(finite, ddof=1)) if len(finite) > 1 else math.inf


def simultaneous(values: np.ndarray, draws: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Bounds that hold for all of several figures at once (max-statistic bootstrap, Romano and Wolf 2005).

    ``values`` (m,), ``draws`` (m, B) jointly resampled. Returns one-sided lower and upper bounds (m,); figures
    that depend on each other cost less than Bonferroni's correction would.
    """
    centred = draws - draws.mean(axis=1, keepdims=True)
    error = np.sqrt((centred**2).sum(axis=1) / max(draws.shape[1] - 1, 1))
    scaled = centred / np.where(error > 0, error, 1.0)[:, None]
    upper = max(float(np.quantile(scaled.max(axis=0), level)), quantile(level))
    lower = max(float(np.quantile((-scaled).max(axis=0), level)), quantile(level))
    return values - lower * error, values + upper * error


def at_most(value: float, high: float, limit: float, *, enough: bool = True) -> Verdict:
    """Pass if the upper bound keeps the limit, fail if the estimate itself breaks it, else inconclusive."""
    if not enough or not math.isfinite(value):
        return Verdict.INCONCLUSIVE
    if high <= limit:
        return Verdict.PASS
    return Verdict.FAIL if value > limit else Verdict.INCONCLUSIVE


def at_least(value: float, low: float, limit: float, *, enough: bool = True) -> Verdict:
    """Mirror of :func:`at_most`: the lower bound must keep the limit."""
    return at_most(-value, -low, -limit, enough=enough)


def rows_needed(rows: int, value: float, bound: float, limit: float) -> int | None:
    """Rows at which the bound would reach the limit if the estimate stayed (errors shrink as 1/sqrt(n)).

    Rounded up to two digits; None if the estimate is on the wrong side or nothing is known.
    """
    room, error = abs(limit - value), abs(bound - value)
    wrong_side = (limit - value) * (bound - value) <= 0
    if wrong_side or not math.isfinite(error) or room <= 0 or rows <= 0:
        return None
    exact = rows * (error / room) ** 2
    digit = 10 ** max(0, math.floor(math.log10(max(exact, 1))) - 1)
    return int(math.ceil(exact / digit) * digit)


def detectable(error: float, level: float = LEVEL, power: float = 0.8) -> float:
    """Smallest true effect that the bound at ``level`` finds with this power, from a standard error."""
    return (quantile(level) + quantile(power)) * error


def number(value: float | None, digits: int = 3) -> float | None:
    """A figure for a report: finite and rounded, else None."""
    if value is None or not math.isfinite(float(value)):
        return None
    return round(float(value), digits)


def rounded(count: int, base: int = 10) -> int:
    """A private count rounded to the nearest ``base``."""
    return int(base * round(count / base))
