"""`synth init`: the draft knows what columns are, holds no value of the data, and is a contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from synth.contract import Contract, Privacy, Role, Task
from synth.contract.draft import draft
from synth.contract.load import loads
from synth.errors import UserError
from synth.tabular.check import check


@pytest.fixture(scope="module")
def visits() -> pd.DataFrame:
    """600 visits of 300 people; every value is recognisable."""
    rng = np.random.default_rng(5)
    rows = 600
    return pd.DataFrame({
        "visit_id": np.arange(rows) + 770_000,
        "patient_nbr": np.r_[np.arange(300), np.arange(300)] + 880_000,
        "full_name": [f"Planted Person{i % 300}" for i in range(rows)],
        "contact": [f"planted{i % 300}@example.org" for i in range(rows)],
        "remark": [f"planted remark number {i} about somebody who came in the morning and left" for i in range(rows)],
        "zip": rng.choice(["01234", "05678", "98765"], rows),
        "age": rng.integers(18, 91, rows),
        "gender": rng.choice(["plantedF", "plantedM"], rows),
        "weight": np.where(rng.random(rows) < 0.2, -999, rng.integers(40, 120, rows)),
        "lab": np.where(rng.random(rows) < 0.2, "?", rng.integers(1000, 9999, rows).astype(str)),
        "admitted": pd.date_range("1987-06-05", periods=rows).strftime("%Y-%m-%d"),
        "seen": pd.date_range("1987-06-05", periods=rows).strftime("%d/%m/%Y"),
        "smoker": rng.choice(["yes", "no"], rows),
        "empty": [None] * rows,
        "cost": np.round(rng.lognormal(5, 1, rows), 2) + 31_000,
        "readmitted": rng.choice(["plantedNever", "plantedSoon", "plantedLater"], rows),
    })


def drafted(table: pd.DataFrame, path: Path, **how: Any) -> tuple[str, Contract]:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, **how)
    text = draft(str(path), "visits")
    return text, loads(text, path.parent / "visits.yaml")


@pytest.mark.parametrize("name", ["visits.csv", "visits.parquet"])
def test_the_draft_says_what_columns_are(visits: pd.DataFrame, tmp_path: Path, name: str) -> None:
    _, contract = drafted(visits, tmp_path / name)
    roles = {c.name: c.role for c in contract.columns}
    assert roles == {
        "visit_id": Role.IDENTIFIER, "patient_nbr": Role.IDENTIFIER, "full_name": Role.IDENTIFIER,
        "contact": Role.IDENTIFIER, "remark": Role.TEXT, "zip": Role.CATEGORICAL, "age": Role.NUMERIC,
        "gender": Role.CATEGORICAL, "weight": Role.NUMERIC, "lab": Role.NUMERIC, "admitted": Role.DATETIME,
        "seen": Role.DATETIME, "smoker": Role.BOOLEAN, "empty": Role.TEXT, "cost": Role.NUMERIC,
        "readmitted": Role.CATEGORICAL}
    assert (contract.entity, contract.target, contract.task) == ("patient_nbr", "readmitted", Task.CLASSIFICATION)
    assert contract.column("visit_id").unique and contract.column("full_name").privacy is Privacy.DIRECT
    assert contract.column("weight").missing_codes == ("-999",) and contract.column("lab").missing_codes == ("?",)
    assert contract.column("seen").datetime_format == "%d/%m/%Y"
    assert contract.column("age").privacy is Privacy.QUASI and contract.column("gender").protected
    assert "gender" in contract.conditions


@pytest.mark.parametrize("name", ["visits.csv", "visits.parquet"])
def test_the_draft_holds_no_value(visits: pd.DataFrame, tmp_path: Path, name: str) -> None:
    text, _ = drafted(visits, tmp_path / name)
    body = text.replace(str(tmp_path), "")
    assert "lanted" not in body
    words = set(re.findall(r"[\w./@+-]+", body)) - {"-999", "?", "yes", "no"}  # public codes, words of YAML
    for column in visits:
        assert not words & set(visits[column].dropna().astype(str)), f"a value of {column}"
    assert all(c.minimum is None and c.maximum is None and c.values is None for c in loads(text, Path("/x")).columns)


def test_a_person_must_confirm_the_bounds_and_then_it_runs(visits: pd.DataFrame, tmp_path: Path) -> None:
    text, contract = drafted(visits, tmp_path / "visits.csv")
    problems = check(contract)
    numbers = [c for c in contract.columns if c.role.is_number]
    assert len(problems) == len(numbers)
    assert all("not confirmed" in str(p) and "boundsConfirmed" in p.todo for p in problems)
    confirmed = text.replace("boundsConfirmed, value: false", "boundsConfirmed, value: true")
    assert check(loads(confirmed, tmp_path / "visits.yaml")) == []


@pytest.mark.parametrize("how", [{"sep": ";"}, {"sep": "\t"}, {"encoding": "cp1252"}, {"encoding": "utf-16"}])
def test_delimiter_and_encoding_are_found(tmp_path: Path, how: dict[str, str]) -> None:
    table = pd.DataFrame({"a": [1, 2, 3] * 10, "ort": ["Köln", "Ulm", "Zürich"] * 10})
    text, contract = drafted(table, tmp_path / "t.csv", **how)
    confirmed = text.replace("boundsConfirmed, value: false", "boundsConfirmed, value: true")
    assert [c.name for c in contract.columns] == ["a", "ort"]
    assert check(loads(confirmed, tmp_path / "t.yaml")) == []


@pytest.mark.parametrize("name", ["no", "007", "a: b", 'quo"te', "# remark", "{x}", "tab\there", "- dash", "null", "[x",
                                  "äöü", "*alias", "line\nbreak", "1e5", "~"])
def test_strange_column_names_stay_names(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({name: ["u", "v"] * 20, "other": [1, 2] * 20})
    text, contract = drafted(table, tmp_path / "t.csv")
    assert contract.columns[0].name == name
    assert yaml.safe_load(text)["schema"][0]["properties"][0]["name"] == name


def test_what_cannot_be_drafted(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("a,b\n")
    for source, name in ((tmp_path / "empty.csv", "t"), (tmp_path / "none.csv", "t"), (tmp_path / "empty.csv", "../t")):
        with pytest.raises(UserError):
            draft(str(source), name)


def test_a_folder_and_nested_types(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    table = pd.DataFrame({"x": [1.5, 2.5] * 20, "nested": [[1], [2]] * 20, "flag": [True, False] * 20})
    table.to_parquet(folder / "1.parquet"), table.to_parquet(folder / "2.parquet")
    contract = loads(draft(str(folder), "parts"), tmp_path / "t.yaml")
    assert [c.role for c in contract.columns] == [Role.NUMERIC, Role.TEXT, Role.BOOLEAN]
