"""A coarsened quantile table of a numeric column: the form in which its distribution is kept, without its rows.

Knots at equal steps of rank, each the mean of the k nearest order statistics, and a generalised Pareto tail at
either end fitted by moments to the outermost rows (at least k). So neither the saved model nor a synthetic
value ever is one person's extreme, and gaps, skew and long tails come out as they went in.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Generalised Pareto excess over a threshold (Pickands 1975), cut so that no draw leaves the plausible."""

    scale: float
    shape: float
    least: float  # smallest survival probability drawn

    @classmethod
    def fit(cls, excess: np.ndarray) -> Tail:
        """By the method of moments (Hosking and Wallis 1987); ``excess`` are distances beyond the threshold."""
        largest = float(excess.max())
        if largest > 1e150:  # whose square is no number any more
            unit = cls.fit(excess / largest)
            return cls(scale=unit.scale * largest, shape=unit.shape, least=unit.least)
        mean, variance = float(excess.mean()), float(excess.var())
        if mean <= 0 or variance <= 0:
            return cls(scale=mean, shape=-1.0, least=0.5)
        ratio = mean * mean / variance
        shape = float(np.clip(0.5 * (1 - ratio), -2.0, 0.45))
        return cls(scale=mean * (1 - shape), shape=shape, least=0.5 / len(excess))

    def excess(self, survival: np.ndarray) -> np.ndarray:
        """The excess that is exceeded with probability ``survival``."""
        s = np.maximum(survival, self.least)
        if abs(self.shape) < 1e-6:
            return -self.scale * np.log(s)
        return self.scale / self.shape * (s**-self.shape - 1)

    def survival(self, excess: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`excess`, in [0, 1]."""
        if self.scale <= 0:
            return np.where(excess > 0, 0.0, 1.0)
        if abs(self.shape) < 1e-6:
            return np.exp(-excess / self.scale)
        return np.maximum(1 + self.shape * excess / self.scale, 1e-12) ** (-1 / self.shape)


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """A piecewise linear quantile function on [0, intervals] with tails in the first and last interval."""

    knots: np.ndarray  # intervals + 1 values, non-decreasing
    lower: Tail | None
    upper: Tail | None

    @classmethod
    def fit(cls, values: np.ndarray, intervals: int, k: int, entities: np.ndarray | None = None) -> Quantiles:
        """From sorted values; every interval holds at least ``k`` of them where there are enough.

        With ``entities`` (of each value), so many people stand behind every knot and tail, however many rows
        one of them has.
        """
        n = len(values)
        centre = np.linspace(0, n, intervals + 1)
        half = min(k, n) / 2
        start = np.clip(np.round(centre - half), 0, n - 2 * half).astype(int)
        stop = np.clip(start + max(1, int(2 * half)), 1, n)
        if entities is not None:
            _widen(start, stop, entities, k)
        if _far(values):  # one running sum would lose what lies near zero
            means = np.array([values[a:b].mean() for a, b in zip(start, stop, strict=True)])
        else:
            total = np.concatenate([[0.0], np.cumsum(values)])
            means = (total[stop] - total[start]) / (stop - start)
        knots = np.maximum.accumulate(means)
        if intervals < 4:
            return cls(knots=knots, lower=None, upper=None)
        first, last = int(centre[1]), int(np.ceil(centre[-2]))
        lower = upper = None  # where too few people are behind a tail, the mean of the outermost k of them ends it
        if entities is None or len(np.unique(entities[:first])) >= k:
            lower = Tail.fit(np.maximum(knots[1] - values[:first], 0))
            knots[0] = knots[1] - np.maximum(knots[1] - values[:first], 0).mean()
        if entities is None or len(np.unique(entities[last:])) >= k:
            upper = Tail.fit(np.maximum(values[last:] - knots[-2], 0))
            knots[-1] = knots[-2] + np.maximum(values[last:] - knots[-2], 0).mean()
        return cls(knots=knots, lower=lower, upper=upper)

    @property
    def intervals(self) -> int:
        """Length of the domain."""
        return len(self.knots) - 1

    def value(self, place: np.ndarray) -> np.ndarray:
        """Values at places in [0, intervals]."""
        left = np.clip(place.astype(np.int64), 0, self.intervals - 1)
        share = place - left
        out = self.knots[left] + share * (self.knots[left + 1] - self.knots[left])
        if self.lower is not None:
            at = place < 1
            out[at] = self.knots[1] - self.lower.excess(place[at])
        if self.upper is not None:
            at = place > self.intervals - 1
            out[at] = self.knots[-2] + self.upper.excess(self.intervals - place[at])
        return out

    def place(self, value: np.ndarray, chance: np.ndarray) -> np.ndarray:
        """Places of values; ``chance`` in [0, 1) picks among the places of a value that spans several knots."""
        left = np.searchsorted(self.knots, value, "left")
        right = np.searchsorted(self.knots, value, "right")
        below = np.clip(right - 1, 0, self.intervals - 1)
        width = self.knots[below + 1] - self.knots[below]
        share = np.divide(value - self.knots[below], width, out=np.zeros(len(value)), where=width > 0)
        out = below + np.clip(share, 0, 1)
        flat = right - left > 1
        out[flat] = left[flat] + chance[flat] * (right[flat] - 1 - left[flat])
        if self.lower is not None:
            at = value < self.knots[1]
            out[at] = np.clip(self.lower.survival(self.knots[1] - value[at]), 0, 1)
        if self.upper is not None:
            at = value > self.knots[-2]
            out[at] = self.intervals - np.clip(self.upper.survival(value[at] - self.knots[-2]), 0, 1)
        return np.clip(out, 0, self.intervals)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {"knots": self.knots.tolist(), "lower": asdict(self.lower) if self.lower else None,
                "upper": asdict(self.upper) if self.upper else None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Quantiles:
        """The inverse of :meth:`to_json`."""
        return cls(knots=np.array(data["knots"], float), lower=Tail(**data["lower"]) if data["lower"] else None,
                   upper=Tail(**data["upper"]) if data["upper"] else None)


def _widen(start: np.ndarray, stop: np.ndarray, entities: np.ndarray, k: int) -> None:
    """Widen, in place, the windows [start, stop) of sorted rows until ``k`` entities are in each, or all rows."""
    for i in range(len(start)):
        while len(np.unique(entities[start[i]:stop[i]])) < k and stop[i] - start[i] < len(entities):
            more = max(1, (stop[i] - start[i]) // 2)
            start[i], stop[i] = max(0, start[i] - more), min(len(entities), stop[i] + more)


def _far(values: np.ndarray) -> bool:
    """True if sorted values reach so far that sums over all of them have no digits left for the bulk."""
    spreads = (float(np.subtract(*np.quantile(values, [1 - q, q]))) for q in (0.25, 0.1, 0.01))
    return float(np.abs(values[[0, -1]]).max()) > 1e9 * next((s for s in spreads if s > 0), np.inf)
