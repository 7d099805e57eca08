"""The facts: what goes in, what may not, and which figure a gate rests on."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.contract.model import Budget
from synth.errors import InternalError
from validators.finding import Finding, GateResult, Verdict
from validators.report import SCHEMA_VERSION, build, context, disclosure_check, render
from validators.report.build import margin
from validators.report.disclosure import rounded, tidy_picture


def one(verdict: Verdict = Verdict.PASS, **fields: Any) -> Finding:
    return Finding(**{"id": "g.f", "title": "A figure", "verdict": verdict, "value": 0.1, **fields})


def gate(*findings: Finding, name: str = "g") -> GateResult:
    return GateResult(gate=name, title=name.title(), question="Is it so?", findings=findings)


def test_the_report_is_json_with_every_field_a_reviewer_asks_for(example: ModuleType) -> None:
    report = example.report()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["schema_version"] == SCHEMA_VERSION
    assert {"identity", "source", "processing", "model", "threat_model", "dp", "gates", "findings", "decision",
            "integrity", "attempts", "plan", "access"} <= report.keys()
    assert report["identity"]["synthetic"] is True
    assert report["dp"] == {"none": "no formal guarantee"}
    assert report["decision"]["reviewers"] == list(example.contract().reviewers)
    assert report["verdict"]["overall"] == "pass"


def test_private_counts_are_rounded_and_the_run_seed_stays_in_the_workspace(example: ModuleType) -> None:
    report = example.report()
    text = json.dumps(report)
    assert [s["rows"] for s in report["source"]["splits"]] == [9600, 3200, 3200]
    assert report["source"]["rows"] == 15990
    for exact in ("15993", "3199", "3197", "271828182"):
        assert exact not in text
    assert report["model"]["released"]["rows"] == 9597  # the synthetic table's own length is no secret


def test_digests_are_published_of_what_leaves_and_of_nothing_private(example: ModuleType) -> None:
    report = example.report()
    assert [f["path"] for f in report["integrity"]["files"]] == ["data/train-00000-of-00001.parquet"]
    text = json.dumps(report)
    assert "artefacts" not in text and "ee" * 32 not in text and "table.parquet" not in text


def test_the_report_says_which_phase_made_the_release_and_on_what(example: ModuleType) -> None:
    model = example.report()["model"]
    assert model["released_phase"] == "adversarial"
    assert [(p["name"], p["validation"]) for p in model["phases"]] == [("likelihood", 11.482), ("adversarial", 11.431)]
    assert (model["rows"], model["sampled"]) == (9600, False)
    assert model["constraints_broken_in_data"] == {"age <= hours": 0.002}  # 19 rows; fewer than k would be words


def test_the_deciding_finding_is_the_worst_then_the_one_with_least_room(example: ModuleType) -> None:
    near = one(id="near", low=0.08, high=0.19, limit=0.2)
    far = one(id="far", low=0.08, high=0.12, limit=0.2)
    exact = one(id="exact", value=0.0, limit=0.0)
    note = one(Verdict.INFO, id="note", low=0.1, high=9.0, limit=0.2)
    unclear = one(Verdict.INCONCLUSIVE, id="unclear", value=None, limit=None)
    failed = one(Verdict.FAIL, id="failed", value=0.5, limit=0.2)

    def deciding(*findings: Finding) -> str:
        return example.report([gate(*findings)])["verdict"]["gates"][0]["deciding"]["id"]

    assert deciding(note, far, near, exact) == "near"
    assert deciding(note, far, near, unclear) == "unclear"
    assert deciding(near, unclear, failed) == "failed"
    assert deciding(note) == "note"


@pytest.mark.parametrize(("direction", "expected"), [("at most", 0.5), ("at least", -0.8)])
def test_room_is_measured_from_the_bad_end(direction: str, expected: float) -> None:
    finding = {"value": 0.08, "low": 0.04, "high": 0.10, "limit": 0.2, "direction": direction}
    assert margin(finding) == pytest.approx(expected)
    assert margin({**finding, "limit": None}) is None


def test_changed_limits_stand_with_their_reason(example: ModuleType) -> None:
    plan = example.report()["plan"]
    changed = [limit for limit in plan["limits"] if limit["changed"]]
    assert plan["changed"] == len(changed) == 1
    assert (changed[0]["value"], changed[0]["default"], changed[0]["loosened"]) == (0.72, 0.70, True)
    assert "ticket 118" in changed[0]["reason"]


def test_no_gate_or_nothing_judged_is_inconclusive(example: ModuleType) -> None:
    assert example.report([])["verdict"]["overall"] == "inconclusive"
    assert example.report([gate()])["verdict"]["gates"][0]["deciding"] is None


def test_figures_json_cannot_hold_become_null(example: ModuleType) -> None:
    finding = one(value=float("nan"), high=float("inf"), limit=np.float64(0.2),
                  detail={"curve": np.array([1.0, np.nan]), "n": np.int64(12345)})
    report = example.report([gate(finding)])
    entry = report["gates"][0]["findings"][0]
    assert (entry["value"], entry["high"], entry["limit"]) == (None, None, 0.2)
    assert entry["detail"] == {"curve": [1.0, None], "n": 12340}
    json.dumps(report, allow_nan=False)


@given(st.integers(0, 100_000), st.integers(1, 60))
def test_rounded_counts_are_zero_words_or_multiples_of_ten_not_below_k(count: int, k: int) -> None:
    shown = rounded(count, k)
    if count == 0:
        assert shown == 0
    elif count < k:
        assert shown == f"fewer than {k}"
    else:
        assert isinstance(shown, int) and shown >= k and shown % 10 == 0 and abs(shown - count) < 10 + k % 10


@pytest.mark.parametrize(("people", "shown"), [(9, None), (10, 0.01), (11, 0.011)])
def test_a_bin_below_k_is_blanked_and_one_at_k_is_not(people: int, shown: float | None) -> None:
    picture = {"kind": "marginal", "column": "a", "labels": ["x", "y"], "real": [people / 1000, 1 - people / 1000],
               "synthetic": [0.01, 0.99]}
    assert tidy_picture(picture, 1000, 10)["real"][0] == shown


class TestDisclosureCheck:
    def test_the_example_is_fit(self, example: ModuleType) -> None:
        assert disclosure_check(example.report(), 10) == []

    @pytest.mark.parametrize("count", [1, 9, 123])
    def test_small_or_exact_counts_are_found(self, example: ModuleType, count: int) -> None:
        report = example.report()
        report["gates"][0]["findings"][0]["n"] = count
        assert len(disclosure_check(report, 10)) == 1

    @pytest.mark.parametrize("key", ["min", "maximum", "observed_value", "partial_unexpected_list"])
    def test_keys_of_single_values_are_found(self, example: ModuleType, key: str) -> None:
        report = example.report()
        report["processing"]["record"][key] = 17
        assert any(key in problem for problem in disclosure_check(report, 10))

    def test_what_a_gate_should_not_have_sent_does_not_get_in(self, example: ModuleType) -> None:
        finding = one(detail={"max": 99999.0, "nested": [{"observed_value": "secret", "n": 3}]})
        report = example.report([gate(finding)])
        text = json.dumps(report)
        assert "99999" not in text and "secret" not in text and '"fewer than 10"' in text
        assert disclosure_check(report, 10) == []

    def test_thin_and_closed_bins_are_found(self, example: ModuleType) -> None:
        report = example.report()
        picture = {"kind": "marginal", "column": "age", "role": "numeric", "n": 2000,
                   "labels": ["17 to 20", "20 to 30", "30 and above"], "real": [0.001, 0.5, 0.499],
                   "synthetic": [0.1, 0.4, 0.5]}
        report["gates"][1]["findings"][0]["pictures"].append(picture)
        problems = disclosure_check(report, 10)
        assert any("fewer than 10" in p for p in problems) and any("first bin is closed" in p for p in problems)

    def test_small_counts_in_tables_are_found_and_never_built(self, example: ModuleType) -> None:
        table = {"kind": "table", "title": "t", "columns": ["group", "rows"], "rows": [["a", 3], ["b", 412]]}
        report = example.report([gate(one(detail={"pictures": [table]}))])
        assert report["gates"][0]["findings"][0]["pictures"][0]["rows"] == [["a", "fewer than 10"], ["b", 410]]
        report["gates"][0]["findings"][0]["pictures"][0]["rows"][0][1] = 3
        assert len(disclosure_check(report, 10)) == 1

    def test_text_long_enough_for_records_is_found(self, example: ModuleType) -> None:
        report = example.report()
        report["model"]["record"]["note"] = "x" * 5000
        assert any("letters" in p for p in disclosure_check(report, 10))


def test_a_report_that_would_say_too_much_is_not_built(example: ModuleType) -> None:
    picture = {"kind": "marginal", "column": "age", "role": "numeric", "labels": ["16 to 20", "20 and above"],
               "real": [0.5, 0.5], "synthetic": [0.5, 0.5]}
    with pytest.raises(InternalError, match="first bin is closed"):
        example.report([gate(one(detail={"pictures": [picture]}))])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=2, max_size=8), st.integers(1, 40), st.integers(0, 30_000))
def test_whatever_the_bins_the_built_report_passes_its_own_check(example: ModuleType, people: list[int], k: int,
                                                                 n: int) -> None:
    total = max(sum(people), 1)
    labels = ["below 1", *(f"{i} to {i + 1}" for i in range(1, len(people) - 1)), "9 and above"]
    picture = {"kind": "marginal", "column": "age", "role": "numeric", "labels": labels,
               "real": [p / total for p in people], "synthetic": [p / total for p in people]}
    finding = one(n=n, detail={"pictures": [picture], "n": n, "rows": [1, 2, {"count": n}]})
    report = example.report([gate(finding)], k=k)
    assert disclosure_check(report, k) == []
    behind = report["gates"][0]["findings"][0]["pictures"][0]["n"]
    shown = report["gates"][0]["findings"][0]["pictures"][0]["real"]
    assert all(s is None or s == 0 or s * behind >= k - 0.0005 * behind - 1e-6 for s in shown)


def test_a_share_of_missing_cells_below_k_rows_is_words(example: ModuleType) -> None:
    record = example.run_record()
    record["stages"]["ingest"] = {"rows": 200, "columns": [{"name": "age", "missing_share": 0.005}]}


    report = build(contract=example.contract(), results=[], run=record, plan={}, attempts=1, code={}, created="")
    assert next(c for c in report["source"]["columns"] if c["name"] == "age")["missing_share"] == "fewer than 10 rows"


def test_a_smaller_k_and_more_attempts_are_shown_with_who_allowed_them(example: ModuleType) -> None:
    plain_page = render(example.report())
    assert "more allowed" not in plain_page and "changed this number" not in plain_page
    record = example.run_record()
    record["attempts"] = {"number": 5, "unpublished": 4, "allowed": 3, "acknowledged": "M. Lindqvist: new source file"}
    changed = example.contract(k=5, k_reason="Small villages were merged at the source")
    report = build(contract=changed, results=example.results(), run=record, plan=example.plan(), attempts=5,
                   code={}, created="2026-11-21T23:58:41Z")
    assert report["attempts"]["acknowledged"] == "M. Lindqvist: new source file"
    assert (report["processing"]["k"], report["processing"]["k_default"]) == (5, 10)
    page = " ".join(render(report).split())
    assert "changed this number from 10: Small villages were merged at the source." in page
    assert "M. Lindqvist: new source file" in page and 'href="#model">more allowed</a>' in page


def test_whatever_an_ingest_counted_is_rounded(example: ModuleType) -> None:
    from validators.report.context import processing

    record = {"rows": 812, "images": 812, "quarantined": {"truncated": 3, "constant": 24}, "sure": True, "share": 0.25}
    kept = processing(example.contract(), record)["record"]
    assert kept == {"images": 810, "quarantined": {"truncated": "fewer than 10", "constant": 20}, "sure": True,
                    "share": 0.25}


def test_the_report_says_what_the_scenes_are_and_whose(example: ModuleType) -> None:
    from synth.contract.traffic import Traffic

    block = Traffic(friction=(("snow", 0.4),), scenario_files=40, each_track_is_a_driver=True)
    report = example.report(traffic=block, entity=None)
    assert report["source"]["traffic"]["friction"] == "snow 0.4"
    assert report["source"]["unit_of_privacy"].startswith("every track is a driver")
    page = render(report)
    assert "the first 40, where the set has so many" in page and "<dt>Scenes</dt>" in page
    assert "<dt>Scenes</dt>" not in render(example.report())


def test_under_a_budget_nothing_was_chosen_by_train(example: ModuleType) -> None:
    said = context.model(example.contract(budget=Budget(epsilon=3.0, delta=1e-6)), {"recipe": "medical/private"}, {})
    assert "Nothing was chosen by looking at train" in said["selection"] and said["recipe"] == "medical/private"
    assert "validation part of train" in context.model(example.contract(), {}, {})["selection"]
