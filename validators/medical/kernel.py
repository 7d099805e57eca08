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
SET = 100  # images: distances are told in multiples of what two real sets of this size differ by


@dataclass(frozen=True, kw_only=True)
class KernelDistance:
    """The distance of two sets, draws with its spread, and the chance of one as large among equal populations."""

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
    """Distance of two sets of features, [n, d] and [m, d], with a bootstrap and a permutation test by patient.

    Near zero the statistic is degenerate, and a bootstrap of it has the variance of its linear part plus three times
    that of its quadratic part. The quadratic part is what permutations show: two of the three are taken off.
    """
    size = len(first), len(second)
    own, other = (strangers(e) for e in patients)
    within, beyond, across = kernel(first, first), kernel(second, second), kernel(first, second)
    weights = [np.hstack([np.ones((n, 1), np.float32), st.entity_weights(e, draws, rng)])
               for n, e in zip(size, patients, strict=True)]
    found = (mean_within(within, own, weights[0]) + mean_within(beyond, other, weights[1])
             - 2 * mean_across(across, weights[0], weights[1]))
    value, drawn = float(found[0]), found[1:] - found[1:].mean()
    exchanged = permuted(np.block([[within * own, across], [across.T, beyond * other]]), patients, rng, draws)
    wide, quadratic = float(drawn.std()), float(exchanged[1:].std())
    error = np.sqrt(max(wide**2 - 2 * quadratic**2, quadratic**2))
    return KernelDistance(value=value, draws=value + drawn * (error / max(wide, 1e-30)),
                          p=float((1 + (exchanged[1:] >= exchanged[0]).sum()) / (1 + draws)))


def unbiased(first: Features, second: Features, patients: tuple[Entities, Entities]) -> float:
    """The distance alone."""
    ones = [np.ones((len(x), 1), np.float32) for x in (first, second)]
    found = sum(mean_within(kernel(x, x), strangers(e), w)[0]
                for x, e, w in zip((first, second), patients, ones, strict=True))
    return float(found - 2 * mean_across(kernel(first, second), *ones)[0])


def permuted(matrix: Features, patients: tuple[Entities, Entities], rng: np.random.Generator,
             draws: int) -> NDArray[np.float64]:
    """The distance, then ``draws`` distances after patients were exchanged between the sets at random.

    ``matrix`` [n + m, n + m] has the kernel of all pairs, zero for pairs of one patient within a set.
    """
    labels = [np.unique(e, return_inverse=True) for e in patients]
    first = len(labels[0][0])
    code = np.concatenate([labels[0][1], first + labels[1][1]])
    side = np.arange(first + len(labels[1][0])) < first
    sides = np.column_stack([side, *(rng.permutation(side) for _ in range(draws))])[code].astype(np.float32)
    signed = sides / np.maximum(sides.sum(axis=0), 1) - (1 - sides) / np.maximum((1 - sides).sum(axis=0), 1)
    return np.asarray(np.einsum("ib,ib->b", signed, matrix @ signed, dtype=np.float64))


def floor(real: Features, patients: Entities, images: int = SET) -> float:
    """Mean biased distance of two real sets of ``images`` images of different patients (exact, from one set)."""
    matrix = kernel(real, real)
    ones = np.ones((len(real), 1), np.float32)
    alike = float(np.diagonal(matrix).mean(dtype=np.float64))
    return 2 / images * (alike - float(mean_within(matrix, strangers(patients), ones)[0]))
