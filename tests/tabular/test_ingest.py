"""Ingest: what was in the file is in the working form, and what must not be is refused without being quoted."""

from __future__ import annotations

import json
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.contract.model import Contract, Role
from synth.errors import Problems, UserError
from synth.progress import Silent
from synth.tabular.export import dress, write_csv
from synth.tabular.ingest import ingest, read_frame, shared_by
from tests.tabular.tables import SECRET, SECRET_NUMBER, column, contract, ingested


def csv(tmp_path: Path, name: str, cells: list[Any]) -> Path:
    """A CSV file of one column beside a filler, so that an empty cell is not an empty line."""
    path = tmp_path / "data.csv"
    path.write_text(f"{name},filler\n" + "".join(f"{c},{i % 2}\n" for i, c in enumerate(cells)))
    return path


def parquet(tmp_path: Path, name: str, array: pa.Array) -> Path:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({name: array, "filler": [i % 2 for i in range(len(array))]}), path)
    return path


FILLER = column("filler", "boolean")


def one(tmp_path: Path, source: Path, described: dict[str, Any], **more: Any) -> tuple[pd.Series, Any]:
    """Working column and its schema."""
    frame, schema, _ = ingested(contract(source, described, FILLER, **more), tmp_path / "out")
    return frame[described["name"]], schema[described["name"]]


def refused(tmp_path: Path, agreed: Contract) -> str:
    """The message of data that must be refused; it never quotes a cell, and nothing is left behind."""
    out = tmp_path / "refused"
    out.mkdir(exist_ok=True)
    with pytest.raises(UserError) as caught:
        ingest(agreed, out, progress=Silent())
    message = str(caught.value)
    assert caught.value.exit_code == 2 and "where:" in message and "what to do:" in message
    assert SECRET not in message and str(SECRET_NUMBER) not in message and message.count("\n") < 24
    assert not list(out.glob("*.parquet"))
    return message


# --- numbers ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("cells", "values", "integer", "decimals"), [
    (["1", "-2", "", "40"], [1, -2, None, 40], True, 0),
    (["1.50", "2.25", "0.1", "-3"], [1.5, 2.25, 0.1, -3], False, 2),
    (["1.0", "2.0", "", "3.0"], [1, 2, None, 3], False, 1),
    (["1e5", "2.5e-7", "1", "2"], [1e5, 2.5e-7, 1, 2], False, None),
    ([" 1", "2 ", "+3", "   "], [1, 2, 3, None], True, 0),
    (["0.12345678901234", "1", "2", "3"], [0.12345678901234, 1, 2, 3], False, None),
])
def test_numbers_keep_value_and_printed_precision(tmp_path: Path, cells: list[str], values: list[float | None],
                                                  integer: bool, decimals: int | None) -> None:
    held, schema = one(tmp_path, csv(tmp_path, "x", cells), column("x", "number"))
    np.testing.assert_array_equal(held, np.array(values, float))
    assert (schema.integer, schema.decimals) == (integer, decimals)


@pytest.mark.parametrize(("array", "integer", "decimals"), [
    (pa.array([1, None, 3], pa.int8()), True, 0),
    (pa.array([1.25, None, 3.5]), False, 2),
    (pa.array([25862.32, 0.07, 1669.3], pa.float32()), False, 2),
    (pa.array([0.1 + 0.2, 1.0, np.pi]), False, None),
    (pa.array([1e-20, 0.1, 3e20], pa.float32()), False, None),
    (pa.array([0.5, 1.25, float("nan")], pa.float16()), False, 2),
    (pa.array([1.0, 2.0, float("nan")]), False, 0),
    (pa.array([1, 2, 3]).cast(pa.decimal128(25, 3)), False, 3),
    (pa.array([1.5, 2.5, 1.5]).dictionary_encode(), False, 1),
])
def test_typed_numbers(tmp_path: Path, array: pa.Array, integer: bool, decimals: int | None) -> None:
    held, schema = one(tmp_path, parquet(tmp_path, "x", array), column("x", "number"))
    assert (schema.integer, schema.decimals) == (integer, decimals)
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    expected = plain.cast(pa.float64()).to_numpy(zero_copy_only=False)
    np.testing.assert_allclose(held, expected, rtol=1e-7)
    if array.type == pa.float32():
        assert set(held.dropna()) == {float(str(v)) for v in plain.to_numpy()}  # 0.1, not 0.10000000149
    if decimals is not None:
        known = held.dropna()
        np.testing.assert_array_equal(known, known.round(decimals))  # 32-bit noise is gone


def test_text_numbers_of_a_typed_source_stay_text(tmp_path: Path) -> None:
    _, schema = one(tmp_path, parquet(tmp_path, "x", pa.array(["1.50", None, "2"])), column("x", "number"))
    assert schema.text and schema.decimals == 2


def test_declared_decimals_and_missing_codes(tmp_path: Path) -> None:
    held, schema = one(tmp_path, csv(tmp_path, "x", ["1.256", "-999.0", "?", "2"]),
                       column("x", "number", decimals=1, missingCodes=["-999", "?"], options={"minimum": 0}))
    np.testing.assert_array_equal(held, [1.3, np.nan, np.nan, 2])
    assert (schema.decimals, schema.minimum, schema.nullable) == (1, 0.0, True)


@pytest.mark.parametrize(("cells", "settings", "what"), [
    (["1", SECRET, "2"], {}, "1 cell of 3 hold text in a numeric column"),
    (["1", "2,5".replace(",", "'"), "nan"], {}, "2 cells of 3 hold text"),
    (["1", "inf", "-Infinity"], {}, "2 cells of 3 are infinite"),
    (["1", "007", "2"], {}, "leading zeros"),
    (["1", str(2**60), "2"], {}, "beyond 2^53"),
    (["1", str(SECRET_NUMBER), "-1"], {"options": {"minimum": 0, "maximum": 10}}, "2 cells of 3 lie outside"),
    (["", "", ""], {}, "no value in any row"),
    (["1", "", "3"], {"required": True}, "is required, but 1 cell of 3 are missing"),
    (["1", "2", "3"], {"boundsConfirmed": False}, "bounds of column 'x' are not confirmed"),
])
def test_numbers_that_are_refused(tmp_path: Path, cells: list[str], settings: dict[str, Any], what: str) -> None:
    message = refused(tmp_path, contract(csv(tmp_path, "x", cells), column("x", "number", **settings), FILLER))
    assert what in message and "/contracts/t.yaml:" in message


def test_a_constant_column_is_allowed(tmp_path: Path) -> None:
    held, _ = one(tmp_path, csv(tmp_path, "x", ["5"] * 30), column("x", "integer"))
    assert set(held) == {5.0}
    held, schema = one(tmp_path, csv(tmp_path, "x", ["a"] * 30), column("x", "string"))
    assert set(held) == {"a"} and schema.values == ("a",)


# --- dates -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("cells", "unit", "zone", "counts"), [
    (["1970-01-02", "", "1500-03-01"], "D", None, [1, None, (date(1500, 3, 1) - date(1970, 1, 1)).days]),
    (["1970-01-01 00:00:01", "9999-12-31 23:59:59"], "s", None, [1, 253402300799]),
    (["1970-01-01T00:00:00.250", "1970-01-01T00:00:01.000"], "ms", None, [250, 1000]),
    (["1970-01-01 00:00:00.000001", "1970-01-01 00:00:00.000002"], "us", None, [1, 2]),
    (["1970-01-01T02:00:00+02:00", "1970-01-01T03:00:00+02:00"], "s", "+02:00", [0, 3600]),
    (["1970-01-01T02:00:00+02:00", "1970-01-01T00:00:05Z"], "s", "UTC", [0, 5]),
])
def test_iso_dates(tmp_path: Path, cells: list[str], unit: str, zone: str | None, counts: list[int | None]) -> None:
    held, schema = one(tmp_path, csv(tmp_path, "x", cells), column("x", "timestamp"))
    assert (schema.unit, schema.zone, schema.text) == (unit, zone, False)
    np.testing.assert_array_equal(held, np.array(counts, float))


@pytest.mark.parametrize(("array", "unit", "zone"), [
    (pa.array([date(1600, 1, 1), None]), "D", None),
    (pa.array([datetime(1600, 1, 1, 5), None], pa.timestamp("us")), "s", None),
    (pa.array([1_500, None], pa.timestamp("ms")), "ms", None),
    (pa.array([1_000_000_001_000, None], pa.timestamp("ns", "Europe/Berlin")), "us", "Europe/Berlin"),
    (pa.array([2_000_000_000, None], pa.timestamp("ns")), "s", None),
])
def test_typed_dates(tmp_path: Path, array: pa.Array, unit: str, zone: str | None) -> None:
    held, schema = one(tmp_path, parquet(tmp_path, "x", array), column("x", "timestamp"))
    assert (schema.unit, schema.zone) == (unit, zone)
    scale = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}[unit]
    micro = array.cast(pa.timestamp("us", array.type.tz if pa.types.is_timestamp(array.type) else None), safe=False)
    assert held[0] * scale == micro[0].value and np.isnan(held[1])


def test_dates_in_the_contracts_format(tmp_path: Path) -> None:
    source = csv(tmp_path, "x", ["31/12/1599", "", "01/02/2020", "n/a"])
    held, schema = one(tmp_path, source, column("x", "date", missingCodes=["n/a"], options={
        "format": "dd/MM/yyyy", "minimum": "1500-01-01", "maximum": "2020-02-01"}))
    assert (schema.text, schema.format, schema.unit) == (True, "%d/%m/%Y", "D")
    assert held[2] == (date(2020, 2, 1) - date(1970, 1, 1)).days and held.isna().sum() == 2
    assert schema.maximum == held[2]


@pytest.mark.parametrize(("cells", "options", "what"), [
    (["2020-01-01", SECRET], {}, "1 cell of 2 are not ISO 8601 dates"),
    (["2020-01-01", "2020-02-31"], {}, "1 cell of 2 are not ISO 8601 dates"),
    (["31/12/2020", "12/31/2020"], {"format": "dd/MM/yyyy"}, "1 cell of 2 are not the contract's format"),
    (["2020-01-01", "2020-01-01 10:00:00"], {}, "2 different ways"),
    (["2020-01-01T10:00:00", "2020-01-01T10:00:00Z"], {}, "with and without a zone"),
    (["2020-01-01", "2020-06-01"], {"maximum": "2020-05-31"}, "1 cell of 2 lie outside"),
])
def test_dates_that_are_refused(tmp_path: Path, cells: list[str], options: dict[str, Any], what: str) -> None:
    agreed = contract(csv(tmp_path, "x", cells), column("x", "timestamp", options=options), FILLER)
    assert what in refused(tmp_path, agreed)


def test_a_maximum_given_as_a_day_includes_the_day(tmp_path: Path) -> None:
    held, _ = one(tmp_path, csv(tmp_path, "x", ["2020-05-31 23:59:59"] * 2),
                  column("x", "timestamp", options={"maximum": "2020-05-31"}))
    assert len(held) == 2


# --- labels ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("count", "folded"), [(9, True), (10, False), (11, False)])
def test_categories_of_fewer_than_k_entities_are_folded(tmp_path: Path, count: int, folded: bool) -> None:
    source = csv(tmp_path, "x", ["common"] * 40 + [SECRET] * count)
    frame, schema, record = ingested(contract(source, column("x", "string"), FILLER), tmp_path / "out")
    assert (schema["x"].folded == "(rare)") is folded
    assert (SECRET in set(frame["x"])) is not folded
    assert record["columns"][0]["folded_categories"] == int(folded)
    assert SECRET not in json.dumps(record)
    assert (SECRET in (tmp_path / "out" / "schema.json").read_text()) is not folded


def test_folding_counts_entities_not_rows(tmp_path: Path) -> None:
    # "one person's" has 30 rows of one person, "shared" 10 rows of ten
    path = tmp_path / "data.csv"
    lines = [f"one person's,{SECRET}"] * 30 + [f"shared,p{i}" for i in range(10)]
    lines += [f"base,q{i % 20}" for i in range(40)]
    path.write_text("x,person\n" + "\n".join(lines) + "\n")
    frame, schema, record = ingested(contract(
        path, column("x", "string"), column("person", "string", role="identifier", privacy="direct"),
        entity="person"), tmp_path / "out")
    assert schema["x"].values == ("(rare)", "base", "shared")
    assert list(frame.columns) == ["x"] and (frame["x"] == "(rare)").sum() == 30
    assert record["entities"] == 31
    entities = np.load(tmp_path / "out" / "entities.npy")
    assert entities.dtype == np.int64 and set(entities) == set(range(31))
    assert len(set(entities[:30])) == 1 and len(set(entities[30:40])) == 10
    assert list(entities[40:60]) == list(entities[60:80])
    for file in (tmp_path / "out").iterdir():
        assert SECRET.encode() not in file.read_bytes()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=60), st.integers(1, 4))
def test_shared_by_counts_like_a_set(pairs: list[tuple[int, int]], k: int) -> None:
    codes, entities = (np.array(a) for a in zip(*pairs, strict=True))
    expected = [len({e for c, e in pairs if c == code}) >= k for code in range(6)]
    assert shared_by(codes, entities, 6, k).tolist() == expected


def test_the_folded_label_never_collides(tmp_path: Path) -> None:
    source = csv(tmp_path, "x", ["(rare)"] * 40 + ["once"])
    held, schema = one(tmp_path, source, column("x", "string"))
    assert schema.folded == "(rare 2)" and (held == "(rare)").sum() == 40


def test_declared_values_are_kept_in_order_and_others_refused(tmp_path: Path) -> None:
    source = csv(tmp_path, "x", ["low"] * 30 + ["high"])
    described = column("x", "string", role="ordinal", values=["low", "mid", "high"])
    _, schema = one(tmp_path, source, described)
    assert schema.values == ("low", "mid", "high") and schema.folded is None
    source = csv(tmp_path, "x", ["low"] * 30 + [SECRET])
    assert "`synthesis.values` does not list (1 of 2)" in refused(tmp_path, contract(source, described, FILLER))


@pytest.mark.parametrize(("cells", "kind"), [
    (["1", "2", "10"], "int"), (["1.5", "2.0", "0.5"], "float"), (["01", "02", "03"], "str"), (["a", "1", "2"], "str"),
    (["1.50", "2", "3"], "str"),
])
def test_labels_know_the_type_they_had(tmp_path: Path, cells: list[str], kind: str) -> None:
    _, schema = one(tmp_path, csv(tmp_path, "x", cells * 20), column("x", "string"))
    assert schema.label_type == kind and schema.values == tuple(sorted(cells))


def test_numeric_ordinals_are_ordered_by_size(tmp_path: Path) -> None:
    _, schema = one(tmp_path, csv(tmp_path, "x", ["10", "9", "-1"] * 20), column("x", "integer", role="ordinal"))
    assert schema.values == ("-1", "9", "10")


@pytest.mark.parametrize(("array", "values", "kind"), [
    (pa.array([1, 2, None] * 20), ("1", "2"), "int"),
    (pa.array([1.0, 2.0, None] * 20), ("1", "2"), "float"),
    (pa.array(["1", "2", None] * 20), ("1", "2"), "str"),
    (pa.array(["b", "a", None] * 20).dictionary_encode(), ("a", "b"), "str"),
    (pa.array(["b", "a", ""] * 20, pa.large_string()), ("a", "b"), "str"),
])
def test_typed_labels(tmp_path: Path, array: pa.Array, values: tuple[str, ...], kind: str) -> None:
    held, schema = one(tmp_path, parquet(tmp_path, "x", array), column("x", "string"))
    assert (schema.values, schema.label_type) == (values, kind)
    assert held.isna().sum() == 20 and schema.nullable


@pytest.mark.parametrize(("words", "settings", "expected", "kind"), [
    (("yes", "no"), {}, ("no", "yes"), "str"), (("TRUE", "FALSE"), {}, ("FALSE", "TRUE"), "str"),
    (("1", "0"), {}, ("0", "1"), "int"), (("N", "Y"), {}, ("N", "Y"), "str"),
    (("sick", "well"), {"values": ["well", "sick"]}, ("well", "sick"), "str"), (("Yes", ""), {}, ("No", "Yes"), "str"),
])
def test_booleans_keep_their_words(tmp_path: Path, words: tuple[str, str], settings: dict[str, Any],
                                   expected: tuple[str, str], kind: str) -> None:
    held, schema = one(tmp_path, csv(tmp_path, "x", [*words, words[0]]), column("x", "boolean", **settings))
    assert (schema.false_text, schema.true_text, schema.label_type) == (*expected, kind)
    assert schema.values == ("false", "true")
    assert (held.iloc[0] == "true") is (words[0] == expected[1])


def test_typed_booleans_have_no_words(tmp_path: Path) -> None:
    held, schema = one(tmp_path, parquet(tmp_path, "x", pa.array([True, None, False])),
                       column("x", "boolean", values=[0, 1]))
    assert schema.true_text is None and held.tolist()[0] == "true" and held.isna()[1]


@pytest.mark.parametrize(("cells", "described", "what"), [
    ([f"{SECRET}{i}" for i in range(30)], column("x", "string"), "a different label in every row"),
    ([f"{SECRET} {i} " + "is a long remark about somebody " * 2 for i in range(30)] * 1 + ["x"] * 2,
     column("x", "string"), "looks like free text"),
    ([SECRET * 120] * 30, column("x", "string"), "longer than 1000 characters"),
    (["yes", "no", SECRET] * 10, column("x", "boolean"), "3 different words"),
    (["yes", "No"] * 10, column("x", "boolean"), "2 different words"),
    (["1", "2", SECRET] * 10, column("x", "integer", role="ordinal"), "their order is not known"),
])
def test_labels_that_are_refused(tmp_path: Path, cells: list[str], described: dict[str, Any], what: str) -> None:
    assert what in refused(tmp_path, contract(csv(tmp_path, "x", cells), described, FILLER))


@pytest.mark.parametrize(("array", "kind", "role", "what"), [
    (pa.array([SECRET, "b"]), "number", "numeric", "2 cells of 2 hold text"),
    (pa.array([True, False]), "number", "numeric", "is numeric in the contract but bool"),
    (pa.array([1, 2]), "date", "datetime", "is a datetime in the contract but int64"),
    (pa.array([[SECRET], [SECRET]]), "string", "categorical", "has type list"),
    (pa.array([b"x", b"y"]), "string", "categorical", "has type binary"),
    (pa.nulls(2), "string", "categorical", "no value in any row"),
])
def test_types_that_do_not_fit_the_role(tmp_path: Path, array: pa.Array, kind: str, role: str, what: str) -> None:
    agreed = contract(parquet(tmp_path, "x", array), column("x", kind, role=role), FILLER)
    assert what in refused(tmp_path, agreed)


# --- the table -------------------------------------------------------------------------------------------------------

def test_columns_on_one_side_only_are_all_named(tmp_path: Path) -> None:
    source = csv(tmp_path, "x", ["1", "2"])
    message = refused(tmp_path, contract(source, column("X", "integer"), column("gone", "integer")))
    assert "'X' is in the contract but not in the data" in message and "did you mean 'x'" in message
    assert "'gone' is in the contract" in message
    assert "'x' is in the data but not in the contract" in message and "'filler' is in the data" in message


def test_all_problems_of_all_columns_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"a,b,c\n1,{SECRET},\n{SECRET},2020-01-01,\n")
    with pytest.raises(Problems) as caught:
        ingest(contract(path, column("a", "integer"), column("b", "date"), column("c", "string")), tmp_path,
               progress=Silent())
    assert len(caught.value.problems) == 3


def test_no_rows_and_one_row(tmp_path: Path) -> None:
    assert "no rows" in refused(tmp_path, contract(csv(tmp_path, "x", []), column("x", "integer"), FILLER))
    _, _, record = ingested(contract(csv(tmp_path, "x", ["a"]), column("x", "string"), FILLER), tmp_path / "out")
    assert record["rows"] == record["entities"] == 1  # runs, and ends inconclusive at the gates


def test_a_row_without_entity_is_refused(tmp_path: Path) -> None:
    agreed = contract(csv(tmp_path, "x", ["p1", "", " "]), column("x", "string", role="identifier"), FILLER, entity="x")
    assert "2 of 3 rows have no entity key" in refused(tmp_path, agreed)


def test_an_entity_key_must_be_plain(tmp_path: Path) -> None:
    source = parquet(tmp_path, "x", pa.array([[SECRET], [SECRET]]))
    assert "list or a structure" in refused(tmp_path, contract(
        source, column("x", "array", role="identifier"), FILLER, entity="x"))


@pytest.mark.parametrize("key", [pa.array([7, 7, 9]), pa.array([7.0, 7.0, 9.5]), pa.array(["u", "u", "v"]),
                                 pa.array(["u", "u", "v"]).dictionary_encode(), pa.array([date(2000, 1, 1)] * 2 + [
                                     date(2000, 1, 2)])])
def test_entity_keys_of_every_type(tmp_path: Path, key: pa.Array) -> None:
    agreed = contract(parquet(tmp_path, "x", key), column("x", "string", role="identifier"), FILLER, entity="x")
    assert ingested(agreed, tmp_path / "out")[2]["entities"] == 2
    entities = np.load(tmp_path / "out" / "entities.npy")
    assert entities[0] == entities[1] != entities[2]


def test_entity_keys_of_two_types(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for i, key in enumerate((pa.array([1.5]), pa.array([2.5], pa.float32()), pa.array([3.5]))):
        pq.write_table(pa.table({"x": key, "filler": [i % 2]}), folder / f"{i}.parquet")
    agreed = contract(folder, column("x", "string", role="identifier"), FILLER, entity="x")
    assert ingested(agreed, tmp_path / "out")[2]["entities"] == 3
    pq.write_table(pa.table({"x": pa.array([SECRET]), "filler": [1]}), folder / "9.parquet")
    assert "another type" in refused(tmp_path, agreed)


def test_a_table_of_one_column_keeps_its_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("x\n1\n\n3\n")
    frame, _, record = ingested(contract(path, column("x", "integer")), tmp_path / "out")
    assert record["rows"] == 3 and np.isnan(frame["x"][1])


def test_a_budget_is_refused_until_it_can_be_kept(tmp_path: Path) -> None:
    agreed = contract(csv(tmp_path, "x", ["1"]), column("x", "integer"), FILLER,
                      top={"budget": {"epsilon": 3, "delta": 1e-6}})
    assert "differential-privacy budget" in refused(tmp_path, agreed)


def test_identifiers_and_text_never_reach_the_working_form(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("name,note,x\n" + "".join(f"{SECRET}{i},{SECRET} said,{i % 3}\n" for i in range(60)))
    frame, _, _ = ingested(contract(
        path, column("name", "string", role="identifier", privacy="direct"),
        column("note", "string", role="text", generate="drop"), column("x", "integer")), tmp_path / "out")
    assert list(frame.columns) == ["x"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"table.parquet", "schema.json", "entities.npy"}
    for file in (tmp_path / "out").iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_the_working_table_has_no_statistics(tmp_path: Path) -> None:
    one(tmp_path, csv(tmp_path, "x", ["5", "6"]), column("x", "integer"))
    meta = pq.read_metadata(tmp_path / "out" / "table.parquet")
    assert all(meta.row_group(0).column(i).statistics is None for i in range(2)) and meta.metadata is None


def test_same_bytes_again(tmp_path: Path) -> None:
    agreed = contract(csv(tmp_path, "x", ["a", "b", ""] * 50), column("x", "string"), FILLER)
    ingested(agreed, tmp_path / "1"), ingested(agreed, tmp_path / "2")
    for name in ("table.parquet", "schema.json", "entities.npy"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


# --- another file of the same shape ----------------------------------------------------------------------------------

def test_read_frame_reads_gaps_and_folds_what_it_does_not_know(tmp_path: Path) -> None:
    described = [column("x", "string", required=True), column("n", "number", required=True), column("b", "boolean")]
    path = tmp_path / "data.csv"
    path.write_text("x,n,b\n" + "a,1.25,yes\nb,2.00,no\n" * 20 + "odd,1,yes\n")
    agreed = contract(path, *described)
    _, schema, _ = ingested(agreed, tmp_path / "out")
    other = tmp_path / "gaps.csv"
    other.write_text("b,x,n\nyes,,\n,never seen,1.5\nno,b,\n")
    frame = read_frame(agreed, schema, str(other))
    schema.check(frame)
    assert frame["x"].tolist()[1:] == ["(rare)", "b"] and pd.isna(frame["x"][0])
    assert frame["b"].tolist()[0] == "true" and frame["n"][1] == 1.5 and frame["n"].isna().sum() == 2
    other.write_text(f"b,x,n\nyes,a,{SECRET}\n")
    with pytest.raises(UserError) as caught:
        read_frame(agreed, schema, str(other))
    assert SECRET not in str(caught.value)


def test_read_frame_takes_another_format_and_no_identifiers(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("id,n,b\n" + "".join(f"{i},{i / 4},{i % 2}\n" for i in range(40)))
    agreed = contract(path, column("id", "string", role="identifier"), column("n", "number"), column("b", "boolean"),
                      server={"format": "csv"})
    _, schema, _ = ingested(agreed, tmp_path / "out")
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"n": [1.25, None], "b": [1, None]}), other)
    frame = read_frame(agreed, schema, str(other))
    assert frame["b"][0] == "true" and frame["n"][0] == 1.25 and frame.iloc[1].isna().all()


def test_read_frame_refuses_labels_the_model_cannot_know(tmp_path: Path) -> None:
    agreed = contract(csv(tmp_path, "x", ["a", "b"] * 20), column("x", "string"), FILLER)
    _, schema, _ = ingested(agreed, tmp_path / "out")
    other = csv(tmp_path, "x", [SECRET, "a"])
    with pytest.raises(UserError, match="1 label") as caught:
        read_frame(agreed, schema, str(other))
    assert SECRET not in str(caught.value)


# --- there and back --------------------------------------------------------------------------------------------------

_LABELS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=5).filter(
    lambda t: t.strip() and t[0] not in "=+-@\t\r")
_ROWS = st.fixed_dictionaries({
    "whole": st.none() | st.integers(-10**12, 10**12),
    "money": st.none() | st.integers(-10**9, 10**9).map(lambda cents: f"{cents / 100:.2f}"),
    "day": st.none() | st.dates(),
    "time": st.none() | st.datetimes(timezones=st.none()).map(lambda t: t.replace(microsecond=0)),
    "eu": st.none() | st.dates(date(1000, 1, 1)).map(lambda d: d.strftime("%d/%m/%Y")),
    "label": st.none() | _LABELS,
    "flag": st.none() | st.sampled_from(["ja", "nein"]),
    "row": st.just("x"),
})


@settings(max_examples=25, deadline=None)
@given(st.lists(_ROWS, min_size=1, max_size=6))
def test_what_goes_in_comes_out(rows: list[dict[str, Any]]) -> None:
    columns = [name for name in rows[0] if any(r[name] is not None for r in rows)]
    kinds = {"whole": "integer", "money": "number", "day": "date", "time": "timestamp", "eu": "date",
             "label": "string", "flag": "boolean", "row": "string"}
    described = [column(n, kinds[n], options={"format": "dd/MM/yyyy"} if n == "eu" else None) for n in columns]
    table = pd.DataFrame([{n: r[n] for n in columns} for r in rows * 2], dtype="object")
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "data.csv", Path(folder) / "out"
        table.to_csv(path, index=False)
        agreed = contract(path, *described, top={"k": {"limit": 2, "reason": "a test"}})
        frame, schema, _ = ingested(agreed, out)
        write_csv(dress(frame, schema, agreed, seed=0), Path(folder) / "again.csv")
        before = pd.read_csv(path, dtype="str", keep_default_na=False)
        after = pd.read_csv(Path(folder) / "again.csv", dtype="str", keep_default_na=False)
    for name in columns:
        if schema[name].role is Role.DATETIME and not schema[name].text and name == "time":
            after[name] = after[name].str.replace("T", " ")
    pd.testing.assert_frame_equal(before, after)
