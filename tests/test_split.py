"""The split: disjoint by entity, right shares, alike in the target, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from synth.contract import Split
from synth.split import assign

ENTITIES = hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 25))


@given(ENTITIES, st.integers(0, 5), st.booleans())
def test_an_entity_is_in_one_part_and_no_part_is_empty(entities: np.ndarray, seed: int, labels: bool) -> None:
    target = np.array(["a", "b", "c"], dtype=object)[entities % 3] if labels else entities * 0.5
    parts = assign(entities, target, Split(), seed)
    assert parts.dtype == np.uint8 and parts.shape == entities.shape
    for entity in set(entities.tolist()):
        assert len(set(parts[entities == entity].tolist())) == 1
    number = len(set(entities.tolist()))
    assert set(parts.tolist()) == ({0, 1, 2} if number >= 3 else {0} if number else set())


@given(st.integers(3, 400), st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.25, 0.25), (0.8, 0.1, 0.1), (0.98, 0.01, 0.01)]),
       st.integers(0, 9), st.integers(1, 12))
def test_shares_hold_to_one_entity(number: int, shares: tuple[float, float, float], seed: int, strata: int) -> None:
    target = np.random.default_rng(seed).integers(0, strata, number).astype(str).astype(object)
    train, holdout, reference = shares
    counts = np.bincount(assign(np.arange(number), target, Split(train=train, holdout=holdout, reference=reference),
                                seed), minlength=3)
    assert counts.sum() == number and counts.min() >= 1
    assert np.all(np.abs(counts - np.maximum(np.array(shares) * number, 1)) < 3)


@given(ENTITIES, st.integers(0, 5))
def test_the_order_of_rows_does_not_matter(entities: np.ndarray, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(entities))
    np.testing.assert_array_equal(assign(entities, None, Split(), seed)[order],
                                  assign(entities[order], None, Split(), seed))


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_classes_are_spread_over_the_parts(share: float) -> None:
    rng = np.random.default_rng(0)
    target = np.where(rng.random(5_000) < share, "rare", "common").astype(object)
    parts = assign(np.arange(5_000), target, Split(), 1)
    for part in range(3):
        assert abs((target[parts == part] == "rare").mean() - (target == "rare").mean()) < 0.002


def test_numbers_are_spread_by_quantile_and_missing_ones_too() -> None:
    rng = np.random.default_rng(0)
    target = rng.lognormal(0, 2, 5_000)
    target[rng.random(5_000) < 0.1] = np.nan
    parts = assign(np.arange(5_000), target, Split(), 1)
    for part in range(3):
        held = target[parts == part]
        assert abs(np.isnan(held).mean() - np.isnan(target).mean()) < 0.002
        assert abs((held > np.nanmedian(target)).mean() - (target > np.nanmedian(target)).mean()) < 0.004


def test_an_entity_counts_by_its_most_frequent_class() -> None:
    # 90 people "a" with one stray row "b", 10 people "b": the parts must share the ten
    entities = np.repeat(np.arange(100), 3)
    target = np.where(entities < 90, "a", "b").astype(object)
    target[np.arange(0, 270, 3)] = "b"
    parts = assign(entities, target, Split(), 4)
    assert np.bincount(parts[entities >= 90][::3], minlength=3).tolist() == [6, 2, 2]


def test_seeds_differ_and_repeat() -> None:
    entities = np.arange(200)
    first = assign(entities, None, Split(), 1)
    np.testing.assert_array_equal(first, assign(entities, None, Split(), 1))
    assert (first != assign(entities, None, Split(), 2)).any()


def test_pandas_text_and_booleans_work_as_strata() -> None:
    import pandas as pd

    words = pd.Series(["x", None, "y"] * 20, dtype="str")
    np.testing.assert_array_equal(assign(np.arange(60), words.to_numpy(), Split(), 0),
                                  assign(np.arange(60), words.array, Split(), 0))
    assert set(assign(np.arange(60), np.array([True, False] * 30), Split(), 0)) == {0, 1, 2}
