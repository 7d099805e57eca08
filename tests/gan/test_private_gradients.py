"""DP-SGD: clipping by unit, noise, sampling, the budget's end; and planted mistakes that must show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from synth.errors import UserError
from synth.gan.private import gradients, noise
from synth.gan.private.accounting import Account, first
from synth.gan.private.gradients import Plan, PrivateGradients

PLAN = Plan(rate=0.5, steps=4, multiplier=1.0, norm=0.7, micro=8)


def built(units: np.ndarray | None = None, plan: Plan = PLAN, epsilon: float = 50.0, seed: int = 0,
          **more: int) -> PrivateGradients:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    rows = torch.randn(40, 3) * 5

    def loss(parameters: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
        return functional_call(net, parameters, (row,)).square().sum()

    return PrivateGradients(net, loss, rows, np.arange(40) if units is None else units, plan, Account(epsilon, 1e-5),
                            **more)


def naive(private: PrivateGradients, index: list[int], norm: float) -> dict[str, torch.Tensor]:
    """Unit by unit and row by row with plain autograd."""
    total = {n: torch.zeros_like(p) for n, p in private.module.named_parameters()}
    for unit in sorted({int(private.owner[i]) for i in index}):
        private.module.zero_grad()
        for i in index:
            if int(private.owner[i]) == unit:
                private.module(private.rows[i:i + 1]).square().sum().backward()
        length = torch.stack([p.grad.square().sum() for p in private.module.parameters()]).sum().sqrt()
        for name, p in private.module.named_parameters():
            total[name] += p.grad * min(1.0, norm / float(length))
    return total


@pytest.mark.parametrize("units", [np.arange(40), np.repeat(np.arange(8), 5), np.arange(40) % 3])
def test_each_units_gradient_is_clipped_as_a_whole(units: np.ndarray) -> None:
    private = built(units)
    index = [i for i in range(40) if units[i] % 2 == 0]
    found, expected = private.clipped_sum(torch.tensor(index)), naive(private, index, PLAN.norm)
    for name in expected:
        assert torch.allclose(found[name], expected[name], atol=1e-5)


def length(total: dict[str, torch.Tensor]) -> float:
    return float(torch.stack([g.square().sum() for g in total.values()]).sum().sqrt())


def influence(private: PrivateGradients) -> float:
    """How far one unit moves the sum, in norms."""
    everyone = torch.arange(40)
    whole = private.clipped_sum(everyone)
    return max(length({n: whole[n] - g for n, g in private.clipped_sum(everyone[private.owner != u]).items()})
               for u in range(private.count)) / PLAN.norm


def test_no_unit_moves_the_sum_by_more_than_the_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    units = np.repeat(np.arange(8), 5)
    assert 0.9 < influence(built(units)) <= 1 + 1e-5
    by_row = built(units)  # planted: rows are clipped one by one, so a unit of five counts five times
    by_row.owner, by_row.count = torch.arange(40), 40
    whole = by_row.clipped_sum(torch.arange(40))
    without = by_row.clipped_sum(torch.arange(5, 40))
    assert length({n: whole[n] - without[n] for n in whole}) > 2 * PLAN.norm
    unclipped = built(units, Plan(rate=0.5, steps=4, multiplier=1.0, norm=1e9))  # planted: no clipping at all
    assert influence(unclipped) * 1e9 / PLAN.norm > 2


def test_noise_is_as_accounted_and_the_divisor_is_the_expected_number(monkeypatch: pytest.MonkeyPatch) -> None:
    private = built(plan=Plan(rate=0.5, steps=400, multiplier=3.0, norm=0.7), epsilon=500.0)
    monkeypatch.setattr(private, "clipped_sum", lambda index: {n: torch.zeros_like(p)
                                                               for n, p in private.module.named_parameters()})
    drawn = torch.cat([torch.cat([g.flatten() for g in private.step().values()]) for _ in range(400)])
    assert float(drawn.std()) == pytest.approx(3.0 * 0.7 / (0.5 * 40), rel=0.05)


def test_every_unit_is_in_a_batch_by_a_coin_of_its_own() -> None:
    private = built(np.repeat(np.arange(20), 2), Plan(rate=0.3, steps=600, multiplier=3.0), epsilon=500.0)
    batches: list[set[int]] = []
    private.clipped_sum = lambda index: batches.append(set(index.tolist())) or {}  # type: ignore[method-assign]
    for _ in range(600):
        private.step()
    assert all({2 * (i // 2), 2 * (i // 2) + 1} <= b for b in batches for i in b)  # whole units
    sizes = np.array([len(b) / 2 for b in batches])
    assert sizes.mean() == pytest.approx(6, abs=0.4) and sizes.var() == pytest.approx(20 * 0.3 * 0.7, rel=0.25)


def test_a_training_stops_when_its_plan_is_spent_and_goes_on_where_it_was() -> None:
    private = built(plan=Plan(rate=0.5, steps=3, multiplier=1.0))
    for _ in range(3):
        private.step()
    with pytest.raises(UserError, match="exhausted"):
        private.step()
    resumed = built(plan=Plan(rate=0.5, steps=3, multiplier=1.0), done=2)
    resumed.step()
    with pytest.raises(UserError, match="exhausted"):
        resumed.step()


def test_a_resumed_training_is_in_the_books_once() -> None:
    private = built(epsilon=1e3)
    account = Account(1e3, 1e-5, (PLAN.mechanism("training"),))
    PrivateGradients(private.module, private.loss, private.rows, np.arange(40), PLAN, account, done=2)
    assert account.spent == [PLAN.mechanism("training")]


def test_a_plan_the_budget_does_not_hold_is_refused_before_a_row_is_read() -> None:
    with pytest.raises(UserError, match="exhausted before 'training'"):
        built(epsilon=0.5)


def test_the_least_noise_of_a_plan_spends_the_budget() -> None:
    plan = Plan.within(2.0, 1e-5, rate=0.05, steps=50)
    assert 1.9 < first([plan.mechanism("x")], 1e-5) <= 2.0


def test_what_mixes_rows_is_refused() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    with pytest.raises(UserError, match="BatchNorm1d mixes"):
        PrivateGradients(net, lambda p, row: row.sum(), torch.zeros(4, 3), np.arange(4), PLAN, Account(5.0, 1e-5))


def test_the_published_seed_decides_neither_batch_nor_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    def step() -> torch.Tensor:
        private = built(seed=3)
        np.random.seed(1)
        return torch.cat([g.flatten() for g in private.step().values()])

    assert not torch.equal(step(), step())
    monkeypatch.setattr(noise, "uniform", lambda size: np.full(size, 0.25))
    monkeypatch.setattr(gradients.noise, "normal", lambda shape: np.zeros(shape))
    assert torch.equal(step(), step())
