"""The plain convolutional pair of DCGAN (Radford et al. 2016), conditioned by concatenation (Mirza & Osindero 2014).

Its critic has batch normalisation, as in the paper; ``norm="none"`` leaves it out, for recipes whose penalties are
defined image by image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synth.medical.networks.layers import SLOPE, as_maps, base, border, conv, crop, levels, linear, with_condition
from synth.medical.shape import ImageShape


def normal(dims: int, width: int, norm: str) -> nn.Module:
    """A normalisation layer by name; ``group`` is layer normalisation over all channels and places of an image."""
    if norm == "batch":
        return nn.BatchNorm2d(width) if dims == 2 else nn.BatchNorm3d(width)
    return nn.GroupNorm(1, width) if norm == "group" else nn.Identity()


class ConvolutionalGenerator(nn.Module):
    """Noise [B, noise] beside conditions [B, K] -> images [B, C, *size], not squashed.

    ``widths``: channels of each grid from the coarsest to that of the image.
    """

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, noise: int = 64) -> None:
        super().__init__()
        self.noise, self.shape, dims = noise, shape, shape.dims
        self.coarse = base(shape.size, levels(shape.size))
        self.start = linear(noise + shape.conditions, widths[0] * math.prod(self.coarse))
        kind = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        self.norms = nn.ModuleList(normal(dims, width, "batch") for width in widths)
        self.ups = nn.ModuleList(kind(a, b, 4, stride=2, padding=1, bias=False)
                                 for a, b in pairwise(widths))
        for weight in self.ups.parameters():
            nn.init.normal_(weight, std=0.02)
        self.paint = conv(dims, widths[-1], shape.channels, 3, gain=1.0)

    def forward(self, noise: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.start(with_condition(noise, condition)).reshape(len(noise), -1, *self.coarse)
        x = F.relu(self.norms[0](x))
        for up, norm in zip(self.ups, list(self.norms)[1:], strict=True):
            x = F.relu(norm(up(x)))
        return crop(self.paint(x), self.shape.size)


class ConvolutionalCritic(nn.Module):
    """Images [B, C, *size] beside conditions as constant maps (and masks) -> scores [B]."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, norm: str = "batch") -> None:
        super().__init__()
        self.shape, dims = shape, shape.dims
        coarse = base(shape.size, levels(shape.size))
        self.whole = tuple(side << levels(shape.size) for side in coarse)
        fine_first = list(widths)[::-1]
        inputs = shape.channels + shape.conditions + shape.classes
        self.read = conv(dims, inputs, fine_first[0], 3)
        self.downs = nn.ModuleList(conv(dims, a, b, 4, stride=2, bias=norm == "none")
                                   for a, b in pairwise(fine_first))
        self.norms = nn.ModuleList(normal(dims, width, norm) for width in fine_first[1:])
        self.score = linear(fine_first[-1] * math.prod(coarse), 1)

    def forward(self, images: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        parts = [images] if mask is None else [images, mask.to(images.dtype)]
        if self.shape.conditions:
            parts.append(as_maps(condition.to(images.dtype), images.shape[2:]))
        x = F.leaky_relu(self.read(border(torch.cat(parts, 1), self.whole)), SLOPE)
        for down, norm in zip(self.downs, self.norms, strict=True):
            x = F.leaky_relu(norm(down(x)), SLOPE)
        return self.score(x.flatten(1)).squeeze(1)
