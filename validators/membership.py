"""Membership inference by person, for every domain: scores of attacks, taken together by person, and what decides.

A domain brings its two sides (holdout and reference take turns at being the others and what the attacker knows) and
what its attacks make of a side; here all records of a person become one score, people are drawn again by bootstrap, and
the attack with the highest bound over the whole panel is the finding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from synth.seeds import derive
from validators import pictures
from validators import statistics as st
from validators.attacks import ATTACKS, View
from validators.finding import Finding, Verdict

FPR = 0.01
Scores = list[tuple[str, np.ndarray, np.ndarray]]  # attack, one score a member's record, one an other's
Turn = TypeVar("Turn")


class Records(Protocol):
    """Images or scenes: whose each one is."""

    @property
    def entities(self) -> Any:
        """Code of the entity of each record."""


R = TypeVar("R", bound=Records)


@dataclass(frozen=True, eq=False)
class Side(Generic[R]):
    """Members, others, and what the attacker has: records of an untouched part and the synthetic ones."""

    members: R
    others: R
    known: R
    synthetic: R

    @property
    def people(self) -> tuple[np.ndarray, np.ndarray]:
        """Entities of the members' and of the others' records."""
        return self.members.entities, self.others.entities


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


def by_person(scores: np.ndarray, entities: np.ndarray, repeated: bool) -> list[np.ndarray]:
    """What an attacker who holds all records of a person makes of them: one score a person, in the order of codes.

    With ``repeated`` people two readings of the records' scores: their mean (as likelihood ratios add up) and the
    highest (one copied record is enough).
    """
    people, inverse, counts = np.unique(entities, return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, weights=scores, minlength=len(people)) / np.maximum(counts, 1)
    if not repeated:
        return [mean]
    highest = np.full(len(people), -np.inf)
    np.maximum.at(highest, inverse, scores)
    return [mean, highest]


def attacked(known: View, synthetic: View, members: View, others: View, seed: int, stream: str, suffix: str = ""
             ) -> Scores:
    """Scores of the whole panel, fitted on what the attacker has; ``stream`` names its seeds, ``suffix`` the view."""
    found: Scores = []
    for name, make in ATTACKS.items():
        attack = make(derive(seed, stream, name)).fit(known, synthetic)
        found.append((f"{name}{suffix}", attack.score(members), attack.score(others)))
    return found


def halves(sides: Sequence[Turn], score: Callable[[Turn], Scores], rng: np.random.Generator, *,
           people: Callable[[Turn], tuple[np.ndarray, np.ndarray]], readings: tuple[str, str],
           together: bool = True) -> list[Half]:
    """Scores by person with bootstrap weights, one half a side; members are the same in all of them.

    ``people`` gives the entities of a side's members and others, ``readings`` what to add to an attack's name for the
    mean and the best record of a person. Without ``together`` each record stays by itself and only the bootstrap goes
    by entity.
    """
    entities = [people(side) for side in sides]
    repeated = together and any(len(np.unique(e)) < len(e) for both in entities for e in both)

    def weights(codes: np.ndarray) -> np.ndarray:
        return st.entity_weights(np.unique(codes) if together else codes, st.DRAWS, rng)

    member_weights, found = weights(entities[0][0]), []
    for side, (of_members, of_others) in zip(sides, entities, strict=True):
        names: list[str] = []
        members: list[np.ndarray] = []
        others: list[np.ndarray] = []
        for attack, member_scores, other_scores in score(side):
            names += [attack + reading for reading in readings] if repeated else [attack]
            members += by_person(member_scores, of_members, repeated) if together else [member_scores]
            others += by_person(other_scores, of_others, repeated) if together else [other_scores]
        found.append(Half(np.array(members), np.array(others), member_weights, weights(of_others), tuple(names)))
    return found


def worst_attack(halves: Sequence[Half], kind: str, identity: str, title: str, limit: float) -> Finding:
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


def verdicts(panel: Sequence[Half], who: str, auc: float, tpr: float, method: str) -> list[Finding]:
    """The worst attack's AUC and the share of entities (``who``) found at 1 % false positives."""
    found = [worst_attack(panel, "auc", "leakage.membership.auc", "Membership inference, worst attack", auc),
             worst_attack(panel, "tpr", "leakage.membership.tpr",
                          f"{who} found at 1 % false positives, worst attack", tpr)]
    return [replace(f, method=method) for f in found]


def stolen(halves: Sequence[Half] | None, limit: float, *, title: str, missing: str, method: str, advice: str,
           people: str) -> Finding:
    """What the private part of a model would give away if somebody had it (white box; Hayes et al., LOGAN, 2019).

    ``halves`` are of its own scores, or None where nothing was kept (``missing`` says so).
    """
    identity = "leakage.membership.critic"
    if halves is None:
        return Finding(id=identity, title=title, verdict=Verdict.INFO, value=None, method=missing)
    found = worst_attack(halves, "auc", identity, title, limit)
    return replace(found, method=method, remedy=st.remedy(found.verdict, advice, None, 1, people))
