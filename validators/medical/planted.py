"""Copies of training images as a generator might make them: the positive controls of the copy detectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synth.medical.intensity import as_float, as_stored

KINDS = ("exact", "shifted", "noisy", "mirrored", "re-windowed")
SHIFT = 0.06  # of the side, at most, along each axis
NOISE = 0.1  # standard deviation on the scale [-1, 1]


def planted(pixels: NDArray[np.uint16], kind: str, random: np.random.Generator) -> NDArray[np.uint16]:
    """Copies uint16 [n, channels, *size] of ``pixels``, disguised as ``kind`` says (one of KINDS)."""
    from scipy.ndimage import shift

    if kind == "exact":
        return pixels.copy()
    if kind == "mirrored":
        return np.ascontiguousarray(pixels[..., ::-1])
    values = as_float(pixels)
    if kind == "noisy":
        return as_stored((values + random.normal(0, NOISE, values.shape)).astype(np.float32))
    if kind == "shifted":
        size = np.array(pixels.shape[2:])
        by = random.uniform(-SHIFT, SHIFT, (len(pixels), len(size))) * size
        moved = [shift(image, (0, *move), order=1, mode="nearest") for image, move in zip(values, by, strict=True)]
        return as_stored(np.stack(moved)) if moved else pixels.copy()
    if kind == "re-windowed":
        one = (len(pixels),) + (1,) * (pixels.ndim - 1)
        curved = ((values + 1) / 2) ** random.uniform(0.6, 1.6, one)
        widened = (2 * curved - 1) * random.uniform(0.7, 1.1, one) + random.uniform(-0.1, 0.1, one)
        return as_stored(widened.astype(np.float32))
    raise ValueError(kind)
