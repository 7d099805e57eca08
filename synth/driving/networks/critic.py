"""The critic of whole scenes: sees what the drivers saw, step by step, and what they were told to do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synth.driving.features import DYNAMIC
from synth.driving.plan import STATIC


class SceneCritic(nn.Module):
    """Scores [B] of relative features [B, K, DYNAMIC, T]; convolutions over time, a sum over vehicles.

    No normalisation, as R3GAN's critic (Huang et al. 2024). The plan comes in by projection (Miyato and Koyama 2018)
    and beside the features, so that a scene that is real but not what was asked for is seen to be wrong.
    """

    def __init__(self, *, condition: int, width: int) -> None:
        super().__init__()
        self.static = nn.Linear(STATIC + condition, width)
        self.first = nn.Conv1d(DYNAMIC, width, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 4, stride=2, padding=1) for _ in range(3))
        self.vehicle = nn.Linear(width, width)
        self.scene = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)

    def forward(self, seen: Tensor, static: Tensor, present: Tensor) -> Tensor:
        """``seen`` [B, K, DYNAMIC, T], ``static`` [B, K, STATIC + C], ``present`` [B, K] bool."""
        batch, count = present.shape
        told = self.static(static)
        x = self.first(seen.flatten(0, 1)) + told.flatten(0, 1).unsqueeze(-1)
        for layer in self.layers:
            x = layer(F.leaky_relu(x, 0.2))
        x = self.vehicle(F.leaky_relu(x, 0.2).mean(-1)).unflatten(0, (batch, count))
        x = F.leaky_relu(x, 0.2) * present.unsqueeze(-1)
        fits = (x * told).mean(-1).sum(1)
        whole = F.leaky_relu(self.scene(x.sum(1) / 2), 0.2)
        score: Tensor = self.score(whole).squeeze(-1) + fits
        return score


def moving(states: Tensor) -> Tensor:
    """Scenes [..., T, K, 4] with time last for convolutions: [..., K, 4, T]."""
    return torch.movedim(states, -3, -1)
