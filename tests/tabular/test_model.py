"""The table model on a small seeded table: dependence, conditions, imputation, reproducibility, odd tables."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from synth.contract.model import Role, Training
from synth.errors import UserError
from synth.gan import trainer
from synth.seeds import generator
from synth.tabular.conditions import Allowed, Conditions
from synth.tabular.model import TabularModel
from synth.tabular.recipes import RECIPES
from synth.tabular.schema import ColumnSchema, TableSchema

SCHEMA = TableSchema(columns=(
    ColumnSchema(name="size", role=Role.NUMERIC, nullable=False, decimals=2),
    ColumnSchema(name="count", role=Role.NUMERIC, nullable=True, integer=True, decimals=0),
    ColumnSchema(name="kind", role=Role.CATEGORICAL, nullable=True, values=("a", "b", "c")),
    ColumnSchema(name="good", role=Role.BOOLEAN, nullable=False, values=("false", "true"))))
QUICK = Training(options=(("likelihood.steps", 220), ("settling.steps", 20), ("adversarial.steps", 5),
                          ("adversarial.critic_lead", 5), ("adversarial.batch", 100), ("hidden", 48)))


def table(rows: int = 2000) -> pd.DataFrame:
    rng = generator(3, "table")
    size = np.round(rng.gamma(2, 10, rows), 2)
    count = np.floor(size / 8) + rng.integers(0, 3, rows)
    count[rng.random(rows) < 0.1] = np.nan
    kind = pd.Series(rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]), dtype="str")
    kind[rng.random(rows) < 0.05] = np.nan
    good = pd.Series(np.where(size + rng.normal(0, 4, rows) > 20, "true", "false"), dtype="str")
    return pd.DataFrame({"size": size, "count": count, "kind": kind, "good": good})


@pytest.fixture(scope="module")
def model() -> TabularModel:
    return TabularModel.fit(table(), SCHEMA, training=QUICK, seed=5, device="cpu", target="good")


def test_marginals_and_dependence_are_learnt(model: TabularModel) -> None:
    real, made = table(), model.sample(4000, seed=1)
    SCHEMA.check(made)
    assert abs(made["count"].isna().mean() - real["count"].isna().mean()) < 0.02
    assert abs((made["good"] == "true").mean() - (real["good"] == "true").mean()) < 0.03
    both = made.dropna()
    assert np.corrcoef(both["size"], both["count"])[0, 1] > 0.85  # 0.98 in the real table
    means = made.groupby("good")["size"].mean()
    assert means["true"] - means["false"] > 10
    assert made["size"].min() >= 0 and (made["size"] == made["size"].round(2)).all()


def test_conditions_hold_in_every_row(model: TabularModel) -> None:
    for columns in ({"good": Allowed(labels=frozenset(["true"]))}, {"size": Allowed(low=11.11, high=13.37)},
                    {"kind": Allowed(missing=True), "count": Allowed()}, {"count": Allowed(low=3.0, high=3.0)},
                    {"kind": Allowed(labels=frozenset(["b", "c"])), "size": Allowed(low=30.0)}):
        where = Conditions(columns)
        made = model.sample(700, seed=2, where=where)
        assert where.holds(made).all() and len(made) == 700


def test_conditioning_changes_what_depends_on_it(model: TabularModel) -> None:
    big = model.sample(800, seed=2, where=Conditions({"good": Allowed(labels=frozenset(["true"]))}))
    small = model.sample(800, seed=2, where=Conditions({"good": Allowed(labels=frozenset(["false"]))}))
    assert big["size"].mean() > small["size"].mean() + 6


def test_the_first_column_learns_from_what_is_given_after_it(model: TabularModel) -> None:
    assert model.order[0] == 0  # "size" comes first, so only cells after it are known
    few = model.sample(800, seed=2, where=Conditions({"count": Allowed(low=1.0, high=1.0)}))
    many = model.sample(800, seed=2, where=Conditions({"count": Allowed(low=6.0, high=6.0)}))
    assert many["size"].mean() > few["size"].mean() + 8


def test_a_column_is_balanced(model: TabularModel) -> None:
    assert model.sample(900, seed=2, balance="kind")["kind"].value_counts().to_dict() == {"a": 300, "b": 300, "c": 300}
    with pytest.raises(UserError, match="cannot be balanced"):
        model.sample(10, seed=2, balance="size")


def test_missing_cells_are_filled_from_the_rest_of_the_row(model: TabularModel) -> None:
    whole = table(600).dropna().reset_index(drop=True)
    holes = whole.copy()
    holes["good"] = pd.Series([np.nan] * len(holes), dtype="str")
    filled = model.impute(holes, seed=4)
    SCHEMA.check(filled)
    assert not filled.isna().any().any()
    assert filled[["size", "count", "kind"]].equals(whole[["size", "count", "kind"]])
    assert (filled["good"] == whole["good"]).mean() > 0.7  # a coin would give about 0.5


def test_equal_seeds_give_equal_bytes_and_the_folder_is_the_model(model: TabularModel, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 977.0)  # every look at the clock is a quarter of an hour later
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(trainer, "work", lambda device: next(clock))
    again = TabularModel.fit(table(), SCHEMA, training=QUICK, seed=5, device="cpu", target="good",
                             checkpoint=tmp_path / "checkpoint.safetensors")
    assert again.history["phases"][0]["seconds"] > 100 * model.history["phases"][0]["seconds"]
    model.save(tmp_path / "one")
    again.save(tmp_path / "two")
    names = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert names == ["generator.safetensors", "model.json"]
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in names)
    loaded = TabularModel.load(tmp_path / "one")
    assert loaded.sample(300, seed=9).equals(model.sample(300, seed=9))
    assert not loaded.sample(300, seed=9).equals(model.sample(300, seed=10))


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_tiny_tables_train(rows: int) -> None:
    made = TabularModel.fit(table(rows), SCHEMA, training=QUICK, seed=1, device="cpu").sample(20, seed=1)
    SCHEMA.check(made)


def test_no_row_and_no_recipe_are_user_errors() -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        TabularModel.fit(table(0), SCHEMA, seed=1, device="cpu")
    with pytest.raises(UserError, match="unknown recipe"):
        TabularModel.fit(table(5), SCHEMA, training=Training(recipe="tabular/magic"), seed=1, device="cpu")


@pytest.mark.parametrize("name", ["tabular/wgan-gp", "tabular/relativistic"])
def test_pure_recipes_speak_the_same_verbs(name: str) -> None:
    training = Training(recipe=name, options=(("adversarial.steps", 20), ("width", 32), ("critic_width", 32)))
    made = TabularModel.fit(table(500), SCHEMA, training=training, seed=1, device="cpu")
    where = Conditions({"kind": Allowed(labels=frozenset(["c"])), "size": Allowed(low=5.0, high=20.0)})
    assert where.holds(made.sample(200, seed=1, where=where)).all()
    assert not made.impute(table(50), seed=1).isna().any().any()


def test_the_control_differs_from_the_default_by_the_critic_alone() -> None:
    ours, control = RECIPES["tabular/conditional-gan"], RECIPES["tabular/likelihood"]
    assert ours.phases[:-1] == control.phases[:-1] and ours.settings == control.settings
    a, b = ours.phases[-1], control.phases[-1]
    assert (a.generator_rate, a.average, a.batch, a.likelihood) == (b.generator_rate, b.average, b.batch, b.likelihood)
    assert a.objective is not None and b.objective is None
    for what in ("passes", "budget"):  # a step with a critic takes about as long as five without
        assert 5 * ours.setting(f"{a.name}_{what}") == ours.setting(f"{b.name}_{what}")


def test_a_long_vocabulary_is_two_tokens_and_survives() -> None:
    labels = tuple(f"v{i:04d}" for i in range(1500))
    schema = TableSchema(columns=(ColumnSchema(name="code", role=Role.CATEGORICAL, nullable=True, values=labels),))
    rng = generator(1, "long")
    frame = pd.DataFrame({"code": pd.Series(np.array(labels)[rng.zipf(1.5, 3000) % 1500], dtype="str")})
    made = TabularModel.fit(frame, schema, training=QUICK, seed=1, device="cpu")
    assert max(t.size for t in made.network.tokens) < 50
    assert set(made.sample(2000, seed=1)["code"].dropna()) <= set(labels)
