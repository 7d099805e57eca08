"""Fidelity: does the synthetic table look like fresh real rows, column by column, in pairs, and as a whole?

Distances of finite samples are never zero, so every distance is read against its floor: the same distance
between two disjoint real samples of the same size. What is judged is the excess over that floor.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from synth.seeds import derive, generator
from synth.tabular.evidence import TableEvidence
from validators import pictures
from validators import statistics as st
from validators.dependence import PAIRS, dependence, pairs_of, weighted_counts
from validators.discriminator import Separation, separate
from validators.encode import Binning, Features
from validators.finding import Finding, GateResult, Verdict

TITLE = "Fidelity"
QUESTION = "Does the synthetic table look like fresh rows of the same population?"
GRID, PAIR_BINS, LABELS, PAIR_LABELS = 200, 8, 200, 12  # states a column
PAIR_ROWS, ROWS = 6_000, 10_000  # caps that bound the time; what they leave out is stated


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Largest tolerated excess over the real-against-real floor.

    * shape_mean, shape_worst: mean .03 and worst column .10 above the floor (proposed in the project's
      review of evaluation practice; published generators reach .01 to .02 mean error on the standard sets).
    * pair_mean, pair_worst: the same margins for pairs of columns, whose noise is in the floor.
    * dependence: share of the pairwise dependence of real rows that is kept, .80, like coverage (a mean over pairs
      dilutes a few dependent pairs among many independent ones; this figure does not).
    * separation: AUC of a boosted classifier, .70 (an effect size: with enough rows any generator is
      significantly different).
    * minimum_rows: rows an arm needs before anything is judged.
    """

    shape_mean: float = field(default=0.03, metadata={"direction": "at most", "range": (0, 1)})
    shape_worst: float = field(default=0.10, metadata={"direction": "at most", "range": (0, 1)})
    pair_mean: float = field(default=0.03, metadata={"direction": "at most", "range": (0, 1)})
    pair_worst: float = field(default=0.15, metadata={"direction": "at most", "range": (0, 1)})
    dependence: float = field(default=0.80, metadata={"direction": "at least", "range": (-1, 1)})
    separation: float = field(default=0.70, metadata={"direction": "at most", "range": (0.5, 1)})
    minimum_rows: float = field(default=200, metadata={"direction": "at least", "range": (20, 1e9)})


@dataclass(frozen=True)
class Arms:
    """Equal-sized samples: two disjoint real ones and two disjoint (or repeated) synthetic ones."""

    first: pd.DataFrame  # holdout
    second: pd.DataFrame  # reference
    synthetic: tuple[pd.DataFrame, pd.DataFrame]
    entities: tuple[np.ndarray, np.ndarray]

    @property
    def rows(self) -> int:
        """Rows of each arm."""
        return len(self.first)


def arms(evidence: TableEvidence, rows: int, name: str) -> Arms:
    """Cut all arms to one size, entities kept whole where they fit."""
    rng = generator(evidence.seed, "fidelity", name)
    holdout, reference = evidence.entities["holdout"], evidence.entities["reference"]
    size = min(rows, len(holdout), len(reference), len(evidence.synthetic))
    first, second = st.choose(holdout, size, rng), st.choose(reference, size, rng)
    order = rng.permutation(len(evidence.synthetic))
    chunks = [order[:size], order[-size:]] if size else [order, order]
    parts = tuple(evidence.synthetic.iloc[np.sort(chunk)].reset_index(drop=True) for chunk in chunks)
    return Arms(evidence.holdout.iloc[first].reset_index(drop=True),
                evidence.reference.iloc[second].reset_index(drop=True),
                (parts[0], parts[1]), (holdout[first], reference[second]))


def run(evidence: TableEvidence, limits: Limits) -> GateResult:
    """Judge columns, pairs and the whole row."""
    start = time.monotonic()
    size = st.fewest(evidence)
    if size < limits.minimum_rows or not evidence.schema.columns:
        return GateResult(gate="fidelity", title=TITLE, question=QUESTION, seconds=time.monotonic() - start,
                          findings=(too_small("fidelity.rows", size, int(limits.minimum_rows)),))
    shape_findings = _shapes(evidence, limits)
    pair_findings = _pairs(evidence, limits) if len(evidence.schema.columns) > 1 else []
    whole = _separation(evidence, limits)
    untested = ["dependence of three or more columns at once, except through the classifier",
                "columns with many states in few rows: an excess over the floor understates a difference that is small "
                "beside the floor (the tables show both)",
                "dependence that is too strong, except through pairs and the classifier",
                f"more than {ROWS:,} rows an arm ({PAIR_ROWS:,} for pairs), and differences between trainings"]
    total = len(evidence.schema.columns) * (len(evidence.schema.columns) - 1) // 2
    if total > PAIRS:
        untested.append(f"{total - PAIRS} of {total} pairs of columns (a random {PAIRS} were judged)")
    return GateResult(gate="fidelity", title=TITLE, question=QUESTION,
                      findings=(*shape_findings, *pair_findings, *whole), not_tested=tuple(untested),
                      seconds=time.monotonic() - start)


def too_small(finding: str, rows: int, needed: int) -> Finding:
    """The finding of a table with fewer rows than a gate needs."""
    return Finding(id=finding, title="Rows to judge with", verdict=Verdict.INCONCLUSIVE, value=None, n=st.rounded(rows),
                   limit=float(needed), direction="at least", unit="rows",
                   power=f"nothing can be said below {needed:,} rows an arm",
                   remedy=f"provide enough entities for at least {needed:,} holdout, reference and synthetic rows")


def _excess(counts: list[np.ndarray], distance) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Excess of the two synthetic-real distances over the real-real one; counts are (states, draws)."""
    holdout, reference, one, two = counts
    return 0.5 * (distance(one, holdout) + distance(two, reference)) - distance(holdout, reference)


def _weights(sample: Arms, evidence: TableEvidence, name: str) -> list[np.ndarray]:
    """Entity-bootstrap weights of the four arms; the first draw is the data itself."""
    rng = generator(evidence.seed, "fidelity", name, "bootstrap")
    rows = [*sample.entities, np.arange(sample.rows), np.arange(sample.rows)]
    ones = np.ones((sample.rows, 1), np.float32)
    return [np.hstack([ones, st.entity_weights(e, st.DRAWS, rng)]) for e in rows]


def _shapes(evidence: TableEvidence, limits: Limits) -> list[Finding]:
    sample = arms(evidence, ROWS, "shape")
    weights = _weights(sample, evidence, "shape")
    binning = Binning.fit(evidence.reference, evidence.schema, GRID, LABELS)
    frames = [sample.first, sample.second, *sample.synthetic]
    excess, floors = [], []
    for column in evidence.schema.columns:
        distance = st.kolmogorov if column.is_number else st.total_variation
        states = binning.states(column.name)
        counts = [weighted_counts(binning.codes(f, column.name), states, w)
                  for f, w in zip(frames, weights, strict=True)]
        excess.append(_excess(counts, distance))
        floors.append(float(distance(counts[0], counts[1])[0]))
    found = np.array(excess)
    names = evidence.schema.names
    rows = [pictures.interval_row(name, v, lo, hi, 0.0, limits.shape_worst)
            for name, v, lo, hi in zip(names, found[:, 0], *st.simultaneous(found[:, 0], found[:, 1:]), strict=True)]
    drawn = _marginals(evidence)
    method = ("Kolmogorov-Smirnov on 200 reference quantiles (numbers) and total variation (labels), missing a state "
              "of its own; excess over holdout against reference at the same size; entity bootstrap")
    return _mean_and_worst("fidelity.shape", "column", found, np.array(floors), names, limits.shape_mean,
                           limits.shape_worst, sample.rows, method,
                           [pictures.intervals("Excess of each column over the floor", rows, "share"), *drawn])


def _marginals(evidence: TableEvidence) -> list[dict]:
    real = pd.concat([evidence.holdout, evidence.reference], ignore_index=True)
    entities = np.concatenate([evidence.entities["holdout"], evidence.entities["reference"]])
    found = [pictures.marginal(c, real[c.name], entities, evidence.synthetic[c.name], evidence.contract.k)
             for c in evidence.schema.columns]
    return [picture for picture in found if picture is not None]


def _pairs(evidence: TableEvidence, limits: Limits) -> list[Finding]:
    names = evidence.schema.names
    pairs = pairs_of(names, PAIRS, evidence.seed)
    sample = arms(evidence, PAIR_ROWS, "pairs")
    weights = _weights(sample, evidence, "pairs")
    binning = Binning.fit(evidence.reference, evidence.schema, PAIR_BINS, PAIR_LABELS)
    frames = [sample.first, sample.second, *sample.synthetic]
    codes = [{n: binning.codes(f, n) for n in names} for f in frames]
    excess, floors = np.empty((len(pairs), st.DRAWS + 1)), np.empty(len(pairs))
    grid = np.full((len(names), len(names)), np.nan)
    for row, (a, b) in enumerate(pairs):
        width = binning.states(names[b])
        states = binning.states(names[a]) * width
        counts = [weighted_counts(c[names[a]] * width + c[names[b]], states, w)
                  for c, w in zip(codes, weights, strict=True)]
        excess[row] = _excess(counts, st.total_variation)
        floors[row] = st.total_variation(counts[0], counts[1])[0]
        grid[a, b] = grid[b, a] = excess[row, 0]
    method = ("total variation of two columns on fixed reference bins, excess over holdout against reference at the "
              "same size; entity bootstrap")
    labels = [f"{names[a]} x {names[b]}" for a, b in pairs]
    return [*_mean_and_worst("fidelity.pair", "pair", excess, floors, labels, limits.pair_mean, limits.pair_worst,
                             sample.rows, method,
                             [pictures.heat("Excess of each pair of columns over the floor", names, grid, "share")]),
            dependence(evidence, limits.dependence)]


def _mean_and_worst(prefix: str, what: str, excess: np.ndarray, floors: np.ndarray, labels: list[str],
                    mean_limit: float, worst_limit: float, rows: int, method: str, drawn: list[dict]) -> list[Finding]:
    """The two findings of a family of distances; ``excess`` is (items, 1 + draws), data first."""
    averages = excess.mean(axis=0)
    value, error = float(averages[0]), st.standard_error(averages[1:])
    low, high = st.bounds(value, averages[1:])
    verdict, arm = st.at_most(low, high, mean_limit), "rows an arm"
    mean = Finding(
        id=f"{prefix}.mean", title=f"Mean {what} error above the floor", value=st.number(value, 4), unit="share",
        low=st.number(low, 4), high=st.number(high, 4), floor=0.0, limit=mean_limit, n=st.rounded(rows),
        verdict=verdict, method=method,
        power=f"a mean excess of {st.detectable(error):.4f} at n = {st.rounded(rows):,} with 80 % power",
        remedy=st.remedy(verdict, f"look at the {what}s with the largest excess; train longer",
                         st.rows_to_pass(rows, high - value, error, mean_limit), rows, arm),
        detail={"pictures": drawn, "floor_distance": st.number(float(floors.mean()), 4)})
    lows, highs = st.simultaneous(excess[:, 0], excess[:, 1:])
    worst = st.deciding(lows, highs, worst_limit)
    verdict = st.at_most(float(lows[worst]), float(highs[worst]), worst_limit)
    error = max(st.standard_error(row) for row in excess[:, 1:])
    spread = float((highs - excess[:, 0]).max()) + st.quantile(0.8) * error
    order = np.argsort(-excess[:, 0])[:10]
    rows_of_table: list[list[str | float | None]] = [
        [labels[i], st.number(excess[i, 0], 4), st.number(highs[i], 4), st.number(floors[i], 4)] for i in order]
    top = Finding(
        id=f"{prefix}.worst", title=f"Worst {what} error above the floor", value=st.number(excess[worst, 0], 4),
        unit="share", low=st.number(lows[worst], 4), high=st.number(highs[worst], 4), floor=0.0, limit=worst_limit,
        n=st.rounded(rows), verdict=verdict,
        method=f"{method}; bounds hold for all {len(labels)} {what}s at once (max-statistic)",
        power=f"an excess of {spread:.3f} in any one {what} with 80 % power",
        remedy=st.remedy(verdict, f"see {labels[worst]!r} first", st.rows_to_pass(
            rows, float((highs - excess[:, 0]).max()), error, worst_limit), rows, arm),
        detail={"worst": labels[worst], "pictures": [pictures.table(
            f"The {len(order)} {what}s furthest above the floor", [what, "excess", "upper bound", "floor"],
            rows_of_table)]})
    return [mean, top]


def _separation(evidence: TableEvidence, limits: Limits) -> list[Finding]:
    sample = arms(evidence, ROWS, "separation")
    features = Features.fit(evidence.reference, evidence.schema)
    real, other, fake = (features.transform(f) for f in (sample.first, sample.second, sample.synthetic[0]))
    alone = np.arange(sample.rows)
    seed = derive(evidence.seed, "fidelity", "separation")
    wide = len(features.names) > 60  # importance costs one prediction a column
    against = separate(real, sample.entities[0], fake, alone, features.categorical, seed=seed, importance=not wide)
    floor = separate(real, sample.entities[0], other, sample.entities[1], features.categorical, seed=seed)
    train = st.choose(evidence.entities["train"], sample.rows, generator(seed, "train"))
    fitted = separate(features.transform(evidence.train.iloc[train]), evidence.entities["train"][train],
                      fake[: len(train)], alone[: len(train)], features.categorical, seed=seed)
    method = ("classifier two-sample test (Lopez-Paz and Oquab 2017): gradient boosting, 3 folds that keep entities "
              "together, entity bootstrap of held-out scores")
    order = np.argsort(-against.importance)[:10]
    rows: list[list[str | float | None]] = [
        [features.names[i], st.number(against.importance[i], 4)] for i in order if against.importance[i] > 0]
    drawn = [pictures.intervals("How well boosting tells synthetic rows from real ones", [
        _row("synthetic against untouched rows", against, limits.separation),
        _row("synthetic against training rows", fitted, None), _row("real against real (floor)", floor, None)], "AUC")]
    if rows:
        drawn.append(pictures.table("Columns that gave it away", ["column", "AUC lost when shuffled"], rows))
    verdict = st.at_most(against.low, against.high, limits.separation)
    needed = st.rows_to_pass(sample.rows, against.high - against.auc, against.error, limits.separation - 0.5)
    judged = Finding(
        id="fidelity.separation", title="Telling synthetic from untouched real rows", value=st.number(against.auc),
        unit="AUC", low=st.number(against.low), high=st.number(against.high), floor=st.number(floor.auc),
        limit=limits.separation, n=st.rounded(sample.rows), method=method, verdict=verdict,
        power=f"an AUC of {0.5 + st.detectable(against.error):.3f} at n = {st.rounded(sample.rows):,} with 80 % power",
        remedy=st.remedy(verdict, "mend the columns that gave it away; formats (rounding, missing cells) come first",
                         needed, sample.rows, "rows an arm"),
        detail={"pictures": drawn})
    beside = Finding(
        id="fidelity.separation.train", title="Telling synthetic from training rows", value=st.number(fitted.auc),
        unit="AUC", low=st.number(fitted.low), high=st.number(fitted.high), floor=st.number(floor.auc),
        n=st.rounded(len(train)), verdict=Verdict.INFO, method=method,
        remedy="information only: this figure flatters a generator that fits its training rows")
    return [judged, beside]


def _row(label: str, found: Separation, limit: float | None) -> dict:
    return pictures.interval_row(label, found.auc, found.low, found.high, 0.5, limit)
