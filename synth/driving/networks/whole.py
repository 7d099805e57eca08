"""A whole scene from noise at once: what the closed loop is compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synth.driving.bicycle import BOUNDS, advance
from synth.driving.plan import KINDS, STATIC, Facts

NOISE = 64
KNOWN_FIRST = KINDS + 3  # of the static features: type, size and who is the ego vehicle, but no intents


class WholeScene(nn.Module):
    """Noise to the first states and all controls of K vehicles, which the bicycle integrates; nobody looks at anybody.

    Who is there, of which type and size, the road and the condition are given, as they are to the closed loop.
    """

    def __init__(self, *, condition: int, vehicles: int, steps: int, width: int) -> None:
        super().__init__()
        self.vehicles, self.steps, self.width = vehicles, steps, width
        self.coarse = -(-(steps - 1) // 8)
        given = vehicles * (KNOWN_FIRST + 1) + 2 + condition
        self.trunk = nn.Sequential(nn.Linear(NOISE + given, 4 * width), nn.LeakyReLU(0.2),
                                   nn.Linear(4 * width, 4 * width), nn.LeakyReLU(0.2))
        self.start = nn.Linear(4 * width, vehicles * 4)
        self.seed = nn.Linear(4 * width, vehicles * width * self.coarse)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(3))
        self.controls = nn.Conv1d(width, 2, 3, padding=1)

    def forward(self, facts: Facts, dt: float, noise: Tensor) -> Tensor:
        """States [B, T, K, 4] from noise [B, NOISE]."""
        first = torch.cat([facts.static[..., :KNOWN_FIRST], facts.present.unsqueeze(-1)], -1).flatten(1)
        given = torch.cat([noise, first, facts.lanes / 3, facts.friction, facts.static[:, 0, STATIC:]], -1)
        hidden = self.trunk(given)
        where = self.start(hidden).unflatten(-1, (self.vehicles, 4))
        s = 30 * (where[..., 0] - where[:, :1, 0])
        d = torch.sigmoid(where[..., 1]) * facts.lanes * facts.lane
        speed = (15 * F.softplus(where[..., 3] + 0.5)).clamp(max=BOUNDS.speed)
        there = facts.present.unsqueeze(-1)
        state = torch.stack([s, d, 0.1 * torch.tanh(where[..., 2]), speed], -1) * there
        x = self.seed(hidden).unflatten(-1, (self.vehicles, self.width, self.coarse)).flatten(0, 1)
        for layer in self.layers:
            x = F.leaky_relu(layer(F.interpolate(x, scale_factor=2.0, mode="linear")), 0.2)
        asked = 2 * self.controls(x)[..., :self.steps - 1].unflatten(0, (-1, self.vehicles))
        states = [state]
        for t in range(self.steps - 1):
            state = advance(state, asked[..., t], facts.friction, dt) * there
            states.append(state)
        return torch.stack(states, 1)
