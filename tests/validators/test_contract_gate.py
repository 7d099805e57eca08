from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.contract import Column, Contract, FixedCombinations, Inequality, Role, Sum
from synth.seeds import generator
from synth.tabular.evidence import TableEvidence
from synth.tabular.schema import ColumnSchema, TableSchema
from validators.contract import Limits, breaks, run
from validators.finding import Finding, GateResult, Verdict

SCHEMA = TableSchema(columns=(
    ColumnSchema(name="low", role=Role.NUMERIC, nullable=True, integer=True, minimum=0.0, maximum=50.0),
    ColumnSchema(name="high", role=Role.NUMERIC, nullable=True, integer=True),
    ColumnSchema(name="a", role=Role.NUMERIC, nullable=True, decimals=2),
    ColumnSchema(name="b", role=Role.NUMERIC, nullable=True, decimals=2),
    ColumnSchema(name="total", role=Role.NUMERIC, nullable=True, decimals=2),
    ColumnSchema(name="start", role=Role.DATETIME, nullable=True, unit="D"),
    ColumnSchema(name="end", role=Role.DATETIME, nullable=True, unit="s"),
    ColumnSchema(name="city", role=Role.CATEGORICAL, nullable=True, values=("bonn", "koeln", "other"), folded="other"),
    ColumnSchema(name="state", role=Role.CATEGORICAL, nullable=True, values=("nrw", "by")),
    ColumnSchema(name="flag", role=Role.BOOLEAN, nullable=True, values=("false", "true"))))
CONSTRAINTS = (Inequality(low="low", high="high"), Inequality(low="start", high="end", strict=True),
               Sum(total="total", parts=("a", "b")), FixedCombinations(columns=("city", "state")))
CONTRACT = Contract(
    name="t", version="1", domain="tabular", path=Path("t.yaml"), digest="0" * 64, description="", source="t.csv",
    columns=tuple(Column(name=c.name, role=c.role, required=c.name == "high",
                         values=("bonn", "koeln") if c.name == "city" else None) for c in SCHEMA.columns),
    constraints=CONSTRAINTS, k=3)


def table(rows: int, seed: int) -> pd.DataFrame:
    rng = generator(seed, "gate")
    low = rng.integers(0, 50, rows)
    cents = rng.integers(0, 10_000, (2, rows))
    day = rng.integers(10_000, 19_000, rows)
    city = rng.choice(["bonn", "koeln", "other"], rows)
    return pd.DataFrame({
        "low": low.astype(float), "high": (low + rng.integers(0, 5, rows)).astype(float),
        "a": cents[0] / 100, "b": cents[1] / 100, "total": cents.sum(axis=0) / 100,
        "start": day.astype(float), "end": day * 86_400.0 + rng.integers(1, 10_000, rows),
        "city": pd.Series(city, dtype="str"),
        "state": pd.Series(np.where(city == "other", "by", "nrw"), dtype="str"),
        "flag": pd.Series(rng.choice(["true", "false"], rows), dtype="str")})


def evidence(synthetic: pd.DataFrame, **changed: Any) -> TableEvidence:
    parts = {p: table(300, i) for i, p in enumerate(("train", "holdout", "reference"))}
    fields: dict[str, Any] = dict(contract=CONTRACT, schema=SCHEMA, **parts, synthetic=synthetic, seed=1,
                                  entities={p: np.arange(300) for p in parts})
    return TableEvidence(**{**fields, **changed})


def finding(result: GateResult, name: str) -> Finding:
    (found,) = [f for f in result.findings if f.id == name]
    return found


def failing(result: GateResult) -> set[str]:
    return {f.id for f in result.findings if f.verdict.blocks}


def test_a_table_that_keeps_everything_passes() -> None:
    result = run(evidence(table(300, 9)), Limits())
    assert result.verdict is Verdict.PASS and failing(result) == set()
    assert len(result.findings) == 1 + 4 + 3 and all(f.n == 300 for f in result.findings)


PLANTED = [
    ({"low": 49.0, "high": 48.0}, {"contract.constraint.1"}, 1),
    ({"end": 10_000 * 86_400.0, "start": 10_000.0}, {"contract.constraint.2"}, 1),  # equal, but strict
    ({"total": 0.01, "a": 0.01, "b": 0.01}, {"contract.constraint.3"}, 1),  # a cent off
    ({"city": "bonn", "state": "by"}, {"contract.constraint.4"}, 1),
    ({"city": "paris"}, {"contract.constraint.4", "contract.vocabulary", "contract.suite"}, 1),
    ({"flag": "maybe"}, {"contract.vocabulary", "contract.suite"}, 1),
    ({"low": -1.0}, {"contract.cells", "contract.suite"}, 1),
    ({"low": 0.5, "high": 3.0}, {"contract.cells"}, 1),
    ({"a": np.inf, "total": np.nan}, {"contract.cells"}, 1),
    ({"high": np.nan}, {"contract.cells", "contract.suite"}, 1),
    ({"end": 1e9 + 0.5, "start": 1.0}, {"contract.cells"}, 1),
]


@pytest.mark.parametrize(("cells", "blocks", "count"), PLANTED)
def test_one_wrong_row_in_three_hundred_fails(cells: dict[str, Any], blocks: set[str], count: int) -> None:
    broken = table(300, 9)
    broken.loc[123, list(cells)] = list(cells.values())
    result = run(evidence(broken), Limits())
    assert result.verdict is Verdict.FAIL and failing(result) == blocks
    for name in blocks - {"contract.suite"}:
        assert finding(result, name).value == count


def test_rows_with_missing_cells_break_no_order_and_no_sum() -> None:
    holes = table(300, 9)
    holes.loc[:50, ["low", "total", "end"]] = np.nan
    assert run(evidence(holes), Limits()).verdict is Verdict.PASS


def test_a_missing_cell_is_a_state_of_a_combination() -> None:
    holes = table(300, 9)
    holes.loc[7, "state"] = np.nan
    assert failing(run(evidence(holes), Limits())) == {"contract.constraint.4"}
    train = table(300, 0)
    train.loc[:40, "state"] = np.nan
    assert failing(run(evidence(holes, train=train), Limits())) == set()


def test_a_combination_needs_k_entities_not_k_rows() -> None:
    train, synthetic = table(300, 0), table(300, 9)
    train.loc[[4, 5, 6], "state"] = "by"
    train.loc[[4, 5, 6], "city"] = "koeln"
    synthetic.loc[8, ["city", "state"]] = ["koeln", "by"]
    people = np.arange(300)
    assert failing(run(evidence(synthetic, train=train), Limits())) == set()
    people[[4, 5, 6]] = 4  # three rows of one person
    entities = {"train": people, "holdout": people, "reference": people}
    assert failing(run(evidence(synthetic, train=train, entities=entities), Limits())) == {"contract.constraint.4"}
    # of a large table the entities are not known: rows are counted, and the gate says so
    known = replace(CONTRACT, entity="person")
    big = evidence(synthetic, contract=known, train=train.head(100), entities={**entities, "train": people[:100]},
                   totals={"train": 300}, batches={"train": lambda: iter([train])})
    result = run(big, Limits())
    assert failing(result) == set() and any("number of entities" in text for text in result.not_tested)


def test_all_rows_are_judged_not_the_sample() -> None:
    whole = table(1000, 9)
    whole.loc[999, "high"] = whole.loc[999, "low"] - 1
    whole.loc[998, "flag"] = "maybe"

    def batches() -> Iterator[pd.DataFrame]:
        for i in range(0, 1000, 300):
            yield whole.iloc[i: i + 300].reset_index(drop=True)

    result = run(evidence(whole.head(200), totals={"synthetic": 1000}, batches={"synthetic": batches}), Limits())
    assert failing(result) == {"contract.constraint.1", "contract.vocabulary", "contract.suite"}
    assert all(f.n == 1000 for f in result.findings)


def test_no_rows_are_inconclusive_and_too_few_fail() -> None:
    assert run(evidence(table(0, 9)), Limits()).verdict is Verdict.INCONCLUSIVE
    asked = replace(CONTRACT, rows=400)
    assert failing(run(evidence(table(300, 9), contract=asked), Limits())) == {"contract.rows"}


def test_limits_decide() -> None:
    broken = table(300, 9)
    broken.loc[3, "high"] = broken.loc[3, "low"] - 1
    assert run(evidence(broken), Limits(violating_rows=1.0)).verdict is Verdict.PASS


def test_no_value_gets_out(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path,
                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    broken = table(300, 9)
    broken.loc[3, ["city", "low", "total", "a"]] = ["CANARY-WORD", 98765.25, 1234567.75, np.inf]
    result = run(evidence(broken), Limits())
    assert len(failing(result)) >= 5
    out, err = capfd.readouterr()
    said = json.dumps(result.to_json(), allow_nan=False) + repr(result) + out + err + " ".join(
        r.getMessage() for r in caplog.records)
    for canary in ("CANARY-WORD", "98765", "1234567", "bonn", "nrw"):
        assert canary not in said
    assert not list(tmp_path.iterdir())


@given(st.lists(st.tuples(st.integers(-10**13, 10**13), st.integers(-10**13, 10**13), st.integers(-2, 2)), min_size=1,
                max_size=30), st.integers(0, 4))
def test_sums_are_judged_to_the_printed_digit(rows: list[tuple[int, int, int]], digits: int) -> None:
    """Whole numbers of the last digit are the oracle."""
    schema = TableSchema(columns=tuple(ColumnSchema(name=n, role=Role.NUMERIC, nullable=True, decimals=digits)
                                       for n in ("x", "y", "t")))
    x, y, off = (np.array(part, dtype=float) for part in zip(*rows, strict=True))
    frame = pd.DataFrame({"x": x / 10**digits, "y": y / 10**digits, "t": (x + y + off) / 10**digits})
    assert (breaks(frame, schema, Sum(total="t", parts=("x", "y"))) == (off != 0)).all()


@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(-3, 3)), min_size=1, max_size=30), st.booleans())
def test_moments_of_different_units_are_compared(rows: list[tuple[int, int]], strict: bool) -> None:
    days, gap = (np.array(part) for part in zip(*rows, strict=True))
    schema = TableSchema(columns=(ColumnSchema(name="d", role=Role.DATETIME, nullable=True, unit="D"),
                                  ColumnSchema(name="m", role=Role.DATETIME, nullable=True, unit="ms")))
    frame = pd.DataFrame({"d": days.astype(float), "m": days * 86_400_000.0 + gap})
    found = breaks(frame, schema, Inequality(low="d", high="m", strict=strict))
    assert (found == ((gap <= 0) if strict else (gap < 0))).all()
