"""The first layers of all tokens at once: token j's looks at the first j embeddings of a row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Prefixes(torch.autograd.Function):
    """``bias[j] + flat[:, :j * e] @ before[j].T`` for every j, as T tensors [B, hidden].

    Slices of one tensor would each send back a gradient of the whole tensor, nearly all zeros: a sixth of a step on
    50 columns. Here every layer adds to its part of one gradient.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(flat: Tensor, bias: Tensor, size: int, *before: Tensor) -> tuple[Tensor, ...]:
        """``flat`` [B, T * size], ``bias`` [T, hidden], ``before[j]`` [hidden, j * size]."""
        return tuple(torch.addmm(bias[j], flat[:, :j * size], weight.T) for j, weight in enumerate(before))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """What backward needs."""
        flat, _, ctx.size, *before = inputs
        ctx.save_for_backward(flat, *before)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Gradients of ``flat``, ``bias`` and every ``before[j]``."""
        flat, *before = ctx.saved_tensors
        whole, size = torch.zeros_like(flat), ctx.size
        for j, (grad, weight) in enumerate(zip(grads, before, strict=True)):
            whole[:, :j * size] += grad @ weight
        return (whole, torch.stack([grad.sum(0) for grad in grads]), None,
                *(grad.T @ flat[:, :j * size] for j, grad in enumerate(grads)))
