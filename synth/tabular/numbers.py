"""One numeric column as tokens and back, through a coarsened quantile table that holds no single row.

A value becomes an *atom* (a value that at least k entities share often enough to be a spike) or a *bin* of
about equal mass, optionally with a *fine* token for the place inside the bin. All bins share one quantile
function: knots at equal steps of rank, each the mean of the k nearest order statistics, and a generalised
Pareto tail at either end fitted by moments to the outermost rows (at least k). So neither the saved model
nor a synthetic value ever is one person's extreme, and gaps, skew and long tails come out as they went in.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

ATOMS = 128  # most atoms of a column; one with no more distinct values has no bins, as far as k allows
BINS = 64  # quantile bins of the rest
KNOTS = 16  # most knots inside a bin


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


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Closed range of values, in working units."""

    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, kw_only=True)
class NumberCodec:
    """Tokens of one number column: [missing?] + atoms + bins, and a second, fine token if ``fine > 1``."""

    name: str
    missing: bool
    atoms: np.ndarray  # sorted values, at least k rows each
    quantiles: Quantiles | None
    bins: int
    fine: int
    grid: float  # all values are multiples of it; 0 = none
    decimals: int | None
    low: float  # bound that no draw may leave: declared, or visible without naming anybody
    high: float
    positions: np.ndarray  # rank position of each coarse token in [0, 1], NaN for missing

    @classmethod
    def fit(cls, name: str, values: np.ndarray, *, k: int, decimals: int | None, nullable: bool, fine: int,
            low: float | None = None, high: float | None = None, entities: np.ndarray | None = None,
            bins: int = BINS) -> NumberCodec:
        """Learn the tokens of a column from its training cells (NaN = missing)."""
        present = ~np.isnan(values)
        owner = np.arange(len(values)) if entities is None else entities
        if len(np.unique(owner[present])) < k <= len(np.unique(owner)):  # no figure of it may be shown
            present = np.zeros(len(values), bool)
        v = values[present]
        unique, inverse, counts = np.unique(v, return_inverse=True, return_counts=True)
        people = counts
        if entities is not None and len(v):
            pairs = np.unique(np.stack([inverse, entities[present]]), axis=1)[0]
            people = np.bincount(pairs, minlength=len(unique))
        is_atom = people >= k
        if len(unique) > ATOMS:  # the strongest spikes
            is_atom &= (counts >= 0.1 / bins * len(v)) & (counts >= np.sort(counts)[-ATOMS])
        if is_atom.any() and len(np.unique(owner[present][~is_atom[inverse]])) < k:
            rest, atoms = np.empty(0), unique[is_atom]  # too few to show: they join the nearest atom
        else:
            rest, atoms = v[~is_atom[inverse]], unique[is_atom]
        quantiles, used, fine_used = None, 0, 1
        if len(rest):
            used = int(np.clip(len(rest) // (2 * k), 1, bins))
            inside = int(np.clip(len(rest) // (used * k), 1, KNOTS))
            order = np.argsort(rest, kind="stable")
            quantiles = Quantiles.fit(rest[order], used * inside, k, None if entities is None
                                      else entities[present][~is_atom[inverse]][order])
            if fine > 1 and len(np.unique(rest)) > 4 * used and inside > 1:
                fine_used = fine
        if len(v) >= k and v.min() >= 0:
            low = max(0.0, -np.inf if low is None else low)
        if len(atoms) and len(v) and atoms[0] == v.min():
            low = max(atoms[0], -np.inf if low is None else low)
        if len(atoms) and len(v) and atoms[-1] == v.max():
            high = min(atoms[-1], np.inf if high is None else high)
        codec = cls(name=name, missing=nullable or not present.all() or not len(v), atoms=atoms, quantiles=quantiles,
                    bins=used, fine=fine_used, grid=_grid(unique, decimals), decimals=decimals,
                    low=-np.inf if low is None else float(low), high=np.inf if high is None else float(high),
                    positions=np.empty(0))
        return cls(**{**codec.__dict__, "positions": codec._positions(v)})

    def _positions(self, v: np.ndarray) -> np.ndarray:
        token = self.encode(v, np.full(len(v), 0.5))[:, 0].astype(np.int64) if len(v) else np.empty(0, np.int64)
        mass = np.bincount(token, minlength=self.sizes[0]).astype(float)
        middle = np.full(self.sizes[0], np.nan)
        start = int(self.missing)
        middle[start:start + len(self.atoms)] = self.atoms
        if self.quantiles is not None:
            inside = self.quantiles.intervals // self.bins
            middle[start + len(self.atoms):] = self.quantiles.value((np.arange(self.bins) + 0.5) * inside)
        order = np.argsort(middle[start:], kind="stable") + start
        cumulative = np.cumsum(mass[order]) - mass[order] / 2
        out = np.full(self.sizes[0], np.nan)
        out[order] = cumulative / max(1.0, mass[order].sum())
        return out

    @property
    def sizes(self) -> list[int]:
        """Number of values of each token."""
        coarse = max(1, int(self.missing) + len(self.atoms) + self.bins)
        return [coarse] + ([self.fine] if self.fine > 1 else [])

    def children(self) -> np.ndarray | None:
        """How many values the second token can take below each coarse token; ``None`` without one."""
        if self.fine == 1:
            return None
        return np.where(np.arange(self.sizes[0]) < int(self.missing) + len(self.atoms), 1, self.fine)

    def encode(self, values: np.ndarray, chance: np.ndarray) -> np.ndarray:
        """Tokens [rows, 1 or 2]; ``chance`` in [0, 1) per row breaks ties of the fine token."""
        out = np.full((len(values), len(self.sizes)), 0.5)
        present = ~np.isnan(values)
        v, first = values[present], int(self.missing)
        token, fine = np.full(len(v), 0.5), np.zeros(len(v))
        exact = np.zeros(len(v), bool)
        if len(self.atoms):
            right = np.clip(np.searchsorted(self.atoms, v), 0, len(self.atoms) - 1)
            left = np.maximum(right - 1, 0)
            near = np.where(np.abs(self.atoms[left] - v) < np.abs(self.atoms[right] - v), left, right)
            exact = np.isclose(self.atoms[near], v, rtol=1e-12, atol=0) if self.quantiles is not None else ~exact
            token[exact] = first + near[exact] + 0.5
        if self.quantiles is not None:
            inside = self.quantiles.intervals // self.bins
            place = self.quantiles.place(v[~exact], chance[present][~exact]) / inside
            at = np.clip(place.astype(np.int64), 0, self.bins - 1)
            token[~exact] = first + len(self.atoms) + at + np.clip(place - at, 0, 0.9999)
            fine[~exact] = np.clip((place - at) * self.fine, 0, self.fine - 1).astype(np.int64)
        out[present, 0] = token
        if self.fine > 1:
            out[present, 1] = fine
        return out

    def decode(self, cells: np.ndarray, within: Interval | None = None) -> np.ndarray:
        """Values of tokens [rows, 1 or 2]; ``chance`` in [0, 1) per row picks the place inside the cell.

        With ``within``, every value of a bin lies in that interval (tokens must come from :meth:`allowed`).
        """
        tokens = np.floor(cells).astype(np.int64)
        chance = (cells - tokens)[:, 0]
        token = tokens[:, 0] - int(self.missing)
        out = np.full(len(tokens), np.nan)
        is_atom = (token >= 0) & (token < len(self.atoms))
        out[is_atom] = self.atoms[token[is_atom]]
        binned = token >= len(self.atoms)
        if self.quantiles is not None and binned.any():
            cell = (token[binned] - len(self.atoms)) * self.fine + (tokens[binned, 1] if self.fine > 1 else 0)
            width = self.quantiles.intervals / self.bins / self.fine
            start, stop, low, high = cell * width, (cell + 1) * width, self.low, self.high
            if within is not None:
                first, last = self._span(within)
                start, stop = np.maximum(start, first), np.minimum(stop, last)
                low, high = self._reach(within)
            value = self._round(self.quantiles.value(start + chance[binned] * np.maximum(stop - start, 0)))
            out[binned] = np.clip(value, low, high)
        return out

    def allowed(self, within: Interval) -> np.ndarray:
        """Share of each cell [coarse, fine] that lies in the interval (missing: none of it)."""
        out = np.zeros((self.sizes[0], self.fine))
        first = int(self.missing)
        out[first:first + len(self.atoms), 0] = (self.atoms >= within.low) & (self.atoms <= within.high)
        if self.quantiles is not None:
            cell = np.arange(self.bins * self.fine)
            width = self.quantiles.intervals / self.bins / self.fine
            start, stop = self._span(within)
            part = np.clip(np.minimum(stop, (cell + 1) * width) - np.maximum(start, cell * width), 0, None) / width
            out[first + len(self.atoms):] = part.reshape(self.bins, self.fine)
        return out

    def _reach(self, piece: Interval) -> tuple[float, float]:
        """The interval shrunk to the grid and to the column's bounds."""
        low, high = max(piece.low, self.low), min(piece.high, self.high)
        if self.grid:
            low = np.ceil(low / self.grid - 1e-9) * self.grid if np.isfinite(low) else low
            high = np.floor(high / self.grid + 1e-9) * self.grid if np.isfinite(high) else high
        if self.decimals is not None:
            low, high = np.round(low, self.decimals), np.round(high, self.decimals)
        return float(low), float(high)

    def _span(self, piece: Interval) -> tuple[float, float]:
        """Places of the quantile function that round into the interval."""
        assert self.quantiles is not None
        low, high = self._reach(piece)
        if low > high:
            return 0.0, 0.0
        ends = np.array([low - self.grid / 2, high + self.grid / 2])
        start, stop = self.quantiles.place(ends, np.array([0.0, 1.0]))
        return float(start) if np.isfinite(low) else 0.0, float(stop) if np.isfinite(high) else self.quantiles.intervals

    def _round(self, value: np.ndarray) -> np.ndarray:
        if self.grid:
            value = np.round(value / self.grid) * self.grid
        return value if self.decimals is None else np.round(value, self.decimals)

    def to_json(self) -> dict[str, Any]:
        """Plain data (private: it describes a private column)."""
        q = self.quantiles
        return {"kind": "number", "name": self.name, "missing": self.missing, "atoms": self.atoms.tolist(),
                "quantiles": None if q is None else {
                    "knots": q.knots.tolist(), "lower": asdict(q.lower) if q.lower else None,
                    "upper": asdict(q.upper) if q.upper else None},
                "bins": self.bins, "fine": self.fine, "grid": self.grid, "decimals": self.decimals,
                "low": None if np.isinf(self.low) else self.low, "high": None if np.isinf(self.high) else self.high,
                "positions": [None if np.isnan(p) else p for p in self.positions.tolist()]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NumberCodec:
        """The inverse of :meth:`to_json`."""
        q = data["quantiles"]
        quantiles = None if q is None else Quantiles(
            knots=np.array(q["knots"], float), lower=Tail(**q["lower"]) if q["lower"] else None,
            upper=Tail(**q["upper"]) if q["upper"] else None)
        return cls(name=data["name"], missing=data["missing"], atoms=np.array(data["atoms"], float),
                   quantiles=quantiles, bins=data["bins"], fine=data["fine"], grid=data["grid"],
                   decimals=data["decimals"],
                   low=-np.inf if data["low"] is None else data["low"],
                   high=np.inf if data["high"] is None else data["high"],
                   positions=np.array([np.nan if p is None else p for p in data["positions"]], float))


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


def _grid(unique: np.ndarray, decimals: int | None) -> float:
    """The coarsest step whose multiples are all values (10 for prices in tens), 0 if there is none."""
    if decimals is None or not len(unique) or np.abs(unique).max() * 10.0**decimals > 2**53:
        return 0.0
    scaled = np.round(np.abs(unique) * 10.0**decimals).astype(np.int64)
    step = int(np.gcd.reduce(scaled))
    return float(step) / 10.0**decimals
