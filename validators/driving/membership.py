"""Membership inference by entity: do synthetic scenes, or the private model's scores, give away who was recorded?

The attacks on tables work on kinematic summaries; two more compare aligned drives. All scenes of an entity (driver or
trip) are taken together. A private model's score of a scene bounds what its theft would tell (Hayes et al., LOGAN,
PoPETs 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import Scenes, joined
from synth.seeds import generator
from synth.tabular.evidence import PARTS
from validators.attacks import View
from validators.driving.aligned import match
from validators.driving.arms import thinned
from validators.driving.fidelity import summed
from validators.driving.summaries import Axes
from validators.finding import Finding
from validators.membership import Half, Scores, Side, attacked, halves, stolen, verdicts
from validators.nearness import nearness

SCENES = 2_000  # of members, and synthetic ones, that attacks work with
MEMBERS_PER_OTHER = 3  # more members than others only sharpens the bounds
ENTITIES = 60  # of each side from which on an entity's scenes are taken together
AXES = 24  # principal axes of the summaries
_WORDS = ("members from train, others from holdout and reference; the scenes of an entity taken together where there "
          f"are {ENTITIES} entities")


def sides(evidence: SceneEvidence) -> tuple[Side[Scenes], Side[Scenes]]:
    """Holdout and reference take turns at being the others and what the attacker knows."""
    rng = generator(evidence.seed, "membership", "scenes")
    most = max(len(evidence.holdout), len(evidence.reference))
    members = thinned(evidence.train, min(SCENES, MEMBERS_PER_OTHER * most), rng)
    synthetic = thinned(evidence.synthetic, SCENES, rng)
    one, two = (thinned(p, SCENES // 2, rng) for p in (evidence.holdout, evidence.reference))
    return Side(members, one, two, synthetic), Side(members, two, one, synthetic)


def view(scenes: Scenes, axes: Axes) -> View:
    """Scenes as the attacks see them."""
    data = summed(scenes)
    return View(axes.of(data), data, np.zeros(data.shape[1], bool))


def _black_box(side: Side[Scenes], seed: int) -> Scores:
    """What synthetic scenes tell, by attack."""
    axes = Axes.fit(summed(side.known), AXES)
    members, others, known, synthetic = (view(s, axes) for s in (side.members, side.others, side.known,
                                                                 side.synthetic))
    scores = attacked(known, synthetic, members, others, seed, "membership", ", summaries")
    near = [[match(part, to, relative=False, egos=False).distance[:, 0] for to in (side.synthetic, side.known)]
            for part in (side.members, side.others)]
    scores.append(("closest scene, aligned", -near[0][0], -near[1][0]))
    logs = [np.log(np.maximum(k, 1e-3)) - np.log(np.maximum(s, 1e-3)) for s, k in near]
    scores.append(("closest scene, aligned, calibrated", logs[0], logs[1]))
    return scores


def beyond_conditions(side: Side[Scenes], members: NDArray[np.float64], others: NDArray[np.float64]
                      ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks of the scores less what ridge regression on the listing's columns says of them, members or not."""
    tables = pd.concat([side.members.table, side.others.table], ignore_index=True)
    numbers = tables.select_dtypes("number").fillna(0.0)
    data = np.c_[numbers, numbers**2, pd.get_dummies(tables.select_dtypes(exclude="number")).to_numpy(float)]
    data = (data - data.mean(axis=0)) / np.where(data.std(axis=0) > 1e-9, data.std(axis=0), 1.0)
    scores = np.r_[members, others]
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable") / len(scores)
    # both sides weigh the same, so that the larger one does not set the mean
    weight = np.r_[np.full(len(members), 0.5 / len(members)), np.full(len(others), 0.5 / len(others))][:, None]
    slope = np.linalg.solve(data.T @ (weight * data) + 1e-2 * np.eye(data.shape[1]),
                            data.T @ (weight[:, 0] * (ranks - ranks.mean())))
    rest = ranks - data @ slope
    return rest[: len(members)], rest[len(members):]


def _halves(both: tuple[Side[Scenes], Side[Scenes]], score: Callable[[Side[Scenes]], Scores], seed: int, name: str
            ) -> list[Half]:
    """Scores with bootstrap weights by entity, one half a side.

    Of many entities an attacker takes each one's scenes together. Of few (recordings whose windows share vehicles join
    into one entity) each scene is attacked by itself and only the bootstrap goes by entity: it is a vehicle's drive
    that would be found out. Then what the weather and the density of a recording explain is taken out of the scores,
    because which recordings are in train by chance is no secret of a driver.
    """
    few = min(len(np.unique(i.entities)) for s in both for i in (s.members, s.others)) < ENTITIES

    def adjusted(side: Side[Scenes]) -> Scores:
        return [(attack, *beyond_conditions(side, members, others)) for attack, members, others in score(side)]

    return halves(both, adjusted if few else score, generator(seed, "membership", "bootstrap", name),
                  people=lambda side: side.people,
                  readings=(", mean scene", ", best scene"), together=not few)


def membership(evidence: SceneEvidence, *, auc: float, tpr: float, critic: float, significance: float, margin: float,
               ties: float) -> list[Finding]:
    """Nearness to train (may veto), the worst attack's AUC and share found, and the private model's AUC."""
    both = sides(evidence)
    panel = _halves(both, lambda side: _black_box(side, evidence.seed), evidence.seed, "scenes")
    how = f"{len(panel[0].names)} attacks with the synthetic scenes and one untouched part, {_WORDS}, both ways " \
          "averaged; simultaneous 95 % bounds (max-statistic bootstrap by entity); the worst decides"
    return [_nearness(evidence, both[0], significance, margin, ties),
            *verdicts(panel, "Entities", auc, tpr, how), _critic(evidence, both, critic)]


def _nearness(evidence: SceneEvidence, side: Side[Scenes], significance: float, margin: float, ties: float) -> Finding:
    others = joined(side.others, side.known)
    axes = Axes.fit(np.concatenate([summed(evidence.part(p)) for p in PARTS]), AXES)
    found = nearness(view(side.members, axes), view(others, axes), view(side.synthetic, axes), side.members.entities,
                     others.entities, significance=significance, margin=margin, ties=ties, seed=evidence.seed)
    return replace(found, title="Synthetic scenes closer to train than to untouched scenes (may veto, never justify)")


def _critic(evidence: SceneEvidence, both: tuple[Side[Scenes], Side[Scenes]], limit: float) -> Finding:
    score = evidence.critic
    found = None if score is None else _halves(
        both, lambda s: [("model", score(s.members), score(s.others))], evidence.seed, "critic")
    return stolen(
        found, limit, title="Membership inference with the private model's score",
        missing="no score was kept: there is none to steal", people="entities",
        method=f"the private model's own score, {_WORDS}; bootstrap by entity. It stays private: this bounds what its "
               "theft would give away",
        advice="the model knows its training scenes by heart: train shorter, use more drivers or a smaller model")
