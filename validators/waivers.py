"""Findings that do not pass and that a person has taken upon themselves, by name, with a reason and a last day.

What may be waived is what the person who signs can answer for: that a table is less faithful, less diverse or less
useful than asked, or that the data were too few to *show* that attacks find nothing. Never waived:

* the **contract** gate: files that break their own description are broken, for whoever reads them;
* **copies**, whatever the verdict: a copied record is somebody's, and not the signer's to give away;
* a leakage finding that **failed**: a leak that was found harms those who were not asked.

A waiver that has expired stops a run before it trains. One that holds changes the word to *waived*, in red, in the
report, the card, the list and the signature, for as long as the release exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from synth.contract import Contract
from synth.contract.model import Waiver
from synth.errors import UserError
from validators.finding import Finding, GateResult, Verdict

ATTACKED = ("leakage", "releases")  # gates whose failures are leaks
ALSO = ("releases",)  # gates that are there only where there is something for them to judge


def today() -> date:
    """The day, UTC."""
    return datetime.now(UTC).date()


def forbidden(finding: str, verdict: Verdict | None = None) -> str:
    """Why a finding may not be waived; empty if it may. Without a verdict: whatever it will be."""
    gate, _, rest = finding.partition(".")
    if gate == "contract":
        return "the contract gate cannot be waived: files that break their own description are broken for everybody"
    if gate in ATTACKED and {"copies", "exact", "near"} & set(rest.split(".")):
        return "copies cannot be waived: a copied record is somebody's, and nobody else's to give away"
    if gate in ATTACKED and verdict is Verdict.FAIL:
        return "a leak that was found cannot be waived, only one that could not be ruled out"
    return ""


def check(contract: Contract, gates: Mapping[str, Any]) -> list[UserError]:
    """Waivers that have expired, that nobody can give, or that name no gate; each with its line."""
    problems = []
    for waiver in contract.waivers:
        where = f"{contract.path}:{waiver.line}" if waiver.line else str(contract.path)
        gate = waiver.finding.partition(".")[0]
        if gate not in (*gates, *ALSO) or "." not in waiver.finding:
            problems.append(UserError(f"a waiver names finding {waiver.finding!r}, which no gate has", where=where,
                                      todo=f"write GATE.ID as the report does; gates: {', '.join((*gates, *ALSO))}"))
        elif why := forbidden(waiver.finding):
            problems.append(UserError(why, where=where, todo="take the waiver out; repair the data or the training"))
        elif waiver.expires < today():
            problems.append(UserError(f"the waiver of {waiver.finding} by {waiver.name} expired on {waiver.expires}",
                                      where=where, todo="take it out, or have somebody sign for it again"))
    return problems


def apply(results: Sequence[GateResult], waivers: Sequence[Waiver]) -> list[GateResult]:
    """The results with what was waived marked as such; an expired waiver changes nothing."""
    held = {w.finding: w for w in waivers if w.expires >= today()}

    def waived(finding: Finding) -> Finding:
        waiver = held.get(finding.id)
        if waiver is None or not finding.verdict.blocks or forbidden(finding.id, finding.verdict):
            return finding
        return replace(finding, verdict=Verdict.WAIVED, waiver={
            "name": waiver.name, "reason": waiver.reason, "expires": waiver.expires.isoformat(),
            "verdict": finding.verdict.value})

    return [replace(result, findings=tuple(map(waived, result.findings))) for result in results]


def given(results: Sequence[GateResult]) -> list[dict[str, str]]:
    """The waivers that made a difference, for the signature and the report."""
    return [{"finding": f.id, "title": f.title, **f.waiver} for r in results for f in r.findings if f.waiver]
