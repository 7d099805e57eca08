"""Networks trained on real, synthetic and mixed images, and how they do on patients nobody trained on.

TRTR and TSTR (train on real, or on synthetic, test on real) after Esteban, Hyland and Raetsch (2017); training on
synthetic images first and going on with real ones after Bluethgen, Moroianu et al. (RoentGen-v2, arXiv 2508.16783).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from synth.medical.evidence import ImageEvidence, Images
from synth.seeds import derive, generator
from validators import statistics as st
from validators.medical.augment import Changes
from validators.medical.classifier import Classifier, Lesson, Schedule

REAL, SYNTHETIC, MIXED = "real", "synthetic", "real and synthetic"
AUGMENTED, TUNED = "real, augmented", "synthetic, then real"
ARMS = (REAL, SYNTHETIC, MIXED, AUGMENTED, TUNED)
IMAGES = 6_000  # of an arm at most
MILD = Changes(shift=0.05, zoom=0.05, turn=0.08, blur=0.0, gamma=0.15, gain=0.1, offset=0.05, noise=0.03)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Trainings of an arm and their schedule: every arm compared with real images has as many seeds as they have."""

    seeds: int = 3
    others: int = 1  # seeds of arms that are reported only
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class Question:
    """What is learned: a column, its classes (none: a number, on the scale of train)."""

    column: str
    classes: tuple[str, ...]
    centre: float = 0.0
    spread: float = 1.0

    def answers(self, images: Images) -> NDArray[np.float64]:
        """Class index or z-score of each image; NaN: no answer, or a class that too few have."""
        values = images.table[self.column]
        if not self.classes:
            return np.asarray((values.to_numpy(np.float64) - self.centre) / self.spread)
        places = {name: float(i) for i, name in enumerate(self.classes)}
        return np.array([places.get(str(v), np.nan) for v in values])


@dataclass(frozen=True)
class Trial:
    """Scores of arms on untouched images: balanced accuracy, or R2, one row a seed, and recall by class."""

    score: Mapping[str, np.ndarray]  # (seeds,)
    draws: Mapping[str, np.ndarray]  # (seeds, bootstrap draws)
    recall: Mapping[str, np.ndarray]  # (classes,), mean over seeds; empty for a number
    recall_draws: Mapping[str, np.ndarray]  # (classes, draws)
    correct: Mapping[str, np.ndarray]  # (images,) mean over seeds: right, or the squared error
    images: int
    patients: np.ndarray  # (classes,) untouched patients of each class

    def compare(self, first: str, second: str, how: Callable[[np.ndarray, np.ndarray], np.ndarray]
                ) -> tuple[float, float, float, float]:
        """Value, low, high, standard error of ``how`` of two arms: bootstrap by patient and chance of training."""
        seeds = min(len(self.score[first]), len(self.score[second]))
        one, two = (np.asarray(self.score[a]) for a in (first, second))
        value = float(how(one.mean(), two.mean()))
        drawn = how(self.draws[first].mean(axis=0), self.draws[second].mean(axis=0))
        pairs = how(one[:seeds], two[:seeds])
        between = float(np.var(pairs, ddof=1) / seeds) if seeds > 1 else 0.0
        error = float(np.sqrt(st.standard_error(np.asarray(drawn)) ** 2 + between))
        step = st.quantile(st.LEVEL) * error
        return value, value - step, value + step, error


def untouched(evidence: ImageEvidence) -> Images:
    """Holdout and reference together: nothing was trained on either."""
    import pandas as pd

    one, two = evidence.holdout, evidence.reference
    masks = None if one.masks is None or two.masks is None else np.concatenate([one.masks, two.masks])
    return Images(pixels=np.concatenate([one.pixels, two.pixels]), masks=masks,
                  table=pd.concat([one.table, two.table], ignore_index=True),
                  entities=np.concatenate([one.entities, -1 - two.entities]))


def arms(evidence: ImageEvidence) -> tuple[Images, Images]:
    """Real and synthetic training images, as many of each."""
    rng = generator(evidence.seed, "downstream", "arms")
    size = min(len(evidence.train), len(evidence.synthetic), IMAGES)
    return (evidence.train.take(st.choose(evidence.train.entities, size, rng)),
            evidence.synthetic.take(st.choose(np.arange(len(evidence.synthetic)), size, rng)))


def trial(evidence: ImageEvidence, question: Question, budget: Budget) -> Trial:
    """Train every arm and test it."""
    test = untouched(evidence)
    truth = question.answers(test)
    keep = np.isfinite(truth)
    test, truth = test.take(keep), truth[keep]
    seen = Lesson.of(test, truth).images
    weights = st.entity_weights(test.entities, st.DRAWS, generator(evidence.seed, "downstream", "bootstrap"))
    real, synthetic = (Lesson.of(part, question.answers(part)) for part in arms(evidence))
    dims = len(evidence.pixels.size)
    changes = replace(MILD, flips=(dims - 1,) if evidence.pixels.flips else ())
    classes = len(question.classes)
    kept: dict[int, Classifier] = {}

    def fitted(arm: str, number: int) -> Classifier:
        seed, plan = derive(evidence.seed, "downstream", number), budget.schedule
        if arm == TUNED:
            return Classifier.train(real, classes, seed=seed, schedule=plan, after=kept[number])
        lesson = {REAL: real, AUGMENTED: real, SYNTHETIC: synthetic, MIXED: real + synthetic}[arm]
        found = Classifier.train(lesson, classes, seed=seed, schedule=plan,
                                 changes=changes if arm == AUGMENTED else None)
        if arm == SYNTHETIC:
            kept[number] = found
        return found

    score, draws, recall, recall_draws, correct = {}, {}, {}, {}, {}
    for arm in ARMS:
        seeds = budget.seeds if arm in ARMS[:3] else min(budget.others, budget.seeds)
        said = [fitted(arm, number).predict(seen) for number in range(seeds)]
        if classes:
            right = np.array([s == truth for s in said], np.float64)
            by_class = [_recalls(r, truth, classes, weights) for r in right]
            score[arm] = np.array([point.mean() for point, _ in by_class])
            draws[arm] = np.array([drawn.mean(axis=0) for _, drawn in by_class])
            recall[arm] = np.mean([point for point, _ in by_class], axis=0)
            recall_draws[arm] = np.mean([drawn for _, drawn in by_class], axis=0)
            correct[arm] = right.mean(axis=0)
        else:
            explained = [_explained(s, truth, weights) for s in said]
            score[arm] = np.array([point for point, _ in explained])
            draws[arm] = np.array([drawn for _, drawn in explained])
            recall[arm], recall_draws[arm] = np.zeros(0), np.zeros((0, st.DRAWS))
            correct[arm] = np.mean([(s - truth) ** 2 for s in said], axis=0)
    patients = np.array([len(np.unique(test.entities[truth == c])) for c in range(classes)], np.int64)
    return Trial(score, draws, recall, recall_draws, correct, len(test), patients)


def _recalls(right: np.ndarray, truth: np.ndarray, classes: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall of each class: point (classes,) and draws (classes, draws)."""
    point, drawn = np.zeros(classes), np.zeros((classes, weights.shape[1]))
    for c in range(classes):
        rows = truth == c
        point[c] = right[rows].mean() if rows.any() else np.nan
        drawn[c] = right[rows] @ weights[rows] / np.maximum(weights[rows].sum(axis=0), 1e-9)
    return point, drawn


def _explained(said: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """R2: point and draws."""
    error = (said - truth) ** 2
    point = 1 - error.mean() / max(float(truth.var()), 1e-12)
    total = np.maximum(weights.sum(axis=0), 1e-9)
    mean = truth @ weights / total
    spread = np.maximum(truth**2 @ weights / total - mean**2, 1e-12)
    return float(point), np.asarray(1 - (error @ weights / total) / spread)
