"""Exponential moving average of a player's weights: what is released is the average, not the last step."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """Average of ``source``'s parameters; a step keeps ``decay`` of it, early steps less, to forget the start."""

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.module = copy.deepcopy(source).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, source: nn.Module, decay: float | None = None) -> None:
        """One step towards the current weights, at ``decay`` if a schedule states it."""
        self.steps += 1
        if decay is None:
            decay = min(self.decay, self.steps / (self.steps + 10))
        torch._foreach_lerp_(list(self.module.parameters()), list(source.parameters()), 1 - decay)
        for mine, theirs in zip(self.module.buffers(), source.buffers(), strict=True):
            mine.copy_(theirs)
