"""Downstream use of images: does a network that learned from the synthetic images work on real patients?

Tested on holdout and reference patients, whom neither the generator nor any network here has met.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from synth.contract import Task
from synth.medical.evidence import ImageEvidence
from validators import pictures
from validators import statistics as st
from validators.finding import Finding, GateResult, Verdict
from validators.medical.segmentation import segmentation
from validators.medical.trials import (
    AUGMENTED,
    MIXED,
    REAL,
    SYNTHETIC,
    TUNED,
    Budget,
    Question,
    Trial,
    trial,
    untouched,
)

TITLE = "Downstream use"
QUESTION = "Does a network that learned from the synthetic images work as well on real patients as one that learned " \
           "from real images?"
GROUP = 30  # untouched patients of a group or class, below which nothing is said of it
LEARNABLE = 0.05  # above chance (balanced accuracy) or zero (R2), lower bound of the real-trained network
NOT_TESTED = (
    "tasks other than the contract's, and other networks than the small one used here: images are shrunk to at most "
    "48 pixels a side (20 in volumes) for it",
    "differences between trainings of the generator",
    "classes and groups of fewer than 30 untouched patients",
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much worse than real training images is tolerated.

    * ratio: balanced accuracy above chance (1 / classes) of the synthetic-trained network over the real-trained one's
      at least .90 (published generators lose 2 to 14 points: Kovalev 2019, arXiv 1904.08688). Above chance, since
      two classes and images without any meaning would have a ratio of .5 and more otherwise.
    * class_recall: the same ratio of recalls for the worst class at least .70.
    * mixed: real and synthetic images together may do worse than real ones by one standard error and this much.
    * loss: R2 of the synthetic-trained network minus the real one's at least -.15, where the target is a number.
    * dice: Dice of the synthetic-trained segmenter over the real one's at least .80 (Akbar 2024: .80 to .90).
    * minimum_images, minimum_patients: untouched ones with an answer, below which nothing is judged.
    """

    ratio: float = field(default=0.90, metadata={"direction": "at least", "range": (0, 1)})
    class_recall: float = field(default=0.70, metadata={"direction": "at least", "range": (0, 1)})
    mixed: float = field(default=0.01, metadata={"direction": "at most", "range": (0, 1)})
    loss: float = field(default=-0.15, metadata={"direction": "at least", "range": (-1, 1)})
    dice: float = field(default=0.80, metadata={"direction": "at least", "range": (0, 1)})
    minimum_images: float = field(default=200, metadata={"direction": "at least", "range": (20, 1e9)})
    minimum_patients: float = field(default=100, metadata={"direction": "at least", "range": (10, 1e9)})


def run(evidence: ImageEvidence, limits: Limits, budget: Budget | None = None) -> GateResult:
    """Judge the contract's task (or a column of the listing in its place) and, where there are masks, segmentation."""
    start = time.monotonic()
    plan = budget or Budget()
    findings: list[Finding] = []
    asked = question(evidence, limits)
    if asked is not None:
        if asked.column != evidence.contract.target:
            findings.append(Finding(
                id="downstream.task", title="The contract's task cannot be judged", verdict=Verdict.INFO, value=None,
                method=f"instead, {asked.column!r} is learned from the images",
                remedy="name a target that the images show (synthesis.target)"))
        findings += _judged(evidence, asked, limits, plan)
    drawn = segmentation(evidence, limit=limits.dice, patients=int(limits.minimum_patients))
    findings += drawn
    if not any(f.verdict is not Verdict.INFO for f in findings):
        findings.append(Finding(
            id="downstream.task", title="Nothing to learn from the images", value=None, unit="images",
            verdict=Verdict.INCONCLUSIVE, limit=limits.minimum_images, direction="at least",
            n=st.rounded(len(evidence.holdout) + len(evidence.reference)),
            power=f"nothing can be said below {limits.minimum_images:,.0f} untouched images of "
                  f"{limits.minimum_patients:,.0f} patients and two classes with {GROUP} patients each",
            remedy="name a target that the images show, with two or more frequent classes, or provide more patients"))
    return GateResult(gate="downstream", title=TITLE, question=QUESTION, findings=tuple(findings),
                      not_tested=NOT_TESTED, seconds=round(time.monotonic() - start, 3))


def question(evidence: ImageEvidence, limits: Limits) -> Question | None:
    """The contract's target, or the first column of the listing that can be judged; None: there is none."""
    target = evidence.contract.target
    names = [n for n in (target, *evidence.contract.conditions, *evidence.schema.names) if n in evidence.schema.names]
    test = untouched(evidence)
    if len(evidence.synthetic) < limits.minimum_images:
        return None
    for name in dict.fromkeys(names):
        assert name is not None
        number = evidence.schema[name].is_number and not (
            name == target and evidence.contract.task is Task.CLASSIFICATION)
        asked = _number(evidence, name) if number else _labels(evidence, name)
        if asked is None:
            continue
        known = np.isfinite(asked.answers(test))
        if known.sum() >= limits.minimum_images and len(np.unique(test.entities[known])) >= limits.minimum_patients:
            return asked
    return None


def _labels(evidence: ImageEvidence, name: str) -> Question | None:
    """Classes with GROUP patients both in train and untouched."""
    parts = (evidence.train, untouched(evidence))
    counts = [{v: len(np.unique(p.entities[p.table[name].astype(str).to_numpy() == v]))
               for v in p.table[name].dropna().astype(str).unique()} for p in parts]
    least = max(GROUP, evidence.contract.k)
    classes = tuple(sorted(v for v in counts[0] if min(c.get(v, 0) for c in counts) >= least))
    return Question(name, classes) if len(classes) > 1 else None


def _number(evidence: ImageEvidence, name: str) -> Question | None:
    values = evidence.train.table[name].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    spread = float(values.std()) if len(values) else 0.0
    return Question(name, (), float(values.mean()), spread) if spread > 0 else None


def _judged(evidence: ImageEvidence, asked: Question, limits: Limits, plan: Budget) -> list[Finding]:
    found = trial(evidence, asked, plan)
    chance = 1 / len(asked.classes) if asked.classes else 0.0
    real = found.draws[REAL].mean(axis=0)
    learnable = st.bounds(float(found.score[REAL].mean()), real)[0] > chance + LEARNABLE
    findings = [_kept(found, asked, limits, plan, learnable)]
    if asked.classes:
        findings.append(_worst_class(found, asked, limits, learnable))
    findings += [_mixed(found, limits), *_gains(found, evidence, asked)]
    findings += _groups(evidence, found, asked)
    if not learnable:
        findings.append(Finding(
            id="downstream.task", title=f"Real images cannot teach {asked.column!r}", value=None, limit=LEARNABLE,
            verdict=Verdict.INCONCLUSIVE, n=st.rounded(found.images), unit="above chance", direction="at least",
            remedy="name a target that the images show, or provide more patients"))
    return findings


def above_chance(classes: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What is kept of a balanced accuracy above ``1 / classes``: 1 as good as real images, 0 a coin's guess."""
    chance = 1 / classes

    def kept(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return np.asarray((one - chance) / np.maximum(two - chance, LEARNABLE))

    return kept


def _minus(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.asarray(one - two)


def _kept(found: Trial, asked: Question, limits: Limits, plan: Budget, learnable: bool) -> Finding:
    """TSTR against TRTR."""
    classes = bool(asked.classes)
    limit = limits.ratio if classes else limits.loss
    value, low, high, error = found.compare(SYNTHETIC, REAL, above_chance(len(asked.classes)) if classes else _minus)
    verdict = st.at_least(low, high, limit)
    if not learnable and verdict is Verdict.PASS:  # what real images cannot teach acquits nobody
        verdict = Verdict.INFO
    perfect = 1.0 if classes else 0.0
    needed = st.rows_to_pass(found.images, value - low, error, perfect - limit)
    unit = "balanced accuracy above chance" if classes else "R2"
    names = list(found.score)
    bars: dict[str, list[float | None]] = {"untouched patients": [st.number(found.score[a].mean()) for a in names]}
    shown = [pictures.bars(f"Learning {asked.column} from images, by training set", names, bars,
                           "balanced accuracy" if classes else unit)]
    return Finding(
        id="downstream.ratio" if classes else "downstream.loss",
        title=f"Learning {asked.column} from synthetic images {'over' if classes else 'minus'} learning it from real "
              "ones", value=st.number(value), low=st.number(low), high=st.number(high),
        unit=f"ratio of {unit}" if classes else unit, floor=perfect, limit=limit, direction="at least",
        n=st.rounded(found.images), verdict=verdict,
        method=f"as many real as synthetic images, one small convolutional network, {plan.seeds} seeds, tested on "
               "holdout and reference patients; bootstrap by patient, and the spread between seeds",
        power=f"a difference of {st.detectable(error):.3f} at {st.rounded(found.images):,} images with 80 % power",
        remedy=st.remedy(verdict, "the images do not show what their labels say: train longer, or look at the classes "
                         "below", needed, found.images, "untouched images"),
        detail={"real": st.number(found.score[REAL].mean()), "synthetic": st.number(found.score[SYNTHETIC].mean()),
                "pictures": shown})


def _worst_class(found: Trial, asked: Question, limits: Limits, learnable: bool) -> Finding:
    """The class whose recall suffers most; bounds hold for all classes at once."""
    real, synthetic = found.recall[REAL], found.recall[SYNTHETIC]
    taught = np.flatnonzero(real >= 0.2)  # of a class that real images do not teach no ratio is to be had
    title = "Recall of the worst class, synthetic over real training images"
    names = list(asked.classes)
    recalls: dict[str, list[float | None]] = {a: [st.number(v) for v in found.recall[a]]
                                              for a in (REAL, SYNTHETIC, MIXED)}
    picture = pictures.bars("Recall by class on untouched patients", names, recalls, "share", None)
    if not len(taught):
        return Finding(id="downstream.class", title=title, verdict=Verdict.INCONCLUSIVE, value=None,
                       limit=limits.class_recall, direction="at least", unit="ratio",
                       remedy="real images teach no class: name another target", detail={"pictures": [picture]})
    ratios = synthetic[taught] / real[taught]
    draws = found.recall_draws[SYNTHETIC][taught] / np.maximum(found.recall_draws[REAL][taught], 0.05)
    lows, highs = st.simultaneous(ratios, draws)
    worst = st.deciding(-highs, -lows, -limits.class_recall)
    verdict = st.at_least(float(lows[worst]), float(highs[worst]), limits.class_recall)
    if not learnable and verdict is Verdict.PASS:
        verdict = Verdict.INFO
    count, label = int(found.patients[taught[worst]]), names[taught[worst]]
    error = st.standard_error(draws[worst])
    needed = st.rows_to_pass(count, float(ratios[worst] - lows[worst]), error, 1 - limits.class_recall)
    return Finding(
        id="downstream.class", title=title, value=st.number(ratios[worst]), low=st.number(lows[worst]),
        high=st.number(highs[worst]), unit="ratio", floor=1.0, limit=limits.class_recall, direction="at least",
        n=st.rounded(count), verdict=verdict,
        method=f"{len(taught)} classes of at least {GROUP} patients; simultaneous bounds (max-statistic bootstrap by "
               "patient); the worst decides",
        power=f"a loss of {st.detectable(error):.3f} for {label!r}",
        remedy=st.remedy(verdict, f"images of {label!r} do not show what they should: more of them, or longer "
                         "training, are needed", needed, count, f"untouched patients of {label!r}"),
        detail={"worst": label, "pictures": [picture]})


def _mixed(found: Trial, limits: Limits) -> Finding:
    """Adding synthetic images to real ones must do no harm."""
    value, low, high, error = found.compare(MIXED, REAL, _minus)
    limit = -(error + limits.mixed)
    verdict = Verdict.PASS if value >= limit else (Verdict.FAIL if high < limit else Verdict.INCONCLUSIVE)
    return Finding(
        id="downstream.mixed", title="Real and synthetic images together, over real ones", value=st.number(value),
        low=st.number(low), high=st.number(high), floor=0.0, limit=st.number(limit), direction="at least",
        n=st.rounded(found.images), verdict=verdict, unit="difference",
        method=f"not below by more than one standard error and {limits.mixed:g}; same network and steps, paired by "
               "patient and seed",
        power=f"a harm of {st.detectable(error):.3f} with 80 % power",
        remedy="synthetic images mislead the network: see which class loses, and train the generator longer")


def _gains(found: Trial, evidence: ImageEvidence, asked: Question) -> list[Finding]:
    """What may be claimed: over augmentation, by training on synthetic images first, for the rarest class."""
    kinds = (("augmented", "Real and synthetic images over real ones with classical augmentation", MIXED, AUGMENTED),
             ("tuned", "Synthetic images first, then real ones, over real ones", TUNED, REAL))
    findings = []
    for kind, title, first, second in kinds:
        value, low, high, error = found.compare(first, second, _minus)
        findings.append(_claim(kind, title, value, low, high, error, found.images))
    if asked.classes:
        labels = evidence.train.table[asked.column].astype(str).to_numpy()
        rarest = int(np.argmin([(labels == c).sum() for c in asked.classes]))
        value = float(found.recall[MIXED][rarest] - found.recall[REAL][rarest])
        draws = found.recall_draws[MIXED][rarest] - found.recall_draws[REAL][rarest]
        findings.append(_claim("rarest", f"Recall of {asked.classes[rarest]!r}, the rarest class, by adding synthetic "
                               "images", value, *st.bounds(value, draws), st.standard_error(draws),
                               int(found.patients[rarest])))
    return findings


def _claim(kind: str, title: str, value: float, low: float, high: float, error: float, count: int) -> Finding:
    return Finding(
        id=f"downstream.gain.{kind}", title=title, value=st.number(value), low=st.number(low), high=st.number(high),
        unit="difference", limit=0.0, direction="at least", n=st.rounded(count), verdict=Verdict.INFO,
        method="paired bootstrap by patient", power=f"a gain of {st.detectable(error):.3f} with 80 % power",
        remedy="claim allowed" if low > 0 else "no gain may be claimed")


def _groups(evidence: ImageEvidence, found: Trial, asked: Question) -> list[Finding]:
    """Share of right answers by protected label (site, sex), synthetic against real training images."""
    test = untouched(evidence)
    test = test.take(np.isfinite(asked.answers(test)))
    rows: list[list[str | float | None]] = []
    for column in evidence.contract.columns:
        name = column.name
        if not column.protected or name not in evidence.schema.names or evidence.schema[name].is_number:
            continue
        labels = test.table[name].astype(str).to_numpy()
        for value in (v for v in evidence.schema[name].values if (labels == v).any()):
            inside = labels == value
            if len(np.unique(test.entities[inside])) >= max(GROUP, evidence.contract.k):
                means = [float(found.correct[a][inside].mean()) for a in (REAL, SYNTHETIC)]
                rows.append([f"{name}: {value}", st.number(means[0]), st.number(means[1])])
    if not rows:
        return []
    what = "share of right answers" if asked.classes else "mean squared error (z-scores)"
    worst = max(float(r[1] or 0) - float(r[2] or 0) for r in rows) if asked.classes else None
    return [Finding(
        id="downstream.groups", title="Largest loss of a protected group", value=st.number(worst), unit="difference",
        verdict=Verdict.INFO, n=len(rows), method=f"{what} on untouched images, groups of at least {GROUP} patients",
        detail={"pictures": [pictures.table(f"By protected group: {what}", ["group", "real", "synthetic"], rows)]})]
