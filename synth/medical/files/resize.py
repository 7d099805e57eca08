"""Bring an image to the size that the generator works at: shrunk or grown as a whole, then padded, never stretched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def fit_size(values: NDArray[np.float32], size: Sequence[int], *, mask: bool = False,
             spacing: Sequence[float] | None = None, fill: float = 0.0
             ) -> tuple[NDArray[np.float32], tuple[float, ...] | None]:
    """``values`` [channels, *native] as [channels, *size], and the new spacing in mm.

    One factor for all sides, the largest at which the picture fits; it is centred and what is left over is
    ``fill``. With ``spacing`` (mm) the sides are compared in mm, so that anatomy keeps its shape where samples are
    not square, and the result has equal spacing; without it, in samples. Down-sampling averages the area of each
    new sample (no aliasing), up-sampling is linear; labels of a mask are taken from the nearest sample.
    """
    native = values.shape[1:]
    if len(native) != len(size):
        raise ValueError("dimensions differ")
    steps = tuple(spacing) if spacing is not None else (1.0,) * len(size)
    common = max(n * s / m for n, s, m in zip(native, steps, size, strict=True))
    out = values
    for axis, (n, step, most) in enumerate(zip(native, steps, size, strict=True), start=1):
        sides = min(most, max(1, round(n * step / common)))
        if sides == n:
            continue
        if mask:
            at = np.minimum(((np.arange(sides) + 0.5) * n / sides).astype(np.int64), n - 1)
            out = np.take(out, at, axis=axis)
        else:
            out = np.moveaxis(np.tensordot(_weights(n, sides), out, axes=(1, axis)), 0, axis)
    room = [most - side for most, side in zip(size, out.shape[1:], strict=True)]
    if any(room):
        out = np.pad(out, [(0, 0), *((r // 2, r - r // 2) for r in room)], constant_values=fill)
    return np.ascontiguousarray(out, dtype=np.float32), None if spacing is None else (common,) * len(size)


def _weights(n: int, m: int) -> NDArray[np.float32]:
    """[m, n] weights of the old samples in each new one; rows sum to one."""
    if m < n:  # the share of each old sample's cell that lies in the new one's
        edges = np.arange(m + 1) * (n / m)
        cells = np.arange(n)
        shared = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
        weights = np.clip(shared, 0, None)
    else:
        centre = np.clip((np.arange(m) + 0.5) * (n / m) - 0.5, 0, n - 1)
        weights = np.clip(1 - np.abs(centre[:, None] - np.arange(n)), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
