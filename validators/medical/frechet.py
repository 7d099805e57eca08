"""Frechet distance of Gaussians fitted to features, extrapolated to sets without end.

The distance of two finite samples of one population is large and mostly bias, and the bias depends on the generator
(Chong and Forsyth, "Effectively unbiased FID", CVPR 2020): so it is fitted linearly in 1/n and read at 1/n = 0.
Features are first reduced to principal axes of real train, at most a tenth of the images in number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validators import statistics as st

Floats = NDArray[np.float64]
AXES, IMAGES_AN_AXIS = 64, 10
SIZES, SMALLEST = 7, 3  # sample sizes of the fit, evenly in 1/n, from n down to a third of n
REPEATS = 6  # random samples of each size
LEAST = 100  # images a set: below, nothing is computed


@dataclass(frozen=True, kw_only=True)
class Extrapolated:
    """A straight line through distances at several sizes: value at 1/n = 0, slope over 1/n, and the fit's error."""

    value: float
    slope: float
    error: float  # standard error of the value, from the scatter about the line


@dataclass(frozen=True)
class Axes:
    """Principal axes of real features."""

    centre: Floats
    vectors: Floats  # [d, axes]

    @classmethod
    def fit(cls, real: NDArray[np.float32], images: int, most: int = AXES) -> Axes:
        """At most ``most`` axes for sets of ``images`` images, learned from ``real`` [n, d]."""
        data = real.astype(np.float64)
        count = max(1, min(most, images // IMAGES_AN_AXIS, data.shape[1]))
        centre = data.mean(axis=0)
        _, vectors = np.linalg.eigh(np.cov(data - centre, rowvar=False).reshape(data.shape[1], -1))
        return cls(centre, vectors[:, ::-1][:, :count])

    def of(self, features: NDArray[np.float32]) -> Floats:
        """float64 [n, axes]."""
        return np.asarray((features.astype(np.float64) - self.centre) @ self.vectors)


def root(covariance: Floats) -> Floats:
    """Symmetric square root of a covariance matrix; eigenvalues below zero are rounding and count as zero."""
    values, vectors = np.linalg.eigh(covariance)
    found: Floats = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return found


def frechet(means: tuple[Floats, Floats], covariances: tuple[Floats, Floats]) -> float:
    """Squared Frechet (Wasserstein-2) distance of two Gaussians (Dowson and Landau 1982)."""
    half = root(covariances[0])
    shared = np.linalg.eigvalsh(half @ covariances[1] @ half)
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0]) + np.trace(covariances[1])
                 - 2 * np.sqrt(np.maximum(shared, 0)).sum())


def moments(data: Floats, weights: NDArray[np.float32] | None = None) -> tuple[Floats, Floats]:
    """Mean [d] and unbiased covariance [d, d] of rows, each counted ``weights`` times."""
    w = np.ones(len(data)) if weights is None else weights.astype(np.float64)
    total = max(float(w.sum()), 2.0)
    mean = w @ data / total
    centred = data - mean
    return mean, np.asarray((centred * w[:, None]).T @ centred / (total - 1))


def distance(first: Floats, second: Floats, weights: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
             ) -> float:
    """Distance at the sets' own sizes, bias included; rows are counted ``weights`` times."""
    one, two = (moments(x, None if weights is None else weights[i]) for i, x in enumerate((first, second)))
    return frechet((one[0], two[0]), (one[1], two[1]))


def extrapolated(first: Floats, second: Floats, patients: tuple[NDArray[np.int64], NDArray[np.int64]],
                 rng: np.random.Generator) -> Extrapolated:
    """The line through distances of random samples (whole patients) of seven sizes, [n, axes] against [n, axes]."""
    images = min(len(first), len(second))
    inverse, found = [], []
    for share in np.linspace(1, SMALLEST, SIZES):
        rows = round(images / share)
        repeats = 1 if rows == len(first) == len(second) else REPEATS
        for _ in range(repeats):
            own, other = st.choose(patients[0], rows, rng), st.choose(patients[1], rows, rng)
            inverse.append(1 / rows)
            found.append(distance(first[own], second[other]))
    x, y = np.array(inverse), np.array(found)
    # the full size is one distance that all samples scatter about: it weighs as much as another size's mean
    weight = np.array([1.0 if v > 1 / images + 1e-12 else float(REPEATS) for v in x])
    middle, height = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = float((weight * (x - middle) ** 2).sum())
    slope = float((weight * (x - middle) * (y - height)).sum() / max(spread, 1e-30))
    left = y - height - slope * (x - middle)
    error = np.sqrt(float((weight * left**2).sum()) / max(len(x) - 2, 1)
                    * (1 / float(weight.sum()) + middle**2 / max(spread, 1e-30)))
    return Extrapolated(value=float(height - slope * middle), slope=slope, error=float(error))


def spread_of(first: Floats, second: Floats, patients: tuple[NDArray[np.int64], NDArray[np.int64]],
              rng: np.random.Generator, draws: int) -> Floats:
    """Distances of bootstrap draws by patient: their spread is that of the distance, their mean is not."""
    weights = [st.entity_weights(e, draws, rng) for e in patients]
    return np.array([distance(first, second, (weights[0][:, b], weights[1][:, b])) for b in range(draws)])
