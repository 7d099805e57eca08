"""What a gate says: findings, each with its figure, its uncertainty, its limit and what to do.

A finding passes if its whole interval is on the right side of the limit, fails if the whole interval is on
the wrong side (a test that may only veto: at its stated significance and margin), and is ``inconclusive``
where the interval straddles the limit or nothing could be judged. Only a pass releases, so the burden is on
the release, unless a person answers for what does not pass (``waived``, :mod:`validators.waivers`); and "fail" is
said of a faultless table no more often than the level of the interval allows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Outcome of a finding, a gate or a run."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    WAIVED = "waived"  # does not pass, and a person answers for it
    INFO = "info"  # reported, decides nothing

    @property
    def blocks(self) -> bool:
        """True if a release must not happen."""
        return self in (Verdict.FAIL, Verdict.INCONCLUSIVE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One judged figure. Carries aggregates over at least k entities only, never a private value."""

    id: str  # stable, e.g. "fidelity.shape.mean"
    title: str  # for a person, e.g. "Mean column error above the floor"
    verdict: Verdict
    value: float | None  # point estimate
    unit: str = ""  # "share", "AUC", "%", ...
    low: float | None = None  # interval of the estimate
    high: float | None = None
    level: float = 0.95  # level of the interval
    floor: float | None = None  # the same figure for fresh real rows
    limit: float | None = None
    direction: str = "at most"  # "at most": high must stay <= limit; "at least": low must stay >= limit
    n: int | None = None  # rows or entities behind it (rounded where private)
    power: str = ""  # what would have been detected, e.g. "an AUC of .532 at n = 2,000 with 80 % power"
    method: str = ""  # one sentence: test and source
    remedy: str = ""  # what to do if it does not pass
    detail: dict[str, Any] = field(default_factory=dict)  # JSON-able aggregates for pictures and tables
    waiver: dict[str, str] | None = None  # name, reason, expires, and the verdict that was waived


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    """All findings of one gate."""

    gate: str  # "contract", "fidelity", "diversity", "downstream", "leakage"
    title: str
    question: str  # the question it answers, for a reviewer
    findings: tuple[Finding, ...]
    not_tested: tuple[str, ...] = ()  # what this gate does not look at
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """Fail if any finding fails, else inconclusive if any is, or if nothing was judged; waived if any is; pass."""
        kinds = {f.verdict for f in self.findings}
        for kind in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WAIVED):
            if kind in kinds:
                return kind
        return Verdict.PASS if Verdict.PASS in kinds else Verdict.INCONCLUSIVE

    def to_json(self) -> dict[str, Any]:
        """Plain data for the report."""
        return {**asdict(self), "verdict": self.verdict}


def overall(results: list[GateResult]) -> Verdict:
    """A release needs every gate (intersection-union: each gate at its own level, no correction)."""
    kinds = {r.verdict for r in results}
    for kind in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WAIVED):
        if kind in kinds:
            return kind
    return Verdict.PASS if results else Verdict.INCONCLUSIVE
