"""Fidelity of images: are they drawn from the distribution that fresh patients' images come from?

Distances of finite sets are never zero and mostly noise, so they are told as multiples of the floor: what two real sets
of 100 images differ by. 1 is indistinguishable; 2 means that the synthetic set differs from real patients' images by as
much again as two such real sets do from each other. Two feature spaces are judged, neither trained against, and the
contract's own networks beside them.
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
from validators.discriminator import separate
from validators.finding import Finding, GateResult, Verdict
from validators.medical import frechet, kernel, listing, signal
from validators.medical.arms import CLASS_LEAST, MOST, SPACES, Arms, arms, patients, space, too_small
from validators.medical.features import extractor
from validators.medical.frechet import LEAST
from validators.medical.gallery import gallery
from validators.medical.networks import inception_score, of_kind, spaces

TITLE = "Fidelity"
QUESTION = "Do the synthetic images look like images of fresh patients of the same population?"
CLASS_SPACE = "efflite"  # the tails of radiomics leave too little to say of a class
FEW_AXES = 16  # of each space, for the classifier
GAUSSIAN_DRAWS = 100  # bootstrap draws of the Frechet distance: each needs two eigendecompositions
NOT_TESTED = (f"more than {MOST:,} images a set (fewer of large images)",
              f"classes with fewer than {CLASS_LEAST} images or k patients in a set",
              "whether an image shows what its label says (downstream does)",
              "anatomy that no feature space sees, such as laterality or counts of small structures")
NOT_SHIPPED = "Inception Score, LPIPS and FID: their networks are not shipped, no other figure may have their names " \
              "(`networks` of the contract's pixels)"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Largest tolerated distances, in multiples of the real-against-real floor unless they say otherwise.

    Where they come from is measured in ``tests/benchmarks/results/medical_gates.md``.

    * kernel, frechet: distance over the floor of two real sets of 100 images, in each feature space.
    * kernel_class: the worst class of the target by itself, in the same units, ImageNet features (a set whose distance
      is at its limit reaches about 10 in its worst class).
    * intensity: first Wasserstein distance of the intensities above the floor, as a share of the window.
    * spectrum: power of any band of spatial frequency, dB beyond real (either way).
    * labels: worst column of the listing, total variation or Kolmogorov-Smirnov above the floor.
    * minimum_images: patients and images a set needs before anything is judged.
    """

    kernel: float = field(default=3.0, metadata={"direction": "at most", "range": (1, 1e6)})
    frechet: float = field(default=3.0, metadata={"direction": "at most", "range": (1, 1e6)})
    kernel_class: float = field(default=10.0, metadata={"direction": "at most", "range": (1, 1e6)})
    intensity: float = field(default=0.03, metadata={"direction": "at most", "range": (0, 1)})
    spectrum: float = field(default=6.0, metadata={"direction": "at most", "range": (0, 100)})
    labels: float = field(default=0.10, metadata={"direction": "at most", "range": (0, 1)})
    minimum_images: float = field(default=LEAST, metadata={"direction": "at least", "range": (100, 1e9)})


def run(evidence: ImageEvidence, limits: Limits) -> GateResult:
    """Judge distances in two feature spaces, intensities, spectrum and the listing."""
    start = time.monotonic()
    size = patients(evidence)
    if size < limits.minimum_images:
        return GateResult(gate="fidelity", title=TITLE, question=QUESTION, seconds=time.monotonic() - start,
                          findings=(too_small("fidelity", size, int(limits.minimum_images)),))
    sample = arms(evidence)
    judged = spaces(evidence)
    findings = [*(_kernel(evidence, sample, name, limits) for name in judged),
                *(_frechet(evidence, sample, name, limits) for name in judged),
                *_classes(evidence, sample, limits), _intensity(evidence, sample, limits),
                _spectrum(evidence, sample, limits), *listing.judge(evidence, limits.labels),
                _separation(evidence, sample), *_inception_scores(evidence, sample)]
    blind = NOT_TESTED if evidence.pixels.networks else (*NOT_TESTED, NOT_SHIPPED)
    return GateResult(gate="fidelity", title=TITLE, question=QUESTION, findings=tuple(findings), not_tested=blind,
                      seconds=time.monotonic() - start)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A distance in multiples of the floor, with bounds; ``again`` are the same ratios of real resplits."""

    value: float
    draws: NDArray[np.float64]
    again: NDArray[np.float64]

    @property
    def bounds(self) -> tuple[float, float]:
        """One-sided bounds of the ratio."""
        return st.bounds(self.value, self.draws)


def _finding(at: str, title: str, ratio: Ratio, limit: float, sample: Arms, method: str, advice: str,
             detail: dict[str, Any]) -> Finding:
    low, high = ratio.bounds
    verdict, error = st.at_most(low, high, limit), st.standard_error(ratio.draws)
    floor = float(ratio.again.mean()) if len(ratio.again) else 1.0
    row = [pictures.interval_row("synthetic against untouched", ratio.value, low, high, floor, limit),
           pictures.interval_row("real against real", floor, *_between(ratio.again), 1.0, None)]
    return Finding(
        id=at, title=title, value=st.number(ratio.value), unit="x floor", low=st.number(low), high=st.number(high),
        floor=st.number(floor), limit=limit, n=st.rounded(sample.images), verdict=verdict, method=method,
        power=f"a ratio of {1 + st.detectable(error):.2f} at n = {st.rounded(sample.images):,} with 80 % power",
        remedy=st.remedy(verdict, advice, st.rows_to_pass(sample.images, high - ratio.value, error, limit - 1),
                         sample.images, "images a set"),
        detail={**detail, "pictures": [pictures.intervals(title, row, "x floor"), *detail.get("pictures", [])]})


def _between(values: NDArray[np.float64]) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)


def _pooled(evidence: ImageEvidence, sample: Arms, name: str) -> NDArray[np.float32]:
    """Features of the real sets, train first: what resplits index."""
    fitted = space(evidence, name)
    return np.concatenate([fitted.of(sample.train), fitted.of(sample.real)])


def _resplit(sample: Arms, seed: int, data: NDArray[Any],
             measure: Callable[[NDArray[Any], NDArray[Any], tuple[NDArray[np.int64], NDArray[np.int64]]], float]
             ) -> NDArray[np.float64]:
    who = np.concatenate([sample.train.entities, sample.real.entities])
    return np.array([measure(data[a], data[b], (who[a], who[b])) for a, b in sample.resplits(seed)])


def _kernel(evidence: ImageEvidence, sample: Arms, name: str, limits: Limits) -> Finding:
    fitted, kind = space(evidence, name), extractor(name)
    real, synthetic = fitted.of(sample.real), fitted.of(sample.synthetic)
    found = kernel.kernel_distance(real, synthetic, sample.patients,
                                   generator(evidence.seed, "medical", "kernel", name))
    unit = kernel.floor(real, sample.real.entities)
    again = _resplit(sample, evidence.seed, _pooled(evidence, sample, name), kernel.unbiased)
    ratio = Ratio(value=1 + found.value / unit, draws=1 + found.draws / unit, again=1 + again / unit)
    return _finding(
        f"fidelity.kernel.{name}", f"Kernel distance: {kind.title}", ratio, limits.kernel, sample,
        f"unbiased squared MMD, cubic kernel (Binkowski et al. 2018), in units of what two real sets of {kernel.SET} "
        f"images differ by; bootstrap by patient; floor: {len(again)} resplits of real patients. {kind.method}",
        "train longer, or a larger generator; the class table and the spectrum say where it differs",
        {"distance": st.number(found.value, 6), "floor_distance": st.number(unit, 6), "p": st.number(found.p, 4),
         "extractor": f"{name} {kind.version}"})


def _frechet(evidence: ImageEvidence, sample: Arms, name: str, limits: Limits) -> Finding:
    fitted, kind = space(evidence, name), extractor(name)
    axes = frechet.Axes.fit(fitted.of(sample.train), sample.images)
    real, synthetic = axes.of(fitted.of(sample.real)), axes.of(fitted.of(sample.synthetic))
    rng = generator(evidence.seed, "medical", "frechet", name)
    found = frechet.extrapolated(real, synthetic, sample.patients, rng)
    lines = []

    def measure(a: NDArray[Any], b: NDArray[Any], who: tuple[NDArray[np.int64], NDArray[np.int64]]) -> float:
        lines.append(frechet.extrapolated(a, b, who, rng))
        return lines[-1].value

    again = _resplit(sample, evidence.seed, axes.of(_pooled(evidence, sample, name)), measure)
    unit = max(float(np.mean([line.slope for line in lines])), 1e-12) / kernel.SET
    draws = frechet.spread_of(real, synthetic, sample.patients, rng, GAUSSIAN_DRAWS)
    # the line's own error is drawn, too, so that bounds hold for the extrapolated figure
    draws = draws + rng.normal(0, found.error, len(draws))
    ratio = Ratio(value=1 + found.value / unit, draws=1 + draws / unit, again=1 + again / unit)
    return _finding(
        f"fidelity.frechet.{name}", f"Frechet distance, extrapolated: {kind.title}", ratio, limits.frechet, sample,
        f"Frechet distance on {axes.vectors.shape[1]} principal axes of train, line in 1/n over {frechet.SIZES} sizes "
        f"read at 1/n = 0 (Chong and Forsyth 2020), in units of what two real sets of {kernel.SET} images differ by; "
        f"bootstrap by patient; floor: {len(again)} resplits. " +
        (f"FID in the user's network: {kind.method}" if kind.inception else
         "Not an FID: the features are not Inception's"),
        "train longer, or a larger generator", {"distance": st.number(found.value, 5), "axes": axes.vectors.shape[1],
                                                "floor_distance": st.number(unit, 5)})


def _classes(evidence: ImageEvidence, sample: Arms, limits: Limits) -> list[Finding]:
    """The kernel distance of each class by itself: one bad class of many is diluted in the whole."""
    names = sample.classes(evidence.contract.k)
    if not names:
        return [Finding(id="fidelity.class", title="Worst class by itself", verdict=Verdict.INFO, value=None,
                        power="not computed: n too small",
                        method="needs 50 images and k patients of a class in every set, and a target")]
    values, draws, counts = [], [], []
    real_labels, drawn_labels = sample.labels(sample.real), sample.labels(sample.synthetic)
    real, synthetic = space(evidence, CLASS_SPACE).of(sample.real), space(evidence, CLASS_SPACE).of(sample.synthetic)
    # the unit of the whole set: within a class whose images are nearly alike any difference would be enormous
    unit = kernel.floor(real, sample.real.entities)
    for label in names:
        own, drawn = real_labels == label, drawn_labels == label
        who = sample.real.entities[own], np.arange(int(drawn.sum()))
        found = kernel.kernel_distance(real[own], synthetic[drawn], who,
                                       generator(evidence.seed, "medical", "class", label))
        values.append(1 + found.value / unit)
        draws.append(1 + found.draws / unit)
        counts.append(min(int(own.sum()), int(drawn.sum())))
    found_all, drawn_all = np.array(values), np.array(draws)
    lows, highs = st.simultaneous(found_all, drawn_all)
    worst = st.deciding(lows, highs, limits.kernel_class)
    verdict, error = (st.at_most(float(lows[worst]), float(highs[worst]), limits.kernel_class),
                      st.standard_error(drawn_all[worst]))
    rows = [pictures.interval_row(t, v, lo, hi, 1.0, limits.kernel_class)
            for t, v, lo, hi in zip(names, found_all, lows, highs, strict=True)]
    needed = st.rows_to_pass(counts[worst], float(highs[worst] - found_all[worst]), error, limits.kernel_class - 1)
    return [Finding(
        id="fidelity.class", title="Worst class by itself, kernel distance", value=st.number(found_all[worst]),
        unit="x floor", low=st.number(lows[worst]), high=st.number(highs[worst]), floor=1.0, limit=limits.kernel_class,
        n=st.rounded(counts[worst]), verdict=verdict,
        method=f"the kernel distance within each class with at least {CLASS_LEAST} images in every set, in the "
               "units of the whole set, ImageNet features; bounds hold for all at once (max-statistic)",
        power=f"a ratio of {1 + st.detectable(error):.2f} in this class with 80 % power",
        remedy=st.remedy(verdict, f"see {names[worst]} first: more steps, or balanced conditions", needed,
                         counts[worst], "images of the class"),
        detail={"worst": names[worst],
                "pictures": [pictures.intervals("Kernel distance of each class", rows, "x floor")]})]


def _weights(evidence: ImageEvidence, sample: Arms, name: str) -> list[NDArray[np.float32]]:
    """Bootstrap weights by patient of the untouched and the synthetic set; the first draw is the data itself."""
    rng = generator(evidence.seed, "medical", name, "bootstrap")
    ones = np.ones((sample.images, 1), np.float32)
    return [np.hstack([ones, st.entity_weights(e, st.DRAWS, rng)]) for e in sample.patients]


def _intensity(evidence: ImageEvidence, sample: Arms, limits: Limits) -> Finding:
    parts = [signal.histograms(s.pixels) for s in (sample.train, sample.real, sample.synthetic)]
    weights = _weights(evidence, sample, "intensity")
    found = signal.wasserstein(parts[1].T @ weights[0], parts[2].T @ weights[1])
    again = _resplit(sample, evidence.seed, np.concatenate(parts[:2]),
                     lambda a, b, _: float(signal.wasserstein(a.sum(axis=0), b.sum(axis=0))))
    floor, scale = float(again.mean()), evidence.intensity.high - evidence.intensity.low
    value, error = float(found[0]) - floor, st.standard_error(found[1:])
    low, high = st.bounds(value, found[1:])
    verdict, unit = st.at_most(low, high, limits.intensity), evidence.intensity.unit
    return Finding(
        id="fidelity.intensity", title="Intensities beyond the floor", value=st.number(value, 4),
        unit="share of the window", low=st.number(low, 4), high=st.number(high, 4), floor=0.0, limit=limits.intensity,
        n=st.rounded(sample.images), verdict=verdict,
        method=f"first Wasserstein distance of all intensities (256 parts of the window), above the mean of "
               f"{len(again)} resplits of real patients; bootstrap by patient. Here {value * scale:.3g} "
               f"{unit or 'display values'} of a window of {scale:g}",
        power=f"an excess of {st.detectable(error):.4f} with 80 % power",
        remedy=st.remedy(verdict, "contrast or brightness is off: compare the windows of ingest and release",
                         st.rows_to_pass(sample.images, high - value, error, limits.intensity), sample.images,
                         "images a set"),
        detail={"floor_distance": st.number(floor, 4), "in_source_units": st.number(value * scale, 4)})


def _spectrum(evidence: ImageEvidence, sample: Arms, limits: Limits) -> Finding:
    weights = _weights(evidence, sample, "spectrum")
    power = [signal.powers(s.pixels).T @ w / w.sum(axis=0)
             for s, w in zip((sample.real, sample.synthetic), weights, strict=True)]
    found = signal.decibels(power[1], power[0])
    both = np.concatenate([found, -found])  # either way counts
    lows, highs = st.simultaneous(both[:, 0], both[:, 1:])
    worst = st.deciding(lows, highs, limits.spectrum)
    verdict = st.at_most(float(lows[worst]), float(highs[worst]), limits.spectrum)
    error, names = st.standard_error(both[worst, 1:]), signal.band_names(evidence.pixels.size)
    again = _resplit(sample, evidence.seed, np.concatenate([signal.powers(s.pixels)
                                                            for s in (sample.train, sample.real)]),
                     lambda a, b, _: float(np.abs(signal.decibels(a.mean(axis=0), b.mean(axis=0))).max()))
    m = len(names)
    rows = [pictures.interval_row(f"{name} cycles a pixel", found[i, 0], -highs[m + i], highs[i], 0.0, limits.spectrum)
            for i, name in enumerate(names)]
    lost = worst >= m
    return Finding(
        id="fidelity.spectrum", title="Power of the worst band of spatial frequency", value=st.number(both[worst, 0]),
        unit="dB", low=st.number(lows[worst]), high=st.number(highs[worst]), floor=st.number(float(again.mean())),
        limit=limits.spectrum, n=st.rounded(sample.images), verdict=verdict,
        method=f"mean power in {m} bands (Hann window), synthetic over untouched, either way; bounds hold for all "
               "bands at once (max-statistic); bootstrap by patient; floor: the largest of all bands in resplits",
        power=f"a change of {st.detectable(error):.2f} dB with 80 % power",
        remedy=st.remedy(verdict, f"power is {'lost (blur)' if lost else 'added (noise or a checkerboard)'} at "
                         f"{names[worst % m]} cycles a pixel", st.rows_to_pass(
                             sample.images, float(highs[worst] - both[worst, 0]), error, limits.spectrum),
                         sample.images, "images a set"),
        detail={"worst": names[worst % m], "lost": bool(lost),
                "pictures": [pictures.intervals("Power of synthetic over untouched real images", rows, "dB")]})


def _separation(evidence: ImageEvidence, sample: Arms) -> Finding:
    """A classifier on both spaces: reported, because it tells every generator's images from real ones."""
    columns: tuple[list[NDArray[np.float64]], ...] = ([], [], [])
    for name in SPACES:
        fitted = space(evidence, name)
        axes = frechet.Axes.fit(fitted.of(sample.train), sample.images, FEW_AXES)
        for kept, images in zip(columns, (sample.real, sample.synthetic, sample.train), strict=True):
            kept.append(axes.of(fitted.of(images)))
    first, other, second = (np.concatenate(x, axis=1) for x in columns)
    seed, plain = derive(evidence.seed, "medical", "separation"), np.zeros(first.shape[1], bool)
    found = separate(first, sample.real.entities, other, sample.patients[1], plain, seed=seed)
    floor = separate(first, sample.real.entities, second, sample.train.entities, plain, seed=seed)
    return Finding(
        id="fidelity.separation", title="Telling synthetic from untouched real images", value=st.number(found.auc),
        unit="AUC", low=st.number(found.low), high=st.number(found.high), floor=st.number(floor.auc),
        n=st.rounded(sample.images), verdict=Verdict.INFO,
        method="classifier two-sample test (Lopez-Paz and Oquab 2017): gradient boosting on the principal axes of both "
               "feature spaces, 3 folds that keep patients together. Decides nothing: it also sees differences that no "
               "user of the images would",
        remedy="information only", detail={"pictures": [gallery(sample)]})


def _inception_scores(evidence: ImageEvidence, sample: Arms) -> list[Finding]:
    """Inception Score where a network of that kind says classes: reported, since real images decide what is high."""
    found = []
    for network in of_kind(evidence, NetworkKind.INCEPTION):
        said = [network.probabilities(images) for images in (sample.real, sample.synthetic)]
        if said[0] is None or said[1] is None:
            continue
        weights = _weights(evidence, sample, "inception score")
        real, drawn = (inception_score(p, w) for p, w in zip((said[0], said[1]), weights, strict=True))
        low, high = st.bounds(float(drawn[0]), drawn[1:])
        found.append(Finding(
            id=f"fidelity.score.{network.name}", title="Inception Score", value=st.number(drawn[0]),
            low=st.number(low), high=st.number(high), floor=st.number(real[0]), unit="score", direction="at least",
            n=st.rounded(sample.images), verdict=Verdict.INFO,
            method=f"exp of the mean divergence of class probabilities (Salimans et al. 2016); floor: untouched real "
                   f"images; bootstrap by patient. {network.method}. Decides nothing: it never looks at real images",
            power=f"a change of {st.detectable(st.standard_error(drawn[1:])):.3f} with 80 % power",
            remedy="information only"))
    return found
