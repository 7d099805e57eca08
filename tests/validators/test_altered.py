"""Copies of which one cell was drawn anew, and what is none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.tabular.schema import TableSchema
from tests.validators import populations
from validators.altered import altered, remainders
from validators.finding import Verdict

CELLS = st.tuples(st.integers(0, 2), st.sampled_from(["a", "b"]), st.floats(0, 1).map(lambda v: round(v)),
                  st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(CELLS, min_size=2, max_size=12))
def test_remainders_are_equal_where_all_other_cells_are(rows):
    frame = pd.DataFrame(rows, columns=["n", "label", "x", "flag"]).astype({"n": float, "label": "str", "x": float})
    for place, (name, found) in enumerate(remainders(frame)):
        assert name == frame.columns[place]
        rest = [row[:place] + row[place + 1:] for row in rows]
        assert [[a == b for b in found] for a in found] == [[a == b for b in rest] for a in rest]


def test_cells_that_change_places_are_other_rows():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 1.0], "c": [3.0, 3.0]})
    first, second = dict(remainders(frame))["c"]
    assert first != second


def disguised(e, share: float, cells: int = 1):
    """A share of the synthetic rows are training rows with ``cells`` of their cells redrawn (if several: numbers)."""
    rng = np.random.default_rng(e.seed)
    count = int(share * len(e.synthetic))
    taken = e.train.iloc[rng.permutation(len(e.train))[:count]].reset_index(drop=True)
    names = list(taken.columns) if cells == 1 else e.schema.numbers
    columns = np.argsort(rng.random((count, len(names))), axis=1)[:, :cells]
    for place, name in enumerate(names):
        other = e.train[name].to_numpy()[rng.integers(0, len(e.train), count)]
        taken[name] = np.where((columns == place).any(axis=1), other, taken[name].to_numpy())
    frame = pd.concat([taken, e.synthetic.iloc[count:]], ignore_index=True)
    return replace(e, synthetic=frame.astype(dict(e.train.dtypes)))


@pytest.mark.parametrize("repeated", [False, True])
def test_one_row_in_a_hundred_with_one_cell_altered_is_found(repeated):
    for seed in (1, 2):
        e = populations.evidence(8_000, seed, repeated=repeated)
        assert altered(e, 0.001, 0.02).verdict is Verdict.PASS
        found = altered(disguised(e, 0.01), 0.001, 0.02)
        assert found.verdict is Verdict.FAIL and found.floor < 0.001
        assert found.value == pytest.approx(0.01, abs=0.006)


def test_two_altered_numbers_are_not_seen():
    """What the report says of it: not tested."""
    e = populations.evidence(8_000, 3)
    found = altered(disguised(e, 0.02, cells=2), 0.001, 0.02)
    assert found.verdict is Verdict.PASS and found.value < 0.005


def test_few_copies_are_no_proof_and_the_power_says_how_many_are():
    e = populations.evidence(8_000, 4)
    found = altered(disguised(e, 0.002), 0.001, 0.02)
    assert found.verdict is Verdict.PASS
    assert "copies beyond chance" in found.power


def test_common_rows_accuse_nobody():
    """Labels alone: every row is held by many, in train and outside."""
    e = populations.evidence(6_000, 5)
    labels = tuple(c for c in e.schema.columns if not c.is_number)
    names = [c.name for c in labels]
    few = replace(e, schema=TableSchema(columns=labels), **{
        p: getattr(e, p)[names] for p in ("train", "holdout", "reference", "synthetic")})
    copied = replace(few, synthetic=few.train.sample(len(few.synthetic), replace=True, random_state=1))
    assert altered(copied, 0.001, 0.02).verdict is not Verdict.FAIL


def test_two_columns_are_too_few():
    e = populations.evidence(2_000, 6)
    pair = e.schema.columns[:2]
    found = altered(replace(e, schema=TableSchema(columns=pair)), 0.001, 0.02)
    assert found.verdict is Verdict.INFO and "not tested" in found.method


def test_small_tables_are_left_open():
    assert altered(populations.evidence(300, 7), 0.001, 0.02).verdict is Verdict.INCONCLUSIVE
