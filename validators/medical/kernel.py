"""Kernel distance: unbiased squared maximum mean discrepancy with the cubic kernel (Binkowski et al., ICLR 2018).

Zero in the mean for two samples of one population, so it may be negative and is never clipped. Pairs of images of one
patient are left out of the means within a set: they are alike because of the patient, not because of the set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validators import statistics as st

Features = NDArray[np.float32]
Entities = NDArray[np.int64]
SET = 500  # images: distances are told in multiples of what two real sets of this size differ by


@dataclass(frozen=True, kw_only=True)
class KernelDistance:
    """The distance of two sets, its bootstrap draws, and the chance of one as large among equal populations."""

    value: float
    draws: NDArray[np.float64]
    p: float


def kernel(first: Features, second: Features) -> Features:
    """(x.y / d + 1)^3 of every pair, [n, m]."""
    found: Features = (first @ second.T / np.float32(max(first.shape[1], 1)) + np.float32(1)) ** 3
    return found


def strangers(entities: Entities) -> Features:
    """1 for pairs of images of different patients, else 0, [n, n]."""
    return (entities[:, None] != entities[None, :]).astype(np.float32)


def mean_within(matrix: Features, apart: Features, weights: Features) -> NDArray[np.float64]:
    """Weighted mean over pairs of different patients, one a column of ``weights`` [n, draws]."""
    above = np.einsum("ib,ib->b", weights, (matrix * apart) @ weights, dtype=np.float64)
    below = np.einsum("ib,ib->b", weights, apart @ weights, dtype=np.float64)
    return np.asarray(above / np.maximum(below, 1e-12))


def mean_across(matrix: Features, first: Features, second: Features) -> NDArray[np.float64]:
    """Weighted mean over pairs of the two sets, one a column of the weights [n, draws] and [m, draws]."""
    above = np.einsum("ib,ib->b", first, matrix @ second, dtype=np.float64)
    return np.asarray(above / np.maximum(first.sum(axis=0, dtype=float) * second.sum(axis=0, dtype=float), 1e-12))


def kernel_distance(first: Features, second: Features, patients: tuple[Entities, Entities],
                    rng: np.random.Generator, draws: int = st.DRAWS) -> KernelDistance:
    """Distance of two sets of features, [n, d] and [m, d], with a bootstrap and a permutation test by patient."""
    size = len(first), len(second)
    own, other = (strangers(e) for e in patients)
    within, beyond, across = kernel(first, first), kernel(second, second), kernel(first, second)
    weights = [np.hstack([np.ones((n, 1), np.float32), st.entity_weights(e, draws, rng)])
               for n, e in zip(size, patients, strict=True)]
    found = (mean_within(within, own, weights[0]) + mean_within(beyond, other, weights[1])
             - 2 * mean_across(across, weights[0], weights[1]))
    return KernelDistance(value=float(found[0]), draws=found[1:], p=_permuted(
        np.block([[within * own, across], [across.T, beyond * other]]), patients, rng, draws))


def _permuted(matrix: Features, patients: tuple[Entities, Entities], rng: np.random.Generator, draws: int) -> float:
    """Share of random exchanges of patients between the sets that give as large a distance."""
    labels = [np.unique(e, return_inverse=True) for e in patients]
    first = len(labels[0][0])
    code = np.concatenate([labels[0][1], first + labels[1][1]])
    side = np.arange(first + len(labels[1][0])) < first
    sides = np.column_stack([side, *(rng.permutation(side) for _ in range(draws))])[code].astype(np.float32)
    counts = np.maximum(sides.sum(axis=0), 1), np.maximum((1 - sides).sum(axis=0), 1)
    signed = sides / counts[0] - (1 - sides) / counts[1]
    found = np.einsum("ib,ib->b", signed, matrix @ signed, dtype=np.float64)
    return float((1 + (found[1:] >= found[0]).sum()) / (1 + draws))


def floor(real: Features, patients: Entities, images: int = SET) -> float:
    """Mean biased distance of two real sets of ``images`` images of different patients (exact, from one set)."""
    matrix = kernel(real, real)
    ones = np.ones((len(real), 1), np.float32)
    alike = float(np.diagonal(matrix).mean(dtype=np.float64))
    return 2 / images * (alike - float(mean_within(matrix, strangers(patients), ones)[0]))
