"""The table model on odd tables: every shape trains, samples, keeps the schema, obeys conditions, saves and loads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.contract.model import Role, Training
from synth.seeds import generator
from synth.tabular import players
from synth.tabular.conditions import Allowed, Conditions
from synth.tabular.model import TabularModel
from synth.tabular.schema import ColumnSchema, TableSchema

TINY = Training(options=(("likelihood.steps", 2), ("settling.steps", 1), ("adversarial.steps", 1), ("hidden", 16),
                         ("likelihood.batch", 100), ("settling.batch", 100),
                         ("inner", 8), ("adversarial.critic_lead", 1), ("adversarial.batch", 50)))
SECRETS = (98765.432, -43219.876)


def number(name: str, **options: object) -> ColumnSchema:
    return ColumnSchema(name=name, role=Role.NUMERIC, **{"nullable": False, **options})  # type: ignore[arg-type]


def label(name: str, values: tuple[str, ...], *, nullable: bool = False) -> ColumnSchema:
    return ColumnSchema(name=name, role=Role.CATEGORICAL, nullable=nullable, values=values)


def text(values: object) -> pd.Series:
    return pd.Series(np.asarray(values), dtype="str")


def odd(kind: str) -> tuple[dict[str, object], list[ColumnSchema]]:
    """Columns and their schema of one kind of odd table."""
    rng = generator(1, "odd", kind)
    x = np.round(rng.normal(size=300), 3)
    match kind:
        case "one column":
            return {"x": x}, [number("x", decimals=3)]
        case "one row":
            return {"x": [1.5], "l": text(["a"])}, [number("x", decimals=1), label("l", ("a",))]
        case "constant columns":
            return {"x": np.full(300, 7.0), "l": text(["a"] * 300), "y": x}, [
                number("x", decimals=0), label("l", ("a",)), number("y", decimals=3)]
        case "all missing columns":
            return {"x": np.full(300, np.nan), "l": pd.Series([np.nan] * 300, dtype="str"), "y": x}, [
                number("x", nullable=True), label("l", (), nullable=True), number("y", decimals=3)]
        case "labels only":
            return {n: text(rng.choice(["a", "b"], 300)) for n in "pqr"}, [label(n, ("a", "b")) for n in "pqr"]
        case "numbers only":
            return {n: np.round(rng.lognormal(size=300), 2) for n in "pqr"}, [number(n, decimals=2) for n in "pqr"]
        case "10,000 categories":
            values = tuple(f"v{i:05d}" for i in range(10_000))
            return {"l": text(np.array(values)[rng.integers(0, 10_000, 12_000)]), "x": rng.normal(size=12_000)}, [
                label("l", values), number("x")]
        case "300 columns":
            columns = [number(f"x{i}", decimals=1) if i % 3 else label(f"x{i}", ("a", "b"), nullable=True)
                       for i in range(300)]
            return {c.name: np.round(rng.normal(size=500), 1) if c.is_number else text(rng.choice(["a", "b"], 500))
                    for c in columns}, columns
        case "integers up to 2**53":
            return {"x": rng.integers(0, 2**53, 300).astype(float), "y": np.where(x > 0, 2.0**53, -(2.0**53))}, [
                number("x", integer=True, decimals=0), number("y", integer=True, decimals=0)]
        case "huge outliers":
            return {"x": np.concatenate([x[:297], [1e300, -1e300, 1e12]]), "y": rng.standard_cauchy(300) * 1e9}, [
                number("x"), number("y", decimals=2)]
        case "duplicates":
            return {"x": np.repeat([1.0, 2.0], 150), "y": np.repeat([0.1, 0.2, 0.3], 100),
                    "l": text(["a", "b"] * 150)}, [number("x", decimals=0), number("y", decimals=1),
                                                   label("l", ("a", "b"))]
    raise KeyError(kind)


@pytest.mark.parametrize("kind", [
    "one column", "one row", "constant columns", "all missing columns", "labels only", "numbers only",
    "10,000 categories", "300 columns", "integers up to 2**53", "huge outliers", "duplicates"])
def test_odd_tables_go_all_the_way(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(players, "CALIBRATION_ROWS", 500)
    cells, columns = odd(kind)
    frame, schema = pd.DataFrame(cells), TableSchema(columns=tuple(columns))
    model = TabularModel.fit(frame, schema, training=TINY, seed=1, device="cpu", target=columns[-1].name)
    model.save(tmp_path)
    json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    made = TabularModel.load(tmp_path).sample(200, seed=2)
    schema.check(made)
    assert made.equals(model.sample(200, seed=2)) and len(made) == 200
    for column in columns:
        real, ours = frame[column.name], made[column.name]
        assert column.nullable or not ours.isna().any()
        if real.isna().all():
            assert ours.isna().all()
        elif column.is_number:
            assert np.isfinite(ours.dropna()).all() and (not column.integer or (ours == np.floor(ours)).all())
            if kind == "huge outliers":  # three of 300 rows must not move the other 297
                assert (abs(np.median(ours) - np.median(real)) < real.quantile(0.7) - real.quantile(0.3))
            if real.nunique() <= 3:
                assert set(ours.dropna()) <= set(real)
        else:
            assert set(ours.dropna()) <= set(column.values)
    assert model.impute(frame, seed=3).notna().any().equals(frame.notna().any())


@pytest.mark.parametrize("rows", [5, 40])
def test_several_rows_a_person(rows: int) -> None:
    rng = generator(1, "people")
    entities = np.repeat(np.arange(40), rows)
    frame = pd.DataFrame({"x": np.round(rng.normal(size=40)[entities] + rng.normal(size=40 * rows) / 9, 2),
                          "l": text(rng.choice(["a", "b"], 40)[entities])})
    schema = TableSchema(columns=(number("x", decimals=2), label("l", ("a", "b"))))
    model = TabularModel.fit(frame, schema, training=TINY, seed=1, device="cpu", entities=entities)
    history = model.history
    assert history["validation_rows"] % rows == 0 and history["rows"] + history["validation_rows"] == len(frame)
    assert history["validation_rows"] > 0
    schema.check(model.sample(50, seed=1))


@pytest.fixture(scope="module")
def mixed() -> tuple[TabularModel, pd.DataFrame]:
    rng = generator(1, "mixed")
    frame = pd.DataFrame({
        "x": np.concatenate([np.round(rng.normal(100, 10, 598), 3), SECRETS]),
        "y": np.where(rng.random(600) < 0.3, np.nan, np.floor(rng.lognormal(3, 1, 600))),
        "z": rng.choice([0.0, 0.5, 1.0], 600),
        "l": text(rng.choice(["a", "b", "c"], 600)).where(pd.Series(rng.random(600) < 0.8)),
        "m": text(np.array([f"v{i}" for i in range(600)])[rng.zipf(1.3, 600) % 600])})
    schema = TableSchema(columns=(
        number("x", decimals=3), number("y", integer=True, decimals=0, nullable=True), number("z", decimals=1),
        label("l", ("a", "b", "c"), nullable=True), label("m", tuple(f"v{i}" for i in range(600)))))
    return TabularModel.fit(frame, schema, training=TINY, seed=1, device="cpu"), frame


def admitted(draw: st.DrawFn, column: ColumnSchema, cells: pd.Series) -> Allowed:
    """A random condition that at least one cell of the table satisfies."""
    if column.nullable and draw(st.booleans()):
        return Allowed(missing=True) if draw(st.booleans()) else Allowed()
    values = sorted(set(cells.dropna()) - set(SECRETS))
    if not column.is_number:
        return Allowed(labels=frozenset(draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))))
    low, high = sorted([draw(st.sampled_from(values)), draw(st.sampled_from(values))])
    return draw(st.sampled_from([Allowed(low=low, high=high), Allowed(low=low), Allowed(high=high),
                                 Allowed(low=low, high=low)]))


@st.composite
def several(draw: st.DrawFn, frame: pd.DataFrame, columns: tuple[ColumnSchema, ...]) -> Conditions:
    chosen = draw(st.lists(st.sampled_from(columns), min_size=1, max_size=4, unique=True))
    return Conditions({column.name: admitted(draw, column, frame[column.name]) for column in chosen})


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_conditions_hold_in_every_row(mixed: tuple[TabularModel, pd.DataFrame], data: st.DataObject) -> None:
    model, frame = mixed
    where = data.draw(several(frame, model.schema.columns))
    made = model.sample(60, seed=data.draw(st.integers(0, 99)), where=where)
    model.schema.check(made)
    assert len(made) == 60 and where.holds(made).all()


def test_planted_extremes_are_neither_saved_nor_sampled(mixed: tuple[TabularModel, pd.DataFrame],
                                                        tmp_path: Path) -> None:
    model, _ = mixed
    model.save(tmp_path)
    saved = (tmp_path / "model.json").read_text(encoding="utf-8")
    made = model.sample(50_000, seed=3)["x"]
    for secret in SECRETS:
        assert f"{secret:.3f}" not in saved and not (made == secret).any()
        assert min(abs(made - secret)) > 0
