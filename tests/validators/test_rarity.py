import numpy as np
import pandas as pd
import pytest

from synth.contract import Role
from synth.tabular.schema import ColumnSchema, TableSchema
from tests.validators import populations
from validators.encode import Binning
from validators.rarity import Exact, Rarity, _information, _tree

SCHEMA = TableSchema(columns=(
    ColumnSchema(name="a", role=Role.CATEGORICAL, nullable=False, values=("x", "y")),
    ColumnSchema(name="b", role=Role.CATEGORICAL, nullable=False, values=("u", "v")),
    ColumnSchema(name="n", role=Role.NUMERIC, nullable=True)))


def table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a = rng.random(rows) < 0.2
    b = np.where(rng.random(rows) < 0.9, a, ~a)
    n = np.where(rng.random(rows) < 0.5, 0.0, rng.normal(size=rows))
    n[rng.random(rows) < 0.1] = np.nan
    return pd.DataFrame({"a": pd.Series(np.where(a, "x", "y"), dtype="str"),
                         "b": pd.Series(np.where(b, "u", "v"), dtype="str"), "n": n})


def test_surprise_of_a_tree_is_its_log_probability():
    reference = table(20_000, 0)
    rarity = Rarity(reference, SCHEMA, Exact.fit(reference, SCHEMA))
    assert rarity.parents["b"] == "a"
    row = pd.DataFrame({"a": pd.Series(["x", "x"], dtype="str"), "b": pd.Series(["u", "v"], dtype="str"),
                        "n": [0.0, np.nan]})
    assert np.exp(-rarity.surprise(row)) == pytest.approx([0.2 * 0.9 * 0.45, 0.2 * 0.1 * 0.1], rel=0.15)


def test_values_nobody_has_are_rare_and_spikes_are_not():
    reference = table(5_000, 0)
    rarity = Rarity(reference, SCHEMA, Exact.fit(reference, SCHEMA))
    rows = table(4_000, 1)
    rare = rarity.rare(rows, 20)
    assert rare[~rows["n"].isin([0.0]) & rows["n"].notna()].all()
    assert not rare[(rows["n"] == 0) & (rows["a"] == "y") & (rows["b"] == "v")].any()
    assert rarity.rare(rows, 10**9).sum() == 0  # a huge table hits everything that reference can tell apart


def test_two_columns_that_say_the_same_are_not_rare_twice():
    rng = np.random.default_rng(0)
    towns = pd.Series([f"t{i:03}" for i in rng.integers(0, 300, 20_000)], dtype="str")
    frame = pd.DataFrame({"town": towns, "code": towns.str.replace("t", "c").astype("str")})
    schema = TableSchema(columns=tuple(ColumnSchema(name=n, role=Role.CATEGORICAL, nullable=False) for n in frame))
    surprise = Rarity(frame, schema, Exact.fit(frame, schema)).surprise(frame)
    assert surprise.mean() == pytest.approx(np.log(300), rel=0.03)


def test_information_and_tree_agree_with_an_oracle():
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(3)
    a = rng.integers(0, 4, 500)
    b, c = np.where(rng.random(500) < 0.7, a, 0), rng.integers(0, 3, 500)
    assert _information(a, b) == pytest.approx(mutual_info_score(a, b))
    assert _tree({"a": a, "c": c, "b": b})["b"] == "a"


def test_exact_states_are_values():
    reference = table(50, 0)
    coded = Exact.fit(reference, SCHEMA)
    codes = coded.codes(pd.DataFrame({"n": [0.0, -0.0, 123.0, np.nan]}), "n")
    assert codes[0] == codes[1] and len(set(codes.tolist())) == 3 and codes.max() < coded.states("n")


def test_bins_can_be_judged_too():
    e = populations.evidence(1_000, 0)
    rarity = Rarity(e.reference, e.schema, Binning.fit(e.reference, e.schema, 100, 1_000))
    assert np.isfinite(rarity.surprise(e.train)).all()
    assert rarity.rare(e.train, 600).mean() > 0.8
    assert len(rarity.rare(e.train.iloc[:0], 600)) == 0
