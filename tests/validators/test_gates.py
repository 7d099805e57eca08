from dataclasses import replace
from pathlib import Path

import pytest

from synth.contract import Limit
from synth.errors import InternalError, UserError
from tests.validators import populations
from validators import gates
from validators.finding import Finding, GateResult, Verdict


def contract(*limits: Limit):
    return populations.contract(limits=limits, path=Path("people.yaml"))


def limit(gate: str, key: str, value: float, reason: str = "because", line: int = 7) -> Limit:
    return Limit(gate=gate, key=key, value=value, reason=reason, line=line)


def test_the_plan_states_every_limit_and_what_was_loosened():
    plan = gates.plan(contract(limit("leakage", "auc", 0.6), limit("diversity", "coverage", 0.9)))
    assert plan["gates"]["leakage"]["auc"] == 0.6 and plan["gates"]["fidelity"]["separation"] == 0.70
    assert {(c["limit"], c["loosened"], c["reason"]) for c in plan["changed"]} == {
        ("auc", True, "because"), ("coverage", False, "because")}
    assert set(plan["gates"]) == {g.name for g in gates.GATES["tabular"]}
    assert "closest record" in plan["attacks"]


def test_the_digest_changes_with_a_limit_only():
    assert gates.plan(contract())["digest"] == gates.plan(contract())["digest"]
    assert gates.plan(contract())["digest"] != gates.plan(contract(limit("leakage", "auc", 0.56)))["digest"]


@pytest.mark.parametrize(("wrong", "says"), [
    (limit("leekage", "auc", 0.5), "unknown gate 'leekage'"), (limit("leakage", "acu", 0.5), "no limit 'acu'"),
    (limit("leakage", "auc", float("nan")), "not a finite number"),
    (limit("leakage", "auc", 0.6, " "), "without a reason")])
def test_wrong_limits_are_found_with_their_line(wrong, says):
    problems = gates.check_limits(contract(wrong, limit("leakage", "tpr", 0.02)))
    assert len(problems) == 1 and says in problems[0].what and problems[0].where == "people.yaml:7"


def test_an_unknown_domain_has_no_gates():
    with pytest.raises(UserError, match="no gates for domain"):
        gates.gates("sound")


class Fake:
    def __init__(self, name: str, seen: list) -> None:
        self.name, self.seen = name, seen

    def run(self, evidence, terms) -> GateResult:
        self.seen.append((self.name, evidence))
        return GateResult(gate=self.name, title="", question="", findings=(
            Finding(id="x", title="", verdict=Verdict.PASS, value=1.0),))


def test_judge_runs_the_panel_in_order(monkeypatch):
    seen: list = []
    monkeypatch.setitem(gates.GATES, "tabular", (Fake("one", seen), Fake("two", seen)))
    results = gates.judge("evidence", contract(), "tabular")
    assert [r.gate for r in results] == ["one", "two"] and seen == [("one", "evidence"), ("two", "evidence")]


def test_limits_may_not_move_after_planning(monkeypatch):
    planned = gates.plan(contract())["digest"]
    loosened = contract(limit("leakage", "auc", 0.9))
    with pytest.raises(InternalError, match="limits changed"):
        gates.judge("evidence", loosened, "tabular", context={"plan_digest": planned})


def test_a_contract_limit_reaches_its_gate():
    e = populations.evidence(1_500, 1)
    strict = replace(e.contract, limits=(limit("diversity", "coverage", 1.5),))
    gate = next(g for g in gates.GATES["tabular"] if g.name == "diversity")
    assert gate.run(e, e.contract).verdict is not Verdict.FAIL
    assert gate.run(e, strict).verdict is Verdict.FAIL
