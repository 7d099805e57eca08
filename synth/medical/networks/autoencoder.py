"""The adversarial autoencoder (Makhzani et al. 2015): a critic makes the codes of images look like plain noise.

The encoder is needed for training alone; what is released is the decoder, a generator like any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from synth.medical.networks.layers import SLOPE, base, border, conv, levels, linear, shrink, with_condition
from synth.medical.networks.residual import Branch, ResidualGenerator
from synth.medical.shape import ImageShape


class Encoder(nn.Module):
    """Images [B, C, *size] -> codes [B, noise]; residual blocks without normalisation."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, noise: int) -> None:
        super().__init__()
        dims, doublings = shape.dims, levels(shape.size)
        coarse = base(shape.size, doublings)
        self.whole = tuple(side << doublings for side in coarse)
        fine_first = list(widths)[::-1]
        self.read = conv(dims, shape.channels, fine_first[0], 3)
        self.grids = nn.ModuleList(Branch(dims, width, 1.0, len(widths)) for width in fine_first)
        self.between = nn.ModuleList(conv(dims, a, b, 1, bias=False, gain=1.0)
                                     for a, b in pairwise(fine_first))
        self.code = linear(fine_first[-1] * math.prod(coarse), noise)

    def forward(self, images: Tensor) -> Tensor:
        x = self.read(border(images, self.whole))
        for i, grid in enumerate(self.grids):
            x = grid(self.between[i - 1](shrink(x)) if i else x)
        return self.code(F.leaky_relu(x, SLOPE).flatten(1))


class Autoencoder(nn.Module):
    """An encoder and a decoder; called with noise it is the decoder alone: [B, noise], [B, K] -> [B, C, *size]."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, noise: int = 32) -> None:
        super().__init__()
        self.noise, self.shape = noise, shape
        self.decoder = ResidualGenerator(shape, widths, noise=noise)
        self.encoder = Encoder(shape, widths, noise=noise)

    def forward(self, noise: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.decoder(noise, condition, mask)


class CodeCritic(nn.Module):
    """Codes [B, noise] beside conditions [B, K] -> scores [B]."""

    def __init__(self, noise: int, conditions: int, *, width: int = 128) -> None:
        super().__init__()
        self.net = nn.Sequential(linear(noise + conditions, width), nn.LeakyReLU(SLOPE), linear(width, width),
                                 nn.LeakyReLU(SLOPE), linear(width, 1))

    def forward(self, codes: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.net(with_condition(codes, condition)).squeeze(1)
