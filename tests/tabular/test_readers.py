"""Columns: value, precision, zone, words and types come through, and what does not fit is refused unquoted."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.tabular.tables import (
    FILLER,
    SECRET,
    SECRET_NUMBER,
    column,
    contract,
    csv,
    one,
    parquet,
    refused,
)

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


@pytest.mark.parametrize(("form", "cells", "unit"), [
    ("dd.MM.yyyy HH:mm", ["01.02.2020 10:30", "02.02.2020 00:00"], "s"),
    ("dd.MM.yyyy HH:mm:ss.SSS", ["01.02.2020 10:30:00.250", "02.02.2020 00:00:00.000"], "ms"),
    ("dd.MM.yyyy HH:mm:ss.SSSSSS", ["01.02.2020 10:30:00.000250", "02.02.2020 00:00:00.000000"], "us"),
    ("%d %b %Y", ["01 Feb 2020", "02 Feb 2020"], "D"),
])
def test_units_of_formatted_dates(tmp_path: Path, form: str, cells: list[str], unit: str) -> None:
    held, schema = one(tmp_path, csv(tmp_path, "x", cells), column("x", "timestamp", options={"format": form}))
    assert schema.unit == unit
    assert held[1] * {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}[unit] == 1_580_601_600_000_000


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
