"""The demo's table and contract fit each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from synth.contract.load import load
from synth.tabular.check import examine
from synth.tabular.demo import materialise
from tests.tabular.tables import ingested

CONTRACT = Path(__file__).parents[2] / "data_contracts" / "cps.yaml"


def test_the_demo_runs_on_its_contract(tmp_path: Path) -> None:
    pytest.importorskip("causaldata")
    path = materialise(tmp_path / "data")
    written = path.stat().st_mtime_ns
    assert materialise(tmp_path / "data") == path and path.stat().st_mtime_ns == written  # kept, not made again
    assert [p.name for p in path.parent.iterdir()] == ["cps.csv"]
    contract = load(CONTRACT)
    assert Path(contract.source) == CONTRACT.parent / "data" / "cps.csv"
    contract = replace(contract, source=str(path))
    found = examine(contract)
    assert found.problems == () and found.notes == ()
    frame, schema, record = ingested(contract, tmp_path / "out")
    assert record["rows"] == record["entities"] == 15_992
    assert schema["re74"].decimals == 2 and schema["age"].integer and schema["black"].label_type == "int"
    table = pd.read_csv(path)
    pd.testing.assert_series_equal(frame["re78"], table["re78"])
    assert (frame["marr"] == "true").sum() == table["marr"].sum()
