"""How much of the dependence between columns is kept: one figure that independent columns cannot hide from.

A mean over pairs dilutes a few dependent pairs among many independent ones. Here the dependence of all pairs
is one long vector r (joint share minus product of margins, cell by cell), and the figure is
<r_synthetic, r_untouched> / <r_train, r_untouched>: 1 for fresh real rows, 0 for independent columns. The
samples are disjoint, so noise is uncorrelated and neither product is biased by the sample size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.sparse as sparse

from synth.seeds import generator
from synth.tabular.evidence import TableEvidence
from validators import statistics as st
from validators.encode import Binning
from validators.finding import Finding, Verdict

ROWS, BINS, LABELS, PAIRS, DRAWS = 6_000, 8, 12, 600, 200


def pairs_of(names: list[str], most: int, seed: int) -> list[tuple[int, int]]:
    """All pairs of columns, or a random ``most`` of them."""
    pairs = list(itertools.combinations(range(len(names)), 2))
    if len(pairs) > most:
        chosen = generator(seed, "fidelity", "pairs").choice(len(pairs), most, replace=False)
        pairs = [pairs[i] for i in sorted(chosen)]
    return pairs


def weighted_counts(codes: np.ndarray, states: int, weights: np.ndarray) -> np.ndarray:
    """Weighted counts of each state: (states, draws)."""
    hits = sparse.csr_matrix((np.ones(len(codes), np.float32), (codes, np.arange(len(codes)))), (states, len(codes)))
    return np.asarray(hits @ weights)


def residual(counts: np.ndarray, width: int) -> np.ndarray:
    """Joint share minus the product of its margins; counts (first x width, draws), the same shape back."""
    joint = counts.reshape(-1, width, counts.shape[1]) / np.maximum(counts.sum(axis=0), 1e-12)
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    return np.asarray((joint - product).reshape(counts.shape))


def dependence(evidence: TableEvidence, limit: float) -> Finding:
    """The finding; information only where real columns show no dependence."""
    names = evidence.schema.names
    binning = Binning.fit(evidence.reference, evidence.schema, BINS, LABELS)
    untouched = pd.concat([evidence.holdout, evidence.reference], ignore_index=True)
    people = np.concatenate([evidence.entities["holdout"], -1 - evidence.entities["reference"]])
    arms = [_arm(binning, frame, entities, generator(evidence.seed, "dependence", name)) for name, frame, entities in (
        ("synthetic", evidence.synthetic, np.arange(len(evidence.synthetic))),
        ("train", evidence.train, evidence.entities["train"]), ("untouched", untouched, people))]
    kept, real = np.zeros(DRAWS + 1), np.zeros(DRAWS + 1)
    for a, b in pairs_of(names, PAIRS, evidence.seed):
        synthetic, train, other = (arm(names[a], names[b]) for arm in arms)
        kept += (synthetic * other).sum(axis=0)
        real += (train * other).sum(axis=0)
    rows = min(ROWS, len(untouched), len(evidence.synthetic), len(evidence.train))
    title, method = "Dependence between columns that is kept", (
        "joint share minus product of margins in every cell of every pair: inner product of synthetic with untouched "
        "rows over that of train with untouched rows; entity bootstrap")
    if st.bounds(float(real[0]), real[1:], 0.99)[0] <= 0:
        return Finding(id="fidelity.dependence", title=title, verdict=Verdict.INFO, value=None, method=method,
                       n=st.rounded(rows), remedy="real columns show no dependence at this size: none to keep")
    value, draws = float(kept[0] / real[0]), kept[1:] / np.where(real[1:] > 0, real[1:], np.nan)
    low, high = st.bounds(value, draws)
    error = st.standard_error(draws)
    verdict = st.at_least(low, high, limit)
    needed = st.rows_to_pass(rows, value - low, error, 1.0 - limit)
    return Finding(
        id="fidelity.dependence", title=title, verdict=verdict, value=st.number(value), low=st.number(low),
        high=st.number(high), unit="ratio", floor=1.0, limit=limit, direction="at least", n=st.rounded(rows),
        power=f"a loss of {st.detectable(error):.3f} at n = {st.rounded(rows):,} with 80 % power",
        method=method,
        remedy=st.remedy(verdict, "columns are too independent: see the pairs with the largest excess; train longer",
                         needed, rows, "untouched, training and synthetic rows each"))


def _arm(binning: Binning, frame: pd.DataFrame, entities: np.ndarray,
         rng: np.random.Generator) -> Callable[[str, str], np.ndarray]:
    """Residuals of any pair of columns in one sample: data first, then bootstrap draws."""
    chosen = st.choose(entities, ROWS, rng)
    codes = {name: binning.codes(frame.iloc[chosen], name) for name in binning.names}
    weights = np.hstack([np.ones((len(chosen), 1), np.float32), st.entity_weights(entities[chosen], DRAWS, rng)])

    def pair(a: str, b: str) -> np.ndarray:
        width = binning.states(b)
        return residual(weighted_counts(codes[a] * width + codes[b], binning.states(a) * width, weights), width)

    return pair
