"""Protected columns: are groups as large as they were, and are gaps between them no wider than they were?

Bias amplification after Zhao et al. (2017) in its simplest form: the gap of a group is the total variation
between the target's distribution inside and outside the group (for two classes: the difference of their
rates, that is demographic parity); what is judged is how much the synthetic gap exceeds the real one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from synth.seeds import generator
from synth.tabular.evidence import PARTS, TableEvidence
from synth.tabular.schema import ColumnSchema
from validators import pictures
from validators import statistics as st
from validators.encode import cut_points, label_codes
from validators.finding import Finding, Verdict

GROUPS = 12  # groups of a column that are looked at
TARGET_STATES = 5  # bins of a numeric target
_RULE = ("a group so small that it could not pass without any fault decides only where its interval breaks the limit "
         "(fail), or its figure does and differs significantly from none (inconclusive)")


@dataclass(frozen=True)
class _Group:
    name: str
    share: tuple[float, float, float, float]  # ratio of shares: value, low, high, standard error
    gap: tuple[float, float] | None  # excess of the gap: value, standard error


def subgroups(evidence: TableEvidence, bias: float, representation: float, least: int) -> list[Finding]:
    """Findings for every protected column of the contract."""
    names = [c.name for c in evidence.contract.columns if c.protected and c.name in evidence.schema.names]
    findings: list[Finding] = []
    for name in names:
        findings += _column(evidence, evidence.schema[name], bias, representation, least)
    return findings


def _codes(values: pd.Series, reference: pd.Series, column: ColumnSchema, states: int) -> tuple[np.ndarray, list[str]]:
    """States of a column and their names: vocabulary labels, or quarters (names without edges)."""
    if column.is_number:
        edges = cut_points(reference.to_numpy(float), states)
        numbers = values.to_numpy(float)
        codes = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))
        return codes, [f"part {i + 1} of {len(edges) + 1}" for i in range(len(edges) + 1)]
    shown = list(column.values)[:GROUPS] if column.values else []
    codes = label_codes(values, {v: i for i, v in enumerate(shown)})
    return np.where(codes < len(shown), codes, -1), shown


def _column(evidence: TableEvidence, column: ColumnSchema, bias: float, representation: float,
            least: int) -> list[Finding]:
    real = pd.concat([getattr(evidence, p) for p in PARTS], ignore_index=True)
    offset = 0
    entities = []
    for part in PARTS:  # parts are disjoint by entity, but their codes need not be
        codes = np.unique(evidence.entities[part], return_inverse=True)[1] + offset
        offset = int(codes.max(initial=offset)) + 1
        entities.append(codes)
    people = np.concatenate(entities)
    if len(real) < least or len(evidence.synthetic) < least:
        return [Finding(id=f"downstream.groups.{column.name}", title=f"Groups of {column.name}", value=None,
                        verdict=Verdict.INCONCLUSIVE, remedy=f"provide at least {least} rows",
                        n=st.rounded(len(real)))]
    group, labels = _codes(real[column.name], evidence.reference[column.name], column, 4)
    other, _ = _codes(evidence.synthetic[column.name], evidence.reference[column.name], column, 4)
    target = evidence.contract.target
    answers = None
    if target in evidence.schema.names and target != column.name:
        shape = evidence.schema[str(target)]
        answers = tuple(_codes(f[target], evidence.reference[target], shape, TARGET_STATES)[0]
                        for f in (real, evidence.synthetic))
    rng = generator(evidence.seed, "subgroups", column.name)
    weights = st.entity_weights(people, 200, rng)
    others = st.entity_weights(np.arange(len(evidence.synthetic)), 200, rng)
    found = []
    for code, label in enumerate(labels):
        if len(np.unique(people[group == code])) < max(evidence.contract.k, 30):
            continue  # suppressed: too small to say anything about, and to be named
        found.append(_group(label, group == code, other == code, answers, weights, others))
    if not found:
        return []
    findings = [_representation(column, found, representation, len(real))]
    if answers is not None:
        findings.append(_bias(column, found, bias, len(real)))
    return findings


def _group(label: str, real: np.ndarray, synthetic: np.ndarray, answers: tuple[np.ndarray, ...] | None,
           weights: np.ndarray, others: np.ndarray) -> _Group:
    ratio = float(synthetic.mean()) / float(real.mean())
    share = (synthetic @ others / len(synthetic)) / np.maximum(real @ weights / weights.sum(axis=0), 1e-9)
    error = st.standard_error(share)
    step = st.quantile(0.95) * error
    gap = None
    if answers is not None and 30 <= synthetic.sum() <= len(synthetic) - 30:
        value = float(_gap(synthetic, answers[1], None)[0] - _gap(real, answers[0], None)[0])
        draws = _gap(synthetic, answers[1], others) - _gap(real, answers[0], weights)
        gap = (value, st.standard_error(draws))
    return _Group(label, (ratio, ratio - step, ratio + step, error), gap)


def _gap(inside: np.ndarray, answers: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Total variation of the answers inside and outside a group: (draws,)."""
    weights = np.ones((len(inside), 1), np.float32) if weights is None else weights
    states = np.arange(-1, max(int(answers.max(initial=0)) + 1, 1))
    first = np.array([weights[inside & (answers == s)].sum(axis=0) for s in states])
    second = np.array([weights[~inside & (answers == s)].sum(axis=0) for s in states])
    return st.total_variation(first, second)


def _representation(column: ColumnSchema, groups: list[_Group], limit: float, rows: int) -> Finding:
    """Shares: two-sided intervals, within the limit and its inverse."""
    factor = st.quantile(1 - 0.05 / (2 * len(groups)))
    outcomes = []
    for g in groups:
        value, error = g.share[0], g.share[3]
        inside = limit <= value - factor * error and value + factor * error <= 1 / limit
        outside = value + factor * error < limit or value - factor * error > 1 / limit
        odd = abs(value - 1) > factor * error and not limit <= value <= 1 / limit
        outcomes.append(_outcome(inside, outside, factor * error <= 1 - limit, odd))
    verdict = _together(outcomes)
    shown = [i for i, outcome in enumerate(outcomes) if outcome is verdict] or list(range(len(groups)))
    worst = min((groups[i] for i in shown), key=lambda g: min(g.share[0], 1 / max(g.share[0], 1e-9)))
    value, _, _, error = worst.share
    error_of_best = min(g.share[3] for g in groups)
    drawn = [pictures.interval_row(g.name, g.share[0], g.share[0] - factor * g.share[3],
                                   g.share[0] + factor * g.share[3], 1.0, limit) for g in groups]
    return Finding(
        id=f"downstream.representation.{column.name}", title=f"Share of each group of {column.name}",
        value=st.number(value), low=st.number(value - factor * error), high=st.number(value + factor * error),
        unit="ratio", floor=1.0, limit=limit, direction="at least", n=st.rounded(rows), verdict=verdict,
        method="synthetic over real share of each group, Bonferroni over groups; the interval must lie within the "
               f"limit and its inverse; {_RULE}",
        power=_judged(outcomes),
        remedy=_more(verdict, f"the share of {worst.name!r} is furthest off: generate with --balance {column.name}",
                     outcomes, rows, factor, error, error_of_best, 1 - limit),
        detail={"pictures": [pictures.intervals(f"Representation of {column.name}", drawn, "ratio")]})


def _bias(column: ColumnSchema, groups: list[_Group], limit: float, rows: int) -> Finding:
    """Gaps: one-sided intervals, at most the limit."""
    judged = [(g, g.gap) for g in groups if g.gap is not None]
    title = f"Bias amplification by {column.name}"
    if not judged:  # every group, or all but it, has fewer than 30 synthetic rows: their shares are judged
        return Finding(id=f"downstream.bias.{column.name}", title=title, value=None, verdict=Verdict.INFO,
                       remedy="no group has 30 synthetic rows in it and 30 outside it", n=st.rounded(rows))
    factor = st.quantile(1 - 0.05 / len(judged))
    outcomes = [_outcome(value + factor * error <= limit, value - factor * error > limit, factor * error <= limit,
                         value > max(limit, factor * error)) for _, (value, error) in judged]
    verdict = _together(outcomes)
    shown = [i for i, outcome in enumerate(outcomes) if outcome is verdict] or list(range(len(judged)))
    worst, (value, error) = max((judged[i] for i in shown), key=lambda item: item[1][0])
    error_of_best = min(e for _, (_, e) in judged)
    drawn = [pictures.interval_row(g.name, v, v - factor * e, v + factor * e, 0.0, limit) for g, (v, e) in judged]
    return Finding(
        id=f"downstream.bias.{column.name}", title=title, value=st.number(value),
        low=st.number(value - factor * error), high=st.number(value + factor * error), unit="share", floor=0.0,
        limit=limit, n=st.rounded(rows), verdict=verdict,
        method=f"gap of the target between a group and the rest, synthetic minus real, Bonferroni over groups; {_RULE}",
        power=f"a gap {st.detectable(error):.3f} wider in {worst.name!r} with 80 % power; {_judged(outcomes)}",
        remedy=_more(verdict, f"the synthetic table widens the gap of {worst.name!r}: balance it, or state it to users",
                     outcomes, rows, factor, error, error_of_best, limit),
        detail={"pictures": [pictures.intervals(f"Gap of the target beyond the real one, by {column.name}", drawn,
                                                "share")]})


def _outcome(inside: bool, outside: bool, large: bool, odd: bool) -> Verdict:
    """Of one group. ``large``: without fault its interval would keep the limit; ``odd``: suspicious, not yet sure."""
    if inside:
        return Verdict.PASS
    if outside:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if large or odd else Verdict.INFO


def _together(outcomes: list[Verdict]) -> Verdict:
    """Fail or inconclusive if any group is, or if none could be judged; else pass."""
    for kind in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if kind in outcomes:
            return kind
    return Verdict.PASS if Verdict.PASS in outcomes else Verdict.INCONCLUSIVE


def _judged(outcomes: list[Verdict]) -> str:
    large = sum(o is not Verdict.INFO for o in outcomes)
    return f"{large} of {len(outcomes)} groups are large enough to decide"


def _more(verdict: Verdict, advice: str, outcomes: list[Verdict], rows: int, factor: float, error: float, best: float,
          room: float) -> str:
    """The remedy: for the group shown, or for the largest where none could be judged."""
    error = error if Verdict.INCONCLUSIVE in outcomes else best
    return st.remedy(verdict, advice, st.rows_to_pass(rows, factor * error, error, room), rows, "real rows")
