"""Leakage: can anybody learn from the synthetic table who was trained on, or what they are?

Upper bounds decide: a release passes if attacks at the stated power are bounded, never because none
succeeded. What passes is worded "no leakage found by these attacks at this power", not "safe".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from synth.seeds import derive, generator
from synth.tabular.evidence import TableEvidence
from validators import pictures
from validators import statistics as st
from validators.attacks import ATTACKS, View
from validators.copies import copies
from validators.diversity import neighbour_distances
from validators.encode import Encoding, Features
from validators.finding import Finding, GateResult, Verdict
from validators.inference import attribute_inference
from validators.nearness import nearness

TITLE = "Leakage"
QUESTION = "Can anybody learn from the synthetic table who was trained on, or a secret about them?"
ROWS = 10_000  # synthetic rows and members that attacks work with
MEMBERS_PER_OTHER = 3  # more members than others only sharpens the bounds
ISOLATION_NEIGHBOURS = 5
FPR = 0.01
NOT_TESTED = (
    "attacks outside this panel, among them shadow models (many trainings): a pass means that no leakage was found by "
    "these attacks at this power, not that there is none",
    "attacks on the model file or the critic, which are not published",
    "singling out and linkage with outside registers",
    "copies of rows that two or more people share, and copies in disguise (one column changed by more than a bin, or "
    "values transformed)",
    "copies of rows that chance hits often (all cells common): a share up to the excess named in the method passes",
    "sensitive values that fewer than 30 untouched rows have",
    "differences between trainings: one model was judged, not the method that made it",
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on what attacks may reach.

    * auc .55, tpr .03 (at 1 % false positives): upper 95 % bounds over the whole panel; proposed in the project's
      review of privacy practice, above the noise of leak-free tables and far below what copying shows.
    * isolated_auc .60: the same for the most isolated people.
    * isolated_share: the most isolated 10 % (a larger share where that is fewer than ``isolated_minimum``
      holdout rows, at most 30 %).
    * copies, distance: one-sided significance below which copies, or nearness to train, stop a release.
    * copies_excess .01, near_excess .02: what the share of single rows hit may exceed the holdout's by, however
      significant, and never more than half of the holdout's share: 0 in a table where chance makes no copies.
      Measured: a generator that fits well, on a table of many spikes, hits .055 against .046 (near: .067, .054).
      Rare rows, judged once more, leave no such room: the same generator hits .002 against .002 of them.
    * distance_excess .02: the share of synthetic rows nearer to train must be surely above .52, not .50. Measured
      (``tests/benchmarks/nearness.py``): where copies or smoothed training rows bring the membership attacks to their
      own limit of .55, the share is .52 (copies) to .535 (smoothers); fresh rows are at .49 to .51.
    * inference .03: advantage on a sensitive column, train over holdout, upper bound.
    * ties: share of tied distances above which the distance test says nothing (20 %).
    * minimum_rows: holdout rows needed for any membership figure.
    """

    auc: float = field(default=0.55, metadata={"direction": "at most", "range": (0.5, 1)})
    tpr: float = field(default=0.03, metadata={"direction": "at most", "range": (0.01, 1)})
    isolated_auc: float = field(default=0.60, metadata={"direction": "at most", "range": (0.5, 1)})
    isolated_share: float = field(default=0.10, metadata={"direction": "at most", "range": (0.01, 0.5)})
    isolated_minimum: float = field(default=200, metadata={"direction": "at least", "range": (20, 1e9)})
    copies: float = field(default=0.01, metadata={"direction": "at least", "range": (1e-9, 0.5)})
    copies_excess: float = field(default=0.01, metadata={"direction": "at most", "range": (0, 1)})
    near_excess: float = field(default=0.02, metadata={"direction": "at most", "range": (0, 1)})
    distance: float = field(default=0.01, metadata={"direction": "at least", "range": (1e-9, 0.5)})
    distance_excess: float = field(default=0.02, metadata={"direction": "at most", "range": (0, 0.5)})
    inference: float = field(default=0.03, metadata={"direction": "at most", "range": (0, 1)})
    ties: float = field(default=0.20, metadata={"direction": "at most", "range": (0, 1)})
    minimum_rows: float = field(default=300, metadata={"direction": "at least", "range": (20, 1e9)})


@dataclass(frozen=True)
class Half:
    """Scores of every attack on members (train) and others, a column a person, with bootstrap weights."""

    members: np.ndarray  # (attacks, members)
    others: np.ndarray  # (attacks, others)
    member_weights: np.ndarray  # (members, draws): the same draws in both halves
    other_weights: np.ndarray
    names: tuple[str, ...]  # of the attacks

    def part(self, members: np.ndarray, others: np.ndarray) -> Half:
        """The scores of some of the people."""
        return Half(self.members[:, members], self.others[:, others], self.member_weights[members],
                    self.other_weights[others], self.names)


def run(evidence: TableEvidence, limits: Limits) -> GateResult:
    """Judge copies, distances, membership and attribute inference."""
    start = time.monotonic()
    size = min(st.fewest(evidence), len(np.unique(evidence.entities["train"])))
    if size == 0 or not evidence.schema.columns:
        findings: list[Finding] = [_nobody(limits)]
    else:
        findings = copies(evidence, limits.copies, limits.copies_excess, limits.near_excess)
        findings += _membership(evidence, limits) if size >= limits.minimum_rows else [_nobody(limits, size)]
        findings += attribute_inference((evidence, swapped(evidence)), limits.inference, int(limits.minimum_rows))
    return GateResult(gate="leakage", title=TITLE, question=QUESTION, findings=tuple(findings),
                      not_tested=not_tested(evidence), seconds=time.monotonic() - start)


def not_tested(evidence: TableEvidence) -> tuple[str, ...]:
    """What the gate is blind to, for this table."""
    rows = evidence.total("synthetic")
    if rows <= ROWS:
        return NOT_TESTED
    return (*NOT_TESTED, f"attackers with all {rows:,} synthetic rows: membership, distance and inference used "
                         f"{ROWS:,} of them (exact copies were looked for in all)")


def _nobody(limits: Limits, rows: int = 0) -> Finding:
    return Finding(id="leakage.membership", title="Membership inference", verdict=Verdict.INCONCLUSIVE, value=None,
                   n=st.rounded(rows), limit=limits.minimum_rows, direction="at least", unit="rows",
                   power=f"nothing can be said below {limits.minimum_rows:,.0f} rows of each part",
                   remedy=f"provide enough entities for {limits.minimum_rows:,.0f} holdout and reference rows")


@dataclass(frozen=True)
class _Views:
    members: View
    others: View
    reference: View
    synthetic: View
    member_entities: np.ndarray
    other_entities: np.ndarray


def _views(evidence: TableEvidence) -> _Views:
    encoding = Encoding.fit(evidence.reference, evidence.schema, evidence.seed)
    features = Features.fit(evidence.reference, evidence.schema)

    def view(frame: pd.DataFrame) -> View:
        return View(encoding.transform(frame), features.transform(frame), features.categorical)

    rng = generator(evidence.seed, "leakage", "rows")
    fewer = min(len(evidence.holdout), len(evidence.reference))
    members = st.choose(evidence.entities["train"], min(ROWS, MEMBERS_PER_OTHER * fewer), rng)
    synthetic = st.choose(np.arange(len(evidence.synthetic)), ROWS, rng)
    others = st.choose(evidence.entities["holdout"], ROWS // 2, rng)
    reference = st.choose(evidence.entities["reference"], ROWS // 2, rng)
    return _Views(view(evidence.train.iloc[members]), view(evidence.holdout.iloc[others]),
                  view(evidence.reference.iloc[reference]), view(evidence.synthetic.iloc[synthetic]),
                  evidence.entities["train"][members], evidence.entities["holdout"][others])


def swapped(evidence: TableEvidence) -> TableEvidence:
    """The same evidence with holdout and reference in each other's place.

    Neither part was trained on, so each can fit the attacks while the other lends the non-members; both ways
    together have twice the non-members and much narrower bounds.
    """
    entities = {**evidence.entities, "holdout": evidence.entities["reference"],
                "reference": evidence.entities["holdout"]}
    return replace(evidence, holdout=evidence.reference, reference=evidence.holdout, entities=entities)


def by_person(scores: np.ndarray, entities: np.ndarray, repeated: bool) -> list[np.ndarray]:
    """What an attacker who holds all rows of a person makes of them: one score a person, in the order of codes.

    With ``repeated`` people two readings of the rows' scores: their mean (as likelihood ratios add up) and the
    highest (one copied row is enough).
    """
    people, inverse, counts = np.unique(entities, return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, weights=scores, minlength=len(people)) / np.maximum(counts, 1)
    if not repeated:
        return [mean]
    highest = np.full(len(people), -np.inf)
    np.maximum.at(highest, inverse, scores)
    return [mean, highest]


def _membership(evidence: TableEvidence, limits: Limits) -> list[Finding]:
    halves, isolated, share = [], [], 0.0
    rng = generator(evidence.seed, "leakage", "bootstrap")
    sides = [_views(evidence), _views(swapped(evidence))]
    repeated = any(len(np.unique(e)) < len(e) for e in (sides[0].member_entities, *(s.other_entities for s in sides)))
    readings = ("", ", best row") if repeated else ("",)
    names = tuple(name + reading for name in ATTACKS for reading in readings)
    member_weights = st.entity_weights(np.unique(sides[0].member_entities), st.DRAWS, rng)
    for views in sides:
        members, others = [], []
        for name, make in ATTACKS.items():
            attack = make(derive(evidence.seed, "leakage", name)).fit(views.reference, views.synthetic)
            members += by_person(attack.score(views.members), views.member_entities, repeated)
            others += by_person(attack.score(views.others), views.other_entities, repeated)
        half = Half(np.array(members), np.array(others), member_weights,
                    st.entity_weights(np.unique(views.other_entities), st.DRAWS, rng), names)
        far_members, far_others, share = _isolated(views, limits)
        halves.append(half)
        isolated.append(half.part(far_members, far_others))
    first = sides[0]
    return [nearness(first.members, first.others, first.synthetic, first.member_entities, first.other_entities,
                     significance=limits.distance, margin=limits.distance_excess, ties=limits.ties,
                     seed=evidence.seed),
            worst_attack(halves, "auc", "leakage.membership.auc", "Membership inference, worst attack", limits.auc),
            worst_attack(halves, "tpr", "leakage.membership.tpr",
                         "Members found at 1 % false positives, worst attack", limits.tpr),
            worst_attack(isolated, "auc", "leakage.isolated.auc",
                         f"Membership inference on the most isolated {100 * share:.0f} %, worst attack",
                         limits.isolated_auc)]


def _isolated(views: _Views, limits: Limits) -> tuple[np.ndarray, np.ndarray, float]:
    """People furthest from the reference part (by their furthest row): masks over members and others; the share."""
    distances = []
    for view, entities in ((views.members, views.member_entities), (views.others, views.other_entities)):
        rows = neighbour_distances(views.reference.points, view.points, ISOLATION_NEIGHBOURS)[:, -1]
        distances.append(by_person(rows, entities, True)[1])
    share = max(limits.isolated_share, min(0.3, limits.isolated_minimum / max(len(distances[1]), 1)))
    edge = np.quantile(np.concatenate(distances), 1 - share)
    return distances[0] >= edge, distances[1] >= edge, share


def worst_attack(halves: list[Half], kind: str, identity: str, title: str, limit: float) -> Finding:
    """The attack with the highest upper bound; bounds hold for the whole panel at once."""
    values, draws = [], []
    for number in range(len(halves[0].names)):
        point, sampled = [], []
        for half in halves:
            scores = half.members[number], half.others[number]
            weights = half.member_weights, half.other_weights
            if kind == "auc":
                point.append(float(st.auc(*scores)))
                sampled.append(st.auc(*scores, *weights))
            else:
                point.append(float(st.tpr_at_fpr(*scores, FPR)))
                sampled.append(st.tpr_at_fpr(*scores, FPR, *weights))
        values.append(np.mean(point))
        draws.append(np.mean(sampled, axis=0))
    found, drawn = np.array(values), np.array(draws)
    rows = sum(half.others.shape[1] for half in halves)
    chance, unit = (0.5, "AUC") if kind == "auc" else (FPR, "share")
    if drawn.ndim != 2 or not np.isfinite(drawn).all():
        return Finding(id=identity, title=title, verdict=Verdict.INCONCLUSIVE, value=None, n=st.rounded(rows),
                       limit=limit, remedy="more holdout, reference and train entities are needed")
    names = halves[0].names
    lows, highs = st.simultaneous(found, drawn)
    worst = st.deciding(lows, highs, limit)
    error = max(st.standard_error(row) for row in drawn)
    # of a leak-free table the highest of several figures around chance decides
    needed = st.rows_to_pass(rows, float((highs - found).max()), error, limit - chance, power=0.99)
    verdict = st.at_most(float(lows[worst]), float(highs[worst]), limit)
    shown = [pictures.interval_row(name, v, lo, hi, chance, limit)
             for name, v, lo, hi in zip(names, found, lows, highs, strict=True)]
    return Finding(
        id=identity, title=title, value=st.number(found[worst]), low=st.number(lows[worst]),
        high=st.number(highs[worst]), unit=unit, floor=chance, limit=limit, n=st.rounded(rows), verdict=verdict,
        method=f"{len(names)} attacks, a person's rows taken together, fitted on synthetic rows and one untouched "
               "part; members from train, others from the other untouched part, both ways averaged; simultaneous 95 % "
               "upper bounds (max-statistic entity bootstrap); the worst decides",
        power=f"{'an AUC' if kind == 'auc' else 'a share'} of {chance + st.detectable(error):.3f} at "
              f"{st.rounded(rows):,} others with 80 % power",
        remedy=st.remedy(verdict, f"{names[worst]!r} recognises training rows: train shorter, use more rows or a "
                         "smaller model", needed, rows, "such untouched rows"),
        detail={"worst": names[worst],
                "pictures": [pictures.intervals(title.replace(", worst attack", ", by attack"), shown, unit)]})
