"""How alike the images of one set are: structural similarity of pairs, effective rank, near-repeats."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from synth.medical.intensity import STEPS, as_float
from validators.medical.features import BATCH

Floats = NDArray[np.float64]
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, Wang, Simoncelli and Bovik 2003
KERNEL, SIGMA = 5, 1.0  # pixels: the paper's 11 and 1.5 need images of at least 161 pixels
WIDEST = 128  # pixels a side beyond which pairs are compared after averaging
THUMBNAIL = 16  # pixels a side at which repeats are looked for; 8 for volumes


def scales(size: tuple[int, ...]) -> tuple[float, ...]:
    """Weights of as many scales as the shortest side has room for, at least one, summing to 1."""
    count = max(1, min(len(WEIGHTS), int(np.log2(min(size) / (2 * KERNEL))) + 1)) if min(size) >= 2 * KERNEL else 1
    chosen = np.array(WEIGHTS[:count])
    return tuple(float(w) for w in chosen / chosen.sum())


def structural_similarity(first: NDArray[np.uint16], second: NDArray[np.uint16]) -> Floats:
    """Multi-scale SSIM of each pair of stored images [n, channels, *size], float64 [n] (MONAI); 128 pixels at most."""
    import torch
    import torch.nn.functional as F
    from monai.metrics.regression import MultiScaleSSIMMetric

    factor = -(-max(first.shape[2:]) // WIDEST)
    size = tuple(max(1, side // factor) for side in first.shape[2:])
    pool = F.avg_pool2d if len(size) == 2 else F.avg_pool3d
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measure = MultiScaleSSIMMetric(spatial_dims=len(size), data_range=2.0, kernel_size=KERNEL, kernel_sigma=SIGMA,
                                       weights=scales(size))
        found = []
        for begin in range(0, len(first), BATCH):
            pair = [torch.from_numpy(as_float(x[begin : begin + BATCH])) for x in (first, second)]
            if factor > 1:
                pair = [pool(x, factor) for x in pair]
            with torch.inference_mode():
                found.append(np.asarray(measure(pair[0], pair[1]), np.float64).reshape(-1))
    return np.concatenate(found) if found else np.zeros(0)


def effective_rank(covariance: Floats) -> float:
    """exp of the entropy of the normalised eigenvalues (Roy and Vetterli 2007): 1 for a line, d for a ball."""
    values = np.maximum(np.linalg.eigvalsh(covariance), 0)
    total = float(values.sum())
    if total <= 0:
        return 1.0
    share = values[values > 0] / total
    return float(np.exp(-(share * np.log(share)).sum()))


def thumbnails(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Small, centred images of length 1, float32 [n, d]: their products are correlations."""
    import torch
    import torch.nn.functional as F

    dims = pixels.ndim - 2
    side = THUMBNAIL if dims == 2 else THUMBNAIL // 2
    found = []
    for begin in range(0, len(pixels), BATCH):
        chunk = torch.from_numpy(as_float(np.asarray(pixels[begin : begin + BATCH])))
        small = (F.adaptive_avg_pool2d(chunk, (side, side)) if dims == 2
                 else F.adaptive_avg_pool3d(chunk, (side, side, side)))
        found.append(small.flatten(1).numpy())
    flat = np.concatenate(found).astype(np.float64) if found else np.zeros((0, 1))
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.sqrt((flat**2).sum(axis=1, keepdims=True))
    return (flat / np.maximum(length, 1 / STEPS)).astype(np.float32)


def nearest_unlikeness(small: NDArray[np.float32], entities: NDArray[np.int64]) -> Floats:
    """1 - correlation of each image's most alike image of another patient; flat images are alike. float64 [n]."""
    alike = small.astype(np.float64) @ small.astype(np.float64).T
    flat = (alike.diagonal() < 0.5).copy()
    alike[np.ix_(flat, flat)] = 1.0
    alike[entities[:, None] == entities[None, :]] = -1.0
    return np.asarray(1 - alike.max(axis=1)) if len(small) else np.zeros(0)
