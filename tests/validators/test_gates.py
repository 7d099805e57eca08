import dataclasses
import importlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from synth.contract import Limit
from synth.errors import InternalError, UserError
from synth.progress import Lines, Watch, unwatched
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
    (limit("leakage", "auc", float("nan")), "not a number that can be meant"),
    (limit("leakage", "distance", 0), "leakage.distance is not a number that can be meant"),
    (limit("leakage", "isolated_share", 1.5), "leakage.isolated_share is not"),
    (limit("downstream", "representation", 0), "downstream.representation is not"),
    (limit("diversity", "coverage", 80), "diversity.coverage is not"),  # meant as per cent
    (limit("leakage", "auc", 0.6, " "), "without a reason")])
def test_wrong_limits_are_found_with_their_line(wrong, says):
    problems = gates.check_limits(contract(wrong, limit("leakage", "tpr", 0.02)))
    assert len(problems) == 1 and says in problems[0].what and problems[0].where == "people.yaml:7"


@pytest.mark.parametrize("gate", gates.GATES["tabular"], ids=lambda gate: gate.name)
def test_every_limit_has_a_range_around_its_default(gate):
    for f in dataclasses.fields(importlib.import_module(gate.module).Limits):
        low, high = f.metadata["range"]
        assert low <= f.default <= high and low < high, f.name
        assert f.metadata["direction"] in ("at most", "at least"), f.name


@pytest.mark.parametrize("end", [0, 1])
def test_no_gate_falls_over_a_limit_at_the_end_of_its_range(end):
    e = populations.evidence(1_500, 1)
    wide = tuple(limit(gate.name, f.name, f.metadata["range"][end]) for gate in gates.GATES["tabular"]
                 for f in dataclasses.fields(importlib.import_module(gate.module).Limits)
                 if not f.name.endswith("minimum") and f.name != "minimum_rows")
    e = replace(e, contract=replace(e.contract, limits=wide))
    assert gates.check_limits(e.contract) == []
    assert len(gates.judge(e, e.contract, "tabular")) == len(gates.GATES["tabular"])


def test_an_unknown_domain_has_no_gates():
    with pytest.raises(UserError, match="no gates for domain"):
        gates.gates("sound")


@dataclass(frozen=True)
class Seen:
    what: str = "evidence"
    watch: Watch = unwatched


class Fake:
    def __init__(self, name: str, seen: list) -> None:
        self.name, self.seen = name, seen

    def run(self, evidence, terms) -> GateResult:
        self.seen.append((self.name, evidence.what))
        evidence.watch(0.5, "1 of 2 shadow models", 90.0)
        return GateResult(gate=self.name, title="", question="", findings=(
            Finding(id="x", title="", verdict=Verdict.PASS, value=1.0),))


def test_judge_runs_the_panel_in_order(monkeypatch):
    seen: list = []
    monkeypatch.setitem(gates.GATES, "tabular", (Fake("one", seen), Fake("two", seen)))
    results = gates.judge(Seen(), contract(), "tabular")
    assert [r.gate for r in results] == ["one", "two"] and seen == [("one", "evidence"), ("two", "evidence")]


def test_a_gate_that_takes_long_says_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setitem(gates.GATES, "tabular", (Fake("one", []), Fake("two", [])))
    gates.judge(Seen(), contract(), "tabular", Lines(every=0.0))
    told = capsys.readouterr().err
    assert "judge: 75 %, about 90 s left two: 1 of 2 shadow models" in told


def test_limits_may_not_move_after_planning(monkeypatch):
    planned = gates.plan(contract())["digest"]
    loosened = contract(limit("leakage", "auc", 0.9))
    with pytest.raises(InternalError, match="limits changed"):
        gates.judge(Seen(), loosened, "tabular", context={"plan_digest": planned})


def test_a_contract_limit_reaches_its_gate():
    e = populations.evidence(1_500, 1)
    strict = replace(e.contract, limits=(limit("diversity", "coverage", 1.5),))
    gate = next(g for g in gates.GATES["tabular"] if g.name == "diversity")
    assert gate.run(e, e.contract).verdict is not Verdict.FAIL
    assert gate.run(e, strict).verdict is Verdict.FAIL
