import numpy as np
import pytest
from scipy import stats

from validators.copies import Hits, compare, singles


def test_singles_are_held_by_one_person():
    hashes = np.array([1, 1, 2, 2, 3], np.uint64)
    assert singles(hashes, np.array([0, 0, 1, 2, 3])).tolist() == [1, 3]


def test_p_value_of_few_holdout_hits_is_poisson_binomial():
    hits = Hits(100, 50, 9, 1, (8, 1, 0), 500, 300, 5)
    chance = np.convolve(stats.binom.pmf(np.arange(9), 8, 1 / 3), stats.binom.pmf(np.arange(2), 1, 2 / 3))
    assert hits.p_value() == pytest.approx(2 * chance[:2].sum())


def test_no_hit_is_no_evidence():
    assert Hits(100, 50, 0, 0, (0, 0, 0), 500, 300, 0).p_value() == 1.0


def table(rows: int, values: int, rng: np.random.Generator) -> np.ndarray:
    return (rng.geometric(1 / values, rows)).astype(np.uint64)  # hashes of a skewed discrete table


@pytest.mark.parametrize("values", [20, 300, 5_000])
def test_chance_hits_are_rarely_called_copies(values):
    rng = np.random.default_rng(values)
    alarms = 0
    for seed in range(150):
        parts = {"train": table(600, values, rng), "holdout": table(200, values, rng),
                 "reference": table(200, values, rng), "synthetic": table(600, values, rng)}
        alarms += compare(parts, {}, seed=seed).p_value() < 0.05
    assert alarms <= 15  # 5 % of 150 is 7.5


@pytest.mark.parametrize("values", [5_000, 10**9])
def test_a_few_copies_are_found(values):
    rng = np.random.default_rng(1)
    parts = {"train": table(600, values, rng), "holdout": table(200, values, rng),
             "reference": table(200, values, rng), "synthetic": table(600, values, rng)}
    clean = compare(parts, {}).p_value()
    alone = singles(parts["train"], np.arange(600))
    parts["synthetic"][: min(80, len(alone))] = alone[:80]
    assert clean > 0.01 > compare(parts, {}).p_value()


def test_wrong_margins_are_not_taken_for_copies():
    rng = np.random.default_rng(2)
    parts = {"train": table(600, 300, rng), "holdout": table(200, 300, rng), "reference": table(200, 300, rng),
             "synthetic": table(600, 60, rng)}  # far too narrow: many hits, of train and holdout alike
    assert compare(parts, {}).p_value() > 0.01
