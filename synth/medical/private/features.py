"""Fixed random features of canvases whose length is at most one, so that a sum of them can be noised.

The mean of such features is what a private release may know of a set of images (DP-MERF, Harder, Adamczewski and Park
2021): with random Fourier features (Rahimi and Recht 2007) two means are near if the sets are alike to a Gaussian
kernel. Here there are several kernels: of the image at a few resolutions, and of small windows, averaged over the
cells of a coarse grid, which see texture and edges. Frequencies are drawn from a fixed seed and are public.

A record also has a condition; the feature of both is the outer product with (1, condition), cut to length one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synth.medical.networks.layers import resize
from synth.seeds import derive

SIDES = (4, 8, 16)  # grids on which the whole image is looked at
WINDOWS = (3, 7)  # sides of the small windows, of which every second is looked at
CELLS = 4  # side of the grid over which windows are averaged
SPREAD = 0.5  # deviation of a canvas' samples, which lie in [-1, 1], that the kernels are made for
WIDTHS = (0.5, 1.0, 2.0)  # of the kernels, in units of that


class Features(nn.Module):
    """Canvases [B, C, H, W] in [-1, 1] -> [B, count], each of length at most 1 whatever the canvas holds."""

    frequencies: Tensor

    def __init__(self, channels: int, size: Sequence[int], *, whole: int = 400, windows: int = 32) -> None:
        super().__init__()
        self.size, rng = tuple(size), torch.Generator().manual_seed(derive(0, "private features"))
        self.sides = tuple(side for side in SIDES if side < min(size))
        self.grids = [tuple(min(side, s) for s in size) for side in self.sides] + [self.size]
        self.wholes = nn.ParameterList()
        for grid in self.grids:
            places = channels * math.prod(grid)
            self.wholes.append(_frequencies(whole, places, rng))
        self.windows = nn.ParameterList()
        for side in WINDOWS:
            self.windows.append(_frequencies(windows, channels * side * side, rng).reshape(
                windows, channels, side, side))
        cells = math.prod(min(CELLS, s) for s in size)
        self.count = 2 * (whole * len(self.wholes) + windows * cells * len(WINDOWS))
        self.blocks = len(self.wholes) + len(WINDOWS)

    def forward(self, canvas: Tensor) -> Tensor:
        """Every block has length at most 1, all together too."""
        parts = []
        for grid, frequencies in zip(self.grids, self.wholes, strict=True):
            angle = resize(canvas, grid).flatten(1) @ frequencies.T
            parts.append(torch.cat([angle.cos(), angle.sin()], 1) / math.sqrt(angle.shape[1]))
        for side, weight in zip(WINDOWS, self.windows, strict=True):
            angle = F.conv2d(canvas, weight, padding=side // 2, stride=2)
            both = torch.cat([angle.cos(), angle.sin()], 1) / math.sqrt(angle.shape[1])
            cells = F.adaptive_avg_pool2d(both, (min(CELLS, both.shape[2]), min(CELLS, both.shape[3])))
            parts.append(cells.flatten(1) / math.sqrt(math.prod(cells.shape[2:])))
        return torch.cat(parts, 1) / math.sqrt(self.blocks)


def _frequencies(count: int, places: int, rng: torch.Generator) -> nn.Parameter:
    """Frequencies [count, places] of Gaussian kernels of a few widths."""
    widths = torch.tensor(WIDTHS).repeat(-(-count // len(WIDTHS)))[:count, None]
    drawn = torch.randn(count, places, generator=rng) / (widths * SPREAD * math.sqrt(places))
    return nn.Parameter(drawn, requires_grad=False)


def told(condition: Tensor) -> Tensor:
    """(1, condition) [B, 1 + K], cut to length at most 1: what a record's features are multiplied by."""
    whole = torch.cat([condition.new_ones(len(condition), 1), condition], 1)
    return whole / whole.norm(dim=1, keepdim=True).clamp_min(1.0)
