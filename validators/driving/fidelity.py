"""Fidelity of driving: do synthetic vehicles drive, and meet each other, as fresh drivers of the same roads do?"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving import safety
from synth.driving.encroachment import min_pet
from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import EGO, SPEED, Scenes, joined
from synth.seeds import derive, generator
from validators import listing, pictures
from validators import statistics as st
from validators.discriminator import separate
from validators.driving import realism, telemetry
from validators.driving.arms import (
    CLASS_LEAST,
    LEAST,
    MOST,
    SCENES,
    Arms,
    arms,
    shown,
    too_small,
    untouched,
    weights,
)
from validators.driving.gallery import gallery
from validators.driving.summaries import summaries
from validators.finding import Finding, GateResult, Verdict
from validators.memo import memo

TITLE = "Fidelity"
QUESTION = "Do synthetic vehicles drive, and react to each other, as vehicles of fresh drivers on the same roads do?"
GRID = 60  # cells of a measure's range, for distances of distributions
MEASURES = {"time to collision": 10.0, "headway": 6.0, "deceleration to avoid a crash": 8.0,
            "post-encroachment time": 6.0}  # of the ego vehicle; cap
NOT_TESTED = (f"more than {MOST:,} scenes a set", f"manoeuvres with fewer than {CLASS_LEAST} scenes or k entities in a "
              "set, by themselves", "whether a scene shows what its row says (the contract gate does)",
              "the bend and slope of roads: scenes lie in the road's own frame",
              "scores of the Waymo leaderboard: the same measures on other data and other objects are other numbers")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Smallest realism and largest tolerated distances.

    Calibrated on other runs of one simulator, ``tests/benchmarks/results/driving_gates.md``: clean sets of 1,000 scenes
    have bounds of .743 (feature), .194 (safety) and .293 (listing) at worst in ten seeds.

    * realism .95: the weighted measures of the Waymo challenge, over what real scenes reach (the project's bar).
    * feature .70: the worst of the measures by itself, on bins between quantiles of real values and within
      manoeuvres, over what real scenes reach: the challenge's bins are too wide for motorways.
    * separation .70: AUC of gradient boosting on kinematic summaries (the project's bar), and on top of it what real
      train is told from untouched scenes beyond .5: other runs of one simulator reach .52 to .70.
    * safety .35: distance of the distributions of time to collision, headway, required deceleration and
      post-encroachment time within manoeuvres, in spreads of the measure, beyond the noise of two real sets.
    * telemetry .35: learnt channels of telemetry alone: distance of what they are beyond the motion in spreads, and
      difference of its correlations over time, beyond the noise of two real sets.
    * listing .35: worst column of the listing beyond the floor: recordings are few and each has a density of its own.
    * minimum_entities, minimum_scenes: what a set needs before anything is judged; bounds by entity, of few entities,
      are too narrow by some per cent.
    """

    realism: float = field(default=0.95, metadata={"direction": "at least", "range": (0, 2)})
    feature: float = field(default=0.70, metadata={"direction": "at least", "range": (0, 2)})
    separation: float = field(default=0.70, metadata={"direction": "at most", "range": (0.5, 1)})
    safety: float = field(default=0.35, metadata={"direction": "at most", "range": (0, 100)})
    telemetry: float = field(default=0.35, metadata={"direction": "at most", "range": (0, 100)})
    listing: float = field(default=0.35, metadata={"direction": "at most", "range": (0, 1)})
    minimum_entities: float = field(default=LEAST, metadata={"direction": "at least", "range": (4, 1e9)})
    minimum_scenes: float = field(default=SCENES, metadata={"direction": "at least", "range": (50, 1e9)})


def run(evidence: SceneEvidence, limits: Limits) -> GateResult:
    """Judge realism, separability, safety measures and the listing."""
    start = time.monotonic()
    few = too_small(evidence, "fidelity", limits.minimum_entities, limits.minimum_scenes)
    if few is not None:
        found: list[Finding] = [few]
    else:
        sample = arms(evidence)
        found = [*_realism(evidence, sample, limits), _separation(evidence, sample, limits),
                 *_safety(evidence, sample, limits), *telemetry.fidelity(evidence, sample, limits.telemetry),
                 *_listing(evidence, limits.listing)]
    return GateResult(gate="fidelity", title=TITLE, question=QUESTION, findings=tuple(found), not_tested=NOT_TESTED,
                      seconds=round(time.monotonic() - start, 3))


def summed(scenes: Scenes) -> NDArray[np.float64]:
    """Kinematic summaries of a set [n, columns], computed once for all gates."""
    return memo(scenes, "summaries", lambda: summaries(scenes)[1])


def _realism(evidence: SceneEvidence, sample: Arms, limits: Limits) -> list[Finding]:
    sets = sample.train, sample.real, sample.synthetic
    values = [realism.measured(s) for s in sets]
    real_w, synthetic_w = weights(evidence, sample, "realism")
    train_w = np.hstack([np.ones((sample.size, 1), np.float32), st.entity_weights(
        sample.train.entities, st.DRAWS, generator(evidence.seed, "driving", "realism", "train"))])
    drawn = (train_w, real_w, synthetic_w)
    coarse, fine = {}, {}
    cells = _cells(sample)
    for feature in realism.FEATURES:
        parts = [realism.counts(v[feature.name], realism.edges(feature)) for v in values]
        totals = [c.T @ w for c, w in zip(parts, drawn, strict=True)]
        coarse[feature] = (realism.likelihood(totals[1], totals[2]), realism.likelihood(totals[1], totals[0]))
        parts = [realism.counts(v[feature.name], realism.edges(feature, values[0][feature.name])) for v in values]
        logs = np.zeros((2, real_w.shape[1]))
        share = np.zeros(real_w.shape[1])
        for rows in cells:
            train, real, synthetic = (c[r].T @ w[r] for c, w, r in zip(parts, drawn, rows, strict=True))
            mass = real.sum(axis=0)
            logs += mass * np.log(np.stack([realism.likelihood(real, synthetic), realism.likelihood(real, train)]))
            share += mass
        fine[feature] = tuple(np.exp(logs / np.maximum(share, 1e-9)))
    return [_meta(sample, coarse, limits.realism), _worst_feature(sample, fine, limits.feature)]


def _cells(sample: Arms) -> list[list[NDArray[np.bool_]]]:
    """Rows of train, untouched and synthetic by manoeuvre; the manoeuvres that are too rare go together."""
    labels = [shown(s) for s in (sample.train, sample.real, sample.synthetic)]
    common = [c for c in sorted(set(labels[1])) if min((own == c).sum() for own in labels) >= CLASS_LEAST]
    cells = [[own == c for own in labels] for c in common]
    rest = [~np.isin(own, common) for own in labels]
    return [*cells, rest] if min(r.sum() for r in rest) >= CLASS_LEAST or not cells else cells


Likelihoods = dict[realism.Feature, tuple[NDArray[np.float64], NDArray[np.float64]]]


def _meta(sample: Arms, found: Likelihoods, limit: float) -> Finding:
    weight = sum(f.weight for f in found)
    both = [np.sum([f.weight / weight * pair[i] for f, pair in found.items()], axis=0) for i in (0, 1)]
    ratio = np.asarray(both[0] / both[1])
    value, error = float(ratio[0]), st.standard_error(ratio[1:])
    low, high = st.bounds(value, ratio[1:])
    verdict = st.at_least(low, high, limit)
    rows: list[list[str | float | None]] = [[f.title, f.kind, f.weight, st.number(float(a[0])),
                                             st.number(float(b[0]))] for f, (a, b) in found.items()]
    shown_ = [pictures.intervals("Realism over that of real scenes", [
        pictures.interval_row("synthetic", value, low, high, 1.0, limit)], "ratio"),
        pictures.table("Likelihood of untouched real scenes", ["measure", "kind", "weight", "under synthetic",
                                                               "under real train"], rows)]
    return Finding(
        id="fidelity.realism", title="Realism, over that of real scenes", value=st.number(value), low=st.number(low),
        high=st.number(high), unit="ratio", floor=1.0, limit=limit, direction="at least", n=st.rounded(sample.size),
        verdict=verdict,
        method="measures of the Waymo Sim Agents and Scenario Generation challenges (Montali et al. 2023) from their "
               "definition, pooled over objects, with the 2025 weights (no traffic lights), divided by what real train "
               "reaches; bootstrap by entity",
        power=f"a loss of {st.detectable(error):.3f} at n = {st.rounded(sample.size):,} with 80 % power",
        remedy=st.remedy(verdict, "see which measure is lowest beside real train", st.rows_to_pass(
            sample.size, value - low, error, 1 - limit), sample.size, "scenes a set"),
        detail={"synthetic": st.number(float(both[0][0])), "real": st.number(float(both[1][0])), "pictures": shown_})


def _worst_feature(sample: Arms, found: Likelihoods, limit: float) -> Finding:
    names = [f.title for f in found]
    draws = np.stack([a / np.maximum(b, 1e-9) for a, b in found.values()])
    lows, highs = st.simultaneous(-draws[:, 0], -draws[:, 1:])
    worst = st.deciding(lows, highs, -limit)
    verdict = st.at_most(float(lows[worst]), float(highs[worst]), -limit)
    error = st.standard_error(draws[worst, 1:])
    rows = [pictures.interval_row(n, v, -hi, -lo, 1.0, limit)
            for n, v, lo, hi in zip(names, draws[:, 0], lows, highs, strict=True)]
    return Finding(
        id="fidelity.feature", title="The least realistic measure by itself, over that of real scenes",
        value=st.number(draws[worst, 0]), low=st.number(-highs[worst]), high=st.number(-lows[worst]), unit="ratio",
        floor=1.0, limit=limit, direction="at least", n=st.rounded(sample.size), verdict=verdict,
        method=f"the same likelihoods with {realism.FINE} bins between quantiles of real values, within manoeuvres; "
               "bounds hold for all measures at once (max-statistic); bootstrap by entity",
        power=f"a loss of {st.detectable(error):.3f} in this measure with 80 % power",
        remedy=st.remedy(verdict, f"the {names[worst]} is not as in real traffic", st.rows_to_pass(
            sample.size, float(highs[worst] + draws[worst, 0]), error, 1 - limit), sample.size, "scenes a set"),
        detail={"worst": names[worst],
                "pictures": [pictures.intervals("Realism of each measure within manoeuvres", rows, "ratio")]})


def _separation(evidence: SceneEvidence, sample: Arms, limits: Limits) -> Finding:
    names = summaries(sample.real.take(np.arange(1)))[0]
    train, real, synthetic = (summed(s) for s in (sample.train, sample.real, sample.synthetic))
    seed, plain = derive(evidence.seed, "driving", "separation"), np.zeros(len(names), bool)
    found = separate(real, sample.real.entities, synthetic, sample.entities[1], plain, seed=seed, importance=True)
    floor = separate(real, sample.real.entities, train, sample.train.entities, plain, seed=seed)
    low, high = found.low, found.high
    limit = limits.separation + max(floor.auc - 0.5, 0.0)  # recordings differ among themselves, too
    verdict = st.at_most(low, high, limit)
    first = np.argsort(-found.importance)[:8]
    bars: dict[str, list[float | None]] = {"loss of AUC": [st.number(max(found.importance[i], 0.0)) for i in first]}
    shown_ = [pictures.bars("What gives synthetic scenes away", [names[i] for i in first], bars, "AUC")]
    return Finding(
        id="fidelity.separation", title="Telling synthetic from untouched real scenes", value=st.number(found.auc),
        low=st.number(low), high=st.number(high), unit="AUC", floor=st.number(floor.auc), limit=st.number(limit),
        n=st.rounded(sample.size), verdict=verdict,
        method=f"classifier two-sample test (Lopez-Paz and Oquab 2017): gradient boosting on {len(names)} kinematic "
               "summaries, 3 folds that keep entities together; floor: real train against untouched, whose distance "
               "from .5 is added to the limit",
        power=f"an AUC of {0.5 + st.detectable(found.error):.3f} at n = {st.rounded(sample.size):,} with 80 % power",
        remedy=st.remedy(verdict, f"'{names[first[0]]}' gives most away", st.rows_to_pass(
            sample.size, high - found.auc, found.error, limit - floor.auc), sample.size, "scenes a set"),
        detail={"worst": names[first[0]], "pictures": [gallery(sample.synthetic), *shown_]})


def measures(scenes: Scenes) -> NDArray[np.float64]:
    """The extremes of MEASURES of the ego vehicle in each scene, capped, float64 [n, 4]."""
    pairs = safety.following(scenes)
    speed = np.maximum(scenes.states[:, EGO, :, SPEED].astype(np.float64), 1.0)
    found = np.stack([pairs.ttc[:, EGO].min(axis=1), (np.maximum(pairs.gap[:, EGO], 0) / speed).min(axis=1),
                      pairs.drac[:, EGO].max(axis=1), min_pet(scenes)], axis=1)
    return np.asarray(np.minimum(found, np.array(list(MEASURES.values()))))


def _safety(evidence: SceneEvidence, sample: Arms, limits: Limits) -> list[Finding]:
    """First Wasserstein distance of each measure within manoeuvres, beyond the noise of two real sets."""
    title = "Worst distribution of closeness within manoeuvres, beyond the floor"
    groups = sample.classes(evidence.contract.k)
    if not groups:
        return [Finding(id="fidelity.safety", title=title, verdict=Verdict.INCONCLUSIVE, value=None,
                        limit=limits.safety, power="not computed: n too small",
                        method=f"needs {CLASS_LEAST} scenes and k entities of a manoeuvre in every set",
                        remedy="provide more scenes, or draw more of the frequent manoeuvres")]
    sets = (measures(sample.real), shown(sample.real)), (measures(sample.synthetic), shown(sample.synthetic))
    spread, drawn = measures(sample.train).std(axis=0), weights(evidence, sample, "safety")
    share = np.array([(sets[0][1] == g).mean() for g in groups])
    cells = np.array([[_transported([d[own == g, i] for d, own in sets], [w[own == g] for (_, own), w in
                                                                          zip(sets, drawn, strict=True)],
                                    cap, float(spread[i])) for g in groups]
                      for i, cap in enumerate(MEASURES.values())])  # [measures, manoeuvres, 1 + draws]
    draws = np.einsum("mgd,g->md", cells, share / share.sum())
    names = list(MEASURES)
    worst, lows, highs, verdict, error = st.worst_of(draws, limits.safety)
    rows = [pictures.interval_row(n, v, lo, hi, 0.0, limits.safety)
            for n, v, lo, hi in zip(names, draws[:, 0], lows, highs, strict=True)]
    table: list[list[str | float | None]] = [[g, *(st.number(float(cells[m, i, 0])) for m in range(len(names)))]
                                             for i, g in enumerate(groups)]
    needed = st.rows_to_pass(sample.size, float(highs[worst] - draws[worst, 0]), error, limits.safety)
    return [Finding(
        id="fidelity.safety", title=title, value=st.number(draws[worst, 0]), low=st.number(lows[worst]),
        high=st.number(highs[worst]), unit="spreads", floor=0.0, limit=limits.safety, n=st.rounded(sample.size),
        verdict=verdict,
        method=f"first Wasserstein distance of the ego vehicle's extremes to untouched scenes of the same manoeuvre, "
               f"in spreads of the measure, less the noise of two real sets; mean over {len(groups)} manoeuvres; "
               "bounds hold for all measures at once (max-statistic); bootstrap by entity",
        power=f"an excess of {st.detectable(error):.3f} with 80 % power",
        remedy=st.remedy(verdict, f"vehicles come too near, or keep too far: {names[worst]}", needed, sample.size,
                         "scenes a set"),
        detail={"worst": names[worst], "pictures": [
            pictures.intervals(title, rows, "spreads"),
            pictures.table("Distance beyond the floor, by manoeuvre", ["manoeuvre", *names], table)]})]


def _transported(values: list[NDArray[np.float64]], drawn: list[NDArray[np.float32]], cap: float,
                 spread: float) -> NDArray[np.float64]:
    """First Wasserstein distance of two samples in spreads, less the noise of bootstrap draws, (1 + draws,)."""
    totals = []
    for data, w in zip(values, drawn, strict=True):
        counts = np.zeros((GRID + 1, w.shape[1]))
        np.add.at(counts, np.minimum((data / cap * GRID).astype(int), GRID), w)
        totals.append(np.cumsum(counts / np.maximum(counts.sum(axis=0), 1e-9), axis=0))
    unit = cap / GRID / max(spread, 0.05 * cap)
    found = np.abs(totals[1] - totals[0]).sum(axis=0) * unit
    noise = np.sqrt(sum(((np.abs(t[:, 1:] - t[:, :1]).sum(axis=0) * unit) ** 2).mean() for t in totals))
    return np.asarray(found - noise)


def _listing(evidence: SceneEvidence, limit: float) -> list[Finding]:
    train = evidence.train
    real = joined(train, untouched(evidence))  # the mix of conditions is that of the recordings, all of them
    found: list[Any] = listing.judge(
        (real.table, real.entities), evidence.synthetic.table, (train.table, train.entities), evidence.reference.table,
        evidence.schema, limit=limit, who="entity", rng=generator(evidence.seed, "driving", "listing"))
    return list(found)
