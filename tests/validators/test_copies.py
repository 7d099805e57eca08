from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.validators import populations
from validators.copies import Hits, compare, copies, singles
from validators.finding import Verdict


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


def spiky(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Most people sit on spikes, where chance makes copies all the time; a third has cents of their own."""
    frame = populations.people(rows, int(rng.integers(2**31)))[0]
    common = rng.random(rows) < 0.67
    for name, value in (("income", 1000.0), ("savings", 0.0), ("seen", 18_000.0), ("weight", 70.0)):
        frame[name] = np.where(common, value, frame[name])
    return frame


def spiky_evidence(seed: int, share: float):
    """``share`` of the synthetic rows are single training rows."""
    rng = np.random.default_rng(seed)
    frames = {p: spiky(n, rng) for p, n in (("train", 6_000), ("holdout", 2_000), ("reference", 2_000),
                                            ("synthetic", 6_000))}
    hashes = pd.util.hash_pandas_object(frames["train"], index=False)
    single = frames["train"][~hashes.duplicated(keep=False).to_numpy()]
    copied = int(share * 6_000)
    frames["synthetic"] = pd.concat([single.iloc[:copied], frames["synthetic"].iloc[copied:]], ignore_index=True)
    return replace(populations.evidence(0, seed), **frames,
                   entities={p: np.arange(len(frames[p])) for p in ("train", "holdout", "reference")})


def verdicts(e) -> dict[str, Verdict]:
    return {f.id.removeprefix("leakage.copies."): f.verdict for f in copies(e, 0.01, 0.01, 0.02)}


def test_among_spikes_a_few_copies_are_found_among_the_rare_rows():
    found = {share: [verdicts(spiky_evidence(seed, share)) for seed in range(3)] for share in (0.0, 0.01)}
    assert all(set(v.values()) == {Verdict.PASS} for v in found[0.0])
    assert all(v["exact.rare"] is Verdict.FAIL for v in found[0.01])
    assert not all(v["near"] is Verdict.FAIL for v in found[0.01])  # what the rare rows are judged apart for


def test_a_small_table_says_how_many_rows_are_needed():
    found = copies(populations.evidence(300, 1), 0.01, 0.01, 0.02)
    assert {f.verdict for f in found} == {Verdict.INCONCLUSIVE}
    assert "at least 300 synthetic and 200 untouched rows" in found[0].remedy


@pytest.mark.parametrize("clean", [0, 120])
def test_the_stated_number_of_copies_is_found_four_times_in_five(clean):
    """Hits of the kinds that a table of ``clean`` chance hits of train would have, and the stated copies more."""
    rng, found = np.random.default_rng(0), 0
    expected = Hits(6_000, 2_000, clean, clean // 3, (clean * 4 // 3, 0, 0, 0), 6_000, 4_000, 0)
    stated = expected.detectable(0.005, 0.0)
    for _ in range(300):
        holdout = rng.binomial(clean * 4 // 3, 0.25)
        kinds = clean * 4 // 3 + stated
        hits = Hits(6_000, 2_000, kinds - holdout, holdout, (kinds, 0, 0, 0), 6_000, 4_000, 0)
        found += hits.p_value() < 0.005
    assert found >= 0.75 * 300
