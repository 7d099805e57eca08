"""What users do with driving scenes: name the manoeuvre, foresee hard braking, forecast where the ego vehicle goes.

Small models, the same for every training set: what differs is what they learned from. Trained on synthetic and tested
on real scenes (TSTR) beside trained on real ones (TRTR), after Esteban, Hyland and Raetsch (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synth.driving.labels import BRAKE_OVER, HARD_BRAKE
from synth.driving.scenes import EGO, HEADING, LENGTH, SPEED, D, S, Scenes, joined
from synth.seeds import derive, generator
from validators import statistics as st
from validators.driving.arms import shown
from validators.driving.summaries import OTHERS

Floats = NDArray[np.float64]
REAL, SYNTHETIC, MIXED, OVERSAMPLED = "real", "synthetic", "real and synthetic", "real, oversampled"
ARMS = (REAL, SYNTHETIC, MIXED, OVERSAMPLED)
TREES = 120
LOOKS = 10  # moments of a scene that a classifier sees
SEEN = 3.0  # s before which braking is foreseen
KNOWN = 2.0  # s that a forecast is made from
MODES = 6  # futures of a forecast, as in the challenges
MISS = 2.0  # m at the end
JITTER = (0.3, 0.1, 0.3)  # m along and across, m/s: how much an oversampled scene is moved


@dataclass(frozen=True)
class Scores:
    """One figure of an arm: ``point`` (seeds,), ``draws`` (seeds, bootstrap draws)."""

    point: Floats
    draws: Floats

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(self.point.mean())


def compare(first: Scores, second: Scores, how: Callable[[Floats, Floats], Floats]
            ) -> tuple[float, float, float, float]:
    """Value, low, high, standard error of ``how`` of two arms: bootstrap by entity and chance of training."""
    value = float(how(first.point.mean(), second.point.mean()))
    drawn = how(first.draws.mean(axis=0), second.draws.mean(axis=0))
    pairs = how(first.point, second.point)
    between = float(np.var(pairs, ddof=1) / len(pairs)) if len(pairs) > 1 else 0.0
    error = float(np.sqrt(st.standard_error(np.asarray(drawn)) ** 2 + between))
    step = st.quantile(st.LEVEL) * error
    return value, value - step, value + step, error


def looks(scenes: Scenes, steps: NDArray[np.int64]) -> Floats:
    """What is seen at ``steps``: the ego vehicle's own motion and the others relative to it, float64 [n, columns]."""
    states = scenes.states[:, : 1 + OTHERS, steps].astype(np.float64)
    own = states[:, EGO]
    columns = [own[..., SPEED], own[..., D], own[..., HEADING], own[..., S] - own[:, :1, S]]
    for slot in range(1, states.shape[1]):
        there = scenes.present[:, slot, None]
        other = states[:, slot]
        columns += [np.where(there, x, 0.0) for x in (
            np.clip(other[..., S] - own[..., S], -150, 150), other[..., D] - own[..., D],
            other[..., SPEED] - own[..., SPEED])]
        columns += [there.astype(float), np.where(there, scenes.sizes[:, slot, LENGTH, None], 0).astype(float)]
    return np.concatenate(columns, axis=1)


def moments(scenes: Scenes, until: float, count: int = LOOKS) -> NDArray[np.int64]:
    """``count`` steps spread evenly over the first ``until`` seconds."""
    last = min(round(until * scenes.shape.rate), scenes.shape.steps - 1)
    return np.unique(np.linspace(0, last, count).round().astype(np.int64))


def both(first: Scenes, second: Scenes) -> Scenes:
    """All scenes of two sets."""
    return joined(first, second)


def oversampled(scenes: Scenes, size: int, seed: int) -> Scenes:
    """``size`` more scenes: repeats with jitter, every manoeuvre as often; the plain remedy against rarity."""
    rng = generator(seed, "oversampled")
    names, inverse, counts = np.unique(shown(scenes), return_inverse=True, return_counts=True)
    chance = 1 / (len(names) * counts[inverse])
    more = scenes.take(rng.choice(len(scenes), size, p=chance / chance.sum()))
    states = more.states.copy()
    shape = states.shape[:2]
    for place, spread in zip((S, D, SPEED), JITTER, strict=True):
        states[..., place] += rng.normal(0, spread, shape)[..., None].astype(np.float32)
    states[~more.present] = 0
    return both(scenes, replace(more, states=states))


def training(real: Scenes, synthetic: Scenes, seed: int) -> Mapping[str, Scenes]:
    """The training set of every arm."""
    return {REAL: real, SYNTHETIC: synthetic, MIXED: both(real, synthetic),
            OVERSAMPLED: oversampled(real, len(synthetic), seed)}


@dataclass(frozen=True)
class Named:
    """Manoeuvre classification: macro-F1 and recalls of each arm on untouched scenes."""

    classes: tuple[str, ...]
    f1: Mapping[str, Scores]
    recall: Mapping[str, Floats]  # (classes,), mean over seeds
    recall_draws: Mapping[str, Floats]  # (classes, draws)
    scenes: NDArray[np.int64]  # (classes,) in the test set


def name_manoeuvres(arms: Mapping[str, Scenes], test: Scenes, classes: tuple[str, ...], seeds: int,
                    seed: int) -> Named:
    """Extremely randomised trees (Geurts et al. 2006) on moments of the whole scene; rows of other classes left out."""
    from sklearn.ensemble import ExtraTreesClassifier

    keep = np.isin(shown(test), classes)
    test = test.take(keep)
    steps = moments(test, np.inf if test.shape.steps < 2 else test.shape.steps / test.shape.rate)
    weights = _weights(test, seed)
    truth, seen = shown(test), looks(test, steps)
    f1: dict[str, Scores] = {}
    recall, recall_draws = {}, {}
    for arm, scenes in arms.items():
        own = scenes.take(np.isin(shown(scenes), classes))
        points, draws, recalls, lost = [], [], [], []
        for number in range(seeds):
            said: NDArray[np.str_] = np.full(len(test), "")
            if len(own):
                model = ExtraTreesClassifier(TREES, min_samples_leaf=2, class_weight="balanced",
                                             random_state=derive(seed, "manoeuvres", number) % 2**31)
                said = model.fit(looks(own, steps), shown(own)).predict(seen)
            found = [_f1(said == c, truth == c, weights) for c in classes]
            points.append(np.mean([f[0][0] for f in found]))
            draws.append(np.mean([f[0][1:] for f in found], axis=0))
            recalls.append([f[1][0] for f in found])
            lost.append([f[1][1:] for f in found])
        f1[arm] = Scores(np.array(points), np.array(draws))
        recall[arm], recall_draws[arm] = np.mean(recalls, axis=0), np.mean(lost, axis=0)
    return Named(classes, f1, recall, recall_draws, np.array([(truth == c).sum() for c in classes], np.int64))


def _weights(test: Scenes, seed: int) -> NDArray[np.float32]:
    drawn = st.entity_weights(test.entities, st.DRAWS, generator(seed, "driving", "downstream"))
    return np.hstack([np.ones((len(test), 1), np.float32), drawn])


def _f1(said: NDArray[np.bool_], true: NDArray[np.bool_], w: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """F1 and recall of one class, (1 + draws,)."""
    hits, claimed, there = (said & true) @ w, said @ w, true @ w
    return (np.asarray(2 * hits / np.maximum(claimed + there, 1e-9), np.float64),
            np.asarray(hits / np.maximum(there, 1e-9), np.float64))


def brakes_later(scenes: Scenes) -> NDArray[np.bool_]:
    """Whether the ego vehicle loses speed at HARD_BRAKE or more after the first SEEN seconds, bool [n]."""
    start = min(round(SEEN * scenes.shape.rate), scenes.shape.steps - 1)
    over = min(max(round(BRAKE_OVER * scenes.shape.rate), 1), max(scenes.shape.steps - 1 - start, 1))
    speed = scenes.states[:, EGO, start:, SPEED].astype(np.float64)
    if speed.shape[1] <= over:
        return np.zeros(len(scenes), bool)
    return np.asarray(((speed[:, :-over] - speed[:, over:]) / (over * scenes.shape.dt) >= HARD_BRAKE).any(axis=1))


def foresee_braking(arms: Mapping[str, Scenes], test: Scenes, seeds: int, seed: int) -> Mapping[str, Scores]:
    """AUC of trees that see the first SEEN seconds; .5 where an arm has no such scene."""
    from sklearn.ensemble import ExtraTreesClassifier

    steps, weights, truth = moments(test, SEEN, 6), _weights(test, seed), brakes_later(test)
    seen = looks(test, steps)
    found = {}
    for arm, scenes in arms.items():
        label, data = brakes_later(scenes), looks(scenes, steps)
        points, draws = [], []
        for number in range(seeds):
            scores = np.zeros(len(test))
            if 0 < label.sum() < len(label):
                model = ExtraTreesClassifier(TREES, min_samples_leaf=5, class_weight="balanced",
                                             random_state=derive(seed, "braking", number) % 2**31)
                scores = model.fit(data, label).predict_proba(seen)[:, 1]
            drawn = st.auc(scores[truth], scores[~truth], weights[truth], weights[~truth])
            points.append(drawn[0])
            draws.append(drawn[1:])
        found[arm] = Scores(np.array(points), np.array(draws))
    return found


@dataclass(frozen=True)
class Forecast:
    """Errors of an arm's forecasts on untouched scenes."""

    ade: Scores  # m: the mean distance of the best of MODES futures
    fde: float  # m at the end
    missed: float  # share of scenes whose best future ends more than MISS away


def forecast(arms: Mapping[str, Scenes], test: Scenes, seeds: int, seed: int) -> Mapping[str, Forecast]:
    """Ridge regression on the first KNOWN seconds, with MODES typical residuals as futures (minADE, minFDE)."""
    steps = moments(test, KNOWN, 5)
    start = int(steps[-1])
    weights, seen, truth = _weights(test, seed), looks(test, steps), _future(test, start)
    found = {}
    for arm, scenes in arms.items():
        data, future = looks(scenes, steps), _future(scenes, start)
        points, draws, ends = [], [], []
        for number in range(seeds):
            error = _errors(data, future, seen, truth, derive(seed, "forecast", number) % 2**31)
            mean = error.mean(axis=2).min(axis=1)
            drawn = mean @ weights / np.maximum(weights.sum(axis=0), 1e-9)
            points.append(drawn[0])
            draws.append(drawn[1:])
            ends.append(error[..., -1].min(axis=1))
        last = np.concatenate(ends)
        found[arm] = Forecast(Scores(np.array(points), np.array(draws)), float(last.mean()),
                              float((last > MISS).mean()))
    return found


def _future(scenes: Scenes, start: int) -> Floats:
    """Where the ego vehicle is after ``start``, beyond where constant speed would have it, [n, steps, 2]."""
    own = scenes.states[:, EGO].astype(np.float64)
    ahead = own[:, start + 1:, :][..., [S, D]] - own[:, start, None, :][..., [S, D]]
    seconds = np.arange(1, ahead.shape[1] + 1) * scenes.shape.dt
    ahead[..., 0] -= own[:, start, SPEED, None] * seconds
    return ahead


def _errors(data: Floats, future: Floats, seen: Floats, truth: Floats, seed: int) -> Floats:
    """Distances of MODES futures of every test scene, [n, modes, steps]."""
    from sklearn.cluster import KMeans

    centre, scale = data.mean(axis=0), data.std(axis=0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    x = np.c_[(data - centre) / scale, np.ones(len(data))]
    flat = future.reshape(len(future), -1)
    weights = np.linalg.solve(x.T @ x + 10.0 * np.eye(x.shape[1]), x.T @ flat)
    rest = flat - x @ weights
    modes = KMeans(min(MODES, len(rest)), n_init=1, random_state=seed).fit(rest).cluster_centers_
    said = np.c_[np.clip((seen - centre) / scale, -5, 5), np.ones(len(seen))] @ weights
    guesses = (said[:, None] + modes[None]).reshape(len(seen), len(modes), *truth.shape[1:])
    return np.asarray(np.hypot(*np.moveaxis(guesses - truth[:, None], -1, 0)))
