"""Leakage of all releases together: what one release does not give away, several of the same people may.

An attacker keeps every release. So the leakage gate runs once more, on the synthetic rows of the earlier releases
joined to the present ones. It compares those who were trained on with those who were not, and that must hold for *all*
releases: somebody held out today and trained on last month is no control. Runs of one source therefore keep who was
held out (:func:`synth.tabular.stored.split_by_entity`), and the ledger's sketches show whether they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from validators.finding import Finding, GateResult, Verdict

CLEAN = 0.05  # share of held-out people that earlier releases may have been trained on: they dilute what attacks show
ENOUGH = 30  # held-out people looked up in the sketches, below which nothing is known
TITLE = "Leakage, all releases together"
QUESTION = "Can anybody who kept every release of these people learn more than from one?"
NOT_TESTED = (
    "people who were trained on by an earlier release and are not in the present table",
    "earlier releases of the same people that are not in this store's ledger",
)


def controls(found: int, looked_up: int, releases: Sequence[str], unknown: Sequence[str]) -> Finding:
    """Are those who were held out by this run held out by every earlier release?

    ``found`` of ``looked_up`` held-out people (those whom the ledger's sketches can tell of) were trained on by an
    earlier release; ``unknown``: releases whose sketches cannot be read with our key.
    """
    share, low, high = _interval(found, looked_up)
    known = not unknown and looked_up >= ENOUGH
    verdict = Verdict.PASS if known and high <= CLEAN else Verdict.INCONCLUSIVE
    return Finding(
        id="releases.controls", title="Held-out people whom an earlier release was trained on", verdict=verdict,
        value=share if known else None, low=low if known else None, high=high if known else None, unit="share",
        floor=0.0, limit=CLEAN, n=10 * round(looked_up / 10) if looked_up >= 10 else None,
        method=f"keyed samples, in the ledger, of who was trained on by {len(releases)} earlier releases, against the "
               "holdout and reference people of this run; Wilson interval",
        power=f"a share of {3 / looked_up:.3f} would have shown up, 19 times in 20" if known else
        f"{len(unknown)} releases were made with another key" if unknown else "too few people to look up",
        remedy="" if verdict is Verdict.PASS else
        "keep the workspace between runs: a run of the same source then holds out the same people again. Where it is "
        "lost the attacks have nobody to compare with, and somebody must answer for that (waive releases.controls)")


def _interval(found: int, looked_up: int) -> tuple[float, float, float]:
    """Share with its Wilson interval of 95 %."""
    n, z2 = max(looked_up, 1), 1.96**2
    share = found / n
    middle, half = (share + z2 / (2 * n)) / (1 + z2 / n), (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5
    half *= 1.96 / (1 + z2 / n)
    return round(share, 4), round(max(middle - half, 0.0), 4), round(min(middle + half, 1.0), 4)


def renamed(leakage: GateResult, held: Finding, releases: int, not_tested: Sequence[str]) -> GateResult:
    """What the leakage gate found on the union, as a gate of its own; only what judges, without its pictures."""
    plural = "s" if releases > 1 else ""
    findings = [replace(f, id=f"releases.{f.id.partition('.')[2]}", title=f"{f.title}, with {releases} earlier release"
                        f"{plural}", detail={k: v for k, v in f.detail.items() if k != "pictures"})
                for f in leakage.findings if f.verdict is not Verdict.INFO]
    return GateResult(gate="releases", title=TITLE, question=QUESTION, findings=(held, *findings),
                      not_tested=(*NOT_TESTED, *not_tested, *leakage.not_tested), seconds=leakage.seconds)
