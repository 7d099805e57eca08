"""Diversity: is every kind of row there, rare kinds too, and no kind too often?

Coverage and recall are those of Naeem et al., "Reliable fidelity and diversity metrics for generative
models" (ICML 2020) and Kynkaanniemi et al. (NeurIPS 2019), with closed balls because table rows can
coincide, read against fresh real rows of the same number.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from synth.seeds import generator
from synth.tabular.evidence import TableEvidence
from validators import pictures
from validators import statistics as st
from validators.encode import Binning, Encoding
from validators.fidelity import Arms, arms, too_small
from validators.finding import Finding, GateResult, Verdict

TITLE = "Diversity"
QUESTION = "Does the synthetic table have every kind of row that the population has, without repeating itself?"
ROWS = 5_000  # neighbours are searched among at most this many rows an arm
NEIGHBOURS = 5  # as in the paper's experiments
MODE_PAIRS = 200  # pairs of columns searched for rare modes
NOT_TESTED = ("kinds of rows rarer than about one in a thousand, and labels below the mass named in the limits",
              "rare combinations of three or more columns", f"coverage and recall beyond {ROWS:,} rows an arm")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Smallest tolerated share of what fresh real rows reach.

    * coverage, recall, rare_modes: .80 of the floor (proposed in the project's review of evaluation practice).
    * category_mass: a label with this share of real rows must be present (1 %).
    * categories_missing: how many such labels may be absent (none).
    * duplicates: repeated rows at most .05 more frequent than among real rows.
    * minimum_rows: rows an arm needs before anything is judged.
    """

    coverage: float = field(default=0.80, metadata={"direction": "at least", "range": (0, 1)})
    recall: float = field(default=0.80, metadata={"direction": "at least", "range": (0, 1)})
    rare_modes: float = field(default=0.80, metadata={"direction": "at least", "range": (0, 1)})
    category_mass: float = field(default=0.01, metadata={"direction": "at most", "range": (1e-4, 1)})
    categories_missing: float = field(default=0, metadata={"direction": "at most", "range": (0, 1e9)})
    duplicates: float = field(default=0.05, metadata={"direction": "at most", "range": (0, 1)})
    minimum_rows: float = field(default=200, metadata={"direction": "at least", "range": (20, 1e9)})


def run(evidence: TableEvidence, limits: Limits) -> GateResult:
    """Judge coverage, recall, labels, rare modes and duplicates."""
    start = time.monotonic()
    size = st.fewest(evidence)
    if size < limits.minimum_rows or not evidence.schema.columns:
        return GateResult(gate="diversity", title=TITLE, question=QUESTION, seconds=time.monotonic() - start,
                          findings=(too_small("diversity.rows", size, int(limits.minimum_rows)),))
    sample = arms(evidence, ROWS, "diversity")
    findings = [*_balls(evidence, sample, limits), *_categories(evidence, limits), *_rare(evidence, sample, limits),
                _duplicates(evidence, sample, limits)]
    return GateResult(gate="diversity", title=TITLE, question=QUESTION, findings=tuple(findings),
                      not_tested=NOT_TESTED,
                      seconds=time.monotonic() - start)


def neighbour_distances(points: np.ndarray, queries: np.ndarray, count: int, *, skip_self: bool = False) -> np.ndarray:
    """Distances (queries, count) to the nearest ``points``, ascending; ``skip_self`` drops the row itself."""
    from sklearn.neighbors import NearestNeighbors

    extra = 1 if skip_self else 0
    search = NearestNeighbors(n_neighbors=min(count + extra, len(points)), algorithm="brute").fit(points)
    distances, _ = search.kneighbors(queries)
    return distances[:, extra:].astype(np.float64)


def coverage(real: np.ndarray, fake: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Per real row: does a fake row lie in the ball to its k-th nearest real neighbour? bool (real,)."""
    radius = neighbour_distances(real, real, neighbours, skip_self=True)[:, -1]
    return neighbour_distances(fake, real, 1)[:, 0] <= radius * (1 + 1e-6) + 1e-4


def recall(real: np.ndarray, fake: np.ndarray, neighbours: int = NEIGHBOURS, block: int = 512) -> np.ndarray:
    """Per real row: does it lie in the ball of any fake row to that row's k-th fake neighbour? bool (real,)."""
    radius = neighbour_distances(fake, fake, neighbours, skip_self=True)[:, -1]
    reach = (radius * (1 + 1e-6) + 1e-4) ** 2
    fake, real = fake.astype(np.float64), real.astype(np.float64)  # float32 would not see coinciding rows as such
    square = (fake**2).sum(axis=1)
    inside = np.zeros(len(real), bool)
    for begin in range(0, len(real), block):
        rows = real[begin : begin + block]
        squared = (rows**2).sum(axis=1)[:, None] + square - 2.0 * (rows @ fake.T)
        inside[begin : begin + block] = (squared <= reach).any(axis=1)
    return inside


def _balls(evidence: TableEvidence, sample: Arms, limits: Limits) -> list[Finding]:
    encoding = Encoding.fit(evidence.reference, evidence.schema, evidence.seed)
    real, other = encoding.transform(sample.first), encoding.transform(sample.second)
    fakes = [encoding.transform(f) for f in sample.synthetic]
    weights = st.entity_weights(sample.entities[0], st.DRAWS, generator(evidence.seed, "diversity", "bootstrap"))
    total = np.maximum(weights.sum(axis=0), 1e-12)
    findings = []
    for name, measure, limit in (("coverage", coverage, limits.coverage), ("recall", recall, limits.recall)):
        floor = measure(real, other)
        found = np.mean([measure(real, fake) for fake in fakes], axis=0)
        base = float(floor.mean())
        ratio = float(found.mean()) / max(base, 1e-9)
        draws = (found @ weights / total) / np.maximum(floor @ weights / total, 1e-9)
        low, high = st.bounds(ratio, draws)
        error = st.standard_error(draws)
        verdict = st.at_least(low, high, limit, enough=base > 0.05)
        needed = st.rows_to_pass(sample.rows, ratio - low, error, 1.0 - limit)
        shown = [pictures.interval_row(name, ratio, low, high, 1.0, limit)]
        findings.append(Finding(
            id=f"diversity.{name}", title=f"{name.capitalize()} as a share of the floor", value=st.number(ratio),
            unit="ratio", low=st.number(low), high=st.number(high), floor=1.0, limit=limit, direction="at least",
            n=st.rounded(sample.rows), verdict=verdict,
            method=f"{name} with {NEIGHBOURS} neighbours (Naeem et al. 2020), synthetic over reference, both against "
                   "holdout rows at the same size; paired entity bootstrap",
            power=f"a loss of {st.detectable(error):.3f} at n = {st.rounded(sample.rows):,} with 80 % power",
            remedy=st.remedy(verdict, "the generator leaves regions empty: train longer, or check for collapse on rare "
                             "rows", needed, sample.rows, "rows an arm"),
            detail={"floor_value": st.number(base), "value": st.number(float(found.mean())),
                    "pictures": [pictures.intervals(f"{name.capitalize()} over the floor", shown, "ratio")]}))
    return findings


def _categories(evidence: TableEvidence, limits: Limits) -> list[Finding]:
    """Labels (and the missing state) with at least 1 % of real rows that never occur in the synthetic table."""
    missing: list[str] = []
    checked = 0
    real = pd.concat([evidence.holdout, evidence.reference], ignore_index=True)
    entities = np.concatenate([evidence.entities["holdout"], evidence.entities["reference"]])
    for column in evidence.schema.columns:
        if real[column.name].isna().mean() >= limits.category_mass:
            checked += 1
            if not evidence.synthetic[column.name].isna().any():
                missing.append(f"{column.name}: missing cells")
        if column.is_number:
            continue
        shares = real[column.name].value_counts(normalize=True, dropna=True) * real[column.name].notna().mean()
        present = set(evidence.synthetic[column.name].dropna().unique())
        for label in shares.index[shares >= limits.category_mass]:
            people = len(np.unique(entities[(real[column.name] == label).to_numpy()]))
            if people < evidence.contract.k:
                continue
            checked += 1
            if label not in present:
                named = label in column.values  # only the vocabulary, which was folded at k, may be quoted
                missing.append(f"{column.name}: {label if named else 'a label'}")
    if not checked:
        return []
    # with n rows a label of the given mass is absent by chance with probability (1 - mass)^n
    rows = len(evidence.synthetic)
    chance = (1 - limits.category_mass) ** rows * checked
    enough = chance < 0.01
    return [Finding(
        id="diversity.categories", title="Frequent labels that are absent", value=float(len(missing)), unit="labels",
        low=float(len(missing)), high=float(len(missing)), floor=0.0, limit=limits.categories_missing,
        n=st.rounded(rows), method=f"labels and missing states with at least {100 * limits.category_mass:g} % of "
        "untouched real rows, looked for in the synthetic table",
        verdict=st.at_most(len(missing), len(missing), limits.categories_missing, enough=enough),
        power=f"{checked} labels looked for; one would be absent by chance with probability {min(chance, 1):.1g}",
        remedy="a mode was dropped: check the columns named in the detail, and conditional sampling",
        detail={"absent": missing[:20], "checked": checked})]


def rare_modes(codes: np.ndarray, entities: np.ndarray, low: int, high: float) -> np.ndarray:
    """States held by at least ``low`` distinct entities and fewer than ``high`` rows."""
    pairs = np.unique(np.column_stack([codes, entities]), axis=0)
    states, people = np.unique(pairs[:, 0], return_counts=True)
    rows = np.bincount(codes, minlength=int(states.max()) + 1 if len(states) else 0)[states]
    return states[(people >= low) & (rows < high)]


def _rare(evidence: TableEvidence, sample: Arms, limits: Limits) -> list[Finding]:
    """Combinations of two columns that few reference rows have: how many does the synthetic table reproduce?"""
    names = evidence.schema.names
    binning = Binning.fit(evidence.reference, evidence.schema, 5, 40)
    pairs = list(itertools.combinations(names, 2))
    if len(pairs) > MODE_PAIRS:
        chosen = generator(evidence.seed, "diversity", "modes").choice(len(pairs), MODE_PAIRS, replace=False)
        pairs = [pairs[i] for i in sorted(chosen)]
    frames = [sample.second, sample.first, sample.synthetic[0]]
    coded = [{n: binning.codes(f, n) for n in names} for f in frames]
    found, floor, group = [], [], []
    for index, (a, b) in enumerate(pairs):
        width = binning.states(b)
        reference, holdout, synthetic = (c[a] * width + c[b] for c in coded)
        modes = rare_modes(reference, sample.entities[1], evidence.contract.k, max(0.01 * sample.rows, 11))
        found.append(np.isin(modes, synthetic).astype(float))
        floor.append(np.isin(modes, holdout).astype(float))
        group.append(np.full(len(modes), index))
    hits, base, groups = (np.concatenate(x) if x else np.zeros(0) for x in (found, floor, group))
    if len(hits) < 30 or base.mean() == 0:
        return [Finding(id="diversity.rare", title="Rare modes reproduced", verdict=Verdict.INFO, value=None,
                        n=len(hits), method="fewer than 30 rare combinations with k entities: nothing to judge",
                        power="none at this size")]
    # combinations of one pair of columns depend on each other: pairs are resampled, not combinations
    weights = st.entity_weights(groups.astype(np.int64), st.DRAWS, generator(evidence.seed, "diversity", "rare"))
    ratio = float(hits.mean() / base.mean())
    draws = (hits @ weights) / np.maximum(base @ weights, 1e-9)
    low, high = st.bounds(ratio, draws)
    error, verdict = st.standard_error(draws), st.at_least(low, high, limits.rare_modes)
    needed = st.rows_to_pass(sample.rows, ratio - low, error, 1.0 - limits.rare_modes)
    return [Finding(
        id="diversity.rare", title="Rare modes reproduced, as a share of the floor", value=st.number(ratio),
        unit="ratio", low=st.number(low), high=st.number(high), floor=1.0, limit=limits.rare_modes,
        direction="at least", n=len(hits), verdict=verdict,
        method="pairs of states with at least k entities and under 1 % of reference rows: share found among as many "
               "synthetic rows over share found among holdout rows; bootstrap over pairs of columns",
        power=f"a loss of {st.detectable(error):.3f} with 80 % power ({len(hits):,} rare modes)",
        remedy=st.remedy(verdict, "rare combinations are lost: train longer or with balanced conditions", needed,
                         sample.rows, "rows an arm"),
        detail={"floor_value": st.number(float(base.mean())), "value": st.number(float(hits.mean()))})]


def row_hashes(frame: pd.DataFrame) -> np.ndarray:
    """uint64 hash of each row, equal for equal rows (missing cells equal, -0 equal to 0)."""
    if frame.shape[1] == 0:
        return np.zeros(len(frame), np.uint64)
    numbers = {c: frame[c] + 0.0 for c in frame.columns if frame[c].dtype == "float64"}
    return pd.util.hash_pandas_object(frame.assign(**numbers), index=False).to_numpy(np.uint64)


def repeated_share(hashes: np.ndarray) -> float:
    """Share of rows that are not the first of their kind."""
    return 1.0 - len(np.unique(hashes)) / max(len(hashes), 1)


def _duplicates(evidence: TableEvidence, sample: Arms, limits: Limits) -> Finding:
    real = 0.5 * (repeated_share(row_hashes(sample.first)) + repeated_share(row_hashes(sample.second)))
    synthetic = float(np.mean([repeated_share(row_hashes(f)) for f in sample.synthetic]))
    value = synthetic - real
    # a bootstrap makes duplicates of its own; binomial errors of both arms, doubled variance for dependence
    error = float(np.sqrt(2 * (real * (1 - real) + synthetic * (1 - synthetic) + 2 / sample.rows) / sample.rows))
    step = st.quantile(st.LEVEL) * error
    low, high = value - step, value + step
    verdict = st.at_most(low, high, limits.duplicates)
    return Finding(
        id="diversity.duplicates", title="Repeated rows beyond the real rate", value=st.number(value, 4), unit="share",
        low=st.number(low, 4), high=st.number(high, 4), floor=0.0, limit=limits.duplicates, n=st.rounded(sample.rows),
        verdict=verdict,
        method="rows equal to an earlier row of the same table, synthetic minus real at the same size",
        power=f"an excess of {st.detectable(error):.3f} with 80 % power",
        remedy=st.remedy(verdict, "the generator repeats itself",
                         st.rows_to_pass(sample.rows, step, error, limits.duplicates), sample.rows, "rows an arm"),
        detail={"real": st.number(real), "synthetic": st.number(synthetic)})
