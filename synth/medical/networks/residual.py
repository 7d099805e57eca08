"""The default pair: residual networks without any normalisation, after R3GAN (Huang et al. 2024).

What makes them train is in the start: each residual branch ends in a convolution that is zero, and the ones before it
are scaled down with the number of branches (Fixup, Zhang et al. 2019). The class goes into the latent by
concatenation, and into the critic by projection (Miyato & Koyama 2018). A mask, where one is given, is added to the
features of every grid.

Two things differ from that paper, because widths here are a tenth of theirs. The latent is mapped to the whole
coarsest grid and shifts every other one: a learnt constant whose few channels it scales spans too little. And the
critic sees how much a few records of like condition differ (:class:`Spread`): without it a class shrinks to a few
pictures long before the critic, record by record, has found that out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synth.medical.networks.layers import (
    GAIN,
    SLOPE,
    base,
    border,
    conv,
    crop,
    grow,
    levels,
    linear,
    resize,
    shrink,
    with_condition,
)
from synth.medical.shape import ImageShape

SHIFT = 0.5  # gain of what the latent adds to each grid after the first
GROUP = 4  # records whose spread the critic sees
CARDINALITY = 32  # channels of a group of the middle convolution; narrower groups are no faster on a processor


class Branch(nn.Module):
    """``x + 1x1(3x3(1x1(x)))``: the middle convolution in groups, the last one zero at the start."""

    def __init__(self, dims: int, width: int, expansion: float, branches: int) -> None:
        super().__init__()
        inner = max(1, round(width * expansion))
        groups = inner // CARDINALITY if inner % CARDINALITY == 0 else 1
        gain = GAIN * branches ** -0.25  # Fixup's L ** (-1 / (2 m - 2)) of branches with m = 3 layers
        self.first = conv(dims, width, inner, 1, gain=gain)
        self.middle = conv(dims, inner, inner, 3, groups=groups, gain=gain)
        self.last = conv(dims, inner, width, 1, bias=False, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.first(x), SLOPE)
        return x + self.last(F.leaky_relu(self.middle(y), SLOPE))


class ResidualGenerator(nn.Module):
    """Noise [B, noise], conditions [B, K] and, where there are masks, one-hot [B, classes, *size] -> [B, C, *size].

    ``widths``: channels of each grid, from the coarsest to that of the image. The output is not squashed.
    """

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, noise: int = 64, blocks: int = 1,
                 expansion: float = 1.0) -> None:
        super().__init__()
        self.noise, self.shape, dims = noise, shape, shape.dims
        coarse, branches = base(shape.size, levels(shape.size)), blocks * len(widths)
        self.embed = linear(shape.conditions, noise, bias=False) if shape.conditions else None
        latent = noise * (2 if shape.conditions else 1)
        self.coarse = coarse
        self.start = linear(latent, widths[0] * math.prod(coarse))
        self.shifts = nn.ModuleList(linear(latent, width, gain=SHIFT) for width in widths[1:])
        self.grids = nn.ModuleList(
            nn.Sequential(*(Branch(dims, width, expansion, branches) for _ in range(blocks))) for width in widths)
        self.between = nn.ModuleList(
            nn.Identity() if a == b else conv(dims, a, b, 1, bias=False, gain=1.0)
            for a, b in pairwise(widths))
        self.masks = nn.ModuleList(conv(dims, shape.classes, width, 1, gain=1.0) for width in widths
                                   if shape.classes)
        self.paint = conv(dims, widths[-1], shape.channels, 1, gain=1.0)

    def forward(self, noise: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        latent = noise if self.embed is None else with_condition(noise, self.embed(condition))
        x = self.start(latent).reshape(len(latent), -1, *self.coarse)
        x = x.contiguous(memory_format=torch.channels_last if self.shape.dims == 2 else torch.channels_last_3d)
        whole = None if mask is None else border(mask, [side << len(self.between) for side in x.shape[2:]])
        for i, grid in enumerate(self.grids):
            if i:
                x = grow(self.between[i - 1](x))
                shift = self.shifts[i - 1](latent)
                x = x + shift.reshape(*shift.shape, *[1] * self.shape.dims)
            if whole is not None:
                x = x + self.masks[i](resize(whole, x.shape[2:]))
            x = grid(x)
        return crop(self.paint(F.leaky_relu(x, SLOPE)), self.shape.size)


class Spread(nn.Module):
    """What a group's standard deviations of features add to them: [B, F], [B, K] -> [B, F].

    Minibatch deviation (Karras et al. 2018) of every feature apart, and among records of like condition: in a batch
    of many classes the deviation of a mixed group hides that one class has collapsed. A critic in eval mode scores
    each record for itself, with the deviations that training usually saw.
    """

    usual: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.add = linear(width, width)
        self.register_buffer("usual", torch.zeros(width))

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        groups = len(features) // GROUP
        if not self.training or not groups:
            return self.add(self.usual.expand_as(features))
        with torch.no_grad():  # labels sort like words, the first column first
            weights = 2.0 ** -torch.arange(condition.shape[1], device=features.device)
            order = torch.argsort((condition.float() * weights).sum(1), stable=True)
            member = torch.empty_like(order)
            member[order] = torch.arange(len(order), device=order.device) * groups // len(order)
            size = torch.bincount(member, minlength=groups)[:, None]
        nothing = features.new_zeros(groups, features.shape[1])
        means = nothing.index_add(0, member, features) / size
        squares = nothing.index_add(0, member, (features - means[member]).square()) / size
        deviations = (squares + 1e-6).sqrt()
        with torch.no_grad():
            self.usual.lerp_(deviations.mean(0), 0.01)
        return self.add(deviations)[member]


class ResidualCritic(nn.Module):
    """Images [B, C, *size], conditions [B, K] and masks [B, classes, *size] or None -> scores [B]."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, blocks: int = 1, expansion: float = 1.0) -> None:
        super().__init__()
        self.shape, dims = shape, shape.dims
        doublings = levels(shape.size)
        coarse = base(shape.size, doublings)
        self.whole = tuple(side << doublings for side in coarse)
        fine_first, branches = list(widths)[::-1], blocks * len(widths)
        self.read = conv(dims, shape.channels + shape.classes, fine_first[0], 1, gain=1.0)
        self.grids = nn.ModuleList(
            nn.Sequential(*(Branch(dims, width, expansion, branches) for _ in range(blocks))) for width in fine_first)
        self.between = nn.ModuleList(
            nn.Identity() if a == b else conv(dims, a, b, 1, bias=False, gain=1.0)
            for a, b in pairwise(fine_first))
        self.gather = nn.Parameter(torch.randn(fine_first[-1], *coarse) / math.sqrt(math.prod(coarse)))
        self.spread = Spread(fine_first[-1])
        self.score = linear(fine_first[-1], 1)
        self.project = linear(shape.conditions, fine_first[-1], bias=False) if shape.conditions else None

    def forward(self, images: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        x = border(images if mask is None else torch.cat([images, mask.to(images.dtype)], 1), self.whole)
        x = self.read(x)
        for i, grid in enumerate(self.grids):
            if i:
                x = self.between[i - 1](shrink(x))
            x = grid(x)
        # one weight for each channel and place of the coarsest grid: R3GAN's depthwise convolution as large as it
        features = (x.float() * self.gather).flatten(2).sum(2)
        features = F.leaky_relu(features + self.spread(features, condition), SLOPE)
        score = self.score(features).squeeze(1)
        if self.project is not None:
            score = score + (self.project(condition) * features).sum(1) / math.sqrt(features.shape[1])
        return score
