"""Precision, recall, density and coverage by nearest neighbours (Kynkaanniemi et al. 2019; Naeem et al., ICML 2020).

Both sets have the same number of images. Each figure is the mean of one value an image, so that a bootstrap by patient
need not search again; what a set of fresh real images reaches is the floor that the caller holds it against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10  # of the images of a set; 5, as in the papers, also counts slight noise as a lost region

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """One value an image: ``precision`` and ``density`` of the synthetic ones, ``recall``, ``coverage`` of the real."""

    precision: Floats
    density: Floats
    recall: Floats
    coverage: Floats


def squared_distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> Floats:
    """Squared Euclidean distances [n, m], not below zero."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    found = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(found, 0.0)


def radii(distances: Floats, neighbours: int = NEIGHBOURS) -> Floats:
    """Squared distance of each point to its k-th nearest other point, from the square of distances of a set."""
    if len(distances) < 2:
        return np.zeros(len(distances))
    rest = distances.copy()
    np.fill_diagonal(rest, np.inf)
    k = min(neighbours, len(distances) - 1)
    return np.asarray(np.partition(rest, k - 1, axis=1)[:, k - 1])


def neighbourhood(real: NDArray[np.float32], synthetic: NDArray[np.float32],
                  neighbours: int = NEIGHBOURS) -> Neighbourhood:
    """Values of every image of two sets of features [n, d]; balls are closed, because images may coincide."""
    across = squared_distances(real, synthetic)
    slack = 1e-9 * max(float(across.max()), 1e-12) if across.size else 0.0
    reach = radii(squared_distances(real, real), neighbours) + slack
    own = radii(squared_distances(synthetic, synthetic), neighbours) + slack
    inside = across <= reach[:, None]
    return Neighbourhood(precision=inside.any(axis=0).astype(float), density=inside.sum(axis=0) / neighbours,
                         recall=(across <= own).any(axis=1).astype(float), coverage=inside.any(axis=1).astype(float))
