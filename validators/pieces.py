"""Copies: do synthetic records stand as near to single training people as only a copy would?

All real people are dealt into pieces of one size: several of train, one each of holdout and reference. If nothing
leaks the pieces are exchangeable: a synthetic record is nearer to its nearest person in one piece than to anybody in
all others, by a given factor, as often in a piece of train as in the other two. Copies are nearer in train only. The
factor is calibrated on holdout and reference, and what the detectors would have found is measured on planted copies.

Images and scenes are judged by the same code: a :class:`Subject` says what is compared and how it is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.seeds import generator
from validators import pictures
from validators import statistics as st
from validators.finding import Finding, Verdict

TAIL = 0.001  # share of synthetic records that stand so near a piece of holdout or reference by chance
WIDE = 0.02  # share from which the shape of the tail is learned
STRATUM = 200  # synthetic records of a class, from which on the class has a threshold of its own
PLANTED = 200  # copies of each kind: a share near .5 is known to .03
REAL, SYNTHETIC = 8_000, 3_000  # records compared at most
FALSE_ALARM = 0.01  # chance of one unmistakable copy in a set without any
CONTROLS = 2  # pieces of untouched people: holdout and reference


class Part(Protocol):
    """Records of people: images, scenes."""

    @property
    def entities(self) -> NDArray[np.int64]:
        """One a record."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a record."""

    def __len__(self) -> int:
        """Number of records."""

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Any:
        """The records at ``rows``."""


class Detector(Protocol):
    """Says how near records are to others."""

    @property
    def name(self) -> str:
        """Short, for ids."""

    @property
    def title(self) -> str:
        """For a reader."""

    def nearest(self, queries: Any, pieces: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Distances [n, pieces] to the nearest record of each piece, and which it is."""


@dataclass(frozen=True)
class Subject:
    """What is compared, how copies of it are disguised, and how it is called."""

    record: str
    records: str
    person: str
    people: str
    kinds: tuple[str, ...]  # disguises of planted copies
    disguises: str  # the same in words
    content: Callable[[Any], Any]  # of a part: what detectors are given
    planted: Callable[[Sequence[Any], str, np.random.Generator], Any]  # copies of parts of one record each
    unseen: str  # what to do where planted copies are not found


@dataclass(frozen=True)
class Pieces:
    """Equal pieces of real people: those of train, then holdout and reference."""

    parts: tuple[Any, ...]
    share: float  # of the training people that are in a piece

    @property
    def train(self) -> int:
        """Number of pieces of train."""
        return len(self.parts) - CONTROLS

    @property
    def people(self) -> int:
        """People of a piece."""
        return len(np.unique(self.parts[-1].entities))


def pieces(parts: Mapping[str, Part], seed: int, most: int = REAL) -> Pieces:
    """Deal train into as few pieces as are no larger than holdout and reference, by entity.

    ``parts`` has train, holdout and reference; at most ``most`` records are dealt.
    """
    rng = generator(seed, "copies", "pieces")
    people = {p: rng.permutation(np.unique(parts[p].entities)) for p in ("train", "holdout", "reference")}
    records = sum(len(parts[p]) for p in people)
    every = sum(map(len, people.values()))
    smallest = max(min(len(people["holdout"]), len(people["reference"])), 1)
    count = max(math.ceil(len(people["train"]) / smallest), 1)
    size = len(people["train"]) // count
    per_person = records / max(every, 1)
    size = min(size, max(int(most / max(per_person, 1e-9) / (count + CONTROLS)), 1))
    groups = [("train", people["train"][i * size : (i + 1) * size]) for i in range(count)]
    groups += [(p, people[p][:size]) for p in ("holdout", "reference")]
    dealt = tuple(parts[p].take(np.isin(parts[p].entities, who)) for p, who in groups)
    return Pieces(dealt, count * size / max(len(people["train"]), 1))


@dataclass(frozen=True)
class Nearness:
    """Of every query: how much nearer it is to each piece than to all others, and to whom.

    ``ratio`` float64 [n, pieces]: distance to the piece over the smallest distance to any other piece; ``owner``
    int64 [n, pieces]: place of the nearest person among all people of all pieces.
    """

    ratio: np.ndarray
    owner: np.ndarray

    @classmethod
    def of(cls, detector: Detector, dealt: Pieces, queries: Any, subject: Subject) -> Nearness:
        """By one detector."""
        distance, index = detector.nearest(queries, [subject.content(part) for part in dealt.parts])
        ratio, owner = np.empty_like(distance), np.empty_like(index)
        before = 0
        for number, part in enumerate(dealt.parts):
            others = np.delete(distance, number, axis=1).min(axis=1)
            ratio[:, number] = np.where(others > 0, distance[:, number] / np.maximum(others, 1e-12), 1.0)
            people, inverse = np.unique(part.entities, return_inverse=True)
            owner[:, number] = before + inverse[index[:, number]]
            before += len(people)
        return cls(ratio, owner)


@dataclass(frozen=True)
class Scale:
    """The ratio below which each class counts as very near, learned from holdout and reference pieces."""

    wide: dict[str, float]  # by class; "" for all others
    tail: float  # in units of ``wide``: the ratio that about TAIL stay under
    unmistakable: float  # in units of ``wide``: the ratio that not one record in a hundred sets goes below

    @classmethod
    def fit(cls, near: Nearness, labels: Sequence[str], train_pieces: int) -> Scale:
        """Quantiles by class, and an exponential tail of the logarithms beyond them (Hill 1975)."""
        controls = near.ratio[:, train_pieces:]
        names, counts = np.unique(np.asarray(labels), return_counts=True)
        # above one a record would be near to all pieces at once (a set of nothing but copies has such quantiles)
        wide = {"": min(float(np.quantile(controls, WIDE)), 1.0)}
        wide |= {str(n): min(float(np.quantile(controls[np.asarray(labels) == n], WIDE)), 1.0)
                 for n, c in zip(names, counts, strict=True) if c >= STRATUM}
        scaled = cls(wide, 1.0, 1.0).scaled(controls, labels)
        beyond = scaled[scaled < 1]
        beyond = np.maximum(beyond, 1e-6)
        slope = heavy = 1.0
        if len(beyond) >= 5:
            slope = max(1 / float(-np.log(beyond).mean()), 0.5)
            heavy = max(slope * (1 - 1.645 / math.sqrt(len(beyond))), 0.5)  # the end of its interval that accuses less
        elif wide[""] >= 1:
            # Hardly a record is nearest to a control, of which, with nothing leaked, one in the number of pieces is.
            # There is no tail to learn from, and none is needed: who is nearest says enough.
            return cls(wide, 1.0, 0.0)
        expected = max(train_pieces * len(labels) * WIDE, 1e-9)  # training records that come within ``wide`` by chance
        return cls(wide, (TAIL / WIDE) ** (1 / slope), min((FALSE_ALARM / expected) ** (1 / heavy), 1.0))

    def scaled(self, ratio: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        """Ratios in units of their class's."""
        units = np.array([max(self.wide.get(label, self.wide[""]), 1e-9) for label in labels])
        return np.asarray(ratio / units[:, None])


@dataclass(frozen=True)
class Found:
    """What one detector says of a synthetic set."""

    detector: Detector
    excess: float  # share of records very near train, over what holdout and reference predict
    error: float
    certain: int  # records nearer to a training person than chance ever brings them
    limit_ratio: float  # typical ratio that counts as very near
    sensitivity: dict[str, float]  # share of planted copies found, by kind
    caught: dict[str, np.ndarray]  # bool [PLANTED], by kind
    certain_share: float  # of planted copies that count as unmistakable


def search(detector: Detector, dealt: Pieces, synthetic: Part, labels: Sequence[str], target: str | None, seed: int,
           subject: Subject) -> Found:
    """Look for copies among ``synthetic`` and among planted ones."""
    near = Nearness.of(detector, dealt, subject.content(synthetic), subject)
    scale = Scale.fit(near, labels, dealt.train)
    scaled = scale.scaled(near.ratio, labels)
    hit = scaled < scale.tail
    worth = np.r_[np.ones(dealt.train), np.full(CONTROLS, -dealt.train / CONTROLS)]
    excess = float((hit * worth).sum() / len(hit))
    # records near the same person are one piece of evidence
    clusters = np.bincount(near.owner[hit], weights=np.broadcast_to(worth, hit.shape)[hit])
    expected = len(hit) * TAIL * dealt.train * (1 + dealt.train / CONTROLS)  # variance of the sum without copies
    error = math.sqrt(max(float((clusters**2).sum()), expected)) / len(hit)
    certain = int((scaled[:, : dealt.train] < scale.unmistakable).any(axis=1).sum())
    caught, sure = {}, []
    for kind in subject.kinds:
        rng = generator(seed, "copies", "planted", kind)  # the same copies for every detector
        piece = rng.integers(0, dealt.train, PLANTED)
        rows = [int(rng.integers(0, len(dealt.parts[p]))) for p in piece]
        whole = [dealt.parts[p].take(np.array([r])) for p, r in zip(piece, rows, strict=True)]
        names = ["" if target is None else str(dealt.parts[p].table[target].iloc[r])
                 for p, r in zip(piece, rows, strict=True)]
        copies = Nearness.of(detector, dealt, subject.planted(whole, kind, rng), subject)
        own = scale.scaled(copies.ratio, names)[np.arange(PLANTED), piece]
        caught[kind] = own < scale.tail
        sure.append(own < scale.unmistakable)
    return Found(detector, excess, error, certain, scale.tail * scale.wide[""],
                 {k: float(c.mean()) for k, c in caught.items()}, caught, float(np.mean(sure)))


def copies(synthetic: Part, dealt: Pieces, detectors: Sequence[Detector], subject: Subject, *, target: str | None,
           excess: float, sensitivity: float, either: float, people: int, records: int, k: int,
           seed: int) -> list[Finding]:
    """Findings of every detector: the excess, unmistakable copies, and whether planted copies would have been found.

    ``target``: column of the tables whose labels have thresholds of their own, if frequent; ``people``, ``records``:
    how many a piece, and the synthetic set, need at least.
    """
    chosen = st.choose(np.arange(len(synthetic)), SYNTHETIC, generator(seed, "copies", "synthetic"))
    drawn = synthetic.take(chosen)
    if dealt.people < people or len(drawn) < records or not len(dealt.parts[0]):
        return [Finding(
            id="leakage.copies", title=f"Copies of training {subject.records}", verdict=Verdict.INCONCLUSIVE,
            value=None, n=st.rounded(dealt.people), limit=float(people), direction="at least", unit=subject.people,
            power=f"nothing can be said below {people} {subject.people} each of train, holdout and reference and "
                  f"{records} synthetic {subject.records}",
            remedy=f"provide more {subject.people}, or generate more {subject.records}")]
    labels = [""] * len(drawn) if target is None else drawn.table[target].fillna("").astype(str).tolist()
    found = [search(d, dealt, drawn, labels, target, seed, subject) for d in detectors]
    findings = []
    for f in found:
        findings += [_excess(f, dealt, len(drawn), excess, subject), _certain(f, len(drawn), k, subject),
                     _sensitivity(f, sensitivity, subject)]
    findings.append(_together(found, either, subject))
    return findings


def _excess(f: Found, dealt: Pieces, records: int, limit: float, subject: Subject) -> Finding:
    low, high = f.excess - st.quantile(st.LEVEL) * f.error, f.excess + st.quantile(st.LEVEL) * f.error
    verdict, seen = st.at_most(low, high, limit), max(float(np.mean(list(f.sensitivity.values()))), 0.01)
    needed = st.rows_to_pass(records, high - f.excess, f.error, limit)
    s = subject
    return Finding(
        id=f"leakage.copies.{f.detector.name}",
        title=f"{s.records.capitalize()} too near to training {s.people} ({f.detector.title})",
        value=st.number(f.excess, 4), low=st.number(low, 4), high=st.number(high, 4), unit="share", floor=0.0,
        limit=limit, n=records, verdict=verdict,
        method=f"share of synthetic {s.records} nearer to a {s.person} of one piece of train than to all other pieces "
               f"by a factor that about {100 * TAIL:g} % of them reach for holdout or reference, minus what those "
               f"reach; {dealt.train} pieces of train against two untouched ones of as many {s.people}, {s.records} "
               f"near the same {s.person} counted as one",
        power=f"copies of {100 * st.detectable(f.error) / seen:.1f} % of the {s.records} at n = {records:,} with 80 % "
              "power",
        remedy=st.remedy(verdict, f"the generator reproduces training {s.records}: train shorter, use more {s.people}, "
                         "augmentation or a smaller model", needed, records, f"synthetic {s.records}"))


def _certain(f: Found, records: int, k: int, subject: Subject) -> Finding:
    few = 0 < f.certain < k
    s = subject
    return Finding(
        id=f"leakage.copies.{f.detector.name}.certain",
        title=f"Unmistakable copies ({f.detector.title}; may veto, never justify)",
        value=None if few else float(f.certain), unit=s.records, limit=0.0, n=records,
        verdict=Verdict.FAIL if f.certain else Verdict.INFO,
        method=f"{s.records} nearer to one training {s.person} than to all others by a factor that a set without "
               f"copies reaches once in {1 / FALSE_ALARM:.0f} sets (tail of the ratios to holdout and reference, Hill "
               "1975)" + (f"; there are some, fewer than {k}" if few else ""),
        power=f"{100 * f.certain_share:.0f} % of planted copies count as unmistakable",
        remedy=f"training {s.records} are in the release: train shorter, use more {s.people} or a smaller model")


def _wilson(share: float, count: int) -> tuple[float, float]:
    z = st.quantile(st.LEVEL)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - half, middle + half


def _enough(low: float, limit: float) -> Verdict:
    """What cannot see does not acquit, and accuses nobody."""
    return Verdict.PASS if low >= limit else Verdict.INCONCLUSIVE


def _sensitivity(f: Found, limit: float, subject: Subject) -> Finding:
    value, kinds, s = float(np.mean(list(f.sensitivity.values()))), subject.kinds, subject
    low, high = _wilson(value, PLANTED * len(kinds))
    shares: dict[str, list[float | None]] = {"found": [round(f.sensitivity[k], 3) for k in kinds]}
    return Finding(
        id=f"leakage.sensitivity.{f.detector.name}", title=f"Planted copies found ({f.detector.title})",
        value=st.number(value), low=st.number(low), high=st.number(high), unit="share", limit=limit,
        direction="at least", n=PLANTED * len(kinds), verdict=_enough(low, limit),
        method=f"{PLANTED} training {s.records} each, planted {s.disguises}, under the threshold in force",
        remedy=f"this detector cannot tell copies from other {s.people}' {s.records} here: {s.unseen}",
        detail={"pictures": [pictures.bars(f"Planted copies found, {f.detector.title}", list(kinds), shares, "share",
                                           limit)]})


def _together(found: list[Found], limit: float, subject: Subject) -> Finding:
    by_kind = {k: float(np.any([f.caught[k] for f in found], axis=0).mean()) for k in subject.kinds}
    worst = min(subject.kinds, key=lambda k: by_kind[k])
    low, high = _wilson(by_kind[worst], PLANTED)
    return Finding(
        id="leakage.sensitivity", title="Planted copies that at least one detector finds, worst kind",
        value=st.number(by_kind[worst]), low=st.number(low), high=st.number(high), unit="share", limit=limit,
        direction="at least", n=PLANTED, verdict=_enough(low, limit),
        method="as above; a copy counts as found if one detector finds it",
        power="; ".join(f"{k}: {100 * share:.0f} %" for k, share in by_kind.items()),
        remedy=f"{worst} copies could be in the release unseen: provide more {subject.people}")
