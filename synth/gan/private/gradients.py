"""Training on private rows by noisy gradients (DP-SGD, Abadi et al. 2016), with the sampling that is accounted.

Every unit is in a batch by a coin of its own (Poisson sampling); the gradients of its rows are added up and clipped
together, so a unit with several rows counts once; Gaussian noise goes onto the sum, which is divided by the expected
number of units and never by the real one. Per-row gradients come from ``torch.func``, which asks nothing of the
network but that it does not mix rows (no batch normalisation).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from synth.errors import UserError
from synth.gan.private import noise
from synth.gan.private.accounting import Account, Mechanism, SampledGaussian

Loss = Callable[[dict[str, Tensor], Tensor], Tensor]  # (parameters, one row [1, ...]) -> scalar


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a training on private rows goes; ``norm`` clips a unit, the noise is ``multiplier`` norms."""

    rate: float
    steps: int
    multiplier: float
    norm: float = 1.0
    micro: int = 64  # rows whose gradients are in memory at once

    def mechanism(self, name: str) -> SampledGaussian:
        """What the account is told."""
        return SampledGaussian(name=name, multiplier=self.multiplier, rate=self.rate, steps=self.steps)

    @classmethod
    def within(cls, epsilon: float, delta: float, *, rate: float, steps: int, norm: float = 1.0,
               before: tuple[Mechanism, ...] = ()) -> Plan:
        """The least noise that keeps (epsilon, delta) together with what was spent ``before``, by bisection."""
        from synth.gan.private.accounting import first

        def spent(multiplier: float) -> float:
            training = SampledGaussian(name="training", multiplier=multiplier, rate=rate, steps=steps)
            return first([*before, training], delta)

        low, high = 0.3, 2.0
        while spent(high) > epsilon:
            low, high = high, high * 2
        while high - low > 0.005 * high:
            middle = (low + high) / 2
            low, high = (low, middle) if spent(middle) <= epsilon else (middle, high)
        return cls(rate=rate, steps=steps, multiplier=high, norm=norm)


class Rows(Protocol):
    """Private rows, looked up by place: a tensor [N, ...], or what reads them when they are asked for."""

    def __getitem__(self, place: Tensor, /) -> Tensor:
        """The rows [n, ...] at places [n]."""


class PrivateGradients:
    """Noisy gradients of ``loss`` over ``rows`` [N, ...]; ``units`` says whose each row is.

    ``expected``: what sums are divided by, where even the number of units is private; by default what the plan's rate
    takes of them.

    The plan is spent when this is built, so that a training that is cut short has cost what the whole would have;
    after its last step there are no more. :class:`UserError` where the budget does not hold the plan.
    """

    def __init__(self, module: nn.Module, loss: Loss, rows: Rows, units: np.ndarray, plan: Plan, account: Account, *,
                 name: str = "training", done: int = 0, expected: float | None = None) -> None:
        mixing = sorted({type(m).__name__ for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)})
        if mixing:
            raise UserError(f"{mixing[0]} mixes the rows of a batch, so no row's share of a gradient can be bounded",
                            todo="use LayerNorm or none")
        if plan.mechanism(name) not in account.spent:  # a resumed training has it in its books already
            account.spend(plan.mechanism(name))
        self.module, self.loss, self.rows, self.plan, self.done = module, loss, rows, plan, done
        _, owner = np.unique(units, return_inverse=True)
        self.owner = torch.from_numpy(owner.reshape(-1))
        self.count = int(self.owner.max()) + 1
        self.expected = plan.rate * self.count if expected is None else expected

    def step(self, *context: Tensor) -> dict[str, Tensor]:
        """The gradients of one step, by parameter name; ``context`` goes to the loss as it is."""
        if self.done >= self.plan.steps:
            raise UserError("the privacy budget of this training is exhausted",
                            todo="release what there is, or plan more steps with more noise")
        self.done += 1
        chosen = torch.from_numpy(noise.uniform(self.count) <= self.plan.rate)
        index = torch.nonzero(chosen[self.owner]).squeeze(1)
        total = self.clipped_sum(index, *context)
        scale = self.plan.multiplier * self.plan.norm
        return {name: (value + scale * torch.from_numpy(noise.normal(tuple(value.shape))).to(value)) / self.expected
                for name, value in total.items()}

    def clipped_sum(self, index: Tensor, *context: Tensor) -> dict[str, Tensor]:
        """Sum over units of their rows' gradients, each unit's clipped to the norm; rows in whole units."""
        parameters = {n: p.detach() for n, p in self.module.named_parameters() if p.requires_grad}
        gradient = torch.func.vmap(torch.func.grad(self.loss), in_dims=(None, 0, *(None for _ in context)),
                                   randomness="different")
        total = {n: torch.zeros_like(p) for n, p in parameters.items()}
        order = index[torch.argsort(self.owner[index], stable=True)]
        for part in _whole_units(order, self.owner, self.plan.micro):
            rows = gradient(parameters, self.rows[part][:, None], *context)
            _, place = torch.unique(self.owner[part], return_inverse=True)
            units = {n: g.new_zeros(int(place.max()) + 1, *g.shape[1:]).index_add_(0, place, g)
                     for n, g in rows.items()}
            length = torch.stack([g.flatten(1).square().sum(1) for g in units.values()]).sum(0).sqrt()
            factor = (self.plan.norm / length.clamp_min(1e-12)).clamp(max=1.0)
            for name, g in units.items():
                total[name] += torch.einsum("u,u...->...", factor, g)
        return total


def _whole_units(order: Tensor, owner: Tensor, most: int) -> list[Tensor]:
    """Parts of about ``most`` rows that split no unit."""
    if not len(order):
        return []
    starts = torch.nonzero(torch.cat([torch.tensor([True]), owner[order][1:] != owner[order][:-1]])).squeeze(1).tolist()
    cuts, last = [0], 0
    for start in starts:
        if start - last >= most:
            cuts.append(start)
            last = start
    return [order[a:b] for a, b in zip(cuts, [*cuts[1:], len(order)], strict=True)]
