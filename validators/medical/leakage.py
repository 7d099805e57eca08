"""Leakage from images: were patients' images copied, and can anybody learn from the release who was trained on?

Two detectors of copies that share nothing (an encoder, correlation of pixels), and attacks by patient. Each detector
shows on planted copies what it would have found; one that finds too few makes the gate inconclusive. A filter is no
privacy guarantee: what passes is worded "no leakage found by these attacks at this power".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from synth.contract import Attacks
from synth.medical.evidence import ImageEvidence
from synth.tabular.evidence import PARTS
from validators.attacks import ATTACKS
from validators.finding import Finding, GateResult, Verdict
from validators.inference import attribute_inference
from validators.leakage import swapped
from validators.medical import copies as copying
from validators.medical.audit import audited
from validators.medical.contrastive import Contrastive
from validators.medical.correlation import Correlation
from validators.medical.membership import IMAGES, membership
from validators.medical.shadows import shadows
from validators.shadow_ratios import ASKED, SHADOWLESS

TITLE = "Leakage"
QUESTION = "Can anybody learn from the synthetic images whose images the generator was trained on?"
PANEL = ("attribute inference, listing", "closest image, pixels", "closest image, pixels, calibrated",
         "copies by correlation", "copies by encoder", "critic", ASKED, *(f"{name}, encoder" for name in ATTACKS))
NOT_TESTED = (
    "attacks outside this panel, among them re-identification networks trained on outside archives: a pass means that "
    "no leakage was found by these attacks at this power, not that there is none",
    "copies disguised by more than shifts, noise, mirroring and re-windowing: large turns, warps, a copied organ in "
    "another body",
    "sensitive attributes guessed from pixels; the listing's columns alone are attacked",
    "copied masks",
    "differences between trainings: one model was judged, not the method that made it",
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on copies and on what attacks may reach.

    * copies .01: share of synthetic images too near to training patients, above what untouched patients predict;
      upper bound, each detector. The benchmark medical_leakage shows what the second one sees alone; no calibration of
      the whole gate on real images has been made, and on one real archive its worst kind of copy went unseen.
    * sensitivity .50, either .60: share of planted copies that each detector, and at least one of them on the worst
      kind, must find (lower bounds); below, copies could be there unseen.
    * auc .60, tpr .10 (at 1 % false positives): upper bounds over the whole panel, by patient. Wider than for tables
      because archives have hundreds of patients, not thousands: a leak-free set of 120 untouched patients is bounded
      by .58, a memorised one reaches .80.
    * critic .75: the same AUC for an attacker who stole the critic, which is never published.
    * shadow_auc .65: by shadow models on the patients most at risk (``synthesis.attacks: release`` only). Bounds of 20
      innocent sets each, phantoms: .631 at most with 200 patients a side, .653 with 160; of sets with 20 % of copies
      .645 and .70, of copies alone 1 (``tests/benchmarks/shadows.py``).
    * inference .08: advantage on a sensitive column of the listing, train over holdout, upper bound (a leak-free set of
      400 untouched patients is bounded by .04, copied listings reach .08 to .23).
    * minimum_patients, minimum_images: patients of each part and synthetic images below which nothing is said.
    * minimum_rows: rows of the listing needed to attack a sensitive column.
    """

    copies: float = field(default=0.01, metadata={"direction": "at most", "range": (0, 1)})
    sensitivity: float = field(default=0.50, metadata={"direction": "at least", "range": (0, 1)})
    either: float = field(default=0.60, metadata={"direction": "at least", "range": (0, 1)})
    auc: float = field(default=0.60, metadata={"direction": "at most", "range": (0.5, 1)})
    tpr: float = field(default=0.10, metadata={"direction": "at most", "range": (0.01, 1)})
    critic: float = field(default=0.75, metadata={"direction": "at most", "range": (0.5, 1)})
    shadow_auc: float = field(default=0.65, metadata={"direction": "at most", "range": (0.5, 1)})
    inference: float = field(default=0.08, metadata={"direction": "at most", "range": (0, 1)})
    minimum_patients: float = field(default=50, metadata={"direction": "at least", "range": (10, 1e9)})
    minimum_images: float = field(default=300, metadata={"direction": "at least", "range": (50, 1e9)})
    minimum_rows: float = field(default=200, metadata={"direction": "at least", "range": (20, 1e9)})


def run(evidence: ImageEvidence, limits: Limits) -> GateResult:
    """Judge copies, membership and attribute inference."""
    start = time.monotonic()
    patients = int(limits.minimum_patients)
    least = min(len(np.unique(evidence.part(p).entities)) for p in PARTS)
    if least < patients or len(evidence.synthetic) < limits.minimum_images:
        return _result((_too_few(limits, least),), not_tested(evidence), start)
    dealt = copying.pieces(evidence)
    encoder = Contrastive.fit(np.concatenate(dealt.pixels), seed=evidence.seed)
    findings = copying.copies(evidence, dealt, (encoder, Correlation()), excess=limits.copies,
                              sensitivity=limits.sensitivity, either=limits.either, patients=patients,
                              images=int(limits.minimum_images))
    findings += membership(evidence, encoder, auc=limits.auc, tpr=limits.tpr, critic=limits.critic, patients=patients)
    findings += audited(evidence)
    if evidence.contract.attacks is Attacks.RELEASE:
        findings += shadows(evidence, encoder, limits.shadow_auc, patients)
    listing = evidence.listing()
    findings += attribute_inference((listing, swapped(listing)), limits.inference, int(limits.minimum_rows))
    return _result(tuple(findings), (*not_tested(evidence), *_unseen(evidence, dealt)), start)


def not_tested(evidence: ImageEvidence) -> tuple[str, ...]:
    """What the gate is blind to, by how hard the contract has it attack."""
    return NOT_TESTED if evidence.contract.attacks is Attacks.RELEASE else (*NOT_TESTED, SHADOWLESS)


def _result(findings: tuple[Finding, ...], blind: tuple[str, ...], start: float) -> GateResult:
    return GateResult(gate="leakage", title=TITLE, question=QUESTION, findings=findings, not_tested=blind,
                      seconds=round(time.monotonic() - start, 3))


def _too_few(limits: Limits, patients: int) -> Finding:
    return Finding(
        id="leakage.copies", title="Copies and membership inference", verdict=Verdict.INCONCLUSIVE, value=None,
        limit=limits.minimum_patients, direction="at least", unit="patients", n=10 * round(patients / 10),
        power=f"nothing can be said below {limits.minimum_patients:,.0f} patients each of train, holdout and reference "
              f"and {limits.minimum_images:,.0f} synthetic images",
        remedy="provide more patients, or generate more images")


def _unseen(evidence: ImageEvidence, dealt: copying.Pieces) -> list[str]:
    """What was left out because the set is large."""
    notes = []
    seen = dealt.share * len(evidence.train) / max(evidence.total("train"), 1)
    if seen < 0.99:
        notes.append(f"copies of {100 * (1 - seen):.0f} % of the training images: of large archives a sample was "
                     "compared")
    if evidence.total("synthetic") > min(IMAGES, copying.SYNTHETIC):
        notes.append(f"all {evidence.total('synthetic'):,} synthetic images: {copying.SYNTHETIC:,} of them were used")
    return notes
