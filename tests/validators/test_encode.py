import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from synth.contract import Role
from synth.tabular.schema import ColumnSchema, TableSchema
from validators.encode import Binning, Encoding, Features, cut_points

SCHEMA = TableSchema(columns=(
    ColumnSchema(name="x", role=Role.NUMERIC, nullable=True),
    ColumnSchema(name="c", role=Role.CATEGORICAL, nullable=True, values=("a", "b", "z"))))


def frame(x: list, c: list) -> pd.DataFrame:
    return pd.DataFrame({"x": pd.Series(x, dtype="float64"), "c": pd.Series(c, dtype="str")})


REFERENCE = frame([0.0, 1.0, 2.0, 3.0, np.nan], ["a", "a", "b", np.nan, "a"])


def test_every_state_of_a_label_has_its_own_code():
    codes = Binning.fit(REFERENCE, SCHEMA, 4, 10).codes(frame([0] * 5, ["a", "b", "z", "new", np.nan]), "c")
    assert codes.tolist() == [0, 1, 2, 3, 4]  # declared but unseen "z" is known; "new" and missing are not


def test_missing_numbers_are_a_state_of_their_own():
    binning = Binning.fit(REFERENCE, SCHEMA, 4, 10)
    codes = binning.codes(frame([np.nan, -9e9, 9e9, np.inf], ["a"] * 4), "x")
    assert codes[0] == 0 and (codes[1:] > 0).all() and codes[1:].max() < binning.states("x")


@given(some.lists(some.sampled_from([0.0, 1.0, 1.5, 2.0, 7.0]), min_size=1, max_size=60), some.integers(2, 10))
def test_cut_points_isolate_spikes(values, bins):
    data = np.array(values)
    edges = cut_points(data, bins)
    assert (np.diff(edges) > 0).all()
    codes = np.searchsorted(edges, data, side="right")
    for value in np.unique(data):
        if (data == value).mean() >= 1 / bins:
            assert len(set(codes[data == value])) == 1
            assert not set(codes[data == value]) & set(codes[data != value])


def test_rows_that_differ_in_one_label_are_one_apart():
    points = Encoding.fit(REFERENCE, SCHEMA).transform(frame([1.0, 1.0, 1.0, 1.0], ["a", "b", "new", np.nan]))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert distances[np.triu_indices(4, 1)] == pytest.approx(1.0)


def test_wide_labels_stay_apart_in_few_dimensions():
    names = tuple(f"v{i}" for i in range(500))
    schema = TableSchema(columns=(ColumnSchema(name="c", role=Role.CATEGORICAL, nullable=False, values=names),))
    table = pd.DataFrame({"c": pd.Series(names, dtype="str")})
    points = Encoding.fit(table, schema, seed=3).transform(table)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(500, 1)]
    assert points.shape[1] <= 40 and distances.min() > 0.4 and abs(distances.mean() - 1) < 0.02


def test_a_column_without_values_encodes():
    empty = frame([np.nan] * 3, [np.nan] * 3)
    assert np.isfinite(Encoding.fit(empty, SCHEMA).transform(empty)).all()
    assert Features.fit(empty, SCHEMA).transform(empty).shape == (3, 2)
    assert Binning.fit(empty, SCHEMA, 5, 5).codes(empty, "x").tolist() == [0, 0, 0]


def test_tree_features_keep_missing_cells_missing():
    found = Features.fit(REFERENCE, SCHEMA).transform(frame([np.nan, np.inf, 2.0], [np.nan, "new", "b"]))
    assert np.isnan(found[0]).all() and np.isnan(found[1, 0])
    assert found[1, 1] == 3 and found[2].tolist() == [2.0, 1.0]


def test_leaving_out_a_column():
    without = frozenset({"c"})
    assert Encoding.fit(REFERENCE, SCHEMA, without=without).transform(REFERENCE).shape == (5, 2)
    assert Features.fit(REFERENCE, SCHEMA, without).names == ("x",)
