"""Gate "contract" for driving: can these scenes happen, do they show what was asked, and are the files what they say?

Recordings are not free of faults (tracking errors, boxes that touch), so every rate is held against the real one plus a
stated margin, never against zero; real scenes get the synthetic set's mix of manoeuvres and weathers first. The listing
is judged by the gate on tables, the files by reading them back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving import geometry, labels, safety
from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import EGO, MANOEUVRE, Scenes, joined
from synth.tabular.evidence import PARTS
from validators import contract as tables
from validators import pictures
from validators import statistics as st
from validators.driving import files, kinematics, replay
from validators.driving.arms import shown
from validators.driving.rates import Excess, excess, standardised, wilson
from validators.finding import Finding, GateResult, Verdict

TITLE = "Contract"
QUESTION = "Can every scene happen on this road, does it show what was asked, and is every file what it promises?"
CLASS_LEAST = 30  # synthetic scenes of a manoeuvre below which its obedience is not judged alone
NOT_TESTED: tuple[str, ...] = (
    "whether the contract says what it should",
    "impossible motion between two steps", "tyres and engines beyond a circle of friction by weather",
    "rules of the road other than keeping to the lanes",
    "whether a driver would have reacted in time: near misses are avoidable by brakes that grip at once")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be wrong before the gate fails.

    * violating_rows, failed_expectations, files: of the listing and of the files, as for tables and images: none.
    * motion .01, collisions .005, off_road .01: share of scenes with the fault above the real rate. For collisions the
      project's bar (even nuPlan's logs show .6 % off-road and .03 % collisions when replayed); fresh runs of one
      simulator leave the lanes up to .4 points more often than others. ``relative`` of the real rate comes on top,
      because a frequent fault's rate scatters more.
    * obeyed: share of scenes that do not show the manoeuvre of their row, above the real rate: .10; the worst manoeuvre
      by itself .25 (the project's bars are 90 % and 75 % without a filter).
    * replay .15: share of replayed scenes where SUMO and this gate disagree on a collision or on time to collision
      (real scenes: 0 to .05, with an upper bound of .107 at worst, ``tests/benchmarks/results/driving_gates.md``).
    * minimum_scenes: synthetic and real scenes below which no rate is judged.
    """

    violating_rows: float = field(default=0.0, metadata={"direction": "at most", "range": (0, 1e9)})
    failed_expectations: float = field(default=0.0, metadata={"direction": "at most", "range": (0, 1e9)})
    files: float = field(default=0.0, metadata={"direction": "at most", "range": (0, 1e9)})
    motion: float = field(default=0.01, metadata={"direction": "at most", "range": (0, 1)})
    collisions: float = field(default=0.005, metadata={"direction": "at most", "range": (0, 1)})
    off_road: float = field(default=0.01, metadata={"direction": "at most", "range": (0, 1)})
    relative: float = field(default=0.25, metadata={"direction": "at most", "range": (0, 10)})
    obeyed: float = field(default=0.10, metadata={"direction": "at most", "range": (0, 1)})
    obeyed_class: float = field(default=0.25, metadata={"direction": "at most", "range": (0, 1)})
    replay: float = field(default=0.15, metadata={"direction": "at most", "range": (0, 1)})
    minimum_scenes: float = field(default=100, metadata={"direction": "at least", "range": (20, 1e9)})


def run(evidence: SceneEvidence, limits: Limits) -> GateResult:
    """Judge the listing, the files, the motion, who touches whom, obedience, and a replay; value-free findings."""
    start = time.monotonic()
    findings = [*_listing(evidence, limits), *files.judge(evidence, limits.files)]
    real = joined(*(evidence.part(p) for p in PARTS))
    fewest = min(len(evidence.synthetic), len(real))
    if fewest < limits.minimum_scenes:
        findings.append(Finding(
            id="contract.scenes", title="Scenes to judge with", verdict=Verdict.INCONCLUSIVE, value=None, unit="scenes",
            n=st.rounded(fewest), limit=limits.minimum_scenes, direction="at least", power="not computed: n too small",
            remedy=f"provide and draw at least {limits.minimum_scenes:,.0f} scenes"))
    else:
        mix = standardised(_kinds(evidence.synthetic), _kinds(real))
        findings += [*_motion(evidence, real, mix, limits), *_touching(evidence.synthetic, real, mix, limits),
                     *_obeyed(evidence.synthetic, real, limits, evidence.contract.k), *_avoidable(evidence, real),
                     *replay.judge(evidence, limits.replay)]
    findings.append(_rows(evidence))
    blind = NOT_TESTED
    if evidence.total("synthetic") > len(evidence.synthetic):
        blind = (*NOT_TESTED, f"all {evidence.total('synthetic'):,} scenes: a sample of {len(evidence.synthetic):,} "
                              "was judged (files are all read)")
    return GateResult(gate="contract", title=TITLE, question=QUESTION, findings=tuple(findings), not_tested=blind,
                      seconds=round(time.monotonic() - start, 3))


def _listing(evidence: SceneEvidence, limits: Limits) -> list[Finding]:
    found = tables.run(evidence.listing(), tables.Limits(violating_rows=limits.violating_rows,
                                                         failed_expectations=limits.failed_expectations))
    return [replace(f, id=f.id.replace("contract.", "contract.listing.", 1), title=f"Listing: {f.title}")
            for f in found.findings if f.id != "contract.rows"]


def _rows(evidence: SceneEvidence) -> Finding:
    rows, wanted = evidence.total("synthetic"), evidence.contract.rows
    verdict = Verdict.INCONCLUSIVE if not rows else Verdict.INFO
    if rows and wanted is not None:
        verdict = Verdict.PASS if rows == wanted else Verdict.FAIL
    return Finding(
        id="contract.rows", title="Released scenes" + (f" (the contract asks for {wanted:,})" if wanted else ""),
        value=float(rows), unit="scenes", n=rows, method="Scenes of the synthetic set.", verdict=verdict,
        remedy="generate the number of scenes that synthesis.rows asks for, or change it")


def _rate(at: str, title: str, found: Excess, limit: float, n: int, what: str,
          more: Sequence[dict[str, Any]] = ()) -> Finding:
    verdict = st.at_most(found.low, found.high, limit)
    error = max((found.high - found.value) / st.quantile(st.LEVEL), 1e-9)
    row = [pictures.interval_row(title, found.value, found.low, found.high, 0.0, round(limit, 4))]
    return Finding(
        id=at, title=title, value=st.number(found.value, 4), low=st.number(found.low, 4), high=st.number(found.high, 4),
        unit="share of scenes", floor=0.0, limit=st.number(limit, 4), n=n, verdict=verdict,
        method=f"synthetic share {100 * found.synthetic:.2f} %, real {100 * found.real:.2f} % at the same mix of "
               "manoeuvres and weathers; bounds by Wilson's scores (Newcombe 1998), scenes of one entity counted as "
               "far as they differ",
        power=f"an excess of {st.detectable(error):.4f} at n = {n:,} with 80 % power",
        remedy=st.remedy(verdict, what, st.rows_to_pass(n, found.high - found.value, error, limit), n, "scenes"),
        detail={"synthetic": st.number(found.synthetic, 4), "real": st.number(found.real, 4),
                "pictures": [pictures.intervals("Faults beyond the real rate", row, "share of scenes"), *more]})


def _any(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Scenes with a flag of any vehicle, [n]."""
    return np.asarray(flags.reshape(len(flags), -1).any(axis=1))


def _kinds(scenes: Scenes) -> NDArray[np.str_]:
    """Manoeuvre and weather of each scene: what a synthetic set may have another mix of."""
    weather = scenes.table[kinematics.WEATHER].fillna("") if kinematics.WEATHER in scenes.table else ""
    found: NDArray[np.str_] = (scenes.table[MANOEUVRE].fillna("") + "/" + weather).to_numpy(dtype=str)
    return found


def _motion(evidence: SceneEvidence, real: Scenes, mix: NDArray[np.float64], limits: Limits) -> list[Finding]:
    sets = evidence.synthetic, real
    first, second = (kinematics.impossible(s, kinematics.friction(s, evidence.contract)) for s in sets)
    findings = []
    for rule, words in kinematics.RULES.items():
        found = excess(_any(first[rule]), _any(second[rule]), real.entities, weights=mix)
        findings.append(_rate(f"contract.motion.{rule}", f"Scenes with {words}, beyond the real rate", found,
                              limits.motion + limits.relative * found.real, len(evidence.synthetic),
                              "the generator drives what no vehicle can: it should integrate bounded controls"))
    return findings


def _touching(synthetic: Scenes, real: Scenes, mix: NDArray[np.float64], limits: Limits) -> list[Finding]:
    hits = [geometry.collisions(s) for s in (synthetic, real)]
    found = excess(_any(hits[0]), _any(hits[1]), real.entities, weights=mix)
    ego = [float(h[:, EGO].any(axis=1).mean()) for h in hits]
    table = pictures.table("Scenes with a collision", ["scenes", "any vehicles", "the ego vehicle"],
                           [["synthetic", st.number(found.synthetic, 4), st.number(ego[0], 4)],
                            ["real", st.number(found.real, 4), st.number(ego[1], 4)]])
    away = excess(_any(geometry.off_road(synthetic)), _any(geometry.off_road(real)), real.entities,
                  weights=mix)
    return [_rate("contract.collisions", "Scenes with a collision, beyond the real rate", found,
                  limits.collisions + limits.relative * found.real, len(synthetic),
                  "vehicles run into each other: start them further apart, and let them see each other", [table]),
            _rate("contract.off_road", "Scenes with a vehicle off the lanes, beyond the real rate", away,
                  limits.off_road + limits.relative * away.real, len(synthetic),
                  "vehicles leave the lanes: the policy does not see the edge of the road")]


def _obeyed(synthetic: Scenes, real: Scenes, limits: Limits, k: int) -> list[Finding]:
    """Does each scene show the manoeuvre of its row, by the rules that labelled the recordings?"""
    asked, own = shown(synthetic), shown(real)
    does, real_does = labels.labels(synthetic), labels.labels(real)
    wrong, real_wrong = does != asked, real_does != own
    found = excess(wrong, real_wrong, real.entities)
    names = sorted(set(asked))
    counts = [[float((does[asked == a] == b).mean()) for b in names] for a in names]
    shares = pictures.heat("Shown (columns) of what was asked for (rows)", names, np.array(counts), "share")
    findings = [_rate("contract.obeyed", "Scenes that do not show the manoeuvre asked for, beyond the real rate", found,
                      limits.obeyed + limits.relative * found.real, len(synthetic),
                      "the generator does not follow its condition: train longer, balance the manoeuvres", [shares])]
    judged = [a for a in names if (asked == a).sum() >= CLASS_LEAST]
    if judged:
        findings.append(_worst(judged, asked, wrong, (own, real_wrong), real.entities, limits, k))
    return findings


def _worst(names: list[str], asked: NDArray[np.str_], wrong: NDArray[np.bool_],
           real: tuple[NDArray[np.str_], NDArray[np.bool_]], entities: NDArray[np.int64], limits: Limits,
           k: int) -> Finding:
    level = 1 - (1 - st.LEVEL) / len(names)  # all of them at once (Bonferroni)
    rates = []
    for name in names:
        rows = real[0] == name
        enough = len(np.unique(entities[rows])) >= k
        rates.append(excess(wrong[asked == name], real[1][rows] if enough else np.zeros(0, bool),
                            entities[rows] if enough else np.zeros(0, np.int64), level)
                     if enough else _alone(wrong[asked == name], level))
    lows, highs = np.array([r.low for r in rates]), np.array([r.high for r in rates])
    worst = st.deciding(lows, highs, limits.obeyed_class)
    verdict = st.at_most(float(lows[worst]), float(highs[worst]), limits.obeyed_class)
    count = int((asked == names[worst]).sum())
    error = max(float(highs[worst] - rates[worst].value) / st.quantile(level), 1e-9)
    rows_ = [pictures.interval_row(n, r.value, r.low, r.high, 0.0, limits.obeyed_class)
             for n, r in zip(names, rates, strict=True)]
    return Finding(
        id="contract.obeyed.class", title="The manoeuvre that is obeyed worst, beyond the real rate",
        value=st.number(rates[worst].value), low=st.number(lows[worst]), high=st.number(highs[worst]), floor=0.0,
        unit="share of its scenes", limit=limits.obeyed_class, n=count, verdict=verdict,
        method=f"manoeuvres with at least {CLASS_LEAST} synthetic scenes; Wilson bounds for all at once (Bonferroni)",
        power=f"an excess of {st.detectable(error):.3f} for this manoeuvre with 80 % power",
        remedy=st.remedy(verdict, f"'{names[worst]}' is not shown when it is asked for: balance the manoeuvres in "
                         "training", st.rows_to_pass(count, float(highs[worst] - rates[worst].value), error,
                                                     limits.obeyed_class), count, "scenes of it"),
        detail={"worst": names[worst], "pictures": [pictures.intervals("Not shown though asked for", rows_, "share")]})


def _avoidable(evidence: SceneEvidence, real: Scenes) -> list[Finding]:
    """How many of the near misses that scenes show brakes could still have kept from a crash; told, not judged."""
    could = []
    for scenes in (evidence.synthetic, real):
        near = scenes.take(labels.labels(scenes) == "near_miss")
        enough = len(np.unique(near.entities)) >= evidence.contract.k
        mu = kinematics.friction(near, evidence.contract)
        could.append(safety.avoidable(safety.max_drac(near), mu) if enough else None)
    if could[0] is None:
        return []
    share = float(could[0].mean())
    low, high = wilson(share, len(could[0]))
    return [Finding(
        id="contract.avoidable", title="Near misses that brakes could still keep from a crash",
        value=st.number(share, 4), low=st.number(low, 4), high=st.number(high, 4), unit="share of near misses",
        n=len(could[0]),
        floor=None if could[1] is None else st.number(float(could[1].mean()), 4), verdict=Verdict.INFO,
        method="largest deceleration needed of the ego vehicle or its follower within what the weather's friction "
               "gives (Cunto and Saccomanno 2008); each released scene is marked in measures.parquet; floor: recorded "
               "near misses")]


def _alone(wrong: NDArray[np.bool_], level: float) -> Excess:
    """Where real scenes of a manoeuvre are too few, their rate counts as none."""
    share = float(wrong.mean())
    low, high = wilson(share, len(wrong), level)
    return Excess(synthetic=share, real=0.0, low=low, high=high)
