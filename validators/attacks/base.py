"""What an attack is given and what it must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

NEIGHBOURS = 25  # searched once for all attacks that look at distances


@dataclass(frozen=True)
class View:
    """Records as an attack sees them: points for distances and features for trees, row by row."""

    points: np.ndarray  # float32 (rows, dimensions), Euclidean distances are Gower-like
    features: np.ndarray  # float64 (rows, columns), missing is NaN
    categorical: np.ndarray  # bool (columns,)
    known: dict[str, np.ndarray] = field(default_factory=dict)  # what several attacks compute about these rows

    def __len__(self) -> int:
        return len(self.points)

    def remember(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """``compute()``, done once a view: the search for neighbours is what costs time."""
        if name not in self.known:
            self.known[name] = compute()
        return self.known[name]


class Attack(Protocol):
    """Fitted on reference and synthetic rows, scores any record; deterministic given its seed."""

    def __init__(self, seed: int) -> None:
        """``seed`` is the attack's own stream."""

    def fit(self, reference: View, synthetic: View) -> Attack:
        """Learn from what an attacker has."""

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,): higher means more likely a training row."""


def nearest(table: View, records: View, count: int, name: str) -> np.ndarray:
    """Distances (rows, count) from records to their nearest rows of ``table``, cached under ``name``."""
    from validators.diversity import neighbour_distances

    return records.remember(f"{name}/{count}", lambda: neighbour_distances(table.points, records.points, count))


def least_distance(reference: View, synthetic: View) -> float:
    """A floor for distances, so that rows which coincide keep a finite logarithm: the 1 % quantile of positive ones."""
    distances = nearest(reference, synthetic, NEIGHBOURS, "reference")
    positive = distances[distances > 0]
    return float(np.quantile(positive, 0.01)) if len(positive) else 1e-3
