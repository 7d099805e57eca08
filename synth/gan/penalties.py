"""Penalties on the critic's gradient with respect to its input. Each returns one value per row or pack."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]
Penalty = Callable[[Critic, Tensor, Tensor], Tensor]


def _slope(critic: Critic, inputs: Tensor) -> Tensor:
    """Squared norm [B] of the gradient of the scores at ``inputs`` [B, ...], differentiable."""
    at = inputs.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    return gradient.square().flatten(1).sum(1)


def r1(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Zero-centred penalty on real rows (Mescheder et al. 2018), half the squared norm."""
    return _slope(critic, real) / 2


def r2(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """The same on fake rows; with R1 it makes training with a relativistic objective locally convergent."""
    return _slope(critic, fake) / 2


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP (Gulrajani et al. 2017): slope one on straight lines between real and fake rows."""
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
    between = share * real + (1 - share) * fake
    return ((_slope(critic, between) + 1e-12).sqrt() - 1).square()


PENALTIES: dict[str, Penalty] = {"r1": r1, "r2": r2, "gradient": gradient_penalty}
