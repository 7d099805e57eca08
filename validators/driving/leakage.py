"""Leakage from driving: was anybody's drive copied, and can one learn from the release whose drives were recorded?

Two detectors of copies, one of absolute drives and one of relative motion under time warping, each of which shows on
planted copies what it would have found; attacks by entity, the unit of privacy that the contract declares. A filter is
no guarantee: what passes is worded "no leakage found by these attacks at this power".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from synth.contract import Attacks
from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import MANOEUVRE
from synth.seeds import generator
from synth.tabular.evidence import PARTS
from validators import pictures
from validators import pieces as copying
from validators import statistics as st
from validators.attacks import ATTACKS
from validators.driving import telemetry
from validators.driving.aligned import CANDIDATES, Aligned, Warped, match
from validators.driving.arms import LEAST, thinned
from validators.driving.audit import audited
from validators.driving.membership import membership
from validators.driving.planted import KINDS, disguised
from validators.driving.shadows import shadows
from validators.driving.uniqueness import uniqueness
from validators.finding import Finding, GateResult, Verdict
from validators.inference import attribute_inference
from validators.leakage import swapped
from validators.shadow_ratios import ASKED, SHADOWLESS

TITLE = "Leakage"
QUESTION = "Can anybody learn from the synthetic scenes whose drives the generator was trained on?"
PANEL = ("attribute inference, listing", "closest scene, aligned", "closest scene, aligned, calibrated",
         "copies by alignment", "copies by time warping", "private model", ASKED, "uniqueness of 2 to 4 points",
         *(f"{name}, summaries" for name in ATTACKS))
REAL = 4_000  # real scenes compared with
PART = 100  # scenes of each real part
FRECHET = 300  # synthetic scenes whose Frechet distances are told
NOT_TESTED = (
    "attacks outside this panel: a pass means that no leakage was found by these attacks at this power, not that there "
    "is none",
    "copies disguised by more than shifts along the road and in time, warped time, mirroring, noise and another ego "
    "vehicle: a copied vehicle in other company",
    "linkage with registers of places and times: scenes have neither",
    "differences between trainings: one model was judged, not the method that made it",
)
SCENES = copying.Subject(
    record="scene", records="scenes", person="entity", people="entities", kinds=KINDS, planted=disguised,
    content=lambda scenes: scenes, unseen="more drivers or trips are needed",
    disguises="as they are, shifted along the road and in time, time-warped, mirrored and noisy")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on copies and on what attacks may reach.

    * copies .015: share of synthetic scenes too near to training drives, above what untouched drives predict; upper
      bound, each detector (clean sets: .015 at worst in ten seeds, ``tests/benchmarks/results/driving_gates.md``).
      The same for what sensors of a learnt telemetry add to the motion.
    * sensitivity .50, either .60: share of planted copies that each detector, and at least one of them on the worst
      kind, must find (lower bounds); below, copies could be there unseen.
    * auc .65, tpr .10 (at 1 % false positives): upper bounds over the whole panel, by entity: recordings whose windows
      share vehicles make tens of entities, not thousands (clean sets: bounds of .654 and .069 at worst).
    * critic .75: the same AUC for an attacker who stole the private model.
    * shadow_auc .70: by shadow models on the entities most at risk (``synthesis.attacks: release`` only). Bounds of 20
      innocent sets each, toy traffic: .610 at most with 200 drivers a side, .667 with 150, .633 with 40 of twelve
      scenes; of sets with 20 % of copies .66 to .72, of copies alone 1 (``tests/benchmarks/shadows.py``).
    * distance, distance_excess, ties: as for tables; nearness to train may veto, never justify.
    * uniqueness .10: share of drives matched to one synthetic scene by 2 to 4 points, train over untouched.
    * inference .08: advantage on a sensitive column of the listing, train over holdout, as for images.
    * minimum_entities, minimum_scenes: of each part, and synthetic, below which nothing is said; nor is it where a part
      has fewer than PART scenes (with 20 of holdout a clean set had a membership TPR of .155).
    * minimum_rows: rows of the listing needed to attack a sensitive column.
    """

    copies: float = field(default=0.015, metadata={"direction": "at most", "range": (0, 1)})
    sensitivity: float = field(default=0.50, metadata={"direction": "at least", "range": (0, 1)})
    either: float = field(default=0.60, metadata={"direction": "at least", "range": (0, 1)})
    auc: float = field(default=0.65, metadata={"direction": "at most", "range": (0.5, 1)})
    tpr: float = field(default=0.10, metadata={"direction": "at most", "range": (0.01, 1)})
    critic: float = field(default=0.75, metadata={"direction": "at most", "range": (0.5, 1)})
    shadow_auc: float = field(default=0.70, metadata={"direction": "at most", "range": (0.5, 1)})
    distance: float = field(default=0.01, metadata={"direction": "at least", "range": (1e-9, 0.5)})
    distance_excess: float = field(default=0.02, metadata={"direction": "at most", "range": (0, 0.5)})
    ties: float = field(default=0.20, metadata={"direction": "at most", "range": (0, 1)})
    uniqueness: float = field(default=0.10, metadata={"direction": "at most", "range": (0, 1)})
    inference: float = field(default=0.08, metadata={"direction": "at most", "range": (0, 1)})
    minimum_entities: float = field(default=LEAST, metadata={"direction": "at least", "range": (4, 1e9)})
    minimum_scenes: float = field(default=300, metadata={"direction": "at least", "range": (50, 1e9)})
    minimum_rows: float = field(default=200, metadata={"direction": "at least", "range": (20, 1e9)})


def run(evidence: SceneEvidence, limits: Limits) -> GateResult:
    """Judge copies, membership, uniqueness and attribute inference."""
    start = time.monotonic()
    people = int(limits.minimum_entities)
    least = min(len(np.unique(evidence.part(p).entities)) for p in PARTS)
    fewest = min(len(evidence.part(p)) for p in PARTS)
    if least < people or fewest < PART or len(evidence.synthetic) < limits.minimum_scenes:
        return _result((_too_few(limits, least),), not_tested(evidence), start)
    dealt = dealt_evenly(evidence)
    findings = confirmed(copying.copies(
        evidence.synthetic, dealt, (Aligned(), Warped()), SCENES, excess=limits.copies, either=limits.either,
        sensitivity=limits.sensitivity, people=people, records=int(limits.minimum_scenes), k=evidence.contract.k,
        seed=evidence.seed, target=MANOEUVRE))
    findings.append(_frechet(evidence, dealt))
    findings += telemetry.replays(evidence, limits.copies, limits.sensitivity)
    findings += membership(evidence, auc=limits.auc, tpr=limits.tpr, critic=limits.critic, ties=limits.ties,
                           significance=limits.distance, margin=limits.distance_excess)
    findings.append(uniqueness(evidence, limits.uniqueness))
    if evidence.contract.attacks is Attacks.RELEASE:
        findings += shadows(evidence, limits.shadow_auc)
    findings += audited(evidence)
    listing = evidence.listing()
    findings += attribute_inference((listing, swapped(listing)), limits.inference, int(limits.minimum_rows))
    return _result(tuple(findings), (*not_tested(evidence), *_unseen(evidence, dealt)), start)


def not_tested(evidence: SceneEvidence) -> tuple[str, ...]:
    """What the gate is blind to, by how hard the contract has it attack."""
    return NOT_TESTED if evidence.contract.attacks is Attacks.RELEASE else (*NOT_TESTED, SHADOWLESS)


def dealt_evenly(evidence: SceneEvidence) -> copying.Pieces:
    """Pieces of as many entities and scenes each: of overlapping windows a part stands for all."""
    share = min(1.0, REAL / sum(len(evidence.part(p)) for p in PARTS))
    rng = generator(evidence.seed, "leakage", "pieces")
    dealt = copying.pieces({p: thinned(evidence.part(p), int(share * len(evidence.part(p))), rng) for p in PARTS},
                           evidence.seed, REAL)
    least = min(map(len, dealt.parts))
    parts = tuple(thinned(p, least, rng) for p in dealt.parts)
    return copying.Pieces(parts, dealt.share)


def confirmed(findings: list[Finding]) -> list[Finding]:
    """Unmistakable copies accuse where every detector finds some.

    Recordings of few entities differ more among themselves than the tail of the ratios is made for: one detector alone
    accused one of ten clean sets. A drive that was copied is near in absolute and in relative motion.
    """
    sure = [f for f in findings if f.id.endswith(".certain")]
    if all(f.verdict is Verdict.FAIL for f in sure):
        return findings
    return [replace(f, verdict=Verdict.INFO, method=f"{f.method}; not confirmed by the other detector")
            if f in sure and f.verdict is Verdict.FAIL else f for f in findings]


def _result(findings: tuple[Finding, ...], blind: tuple[str, ...], start: float) -> GateResult:
    return GateResult(gate="leakage", title=TITLE, question=QUESTION, findings=findings, not_tested=blind,
                      seconds=round(time.monotonic() - start, 3))


def _too_few(limits: Limits, entities: int) -> Finding:
    return Finding(
        id="leakage.copies", title="Copies and membership inference", verdict=Verdict.INCONCLUSIVE, value=None,
        limit=limits.minimum_entities, direction="at least", unit="entities", n=st.rounded(entities),
        power=f"nothing can be said below {limits.minimum_entities:,.0f} entities and {PART} scenes each of train, "
              f"holdout and reference and {limits.minimum_scenes:,.0f} synthetic scenes",
        remedy="provide more drivers or trips, or generate more scenes")


def _frechet(evidence: SceneEvidence, dealt: copying.Pieces) -> Finding:
    """How far the nearest drives are, in metres: longest distance under warped time."""
    rng = generator(evidence.seed, "leakage", "frechet")
    queries = evidence.synthetic.take(st.choose(np.arange(len(evidence.synthetic)), FRECHET, rng))
    distances = []
    for part in (dealt.parts[0], *dealt.parts[-copying.CONTROLS:]):
        found = match(queries, part, relative=True, count=CANDIDATES)
        distances.append(Warped().warped(queries, part, found, longest=True).min(axis=1))
    rows: list[list[str | float | None]] = []
    for share in (0.05, 0.25, 0.5):
        rows.append([f"{100 * share:.0f} % are nearer than", *(round(float(np.quantile(d, share)), 1)
                                                               for d in distances)])
    low = [float(np.quantile(d, 0.05)) for d in distances]
    ratio = low[0] / max(0.5 * (low[1] + low[2]), 1e-6)
    return Finding(
        id="leakage.frechet", title="Frechet distance to the nearest training drive, over untouched ones",
        value=st.number(ratio), unit="ratio of 5th percentiles", floor=1.0, n=len(queries), verdict=Verdict.INFO,
        method=f"discrete Frechet distance of relative motion (Eiter and Mannila 1994; a metre across counts three) to "
               f"the {CANDIDATES} scenes that come nearest, one piece of train against holdout and reference of as "
               "many entities; decides nothing, copies do",
        remedy="information only", detail={"pictures": [pictures.table(
            "Frechet distance to the nearest scene, m", ["of synthetic scenes", "train", "holdout", "reference"],
            rows)]})


def _unseen(evidence: SceneEvidence, dealt: copying.Pieces) -> list[str]:
    """What was left out because the set is large."""
    notes = []
    seen = dealt.share * len(evidence.train) / max(evidence.total("train"), 1)
    if seen < 0.99:
        notes.append(f"copies of {100 * (1 - seen):.0f} % of the training scenes: of large sets a sample was compared")
    if evidence.total("synthetic") > copying.SYNTHETIC:
        notes.append(f"all {evidence.total('synthetic'):,} synthetic scenes: {copying.SYNTHETIC:,} of them were used")
    return notes
