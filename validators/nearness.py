"""Nearness: do synthetic rows lie closer to training people than to as many people nobody trained on?

It may veto and never justify: it sees an effect on *all* rows only. Measured (``tests/benchmarks/nearness.py``, 8,000
rows, five tables of three populations): smoothers of training rows with a bandwidth up to .2 standard deviations were
always stopped, of .3 once, of .5 never; a fifth of the rows copied moves the share to .54 (stopped three times), 5 % to
.51 (never). The comparison takes as many training people as holdout has, so its share is at most two thirds. Copies
are the business of :mod:`validators.copies`, which finds half a per cent.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from synth.seeds import generator
from validators import statistics as st
from validators.attacks import View
from validators.finding import Finding, Verdict


def nearness(members: View, others: View, synthetic: View, member_entities: np.ndarray, other_entities: np.ndarray, *,
             significance: float, margin: float, ties: float, seed: int) -> Finding:
    """Share of synthetic rows closer to train than to holdout (equal n, ties one half).

    Fails if the share is significantly above one half *plus the margin*: with enough rows any generator that learnt
    something is significantly above one half.
    """
    rng = generator(seed, "leakage", "distance")
    rows = min(len(members), len(others))
    chosen = st.choose(member_entities, rows, rng)
    to_train, near_train = _nearest(members.points[chosen], synthetic.points)
    picked = st.choose(other_entities, rows, rng)
    to_holdout, near_holdout = _nearest(others.points[picked], synthetic.points)
    tied = np.isclose(to_train, to_holdout, rtol=1e-5, atol=1e-5)
    closer = np.where(tied, 0.5, to_train < to_holdout)
    value = float(closer.mean())
    # people are the sample: how many synthetic rows each has nearest, zeros too, compared between the two parts
    counts = (_by_person(member_entities[chosen], near_train, closer),
              _by_person(other_entities[picked], near_holdout, 1.0 - closer))
    spread = sum(float(((c - c.mean()) ** 2).sum()) for c in counts)
    error = max(0.5 * float(np.sqrt(spread)) / max(len(closer), 1), 1e-9)
    p = 1 - NormalDist().cdf((value - 0.5 - margin) / error)
    tied_share = float(tied.mean())
    # with many ties a low p still counts as evidence, a high one says nothing
    note = "" if tied_share <= ties else f"; not informative: {100 * tied_share:.0f} % of distances are tied"
    step = st.quantile(st.LEVEL) * error
    smallest = 0.5 + margin + st.detectable(error, 1 - significance)
    return Finding(
        id="leakage.distance", title="Synthetic rows closer to train than to holdout (may veto, never justify)",
        value=st.number(value), low=st.number(value - step), high=st.number(value + step), unit="share", floor=0.5,
        n=st.rounded(rows), verdict=Verdict.FAIL if p < significance else Verdict.INFO,
        method=f"share of synthetic rows nearer to train than to as many holdout rows, ties one half; test against "
               f"{0.5 + margin:.3g}, people being the sample: p = {p:.2g}, a veto below {significance:g}{note}",
        power=f"a share of {smallest:.3f} at n = {st.rounded(rows):,} with 80 % power",
        remedy="synthetic rows hug training rows: train shorter, use more rows or a smaller model",
        detail={"p_value": float(f"{p:.3g}"), "ties": st.number(tied_share)})


def _by_person(entities: np.ndarray, near: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight of the synthetic rows that have a row of each person as their nearest: (people,)."""
    people, inverse = np.unique(entities, return_inverse=True)
    return np.bincount(inverse[near], weights=weights, minlength=len(people))


def _nearest(points: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.neighbors import NearestNeighbors

    distances, index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(points).kneighbors(queries)
    return distances[:, 0].astype(np.float64), index[:, 0]
