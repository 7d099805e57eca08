"""Residual networks with conditional normalisation, spectral normalisation and self-attention.

Spectral normalisation and the projection critic: Miyato et al. 2018, Miyato & Koyama 2018; conditional batch
normalisation: de Vries et al. 2017; self-attention: Zhang et al. 2019 (SAGAN).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from synth.medical.networks.layers import base, border, conv, crop, grow, levels, linear, shrink, with_condition
from synth.medical.shape import ImageShape

ATTENTION_PLACES = 1024  # most places of the grid that attends to itself: the cost is quadratic in them

Wrap = Callable[[nn.Module], nn.Module]


def _plain(layer: nn.Module) -> nn.Module:
    return layer


class ConditionalNorm(nn.Module):
    """Batch normalisation whose gain and shift follow the latent: one at the start for every condition."""

    def __init__(self, dims: int, width: int, latent: int) -> None:
        super().__init__()
        self.norm = (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(width, affine=False)
        self.gain, self.shift = linear(latent, width, gain=0.1), linear(latent, width, gain=0.1)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        places = [1] * (x.ndim - 2)
        gain, shift = self.gain(latent), self.shift(latent)
        return self.norm(x) * (1 + gain.reshape(*gain.shape, *places)) + shift.reshape(*shift.shape, *places)


class SelfAttention(nn.Module):
    """Every place looks at every place of the grid halved; begins as the identity.

    Written as products and a softmax, because fused attention kernels cannot be differentiated twice.
    """

    def __init__(self, dims: int, width: int, wrap: Wrap) -> None:
        super().__init__()
        keys = max(1, width // 8)
        self.query = wrap(conv(dims, width, keys, 1, bias=False))
        self.key = wrap(conv(dims, width, keys, 1, bias=False))
        self.value = wrap(conv(dims, width, width // 2, 1, bias=False))
        self.out = wrap(conv(dims, width // 2, width, 1, bias=False))
        self.amount = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        small = shrink(x)
        weights = torch.softmax(self.query(x).flatten(2).transpose(1, 2) @ self.key(small).flatten(2), dim=-1)
        seen = (self.value(small).flatten(2) @ weights.transpose(1, 2)).reshape(len(x), -1, *x.shape[2:])
        return x + self.amount * self.out(seen)


class _Up(nn.Module):
    def __init__(self, dims: int, inputs: int, outputs: int, latent: int, wrap: Wrap) -> None:
        super().__init__()
        self.norms = nn.ModuleList([ConditionalNorm(dims, inputs, latent), ConditionalNorm(dims, outputs, latent)])
        self.first, self.second = wrap(conv(dims, inputs, outputs)), wrap(conv(dims, outputs, outputs))
        self.past = wrap(conv(dims, inputs, outputs, 1, bias=False, gain=1.0))

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        y = self.first(grow(F.relu(self.norms[0](x, latent))))
        return grow(self.past(x)) + self.second(F.relu(self.norms[1](y, latent)))


class _Down(nn.Module):
    def __init__(self, dims: int, inputs: int, outputs: int, wrap: Wrap) -> None:
        super().__init__()
        self.first, self.second = wrap(conv(dims, inputs, outputs)), wrap(conv(dims, outputs, outputs))
        self.past = wrap(conv(dims, inputs, outputs, 1, bias=False, gain=1.0))

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(F.relu(x))))
        return shrink(self.past(x)) + shrink(y)


def _attends(coarse: Sequence[int]) -> int:
    """Index of the finest grid (0: the coarsest) that is small enough to attend to itself."""
    places, axes = math.prod(coarse), len(coarse)
    return int(math.log2(max(1.0, ATTENTION_PLACES / places)) / axes)


class NormedGenerator(nn.Module):
    """Noise [B, noise] and conditions [B, K] -> images [B, C, *size], not squashed."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, noise: int = 64, spectral: bool = False,
                 attention: bool = False) -> None:
        super().__init__()
        self.noise, self.shape, dims = noise, shape, shape.dims
        wrap: Wrap = spectral_norm if spectral else _plain
        self.coarse, latent = base(shape.size, levels(shape.size)), noise + shape.conditions
        self.start = wrap(linear(latent, widths[0] * math.prod(self.coarse)))
        self.ups = nn.ModuleList(_Up(dims, a, b, latent, wrap) for a, b in pairwise(widths))
        self.attends = min(_attends(self.coarse), len(widths) - 1) if attention else -1
        self.attention = SelfAttention(dims, widths[self.attends], wrap) if attention else None
        self.norm = (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(widths[-1])
        self.paint = wrap(conv(dims, widths[-1], shape.channels, 3, gain=1.0))

    def forward(self, noise: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        latent = with_condition(noise, condition)
        x = self.start(latent).reshape(len(noise), -1, *self.coarse)
        for i in range(len(self.ups) + 1):
            if i:
                x = self.ups[i - 1](x, latent)
            if self.attention is not None and i == self.attends:
                x = self.attention(x)
        return crop(self.paint(F.relu(self.norm(x))), self.shape.size)


class ProjectionCritic(nn.Module):
    """Images [B, C, *size], conditions [B, K] and masks (as further channels) -> scores [B]; no normalisation layer."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, spectral: bool = False,
                 attention: bool = False) -> None:
        super().__init__()
        self.shape, dims = shape, shape.dims
        wrap: Wrap = spectral_norm if spectral else _plain
        coarse = base(shape.size, levels(shape.size))
        self.whole = tuple(side << levels(shape.size) for side in coarse)
        fine_first = list(widths)[::-1]
        self.read = wrap(conv(dims, shape.channels + shape.classes, fine_first[0], 3, gain=1.0))
        self.downs = nn.ModuleList(_Down(dims, a, b, wrap) for a, b in pairwise(fine_first))
        self.attends = len(widths) - 1 - min(_attends(coarse), len(widths) - 1) if attention else -1
        self.attention = SelfAttention(dims, fine_first[self.attends], wrap) if attention else None
        self.score = wrap(linear(fine_first[-1], 1))
        self.project = wrap(linear(shape.conditions, fine_first[-1], bias=False)) if shape.conditions else None

    def forward(self, images: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.read(border(images if mask is None else torch.cat([images, mask.to(images.dtype)], 1), self.whole))
        for i in range(len(self.downs) + 1):
            if i:
                x = self.downs[i - 1](x)
            if self.attention is not None and i == self.attends:
                x = self.attention(x)
        features = F.relu(x).flatten(2).mean(2)
        score = self.score(features).squeeze(1)
        if self.project is not None:
            score = score + (self.project(condition.to(features.dtype)) * features).sum(1)
        return score
