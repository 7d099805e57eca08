"""Attribute inference: does the synthetic table tell more about the people it was trained on than about others?

A model learned from synthetic rows guesses a sensitive column from the rest. That it guesses well is
utility; that it guesses *better for training people than for others* is leakage, so the difference is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from synth.contract import Privacy
from synth.seeds import derive, generator
from synth.tabular.evidence import TableEvidence
from validators import pictures
from validators import statistics as st
from validators.finding import Finding, Verdict
from validators.prediction import Problem

LEAST_CLASS = 30  # records of a class in holdout, below which the class has no weight of its own
ROWS = 10_000


@dataclass(frozen=True)
class _Advantage:
    """A guess at a column: how much righter it is on train than on holdout."""

    column: str
    value: float
    draws: np.ndarray


def rightness(problem: Problem, prediction: np.ndarray, truth: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How right each guess is, in [0, 1]: probability given to the true class, or one minus the error in ranks.

    The probability and not the hit: it has a much smaller spread, so the same n shows smaller leaks.
    """
    if not problem.regression:
        return prediction[np.arange(len(truth)), truth.astype(int)]
    ordered = np.sort(reference[np.isfinite(reference)])
    if len(ordered) == 0:
        return np.zeros(len(truth))

    def rank(values: np.ndarray) -> np.ndarray:
        both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
        return 0.5 * both / len(ordered)

    return 1.0 - np.abs(rank(prediction) - rank(truth))


def _balance(problem: Problem, truth: np.ndarray, frequent: np.ndarray) -> np.ndarray:
    """Weights that give every frequent class the same total (and rare ones none)."""
    if problem.regression:
        return np.full(len(truth), 1.0 / max(len(truth), 1))
    weights = np.zeros(len(truth))
    for c in frequent:
        weights[truth == c] = 1.0 / (len(frequent) * max(int((truth == c).sum()), 1))
    return weights


def _mean(right: np.ndarray, balance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (right * balance) @ weights / np.maximum(balance @ weights, 1e-12)


def attribute_inference(halves: tuple[TableEvidence, TableEvidence], limit: float, least: int) -> list[Finding]:
    """One finding over all sensitive columns and guesses; a column that cannot be judged is inconclusive.

    ``halves`` are the evidence and the same with holdout and reference exchanged; figures are averaged.
    """
    evidence = halves[0]
    names = [c.name for c in evidence.contract.columns if c.privacy is Privacy.SENSITIVE]
    names = [n for n in names if n in evidence.schema.names]
    if not names:
        return [Finding(id="leakage.inference", title="Attribute inference", verdict=Verdict.INFO, value=None,
                        method="not asked: the contract marks no column as sensitive",
                        remedy="mark sensitive columns (synthesis.privacy: sensitive) to have them attacked")]
    rng = generator(evidence.seed, "inference", "bootstrap")
    shared = st.entity_weights(evidence.entities["train"], st.DRAWS, rng)
    weights = [{"train": shared, "holdout": st.entity_weights(h.entities["holdout"], st.DRAWS, rng)} for h in halves]
    attacked = {}
    for name in names:
        sides = [_column(half, name, least, w) for half, w in zip(halves, weights, strict=True)]
        attacked[name] = [_Advantage(name, 0.5 * (a.value + b.value), 0.5 * (a.draws + b.draws))
                          for a, b in zip(*sides, strict=False)]
    skipped = [name for name, guesses in attacked.items() if not guesses]
    found = [guess for guesses in attacked.values() for guess in guesses]
    findings = [_finding(found, limit, sum(len(h.holdout) for h in halves))] if found else []
    if skipped:
        findings.append(Finding(
            id="leakage.inference.skipped", title="Sensitive columns that could not be attacked", value=None,
            verdict=Verdict.INCONCLUSIVE, n=len(skipped), detail={"columns": skipped},
            method=f"a column needs {least} holdout rows with a value and two states to guess",
            remedy="drop a constant or nearly empty sensitive column from the contract, or provide more rows"))
    return findings


def _column(evidence: TableEvidence, name: str, least: int, weights: dict[str, np.ndarray]) -> list[_Advantage]:
    """Advantage of two guesses (boosting, nearest rows) learned from synthetic rows; empty if not to be judged.

    The same guesses learned from reference rows are control variates: they know nobody in train or holdout,
    so what they explain is how hard a record is, and taking it out shrinks the error without a shift.
    """
    problem = Problem.fit(evidence.reference, evidence.schema, name, regression=evidence.schema[name].is_number,
                          k=evidence.contract.k, seed=evidence.seed)
    truth = {part: problem.answers(getattr(evidence, part)) for part in ("train", "holdout")}
    if len(evidence.schema.columns) < 2 or not problem.usable(truth["holdout"], least):
        return []
    if len(evidence.synthetic) < least or len(evidence.train) < least:
        return []
    states, counts = np.unique(truth["holdout"][np.isfinite(truth["holdout"])], return_counts=True)
    frequent = states[counts >= LEAST_CLASS]
    if not problem.regression and len(frequent) < 2:
        return []
    rng, seed = generator(evidence.seed, "inference", name), derive(evidence.seed, "inference", name)
    synthetic = evidence.synthetic.iloc[st.choose(np.arange(len(evidence.synthetic)), ROWS, rng)]
    models = [problem.train(table, "boosting", seed) for table in (synthetic, evidence.reference)]
    values = evidence.reference[name].to_numpy(float) if problem.regression else np.zeros(0)
    right, balance, used = {}, {}, {}
    for part, answers in truth.items():
        keep = np.isfinite(answers) if problem.regression else np.isin(answers, frequent)
        frame: pd.DataFrame = getattr(evidence, part)[keep]
        guesses = [model.predict(frame) for model in models]
        near = [_nearest_guess(problem, table, frame) for table in (synthetic, evidence.reference)]
        right[part] = np.column_stack([rightness(problem, g, answers[keep], values) for g in [*guesses, *near]])
        balance[part] = _balance(problem, answers[keep], frequent)
        used[part] = weights[part][keep]
    residual = _without_difficulty(right, balance)
    found = []
    for guess in range(2):
        mean = {p: _mean(residual[p][:, guess], balance[p], np.ones((len(balance[p]), 1)))[0] for p in truth}
        draws = {p: _mean(residual[p][:, guess], balance[p], used[p]) for p in truth}
        found.append(_Advantage(name, float(mean["train"] - mean["holdout"]), draws["train"] - draws["holdout"]))
    return found


def _without_difficulty(right: dict[str, np.ndarray], balance: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rightness of the two guesses less what reference guesses predict of it (weighted least squares)."""
    both = np.concatenate([right["train"], right["holdout"]])
    root = np.sqrt(np.concatenate([balance["train"], balance["holdout"]]))[:, None]
    controls = np.column_stack([np.ones(len(both)), both[:, 1], both[:, 3]])
    fitted, *_ = np.linalg.lstsq(controls * root, both[:, [0, 2]] * root, rcond=None)
    return {part: r[:, [0, 2]] - r[:, [1, 3]] @ fitted[1:] for part, r in right.items()}


def _nearest_guess(problem: Problem, table: pd.DataFrame, frame: pd.DataFrame) -> np.ndarray:
    """What the five nearest rows of a table (by all other columns) say: values, or shares of each class."""
    from sklearn.neighbors import NearestNeighbors

    answers = problem.answers(table)
    keep = np.isfinite(answers)
    search = NearestNeighbors(n_neighbors=min(5, int(keep.sum())), algorithm="brute")
    if not keep.any():
        return np.zeros(len(frame)) if problem.classes is None else np.zeros((len(frame), len(problem.classes) + 1))
    search.fit(problem.encoding.transform(table[keep]))
    near = answers[keep][search.kneighbors(problem.encoding.transform(frame), return_distance=False)]
    if problem.classes is None:
        return np.median(near, axis=1)
    return np.stack([(near == c).mean(axis=1) for c in range(len(problem.classes) + 1)], axis=1)


def _finding(found: list[_Advantage], limit: float, rows: int) -> Finding:
    """The worst guess; bounds hold for all columns and guesses at once."""
    values = np.array([a.value for a in found])
    lows, highs = st.simultaneous(values, np.array([a.draws for a in found]))
    worst = st.deciding(lows, highs, limit)
    error = st.standard_error(found[worst].draws)
    verdict = st.at_most(float(lows[worst]), float(highs[worst]), limit)
    shown, columns = [], list(dict.fromkeys(a.column for a in found))
    for name in columns:
        own = max((i for i, a in enumerate(found) if a.column == name), key=lambda i: highs[i])
        shown.append(pictures.interval_row(name, values[own], lows[own], highs[own], 0.0, limit))
    chances = []
    for name in columns:
        own_chances = [advantage_p(a.value, st.standard_error(a.draws)) for a in found if a.column == name]
        chances.append(min(1.0, len(own_chances) * min(own_chances)))
    rows_shown: list[list[str | float | None]] = [
        [name, st.number(alone), st.number(corrected)]
        for name, alone, corrected in zip(columns, chances, holm(chances), strict=True)]
    needed = st.rows_to_pass(rows, float(highs[worst] - values[worst]), error, limit)
    return Finding(
        id="leakage.inference", title="Guessing a sensitive column of training people better than of others",
        value=st.number(values[worst]), low=st.number(lows[worst]), high=st.number(highs[worst]), unit="share",
        floor=0.0, limit=limit, n=st.rounded(rows), verdict=verdict,
        power=f"an advantage of {st.detectable(error):.3f} at n = {st.rounded(rows):,} with 80 % power",
        method="learned from synthetic rows (boosting, and the five nearest rows): probability of the true class, "
               "classes weighted equally, or one minus the error in ranks; train minus untouched rows, guesses from "
               f"untouched rows as control variates; simultaneous bounds over {len(shown)} columns and two guesses",
        remedy=st.remedy(verdict, f"{found[worst].column!r} of training people can be guessed: use a smaller model, or "
                         "more rows", needed, rows, "untouched rows"),
        detail={"pictures": [
            pictures.intervals("Attribute inference, train over untouched rows", shown, "share"),
            pictures.table("Chance of such an advantage where nothing leaks, by column",
                           ["column", "p", "p, corrected for all columns (Holm)"], rows_shown)]})


def advantage_p(value: float, error: float) -> float:
    """One-sided chance of an advantage at least as large where there is none (normal)."""
    if not np.isfinite(error):
        return 1.0
    return float(1 - NormalDist().cdf(value / max(error, 1e-12)))


def holm(chances: list[float]) -> list[float]:
    """P-values corrected for their number: the k-th smallest of m times m - k + 1, never falling (Holm 1979)."""
    order, corrected, so_far = np.argsort(chances, kind="stable"), [0.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        so_far = max(so_far, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[int(place)] = so_far
    return corrected
