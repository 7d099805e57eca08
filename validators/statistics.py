"""The statistics behind the gates: entity bootstrap, weighted AUC, simultaneous bounds, verdict rules.

Everything is vectorised over bootstrap draws: a *weights* matrix has shape (rows, draws) and says how often
a row's entity was drawn. Rows of one person are always drawn together, because they are not independent.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from synth.tabular.evidence import TableEvidence
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


def fewest(evidence: TableEvidence) -> int:
    """People in holdout or reference, or synthetic rows, whichever are fewest: what the gates can judge with."""
    return min(len(evidence.synthetic), *(len(np.unique(evidence.entities[p])) for p in ("holdout", "reference")))


def auc(members: np.ndarray, others: np.ndarray, member_weights: np.ndarray | None = None,
        other_weights: np.ndarray | None = None) -> np.ndarray:
    """Probability that a member scores higher than another record, ties one half (Mann-Whitney).

    Without weights a 0-d array; with (rows, draws) weights one value per draw. An empty side gives NaN.
    """
    if len(members) == 0 or len(others) == 0:
        return np.asarray(np.nan)
    order = np.argsort(others, kind="stable")
    low, high = (np.searchsorted(others[order], members, side) for side in ("left", "right"))
    if member_weights is None or other_weights is None:
        return np.asarray((low + high).mean() / (2.0 * len(others)))
    below = np.zeros((len(others) + 1, other_weights.shape[1]))
    np.cumsum(other_weights[order], axis=0, out=below[1:])
    wins = np.einsum("ij,ij->j", member_weights, below[low]) + np.einsum("ij,ij->j", member_weights, below[high])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(0.5 * wins / (member_weights.sum(axis=0, dtype=float) * below[-1]))


def tpr_at_fpr(members: np.ndarray, others: np.ndarray, fpr: float, member_weights: np.ndarray | None = None,
               other_weights: np.ndarray | None = None) -> np.ndarray:
    """Share of members found at a false-positive rate of ``fpr``; the ROC is linear between its corners.

    The threshold is estimated from the same draw, so its uncertainty is in the bootstrap, too.
    """
    if len(members) == 0 or len(others) == 0:
        return np.asarray(np.nan)
    scalar = member_weights is None or other_weights is None
    first = np.ones((len(members), 1)) if member_weights is None else member_weights
    second = np.ones((len(others), 1)) if other_weights is None else other_weights
    totals = first.sum(axis=0, dtype=float), second.sum(axis=0, dtype=float)
    # only the highest scores matter; with few records a draw may need more of them than usual
    for share in (min(1.0, 5 * fpr + 0.01), 1.0):
        edge = np.sort(others)[::-1][min(int(share * len(others)), len(others) - 1)]
        top, rest = members >= edge, others >= edge
        if share == 1.0:
            top, rest = np.ones(len(members), bool), np.ones(len(others), bool)
        levels = np.unique(-np.concatenate([members[top], others[rest]]))
        true = _reached(-members[top], first[top], levels) / np.maximum(totals[0], 1e-12)
        false = _reached(-others[rest], second[rest], levels) / np.maximum(totals[1], 1e-12)
        if (false[-1] > fpr).all():
            break
    value = np.empty(true.shape[1])
    for d in range(len(value)):
        after = int(np.searchsorted(false[:, d], fpr, side="right"))
        if after == len(false):
            value[d] = true[-1, d]
            continue
        step = false[after, d] - false[after - 1, d]
        share = (fpr - false[after - 1, d]) / step if step > 0 else 0.0
        value[d] = true[after - 1, d] + (true[after, d] - true[after - 1, d]) * share
    return np.asarray(value[0]) if scalar else value


def _reached(scores: np.ndarray, weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Weight of scores at most each level, a row of zeros first: (levels + 1, draws)."""
    out = np.zeros((len(levels) + 1, weights.shape[1]))
    if len(scores):
        order = np.argsort(scores, kind="stable")
        total = np.vstack([np.zeros((1, weights.shape[1])), np.cumsum(weights[order], axis=0, dtype=float)])
        out[1:] = total[np.searchsorted(scores[order], levels, side="right")]
    return out


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


def at_most(low: float, high: float, limit: float, *, enough: bool = True) -> Verdict:
    """Pass if the whole interval keeps the limit, fail if the whole interval breaks it, else inconclusive."""
    if not enough or not (math.isfinite(low) and math.isfinite(high)):
        return Verdict.INCONCLUSIVE
    if high <= limit:
        return Verdict.PASS
    return Verdict.FAIL if low > limit else Verdict.INCONCLUSIVE


def at_least(low: float, high: float, limit: float, *, enough: bool = True) -> Verdict:
    """Mirror of :func:`at_most`."""
    return at_most(-high, -low, -limit, enough=enough)


def deciding(lows: np.ndarray, highs: np.ndarray, limit: float) -> int:
    """Which of several simultaneous intervals decides "all at most ``limit``".

    The one whose lower bound is highest if that breaks the limit (then the family fails), else the one whose upper
    bound is highest: it is the one that could be worst.
    """
    surest = int(np.argmax(lows))
    return surest if lows[surest] > limit else int(np.argmax(highs))


def worst_of(draws: np.ndarray, limit: float) -> tuple[int, np.ndarray, np.ndarray, Verdict, float]:
    """Which of several figures decides "all at most ``limit``"; simultaneous bounds of all (m,); its verdict and error.

    ``draws`` (m, 1 + B): the figures themselves, then joint resamples.
    """
    lows, highs = simultaneous(draws[:, 0], draws[:, 1:])
    worst = deciding(lows, highs, limit)
    return (worst, lows, highs, at_most(float(lows[worst]), float(highs[worst]), limit),
            standard_error(draws[worst, 1:]))


def rows_to_pass(rows: int, width: float, error: float, room: float, power: float = 0.9) -> int | None:
    """Rows at which a table without fault keeps the limit with this power, from what ``rows`` rows gave.

    ``width`` is the distance of the deciding bound from the estimate, ``error`` the standard error, ``room`` the
    distance from the figure of a faultless table to the limit; errors shrink as 1/sqrt(n). Rounded up to two
    digits; None if there is no room or nothing is known.
    """
    reach = width + quantile(power) * error
    if not math.isfinite(reach) or room <= 0 or rows <= 0:
        return None
    exact = rows * (reach / room) ** 2
    digit = 10 ** max(0, math.floor(math.log10(max(exact, 1))) - 1)
    return int(math.ceil(exact / digit) * digit)


def remedy(verdict: Verdict, advice: str, needed: int | None, rows: int, what: str) -> str:
    """What to do: ``advice``, or more rows where an interval that straddles the limit is only too wide.

    ``needed`` is from :func:`rows_to_pass`; ``what`` names the rows, e.g. "untouched rows".
    """
    if verdict is not Verdict.INCONCLUSIVE or needed is None:
        return advice
    if needed <= rows:  # a faultless table would most likely have passed with these rows
        return f"the interval straddles the limit, though these rows would do for a table without this fault: {advice}"
    return (f"the interval straddles the limit: about {needed:,} {what} (here {rounded(rows):,}) would let a table "
            "without this fault pass nine times in ten")


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
