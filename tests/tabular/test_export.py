from __future__ import annotations

import csv
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.contract.model import Column, Contract, IdentifierPolicy, Privacy, Role
from synth.errors import UserError
from synth.tabular.export import dress, write_csv, write_shards
from synth.tabular.identifiers import generate
from synth.tabular.schema import ColumnSchema, TableSchema

SCHEMA = TableSchema(columns=(
    ColumnSchema(name="n", role=Role.NUMERIC, nullable=True, integer=True),
    ColumnSchema(name="price", role=Role.NUMERIC, nullable=True, decimals=2),
    ColumnSchema(name="code", role=Role.CATEGORICAL, nullable=True, values=("1", "20"), label_type="int"),
    ColumnSchema(name="word", role=Role.CATEGORICAL, nullable=True, values=("=cmd()", "a")),
    ColumnSchema(name="ill", role=Role.BOOLEAN, nullable=True, true_text="ja", false_text="nein"),
    ColumnSchema(name="flag", role=Role.BOOLEAN, nullable=True),
    ColumnSchema(name="day", role=Role.DATETIME, nullable=True, unit="D", integer=True),
    ColumnSchema(name="old", role=Role.DATETIME, nullable=True, unit="D", format="%d.%m.%Y", text=True),
    ColumnSchema(name="seen", role=Role.DATETIME, nullable=True, unit="s", zone="Europe/Oslo"),
    ColumnSchema(name="exact", role=Role.NUMERIC, nullable=True, text=True, decimals=1),
))

EARLY = date.fromordinal(date(1970, 1, 1).toordinal() - 150_000)  # before the years that pandas' nanoseconds reach


def frame() -> pd.DataFrame:
    return pd.DataFrame({
        "n": [2.0**53, -1.0, np.nan], "price": [1.504999, 2.5, np.nan],
        "code": pd.Series(["20", "1", None], dtype="str"), "word": pd.Series(["=cmd()", "a", None], dtype="str"),
        "ill": pd.Series(["true", "false", None], dtype="str"), "flag": pd.Series(["true", "false", None], dtype="str"),
        "day": [0.0, -150_000.0, np.nan], "old": [-500_000.0, 19_723.0, np.nan], "seen": [0.0, 1e9, np.nan],
        "exact": [-5.0, 0.25, np.nan]})


def contract(*extra: Column, entity: str | None = None) -> Contract:
    columns = [Column(name=c.name, role=c.role) for c in SCHEMA.columns]
    return Contract(name="t", version="1", domain="tabular", path=Path("t.yaml"), digest="0", description="",
                    source="t.csv", columns=(*extra, *reversed(columns)), entity=entity)


def identifier(**fields: object) -> Column:
    return Column(name="id", role=Role.IDENTIFIER, privacy=Privacy.DIRECT,
                  generate=IdentifierPolicy.GENERATE, **fields)  # type: ignore[arg-type]


def test_every_kind_of_column_comes_out_as_it_went_in() -> None:
    table = dress(frame(), SCHEMA, contract(), seed=0)
    assert table.column_names == [c.name for c in reversed(SCHEMA.columns)]
    found = table.to_pydict()
    assert found["n"] == [2**53, -1, None] and table.schema.field("n").type == pa.int64()
    assert found["price"] == [1.5, 2.5, None]
    assert found["code"] == [20, 1, None]
    assert found["word"] == ["=cmd()", "a", None]
    assert found["ill"] == ["ja", "nein", None]
    assert found["flag"] == [True, False, None]
    assert found["day"] == [date(1970, 1, 1), EARLY, None]
    assert found["old"] == ["18.01.0601", "01.01.2024", None]
    assert found["seen"][0] == datetime(1970, 1, 1, 1, tzinfo=ZoneInfo("Europe/Oslo"))
    assert found["exact"] == ["-5.0", "0.2", None]
    assert b"pandas" not in table.schema.metadata and table.schema.metadata[b"synthetic"] == b"true"


def test_csv_keeps_precision_and_defuses_formulas(tmp_path: Path) -> None:
    write_csv(dress(frame(), SCHEMA, contract(), seed=0), tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] | {} == {
        "n": "9007199254740992", "price": "1.50", "code": "20", "word": "'=cmd()", "ill": "ja", "flag": "true",
        "day": "1970-01-01", "old": "18.01.0601", "seen": "1970-01-01T01:00:00+01:00", "exact": "-5.0"}
    assert rows[1]["n"] == "-1" and set(rows[2].values()) == {""}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_each_formula_start_is_escaped_in_cells_and_names(tmp_path: Path, start: str) -> None:
    write_csv(pa.table({start + "name": [start + "1+1", "a" + start, ""], "x": [-1, 2, None]}), tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["'" + start + "name", "x"], ["'" + start + "1+1", "-1"], ["a" + start, "2"], ["", ""]]


def test_shards_are_full_named_and_without_statistics(tmp_path: Path) -> None:
    parts = [pa.table({"x": np.arange(i * 7, i * 7 + 7)}) for i in range(5)]
    paths = write_shards(iter(parts), tmp_path, rows_per_shard=10)
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == [f"data/train-0000{i}-of-00004.parquet"
                                                                   for i in range(4)]
    assert [pq.read_metadata(p).num_rows for p in paths] == [10, 10, 10, 5]
    assert pa.concat_tables([pq.read_table(p) for p in paths])["x"].to_pylist() == list(range(35))
    column = pq.read_metadata(paths[0]).row_group(0).column(0)
    assert column.statistics is None and column.compression == "ZSTD"
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == [p.name for p in paths]


def test_small_batches_become_whole_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.tabular.export.ROW_GROUP", 20)
    (path,) = write_shards((pa.table({"x": [i] * 7}) for i in range(10)), tmp_path)
    groups = pq.read_metadata(path)
    assert groups.num_rows == 70 and groups.num_row_groups == 4


def test_an_empty_table_is_one_empty_shard(tmp_path: Path) -> None:
    paths = write_shards([pa.table({"x": pa.array([], pa.int64())})], tmp_path, rows_per_shard=10)
    assert len(paths) == 1 and pq.read_table(paths[0]).num_rows == 0


@pytest.mark.parametrize("provider", ["email", "name", "uuid4", "random_int", None])
def test_unique_identifiers_are_unique_over_batches_and_repeatable(provider: str | None) -> None:
    column = identifier(unique=True, faker=provider)
    first, second = (generate(column, 6000, seed=1, start=s).to_pylist() for s in (0, 6000))
    assert len({*first, *second}) == 12_000
    assert generate(column, 6000, seed=1, start=6000).to_pylist() == second
    assert provider == "random_int" or generate(column, 6000, seed=2).to_pylist() != first


def test_identifiers_follow_their_policy() -> None:
    dropped = Column(name="ssn", role=Role.IDENTIFIER, privacy=Privacy.DIRECT)
    table = dress(frame(), SCHEMA, contract(identifier(faker="name"), dropped), seed=3)
    assert table.column_names[0] == "id" and "ssn" not in table.column_names
    other = frame().iloc[::-1].reset_index(drop=True)
    assert dress(other, SCHEMA, contract(identifier(faker="name")), seed=3)["id"] == table["id"]  # unrelated to rows
    many = pd.concat([frame()] * 2000, ignore_index=True)
    names = dress(many, SCHEMA, contract(identifier(faker="random_int"), entity="id"), seed=3)["id"]
    assert len(set(names.to_pylist())) == 6000  # an entity a row


@pytest.mark.parametrize("provider", ["no_such_thing", "__class__", "profile", "seed_instance", "pybool"])
def test_a_provider_that_is_none_is_refused(provider: str) -> None:
    with pytest.raises(UserError, match="no provider"):
        generate(identifier(faker=provider, line=12), 3, seed=0)
