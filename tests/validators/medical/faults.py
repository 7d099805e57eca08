"""What a generator of images may get wrong, planted in a clean set: each a function of (images, random numbers)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import ndimage

from synth.medical.evidence import Images
from synth.medical.intensity import STEPS

Fault = Callable[[Images, np.random.Generator], Images]


def _changed(images: Images, change: Callable[[np.ndarray], np.ndarray]) -> Images:
    """Pixels changed as shares of the window."""
    shares = change(images.pixels / STEPS)
    return replace(images, pixels=np.rint(np.clip(shares, 0, 1) * STEPS).astype(np.uint16))


def noisy(images: Images, rng: np.random.Generator, spread: float = 0.05) -> Images:
    """White noise, its standard deviation a share of the window."""
    return _changed(images, lambda x: x + rng.normal(0, spread, x.shape))


def blurred(images: Images, rng: np.random.Generator, sigma: float = 1.0) -> Images:
    """Gaussian blur, sigma in pixels."""
    axes = tuple(range(2, images.pixels.ndim))
    return _changed(images, lambda x: ndimage.gaussian_filter(x, sigma, axes=axes))


def chequered(images: Images, rng: np.random.Generator, height: float = 0.03) -> Images:
    """The checkerboard of transposed convolutions."""
    board = np.indices(images.pixels.shape[2:]).sum(axis=0) % 2 * 2 - 1
    return _changed(images, lambda x: x + height * board)


def brighter(images: Images, rng: np.random.Generator, by: float = 0.08) -> Images:
    """All intensities raised by a share of the window."""
    return _changed(images, lambda x: x + by)


def paler(images: Images, rng: np.random.Generator, gain: float = 0.8) -> Images:
    """Contrast lost."""
    return _changed(images, lambda x: x * gain)


def independent(images: Images, rng: np.random.Generator) -> Images:
    """Each pixel drawn from its own values, regardless of its neighbours: every marginal is right."""
    flat = images.pixels.reshape(len(images), -1)
    mixed = np.stack([rng.permutation(flat[:, k]) for k in range(flat.shape[1])], axis=1)
    return replace(images, pixels=mixed.reshape(images.pixels.shape))


def few(images: Images, rng: np.random.Generator, kinds: int = 20) -> Images:
    """Collapsed: ``kinds`` images again and again, each time with a little noise; the listing stays right."""
    labels = images.table.iloc[:, 0].to_numpy(dtype=str)
    kept = rng.choice(len(images), kinds, replace=False)
    rows = np.array([int(rng.choice(kept[labels[kept] == label] if (labels[kept] == label).any() else kept))
                     for label in labels])
    return noisy(replace(images, pixels=images.pixels[rows]), rng, 0.004)


def one_a_class(images: Images, rng: np.random.Generator) -> Images:
    """Collapsed: one image of each class."""
    return few(replace(images, pixels=_by_class(images)), rng, len(images))


def _by_class(images: Images) -> np.ndarray:
    labels, first = np.unique(images.table.iloc[:, 0].to_numpy(dtype=str), return_index=True)
    place = dict(zip(labels, first, strict=True))
    return images.pixels[[place[label] for label in images.table.iloc[:, 0]]]


def halved(images: Images, rng: np.random.Generator) -> Images:
    """Half of the modes of each class lost: images on one side of the class's first principal component, twice."""
    labels, pixels = images.table.iloc[:, 0].to_numpy(dtype=str), images.pixels.copy()
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        flat = pixels[rows].reshape(len(rows), -1) / STEPS
        side = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[0][:, 0]
        kept = rows[side >= np.median(side)]
        pixels[rows] = images.pixels[np.concatenate([kept, kept])[: len(rows)]]
    return replace(images, pixels=pixels)


def one_class_collapsed(images: Images, rng: np.random.Generator) -> Images:
    """The second most frequent class shows three images only."""
    names, counts = np.unique(images.table.iloc[:, 0].to_numpy(dtype=str), return_counts=True)
    rows = np.flatnonzero(images.table.iloc[:, 0] == names[np.argsort(-counts)[1]])
    pixels = images.pixels.copy()
    pixels[rows] = images.pixels[rng.choice(rows[:3], len(rows))]
    return replace(noisy(images, rng, 0.0), pixels=pixels)


FIDELITY: dict[str, Fault] = {
    "noise .05": noisy, "noise .02": lambda i, r: noisy(i, r, 0.02), "blur 1 pixel": blurred,
    "blur .6 pixel": lambda i, r: blurred(i, r, 0.6), "checkerboard .03": chequered,
    "checkerboard .015": lambda i, r: chequered(i, r, 0.015), "brighter by .08": brighter, "contrast x .8": paler,
    "independent pixels": independent}
DIVERSITY: dict[str, Fault] = {"20 images": few, "one image a class": one_a_class, "half of each class": halved,
                               "100 images": lambda i, r: few(i, r, 100), "one class collapsed": one_class_collapsed}
