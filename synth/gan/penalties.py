"""Penalties on the critic's gradient with respect to its input. Each returns one value per row or pack.

Penalised is what the critic sees (after augmentation), at the conditions it sees it with. A record's score is the
mean over its patches where the critic scores patches.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from synth.gan.players import Critic, Seen, inputs_of, scores, with_inputs

Penalty = Callable[[Critic, Seen, Seen], Tensor]


def _slope(critic: Critic, seen: Seen) -> Tensor:
    """Squared norm [B] of the gradient of the scores at the inputs [B, ...] of ``seen``, differentiable."""
    at = inputs_of(seen).detach().requires_grad_(True)
    score = scores(critic, with_inputs(seen, at))
    if score.ndim > 1:
        score = score.flatten(1).mean(1)
    (gradient,) = torch.autograd.grad(score.sum(), at, create_graph=True)
    return gradient.square().flatten(1).sum(1)


def r1(critic: Critic, real: Seen, fake: Seen) -> Tensor:
    """Zero-centred penalty on real rows (Mescheder et al. 2018), half the squared norm."""
    return _slope(critic, real) / 2


def r2(critic: Critic, real: Seen, fake: Seen) -> Tensor:
    """The same on fake rows; with R1 it makes training with a relativistic objective locally convergent."""
    return _slope(critic, fake) / 2


def gradient_penalty(critic: Critic, real: Seen, fake: Seen) -> Tensor:
    """WGAN-GP (Gulrajani et al. 2017): slope one on straight lines between real and fake rows."""
    one, other = inputs_of(real), inputs_of(fake)
    share = torch.rand(len(one), *[1] * (one.ndim - 1), device=one.device, dtype=one.dtype)
    between = share * one + (1 - share) * other
    return ((_slope(critic, with_inputs(real, between)) + 1e-12).sqrt() - 1).square()


PENALTIES: dict[str, Penalty] = {"r1": r1, "r2": r2, "gradient": gradient_penalty}
