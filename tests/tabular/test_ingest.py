"""Ingest: what was in the file is in the working form, and what must not be is refused without being quoted."""

from __future__ import annotations

import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.contract.model import Role
from synth.errors import Problems, UserError
from synth.progress import Silent
from synth.tabular.export import dress, write_csv
from synth.tabular.ingest import ingest, read_frame, shared_by
from tests.tabular.tables import (
    FILLER,
    SECRET,
    column,
    contract,
    csv,
    ingested,
    one,
    parquet,
    refused,
)


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


def test_under_a_budget_nothing_is_read_off_the_data_that_could_be_declared(tmp_path: Path) -> None:
    for logical, lacking in (("number", "its bounds and decimals,"), ("integer", "its bounds,")):
        agreed = contract(csv(tmp_path, "x", ["1"]), column("x", logical), FILLER,
                          top={"budget": {"epsilon": 3, "delta": 1e-6}})
        assert f"'x' does not declare {lacking}" in refused(tmp_path, agreed)


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
