"""Names of people that are the same in every run, and splits that keep who was held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synth.contract import Contract
from synth.contract.load import load
from synth.progress import Silent
from synth.tabular.people import people
from synth.tabular.plug import PLUG
from synth.tabular.stored import StoredTable

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: people
version: "1.0.0"
servers: [{{server: here, type: local, path: {file}}}]
schema:
  - name: people
    properties:
      - name: person
        logicalType: string
        customProperties: [{{property: synthesis.role, value: identifier}}]
      - {{name: age, logicalType: integer, logicalTypeOptions: {{minimum: 0, maximum: 120}}}}
      - name: job
        logicalType: string
        customProperties: [{{property: synthesis.role, value: categorical}}]
    customProperties: [{entity}]
"""
ENTITY = "{property: synthesis.entity, value: person}"


def table(people: list[int], seed: int = 0) -> pd.DataFrame:
    """Two rows a person; what they are depends on the person alone."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.repeat(people, 2))
    return pd.DataFrame({"person": [f"p{i}" for i in order], "age": order % 71 + 18,
                         "job": np.array(["a", "b", "c"])[order % 3]})


def run(folder: Path, frame: pd.DataFrame, *, entity: bool = True, seed: int = 1,
        earlier: list[tuple[Path, Path]] | None = None) -> tuple[Contract, Path, Path]:
    folder.mkdir()
    frame.to_csv(folder / "people.csv", index=False)
    (folder / "c.yaml").write_text(CONTRACT.format(file="people.csv", entity=ENTITY if entity else ""))
    contract = load(folder / "c.yaml")
    ingested, split = folder / "ingest", folder / "split"
    ingested.mkdir()
    split.mkdir()
    PLUG.ingest(contract, ingested, progress=Silent())
    record = PLUG.split(contract, ingested, split, seed=seed, earlier=earlier or [])
    assert ("kept" in record) == bool(earlier)
    return contract, ingested, split


@pytest.mark.parametrize("entity", [True, False])
def test_who_was_held_out_is_held_out_again_in_a_grown_table(tmp_path: Path, entity: bool) -> None:
    contract, *first = run(tmp_path / "a", table(list(range(300))), entity=entity)
    grown = table(list(range(20, 420)), seed=5)  # some left, some came, another order
    _, *second = run(tmp_path / "b", grown, entity=entity, seed=99, earlier=[(first[0], first[1])])
    unit, before = PLUG.people(contract, *first)
    _, after = PLUG.people(contract, *second)
    assert unit == ("people" if entity else "rows")
    names = {part: set(after[part].tolist()) for part in after}
    assert sum(map(len, names.values())) == (400 if entity else 800)
    for part, held in before.items():
        again = set(held.tolist()) & set().union(*names.values())
        assert len(again) > 40 and again <= names[part], part
    shares = np.array([len(names[p]) for p in ("train", "holdout", "reference")]) / sum(map(len, names.values()))
    assert np.abs(shares - [0.6, 0.2, 0.2]).max() < 0.05
    _, *alone = run(tmp_path / "c", grown, entity=entity, seed=99)
    _, without = PLUG.people(contract, *alone)
    assert not set(before["holdout"].tolist()) & set().union(*names.values()) <= set(without["holdout"].tolist())


def test_an_entity_stays_in_one_part_and_equal_rows_have_different_names(tmp_path: Path) -> None:
    _, *first = run(tmp_path / "a", table(list(range(100))))
    _, *second = run(tmp_path / "b", table(list(range(150)), seed=3), seed=4, earlier=[(first[0], first[1])])
    stored = StoredTable.open(*second)
    parts, owners = np.load(second[1] / "parts.npy"), stored.entities()
    assert all(len(set(parts[owners == code])) == 1 for code in np.unique(owners))
    _, *rows = run(tmp_path / "c", pd.DataFrame({"person": "x", "age": 30, "job": ["a"] * 40}), entity=False)
    _, found = people(StoredTable.open(*rows))
    assert sum(len(n) for n in found.values()) == 40


def test_an_earlier_run_that_is_gone_says_nothing(tmp_path: Path) -> None:
    _, *first = run(tmp_path / "a", table(list(range(100))))
    (first[1] / "parts.npy").unlink()
    folder = tmp_path / "b"
    contract, ingested, _ = run(folder, table(list(range(100))))
    again = folder / "again"
    again.mkdir()
    assert "kept" not in PLUG.split(contract, ingested, again, seed=1, earlier=[(first[0], first[1])])
    assert (again / "parts.npy").read_bytes() == (folder / "split" / "parts.npy").read_bytes()
