"""What stands on the first page, and what a privacy claim amounts to."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validators.finding import Finding, GateResult, Verdict
from validators.report import disclosure_check, render
from validators.report.privacy import FIELDS, most_found
from validators.report.summary import WHO, summary


def gate(identity: str, name: str = "leakage", **fields: object) -> dict:
    finding = {"id": identity, "title": "T", "verdict": "pass", "value": 0.527, "low": 0.5, "high": 0.56, "limit": 0.55,
               "floor": 0.5, "unit": "AUC", "n": 640, "power": "an AUC of .55", "direction": "at most", "p_value": None,
               "method": "M", **fields}
    return {"gate": name, "findings": [finding]}


@pytest.mark.parametrize(("identity", "fields", "said"), [
    ("leakage.membership.auc", {}, "53 times in 100, at most 56; a coin does so 50 times"),
    ("leakage.membership.tpr", {"value": 0.019, "high": 0.059}, "they find 1.9 of 100 who were in the training data, "
                                                                "at most 5.9; without the release they find 1"),
    ("leakage.copies.exact.rare", {"value": 0.0, "high": 0.002}, "they find 0 in the release, at most 0.2"),
    ("leakage.shadows", {"value": 0.58, "high": 0.66}, "58 times in 100, at most 66; a coin does so 50 times"),
    ("leakage.inference", {"value": 0.01, "high": 0.03}, "the sensitive value of 1 more people in 100, at most 3"),
    ("leakage.criteria.linkability", {"value": 0.05, "high": 0.1}, "5 are right about people in the training data"),
    ("leakage.membership", {"value": None, "power": "nothing below 300 rows"}, "Nothing can be said: nothing below"),
])
def test_figures_become_sentences(identity: str, fields: dict, said: str) -> None:
    (gain,) = summary([gate(identity, **fields)], ["x"])["gains"]
    assert said in gain["gain"]
    assert gain["finding"] == identity and gain["source"] == "M" and gain["n"] == 640


def test_only_attacks_are_told_and_all_releases_are_named() -> None:
    gates = [gate("fidelity.shape", "fidelity"), gate("leakage.told", verdict="info"), gate("leakage.unheard_of"),
             gate("leakage.copies.encoder.certain"), gate("releases.membership.auc", "releases"),
             gate("releases.controls", "releases", verdict="inconclusive")]
    who = [g["who"] for g in summary(gates, [])["gains"]]
    assert who[0] == "looks for real records in it" and len(who) == 3
    assert who[1].startswith("keeps every release and holds somebody's whole record")
    assert "are there people to compare with" in who[2]
    assert len({entry[0] for entry in WHO}) == len(WHO)


def test_the_page_shows_the_worst_of_each_kind() -> None:
    gates = [gate("leakage.copies.exact", high=0.1, limit=0.5), gate("leakage.copies.near", high=0.4, limit=0.5),
             gate("leakage.membership.auc", high=0.54), gate("leakage.membership.tpr", verdict="inconclusive"),
             gate("releases.copies.exact", "releases", high=0.1, limit=0.5),
             gate("releases.isolated.auc", "releases", verdict="fail")]
    told = summary(gates, [])["gains"]
    assert [g["finding"] for g in told] == [
        "leakage.copies.near", "leakage.membership.auc", "leakage.membership.tpr", "releases.isolated.auc"]


def test_an_audit_is_told_in_words(example: ModuleType) -> None:
    page = render(example.report(dp=True))
    assert "Epsilon shown at least" in page and "Their noise, of what is claimed" in page and "Lower bound" not in page


def test_a_privacy_statement_has_its_fields(example: ModuleType) -> None:
    report = example.report(dp=True)
    dp = report["dp"]
    assert "none" not in dp and set(FIELDS) <= dp.keys()
    assert dp["epsilon"] == 3.0 and dp["cumulative"]["after"]["epsilon"] == 9.0
    assert any("this report and its figures" in text for text in dp["outside"])
    found = {b["false_alarms"]: round(b["found"], 3) for b in dp["attacks_bound"]}
    assert found[0.01] == 0.028  # by the curve; epsilon 3 alone says .201
    assert disclosure_check(report, 10) == []
    assert "privacy" not in report["model"]["record"]
    assert example.report()["dp"] == {"none": "no formal guarantee"}


@given(st.floats(0.05, 8), st.floats(0, 0.05), st.floats(0.001, 0.9))
def test_the_bound_on_attacks_against_the_worst_mechanism(epsilon: float, delta: float, false_alarms: float) -> None:
    """Randomised response with a chance of delta to tell the truth outright is the worst that the promise allows."""
    honest = math.exp(epsilon) / (1 + math.exp(epsilon))
    member = np.array([delta, (1 - delta) * honest, (1 - delta) * (1 - honest), 0.0])
    other = member[::-1]
    best, used = 0.0, 0.0
    for chance, cost in zip(member, other, strict=True):  # outcomes by falling likelihood ratio (Neyman and Pearson)
        share = 1.0 if cost == 0 else min(1.0, max(false_alarms - used, 0.0) / cost)
        best, used = best + share * chance, used + share * cost
    assert most_found(epsilon, delta, false_alarms) == pytest.approx(max(best, false_alarms), abs=1e-9)


def test_what_was_waived_is_in_the_report_for_ever(example: ModuleType) -> None:
    report = example.report(example.waived())
    assert report["verdict"]["overall"] == "waived" and report["findings"]["blocking"] == []
    (waiver,) = report["decision"]["waivers"]
    assert waiver["finding"] == example.WAIVED and waiver["verdict"] == "fail"
    counts = report["verdict"]["counts"]
    assert counts["waived"] == 1


def test_a_report_without_a_ledger_says_so(example: ModuleType) -> None:
    from validators.report import build, render

    finding = Finding(id="leakage.membership.auc", title="M", verdict=Verdict.PASS, value=0.5, limit=0.55)
    report = build(contract=example.contract(), results=[GateResult(gate="leakage", title="L", question="?",
                                                                    findings=(finding,))],
                   run=example.run_record(), plan=example.plan(), attempts=1, code={}, created="2026-01-01T00:00:00Z")
    assert report["decision"]["cumulative_releases"] == "not known: no ledger was asked"
    assert "No ledger was asked" in render(report)
