"""Rates of faults, synthetic beside real: intervals that hold for rare faults and for none at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validators import statistics as st

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
MOST = 10.0  # times that a kind of scene may be more frequent in one set than in the other


@dataclass(frozen=True, kw_only=True)
class Excess:
    """How much more frequent something is in the synthetic set; shares of scenes."""

    synthetic: float
    real: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """Synthetic less real."""
        return self.synthetic - self.real


def wilson(share: float, count: float, level: float = st.LEVEL) -> tuple[float, float]:
    """One-sided bounds of a share seen in ``count`` independent trials (Wilson 1927)."""
    if count <= 0:
        return 0.0, 1.0
    z = st.quantile(level)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def standardised(synthetic: NDArray[np.str_], real: NDArray[np.str_]) -> Floats:
    """Weights [n] of real scenes that give them the synthetic set's mix of kinds (direct standardisation).

    A set that was asked for more hard braking brakes harder, and is no worse for it. A kind that real scenes do not
    have is left out; one that is MOST times as frequent in the synthetic set counts MOST times at most.
    """
    names, inverse, counts = np.unique(real, return_inverse=True, return_counts=True)
    wanted = np.array([(synthetic == n).sum() for n in names]) / max(len(synthetic), 1)
    return np.asarray(np.clip(wanted / (counts / len(real)), 1 / MOST, MOST)[inverse], np.float64)


def independent(flags: Flags, entities: NDArray[np.int64], weights: Floats) -> float:
    """How many independent scenes these are worth: scenes of one entity may have a fault together (design effect)."""
    if not len(flags):
        return 0.0
    _, inverse = np.unique(entities, return_inverse=True)
    total, share = float(weights.sum()), float(np.average(flags, weights=weights))
    if 0 < share < 1:
        sums = np.bincount(inverse, weights=weights * (flags - share))
        found = share * (1 - share) * total**2 / max(float((sums**2).sum()), 1e-12)
    else:  # nothing is known of it: as if an entity's scenes were all alike
        found = total**2 / float((np.bincount(inverse, weights=weights) ** 2).sum())
    return min(found, float(len(flags)))


def excess(synthetic: Flags, real: Flags, entities: NDArray[np.int64], level: float = st.LEVEL,
           weights: Floats | None = None) -> Excess:
    """The difference of two shares with one-sided bounds (Newcombe 1998, hybrid score); ``weights`` of real scenes."""
    weights = np.ones(len(real)) if weights is None else weights
    first = float(synthetic.mean()) if len(synthetic) else 0.0
    second = float(np.average(real, weights=weights)) if len(real) else 0.0
    a = wilson(first, len(synthetic), level)
    b = wilson(second, independent(real, entities, weights), level)
    value = first - second
    return Excess(synthetic=first, real=second, low=value - math.hypot(first - a[0], b[1] - second),
                  high=value + math.hypot(a[1] - first, second - b[0]))
