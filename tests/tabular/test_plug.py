"""The tabular road from a CSV file to shards and evidence, with the real generator on a tiny effort."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.contract.model import (
    Column,
    Contract,
    FixedCombinations,
    IdentifierPolicy,
    Inequality,
    Privacy,
    Role,
    Sum,
    Task,
    Training,
)
from synth.domain import Domain, domain
from synth.errors import UserError
from synth.progress import Silent
from synth.tabular.conditions import parse
from synth.tabular.export import dress, write_csv
from synth.tabular.generator import TableGenerator
from synth.tabular.ingest import read_frame
from synth.tabular.plug import PLUG
from synth.tabular.reshape import violations
from synth.tabular.stored import StoredTable, sample_entities

SECRET = "Zebulon-Quatermain"
COLUMNS = (
    Column(name="id", role=Role.IDENTIFIER, privacy=Privacy.DIRECT, generate=IdentifierPolicy.GENERATE, faker="uuid4"),
    Column(name="name", role=Role.IDENTIFIER, privacy=Privacy.DIRECT),
    Column(name="age", role=Role.NUMERIC, minimum=0, maximum=110),
    Column(name="city", role=Role.CATEGORICAL),
    Column(name="country", role=Role.CATEGORICAL),
    Column(name="start", role=Role.DATETIME),
    Column(name="end", role=Role.DATETIME),
    Column(name="pay", role=Role.NUMERIC, minimum=0, decimals=2),
    Column(name="bonus", role=Role.NUMERIC, minimum=0, decimals=2),
    Column(name="total", role=Role.NUMERIC, minimum=0, decimals=2),
    Column(name="ill", role=Role.BOOLEAN),
)
CONSTRAINTS = (Inequality(low="start", high="end"), Sum(total="total", parts=("pay", "bonus")),
               FixedCombinations(columns=("city", "country")))


def write_source(path: Path, rows: int = 1500) -> None:
    rng = np.random.default_rng(5)
    home = {"Bern": "CH", "Basel": "CH", "Oslo": "NO", "Bergen": "NO"}
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow([c.name for c in COLUMNS])
        for i in range(rows):
            city = str(rng.choice(list(home), p=[0.4, 0.2, 0.3, 0.1]))
            start = np.datetime64("2015-01-01") + rng.integers(0, 3000)
            end = "" if rng.random() < 0.2 else start + rng.integers(0, 400)
            pay, bonus = round(rng.gamma(3, 900), 2), round(rng.choice([0, rng.gamma(2, 100)]), 2)
            age = "" if rng.random() < 0.1 else rng.integers(18, 80)
            out.writerow([f"p{i // 2}", SECRET, age, city, home[city], start, end, f"{pay:.2f}", f"{bonus:.2f}",
                          f"{pay + bonus:.2f}", "yes" if rng.random() < 0.3 else "no"])


def make_contract(source: Path, **changes: Any) -> Contract:
    base = Contract(
        name="people", version="1.0.0", domain="tabular", path=source.with_suffix(".yaml"), digest="d" * 64,
        description="", source=str(source), columns=COLUMNS, entity="id", target="ill", task=Task.CLASSIFICATION,
        constraints=CONSTRAINTS, conditions=("country",),
        training=Training(recipe="tabular/likelihood", effort=0.3, max_rows=600))
    return replace(base, **changes)


def road(contract: Contract, folder: Path, seed: int = 1) -> dict[str, Any]:
    stages = {name: folder / name for name in ("ingest", "split", "fit", "generate")}
    for stage in stages.values():
        stage.mkdir(parents=True)
    records = {"ingest": PLUG.ingest(contract, stages["ingest"], progress=Silent())}
    records["split"] = PLUG.split(contract, stages["ingest"], stages["split"], seed=seed)
    records["fit"] = PLUG.fit(contract, stages["ingest"], stages["split"], stages["fit"], seed=seed, device="cpu",
                              progress=Silent())
    records["generate"] = PLUG.generate(contract, *list(stages.values())[:3], stages["generate"], seed=seed,
                                        progress=Silent())
    return {**stages, "records": records}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("road")
    write_source(folder / "people.csv")
    contract = make_contract(folder / "people.csv")
    return {"contract": contract, **road(contract, folder / "run")}


def shards(done: dict[str, Any]) -> pa.Table:
    return pa.concat_tables([pq.read_table(p) for p in sorted((done["generate"] / "data").iterdir())])


def test_the_plug_has_the_verbs_of_the_road() -> None:
    verbs = [name for name, member in vars(Domain).items() if callable(member) and not name.startswith("_")]
    assert len(verbs) >= 5 and all(callable(getattr(PLUG, verb)) for verb in verbs)
    assert domain("tabular") is PLUG


def test_shards_look_like_the_source_and_keep_every_constraint(done: dict[str, Any]) -> None:
    table = shards(done)
    schema = StoredTable.open(done["ingest"]).schema
    train = done["records"]["split"]["rows"]["train"]
    assert table.column_names == [c.name for c in COLUMNS if c.name != "name"]
    assert table.num_rows == train == done["records"]["generate"]["rows"]
    assert pa.types.is_integer(table.schema.field("age").type)
    assert set(table["ill"].to_pylist()) <= {"yes", "no", None}
    frame = StoredTable(done["generate"] / "synthetic.parquet", schema).read()
    schema.check(frame)
    assert set(violations(frame, schema, CONSTRAINTS).values()) == {0}
    pairs = set(zip(table["city"].to_pylist(), table["country"].to_pylist(), strict=True))
    assert pairs <= {("Bern", "CH"), ("Basel", "CH"), ("Oslo", "NO"), ("Bergen", "NO")}
    rows = table.to_pylist()
    assert all(round(100 * r["total"]) == round(100 * r["pay"]) + round(100 * r["bonus"]) for r in rows)
    assert all(r["end"] is None or r["start"] <= r["end"] for r in rows)
    assert 0.05 < np.mean([r["end"] is None for r in rows]) < 0.4
    assert len(set(table["id"].to_pylist())) == table.num_rows
    assert not {r["id"] for r in rows} & {f"p{i}" for i in range(1500)}


def test_the_fit_saw_train_only_and_says_on_how_much(done: dict[str, Any]) -> None:
    record = done["records"]["fit"]
    assert 590 <= record["rows"] <= 600 < record["rows_available"] and record["sampled"]
    assert record["entities"] * 2 == record["rows"]
    assert set(record["constraints_broken_in_data"].values()) == {0}
    assert record["phases"] and record["released_phase"] in [phase["name"] for phase in record["phases"]]
    for phase in record["phases"]:
        assert set(phase) == {"name", "objective", "steps", "seconds", "validation"}
        assert phase["objective"] == "likelihood" and phase["steps"] > 0 and phase["validation"] > 0
    kept = {p.name for p in (done["fit"] / "model").iterdir()}
    assert kept == {"generator.safetensors", "model.json", "reshape.json"}


def test_the_same_seed_gives_the_same_bytes(done: dict[str, Any], tmp_path: Path) -> None:
    again = road(done["contract"], tmp_path / "again")
    for name in ("fit/model/generator.safetensors", "fit/model/model.json", "fit/model/reshape.json",
                 "split/parts.npy", "generate/synthetic.parquet"):
        stage, rest = name.split("/", 1)
        assert (again[stage] / rest).read_bytes() == (done[stage] / rest).read_bytes(), name
    assert shards(again).equals(shards(done))
    files = [sorted(p.read_bytes() for p in (d["generate"] / "data").iterdir()) for d in (again, done)]
    assert files[0] == files[1]
    other = tmp_path / "other"
    other.mkdir()
    PLUG.generate(done["contract"], done["ingest"], done["split"], done["fit"], other, seed=2, progress=Silent())
    assert (other / "synthetic.parquet").read_bytes() != (done["generate"] / "synthetic.parquet").read_bytes()


def test_no_identifier_is_in_any_file_of_the_road(done: dict[str, Any]) -> None:
    for stage in ("ingest", "split", "fit", "generate"):
        for path in done[stage].rglob("*"):
            if path.suffix == ".parquet":
                assert SECRET not in json.dumps(pq.read_table(path).to_pylist(), default=str)
            elif path.is_file():
                assert SECRET.encode() not in path.read_bytes()


def test_evidence_has_disjoint_parts_caps_and_a_model_to_ask(done: dict[str, Any],
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [done[n] for n in ("ingest", "split", "fit", "generate")]
    whole = PLUG.evidence(done["contract"], *folders, seed=3)
    assert [whole.total(p) for p in ("train", "holdout", "reference", "synthetic")] == [900, 300, 300, 900]
    owners = [set(whole.entities[p]) for p in ("train", "holdout", "reference")]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    monkeypatch.setattr("synth.tabular.plug.FRAME_ROWS", 101)
    capped = PLUG.evidence(done["contract"], *folders, seed=3)
    assert len(capped.train) == len(capped.entities["train"]) == 100 and len(capped.synthetic) == 101
    assert capped.total("train") == 900 and sum(map(len, capped.all_rows("train"))) == 900
    assert sum(map(len, capped.all_rows("synthetic"))) == 900
    assert capped.sample_again is not None
    drawn = capped.sample_again(50, 9)
    capped.schema.check(drawn)
    pd.testing.assert_frame_equal(drawn, capped.sample_again(50, 9))
    assert not drawn.equals(capped.sample_again(50, 10))


CONDITIONS = (
    ["city=Bern"], ["country=NO", "ill=yes"], ["total>=3000"], ["total=2500"], ["end>=2020-06-01", "country=CH"],
    ["end is missing"], ["end is not missing", "start<=2016-01-01"], ["pay<=1000", "total<=1100"],
    ["start>=2020-01-01", "end<=2020-01-31"], ["age=30", "city=Oslo|Basel"], ["age is missing"],
)


@pytest.mark.parametrize("where", CONDITIONS, ids=" and ".join)
def test_conditions_hold_in_every_row_together_with_the_constraints(done: dict[str, Any], where: list[str]) -> None:
    generator = TableGenerator.load(done["fit"] / "model")
    asked = parse(where, generator.schema)
    frame = generator.sample(300, seed=4, where=asked)
    assert len(frame) == 300 and asked.holds(frame).all()
    assert set(violations(frame, generator.schema, CONSTRAINTS, allowed=generator.reshape).values()) == {0}


def test_a_condition_on_a_total_gives_a_distribution_not_its_edge(done: dict[str, Any]) -> None:
    generator = TableGenerator.load(done["fit"] / "model")
    free = generator.sample(4000, seed=1)["total"]
    for where, edge in (("total>=3000", 3000.0), ("total>=5500", 5500.0)):
        found = generator.sample(500, seed=4, where=parse([where], generator.schema))["total"]
        assert (found == edge).mean() < 0.02
        expected = free[free >= edge]
        assert abs(found.median() / expected.median() - 1) < 0.1


@pytest.mark.parametrize("where", [["city=Bern", "country=NO"], ["total<=100", "pay>=200"],
                                   ["start>=2020-02-01", "end<=2020-01-31"]], ids=" and ".join)
def test_conditions_that_contradict_the_constraints_are_refused(done: dict[str, Any], where: list[str]) -> None:
    generator = TableGenerator.load(done["fit"] / "model")
    with pytest.raises(UserError):
        generator.sample(50, seed=4, where=parse(where, generator.schema))


@pytest.mark.parametrize(("column", "where"), [("ill", []), ("country", []), ("city", ["country=NO"]),
                                               ("ill", ["total>=3000"]), ("country", ["total>=3000"])])
def test_balance_gives_each_label_equally_often(done: dict[str, Any], column: str, where: list[str]) -> None:
    generator = TableGenerator.load(done["fit"] / "model")
    asked = parse(where, generator.schema)
    frame = generator.sample(301, seed=4, balance=column, where=asked)
    counts = frame[column].value_counts()
    assert len(frame) == 301 and len(counts) == 2 and counts.max() - counts.min() <= 1
    assert asked.holds(frame).all()
    assert frame[column].iloc[:100].nunique() == 2  # mixed, not in blocks


def test_balancing_numbers_or_nothing_is_refused(done: dict[str, Any]) -> None:
    generator = TableGenerator.load(done["fit"] / "model")
    for column in ("age", "no such"):
        with pytest.raises(UserError, match="label columns"):
            generator.sample(10, seed=0, balance=column)


def test_sample_writes_a_dressed_table(done: dict[str, Any], tmp_path: Path) -> None:
    once, again = tmp_path / "once.parquet", tmp_path / "again.parquet"
    for out in (once, again):
        count = PLUG.sample(done["contract"], done["ingest"], done["fit"], 40, out, seed=1, where=["ill=yes"],
                            balance="country", progress=Silent())
        assert count == 40
    table = pq.read_table(once)
    assert table.num_rows == 40 and set(table["ill"].to_pylist()) == {"yes"}
    assert once.read_bytes() == again.read_bytes()


def test_impute_fills_what_is_missing_and_leaves_the_rest_as_printed(done: dict[str, Any], tmp_path: Path) -> None:
    header = [c.name for c in COLUMNS]
    rows = [["a1", "Ann", "", "Bern", "", "2019-01-01", "", "10.50", "", "100.00", "yes"],
            ["a2", "Bob", "40", "", "NO", "", "2018-05-05", "", "", "", ""],
            ["a3", "Cid", "41", "Oslo", "NO", "2018-01-05", "2018-05-05", "7.00", "1.10", "8.10", "no"]]
    file = tmp_path / "holes.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    PLUG.impute(done["contract"], done["ingest"], done["fit"], str(file), tmp_path / "filled.csv", seed=0,
                progress=Silent())
    with (tmp_path / "filled.csv").open(newline="") as filled:
        found = list(csv.reader(filled))
    assert found[0] == header
    for before, after in zip(rows, found[1:], strict=True):
        assert all(b in ("", a) for b, a in zip(before, after, strict=True))
        assert "" not in after
    first, second = (dict(zip(header, row, strict=True)) for row in found[1:3])
    assert first["country"] == "CH" and first["bonus"] == "89.50" and first["end"] >= "2019-01-01"
    assert second["city"] in ("Oslo", "Bergen") and second["start"] <= "2018-05-05"
    assert round(float(second["pay"]) + float(second["bonus"]), 2) == float(second["total"])
    assert found[3] == rows[2]


def test_impute_keeps_the_types_of_a_parquet_file(done: dict[str, Any], tmp_path: Path) -> None:
    table = pa.table({
        "id": ["a", "b"], "name": ["x", "y"], "age": pa.array([None, 30], pa.int16()),
        "city": pa.array(["Oslo", None]).dictionary_encode(), "country": ["NO", "CH"],
        "start": pa.array([0, None], pa.timestamp("ns")), "end": pa.array([None, 18_000], pa.date32()),
        "pay": pa.array([1.5, float("nan")]), "bonus": pa.array([2.5, 2.0], pa.float32()),
        "total": pa.array([None, 10.0]), "ill": ["yes", None]})
    pq.write_table(table, tmp_path / "holes.parquet")
    PLUG.impute(done["contract"], done["ingest"], done["fit"], str(tmp_path / "holes.parquet"),
                tmp_path / "filled.parquet", seed=0, progress=Silent())
    filled = pq.read_table(tmp_path / "filled.parquet")
    assert filled.column_names == table.column_names and filled["id"].to_pylist() == ["a", "b"]
    assert [filled.schema.field(n).type for n in ("age", "start", "end", "bonus")] == [
        pa.int16(), pa.timestamp("ns"), pa.date32(), pa.float32()]
    assert all(None not in column.to_pylist() for column in filled.columns)
    assert filled["total"].to_pylist() == [4.0, 10.0] and filled["pay"].to_pylist() == [1.5, 8.0]
    assert filled["city"].to_pylist()[0] == "Oslo" and filled["city"].to_pylist()[1] in ("Bern", "Basel")


def test_a_dressed_csv_reads_back_as_the_same_frame(done: dict[str, Any], tmp_path: Path) -> None:
    batches, schema = PLUG.table(done["contract"], done["ingest"])
    frame = pd.concat(batches, ignore_index=True)
    contract = replace(done["contract"], columns=tuple(c for c in COLUMNS if c.name != "name"))
    write_csv(dress(frame, schema, contract, seed=0), tmp_path / "round.csv")
    pd.testing.assert_frame_equal(read_frame(contract, schema, str(tmp_path / "round.csv"))[schema.names], frame)


def test_entities_are_sampled_whole() -> None:
    entities = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3])
    rows = np.array([True] * 9 + [False])
    for seed in range(20):
        chosen = sample_entities(entities, rows, 5, seed)
        assert 0 < chosen.sum() <= 5 and not chosen[9]
        for entity in set(entities[chosen]):
            assert chosen[(entities == entity) & rows].all()
    assert sample_entities(entities, rows, 9, 0).sum() == 9
    assert sample_entities(np.zeros(10, dtype=int), rows, 4, 0).sum() == 4
