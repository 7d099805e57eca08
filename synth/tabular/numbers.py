"""One numeric column as tokens and back, through a coarsened quantile table that holds no single row.

A value becomes an *atom* (a value that at least k entities share often enough to be a spike) or a *bin* of
about equal mass with a place inside it. All bins share one quantile function (:mod:`synth.tabular.quantiles`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.tabular.quantiles import Quantiles

ATOMS = 128  # most atoms of a column; one with no more distinct values has no bins, as far as k allows
BINS = 64  # quantile bins of the rest
KNOTS = 16  # most knots inside a bin


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Closed range of values, in working units."""

    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, kw_only=True)
class NumberCodec:
    """Tokens of one number column: [missing?] + atoms + bins."""

    name: str
    missing: bool
    atoms: np.ndarray  # sorted values, at least k rows each
    quantiles: Quantiles | None
    bins: int
    grid: float  # all values are multiples of it; 0 = none
    decimals: int | None
    low: float  # bound that no draw may leave: declared, or visible without naming anybody
    high: float
    positions: np.ndarray  # rank position of each coarse token in [0, 1], NaN for missing

    @classmethod
    def fit(cls, name: str, values: np.ndarray, *, k: int, decimals: int | None, nullable: bool,
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
        quantiles, used = None, 0
        if len(rest):
            used = int(np.clip(len(rest) // (2 * k), 1, bins))
            inside = int(np.clip(len(rest) // (used * k), 1, KNOTS))
            order = np.argsort(rest, kind="stable")
            quantiles = Quantiles.fit(rest[order], used * inside, k, None if entities is None
                                      else entities[present][~is_atom[inverse]][order])
        if len(v) >= k and v.min() >= 0:
            low = max(0.0, -np.inf if low is None else low)
        if len(atoms) and len(v) and atoms[0] == v.min():
            low = max(atoms[0], -np.inf if low is None else low)
        if len(atoms) and len(v) and atoms[-1] == v.max():
            high = min(atoms[-1], np.inf if high is None else high)
        codec = cls(name=name, missing=nullable or not present.all() or not len(v), atoms=atoms, quantiles=quantiles,
                    bins=used, grid=_grid(unique, decimals), decimals=decimals,
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
        return [max(1, int(self.missing) + len(self.atoms) + self.bins)]

    def children(self) -> None:
        """A number has no second token."""

    def encode(self, values: np.ndarray, chance: np.ndarray) -> np.ndarray:
        """Cells [rows, 1], token + place inside it; ``chance`` in [0, 1) per row picks among equal places."""
        out = np.full((len(values), 1), 0.5)
        present = ~np.isnan(values)
        v, first = values[present], int(self.missing)
        token = np.full(len(v), 0.5)
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
        out[present, 0] = token
        return out

    def decode(self, cells: np.ndarray, within: Interval | None = None) -> np.ndarray:
        """Values of cells [rows, 1]; the part after the point is the place inside the bin.

        With ``within``, every value of a bin lies in that interval (cells must come from :meth:`allowed`).
        """
        whole = np.floor(cells[:, 0]).astype(np.int64)
        place = cells[:, 0] - whole
        token = whole - int(self.missing)
        out = np.full(len(token), np.nan)
        is_atom = (token >= 0) & (token < len(self.atoms))
        out[is_atom] = self.atoms[token[is_atom]]
        binned = token >= len(self.atoms)
        if self.quantiles is not None and binned.any():
            cell = token[binned] - len(self.atoms)
            width = self.quantiles.intervals / self.bins
            start, stop, low, high = cell * width, (cell + 1) * width, self.low, self.high
            if within is not None:
                first, last = self._span(within)
                start, stop = np.maximum(start, first), np.minimum(stop, last)
                low, high = self._reach(within)
            value = self._round(self.quantiles.value(start + place[binned] * np.maximum(stop - start, 0)))
            out[binned] = np.clip(value, low, high)
        return out

    def allowed(self, within: Interval) -> np.ndarray:
        """Share of each token [size, 1] that lies in the interval (missing: none of it)."""
        out = np.zeros((self.sizes[0], 1))
        first = int(self.missing)
        out[first:first + len(self.atoms), 0] = (self.atoms >= within.low) & (self.atoms <= within.high)
        if self.quantiles is not None:
            cell = np.arange(self.bins)
            width = self.quantiles.intervals / self.bins
            start, stop = self._span(within)
            part = np.clip(np.minimum(stop, (cell + 1) * width) - np.maximum(start, cell * width), 0, None) / width
            out[first + len(self.atoms):, 0] = part
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
        return {"kind": "number", "name": self.name, "missing": self.missing, "atoms": self.atoms.tolist(),
                "quantiles": None if self.quantiles is None else self.quantiles.to_json(),
                "bins": self.bins, "grid": self.grid, "decimals": self.decimals,
                "low": None if np.isinf(self.low) else self.low, "high": None if np.isinf(self.high) else self.high,
                "positions": [None if np.isnan(p) else p for p in self.positions.tolist()]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NumberCodec:
        """The inverse of :meth:`to_json`."""
        quantiles = None if data["quantiles"] is None else Quantiles.from_json(data["quantiles"])
        return cls(name=data["name"], missing=data["missing"], atoms=np.array(data["atoms"], float),
                   quantiles=quantiles, bins=data["bins"], grid=data["grid"],
                   decimals=data["decimals"],
                   low=-np.inf if data["low"] is None else data["low"],
                   high=np.inf if data["high"] is None else data["high"],
                   positions=np.array([np.nan if p is None else p for p in data["positions"]], float))


def _grid(unique: np.ndarray, decimals: int | None) -> float:
    """The coarsest step whose multiples are all values (10 for prices in tens), 0 if there is none."""
    if decimals is None or not len(unique) or np.abs(unique).max() * 10.0**decimals > 2**53:
        return 0.0
    scaled = np.round(np.abs(unique) * 10.0**decimals).astype(np.int64)
    step = int(np.gcd.reduce(scaled))
    return float(step) / 10.0**decimals
