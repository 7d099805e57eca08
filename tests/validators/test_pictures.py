import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from synth.contract import Role
from synth.tabular.schema import ColumnSchema
from tests.validators import populations
from validators import diversity, downstream, fidelity, leakage
from validators.pictures import marginal

K = 5


def counts_of(picture: dict, rows: int) -> list[float]:
    return [share * rows for share in picture["real"]]


@settings(max_examples=80, deadline=None)
@given(some.lists(some.one_of(some.none(), some.integers(-1000, 1000)), min_size=0, max_size=80))
def test_every_bin_of_a_number_has_k_entities(values):
    column = ColumnSchema(name="x", role=Role.NUMERIC, nullable=True)
    real = pd.Series([np.nan if v is None else float(v) for v in values], dtype="float64")
    picture = marginal(column, real, np.arange(len(real)), real, K)
    if len(real) < 2 * K:
        assert picture is None
    if picture is not None:
        assert all(round(c, 1) >= K - 0.1 for c in counts_of(picture, len(real)))
        assert sum(picture["real"]) == pytest.approx(1, abs=0.01)


@settings(max_examples=80, deadline=None)
@given(some.lists(some.one_of(some.none(), some.sampled_from("abcdefgh")), min_size=0, max_size=80))
def test_every_named_label_has_k_entities(values):
    column = ColumnSchema(name="c", role=Role.CATEGORICAL, nullable=True, values=tuple("abcdefg"))
    real = pd.Series([np.nan if v is None else v for v in values], dtype="str")
    picture = marginal(column, real, np.arange(len(real)), real, K)
    if picture is not None:
        assert all(round(c, 1) >= K - 0.1 for c in counts_of(picture, len(real)))
        assert "h" not in picture["labels"]  # not in the vocabulary, so never checked against k


def test_rows_of_one_person_count_once():
    column = ColumnSchema(name="c", role=Role.CATEGORICAL, nullable=True, values=("a", "b"))
    real = pd.Series(["a"] * 20 + ["b"] * 20, dtype="str")
    people = np.r_[np.arange(20), np.full(20, 99)]
    assert marginal(column, real, people, real, K) is None


def test_outer_bins_are_open_and_edges_coarse():
    column = ColumnSchema(name="x", role=Role.NUMERIC, nullable=False)
    real = pd.Series(np.random.default_rng(0).lognormal(7, 1, 4_000))
    picture = marginal(column, real, np.arange(4_000), real, 10)
    assert picture["labels"][0].startswith("below ") and picture["labels"][-1].endswith(" and above")
    assert f"{real.max():.2f}"[:5] not in json.dumps(picture)


def test_dates_are_printed_as_days():
    column = ColumnSchema(name="d", role=Role.DATETIME, nullable=False, unit="D")
    real = pd.Series(np.random.default_rng(0).integers(17_000, 19_000, 500).astype(float))
    assert marginal(column, real, np.arange(500), real, 10)["labels"][0].startswith("below 20")


def test_findings_are_json_and_hold_no_extreme_value():
    e = populations.evidence(2_500, 8)
    secret = 987654321.25
    frames = {}
    for part in ("train", "holdout", "reference"):
        frame = getattr(e, part).copy()
        frame.loc[3, "income"] = secret
        frame.loc[4, "region"] = "a secret place"
        frames[part] = frame.astype(dict(e.synthetic.dtypes))
    from dataclasses import replace

    e = replace(e, **frames)
    for module in (fidelity, diversity, downstream, leakage):
        text = json.dumps(module.run(e, module.Limits()).to_json(), allow_nan=False)
        assert "secret place" not in text and "987654321" not in text and "987,654" not in text
