"""Membership inference by patient: do synthetic images, or the critic, give away who was trained on?

The attacks on tables work on the vectors of the encoder; two more compare pixels. All images of a patient are taken
together. The critic has seen every training image and is not published: what it tells bounds what an attacker who
steals it could learn (white-box attack of Hayes et al., LOGAN, PoPETs 2019).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synth.medical.evidence import ImageEvidence, Images
from synth.seeds import generator
from validators import statistics as st
from validators.attacks import View
from validators.finding import Finding, Verdict
from validators.medical.contrastive import Contrastive
from validators.medical.correlation import Correlation
from validators.membership import Half, Scores, Side, attacked, halves, stolen, verdicts

IMAGES = 3_000  # of members, and synthetic ones, that attacks work with
MEMBERS_PER_OTHER = 3  # more members than others only sharpens the bounds
_WORDS = "the images of a patient taken together; members from train, others from holdout and reference"


def _sides(evidence: ImageEvidence) -> list[Side[Images]]:
    """Holdout and reference take turns at being the others and what the attacker knows."""
    rng = generator(evidence.seed, "membership", "images")
    most = max(len(evidence.holdout), len(evidence.reference))
    members = evidence.train.take(st.choose(evidence.train.entities, min(IMAGES, MEMBERS_PER_OTHER * most), rng))
    synthetic = evidence.synthetic.take(st.choose(np.arange(len(evidence.synthetic)), IMAGES, rng))
    parts = [p.take(st.choose(p.entities, IMAGES // 2, rng)) for p in (evidence.holdout, evidence.reference)]
    return [Side(members, parts[i], parts[1 - i], synthetic) for i in (0, 1)]


def _black_box(side: Side[Images], encoder: Contrastive, seed: int) -> Scores:
    """What synthetic images tell, by attack."""
    def view(images: Images) -> View:
        points = encoder.vectors(images.pixels)
        return View(points, points.astype(np.float64), np.zeros(points.shape[1], bool))

    members, others, known, synthetic = map(view, (side.members, side.others, side.known, side.synthetic))
    scores = attacked(known, synthetic, members, others, seed, "membership", ", encoder")
    near = [Correlation().nearest(part.pixels, [side.synthetic.pixels, side.known.pixels])[0]
            for part in (side.members, side.others)]
    scores.append(("closest image, pixels", -near[0][:, 0], -near[1][:, 0]))
    scores.append(("closest image, pixels, calibrated", *(
        np.log(np.maximum(d[:, 1], 1e-6)) - np.log(np.maximum(d[:, 0], 1e-6)) for d in near)))
    return scores


def _halves(sides: list[Side[Images]], score: Callable[[Side[Images]], Scores], seed: int, name: str) -> list[Half]:
    """Scores by patient with bootstrap weights, one half a side."""
    return halves(sides, score, generator(seed, "membership", "bootstrap", name),
                  people=lambda side: side.people, readings=(", mean image", ", best image"))


def membership(evidence: ImageEvidence, encoder: Contrastive, *, auc: float, tpr: float, critic: float,
               patients: int) -> list[Finding]:
    """The worst attack's bounds: AUC, share found at 1 % false positives, and the critic's AUC."""
    people = [len(np.unique(evidence.part(p).entities)) for p in ("train", "holdout", "reference")]
    if min(people) < patients or not len(evidence.synthetic):
        return [Finding(
            id="leakage.membership", title="Membership inference", verdict=Verdict.INCONCLUSIVE, value=None,
            n=st.rounded(min(people)), limit=float(patients), direction="at least", unit="patients",
            power=f"nothing can be said below {patients} patients of each part",
            remedy=f"provide enough patients for {patients} in holdout and in reference")]
    sides = _sides(evidence)
    panel = _halves(sides, lambda side: _black_box(side, encoder, evidence.seed), evidence.seed, "images")
    how = f"{len(panel[0].names)} attacks with the synthetic images and one untouched part, {_WORDS}, both ways " \
          "averaged; simultaneous 95 % bounds (max-statistic bootstrap by patient); the worst decides"
    return [*verdicts(panel, "Patients", auc, tpr, how), _critic(evidence, sides, critic)]


def _critic(evidence: ImageEvidence, sides: list[Side[Images]], limit: float) -> Finding:
    score = evidence.critic
    found = None if score is None else _halves(
        sides, lambda s: [("critic", score(s.members), score(s.others))], evidence.seed, "critic")
    return stolen(
        found, limit, title="Membership inference with the private critic",
        missing="no critic was kept: there is none to steal", people="patients",
        method=f"the critic's own score (Hayes et al., LOGAN), {_WORDS}; bootstrap by patient. The critic stays "
               "private: this bounds what its theft would give away",
        advice="the critic knows its training images by heart: train shorter, use augmentation or more patients")
