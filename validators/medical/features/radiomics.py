"""Hand-made texture features: no weights, no training, and each has a meaning.

First-order statistics, histogram, gradients, grey-level co-occurrence (Haralick et al. 1973), band-pass and wavelet
energies, and the power spectrum, for images and volumes of any size. The idea of comparing sets in such a space is
Konz et al.'s Frechet radiomic distance (Medical Image Analysis 2026, arXiv 2412.01496); the features are our choice.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synth.medical.intensity import STEPS

LEVELS = 16  # grey levels of histogram and co-occurrence
SIGMAS = (0.7, 1.4, 2.8, 5.6)  # pixels; neighbours make the band-pass filters
BANDS = (0.0, 0.0625, 0.125, 0.1875, 0.25, 0.375, 0.5, 1.0)  # spatial frequency, cycles a pixel
TINY = 1e-7  # of the window squared: energies below it are flat background

Floats = NDArray[np.float64]


class Radiomics:
    """About sixty texture features of the mean over channels; three more a channel for colour images."""

    name = "radiomics"
    title = "radiomic texture features"
    version = "1"
    inception = False
    columns = True
    method = ("first-order, histogram, gradient, co-occurrence, band-pass, wavelet and spectral features at the "
              "resolution of the images, each scaled by its spread among real training images")

    def features(self, pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
        """float32 [n, d]."""
        shares = pixels.astype(np.float64) / STEPS
        grey = shares.mean(axis=1)
        parts = [first_order(grey), histogram(grey), gradients(grey), *(cooccurrence(grey, step) for step in (1, 2)),
                 band_pass(grey), wavelet(grey), spectrum(grey)]
        if shares.shape[1] > 1:
            flat = shares.reshape(*shares.shape[:2], -1)
            offsets = flat - grey.reshape(len(grey), 1, -1)
            parts += [flat.mean(axis=2), flat.std(axis=2), offsets.std(axis=2)]
        return np.concatenate(parts, axis=1).astype(np.float32)


def first_order(grey: Floats) -> Floats:
    """Mean, spread, skewness, kurtosis, five quantiles, mean absolute deviation: [n, 10]."""
    flat = grey.reshape(len(grey), -1)
    mean = flat.mean(axis=1, keepdims=True)
    centred = flat - mean
    spread = np.sqrt((centred**2).mean(axis=1)) + 1e-4
    skew, tail = ((centred**k).mean(axis=1) / spread**k for k in (3, 4))
    points = np.quantile(flat, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1).T
    return np.column_stack([mean[:, 0], spread, np.clip(skew, -10, 10), np.log(np.clip(tail, 1, 100)), points,
                            np.abs(centred).mean(axis=1)])


def histogram(grey: Floats) -> Floats:
    """Square roots of the shares of 16 grey levels, and their entropy: [n, 17]."""
    flat = codes(grey).reshape(len(grey), -1)
    counts = np.bincount((np.arange(len(flat))[:, None] * LEVELS + flat).ravel(), minlength=len(flat) * LEVELS)
    shares = counts.reshape(len(flat), LEVELS) / max(flat.shape[1], 1)
    return np.column_stack([np.sqrt(shares), _entropy(shares)])


def codes(grey: Floats) -> NDArray[np.int64]:
    """Grey levels 0 to 15 of shares of the window."""
    return np.minimum((grey * LEVELS).astype(np.int64), LEVELS - 1)


def gradients(grey: Floats) -> Floats:
    """Log mean, spread and two quantiles of the gradient's length: [n, 4]."""
    total = np.zeros_like(grey)
    for axis in range(1, grey.ndim):
        total += np.gradient(grey, axis=axis) ** 2
    length = np.sqrt(total).reshape(len(grey), -1)
    high = np.quantile(length, [0.5, 0.95], axis=1)
    return np.log(np.column_stack([length.mean(axis=1), length.std(axis=1), *high]) + 1e-4)


def cooccurrence(grey: Floats, step: int) -> Floats:
    """Contrast, dissimilarity, homogeneity, energy, entropy, correlation of neighbours ``step`` apart: [n, 6].

    Mean over the axes; the matrix is symmetric, so a pair counts both ways.
    """
    levels, images = codes(grey), np.arange(len(grey))
    found = []
    i, j = np.meshgrid(np.arange(LEVELS), np.arange(LEVELS), indexing="ij")
    for axis in range(1, grey.ndim):
        first = np.take(levels, np.arange(0, levels.shape[axis] - step), axis=axis).reshape(len(grey), -1)
        second = np.take(levels, np.arange(step, levels.shape[axis]), axis=axis).reshape(len(grey), -1)
        at = (images[:, None] * LEVELS + first) * LEVELS + second
        matrix = np.bincount(at.ravel(), minlength=len(grey) * LEVELS**2).reshape(-1, LEVELS, LEVELS).astype(float)
        matrix = matrix + matrix.transpose(0, 2, 1)
        matrix /= np.maximum(matrix.sum(axis=(1, 2), keepdims=True), 1)
        mean = (matrix * i).sum(axis=(1, 2))
        variance = (matrix * (i - mean[:, None, None]) ** 2).sum(axis=(1, 2))
        covariance = (matrix * (i - mean[:, None, None]) * (j - mean[:, None, None])).sum(axis=(1, 2))
        found.append(np.column_stack([
            np.log((matrix * (i - j) ** 2).sum(axis=(1, 2)) + 0.01), (matrix * np.abs(i - j)).sum(axis=(1, 2)),
            (matrix / (1 + (i - j) ** 2)).sum(axis=(1, 2)), (matrix**2).sum(axis=(1, 2)),
            _entropy(matrix.reshape(len(grey), -1)), (covariance + 0.01) / (variance + 0.01)]))
    mean_of: Floats = np.mean(found, axis=0)
    return mean_of


def band_pass(grey: Floats) -> Floats:
    """Log energy and kurtosis of differences of Gaussians: [n, 2 x number of sigmas]."""
    axes = tuple(range(1, grey.ndim))
    found, sharp = [], grey
    for sigma in SIGMAS:
        smooth = ndimage.gaussian_filter(grey, sigma, axes=axes, mode="reflect", truncate=3.0)
        band = (sharp - smooth).reshape(len(grey), -1)
        energy = (band**2).mean(axis=1)
        found += [np.log(energy + TINY), np.log(((band**4).mean(axis=1) + TINY**2) / (energy + TINY) ** 2)]
        sharp = smooth
    return np.column_stack(found)


def wavelet(grey: Floats) -> Floats:
    """Log energies of Haar details at up to three scales, along one axis and along more: [n, 6]."""
    dims, found, rest = grey.ndim - 1, [], grey
    for _ in range(3):
        if min(rest.shape[1:]) < 2:  # an image of a few pixels has no coarser details
            found += [np.full(len(grey), np.log(TINY))] * 2
            continue
        even_sides = tuple([slice(None), *(slice(0, side // 2 * 2) for side in rest.shape[1:])])
        parts: dict[tuple[int, ...], Floats] = {(): rest[even_sides]}
        for axis in range(1, dims + 1):
            split = {}
            for name, data in parts.items():
                even, odd = (np.take(data, np.arange(start, data.shape[axis], 2), axis=axis) for start in (0, 1))
                split[(*name, 0)], split[(*name, 1)] = (even + odd) / 2, (even - odd) / 2
            parts = split
        for several in (False, True):
            energy = [(data**2).reshape(len(grey), -1).mean(axis=1) for name, data in parts.items()
                      if sum(name) > 0 and (sum(name) > 1) == several]
            found.append(np.log(np.mean(energy, axis=0) + TINY))
        rest = parts[(0,) * dims]
    return np.column_stack(found)


def spectrum(grey: Floats) -> Floats:
    """Log power in bands of spatial frequency and its slope over log frequency: [n, bands + 1]."""
    power, band = banded_power(grey, BANDS)
    logs = np.log(power + TINY * TINY)
    middle = np.log([(a + b) / 2 for a, b in itertools.pairwise(BANDS)])
    there = np.flatnonzero(np.bincount(band, minlength=len(BANDS) - 1)[: len(BANDS) - 1])
    x = middle[there] - middle[there].mean()
    slope = (logs[:, there] * x).sum(axis=1) / max(float((x**2).sum()), 1e-9)
    return np.column_stack([logs, slope])


def banded_power(grey: Floats, edges: tuple[float, ...]) -> tuple[Floats, NDArray[np.int64]]:
    """Mean power of each image in each band of spatial frequency, [n, bands], and the band of each coefficient.

    Frequencies are lengths of the frequency vector in cycles a pixel; the mean (frequency 0) is in no band. A Hann
    window keeps the edges of the image from leaking into the high bands. A band without coefficients is 0.
    """
    dims = grey.ndim - 1
    windowed = grey - grey.reshape(len(grey), -1).mean(axis=1).reshape(-1, *[1] * dims)
    squared = np.zeros((1,) * dims)
    for axis, side in enumerate(grey.shape[1:]):
        shape = [1] * dims
        shape[axis] = side
        windowed = windowed * (np.hanning(side + 2)[1:-1]).reshape(1, *shape)
        squared = squared + (np.fft.fftfreq(side) ** 2).reshape(shape)
    found = np.abs(np.fft.fftn(windowed, axes=tuple(range(1, dims + 1)))) ** 2 / np.prod(grey.shape[1:])
    frequency = np.sqrt(squared).ravel()
    band = np.searchsorted(np.asarray(edges), frequency, side="left") - 1
    inside = (band >= 0) & (band < len(edges) - 1)
    members = np.zeros((len(frequency), len(edges) - 1))
    members[np.flatnonzero(inside), band[inside]] = 1.0
    power = found.reshape(len(grey), -1) @ (members / np.maximum(members.sum(axis=0), 1))
    return power, np.where(inside, band, len(edges) - 1)


def _entropy(shares: Floats) -> Floats:
    return -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
