"""Images that are the same, or nearly: found before the split, so that no part holds a copy of another's image.

Two images are one if their stored samples are equal, or if they correlate above :data:`ALIKE` both at low resolution
(where all pairs are compared, by blocked matrix products) and at full size (where those pairs are looked at again).
Correlation does not see brightness and contrast, so a re-windowed copy counts as a copy. Chains are followed: what
is alike to the same image is one group. A picture with little in it is alike to many others by chance; so at full
size the comparison is of the images without their smooth part (a low-resolution version of themselves) as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.99  # correlation at low resolution and at full size
DETAIL = 0.9  # correlation of what is left without the smooth part: noise differs between two exposures
LOW = 16  # side of the low-resolution version (8 for volumes)
BLOCK = 2048


def groups(pixels: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The group of each image, int64 [n], numbered by first appearance. ``pixels`` uint16 [n, channels, *size]."""
    parents = Union(len(pixels))
    for a, b in _equal(pixels):
        parents.join(a, b)
    for a, b in _alike(pixels, parents):
        parents.join(a, b)
    return parents.labels()


def merge(entities: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Entities int64 [n] with those that share a group made one, numbered by first appearance."""
    codes, owner = np.unique(entities, return_inverse=True)
    parents = Union(len(codes))
    order = np.argsort(group, kind="stable")
    same = group[order][1:] == group[order][:-1]
    for a, b in zip(owner[order][:-1][same], owner[order][1:][same], strict=True):
        parents.join(int(a), int(b))
    return _first(parents.labels()[owner])


class Union:
    """Union-find over ``n`` items."""

    def __init__(self, n: int) -> None:
        self.parent = np.arange(n)

    def find(self, item: int) -> int:
        """The representative of an item's set."""
        root = item
        while self.parent[root] != root:
            root = int(self.parent[root])
        while self.parent[item] != root:
            self.parent[item], item = root, int(self.parent[item])
        return root

    def join(self, a: int, b: int) -> None:
        """Make two sets one."""
        a, b = self.find(a), self.find(b)
        if a != b:
            self.parent[max(a, b)] = min(a, b)

    def labels(self) -> NDArray[np.int64]:
        """The set of each item, numbered by first appearance."""
        return _first(np.array([self.find(i) for i in range(len(self.parent))], dtype=np.int64))


def _first(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]


def _equal(pixels: NDArray[np.uint16]) -> Iterator[tuple[int, int]]:
    """Pairs (first, later) of images with the same samples."""
    import hashlib

    seen: dict[bytes, int] = {}
    for i in range(len(pixels)):
        digest = hashlib.blake2b(np.ascontiguousarray(pixels[i]).tobytes(), digest_size=16).digest()
        first = seen.setdefault(digest, i)
        if first != i:
            yield first, i


def _alike(pixels: NDArray[np.uint16], known: Union) -> Iterator[tuple[int, int]]:
    """Pairs of near-identical images that are not joined yet."""
    n = len(pixels)
    if n < 2:
        return
    low = np.concatenate([unit(reduced(pixels[i:i + BLOCK])) for i in range(0, n, BLOCK)])
    for i in range(0, n, BLOCK):
        for j in range(i, n, BLOCK):
            near = low[i:i + BLOCK] @ low[j:j + BLOCK].T > ALIKE
            if i == j:
                near = np.triu(near, 1)
            for a, b in np.argwhere(near):
                first, second = int(i + a), int(j + b)
                if known.find(first) != known.find(second) and confirmed(pixels[first], pixels[second]):
                    yield first, second


def confirmed(a: NDArray[np.uint16], b: NDArray[np.uint16]) -> bool:
    """Whether two images [channels, *size] are alike at full size, in the whole and in their detail."""
    pair = np.stack([a, b]).astype(np.float32)
    whole = unit(pair)
    if float(whole[0] @ whole[1]) <= ALIKE:
        return False
    detail = unit(pair - _smooth(pair))
    return float(detail[0] @ detail[1]) > DETAIL


def reduced(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Means over a grid of at most ``LOW`` cells a side (8 in volumes): float32 [n, channels, *cells]."""
    sides = pixels.shape[2:]
    most = LOW if len(sides) == 2 else LOW // 2
    out = pixels.astype(np.float32)
    for axis, side in enumerate(sides, start=2):
        edges = np.linspace(0, side, min(side, most) + 1).round().astype(np.int64)
        width = np.diff(edges).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(out.ndim)])
        out = np.asarray(np.add.reduceat(out, edges[:-1], axis=axis) / width, dtype=np.float32)
    return out


def unit(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images as vectors of mean 0 and length 1, float32 [n, d]; a constant image becomes zeros, like to nothing."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.where(length > 1e-3, flat / np.maximum(length, 1e-3), 0), dtype=np.float32)


def _smooth(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """A moving mean over 5 samples along every axis of the size."""
    from scipy.ndimage import uniform_filter

    smooth: NDArray[np.float32] = uniform_filter(images, size=(1, 1, *[5] * (images.ndim - 2)), mode="nearest")
    return smooth
