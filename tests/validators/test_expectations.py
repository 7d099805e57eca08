from __future__ import annotations

import gc
import json
import logging
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.contract import Column, Contract, IdentifierPolicy, Role
from synth.errors import InternalError, Problems, UserError
from synth.seeds import generator
from synth.tabular.schema import ColumnSchema, TableSchema
from validators.expectations import validate
from validators.suite import OPERATORS, Rule, compile_suite

CANARIES = ("CANARY-WORD", "98765.4321", "1234567")


def schema(**changed: Any) -> TableSchema:
    return TableSchema(columns=(
        ColumnSchema(name="age", role=Role.NUMERIC, nullable=True, integer=True, minimum=0.0, maximum=120.0),
        ColumnSchema(name="group", role=Role.CATEGORICAL, nullable=True, values=("a", "b", "other"),
                     folded=changed.get("folded", "other")),
        ColumnSchema(name="day", role=Role.DATETIME, nullable=True, unit="D", minimum=0.0, maximum=20_000.0),
        ColumnSchema(name="ill", role=Role.BOOLEAN, nullable=True, values=("false", "true"), true_text="yes",
                     false_text="no")))


def contract(*, quality: dict[str | None, list[dict[str, Any]]] | None = None, required: str = "age",
             options: dict[str, dict[str, Any]] | None = None) -> Contract:
    quality = quality or {}
    names = ("age", "group", "day", "ill", "ticket", "note")
    properties = [{"name": n, "quality": quality.get(n, []), "logicalTypeOptions": (options or {}).get(n, {})}
                  for n in names]
    return Contract(
        name="t", version="1", domain="tabular", path=Path("t.yaml"), digest="0" * 64, description="", source="t.csv",
        columns=(Column(name="age", role=Role.NUMERIC, required=required == "age", minimum=0, maximum=120),
                 Column(name="group", role=Role.CATEGORICAL, values=("a", "b")),
                 Column(name="day", role=Role.DATETIME),
                 Column(name="ill", role=Role.BOOLEAN, values=("no", "yes")),
                 Column(name="ticket", role=Role.IDENTIFIER, unique=True, required=True,
                        generate=IdentifierPolicy.GENERATE),
                 Column(name="note", role=Role.TEXT)),
        raw={"schema": [{"properties": properties, "quality": quality.get(None, [])}]})


def frame(rows: int = 200) -> pd.DataFrame:
    rng = generator(3, "suite")
    return pd.DataFrame({
        "age": rng.integers(0, 100, rows).astype(float),
        "group": pd.Series(rng.choice(["a", "b", "other"], rows), dtype="str"),
        "day": rng.integers(0, 19_000, rows).astype(float),
        "ill": pd.Series(rng.choice(["true", "false"], rows), dtype="str")})


def outcome(results: list[dict[str, Any]], kind: str, column: str | None) -> dict[str, Any]:
    (found,) = [r for r in results if r["type"] == kind and r["column"] == column]
    return found


def test_a_good_frame_meets_everything() -> None:
    results = validate(frame(), contract(), schema())
    assert len(results) == 9 and all(r["success"] for r in results)
    assert set(results[0]) == {"success", "type", "column", "element_count", "unexpected_count", "unexpected_percent"}
    assert not any(r["column"] in ("ticket", "note") for r in results)


@pytest.mark.parametrize(("column", "value", "kind"), [
    ("age", 121.0, "expect_column_values_to_be_between"), ("age", -1.0, "expect_column_values_to_be_between"),
    ("age", np.nan, "expect_column_values_to_not_be_null"), ("group", "c", "expect_column_values_to_be_in_set"),
    ("day", 20_001.0, "expect_column_values_to_be_between"), ("ill", "yes", "expect_column_values_to_be_in_set")])
def test_one_wrong_cell_fails_the_expectation_meant_for_it(column: str, value: Any, kind: str) -> None:
    broken = frame()
    broken.loc[7, column] = value
    results = validate(broken, contract(), schema())
    assert [(r["type"], r["column"]) for r in results if not r["success"]] == [(kind, column)]
    found = outcome(results, kind, column)
    assert (found["element_count"], found["unexpected_count"]) == (200, 1)
    assert found["unexpected_percent"] == pytest.approx(0.5)


def test_missing_cells_that_are_allowed_are_not_counted() -> None:
    holes = frame()
    holes.loc[:99, ["group", "day", "ill"]] = np.nan
    holes.loc[150, "group"] = "c"
    results = validate(holes, contract(), schema())
    assert outcome(results, "expect_column_values_to_be_in_set", "group")["unexpected_percent"] == pytest.approx(1.0)


def test_a_missing_column_fails_and_the_rest_is_still_judged() -> None:
    results = validate(frame().drop(columns="group"), contract(), schema())
    assert {r["type"] for r in results if not r["success"]} == {"expect_column_to_exist",
                                                               "expect_column_values_to_be_in_set"}
    assert {r["column"] for r in results if not r["success"]} == {"group"}


QUALITY: dict[str | None, list[dict[str, Any]]] = {
    "age": [{"metric": "nullValues", "mustBeLessThan": 5, "unit": "percent"},
            {"metric": "duplicateValues", "mustBeGreaterThan": 10},
            {"type": "custom", "engine": "greatExpectations",
             "implementation": {"type": "ExpectColumnMeanToBeBetween", "kwargs": {"min_value": 40, "max_value": 60}}}],
    "group": [{"metric": "invalidValues", "arguments": {"validValues": ["a", "b", "other"]}, "mustBe": 0},
              {"metric": "missingValues", "arguments": {"missingValues": [None, ""]}, "mustBeBetween": [0, 3]},
              {"metric": "invalidValues", "arguments": {"pattern": "^[a-z]+$"}, "mustBeLessOrEqualTo": 0}],
    "day": [{"type": "custom", "engine": "great-expectations",
             "implementation": "type: expect_column_values_to_be_between\n"
                               "kwargs: {max_value: \"2022-01-08\", mostly: 0.99}"}],
    None: [{"metric": "rowCount", "mustBeGreaterOrEqualTo": 200},
           {"metric": "duplicateValues", "arguments": {"properties": ["age", "group", "day", "ill"]}, "mustBe": 0}],
}


def test_quality_rules_are_honoured() -> None:
    results = validate(frame(), contract(quality=QUALITY), schema())
    assert [r for r in results if not r["success"]] == [] and len(results) == 9 + 9
    worse = frame().iloc[:199].reset_index(drop=True)
    worse.loc[:10, "age"] = np.nan
    worse.loc[:3, "group"] = np.nan
    worse.loc[:1, "day"] = 19_001.0  # 2022-01-09: two rows of 199 are more than 1 %
    worse.loc[20, "group"] = "B!"
    worse.loc[30] = worse.loc[31]
    failed = [(r["type"], r["column"]) for r in validate(worse, contract(quality=QUALITY), schema())
              if not r["success"]]
    assert sorted(failed, key=str) == sorted([
        ("expect_column_values_to_not_be_null", "age"),  # required
        ("expect_column_values_to_not_be_null", "age"),  # at least 5 percent
        ("expect_column_values_to_be_in_set", "group"), ("expect_column_values_to_be_in_set", "group"),
        ("expect_column_values_to_not_be_null", "group"), ("expect_column_values_to_match_regex", "group"),
        ("expect_column_values_to_be_between", "day"), ("expect_table_row_count_to_be_between", None),
        ("expect_compound_columns_to_be_unique", None)], key=str)


def test_batches_say_the_same_as_the_whole() -> None:
    whole = frame(500)
    whole.loc[[3, 400], "group"] = "zzz"
    whole.loc[[0, 499], "age"] = np.nan
    batches = (whole.iloc[i: i + 120].reset_index(drop=True) for i in range(0, 500, 120))
    one, many = (validate(d, contract(quality=QUALITY), schema()) for d in (whole, batches))
    assert one == many and any(not r["success"] for r in one)


def test_expectations_on_the_table_see_all_columns() -> None:
    def rule(kind: str, **arguments: Any) -> dict[str, Any]:
        return {"type": "custom", "engine": "greatExpectations", "implementation": {"type": kind, "kwargs": arguments}}

    rules: dict[str | None, list[dict[str, Any]]] = {None: [
        rule("expect_table_column_count_to_equal", value=4), rule("expect_table_column_count_to_equal", value=3),
        rule("expect_table_columns_to_match_set", column_set=["age", "group", "day", "ill"]),
        rule("expect_column_pair_values_a_to_be_greater_than_b", column_A="day", column_B="age", or_equal=True)]}
    whole = frame()
    whole.loc[[3, 4], "day"] = -1.0
    for data in (whole, (whole.iloc[i: i + 50] for i in range(0, 200, 50))):
        added = validate(data, contract(quality=rules), schema())[9:]
        assert [r["success"] for r in added] == [True, False, True, False]
        assert added[3]["unexpected_count"] == 2


def test_no_batches_meet_nothing() -> None:
    rules: dict[str | None, list[dict[str, Any]]] = {None: [{"metric": "rowCount", "mustBeGreaterThan": 0}]}
    assert not any(r["success"] for r in validate(iter(()), contract(quality=rules), schema()))


def test_batches_are_not_kept() -> None:
    seen: list[weakref.ref[pd.DataFrame]] = []
    alive: list[int] = []

    def batches() -> Iterator[pd.DataFrame]:
        for _ in range(6):
            batch = frame()
            seen.append(weakref.ref(batch))
            yield batch
            del batch
            gc.collect()
            alive.append(sum(ref() is not None for ref in seen))

    validate(batches(), contract(), schema())
    assert max(alive) <= 2


def test_lengths_and_patterns_of_the_standard() -> None:
    options = {"group": {"maxLength": 4, "pattern": "^[a-z]+$"}}
    failed = {r["type"] for r in validate(frame(), contract(options=options), schema()) if not r["success"]}
    assert failed == {"expect_column_value_lengths_to_be_between"}  # "other" has five letters


@pytest.mark.parametrize(("column", "rule", "said"), [
    ("age", {"type": "sql", "query": "select 1"}, "type 'sql'"),
    ("age", {"type": "text", "description": "should be fine"}, "type 'text'"),
    ("age", {"type": "custom", "engine": "soda", "implementation": "x"}, "engine other than"),
    ("age", {"type": "custom", "engine": "greatExpectations", "implementation": "]["}, "no usable implementation"),
    ("age", {"type": "custom", "engine": "greatExpectations",
             "implementation": {"type": "UnexpectedRowsExpectation", "kwargs": {}}}, "runs a query"),
    ("age", {"type": "custom", "engine": "greatExpectations", "implementation": {
        "type": "expect_column_values_to_be_unique", "kwargs": {"row_condition": "age > 3"}}}, "runs a query"),
    ("age", {"metric": "nullValues"}, "exactly one comparison"),
    ("age", {"metric": "nullValues", "mustBe": 0, "mustBeLessThan": 1}, "exactly one comparison"),
    ("age", {"metric": "nullValues", "mustBe": "none"}, "must compare with 1 number"),
    ("age", {"metric": "niceValues", "mustBe": 0}, "not known"),
    ("age", {"metric": "invalidValues", "mustBe": 0}, "does not say what is valid"),
    ("age", {"metric": "missingValues", "arguments": {"missingValues": [-9]}, "mustBe": 0}, "not treat as missing"),
    ("note", {"metric": "nullValues", "mustBe": 0}, "column that is dropped"),
    (None, {"metric": "nullValues", "mustBe": 0}, "not one of a table"),
    (None, {"metric": "rowCount", "mustNotBe": 0}, "cannot be asked of a row count"),
    (None, {"metric": "duplicateValues", "arguments": {"properties": ["age", "person"]}, "mustBe": 0}, "not released"),
])
def test_rules_that_cannot_be_honoured_are_refused_loudly(column: str | None, rule: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        compile_suite(contract(quality={column: [rule]}), schema())
    assert caught.value.todo


def test_all_bad_rules_are_told_at_once() -> None:
    rules = [{"type": "sql"}, {"type": "text"}]
    with pytest.raises(Problems) as caught:
        compile_suite(contract(quality={"age": rules, "group": rules}), schema())
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("body", [
    {"type": "expect_column_values_to_be_nice"},
    {"type": "expect_column_values_to_match_regex", "kwargs": {"regex": "["}},
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"value_set": "CANARY-WORD"}},
    {"type": "expect_column_values_to_match_strftime_format", "kwargs": {"strftime_format": "%Q"}}])
def test_a_passed_through_rule_that_does_not_work_is_the_contracts_fault(body: dict[str, Any]) -> None:
    rule = {"type": "custom", "engine": "greatExpectations", "implementation": body}
    with pytest.raises(UserError) as caught:
        validate(frame(), contract(quality={"group": [rule]}), schema())
    assert "'group'" in caught.value.where and not isinstance(caught.value, InternalError)
    assert "CANARY" not in str(caught.value) and caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_no_value_gets_out(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path,
                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Canaries in failing cells, in the vocabulary and in aggregate figures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    rules: dict[str | None, list[dict[str, Any]]] = {
        "age": [{"type": "custom", "engine": "greatExpectations",
                 "implementation": {"type": kind, "kwargs": {"min_value": 0, "max_value": 1}}}
                for kind in ("expect_column_max_to_be_between", "expect_column_mean_to_be_between",
                             "expect_column_unique_value_count_to_be_between")],
        "group": [{"metric": "invalidValues", "arguments": {"validValues": ["CANARY-WORD-2"]}, "mustBe": 0},
                  {"type": "custom", "engine": "greatExpectations", "implementation": {
                      "type": "expect_column_most_common_value_to_be_in_set", "kwargs": {"value_set": ["x"]}}}]}
    canaries = frame()
    canaries.loc[5, ["age", "day"]] = [98765.4321, 1234567.0]
    canaries.loc[5:, "group"] = "CANARY-WORD"
    results = validate(canaries, contract(quality=rules), schema())
    assert sum(not r["success"] for r in results) == 8
    out, err = capfd.readouterr()
    logged = " ".join(record.getMessage() for record in caplog.records)
    for canary in CANARIES:
        assert canary not in json.dumps(results) + out + err + logged
    assert not out and not err
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_the_suite_itself_prints_no_vocabulary() -> None:
    assert "CANARY" not in repr(compile_suite(
        contract(quality={"group": [{"metric": "invalidValues", "arguments": {"validValues": ["CANARY"]},
                                     "mustBe": 0}]}), schema()))


def test_a_dressed_table_is_judged_by_the_same_suite() -> None:
    working = frame()
    table = pa.table({
        "age": pa.array(working["age"].astype(int)), "group": pa.array(working["group"]),
        "day": pa.array(working["day"].astype("int32"), type=pa.int32()).cast(pa.date32()),
        "ill": pa.array(working["ill"].map({"true": "yes", "false": "no"})),
        "ticket": pa.array([f"t{i}" for i in range(200)])})
    results = validate(table, contract(), schema())
    assert all(r["success"] for r in results) and len(results) == 9 + 3  # and the generated identifier
    twice = table.set_column(4, "ticket", pa.array(["CANARY"] * 2 + [f"t{i}" for i in range(198)]))
    (failed,) = [r for r in validate(twice, contract(), schema()) if not r["success"]]
    assert (failed["type"], failed["unexpected_count"]) == ("expect_column_values_to_be_unique", 2)


@pytest.mark.parametrize("held", [
    ColumnSchema(name="c", role=Role.NUMERIC, nullable=True, integer=True),
    ColumnSchema(name="c", role=Role.NUMERIC, nullable=True, decimals=2, text=True),
    ColumnSchema(name="c", role=Role.NUMERIC, nullable=True),
    ColumnSchema(name="c", role=Role.DATETIME, nullable=True, unit="D"),
    ColumnSchema(name="c", role=Role.DATETIME, nullable=True, unit="D", format="%-d.%-m.%Y", text=True),
    ColumnSchema(name="c", role=Role.DATETIME, nullable=True, unit="D", text=True),
    ColumnSchema(name="c", role=Role.DATETIME, nullable=True, unit="s", zone="Europe/Berlin", text=True),
    ColumnSchema(name="c", role=Role.DATETIME, nullable=True, unit="us"),
    ColumnSchema(name="c", role=Role.DATETIME, nullable=True, unit="ms", zone="UTC"),
    ColumnSchema(name="c", role=Role.CATEGORICAL, nullable=True, values=("1", "2"), label_type="int"),
    ColumnSchema(name="c", role=Role.CATEGORICAL, nullable=True, values=("1.0", "2.5"), label_type="float"),
    ColumnSchema(name="c", role=Role.CATEGORICAL, nullable=True, values=("x", "y z")),
    ColumnSchema(name="c", role=Role.BOOLEAN, nullable=True, values=("false", "true")),
    ColumnSchema(name="c", role=Role.BOOLEAN, nullable=True, values=("false", "true"), true_text="1", false_text="0",
                 label_type="int")], ids=lambda held: f"{held.role}-{held.unit or held.label_type}-{held.text}")
def test_what_is_printed_is_read_back(held: ColumnSchema) -> None:
    from synth.tabular.export import dress
    from validators.undress import working_frame

    rng = generator(5, "dress")
    cells: Any = rng.integers(-700_000, 40_000, 50).astype(float)
    if held.unit in ("s", "ms", "us"):
        cells = rng.integers(0 if held.zone else -2**33, 2**33, 50).astype(float)  # zones had odd offsets once
    elif not held.is_number:
        cells = pd.Series(rng.choice(held.values, 50), dtype="str")
    elif not held.integer and held.unit is None:
        cells = cells / 100 if held.decimals else rng.normal(size=50)
    one = TableSchema(columns=(held,))
    written = pd.DataFrame({"c": cells})
    written.loc[3, "c"] = np.nan
    about = Contract(name="t", version="1", domain="tabular", path=Path("t"), digest="", description="", source="",
                     columns=(Column(name="c", role=held.role),))
    read = working_frame(dress(written, one, about, seed=1), one)
    one.check(read)
    pd.testing.assert_frame_equal(read, written)


def test_text_dates_and_time_stamps_are_read_back() -> None:
    from validators.undress import working_frame

    def column(**changed: Any) -> TableSchema:
        return TableSchema(columns=(ColumnSchema(name="t", role=Role.DATETIME, nullable=True, **changed),))

    texts = pa.table({"t": ["02/01/1970", None]})
    assert working_frame(texts, column(unit="D", format="%d/%m/%Y", text=True))["t"].tolist()[0] == 1.0
    iso = pa.table({"t": ["1970-01-01T00:00:02.5+01:00", None]})
    assert working_frame(iso, column(unit="ms", zone="UTC", text=True))["t"].tolist()[0] == -3_597_500.0
    stamps = pa.table({"t": pa.array([86_400_000_000, None], type=pa.timestamp("us"))})
    assert working_frame(stamps, column(unit="s"))["t"].tolist()[0] == 86_400.0
    with pytest.raises(InternalError) as caught:
        working_frame(pa.table({"t": ["CANARY"]}), column(unit="D", text=True))
    assert "CANARY" not in str(caught.value)


@given(st.integers(0, 100), st.integers(1, 100), st.integers(0, 100), st.booleans(), st.sampled_from(OPERATORS))
def test_rules_are_the_standards_comparisons(count: int, rows: int, value: int, percent: bool, operator: str) -> None:
    figure = 100 * (count / rows) if percent else count
    bounds = (float(value), float(value + 5)) if operator.endswith("Between") else (float(value),)
    expected = {"mustBe": figure == value, "mustNotBe": figure != value, "mustBeGreaterThan": figure > value,
                "mustBeGreaterOrEqualTo": figure >= value, "mustBeLessThan": figure < value,
                "mustBeLessOrEqualTo": figure <= value, "mustBeBetween": value <= figure <= value + 5,
                "mustNotBeBetween": figure < value or figure > value + 5}[operator]
    assert Rule(operator, bounds, percent).holds(count, count / rows) is expected


def test_a_million_rows_take_seconds() -> None:
    big = pd.concat([frame(1000)] * 1000, ignore_index=True)
    validate(frame(), contract(), schema())  # the import is not what is timed
    start = time.process_time()
    results = validate((big.iloc[i: i + 250_000] for i in range(0, len(big), 250_000)), contract(), schema())
    assert time.process_time() - start < 30
    assert results[1]["element_count"] == 1_000_000


def test_importing_the_module_does_not_import_great_expectations() -> None:
    code = "import sys, validators.expectations, validators.contract; assert 'great_expectations' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
