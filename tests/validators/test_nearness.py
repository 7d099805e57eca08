"""The distance test vetoes an effect, not a significance: planted shares of rows that hug training people."""

import numpy as np
import pytest

from validators.attacks import View
from validators.finding import Finding, Verdict
from validators.nearness import nearness

ROWS = 1_500


def view(points: np.ndarray) -> View:
    return View(points.astype(np.float32), points.astype(float), np.zeros(points.shape[1], bool))


def judged(hugging: float, *, rows: int = ROWS, synthetic: int = 4 * ROWS, seed: int = 0, repeat: int = 1,
           significance: float = 0.01, margin: float = 0.02) -> Finding:
    """A share of the synthetic rows lies beside a training row, the others are fresh."""
    rng = np.random.default_rng(seed)
    train, holdout, fresh = (rng.normal(size=(n, 3)) for n in (rows, rows, synthetic))
    close = rng.random(synthetic) < hugging
    fresh[close] = train[rng.integers(0, rows, int(close.sum()))] + rng.normal(0, 1e-3, (int(close.sum()), 3))
    people = np.arange(rows) // repeat
    return nearness(view(train), view(holdout), view(fresh), people, people, significance=significance, margin=margin,
                    ties=0.2, seed=1)


@pytest.mark.parametrize(("hugging", "verdict"), [
    (0.0, Verdict.INFO), (0.02, Verdict.INFO), (0.2, Verdict.FAIL), (1.0, Verdict.FAIL)])
def test_a_small_effect_is_no_veto_and_a_large_one_is(hugging, verdict):
    found = judged(hugging)
    assert found.verdict is verdict
    assert found.value == pytest.approx(0.5 + hugging / 2, abs=0.03)  # half of the others are nearer to train


def test_without_the_margin_the_same_small_effect_would_be_a_veto():
    """Not for want of rows: the share is significantly above one half, and below one half plus the margin."""
    small = {margin: judged(0.06, rows=3_000, synthetic=12_000, seed=3, margin=margin) for margin in (0.0, 0.06)}
    assert small[0.0].low > 0.5
    assert small[0.0].detail["p_value"] < 0.01 < small[0.06].detail["p_value"]
    assert [f.verdict for f in small.values()] == [Verdict.FAIL, Verdict.INFO]


def test_it_never_passes_and_a_share_at_the_margin_fails_no_more_often_than_stated():
    found = [judged(0.04, rows=300, synthetic=1_000, seed=seed, significance=0.1) for seed in range(60)]
    assert {f.verdict for f in found} <= {Verdict.INFO, Verdict.FAIL}
    assert sum(f.verdict is Verdict.FAIL for f in found) <= 13  # 6 expected; 14 or more with chance .003


def test_rows_beside_the_same_person_are_one_piece_of_evidence():
    """All synthetic rows beside one training row: nothing is known about the others."""
    rng = np.random.default_rng(5)
    train, holdout = rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
    close = train[0] + rng.normal(0, 1e-3, (2_000, 3))
    people = np.arange(400)
    found = nearness(view(train), view(holdout), view(close), people, people, significance=0.01, margin=0.02, ties=0.2,
                     seed=1)
    assert found.value == 1.0 and found.verdict is Verdict.INFO


def test_the_stated_power_is_met():
    """What the finding says it would stop in four of five tables is stopped about so often."""
    power = float(judged(0.0, rows=400, synthetic=1_200).power.split("share of ")[1].split(" ")[0])
    hugging = 2 * (power - 0.5)
    stopped = sum(judged(hugging, rows=400, synthetic=1_200, seed=seed).verdict is Verdict.FAIL for seed in range(50))
    assert 30 <= stopped <= 49  # 40 expected
