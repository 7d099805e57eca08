"""What shadow models tell: generators trained with and without the people most at risk, and the released one.

The strongest known test of membership asks of each person by themselves: how does a model that was trained on them
behave, how does one that was not, and which of the two does the released one resemble? Two readings of the answer:

* LiRA, a likelihood ratio of two Gaussians (Carlini et al., "Membership inference attacks from first principles", IEEE
  S&P 2022), with one variance for all people, as the paper advises for few shadows;
* RMIA, the released model's score against the mean of all shadows' (Zarifzadeh et al., "Low-cost high-power membership
  inference attacks", ICML 2024); its comparison with other records ranks people alike and is left out.

A shadow is the contract's recipe, trained shorter, on a random half of a pool of people from train and, as many, from
the untouched parts. It is trained in a process of its own (:mod:`validators.shadowing`), kept in the run's private
folder and found again after an interruption; when the time is over the rest is left out, and the finding says how many
there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synth.contract.model import Training
from synth.seeds import generator
from validators import statistics as st
from validators.finding import Finding, Verdict
from validators.membership import Half, worst_attack
from validators.shadowing import Design

IDENTITY = "leakage.shadows"
TITLE = "Membership of the people most at risk, by shadow models"
TARGETS = 400  # people attacked: the most isolated of the pool
FEWEST = 8  # shadows; nothing is said with fewer
FALSE = 0.1  # false positives at which a lower bound of epsilon is read
SHADOWLESS = "shadow models of the people most at risk (many trainings): `synthesis.attacks: release` runs them"
ASKED = "shadow models, if asked for"  # of a panel
Adjust = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Words:
    """How a domain calls what is attacked."""

    people: str  # "people", "patients"
    around: str  # "what synthetic rows lie around them"
    private: str  # what the last signal is: "the model's own likelihood"


def verdict(design: Design, members: np.ndarray, scores: np.ndarray, real: np.ndarray, limit: float,
            training: Training, words: Words, adjust: Adjust | None = None) -> list[Finding]:
    """Findings from scores of shadows (done, signals, rows) and of the released model (signals, rows).

    The first is judged: what the released records tell of ``members``, bool (people attacked,), against the others.
    The second is what the private part of the model would tell, where there is one: information. A person's records
    are taken together; with ``adjust`` (scores and members by record -> scores) each is attacked by itself, and only
    the bootstrap goes by person.
    """
    done = len(scores)
    targets, people = np.unique(design.owners[design.rows], return_inverse=True)
    share = np.bincount(people)

    def by_person(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(people, weights=v) / share for v in values.reshape(-1, len(people))]).reshape(
            *values.shape[:-1], len(share))

    drawn, released = (scores, real) if adjust else (by_person(scores), by_person(real))
    whose = people if adjust else np.arange(len(targets))  # person of each score
    inside, members = design.inside[:done, targets[whose]], members[whose]
    told: dict[str, np.ndarray] = {}
    for number, name in enumerate(design.SIGNALS):
        if np.isfinite(released[number]).all() and np.isfinite(drawn[:, number]).all():
            told[f"LiRA, {name}"] = likelihood_ratio(drawn[:, number], inside, released[number])
            told[f"RMIA, {name}"] = released[number] - drawn[:, number].mean(axis=0)
    if adjust is not None:
        told = {name: adjust(s, members) for name, s in told.items()}
    private = {name: s for name, s in told.items() if name.endswith(design.SIGNALS[-1])}
    public = {name: s for name, s in told.items() if name not in private}
    how = (f"{done} of {len(design.inside)} shadow models, of the contract's recipe at effort {training.effort:.2g}, "
           f"each on half of {design.inside.shape[1]:,} {words.people}; the {len(targets):,} most isolated are "
           "attacked (LiRA, Carlini et al. 2022; RMIA, Zarifzadeh et al. 2024)")
    found = [_finding(design.seed, members, whose, public, IDENTITY, TITLE, limit, f"{how} by {words.around}")]
    if private:
        of_model = _finding(design.seed, members, whose, private, f"{IDENTITY}.model",
                            f"{TITLE} and {words.private}", limit,
                            f"{how} by {words.private}. Information: the release of the model is not judged")
        found.append(replace(of_model, verdict=Verdict.INFO, limit=None))
    return found


def too_few(done: int, limit: float) -> Finding | None:
    """The finding where the time was over before there were enough shadows; None: there are."""
    if done >= FEWEST:
        return None
    return Finding(
        id=IDENTITY, title=TITLE, verdict=Verdict.INCONCLUSIVE, value=None, limit=limit, unit="AUC",
        method=f"{done} shadow models were done in time; nothing is said with fewer than {FEWEST}",
        remedy="run the judgement where there is more time or more cores, or use a smaller recipe")


def untestable(evidence: Any, people: int, least: int, who: str) -> Finding | None:
    """Why shadow models say nothing of a run with ``people`` where ``least`` are needed (``who``); None: they do."""
    why = ""
    if evidence.contract.budget is not None:
        why = "a differential-privacy budget bounds every membership attack; see the audit"
    elif evidence.scratch is None or evidence.sample_again is None:
        why = "there is no model of this run, or no private folder, to compare with shadow models"
    elif people < least:
        why = f"it takes {least:,} {who}"
    if not why:
        return None
    return Finding(id=IDENTITY, title=TITLE, verdict=Verdict.INFO, value=None, method=f"not tested: {why}",
                   remedy="information only")


def _finding(seed: int, members: np.ndarray, whose: np.ndarray, told: Mapping[str, np.ndarray], identity: str,
             title: str, limit: float, how: str) -> Finding:
    rng = generator(seed, "shadows", "bootstrap", identity)
    scores = np.array(list(told.values()))
    half = Half(scores[:, members], scores[:, ~members], st.entity_weights(whose[members], st.DRAWS, rng),
                st.entity_weights(whose[~members], st.DRAWS, rng), tuple(told))
    found = worst_attack([half], "auc", identity, title, limit)
    worst = scores[list(told).index(str(found.detail["worst"]))] if "worst" in found.detail else scores[0]
    bound = epsilon(worst[members], worst[~members])
    return replace(found, method=f"{how}; simultaneous 95 % bounds; a lower bound of epsilon at {100 * FALSE:.0f} % "
                                 f"false positives is {bound:.2f}",
                   detail={**found.detail, "epsilon_low": st.number(bound, 2)})


def likelihood_ratio(shadow: np.ndarray, inside: np.ndarray, released: np.ndarray) -> np.ndarray:
    """Log ratio of two Gaussians a person: shadow scores (shadows, people) with and without them -> (people,)."""
    means, variances = [], []
    for mask in (inside, ~inside):
        count = np.maximum(mask.sum(axis=0), 1)
        mean = (shadow * mask).sum(axis=0) / count
        residual = np.where(mask, shadow - mean, 0.0)
        means.append(mean)
        variances.append(max(float((residual**2).sum() / max((mask.sum(axis=0) - 1).clip(0).sum(), 1)), 1e-12))
    logs = [-0.5 * (released - m) ** 2 / v - 0.5 * math.log(v) for m, v in zip(means, variances, strict=True)]
    return logs[0] - logs[1]


def epsilon(members: np.ndarray, others: np.ndarray, false: float = FALSE) -> float:
    """Lower 95 % bound of epsilon from one threshold: log of the least TPR over the greatest FPR (Clopper-Pearson).

    Jagielski et al., "Auditing differentially private machine learning" (NeurIPS 2020); the threshold is the quantile
    of the others' scores, so it is a figure to compare, not a proof.
    """
    from scipy import stats

    edge = np.quantile(others, 1 - false, method="higher")
    hits, alarms, n, m = int((members > edge).sum()), int((others > edge).sum()), len(members), len(others)
    low = float(stats.beta.ppf(0.025, hits, n - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(0.975, alarms + 1, m - alarms)) if alarms < m else 1.0
    return max(0.0, math.log(low / high)) if low > 0 else 0.0
