"""The generated table of the size benchmark, and how the gates' benchmark deals rows out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from synth.contract.load import load
from synth.contract.model import Privacy
from tests.benchmarks import datasets, gates, report, scale


def test_the_size_benchmarks_table_fits_its_contract_and_repeats(tmp_path):
    contract = load(scale.write_people(tmp_path / "a", 1200, 0))
    assert len(contract.columns) == 15 and contract.target == "churn"
    table = pd.read_parquet(tmp_path / "a" / "table")
    assert list(table.columns) == [c.name for c in contract.columns] and len(table) == 1200
    scale.write_people(tmp_path / "b", 1200, 0)
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "b" / "table"))
    assert table["income"].isna().any() and table["age"].corr(table["tenure"]) > 0.1


@pytest.fixture
def grouped(tmp_path) -> datasets.Dataset:
    frame = scale.people(900, 1)[["age", "region", "churn"]].assign(person=np.arange(900) // 3)
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "info.json").write_text('{"target": "churn", "group": "person"}')
    return datasets.load(tmp_path, "people")


def test_rows_are_dealt_out_by_entity_and_none_twice(grouped):
    parts = gates.deal(grouped, 0, 10_000)
    assert set(parts) == {"train", "holdout", "reference", "fresh"}
    sets = [set(entities.tolist()) for _, entities in parts.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 300
    assert sum(len(frame) for frame, _ in parts.values()) == 900
    assert all(len(frame) == len(entities) for frame, entities in parts.values())
    again, other = gates.deal(grouped, 0, 10_000), gates.deal(grouped, 1, 10_000)
    assert again["fresh"][1].tolist() == parts["fresh"][1].tolist() != other["fresh"][1].tolist()
    assert sum(len(frame) for frame, _ in gates.deal(grouped, 0, 300).values()) == 300


def test_the_contract_in_memory_says_who_is_at_risk(grouped):
    contract = gates.contract_of(grouped)
    assert contract.column("churn").privacy is Privacy.SENSITIVE
    assert contract.column("region").privacy is Privacy.QUASI
    assert [c.name for c in contract.modelled] == grouped.schema.names


def test_the_gates_table_counts_who_was_stopped_by_what():
    base = {"set": "toy", "rows": 10, "all_seconds": 1.0, "machine": report.machine()}
    rows = [{**base, "model": "bootstrap", "seed": 0, "verdict": "fail", "stopped_by": ["leakage.copies.exact"],
             "gates": {"fidelity": "pass", "leakage": "fail"}},
            {**base, "model": "bootstrap", "seed": 1, "verdict": "inconclusive", "stopped_by": ["leakage.distance"],
             "gates": {"fidelity": "pass", "leakage": "inconclusive"}},
            {**base, "model": "fresh", "seed": 0, "verdict": "pass", "stopped_by": [],
             "gates": {"fidelity": "pass", "leakage": "pass"}}]
    page = gates.markdown(rows, "a command")
    assert "| bootstrap of train | 2 | 0 | 0 | 2 (1) |" in page
    assert "| fresh sample of the population | 1 | 1 | 0 | 0 |" in page
