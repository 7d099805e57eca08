"""The core of the claim: each planted fault is stopped by the gate meant for it, and clean tables pass."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from synth.contract import Column, Privacy, Role
from synth.tabular.evidence import TableEvidence
from synth.tabular.schema import ColumnSchema, TableSchema
from tests.validators import populations
from validators import diversity, downstream, fidelity, leakage
from validators.finding import Finding, GateResult, Verdict

GATES = {"fidelity": fidelity, "diversity": diversity, "downstream": downstream, "leakage": leakage}


def judged(e: TableEvidence, gate: str) -> GateResult:
    return GATES[gate].run(e, GATES[gate].Limits())


def finding(result: GateResult, identity: str) -> Finding:
    return next(f for f in result.findings if f.id == identity)


@pytest.fixture(scope="module")
def clean() -> TableEvidence:
    return populations.evidence(4_000, 11)


@pytest.mark.parametrize(("fault", "gate", "stopped_by"), [
    ("memorised", "leakage", {"leakage.membership.auc", "leakage.membership.tpr", "leakage.isolated.auc",
                              "leakage.distance", "leakage.copies.near", "leakage.copies.near.rare"}),
    ("resampled", "leakage", {"leakage.copies.exact", "leakage.copies.exact.rare", "leakage.membership.auc",
                              "leakage.membership.tpr"}),
    ("collapsed", "diversity", {"diversity.coverage", "diversity.recall"}),
    ("independent", "fidelity", {"fidelity.dependence"}),
    ("independent", "downstream", {"downstream.loss.boosting"}),
    ("permuted_labels", "downstream", {"downstream.loss.boosting", "downstream.loss.linear"}),
])
def test_a_planted_fault_fails_the_gate_meant_for_it(clean, fault, gate, stopped_by):
    result = judged(replace(clean, synthetic=getattr(populations, fault)(clean, 11)), gate)
    assert result.verdict is Verdict.FAIL
    assert stopped_by <= {f.id for f in result.findings if f.verdict is Verdict.FAIL}


def test_two_percent_of_copies_are_found(clean):
    result = judged(replace(clean, synthetic=populations.partly_copied(clean, 11, 0.02)), "leakage")
    assert finding(result, "leakage.copies.exact").verdict is Verdict.FAIL


@pytest.mark.slow
@pytest.mark.parametrize("seed", [31])
def test_a_clean_resample_passes_every_gate(seed):
    e = populations.evidence(16_000, seed)
    for gate in GATES:
        result = judged(e, gate)
        assert result.verdict is Verdict.PASS, [f.id for f in result.findings if f.verdict.blocks]


def test_a_clean_resample_of_repeated_people_does_not_fail():
    e = populations.evidence(4_000, 33, repeated=True)
    for gate in GATES:
        result = judged(e, gate)
        assert result.verdict is not Verdict.FAIL, [f.id for f in result.findings if f.verdict is Verdict.FAIL]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_small_clean_table_is_open_not_failed_and_is_told_how_many_rows_would_do(seed):
    """1,500 people: some intervals are wider than the limits leave room for; nothing may be called a fault."""
    e = populations.evidence(1_500, seed)
    findings = [f for gate in GATES for f in judged(e, gate).findings]
    assert [f.id for f in findings if f.verdict is Verdict.FAIL] == []
    blocking = [f for f in findings if f.verdict is Verdict.INCONCLUSIVE and f.low is not None]
    for f in blocking:
        assert f.limit is not None and f.low <= f.limit <= f.high, f.id  # that is why
        assert "the interval straddles the limit" in f.remedy, f.id
    assert any("limit: about " in f.remedy and "nine times in ten" in f.remedy for f in blocking)


def test_a_missing_label_and_a_missing_state_are_named(clean):
    frame = clean.synthetic.copy()
    frame.loc[frame["status"] == "status2", "status"] = "status0"
    frame["job"] = frame["job"].fillna("job0")
    result = judged(replace(clean, synthetic=frame), "diversity")
    absent = finding(result, "diversity.categories")
    assert absent.verdict is Verdict.FAIL
    assert absent.detail["absent"] == ["job: missing cells", "status: status2"]


def test_repeated_rows_are_found(clean):
    half = clean.synthetic.iloc[: len(clean.synthetic) // 2]
    result = judged(replace(clean, synthetic=pd.concat([half, half], ignore_index=True)), "diversity")
    assert finding(result, "diversity.duplicates").verdict is Verdict.FAIL


def test_a_sensitive_column_copied_from_train_is_found(clean):
    """Everything about a person is redrawn but what identifies them and their secret."""
    e = replace(clean, contract=replace(clean.contract, columns=tuple(
        replace(c, privacy=Privacy.SENSITIVE if c.name == "savings" else Privacy.NONE)
        for c in clean.contract.columns)))
    frame = e.train.copy()
    rng = np.random.default_rng(0)
    frame["income"] = (frame["income"] * rng.normal(1, 0.02, len(frame))).round(2)
    frame["weight"] = (frame["weight"] + rng.normal(0, 0.5, len(frame))).round(1)
    result = judged(replace(e, synthetic=frame), "leakage")
    assert finding(result, "leakage.inference").verdict is Verdict.FAIL


def degenerate(name: str) -> TableEvidence:
    if name in ("no rows", "one row", "thirty rows"):
        return populations.evidence({"no rows": 0, "one row": 1, "thirty rows": 30}[name], 3)
    if name == "synthetic empty":
        e = populations.evidence(1_500, 3)
        return replace(e, synthetic=e.synthetic.iloc[:0])
    e = populations.evidence(1_700, 3)
    parts = {p: getattr(e, p) for p in ("train", "holdout", "reference", "synthetic")}
    keep = {"no labels": e.schema.numbers, "no numbers": e.schema.labels, "one column": ["region"],
            "no columns": []}.get(name, e.schema.names)
    changes: dict[str, object] = {}
    if name == "constant and missing":
        changes = {"weight": 70.0, "region": "region0", "income": np.nan, "job": np.nan}
    if name == "one class":
        changes = {"ill": "false"}
    dtypes = e.synthetic.dtypes
    frames = {p: f.assign(**changes).astype(dict(dtypes))[keep] for p, f in parts.items()}
    schema = TableSchema(columns=tuple(c for c in e.schema.columns if c.name in keep))
    columns = tuple(c for c in e.contract.columns if c.name in keep)
    terms = replace(e.contract, columns=columns, target="ill" if "ill" in keep else None)
    return replace(e, contract=terms, schema=schema, **frames)


NAMES = ("no rows", "one row", "thirty rows", "synthetic empty", "no columns", "one column", "no labels", "no numbers",
         "constant and missing", "one class")


@pytest.mark.parametrize("name", NAMES)
def test_degenerate_tables_are_never_passed_for_lack_of_evidence(name):
    e = degenerate(name)
    asked = ("downstream", "leakage") if name == "one class" else GATES  # the other two do not know the target
    results = {gate: judged(e, gate) for gate in asked}
    if name in NAMES[:5]:
        assert {g: r.verdict for g, r in results.items()} == dict.fromkeys(GATES, Verdict.INCONCLUSIVE)
    if name == "one class":
        assert results["downstream"].verdict is Verdict.INCONCLUSIVE
        assert "leakage.inference.skipped" in {f.id for f in results["leakage"].findings}
    if name == "constant and missing":
        assert results["leakage"].verdict is Verdict.INCONCLUSIVE  # income is sensitive and cannot be attacked
    if name == "one column":
        assert results["downstream"].verdict is Verdict.INCONCLUSIVE
    for result in results.values():
        assert result.findings and result.verdict is not Verdict.INFO


def test_a_tied_table_does_not_pass_by_its_distances():
    """Copies in a table of few states: the distance test must say that it says nothing."""
    rng = np.random.default_rng(0)
    names = ["a", "b", "c"]
    schema = TableSchema(columns=tuple(
        ColumnSchema(name=n, role=Role.CATEGORICAL, nullable=False, values=("x", "y", "z")) for n in names))
    parts = {p: pd.DataFrame({n: pd.Series(rng.choice(list("xyz"), size), dtype="str") for n in names})
             for p, size in (("train", 1500), ("holdout", 500), ("reference", 500))}
    terms = populations.contract(columns=tuple(Column(name=n, role=Role.CATEGORICAL) for n in names), target=None,
                                 task=None)
    e = TableEvidence(contract=terms, schema=schema, synthetic=parts["train"], seed=1,
                      entities={p: np.arange(len(f)) for p, f in parts.items()}, **parts)
    distance = finding(judged(e, "leakage"), "leakage.distance")
    assert distance.verdict is Verdict.INFO
    assert distance.detail["ties"] > 0.9 and "not informative" in distance.method


def test_the_same_seed_gives_the_same_figures(clean):
    small = replace(clean, synthetic=clean.synthetic.iloc[:600])  # as many rows an arm
    for gate in ("diversity", "fidelity"):
        one, two = judged(small, gate), judged(small, gate)
        assert [(f.id, f.value, f.low, f.high) for f in one.findings] == [
            (f.id, f.value, f.low, f.high) for f in two.findings]
