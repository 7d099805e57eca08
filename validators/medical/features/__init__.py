"""Feature spaces in which sets of images are compared.

An extractor maps stored pixels to vectors; a :class:`Space` is an extractor with the scaling learned from real
images. No extractor may be a network that a recipe trained against: distances in such a space flatter the
generator (Kynkaanniemi et al., "The role of ImageNet classes in Frechet inception distance", ICLR 2023). A Frechet
distance may be called FID in an Inception space only, which a user has to bring: :mod:`validators.medical.networks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synth.errors import UserError
from synth.medical.evidence import Images
from validators.memo import memo

BATCH = 64  # images at a time: bounds the memory whatever the size of the set
FARTHEST = 20.0  # standard deviations beyond which a feature counts as just far


class Extractor(Protocol):
    """Images to vectors, the same for the same pixels whatever else is in the batch."""

    name: str  # in ids of findings
    title: str  # for a person; only an Inception network's may say FID
    version: str  # changes whenever the figures would
    method: str  # one sentence: network, weights, input normalisation, resolution
    inception: bool  # only then may a Frechet distance be called FID
    columns: bool  # True: each feature has a scale of its own; False: one scale for all, as networks' features have

    def features(self, pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
        """float32 [n, d] of stored pixels [n, channels, *size]."""


_EXTRACTORS: dict[str, Extractor] = {}


def register(extractor: Extractor) -> Extractor:
    """Make an extractor known by its name; a user's own network comes in here."""
    _EXTRACTORS[extractor.name] = extractor
    return extractor


def extractor(name: str) -> Extractor:
    """The extractor called ``name``; a :class:`UserError` lists the known ones otherwise."""
    if name not in _EXTRACTORS:
        from validators.medical.features.efficientnet import EfficientNetLite
        from validators.medical.features.radiomics import Radiomics

        for kind in (EfficientNetLite(), Radiomics()):
            _EXTRACTORS.setdefault(kind.name, kind)
    if name not in _EXTRACTORS:
        raise UserError(f"there is no feature extractor {name!r}", todo=f"known: {', '.join(sorted(_EXTRACTORS))}")
    return _EXTRACTORS[name]


def raw(images: Images, name: str) -> NDArray[np.float32]:
    """Features of a set of images as the extractor gives them, float32 [n, d]; computed once a set."""
    return memo(images, ("features", name), lambda: _extract(images.pixels, extractor(name)))


def batches(pixels: NDArray[np.uint16], size: int = BATCH) -> Iterator[NDArray[np.uint16]]:
    """Consecutive chunks; a chunk of a memory-mapped array is read when it is asked for."""
    for begin in range(0, len(pixels), size):
        yield np.asarray(pixels[begin : begin + size])


def _extract(pixels: NDArray[np.uint16], kind: Extractor) -> NDArray[np.float32]:
    found = [kind.features(chunk) for chunk in batches(pixels)]
    return np.concatenate(found) if found else np.zeros((0, 1), np.float32)


@dataclass(frozen=True)
class Space:
    """Features centred and scaled by a real reference set, so that a typical squared length is their number.

    Features with scales of their own have heavy tails, which would decide every moment: they are compressed by arcsinh.
    """

    name: str
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]  # of the columns kept
    again: NDArray[np.float64]  # scale after compression
    kept: NDArray[np.bool_]  # features that vary at all in the reference set
    columns: bool

    @classmethod
    def fit(cls, reference: Images, name: str) -> Space:
        """Learn the scaling from the images of ``reference``."""
        found = raw(reference, name).astype(np.float64)
        centre, spread = found.mean(axis=0), found.std(axis=0)
        kept = spread > 1e-6 * max(float(spread.max(initial=0.0)), 1e-12)
        centre, spread, ones = centre[kept], spread[kept], np.ones(int(kept.sum()))
        if not extractor(name).columns:
            shared = float(np.sqrt(np.mean(spread**2))) if kept.any() else 1.0
            return cls(name, centre, ones * shared, ones, kept, False)
        again = np.arcsinh((found[:, kept] - centre) / spread).std(axis=0)
        return cls(name, centre, spread, np.maximum(again, 1e-6), kept, True)

    def of(self, images: Images) -> NDArray[np.float32]:
        """Scaled features, float32 [n, kept]."""
        scaled = np.clip((raw(images, self.name)[:, self.kept] - self.centre) / self.scale, -FARTHEST, FARTHEST)
        return ((np.arcsinh(scaled) / self.again) if self.columns else scaled).astype(np.float32)
