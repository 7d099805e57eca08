"""Diversity of images: is every kind of image there, within each class too, and none of them again and again?

Neighbours, modes and rank are looked at along the first principal axes of ImageNet features of real train: there the
kinds of images differ, while slight noise or blur, which fidelity judges, hardly counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.contract.networks import NetworkKind
from synth.medical.evidence import ImageEvidence
from synth.seeds import derive, generator
from validators import pictures
from validators import statistics as st
from validators.finding import Finding, GateResult, Verdict
from validators.medical import similarity
from validators.medical.arms import CLASS_LEAST, MOST, Arms, arms, patients, space, too_small
from validators.medical.frechet import LEAST, Axes, moments
from validators.medical.networks import of_kind, spaces
from validators.precision import NEIGHBOURS, Neighbourhood, neighbourhood

TITLE = "Diversity"
QUESTION = "Are there images of every kind that the patients have, without the same few again and again?"
SPACE, AXES = "efflite", 16
MODES, IMAGES_A_MODE = 10, 15  # clusters of a class at most; training images that one needs
REACHED = 0.25  # of the share that real train has in a mode
PARTNERS = 6  # pairs that each image is in, of one class
CLOSEST = 0.01  # real images whose nearest other image defines how near is too near
ALL = "all images"
NOT_TESTED = (f"more than {MOST:,} images a set (fewer of large images)",
              f"classes with fewer than {CLASS_LEAST} images or k patients in a set",
              "kinds of images rarer than about one in a hundred of their class")

Draws = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Smallest tolerated share of what fresh real images reach.

    Where they come from is measured in ``tests/benchmarks/results/medical_gates.md``.

    * coverage, recall: .70 of the floor (a set whose kernel distance is at its limit reaches about .75).
    * class_coverage: the worst class by itself, .50.
    * modes: clusters of real images, within classes, that synthetic images reach, .80.
    * rank: effective rank of the features, .70.
    * similarity: multi-scale SSIM of pairs of a class, at most .10 above that of real pairs.
    * duplicates: images nearly equal to another synthetic one, at most .05 more frequent than among real ones.
    * minimum_images: patients and images a set needs before anything is judged.
    """

    coverage: float = field(default=0.70, metadata={"direction": "at least", "range": (0, 1)})
    recall: float = field(default=0.70, metadata={"direction": "at least", "range": (0, 1)})
    class_coverage: float = field(default=0.50, metadata={"direction": "at least", "range": (0, 1)})
    modes: float = field(default=0.80, metadata={"direction": "at least", "range": (0, 1)})
    rank: float = field(default=0.70, metadata={"direction": "at least", "range": (0, 1)})
    similarity: float = field(default=0.10, metadata={"direction": "at most", "range": (0, 1)})
    duplicates: float = field(default=0.05, metadata={"direction": "at most", "range": (0, 1)})
    minimum_images: float = field(default=LEAST, metadata={"direction": "at least", "range": (100, 1e9)})


@dataclass(frozen=True)
class Seen:
    """Features along the first axes, and bootstrap weights by patient whose first draw is the data itself."""

    sample: Arms
    train: NDArray[np.float32]
    real: NDArray[np.float32]
    synthetic: NDArray[np.float32]
    real_weights: Draws
    synthetic_weights: Draws
    groups: tuple[str, ...]  # classes that can be looked at alone; (ALL,) if there is none

    def rows(self, group: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Members of a group in train, untouched and synthetic."""
        sets = self.sample.train, self.sample.real, self.sample.synthetic
        found = [np.ones(len(s), bool) if group == ALL else self.sample.labels(s) == group for s in sets]
        return found[0], found[1], found[2]


def run(evidence: ImageEvidence, limits: Limits) -> GateResult:
    """Judge coverage, recall, modes, rank, similarity of pairs, and repeats."""
    start = time.monotonic()
    size = patients(evidence)
    if size < limits.minimum_images:
        return GateResult(gate="diversity", title=TITLE, question=QUESTION, seconds=time.monotonic() - start,
                          findings=(too_small("diversity", size, int(limits.minimum_images)),))
    seen = _look(evidence)
    findings = [*_balls(seen, limits), _class_coverage(seen, limits), _modes(evidence, seen, limits),
                _rank(evidence, seen, limits), _similarity(evidence, seen, limits), _duplicates(evidence, seen, limits),
                _overview(evidence, seen), *_perceptual(evidence, seen)]
    return GateResult(gate="diversity", title=TITLE, question=QUESTION, findings=tuple(findings), not_tested=NOT_TESTED,
                      seconds=time.monotonic() - start)


def _look(evidence: ImageEvidence) -> Seen:
    sample, fitted = arms(evidence), space(evidence, SPACE)
    axes = Axes.fit(fitted.of(sample.train), sample.images, AXES)
    found = [axes.of(fitted.of(s)).astype(np.float32) for s in (sample.train, sample.real, sample.synthetic)]
    rng = generator(evidence.seed, "medical", "diversity", "bootstrap")
    ones = np.ones((sample.images, 1), np.float32)
    weights = [np.hstack([ones, st.entity_weights(e, st.DRAWS, rng)]) for e in sample.patients]
    return Seen(sample, found[0], found[1], found[2], weights[0], weights[1],
                tuple(sample.classes(evidence.contract.k)) or (ALL,))


def _ratio(values: NDArray[np.float64], base: NDArray[np.float64], weights: Draws) -> NDArray[np.float64]:
    """Mean of ``values`` over mean of ``base`` for each draw."""
    return np.asarray((values @ weights) / np.maximum(base @ weights, 1e-9))


def _share(at: str, title: str, ratios: NDArray[np.float64], limit: float, n: int, method: str, advice: str,
           detail: dict[str, object]) -> Finding:
    """A finding of a ratio to the floor; ``ratios`` has the data's first, then the draws'."""
    value, error = float(ratios[0]), st.standard_error(ratios[1:])
    low, high = st.bounds(value, ratios[1:])
    verdict = st.at_least(low, high, limit)
    return Finding(
        id=at, title=title, value=st.number(value), unit="ratio", low=st.number(low), high=st.number(high), floor=1.0,
        limit=limit, direction="at least", n=st.rounded(n), verdict=verdict, method=method,
        power=f"a loss of {st.detectable(error):.3f} at n = {st.rounded(n):,} with 80 % power",
        remedy=st.remedy(verdict, advice, st.rows_to_pass(n, value - low, error, 1 - limit), n, "images a set"),
        detail={"pictures": [pictures.intervals(title, [
            pictures.interval_row("synthetic", value, low, high, 1.0, limit)], "ratio")], **detail})


def _balls(seen: Seen, limits: Limits) -> list[Finding]:
    found, floor = neighbourhood(seen.real, seen.synthetic), neighbourhood(seen.real, seen.train)
    lost = "the generator leaves regions empty: train longer, or look for collapse (similarity, modes)"
    findings = []
    for name, limit in (("coverage", limits.coverage), ("recall", limits.recall)):
        values, base = getattr(found, name), getattr(floor, name)
        findings.append(_share(
            f"diversity.{name}", f"{name.capitalize()} as a share of the floor",
            _ratio(values, base, seen.real_weights), limit, seen.sample.images,
            f"{name} of untouched real images with {NEIGHBOURS} neighbours (Kynkaanniemi et al. 2019, Naeem et al. "
            f"2020) on {seen.real.shape[1]} axes of ImageNet features, synthetic over train at the same size; paired "
            "bootstrap by patient", lost,
            {"floor_value": st.number(float(base.mean())), "value": st.number(float(values.mean()))}))
    return findings


def _class_coverage(seen: Seen, limits: Limits) -> Finding:
    ratios, counts = [], []
    for group in seen.groups:
        train, real, drawn = seen.rows(group)
        size = min(int(train.sum()), int(drawn.sum()))
        found = neighbourhood(seen.real[real], seen.synthetic[drawn][:size]).coverage
        floor = neighbourhood(seen.real[real], seen.train[train][:size]).coverage
        ratios.append(_ratio(found, floor, seen.real_weights[real]))
        counts.append(min(size, int(real.sum())))
    return _worst("diversity.class", "Coverage of the worst class as a share of the floor", np.array(ratios),
                  limits.class_coverage, seen.groups, counts, "ratio", 1.0,
                  f"coverage within each class with at least {CLASS_LEAST} images in every set, synthetic over train; "
                  "bounds hold for all classes at once (max-statistic)", "this class collapsed or looks different: "
                  "balanced conditions, more steps")


def _worst(at: str, title: str, found: NDArray[np.float64], limit: float, names: tuple[str, ...], counts: list[int],
           unit: str, floor: float, method: str, advice: str) -> Finding:
    """The finding of the class that decides; ``found`` (classes, 1 + draws). Ratios must stay above, others below."""
    sign = -1.0 if floor == 1.0 else 1.0
    lows, highs = st.simultaneous(sign * found[:, 0], sign * found[:, 1:])
    worst = st.deciding(lows, highs, sign * limit)
    verdict = st.at_most(float(lows[worst]), float(highs[worst]), sign * limit)
    error = st.standard_error(found[worst, 1:])
    ends = [(min(sign * a, sign * b), max(sign * a, sign * b)) for a, b in zip(lows, highs, strict=True)]
    rows = [pictures.interval_row(name, v, *end, floor, limit)
            for name, v, end in zip(names, found[:, 0], ends, strict=True)]
    needed = st.rows_to_pass(counts[worst], float(highs[worst] - sign * found[worst, 0]), error, abs(limit - floor))
    return Finding(
        id=at, title=title, value=st.number(found[worst, 0]), unit=unit, low=st.number(ends[worst][0]),
        high=st.number(ends[worst][1]), floor=floor, limit=limit, direction="at least" if sign < 0 else "at most",
        n=st.rounded(counts[worst]), verdict=verdict, method=method,
        power=f"a change of {st.detectable(error):.3f} in this class with 80 % power",
        remedy=st.remedy(verdict, f"{names[worst]}: {advice}", needed, counts[worst], "images of the class"),
        detail={"worst": names[worst], "pictures": [pictures.intervals(title, rows, unit)]})


def _modes(evidence: ImageEvidence, seen: Seen, limits: Limits) -> Finding:
    from sklearn.cluster import KMeans

    reached, base = [], []
    rows: list[list[str | float | None]] = []
    for group in seen.groups:
        train, real, drawn = seen.rows(group)
        count = max(2, min(MODES, int(train.sum()) // IMAGES_A_MODE))
        clusters = KMeans(count, n_init=3, random_state=derive(evidence.seed, "modes", group) % 2**31)
        own = np.bincount(clusters.fit_predict(seen.train[train]), minlength=count) / max(int(train.sum()), 1)
        shares = [_shares(clusters.predict(f[r]), count, w[r]) for f, r, w in (
            (seen.synthetic, drawn, seen.synthetic_weights), (seen.real, real, seen.real_weights))]
        hits = [s >= REACHED * own[:, None] for s in shares]
        reached.append(hits[0])
        base.append(hits[1])
        rows.append([group, count, int(hits[0][:, 0].sum()), int(hits[1][:, 0].sum())])
    found, floor = np.concatenate(reached).astype(float), np.concatenate(base).astype(float)
    table = pictures.table("Modes reached", ["class", "modes", "synthetic", "untouched real"], rows)
    return _share("diversity.modes", "Modes of the classes that are reached, as a share of the floor",
                  found.mean(axis=0) / np.maximum(floor.mean(axis=0), 1e-9), limits.modes, seen.sample.images,
                  f"k-means clusters of real train within each class (at most {MODES}); a mode is reached with at "
                  f"least {REACHED:g} of train's share (after Richardson and Weiss 2018); over untouched real images; "
                  "bootstrap by patient",
                  "modes within classes are lost: train longer, more noise dimensions, or a weaker critic",
                  {"pictures": [table]})


def _shares(codes: NDArray[np.int64], count: int, weights: Draws) -> NDArray[np.float64]:
    """Weighted share of each code, (count, draws)."""
    hits = np.zeros((count, weights.shape[1]))
    np.add.at(hits, codes, weights)
    return np.asarray(hits / np.maximum(hits.sum(axis=0), 1e-9))


def _rank(evidence: ImageEvidence, seen: Seen, limits: Limits) -> Finding:
    fitted = space(evidence, SPACE)
    axes = Axes.fit(fitted.of(seen.sample.train), seen.sample.images)
    ranks = []
    for images, weights in ((seen.sample.synthetic, seen.synthetic_weights), (seen.sample.real, seen.real_weights)):
        data = axes.of(fitted.of(images))
        ranks.append(np.array([similarity.effective_rank(moments(data, w)[1]) for w in weights[:, :101].T]))
    return _share("diversity.rank", "Effective rank as a share of the floor", ranks[0] / ranks[1], limits.rank,
                  seen.sample.images,
                  "exp of the entropy of the features' covariance eigenvalues (Roy and Vetterli 2007), "
                  f"{axes.vectors.shape[1]} axes, synthetic over untouched; bootstrap by patient",
                  "the images vary along too few directions: look for collapse",
                  {"synthetic": st.number(float(ranks[0][0])), "real": st.number(float(ranks[1][0]))})


Pairwise = Callable[[NDArray[np.uint16], NDArray[np.uint16]], NDArray[Any]]


def _pairs(evidence: ImageEvidence, seen: Seen, group: str, partners: int, alike: Pairwise
           ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Mean of ``alike`` over pairs of a class, synthetic and real, a column a draw; and the synthetic images."""
    _, real, drawn = seen.rows(group)
    sides = []
    for images, rows, weights, name in ((seen.sample.synthetic, drawn, seen.synthetic_weights, "synthetic"),
                                        (seen.sample.real, real, seen.real_weights, "real")):
        at = generator(evidence.seed, "medical", "pairs", group, name).permutation(np.flatnonzero(rows))
        first = np.tile(at, partners)
        second = np.concatenate([np.roll(at, shift) for shift in range(1, partners + 1)])
        apart = images.entities[first] != images.entities[second]
        first, second = first[apart], second[apart]
        both = weights[first] * weights[second]
        found = alike(images.pixels[first], images.pixels[second])
        sides.append((found @ both) / np.maximum(both.sum(axis=0), 1e-9))
    return sides[0], sides[1], int(drawn.sum())


def _similarity(evidence: ImageEvidence, seen: Seen, limits: Limits) -> Finding:
    found, counts = [], []
    for group in seen.groups:
        drawn, real, count = _pairs(evidence, seen, group, PARTNERS, similarity.structural_similarity)
        found.append(drawn - real)
        counts.append(count)
    return _worst("diversity.similarity", "Likeness of pairs of the worst class beyond real pairs", np.array(found),
                  limits.similarity, seen.groups, counts, "MS-SSIM", 0.0,
                  f"multi-scale SSIM of pairs within each class, {PARTNERS} partners an image, synthetic less "
                  "untouched; bounds hold for all classes at once (max-statistic); bootstrap by patient",
                  "its images resemble each other too much: the class collapsed")


def _duplicates(evidence: ImageEvidence, seen: Seen, limits: Limits) -> Finding:
    real = similarity.nearest_unlikeness(similarity.thumbnails(seen.sample.real.pixels), seen.sample.real.entities)
    drawn = similarity.nearest_unlikeness(similarity.thumbnails(seen.sample.synthetic.pixels),
                                          np.arange(seen.sample.images))
    # half as far as the closest of the real images: no two patients are as alike as that
    edge = 0.5 * float(np.quantile(real, CLOSEST))
    shares = [(values <= edge).astype(float) @ w / w.sum(axis=0)
              for values, w in ((drawn, seen.synthetic_weights), (real, seen.real_weights))]
    excess = shares[0] - shares[1]
    n = seen.sample.images
    # where no repeat was seen, one in n may still be one: a bootstrap cannot know
    error = float(np.hypot(st.standard_error(excess[1:]), 1 / n))
    low, high = float(excess[0]) - st.quantile(st.LEVEL) * error, float(excess[0]) + st.quantile(st.LEVEL) * error
    verdict = st.at_most(low, high, limits.duplicates)
    return Finding(
        id="diversity.duplicates", title="Near-repeats beyond the real rate", value=st.number(excess[0], 4),
        unit="share", low=st.number(low, 4), high=st.number(high, 4), floor=0.0, limit=limits.duplicates,
        n=st.rounded(n),
        verdict=verdict,
        method="images whose most alike other image (correlation of thumbnails) is less than half as far as that of "
               f"the closest {CLOSEST:.0%} of untouched real images of different patients; synthetic less real",
        power=f"an excess of {st.detectable(error):.3f} with 80 % power",
        remedy=st.remedy(verdict, "the generator repeats itself: look for collapse", None, n, "images a set"),
        detail={"real": st.number(float(shares[1][0])), "synthetic": st.number(float(shares[0][0]))})


def _overview(evidence: ImageEvidence, seen: Seen) -> Finding:
    """Precision, density, recall and coverage in every space, beside what train reaches."""
    rows: list[list[str | float | None]] = []
    for name in spaces(evidence):
        fitted = space(evidence, name)
        axes = Axes.fit(fitted.of(seen.sample.train), seen.sample.images, AXES)
        real, drawn, train = (axes.of(fitted.of(s)).astype(np.float32)
                              for s in (seen.sample.real, seen.sample.synthetic, seen.sample.train))
        for label, found in (("synthetic", neighbourhood(real, drawn)), ("train", neighbourhood(real, train))):
            rows.append([f"{label}, {name}", *_means(found)])
    return Finding(
        id="diversity.overview", title="Neighbours in each feature space", value=None, verdict=Verdict.INFO,
        n=st.rounded(seen.sample.images), method=f"against untouched real images, {NEIGHBOURS} neighbours, {AXES} axes",
        detail={"pictures": [pictures.table("Neighbours in each feature space", [
            "images, features", "precision", "density", "recall", "coverage"], rows)]})


def _means(found: Neighbourhood) -> list[str | float | None]:
    return [st.number(float(x.mean())) for x in (found.precision, found.density, found.recall, found.coverage)]


def _perceptual(evidence: ImageEvidence, seen: Seen) -> list[Finding]:
    """LPIPS between pairs of a class, where its network is given: reported beside the same of real pairs."""
    found = []
    for network in of_kind(evidence, NetworkKind.LPIPS):
        rows = []
        for group in seen.groups:
            drawn, real, _ = _pairs(evidence, seen, group, 1, network.distances)
            low, high = st.bounds(float(drawn[0]), drawn[1:])
            rows.append(pictures.interval_row(group, float(drawn[0]), low, high, float(real[0]), None))
        found.append(Finding(
            id=f"diversity.{network.name}", title="LPIPS between pairs of a class", value=None, verdict=Verdict.INFO,
            n=st.rounded(seen.sample.images),
            method=f"perceptual distance (Zhang et al. 2018) of a pair an image, within classes; floor: untouched real "
                   f"pairs; bootstrap by patient. {network.method}", remedy="information only",
            detail={"pictures": [pictures.intervals("LPIPS between pairs of a class", rows, "LPIPS")]}))
    return found
