"""What a person may answer for, and what nobody may."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from synth.contract import Contract, Waiver
from validators import gates, waivers
from validators.finding import Finding, GateResult, Verdict, overall
from validators.releases import controls, renamed

LATER, BEFORE = date.today() + timedelta(days=30), date.today() - timedelta(days=2)


def waiver(finding: str, expires: date = LATER) -> Waiver:
    return Waiver(finding=finding, name="A. Okafor", reason="a pilot", expires=expires, line=40)


def results(*found: tuple[str, Verdict]) -> list[GateResult]:
    return [GateResult(gate=identity.partition(".")[0], title="T", question="?", findings=(
        Finding(id=identity, title="f", verdict=verdict, value=1.0),)) for identity, verdict in found]


@pytest.mark.parametrize(("identity", "verdict", "after"), [
    ("downstream.task", Verdict.FAIL, Verdict.WAIVED), ("fidelity.shape.mean", Verdict.INCONCLUSIVE, Verdict.WAIVED),
    ("leakage.membership.auc", Verdict.INCONCLUSIVE, Verdict.WAIVED),
    ("leakage.membership.auc", Verdict.FAIL, Verdict.FAIL),  # a leak that was found
    ("releases.membership.auc", Verdict.FAIL, Verdict.FAIL),
    ("releases.controls", Verdict.INCONCLUSIVE, Verdict.WAIVED),
    ("leakage.copies.exact", Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
    ("leakage.copies.encoder.certain", Verdict.FAIL, Verdict.FAIL), ("leakage.union.exact", Verdict.FAIL, Verdict.FAIL),
    ("contract.rows", Verdict.FAIL, Verdict.FAIL), ("fidelity.shape.mean", Verdict.PASS, Verdict.PASS),
    ("fidelity.shape.mean", Verdict.INFO, Verdict.INFO)])
def test_what_a_waiver_changes(identity: str, verdict: Verdict, after: Verdict) -> None:
    (result,) = waivers.apply(results((identity, verdict)), [waiver(identity), waiver("other.finding")])
    (finding,) = result.findings
    assert finding.verdict is after
    given = waivers.given([result])
    if after is Verdict.WAIVED:
        assert given == [{"finding": identity, "title": "f", "name": "A. Okafor", "reason": "a pilot",
                          "expires": LATER.isoformat(), "verdict": verdict.value}]
    else:
        assert given == []


def test_an_expired_waiver_changes_nothing() -> None:
    assert overall(waivers.apply(results(("downstream.task", Verdict.FAIL)), [waiver("downstream.task", BEFORE)])) \
        is Verdict.FAIL


def test_waived_is_worse_than_pass_and_better_than_the_rest() -> None:
    every = results(("a.x", Verdict.PASS), ("b.x", Verdict.WAIVED))
    assert overall(every) is Verdict.WAIVED and not Verdict.WAIVED.blocks
    assert overall([*every, *results(("c.x", Verdict.INCONCLUSIVE))]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("given", "said"), [
    (waiver("downstream.task", BEFORE), "expired on"), (waiver("contract.rows"), "cannot be waived"),
    (waiver("leakage.copies.exact"), "a copied record is somebody's"), (waiver("nothing.task"), "which no gate has"),
    (waiver("downstream"), "which no gate has"), (waiver("downstream.task"), ""), (waiver("releases.controls"), "")])
def test_what_is_refused_before_anything_is_trained(given: Waiver, said: str) -> None:
    contract = Contract(name="c", version="1", domain="tabular", path=Path("c.yaml"), digest="0" * 64, description="",
                        source="x", columns=(), waivers=(given,))
    problems = gates.check_limits(contract)
    assert len(problems) == bool(said)
    if said:
        assert said in str(problems[0]) and "c.yaml:40" in str(problems[0])


def test_controls_that_were_trained_on_before_cannot_be_compared_with() -> None:
    clean = controls(0, 400, ["people/1"], [])
    assert clean.verdict is Verdict.PASS and clean.high is not None and clean.high < 0.05
    assert controls(0, 25, ["people/1"], []).verdict is Verdict.INCONCLUSIVE  # too few to know
    mixed = controls(240, 400, ["people/1"], [])  # the split was drawn anew
    assert mixed.verdict is Verdict.INCONCLUSIVE and mixed.value == 0.6 and "keep the workspace" in mixed.remedy
    foreign = controls(0, 400, ["people/1"], ["people/1"])
    assert foreign.verdict is Verdict.INCONCLUSIVE and "another key" in foreign.power


def test_what_the_gate_found_on_all_releases_has_names_of_its_own() -> None:
    leakage = GateResult(gate="leakage", title="Leakage", question="?", not_tested=("shadows",), findings=(
        Finding(id="leakage.membership.auc", title="M", verdict=Verdict.FAIL, value=0.7, detail={"pictures": [{}]}),
        Finding(id="leakage.told", title="I", verdict=Verdict.INFO, value=0.7)))
    result = renamed(leakage, controls(0, 400, ["people/1"], []), 1, ["release people/0: gone"])
    assert [f.id for f in result.findings] == ["releases.controls", "releases.membership.auc"]
    assert result.verdict is Verdict.FAIL and result.findings[1].title == "M, with 1 earlier release"
    assert "pictures" not in result.findings[1].detail
    assert "release people/0: gone" in result.not_tested and "shadows" in result.not_tested
