"""Normalised cross-correlation of small versions of images, over shifts and mirror images.

Blind to gain and offset by construction, and with nothing learned: what it sees does not depend on who is in train.
(Akbar et al. 2025, doi 10.1088/2632-2153/ad9a3a, find copies of diffusion models by the highest correlation with any
training image.)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.medical.intensity import as_float

COARSE = {2: 16, 3: 8}  # sides, by number of dimensions, of the images among which candidates are sought
FINE = {2: 24, 3: 12}  # sides at which candidates are compared
REACH = {2: (1, 2), 3: (1, 1)}  # coarse and fine pixels by which a copy may be shifted
HALVES = {2: True, 3: False}  # shifts by half a pixel, too: edges half a pixel apart no longer agree
SMALLER = 0.75  # of an image's own side at most: without some smoothing, noise would hide a copy
CANDIDATES = 8  # of each piece


@dataclass(frozen=True)
class Correlation:
    """Distances sqrt(2 - 2 r) with r the highest correlation over shifts and mirror images (of one axis each)."""

    name: str = "correlation"
    title: str = "pixel correlation over shifts and mirror images"

    def nearest(self, queries: NDArray[np.uint16], pieces: list[NDArray[np.uint16]]) -> tuple[np.ndarray, np.ndarray]:
        """Distances float64 [n, pieces] to the nearest image of each piece, and which it is, int64 [n, pieces]."""
        import torch

        dims = queries.ndim - 2
        coarse_reach, fine_reach = REACH[dims]
        sides = [min(side, int(SMALLER * min(queries.shape[2:]))) for side in (COARSE[dims], FINE[dims])]
        small, fine = (shrink(queries, side) for side in sides)
        distance = np.zeros((len(queries), len(pieces)))
        index = np.zeros((len(queries), len(pieces)), np.int64)
        targets = [tuple(torch.from_numpy(_inner(shrink(piece, side), reach)) for side, reach in
                         zip(sides, REACH[dims], strict=True)) for piece in pieces]
        for begin in range(0, len(queries), 32):
            rows = slice(begin, begin + 32)
            coarse = torch.from_numpy(_views(small[rows], coarse_reach, halves=HALVES[dims]))  # [variants, n, d]
            exact = torch.from_numpy(_views(fine[rows], fine_reach, halves=HALVES[dims]))
            for number, (rough, detailed) in enumerate(targets):
                count = min(CANDIDATES, len(rough))
                likely = torch.einsum("vnd,md->vnm", coarse, rough).amax(dim=0).topk(count, dim=1).indices
                score = torch.einsum("vnd,nkd->vnk", exact, detailed[likely]).amax(dim=0)
                best, at = score.max(dim=1)
                distance[rows, number] = np.sqrt(np.maximum(2 - 2 * best.double().numpy(), 0))
                index[rows, number] = likely.gather(1, at[:, None])[:, 0].numpy()
        return distance, index


def _inner(small: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """The middle of each image, as unit vectors [n, d]."""
    middle = tuple(slice(reach, side - reach) for side in small.shape[2:])
    return unit(small[(slice(None), slice(None), *middle)].reshape(len(small), -1))


def _views(small: NDArray[np.float32], reach: int, *, halves: bool = False) -> NDArray[np.float32]:
    """Every shifted and mirrored middle, as unit vectors [variants, n, d]; ``halves``: between pixels, too, where a
    value is the mean of its neighbours."""
    dims = small.ndim - 2
    found = []
    for mirror in [(), *((axis,) for axis in range(2, small.ndim))]:
        turned = np.flip(small, mirror) if mirror else small
        for between in itertools.product((False, True) if halves else (False,), repeat=dims):
            seen = turned
            for axis, half in enumerate(between, start=2):
                if half:
                    last = seen.shape[axis] - 1
                    mean = (seen.take(range(last), axis) + seen.take(range(1, last + 1), axis)) / 2
                    seen = np.asarray(mean, np.float32)
            starts = (range(2 * reach + 1 - half) for half in between)
            for shift in itertools.product(*starts):
                window = tuple(slice(s, s + side - 2 * reach) for s, side in zip(shift, small.shape[2:], strict=True))
                found.append(unit(seen[(slice(None), slice(None), *window)].reshape(len(small), -1)))
    return np.stack(found)


def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows with mean 0 and length 1 (a constant row stays 0)."""
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(length > 1e-6, length, 1), np.float32)


def shrink(pixels: NDArray[np.uint16], side: int, batch: int = 512) -> NDArray[np.float32]:
    """Smaller versions float32 [n, channels, *small] in [-1, 1]; no side is longer than ``side``, none grows.

    Images are filtered and sampled at even steps, so that a shifted image has a shifted small version; averages over
    cells of 1 or 2 pixels in turn, as pooling to 24 of 32 takes them, do not. Volumes are pooled all the same: there
    is no such filter for them, and their cells are larger.
    """
    import torch
    from torch.nn import functional

    size = [min(side, s) for s in pixels.shape[2:]]
    out = np.empty((len(pixels), pixels.shape[1], *size), np.float32)
    for begin in range(0, len(pixels), batch):
        floats = torch.from_numpy(as_float(pixels[begin : begin + batch]))
        small = functional.interpolate(floats, size, mode="bilinear", antialias=True) if len(size) == 2 \
            else functional.adaptive_avg_pool3d(floats, (size[0], size[1], size[2]))
        out[begin : begin + batch] = small.numpy()
    return out
