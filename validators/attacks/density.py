"""Attacks by density, in the leading principal components: kernels fail in many mixed dimensions."""

from __future__ import annotations

import numpy as np

from synth.seeds import generator
from validators.attacks.base import View

DIMENSIONS = 8  # principal components kept
ROWS = 4_000  # kernel centres at most
NEIGHBOURS = 10  # synthetic rows a likelihood gain is summed over


class _Kernel:
    """Gaussian kernel density with Scott's bandwidth on whitened components."""

    def __init__(self, centres: np.ndarray) -> None:
        self.centres = centres.astype(np.float32)
        rows, dimensions = max(len(centres), 1), centres.shape[1]
        self.bandwidth = float(rows ** (-1.0 / (dimensions + 4)))
        self.half_square = 0.5 * (self.centres**2).sum(axis=1)

    def exponent(self, points: np.ndarray) -> np.ndarray:
        """Minus half the squared scaled distances: (points, centres)."""
        points = points.astype(np.float32)
        cross = points @ self.centres.T
        cross -= self.half_square
        cross -= (0.5 * (points**2).sum(axis=1))[:, None]
        return np.minimum(cross, 0.0) / np.float32(self.bandwidth**2)

    def log_density(self, points: np.ndarray, block: int = 1024) -> np.ndarray:
        """Up to the kernel's constant: float64 (points,)."""
        out = np.empty(len(points))
        for begin in range(0, len(points), block):
            exponent = self.exponent(points[begin : begin + block])
            top = exponent.max(axis=1, keepdims=True)
            out[begin : begin + block] = (np.log(np.exp(exponent - top).mean(axis=1)) + top[:, 0])
        return out


class _Components:
    """Whitened principal components of the reference part."""

    def __init__(self, points: np.ndarray) -> None:
        self.mean = points.mean(axis=0)
        centred = points - self.mean
        _, scales, axes = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
        deviations = scales / np.sqrt(max(len(points) - 1, 1))
        keep = max(int((deviations > 1e-6).sum()), 1)
        keep = min(keep, DIMENSIONS)
        self.axes = axes[:keep].T / np.maximum(deviations[:keep], 1e-6)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return (points - self.mean) @ self.axes


def _thin(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return points[np.sort(rng.permutation(len(points))[:ROWS])]


class Domias:
    """log p_synthetic - log p_reference (van Breugel et al., DOMIAS, AISTATS 2023)."""

    def __init__(self, seed: int) -> None:
        self.rng = generator(seed, "domias")

    def fit(self, reference: View, synthetic: View) -> Domias:
        """Both densities on the same components and the same number of centres, so one bandwidth."""
        self.components = _Components(reference.points)
        rows = min(len(reference), len(synthetic), ROWS)
        first, second = self.components(reference.points), self.components(synthetic.points)
        self.real = _Kernel(first[np.sort(self.rng.permutation(len(first))[:rows])])
        self.fake = _Kernel(second[np.sort(self.rng.permutation(len(second))[:rows])])
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        points = self.components(records.points)
        return self.fake.log_density(points) - self.real.log_density(points)


class GenLRA:
    """How much likelier a record's synthetic neighbours become once the record joins the reference.

    The likelihood-ratio attack on local overfitting of Ward et al. (Gen-LRA, 2025), with the kernel density
    above: adding one centre changes a density in closed form, so no refit is needed.
    """

    def __init__(self, seed: int) -> None:
        self.rng = generator(seed, "likelihood gain")

    def fit(self, reference: View, synthetic: View) -> GenLRA:
        """Reference density of every synthetic row."""
        self.components = _Components(reference.points)
        self.real = _Kernel(_thin(self.components(reference.points), self.rng))
        self.fake = self.components(synthetic.points)
        self.log_density = self.real.log_density(self.fake)
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        from sklearn.neighbors import NearestNeighbors

        count = min(NEIGHBOURS, len(self.fake))
        distances, near = NearestNeighbors(n_neighbors=count).fit(self.fake).kneighbors(self.components(records.points))
        rows = len(self.real.centres)
        kernel = -0.5 * distances**2 / self.real.bandwidth**2
        gain = np.logaddexp(np.log(rows), kernel - self.log_density[near]) - np.log(rows + 1)
        return gain.sum(axis=1)
