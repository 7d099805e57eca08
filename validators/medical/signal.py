"""Physical checks that need no features: which intensities occur, and how much power each spatial frequency has.

Blurring takes power from the high frequencies; noise and the checkerboards of transposed convolutions (Odena et al.
2016) add to them (Durall et al., "Watch your up-convolution", CVPR 2020).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.medical.intensity import STEPS
from validators.medical.features import batches
from validators.medical.features.radiomics import banded_power

BINS = 256
BANDS = (0.0, 0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.9)  # cycles a pixel
QUIET = 2e-7  # power of 8-bit rounding in a windowed image, shares of the window squared: below it nothing is visible

Floats = NDArray[np.float64]


def histograms(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Shares of 256 equal parts of the window in each image, all channels together, float32 [n, 256]."""
    found = []
    for chunk in batches(pixels):
        codes = (chunk.reshape(len(chunk), -1) // ((STEPS + 1) // BINS)).astype(np.int64)
        counts = np.bincount((np.arange(len(chunk))[:, None] * BINS + codes).ravel(), minlength=len(chunk) * BINS)
        found.append(counts.reshape(len(chunk), BINS) / codes.shape[1])
    return np.concatenate(found).astype(np.float32) if found else np.zeros((0, BINS), np.float32)


def wasserstein(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """First Wasserstein distance of histograms along axis 0, as a share of the window."""
    shares = [x / np.maximum(x.sum(axis=0, keepdims=True), 1e-12) for x in (first, second)]
    return np.asarray(np.abs(np.cumsum(shares[0], axis=0) - np.cumsum(shares[1], axis=0)).sum(axis=0) / BINS)


def powers(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Mean power of each image in each band that has coefficients at this size, float32 [n, bands]."""
    found, there = [], np.ones(len(BANDS) - 1, bool)
    for chunk in batches(pixels):
        power, band = banded_power(chunk.astype(np.float64).mean(axis=1) / STEPS, BANDS)
        there = np.bincount(band, minlength=len(BANDS))[: len(BANDS) - 1] > 0
        found.append(power[:, there])
    return np.concatenate(found).astype(np.float32) if found else np.zeros((0, int(there.sum())), np.float32)


def band_names(size: tuple[int, ...]) -> list[str]:
    """The bands of :func:`powers`, in words."""
    _, band = banded_power(np.zeros((1, *size)), BANDS)
    there = np.bincount(band, minlength=len(BANDS))[: len(BANDS) - 1] > 0
    return [f"{BANDS[i]:.2f} to {BANDS[i + 1]:.2f}" for i in np.flatnonzero(there)]


def decibels(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """Power of the first over the second, in dB; powers below what 8 bits can show count as that."""
    return np.asarray(10 * np.log10((first + QUIET) / (second + QUIET)))
