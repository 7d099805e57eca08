"""Diversity of driving: is every kind of scene there, rare ones too, with outcomes as various as in real traffic?"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import Scenes
from validators import pictures
from validators import statistics as st
from validators.driving.arms import CLASS_LEAST, LEAST, MOST, SCENES, Arms, arms, shown, too_small, weights
from validators.driving.fidelity import summed
from validators.driving.kinematics import WEATHER
from validators.driving.summaries import OUTCOMES, Axes, outcomes
from validators.finding import Finding, GateResult, Verdict
from validators.precision import NEIGHBOURS, neighbourhood, squared_distances

TITLE = "Diversity"
QUESTION = "Are there scenes of every kind that real traffic has, as various as real ones, and none again and again?"
AXES = 16  # principal axes of the summaries in which neighbours are sought
REACHED = 0.25  # of real train's share of a cell
CLOSEST = 0.01  # real scenes whose nearest other scene says how near is too near
PARTS = 3  # of the density
CELL_ENTITIES = 3  # of real train that a cell needs: one recording's peculiarity is none
RARE = 20  # scenes of a manoeuvre to expect, below which it is judged together with other rare ones
OUTCOME_LEAST = 20  # scenes of a condition in each set for the spread of its outcomes
NOT_TESTED = (f"more than {MOST:,} scenes a set", f"manoeuvres with fewer than {CLASS_LEAST} scenes or k entities in a "
              "set, by themselves", "cells of manoeuvre, weather and density that fewer than 3 entities have")

Draws = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Smallest tolerated share of what fresh real scenes reach.

    Clean sets of 1,000 scenes keep them in ten of ten seeds, ``tests/benchmarks/results/driving_gates.md``.

    * coverage, recall: neighbours of untouched scenes in summary space, .70 of the floor, as for images.
    * manoeuvres: the rarest-served manoeuvre, its share over real's, .25.
    * cells: cells of manoeuvre, weather and density that are reached, over those that untouched scenes reach, .70.
    * spread: spread of outcomes within a condition over real's, geometric mean of the outcomes, .70.
    * duplicates: scenes nearly equal to another synthetic one, at most .05 more frequent than among real ones.
    * minimum_entities, minimum_scenes: what a set needs before anything is judged; bounds by entity, of few entities,
      are too narrow by some per cent.
    """

    coverage: float = field(default=0.70, metadata={"direction": "at least", "range": (0, 1)})
    recall: float = field(default=0.70, metadata={"direction": "at least", "range": (0, 1)})
    manoeuvres: float = field(default=0.25, metadata={"direction": "at least", "range": (0, 1)})
    cells: float = field(default=0.70, metadata={"direction": "at least", "range": (0, 1)})
    spread: float = field(default=0.70, metadata={"direction": "at least", "range": (0, 1)})
    duplicates: float = field(default=0.05, metadata={"direction": "at most", "range": (0, 1)})
    minimum_entities: float = field(default=LEAST, metadata={"direction": "at least", "range": (4, 1e9)})
    minimum_scenes: float = field(default=SCENES, metadata={"direction": "at least", "range": (50, 1e9)})


def run(evidence: SceneEvidence, limits: Limits) -> GateResult:
    """Judge coverage, recall, rare manoeuvres, cells, spread of outcomes, and repeats."""
    start = time.monotonic()
    few = too_small(evidence, "diversity", limits.minimum_entities, limits.minimum_scenes)
    if few is not None:
        findings = [few]
    else:
        sample = arms(evidence)
        drawn = weights(evidence, sample, "diversity")
        points = _points(sample)
        findings = [*_balls(sample, points, drawn[0], limits), _manoeuvres(evidence, limits),
                    _cells(evidence, sample, drawn, limits), _spread(evidence, sample, drawn, limits),
                    _duplicates(points, drawn, limits, sample.size)]
    return GateResult(gate="diversity", title=TITLE, question=QUESTION, findings=tuple(findings), not_tested=NOT_TESTED,
                      seconds=round(time.monotonic() - start, 3))


def _points(sample: Arms) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    axes = Axes.fit(summed(sample.train), AXES)
    train, real, synthetic = (axes.of(summed(s)) for s in (sample.train, sample.real, sample.synthetic))
    return train, real, synthetic


def _share(at: str, title: str, ratios: NDArray[np.float64], limit: float, n: int, method: str, advice: str,
           detail: dict[str, object]) -> Finding:
    """A finding of a ratio to the floor; ``ratios`` has the data's first, then the draws'."""
    value, error = float(ratios[0]), st.standard_error(ratios[1:])
    low, high = st.bounds(value, ratios[1:])
    verdict = st.at_least(low, high, limit)
    shown_ = [pictures.intervals(title, [pictures.interval_row("synthetic", value, low, high, 1.0, limit)], "ratio")]
    extra = detail.pop("pictures", [])
    assert isinstance(extra, list)
    return Finding(
        id=at, title=title, value=st.number(value), unit="ratio", low=st.number(low), high=st.number(high), floor=1.0,
        limit=limit, direction="at least", n=st.rounded(n), verdict=verdict, method=method,
        power=f"a loss of {st.detectable(error):.3f} at n = {st.rounded(n):,} with 80 % power",
        remedy=st.remedy(verdict, advice, st.rows_to_pass(n, value - low, error, 1 - limit), n, "scenes a set"),
        detail={**detail, "pictures": [*shown_, *extra]})


def _balls(sample: Arms, points: tuple[NDArray[np.float32], ...], drawn: Draws, limits: Limits) -> list[Finding]:
    train, real, synthetic = points
    found, floor = neighbourhood(real, synthetic), neighbourhood(real, train)
    findings = []
    for name, limit in (("coverage", limits.coverage), ("recall", limits.recall)):
        values, base = getattr(found, name), getattr(floor, name)
        ratios = np.asarray((values @ drawn) / np.maximum(base @ drawn, 1e-9))
        findings.append(_share(
            f"diversity.{name}", f"{name.capitalize()} as a share of the floor", ratios, limit, sample.size,
            f"{name} of untouched real scenes with {NEIGHBOURS} neighbours (Kynkaanniemi et al. 2019, Naeem et al. "
            f"2020) on {real.shape[1]} axes of kinematic summaries, synthetic over train at the same size; paired "
            "bootstrap by entity", "whole kinds of scenes are missing: train longer, or look for collapse",
            {"floor_value": st.number(float(base.mean())), "value": st.number(float(values.mean()))}))
    return findings


def _manoeuvres(evidence: SceneEvidence, limits: Limits) -> Finding:
    """Is no manoeuvre of real train left out? All scenes count, because the rare ones are few."""
    title = "The manoeuvre that is served least, its share over that of real scenes"
    own, drawn = shown(evidence.train), shown(evidence.synthetic)
    people = {m: len(np.unique(evidence.train.entities[own == m])) for m in np.unique(own)}
    names = [m for m in sorted(people) if people[m] >= evidence.contract.k]
    # manoeuvres so rare that a faultless set of this size could miss them are judged together
    rare = [m for m in names if (own == m).mean() * len(drawn) < RARE]
    groups = [(m, [m]) for m in names if m not in rare] + ([(" or ".join(rare), rare)] if rare else [])
    groups = [(name, kinds) for name, kinds in groups if np.isin(own, kinds).mean() * len(drawn) >= RARE / 4]
    if not groups:
        return Finding(id="diversity.manoeuvres", title=title, verdict=Verdict.INCONCLUSIVE, value=None,
                       limit=limits.manoeuvres, direction="at least", power="not computed: n too small",
                       remedy="no manoeuvre has k entities: provide more")
    level = 1 - (1 - st.LEVEL) / len(groups)
    rows = []
    for _, kinds in groups:
        expected, count = float(np.isin(own, kinds).mean()) * len(drawn), int(np.isin(drawn, kinds).sum())
        # counts are Poisson where they are few: bounds by the square root, whose spread is known for none, too
        root, error = np.sqrt(count + 0.375), 0.5 * st.quantile(level)
        rows.append((count / expected, max(root - error, 0.0) ** 2 / expected, (root + error) ** 2 / expected))
    found = np.array(rows)
    worst = st.deciding(-found[:, 2], -found[:, 1], -limits.manoeuvres)
    value, low, high = (float(v) for v in found[worst])
    verdict = st.at_least(low, high, limits.manoeuvres)
    shares: dict[str, list[float | None]] = {
        "real": [st.number(float((own == m).mean()), 4) for m in names],
        "synthetic": [st.number(float((drawn == m).mean()), 4) for m in names]}
    few = st.rounded(int(np.isin(own, groups[worst][1]).sum()))
    return Finding(
        id="diversity.manoeuvres", title=title, value=st.number(value), low=st.number(low), high=st.number(high),
        unit="ratio", floor=1.0, limit=limits.manoeuvres, direction="at least", n=few, verdict=verdict,
        method=f"shares of the manoeuvres that k or more entities of real train show; those with fewer than {RARE} "
               "scenes to expect go together; bounds for counts, for all at once (Bonferroni)",
        power=f"a manoeuvre that is left out is noticed at {RARE} scenes to expect",
        remedy=st.remedy(verdict, f"{groups[worst][0]} is hardly there: balance the manoeuvres", None, few, "scenes"),
        detail={"worst": groups[worst][0], "pictures": [pictures.bars("Shares of manoeuvres", names, shares, "share")]})


def conditions(scenes: Scenes, cuts: NDArray[np.float64], density: bool = True) -> NDArray[np.str_]:
    """Cell of manoeuvre, weather and (thirds of) density of each scene."""
    parts = [shown(scenes)]
    if WEATHER in scenes.table:
        parts.append(scenes.table[WEATHER].fillna("").to_numpy(dtype=str))
    if density and len(cuts):
        which = np.searchsorted(cuts, scenes.table["density"].to_numpy(np.float64))
        parts.append(np.array(["low", "middle", "high"])[np.minimum(which, 2)])
    cells: NDArray[np.str_] = np.array([" / ".join(row) for row in zip(*parts, strict=True)], dtype=str)
    return cells


def _cuts(train: Scenes) -> NDArray[np.float64]:
    if "density" not in train.table:
        return np.zeros(0)
    values = train.table["density"].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    return np.quantile(values, np.arange(1, PARTS) / PARTS) if len(values) else np.zeros(0)


def _cells(evidence: SceneEvidence, sample: Arms, drawn: tuple[Draws, Draws], limits: Limits) -> Finding:
    """Which cells of real train are reached by synthetic and by untouched scenes."""
    cuts = _cuts(evidence.train)
    cells = conditions(evidence.train, cuts)
    names, counts = np.unique(cells, return_counts=True)
    people = {n: len(np.unique(evidence.train.entities[cells == n])) for n in names}
    # cells so rare that a set of this size would miss them by chance say nothing
    expected = counts / len(cells) * sample.size
    kept = [(n, c / len(cells)) for n, c, e in zip(names, counts, expected, strict=True)
            if people[n] >= CELL_ENTITIES and e >= 4]
    hits = []
    for scenes, w in ((sample.synthetic, drawn[1]), (sample.real, drawn[0])):
        own = conditions(scenes, cuts)
        hits.append(np.array([w[own == n].sum(axis=0) >= REACHED * share * sample.size for n, share in kept], float))
    if not kept:
        return Finding(id="diversity.cells", title="Cells of manoeuvre, weather and density that are reached",
                       verdict=Verdict.INCONCLUSIVE, value=None, limit=limits.cells, direction="at least",
                       power="not computed: n too small", remedy=f"no cell has {CELL_ENTITIES} entities: provide more")
    table = pictures.table("Cells", ["", "cells"], [
        ["of real train, frequent enough", len(kept)], ["reached by synthetic scenes", int(hits[0][:, 0].sum())],
        ["reached by untouched scenes", int(hits[1][:, 0].sum())]])
    return _share("diversity.cells", "Cells of manoeuvre, weather and density that are reached, over untouched scenes",
                  (hits[0].sum(axis=0) + 0.5) / (hits[1].sum(axis=0) + 0.5), limits.cells, sample.size,
                  f"{len(kept)} cells (density in thirds) that {CELL_ENTITIES} entities of real train have and that a "
                  f"set of this size has four times; reached with at least {REACHED:g} of train's share; bootstrap by "
                  "entity",
                  "some conditions are not served: balance them", {"pictures": [table]})


def _spread(evidence: SceneEvidence, sample: Arms, drawn: tuple[Draws, Draws], limits: Limits) -> Finding:
    """Are the outcomes of scenes of one manoeuvre and weather as various as real ones?"""
    sets = (sample.real, drawn[0]), (sample.synthetic, drawn[1])
    data = [outcomes(s) for s, _ in sets]
    own = [conditions(s, np.zeros(0), density=False) for s, _ in sets]
    names = [n for n in np.unique(own[0]) if min((o == n).sum() for o in own) >= OUTCOME_LEAST]
    title = "Spread of outcomes within a condition, over that of real scenes"
    if not names:
        return Finding(id="diversity.spread", title=title, verdict=Verdict.INCONCLUSIVE, value=None,
                       limit=limits.spread, direction="at least", power="not computed: n too small",
                       remedy=f"no condition has {OUTCOME_LEAST} scenes in both sets: draw or provide more")
    logs, mass = np.zeros((len(OUTCOMES), drawn[0].shape[1])), 0.0
    for name in names:
        spread = [_deviation(d[o == name], w[o == name]) for d, o, (_, w) in zip(data, own, sets, strict=True)]
        share = float((own[0] == name).mean())
        floor = 0.02 * data[0].std(axis=0)[:, None] + 1e-9  # outcomes that hardly vary say nothing
        logs += share * np.log((spread[1] + floor) / (spread[0] + floor))
        mass += share
    each = np.exp(logs / mass)
    rows = [pictures.interval_row(n, float(v[0]), *st.bounds(float(v[0]), v[1:]), 1.0, limits.spread)
            for n, v in zip(OUTCOMES, each, strict=True)]
    return _share("diversity.spread", title, np.exp(np.log(each).mean(axis=0)), limits.spread, sample.size,
                  f"standard deviations of {len(OUTCOMES)} outcomes of the ego vehicle within {len(names)} conditions "
                  "of manoeuvre and weather, geometric mean, synthetic over untouched; bootstrap by entity",
                  "scenes of one condition are too alike: more noise, or a weaker likelihood",
                  {"pictures": [pictures.intervals("Spread of each outcome within conditions", rows, "ratio")]})


def _deviation(data: NDArray[np.float64], w: Draws) -> NDArray[np.float64]:
    """Weighted standard deviation of each column, [columns, draws]."""
    total = np.maximum(w.sum(axis=0), 1e-9)
    centred = data - data.mean(axis=0)
    mean = centred.T @ w / total
    return np.asarray(np.sqrt(np.maximum((centred**2).T @ w / total - mean**2, 0.0)))


def _duplicates(points: tuple[NDArray[np.float32], ...], drawn: tuple[Draws, Draws], limits: Limits,
                size: int) -> Finding:
    """Synthetic scenes that stand as near to another synthetic one as only one in a hundred real scenes does."""
    _, real, synthetic = points
    nearest = []
    for own in (real, synthetic):
        apart = squared_distances(own, own)
        np.fill_diagonal(apart, np.inf)
        nearest.append(apart.min(axis=1))
    edge = float(np.quantile(nearest[0], CLOSEST))
    flags = [(n <= edge).astype(float) for n in nearest]
    totals = [np.maximum(w.sum(axis=0), 1e-9) for w in drawn]
    found = flags[1] @ drawn[1] / totals[1] - flags[0] @ drawn[0] / totals[0]
    value, error = float(found[0]), st.standard_error(found[1:])
    low, high = st.bounds(value, found[1:])
    verdict = st.at_most(low, high, limits.duplicates)
    return Finding(
        id="diversity.duplicates", title="Scenes nearly equal to another synthetic one, beyond real traffic",
        value=st.number(value), low=st.number(low), high=st.number(high), unit="share", floor=0.0,
        limit=limits.duplicates, n=st.rounded(size), verdict=verdict,
        method=f"nearest other scene of the set in summary space, nearer than {100 * CLOSEST:g} % of untouched scenes "
               "have theirs; bootstrap by entity",
        power=f"an excess of {st.detectable(error):.3f} with 80 % power",
        remedy=st.remedy(verdict, "the same scene comes again and again: the generator collapsed",
                         st.rows_to_pass(size, high - value, error, limits.duplicates), size, "scenes a set"))
