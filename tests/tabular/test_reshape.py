from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth.contract.model import Constraint, FixedCombinations, Inequality, Role, Sum
from synth.errors import UserError
from synth.tabular.conditions import Allowed
from synth.tabular.reshape import Reshape, violations
from synth.tabular.schema import ColumnSchema, TableSchema

QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def number(name: str, *, decimals: int = 0, low: float | None = None, high: float | None = None,
           nullable: bool = True, unit: str | None = None) -> ColumnSchema:
    return ColumnSchema(name=name, role=Role.DATETIME if unit else Role.NUMERIC, nullable=nullable,
                        integer=decimals == 0 and unit is None, decimals=decimals, unit=unit, minimum=low, maximum=high)


@dataclass(frozen=True)
class Case:
    columns: tuple[ColumnSchema, ...]
    constraints: tuple[Constraint, ...]

    @property
    def schema(self) -> TableSchema:
        return TableSchema(columns=self.columns)


CASES = {
    "chain of mixed precision, bounded": Case(
        (number("a", low=0), number("b", decimals=2, high=90.5), number("c", decimals=1, low=3, high=80)),
        (Inequality(low="a", high="b"), Inequality(low="b", high="c", strict=True))),
    "tree": Case(
        tuple(number(n, decimals=1, low=-50, high=50) for n in "abcd"),
        (Inequality(low="a", high="b", strict=True), Inequality(low="a", high="c"), Inequality(low="c", high="d"))),
    "two below one": Case(
        tuple(number(n, low=0, high=20) for n in "abc"),
        (Inequality(low="a", high="c", strict=True), Inequality(low="b", high="c"))),
    "dates and times": Case(
        (number("day", unit="D"), number("seen", unit="s"), number("left", unit="D", high=20_000)),
        (Inequality(low="day", high="seen"), Inequality(low="seen", high="left", strict=True))),
    "sum with bounds": Case(
        (number("p", low=0, high=30), number("q", low=0), number("t", low=2, high=50)),
        (Sum(total="t", parts=("p", "q")),)),
    "sum of finer parts": Case(
        (number("p", decimals=2, low=0), number("q", decimals=1), number("t", decimals=0, low=0, high=40)),
        (Sum(total="t", parts=("p", "q")),)),
    "nested sums": Case(
        tuple(number(n, decimals=1, low=0, high=60) for n in ("p", "q", "t", "r", "all")),
        (Sum(total="all", parts=("t", "r")), Sum(total="t", parts=("p", "q")))),
    "sum and inequality": Case(
        (number("p", low=0, high=40), number("q", low=0), number("t", low=0, high=60),
         number("net", decimals=1, low=1)),
        (Sum(total="t", parts=("p", "q")), Inequality(low="net", high="t", strict=True),
         Inequality(low="q", high="p"))),
}


def naive_broken(frame: pd.DataFrame, case: Case) -> int:
    """Row by row with Python integers of micro-units: independent of the code under test."""
    scale = {"D": 86_400_000_000, "s": 1_000_000}
    bad = 0
    for row in frame.to_dict("records"):
        exact = {c.name: None if np.isnan(row[c.name]) else Decimal(repr(row[c.name])) * scale.get(c.unit or "", 10**6)
                 for c in case.columns}
        ok = True
        for c in case.columns:
            value = exact[c.name]
            if value is None:
                continue
            step = scale[c.unit] if c.unit else 10 ** (6 - (c.decimals or 0))
            ok &= value % step == 0
            ok &= c.minimum is None or row[c.name] >= c.minimum
            ok &= c.maximum is None or row[c.name] <= c.maximum
        for k in case.constraints:
            if isinstance(k, Inequality):
                low, high = exact[k.low], exact[k.high]
                if low is not None and high is not None:
                    ok &= low < high if k.strict else low <= high
            elif isinstance(k, Sum):
                parts, total = [exact[p] for p in k.parts], exact[k.total]
                if total is not None and None not in parts:
                    digits = case.schema[k.total].decimals or 0
                    ok &= 2 * abs(total - sum(p for p in parts if p is not None)) <= 10 ** (6 - digits)
        bad += not ok
    return bad


def garbage(case: Case, seed: int, rows: int, *, missing: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = {}
    for column in case.columns:
        scale = {"D": 1e4, "s": 1e9}.get(column.unit or "", 40.0)
        values = rng.normal(0, scale, rows)
        wild = rng.random(rows)
        values[wild < 0.05] = 1e17
        values[wild > 0.95] = -1e12
        if missing and column.nullable:
            values[rng.random(rows) < 0.15] = np.nan
        frame[column.name] = values
    return pd.DataFrame(frame)


def feasible(case: Case, seed: int, rows: int, *, missing: bool = True) -> pd.DataFrame:
    frame = garbage(case, seed, rows, missing=missing)
    reshape = Reshape.fit(frame, case.schema, case.constraints, k=1)
    return reshape.inverse(reshape.forward(frame))


@pytest.mark.parametrize("name", CASES)
@QUICK
@given(seed=st.integers(0, 2**32), missing=st.booleans())
def test_any_model_output_becomes_a_table_without_a_broken_row(name: str, seed: int, missing: bool) -> None:
    case = CASES[name]
    frame = feasible(case, 1, 40, missing=missing)
    reshape = Reshape.fit(frame, case.schema, case.constraints, k=1)
    made = Case(reshape.schema.columns, ())
    table = reshape.inverse(garbage(made, seed, 60))
    assert list(table.columns) == case.schema.names
    assert naive_broken(table, case) == 0
    assert set(violations(table, case.schema, case.constraints).values()) == {0}


@pytest.mark.parametrize("name", CASES)
@QUICK
@given(seed=st.integers(0, 2**32), missing=st.booleans())
def test_forward_then_inverse_is_the_identity_on_feasible_rows(name: str, seed: int, missing: bool) -> None:
    case = CASES[name]
    frame = feasible(case, seed, 60, missing=missing)
    assert naive_broken(frame, case) == 0
    reshape = Reshape.fit(frame, case.schema, case.constraints, k=1)
    again = Reshape.from_json(json.loads(json.dumps(reshape.to_json())))
    held = again.forward(frame)
    again.schema.check(held)
    pd.testing.assert_frame_equal(again.inverse(held), frame, check_exact=True)


@pytest.mark.parametrize("name", CASES)
@QUICK
@given(seed=st.integers(0, 2**32), data=st.data())
def test_fixed_columns_stay_when_a_solution_exists(name: str, seed: int, data: st.DataObject) -> None:
    case = CASES[name]
    frame = feasible(case, seed, 30, missing=False)  # each row is a solution itself
    column = data.draw(st.sampled_from(case.schema.names))
    reshape = Reshape.fit(frame, case.schema, case.constraints, k=1)
    model = garbage(Case(reshape.schema.columns, ()), seed + 1, 30, missing=False)
    table = reshape.inverse(model, given=frame[[column]])
    assert (table[column] == frame[column]).all()
    assert naive_broken(table, case) == 0
    if column not in reshape.replaced:
        model[column] = frame[column]
        pd.testing.assert_frame_equal(reshape.inverse(model, frozenset([column])), table)


@QUICK
@given(seed=st.integers(0, 2**32))
def test_given_cells_stay_where_the_others_can_give_way(seed: int) -> None:
    case = CASES["chain of mixed precision, bounded"]
    frame = feasible(case, seed, 30, missing=False)
    reshape = Reshape.fit(frame, case.schema, case.constraints, k=1)
    known = frame.where(np.random.default_rng(seed).random(frame.shape) < 0.5)
    table = reshape.inverse(garbage(Case(reshape.schema.columns, ()), seed, 30, missing=False), given=known)
    assert naive_broken(table, case) == 0
    assert ((table == known) | known.isna()).all(axis=None)


def test_rows_of_the_data_that_break_a_constraint_are_counted_and_repaired() -> None:
    case = CASES["two below one"]
    frame = pd.DataFrame({"a": [1.0, 5.0, 9.0], "b": [2.0, 4.0, np.nan], "c": [3.0, 4.0, 9.0]})
    assert violations(frame, case.schema, case.constraints) == {"a < c": 2, "b <= c": 0}
    reshape = Reshape.fit(frame, case.schema, case.constraints, k=1)
    assert naive_broken(reshape.inverse(reshape.forward(frame)), case) == 0


def test_repair_moves_little() -> None:
    case = CASES["sum with bounds"]
    reshape = Reshape.fit(feasible(case, 0, 50, missing=False), case.schema, case.constraints, k=1)
    table = reshape.inverse(pd.DataFrame({"p": [30.0, 0.0, 0.4], "q": [30.0, 90.0, 0.4]}))
    assert table.to_numpy().tolist() == [[25, 25, 50], [0, 50, 50], [1, 1, 2]]


def test_a_total_leaves_the_generator_only_if_nothing_is_missing() -> None:
    case = CASES["sum with bounds"]
    whole, holes = feasible(case, 0, 50, missing=False), feasible(case, 0, 50)
    held = Reshape.fit(whole, case.schema, case.constraints, k=1).schema
    assert held.names == ["p", "q"] and not any(c.nullable for c in held.columns)
    reshape = Reshape.fit(holes, case.schema, case.constraints, k=1)
    assert reshape.schema.names == ["p", "q", "t"] and all(c.nullable for c in reshape.schema.columns)
    complete = holes.notna().all(axis=1)
    assert (reshape.forward(holes)["t"][complete] == 0).all()


def test_a_gap_is_never_negative_and_can_be_narrowed() -> None:
    case = Case((number("a", nullable=False, low=0, high=9), number("b", low=0, high=99)),
                (Inequality(low="a", high="b", strict=True),))
    frame = feasible(case, 3, 200)
    reshape = Reshape.fit(frame, case.schema, case.constraints, k=1)
    assert reshape.schema["b"].minimum == 1
    assert reshape.forward(frame)["b"].min() >= 1
    table = reshape.inverse(reshape.forward(frame), within={"b": Allowed(low=1, high=3)})
    assert table["b"].dropna().between(1, 3).all() and naive_broken(table, case) == 0


@pytest.mark.parametrize(("constraints", "needle"), [
    ((Inequality(low="a", high="b"), Inequality(low="b", high="a", line=7)), "circle"),
    ((Inequality(low="a", high="a"),), "twice"),
    ((Inequality(low="a", high="day"),), "datetime"),
    ((Inequality(low="a", high="word"),), "labels"),
    ((Inequality(low="a", high="zzz"),), "not modelled"),
    ((Sum(total="a", parts=("a", "b")),), "twice"),
    ((Sum(total="a", parts=("b", "c")), Sum(total="b", parts=("a", "c"))), "circle"),
    ((Inequality(low="top", high="bottom"),), "exclude each other"),
    ((FixedCombinations(columns=("word", "wide")),), "too many"),
    ((FixedCombinations(columns=("word", "a")), Inequality(low="a", high="b")), "keep one of the two"),
])
def test_impossible_constraints_are_refused(constraints: tuple[Constraint, ...], needle: str) -> None:
    schema = TableSchema(columns=(
        number("a"), number("b"), number("c"), number("day", unit="D"), number("wide", decimals=3),
        number("top", low=10, high=20), number("bottom", low=0, high=9),
        ColumnSchema(name="word", role=Role.CATEGORICAL, nullable=False, values=("x", "y"))))
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({n: rng.integers(10, 20, 400) / 1.0 for n in schema.numbers})
    frame["bottom"] -= 10
    frame["wide"] = rng.normal(size=400).round(3)
    frame["word"] = pd.Series(rng.choice(["x", "y"], 400), dtype="str")
    with pytest.raises(UserError) as caught:
        Reshape.fit(frame[schema.names], schema, constraints, k=1)
    assert needle in str(caught.value)


def test_degenerate_tables_pass_through() -> None:
    case = CASES["two below one"]
    one = pd.DataFrame({"a": [1.0], "b": [np.nan], "c": [4.0]})
    empty = pd.DataFrame({"a": [np.nan] * 3, "b": [np.nan] * 3, "c": [5.0, np.nan, 7.0]})
    for frame in (one, empty):
        reshape = Reshape.fit(frame, case.schema, case.constraints, k=10)
        pd.testing.assert_frame_equal(reshape.inverse(reshape.forward(frame)), frame)
    plain = Reshape.fit(one, case.schema, (), k=10)
    pd.testing.assert_frame_equal(plain.inverse(plain.forward(one)), one)
    assert len(reshape.inverse(reshape.forward(empty)[:0])) == 0


COUNTRY = TableSchema(columns=(
    ColumnSchema(name="city", role=Role.CATEGORICAL, nullable=True, values=("Bergen", "Bern", "Oslo")),
    number("x"),
    ColumnSchema(name="country", role=Role.CATEGORICAL, nullable=False, values=("CH", "NO")),
    number("zone"),
))
PLACES = (FixedCombinations(columns=("country", "city")), FixedCombinations(columns=("country", "zone")))


def places(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    city = rng.choice(["Bergen", "Bern", "Oslo"], rows, p=[0.2, 0.3, 0.5])
    country = np.where(city == "Bern", "CH", "NO")
    frame = pd.DataFrame({"city": city, "x": rng.integers(0, 9, rows) / 1.0, "country": country,
                          "zone": np.where(country == "CH", 1.0, 2.0)})
    frame.loc[frame.index % 7 == 0, "city"] = None
    frame.loc[0, ["city", "country"]] = ["Bern", "NO"]  # one row of its own
    return frame.astype({"city": "str", "country": "str"})


def test_only_shared_combinations_survive_and_the_rest_go_to_the_nearest() -> None:
    frame = places()
    reshape = Reshape.fit(frame, COUNTRY, PLACES, k=5)
    assert reshape.schema.names == ["city & country & zone", "x"]
    assert violations(frame, COUNTRY, PLACES[:1], allowed=reshape) == {"combinations of country, city": 1}
    table = reshape.inverse(reshape.forward(frame))
    # agrees in two columns with (Oslo, NO, 2), (Bergen, NO, 2) and none-NO: the most frequent wins
    assert table.loc[0, ["city", "country", "zone"]].tolist() == ["Oslo", "NO", 2.0]
    pd.testing.assert_frame_equal(table[1:], frame[1:])
    again = Reshape.from_json(json.loads(json.dumps(reshape.to_json())))
    pd.testing.assert_frame_equal(again.inverse(again.forward(frame)), table)


def test_people_are_counted_not_rows() -> None:
    frame = places()
    one_swiss = np.where(frame["country"] == "CH", 0, np.arange(len(frame)))
    reshape = Reshape.fit(frame, COUNTRY, PLACES, k=5, entities=one_swiss)
    assert set(reshape.inverse(reshape.forward(frame))["country"]) == {"NO"}
    with pytest.raises(UserError, match="shared by 5 entities"):
        Reshape.fit(frame, COUNTRY, PLACES, k=5, entities=np.zeros(len(frame), dtype=int))


def test_conditions_choose_composite_labels() -> None:
    reshape = Reshape.fit(places(), COUNTRY, PLACES, k=5)
    combination = reshape.composite["city"]
    for condition, expected in (({"country": Allowed(labels=frozenset(["CH"]))}, {("Bern", "CH"), (None, "CH")}),
                                ({"city": Allowed(missing=True)}, {(None, "CH"), (None, "NO")}),
                                ({"zone": Allowed(low=2, high=2), "city": Allowed()},
                                 {("Oslo", "NO"), ("Bergen", "NO")}),
                                ({"city": Allowed(labels=frozenset(["Bern"])), "zone": Allowed(low=2, high=9)}, set())):
        labels = pd.Series(sorted(combination.compatible(condition)), dtype="str")
        cells = combination.decode(labels)
        found = {(None if pd.isna(a) else a, b) for a, b in zip(cells["city"], cells["country"], strict=True)}
        assert found == expected


def test_missing_cells_of_a_combination_are_filled_with_what_agrees() -> None:
    reshape = Reshape.fit(places(), COUNTRY, PLACES, k=5)
    given = pd.DataFrame({"city": ["Bern", None, None], "country": [None, "NO", None], "zone": [np.nan, np.nan, 1.0]})
    given = given.astype({"city": "str", "country": "str"})
    labels = pd.Series([reshape.composite["city"].labels[-1]] * 3, dtype="str")
    cells = reshape.composite["city"].decode(reshape.composite["city"].agree(labels, given, np.random.default_rng(0)))
    assert cells["country"].tolist() == ["CH", "NO", "CH"]
    assert cells["city"][0] == "Bern" and cells["city"][1] in ("Oslo", "Bergen") and cells["city"][2] == "Bern"
