"""The sets that are compared: as many images each of real train, real untouched and synthetic.

Untouched is holdout and reference together: the generator has seen neither. The floor of every distance is the same
distance between two real sets, cut from train and untouched together at random, by patient, several times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.medical.evidence import ImageEvidence, Images
from synth.seeds import generator
from validators import statistics as st
from validators.finding import Finding, Verdict
from validators.medical.features import Space
from validators.memo import memo

MOST, FEWEST, VALUES = 1_000, 250, 2**24  # images a set; fewer of large images: so many values in all bound the time
RESPLITS = 8
SPACES = ("efflite", "radiomics")  # both are judged
CLASS_LEAST = 50  # images of a class in each set below which it is not looked at alone


@dataclass(frozen=True, eq=False)
class Arms:
    """Sets of ``images`` images each, and the labels of the target in each (None without a target)."""

    train: Images
    real: Images  # untouched
    synthetic: Images
    target: str | None

    @property
    def images(self) -> int:
        """Images of each set."""
        return len(self.real)

    @property
    def patients(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Entities of the untouched and of the synthetic set."""
        return self.real.entities, np.arange(len(self.synthetic))

    def labels(self, images: Images) -> NDArray[np.str_]:
        """The target's label of each image of a set, "" where missing or where there is no target."""
        if self.target is None:
            return np.full(len(images), "", dtype=str)
        return images.table[self.target].fillna("").to_numpy(dtype=str)

    def classes(self, k: int) -> list[str]:
        """Labels with enough images in every set, and at least ``k`` patients, to be looked at alone."""
        sets = [(self.labels(s), s.entities) for s in (self.train, self.real)]
        drawn = self.labels(self.synthetic)
        found = sorted(set(sets[1][0]) - {""})
        return [label for label in found if (drawn == label).sum() >= CLASS_LEAST and all(
            (own == label).sum() >= CLASS_LEAST and len(np.unique(who[own == label])) >= k for own, who in sets)]

    def resplits(self, seed: int, times: int = RESPLITS) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows of two disjoint real sets among train's and untouched's images (in that order), cut by patient."""
        entities = np.concatenate([self.train.entities, self.real.entities])
        unique, inverse = np.unique(entities, return_inverse=True)
        rng = generator(seed, "medical", "resplits")
        for _ in range(times):
            first = (rng.permutation(len(unique)) < len(unique) // 2)[inverse]
            rows = np.flatnonzero(first), np.flatnonzero(~first)
            size = min(self.images, *map(len, rows))
            yield rng.permutation(rows[0])[:size], rng.permutation(rows[1])[:size]


def untouched(evidence: ImageEvidence) -> Images:
    """Holdout and reference together."""
    parts = evidence.holdout, evidence.reference

    def both() -> tuple[Images, Images]:
        masks = [p.masks for p in parts if p.masks is not None]
        return parts[1], Images(
            pixels=np.concatenate([p.pixels for p in parts]), masks=np.concatenate(masks) if len(masks) == 2 else None,
            table=pd.concat([p.table for p in parts], ignore_index=True),
            entities=np.concatenate([p.entities for p in parts]))

    # kept with the reference part, so that its id stays its own
    return memo(parts[0], ("and", id(parts[1])), both)[1]


def most(size: tuple[int, ...]) -> int:
    """Images a set for images of this size: 1,000 up to 128 x 128, 250 from 256 x 256 on."""
    return max(FEWEST, min(MOST, VALUES // math.prod(size)))


def arms(evidence: ImageEvidence) -> Arms:
    """The sets of this evidence, the same for every gate."""
    return memo(evidence, "arms", lambda: _arms(evidence))


def _arms(evidence: ImageEvidence) -> Arms:
    sets = evidence.train, untouched(evidence), evidence.synthetic
    size = min(most(evidence.pixels.size), *map(len, sets))
    chosen = [_chosen(s, size, evidence.seed, synthetic=s is evidence.synthetic) for s in sets]
    return Arms(chosen[0], chosen[1], chosen[2],
                evidence.contract.target if evidence.labels("train") is not None else None)


def _chosen(images: Images, size: int, seed: int, *, synthetic: bool) -> Images:
    """``size`` of the images, whole patients but for the last; features stay known where nothing is left out."""
    def cut() -> Images:
        rng = generator(seed, "medical", "arms", "synthetic" if synthetic else "real")
        if synthetic:
            return images.take(np.sort(rng.permutation(len(images))[:size]))
        return images.take(st.choose(images.entities, size, rng))

    return images if len(images) == size else memo(images, ("chosen", size, seed, synthetic), cut)


def space(evidence: ImageEvidence, name: str) -> Space:
    """A feature space scaled by the real training images of the comparison."""
    train = arms(evidence).train
    return memo(train, ("space", name), lambda: Space.fit(train, name))


def patients(evidence: ImageEvidence) -> int:
    """Patients of train or untouched, or synthetic images, whichever are fewest: what can be judged with."""
    sets = arms(evidence)
    return min(sets.images, *(len(np.unique(s.entities)) for s in (sets.train, sets.real)))


def too_small(gate: str, found: int, needed: int) -> Finding:
    """The finding of a data set with fewer patients than a gate needs."""
    return Finding(id=f"{gate}.images", title="Images to judge with", verdict=Verdict.INCONCLUSIVE, value=None,
                   n=st.rounded(found), limit=float(needed), direction="at least", unit="patients",
                   power="not computed: n too small",
                   method="patients of train, patients of holdout and reference, synthetic images: the fewest",
                   remedy=f"provide at least {needed:,} patients in train and in holdout and reference together, and "
                          f"draw at least {needed:,} images")
