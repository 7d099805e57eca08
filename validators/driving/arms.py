"""The sets that are compared: as many scenes each of real train, real untouched and synthetic.

Untouched is holdout and reference together: the generator has seen neither. The floor of every distance is the same
distance between two real sets, cut from train and untouched together at random, by entity, several times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import MANOEUVRE, Scenes, joined
from synth.seeds import generator
from validators import statistics as st
from validators.finding import Finding, Verdict
from validators.memo import memo

MOST = 1_500  # scenes a set: bounds the time of neighbours and of trees
RESPLITS = 6
LEAST = 8  # entities of train and of untouched below which nothing is judged
SCENES = 200  # scenes of each set below which nothing is judged
CLASS_LEAST = 40  # scenes of a manoeuvre in each set below which it is not looked at alone


@dataclass(frozen=True, eq=False)
class Arms:
    """Sets of ``size`` scenes each."""

    train: Scenes
    real: Scenes  # untouched
    synthetic: Scenes

    @property
    def size(self) -> int:
        """Scenes of each set."""
        return len(self.real)

    @property
    def entities(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Entities of the untouched and of the synthetic set."""
        return self.real.entities, np.arange(len(self.synthetic))

    def classes(self, k: int) -> list[str]:
        """Manoeuvres with enough scenes in every set, and at least ``k`` entities, to be looked at alone."""
        sets = [(shown(s), s.entities) for s in (self.train, self.real)]
        drawn = shown(self.synthetic)
        return [label for label in sorted(set(sets[1][0])) if (drawn == label).sum() >= CLASS_LEAST and all(
            (own == label).sum() >= CLASS_LEAST and len(np.unique(who[own == label])) >= k for own, who in sets)]

    def resplits(self, seed: int, times: int = RESPLITS) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Rows of two disjoint real sets among train's and untouched's scenes (in that order), cut by entity."""
        # parts of train and of untouched may have the same codes, and are different people
        entities = np.concatenate([self.train.entities, -1 - self.real.entities])
        unique, inverse = np.unique(entities, return_inverse=True)
        rng = generator(seed, "driving", "resplits")
        for _ in range(times):
            first = (rng.permutation(len(unique)) < len(unique) // 2)[inverse]
            rows = np.flatnonzero(first), np.flatnonzero(~first)
            size = min(self.size, *map(len, rows))
            yield rng.permutation(rows[0])[:size], rng.permutation(rows[1])[:size]


def shown(scenes: Scenes) -> NDArray[np.str_]:
    """The manoeuvre of each scene's row of the listing."""
    return scenes.table[MANOEUVRE].fillna("").to_numpy(dtype=str)


def thinned(scenes: Scenes, size: int, rng: np.random.Generator) -> Scenes:
    """At most ``size`` of the scenes, at random; windows of recordings overlap, so every drive stays in."""
    if len(scenes) <= size:
        return scenes
    return scenes.take(np.sort(rng.permutation(len(scenes))[:size]))


def untouched(evidence: SceneEvidence) -> Scenes:
    """Holdout and reference together."""
    return memo(evidence, "untouched", lambda: joined(evidence.holdout, evidence.reference))


def arms(evidence: SceneEvidence) -> Arms:
    """The sets of this evidence, the same for every gate."""
    return memo(evidence, "arms", lambda: _arms(evidence))


def _arms(evidence: SceneEvidence) -> Arms:
    sets = evidence.train, untouched(evidence), evidence.synthetic
    size = min(MOST, *map(len, sets))
    chosen = [thinned(s, size, generator(evidence.seed, "driving", "arms", name))
              for s, name in zip(sets, ("train", "untouched", "synthetic"), strict=True)]
    return Arms(*chosen)


def weights(evidence: SceneEvidence, sample: Arms, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bootstrap weights by entity of the untouched and the synthetic set; the first draw is the data itself."""
    rng = generator(evidence.seed, "driving", name, "bootstrap")
    ones = np.ones((sample.size, 1), np.float32)
    first, second = (np.hstack([ones, st.entity_weights(e, st.DRAWS, rng)]) for e in sample.entities)
    return first, second


def too_small(evidence: SceneEvidence, gate: str, entities: float, scenes: float) -> Finding | None:
    """The finding of a data set with fewer entities or scenes than a gate needs; None: there are enough."""
    sets = evidence.train, untouched(evidence)
    people = min(len(np.unique(s.entities)) for s in sets)
    fewest = min(*map(len, sets), len(evidence.synthetic))
    if people >= entities and fewest >= scenes:
        return None
    return _few(gate, people, int(entities), int(scenes))


def _few(gate: str, found: int, needed: int, scenes: int) -> Finding:
    return Finding(id=f"{gate}.scenes", title="Scenes to judge with", verdict=Verdict.INCONCLUSIVE, value=None,
                   n=st.rounded(found), limit=float(needed), direction="at least", unit="entities",
                   power="not computed: n too small",
                   method="entities (drivers, trips, or recordings that share vehicles) of train, of holdout and "
                          "reference; scenes of each set and of the synthetic one",
                   remedy=f"provide at least {needed:,} entities in train and in holdout and reference together, and "
                          f"{scenes:,} scenes of each; draw at least {scenes:,} scenes")
