"""A leakage gate that finds nothing and says how many synthetic records it was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from validators.finding import Finding, GateResult, Verdict


@dataclass(frozen=True, kw_only=True)
class Limits:
    """None."""


def run(evidence: Any, limits: Limits) -> GateResult:
    """One finding, which passes."""
    found = Finding(id="leakage.records", title="Synthetic records", verdict=Verdict.PASS, unit="records",
                    value=float(len(evidence.synthetic)), method="counted")
    return GateResult(gate="leakage", title="Leakage", question="How many?", findings=(found,), not_tested=())
