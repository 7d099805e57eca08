"""Do a few points of a recorded drive single out one synthetic scene, more often than of drives nobody trained on?

After de Montjoye et al., "Unique in the Crowd" (2013): four points in space and time identify most people. Here an
adversary knows two to four moments of a drive, in the frame of the release, and looks for the one scene that has them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import EGO, D, S, Scenes
from synth.seeds import generator
from validators import pictures
from validators import statistics as st
from validators.driving.arms import thinned, untouched
from validators.finding import Finding

POINTS = (2, 3, 4)
CELL = (2.0, 0.5)  # m along and across the road: how exactly the adversary knows a place
SCENES = 1_500  # of each set at most


def uniqueness(evidence: SceneEvidence, limit: float) -> Finding:
    """Share of drives with exactly one match among the synthetic scenes, train less untouched; the worst of POINTS."""
    rng = generator(evidence.seed, "uniqueness")
    train, others = evidence.train, untouched(evidence)
    size = min(SCENES, len(train), len(others))
    sets = [thinned(s, size, rng) for s in (train, others)]
    synthetic = thinned(evidence.synthetic, SCENES, rng)
    weights = [np.hstack([np.ones((len(s), 1), np.float32), st.entity_weights(s.entities, st.DRAWS, rng)])
               for s in sets]
    shares, excess = [], []
    for count in POINTS:
        found = [(_matches(s, synthetic, count, rng) == 1).astype(float) @ w / np.maximum(w.sum(axis=0), 1e-9)
                 for s, w in zip(sets, weights, strict=True)]
        shares.append([float(f[0]) for f in found])
        excess.append(found[0] - found[1])
    draws = np.array(excess)
    worst, lows, highs, verdict, error = st.worst_of(draws, limit)
    rows = [pictures.interval_row(f"{c} points", v, lo, hi, 0.0, limit)
            for c, v, lo, hi in zip(POINTS, draws[:, 0], lows, highs, strict=True)]
    table: list[list[str | float | None]] = [[f"{c} points", st.number(a), st.number(b)]
                                             for c, (a, b) in zip(POINTS, shares, strict=True)]
    return Finding(
        id="leakage.uniqueness", title="Drives that a few points match to one synthetic scene, train over untouched",
        value=st.number(draws[worst, 0]), low=st.number(lows[worst]), high=st.number(highs[worst]), unit="share",
        floor=0.0, limit=limit, n=st.rounded(size), verdict=verdict,
        method=f"{POINTS[0]} to {POINTS[-1]} random moments of the ego vehicle known to {CELL[0]:g} m along and "
               f"{CELL[1]:g} m across the road; bounds hold for all at once (max-statistic); bootstrap by entity",
        power=f"an excess of {st.detectable(error):.3f} at n = {st.rounded(size):,} with 80 % power",
        remedy=st.remedy(verdict, "synthetic drives follow recorded ones: train shorter or on more drivers",
                         st.rows_to_pass(size, float(highs[worst] - draws[worst, 0]), error, limit), size, "scenes"),
        detail={"pictures": [pictures.intervals("Matched to one scene, train over untouched", rows, "share"),
                             pictures.table("Matched to exactly one scene", ["known", "train", "untouched"], table)]})


def _matches(scenes: Scenes, synthetic: Scenes, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many synthetic scenes have ``count`` random later moments of each scene in the same cells, [n]."""
    steps = scenes.shape.steps
    count = min(count, steps - 1)
    moments = 1 + rng.permuted(np.tile(np.arange(steps - 1), (len(scenes), 1)), axis=1)[:, :count]
    own, other = scenes.states[:, EGO], synthetic.states[:, EGO]
    fits = np.ones((len(scenes), len(synthetic)), bool)
    rows = np.arange(len(scenes))
    for place in range(count):
        at = moments[:, place]
        for axis, size in zip((S, D), CELL, strict=True):
            mine = own[rows, at, axis] - (own[:, 0, S] if axis == S else 0)
            theirs = other[:, :, axis] - (other[:, :1, S] if axis == S else 0)
            fits &= np.abs(theirs.T[at] - mine[:, None]) <= size / 2
    return np.asarray(fits.sum(axis=1))
