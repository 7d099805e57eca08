"""The accountants: against a naive oracle, against each other, and with planted mistakes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import InternalError, UserError
from synth.gan.private import accounting, noise
from synth.gan.private.accounting import Account, Gaussian, SampledGaussian, Threshold


def naive_delta(mu: float, epsilon: float) -> float:
    """The hockey-stick divergence of N(mu, 1) and N(0, 1) by a sum over a fine grid."""
    x = np.linspace(-12, 12 + mu, 400_001)
    p, q = (np.exp(-(x - m) ** 2 / 2) / math.sqrt(2 * math.pi) for m in (mu, 0.0))
    return float(np.maximum(p - math.exp(epsilon) * q, 0).sum() * (x[1] - x[0]))


@settings(max_examples=25, deadline=None)
@given(mu=st.floats(0.05, 3), epsilon=st.floats(0, 6))
def test_the_exact_formula_is_the_definition(mu: float, epsilon: float) -> None:
    assert accounting.gaussian_delta(mu, epsilon) == pytest.approx(naive_delta(mu, epsilon), abs=2e-6)


@settings(max_examples=50, deadline=None)
@given(epsilon=st.floats(0.01, 20), power=st.floats(-12, -2))
def test_a_budget_and_its_mu_are_each_others_inverse(epsilon: float, power: float) -> None:
    mu = accounting.largest_mu(epsilon, 10**power)
    assert accounting.gaussian_epsilon(mu, 10**power) == pytest.approx(epsilon, rel=1e-6)


def test_many_gaussians_cost_what_one_with_their_root_of_squares_does() -> None:
    account = Account(2.0, 1e-6)
    share = account.left / 12
    for i in range(12):
        account.spend(Gaussian(name="counts" if i < 10 else f"other {i}", noise=3 / share**0.5, sensitivity=3.0))
    said = account.statement()
    assert account.left == pytest.approx(0, abs=1e-9)
    assert [a["epsilon"] for a in said["accountants"]] == pytest.approx([2.0, 2.0], rel=1e-3)
    assert [m["times"] for m in said["mechanisms"]] == [10, 1, 1]
    assert sum(m["rho"] for m in said["mechanisms"]) == pytest.approx(share * 6)
    assert 0.01 < said["implied"]["tpr_at_1_percent_fpr"] < math.exp(2) * 0.01 + 1e-6  # tighter than epsilon alone
    deltas = [delta for _, delta in said["curve"]]
    assert deltas == sorted(deltas, reverse=True) and deltas[3] == pytest.approx(1e-6, rel=1e-3)


def test_what_the_budget_does_not_hold_is_refused_before_it_runs() -> None:
    account = Account(1.0, 1e-6)
    account.spend(Gaussian(name="most of it", noise=4.3, sensitivity=1.0))
    before = list(account.spent)
    with pytest.raises(UserError, match="exhausted before 'one too many'"):
        account.spend(Gaussian(name="one too many", noise=4.3, sensitivity=1.0))
    assert account.spent == before


@pytest.mark.parametrize(("epsilon", "delta"), [(0, 1e-6), (-1, 1e-6), (math.inf, 1e-6), (math.nan, 1e-6), (1, 0),
                                                (1, 1)])
def test_a_budget_that_is_none(epsilon: float, delta: float) -> None:
    with pytest.raises(UserError, match="finite epsilon above 0"):
        accounting.largest_mu(epsilon, delta)


def test_thresholds_take_their_part_of_delta() -> None:
    account = Account(1.0, 1e-6, (Threshold(name="labels", delta=4e-7),))
    account.spend(Gaussian(name="counts", noise=account.left ** -0.5, sensitivity=1.0))
    assert accounting.first(account.spent, 1e-6) == pytest.approx(1.0)
    assert accounting.first(account.spent, 4e-7) == math.inf
    assert accounting.delta_of(account.spent, 1.0) == pytest.approx(1e-6)


def test_sampled_batches_are_counted_by_two_libraries_that_agree() -> None:
    spent = [SampledGaussian(name="training", multiplier=1.5, rate=0.05, steps=100),
             Gaussian(name="counts", noise=8.0, sensitivity=1.0)]
    ours, theirs = accounting.first(spent, 1e-5), accounting.second(spent, 1e-5)
    accounting.agree(ours, theirs)
    assert ours > accounting.first(spent[1:], 1e-5) and 0.5 < theirs < 5


@pytest.mark.parametrize("wrong", [
    dict(multiplier=1.5, rate=0.05, steps=50),  # every second step forgotten
    dict(multiplier=1.5, rate=0.025, steps=100),  # another rate than the sampler's
    dict(multiplier=3.0, rate=0.05, steps=100)])  # noise that is not there
def test_books_kept_wrong_are_found_by_the_second_accountant(wrong: dict[str, float]) -> None:
    true = SampledGaussian(name="training", multiplier=1.5, rate=0.05, steps=100)
    with pytest.raises(InternalError, match="disagree"):
        accounting.agree(accounting.second([SampledGaussian(name="x", **wrong)], 1e-5),  # type: ignore[arg-type]
                         accounting.second([true], 1e-5))


def test_a_mechanism_counted_twice_by_one_of_them_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(1.0, 1e-6, (Gaussian(name="counts", noise=5.0, sensitivity=1.0),))
    account.statement()
    right = accounting.second
    monkeypatch.setattr(accounting, "second", lambda spent, delta: right([*spent, *spent], delta))
    with pytest.raises(InternalError, match="disagree"):
        account.statement()


def test_the_noise_comes_before_the_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of .5 and 1.5 differ by one; rounded first, they would by two, which is more than was accounted."""
    monkeypatch.setattr(noise, "normal", lambda shape: np.full(shape, 0.2))
    assert np.ptp(noise.noisy(np.array([0.5, 1.5]), 1.0)) == 1.0


def test_noise_is_normal_whole_and_never_the_same() -> None:
    drawn = noise.noisy(np.zeros(40_000), 7.0)
    assert np.array_equal(drawn, np.round(drawn))
    assert abs(drawn.mean()) < 0.15 and drawn.std() == pytest.approx(7.0, rel=0.03)
    assert np.mean(np.abs(drawn) > 14) == pytest.approx(0.0455, abs=0.01)
    np.random.seed(3)  # a seed of anybody's changes nothing
    one = noise.normal(8)
    np.random.seed(3)
    assert not np.array_equal(one, noise.normal(8))
