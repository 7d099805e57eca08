"""Rates of faults, synthetic beside real: intervals that hold for rare faults and for none at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validators import statistics as st

Flags = NDArray[np.bool_]


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


def independent(flags: Flags, entities: NDArray[np.int64]) -> float:
    """How many independent scenes these are worth: scenes of one entity may have a fault together (design effect)."""
    rows = len(flags)
    if rows == 0:
        return 0.0
    _, inverse, sizes = np.unique(entities, return_inverse=True, return_counts=True)
    share = float(flags.mean())
    if 0 < share < 1:
        sums = np.bincount(inverse, weights=flags.astype(float)) - share * sizes
        effect = float((sums**2).sum()) / (rows * share * (1 - share))
    else:
        effect = float((sizes**2).sum()) / rows  # nothing is known of it: as if an entity's scenes were all alike
    return rows / max(effect, 1.0)


def excess(synthetic: Flags, real: Flags, entities: NDArray[np.int64], level: float = st.LEVEL) -> Excess:
    """The difference of two shares with one-sided bounds (Newcombe 1998, hybrid score)."""
    first = float(synthetic.mean()) if len(synthetic) else 0.0
    second = float(real.mean()) if len(real) else 0.0
    a, b = wilson(first, len(synthetic), level), wilson(second, independent(real, entities), level)
    value = first - second
    return Excess(synthetic=first, real=second, low=value - math.hypot(first - a[0], b[1] - second),
                  high=value + math.hypot(a[1] - first, second - b[0]))
