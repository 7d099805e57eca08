"""Shadow models: generators trained with and without the people most at risk, and what tells the two apart.

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
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from synth.seeds import generator
from synth.tabular.evidence import TableEvidence
from validators import statistics as st
from validators.diversity import neighbour_distances
from validators.encode import Encoding
from validators.finding import Finding, Verdict
from validators.membership import Half, worst_attack
from validators.shadowing import SIGNALS, Design, in_processes, signals

IDENTITY = "leakage.shadows"
TITLE = "Membership of the people most at risk, by shadow models"
POOL = 4_000  # people of train in the pool, and as many untouched ones
TARGETS = 400  # people attacked: the most isolated of the pool
SHADOWS, FEWEST = 32, 8  # trained, and how few nothing is said with
SECONDS = 1_800.0
EFFORT = 0.5  # of the contract's training, at most
NEIGHBOURS = 5
FALSE = 0.1  # false positives at which a lower bound of epsilon is read


@dataclass(frozen=True)
class Pool:
    """The design, and who of the targets was trained on."""

    design: Design
    members: np.ndarray  # bool (targets,)


def shadows(evidence: TableEvidence, limit: float, least: int, *, count: int | None = None,
            seconds: float | None = None) -> list[Finding]:
    """Two findings: what the synthetic table tells (judged), and what the model's likelihood would (information)."""
    if evidence.contract.budget is not None:
        return [_not_tested("a differential-privacy budget bounds every membership attack; see the audit")]
    if evidence.scratch is None or evidence.sample_again is None:
        return [_not_tested("there is no model of this run, or no private folder, to compare with shadow models")]
    if st.fewest(evidence) < least:
        return [_not_tested(f"it takes {least:,} people of each part")]
    pool = pooled(evidence, count or SHADOWS)
    scores = in_processes(pool.design, evidence.scratch, SECONDS if seconds is None else seconds)
    return judged(evidence, pool, scores, limit)


def pooled(evidence: TableEvidence, count: int) -> Pool:
    """The pool of people, the most isolated of them as targets, and who trains which of ``count`` shadows."""
    rng = generator(evidence.seed, "shadows", "pool")
    untouched = pd.concat([evidence.holdout, evidence.reference], ignore_index=True)
    others = np.unique(np.concatenate([evidence.entities["holdout"], evidence.entities["reference"]]),
                       return_inverse=True)[1]
    people = np.unique(evidence.entities["train"], return_inverse=True)[1]
    most = min(POOL, people.max() + 1, others.max() + 1)
    parts, codes = [], []
    for number, (frame, owners) in enumerate(((evidence.train, people), (untouched, others))):
        chosen = rng.permutation(owners.max() + 1)[:most]
        code = np.full(owners.max() + 1, -1)
        code[chosen] = number * most + np.arange(most)
        kept = code[owners] >= 0
        parts.append(frame[kept])
        codes.append(code[owners][kept])
    frame, owners = pd.concat(parts, ignore_index=True), np.concatenate(codes)
    encoding = Encoding.fit(frame, evidence.schema, evidence.seed)
    points = encoding.transform(frame)
    far = np.zeros(2 * most)
    np.maximum.at(far, owners, neighbour_distances(points, points, NEIGHBOURS, skip_self=True)[:, -1])
    targets = np.sort(np.argsort(-far, kind="stable")[:TARGETS])
    # shadows come in pairs that complete each other, so that everybody is inside half of them, however many are done
    inside = np.zeros((count, 2 * most), bool)
    for pair in range(0, count, 2):
        inside[pair, rng.permutation(2 * most)[:most]] = True
        if pair + 1 < count:
            inside[pair + 1] = ~inside[pair]
    contract = evidence.contract
    training = replace(contract.training, effort=min(contract.training.effort, 1.0) * EFFORT)
    rows = np.flatnonzero(np.isin(owners, targets))
    return Pool(Design(frame=frame, owners=owners, inside=inside, rows=rows, encoding=encoding, schema=evidence.schema,
                       constraints=contract.constraints, training=training, target=contract.target,
                       conditions=contract.conditions, k=contract.k, seed=evidence.seed), targets < most)


def judged(evidence: TableEvidence, pool: Pool, scores: np.ndarray, limit: float) -> list[Finding]:
    """Findings from scores (shadows done, signals, target rows)."""
    done, design = len(scores), pool.design
    if done < FEWEST:
        return [Finding(
            id=IDENTITY, title=TITLE, verdict=Verdict.INCONCLUSIVE, value=None, limit=limit, unit="AUC",
            method=f"{done} shadow models were done in time; nothing is said with fewer than {FEWEST}",
            remedy="run the judgement where there is more time or more cores, or use a smaller recipe")]
    real = signals(design, evidence.synthetic, None if evidence.likelihood is None else evidence.likelihood)
    people = np.unique(design.owners[design.rows], return_inverse=True)[1]
    share = np.bincount(people)

    def by_person(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(people, weights=v) / share for v in values.reshape(-1, len(people))]).reshape(
            *values.shape[:-1], len(share))

    drawn, released = by_person(scores), by_person(real)
    inside = design.inside[:done, np.unique(design.owners[design.rows])]
    told: dict[str, np.ndarray] = {}
    for number, name in enumerate(SIGNALS):
        if np.isfinite(released[number]).all() and np.isfinite(drawn[:, number]).all():
            told[f"LiRA, {name}"] = likelihood_ratio(drawn[:, number], inside, released[number])
            told[f"RMIA, {name}"] = released[number] - drawn[:, number].mean(axis=0)
    private = {name: s for name, s in told.items() if name.endswith(SIGNALS[-1])}
    public = {name: s for name, s in told.items() if name not in private}
    how = (f"{done} of {len(design.inside)} shadow models, of the contract's recipe at effort "
           f"{design.training.effort:g}, each on half of {design.inside.shape[1]:,} people; the {len(share):,} most "
           "isolated are attacked (LiRA, Carlini et al. 2022; RMIA, Zarifzadeh et al. 2024)")
    found = [_finding(evidence, pool, public, IDENTITY, TITLE, limit, f"{how} by what synthetic rows lie around them")]
    if private:
        of_model = _finding(evidence, pool, private, f"{IDENTITY}.model", f"{TITLE} and the model's own likelihood",
                            limit, f"{how} by the private likelihood. Information: the release of the model is not "
                                   "judged")
        found.append(replace(of_model, verdict=Verdict.INFO, limit=None))
    return found


def _finding(evidence: TableEvidence, pool: Pool, told: dict[str, np.ndarray], identity: str, title: str, limit: float,
             how: str) -> Finding:
    rng = generator(evidence.seed, "shadows", "bootstrap", identity)
    scores, members = np.array(list(told.values())), pool.members
    half = Half(scores[:, members], scores[:, ~members], st.entity_weights(np.arange(members.sum()), st.DRAWS, rng),
                st.entity_weights(np.arange((~members).sum()), st.DRAWS, rng), tuple(told))
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


def _not_tested(why: str) -> Finding:
    return Finding(id=IDENTITY, title=TITLE, verdict=Verdict.INFO, value=None, method=f"not tested: {why}",
                   remedy="information only")
