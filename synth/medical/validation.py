"""How good a generator is while it trains: distances of features on patients who were held back.

The features are an untrained convolutional network's and the image at low resolution, so that the gates' own
feature spaces stay unseen. Two figures are added: the kernel distance (KID's unbiased estimate, Binkowski et al.
2018, on principal components) and the share of held-back images without a generated one in their neighbourhood
(one minus coverage, Naeem et al. 2020), which is what a collapsing generator raises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from synth.medical.networks.layers import resize
from synth.seeds import derive, generator

SIDE = {2: 64, 3: 32}  # longest side that is looked at, by the number of axes
COARSE = {2: 8, 3: 4}  # side of the low-resolution image
STAGES, WIDTH = 3, 32
COMPONENTS = 64
NEIGHBOURS = 5
LEAST, MOST = 50, 1000  # held-back images: with fewer, train images are compared with; more add nothing


class Features(nn.Module):
    """Images [B, C, *size] -> [B, F] by an untrained network with fixed weights, and the low-resolution image."""

    def __init__(self, channels: int, size: Sequence[int]) -> None:
        super().__init__()
        self.dims = len(size)
        factor = max(1, math.ceil(max(size) / SIDE[self.dims]))
        self.size = tuple(math.ceil(side / factor) for side in size)
        self.coarse = tuple(min(side, COARSE[self.dims]) for side in size)
        rng = torch.Generator().manual_seed(derive(0, "validation features"))
        self.weights = nn.ParameterList()
        for stage in range(STAGES):
            inputs = WIDTH if stage else channels
            weight = torch.randn(WIDTH, inputs, *[3] * self.dims, generator=rng) / math.sqrt(inputs * 3**self.dims)
            self.weights.append(nn.Parameter(weight, requires_grad=False))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        x = resize(images, self.size)
        parts = [resize(images, self.coarse).flatten(1)]
        convolve = F.conv2d if self.dims == 2 else F.conv3d
        for weight in self.weights:
            x = F.leaky_relu(convolve(x, weight, stride=2, padding=1), 0.2)
            flat = x.flatten(2)
            parts += [flat.mean(2), flat.std(2, unbiased=False)]
        return torch.cat(parts, 1)


class Validation:
    """Compares generated images with ``real`` [n, C, *size]; the figures' scale comes from these alone."""

    def __init__(self, real: Tensor) -> None:
        self.features = Features(real.shape[1], real.shape[2:]).to(real.device)
        raw = self._raw(real)
        self.mean, spread = raw.mean(0), raw.std(0)
        # a feature that hardly varies among real images must not decide alone
        self.scale = spread.clamp_min(0.05 * float(spread.max()) + 1e-12)
        _, sizes, axes = torch.linalg.svd((raw - self.mean) / self.scale, full_matrices=False)
        self.axes = axes[:COMPONENTS].T * math.sqrt(len(real) * len(sizes[:COMPONENTS])) / sizes[:COMPONENTS].norm()
        self.real = self._project(raw)
        distances = torch.cdist(self.real, self.real).fill_diagonal_(math.inf)
        self.radius = distances.kthvalue(min(NEIGHBOURS, max(1, len(real) - 1)), dim=1).values
        self.within = kernel(self.real, self.real, diagonal=False)

    def _raw(self, images: Tensor) -> Tensor:
        return torch.cat([self.features(part) for part in images.split(128)]).double()

    def _project(self, raw: Tensor) -> Tensor:
        return ((raw - self.mean) / self.scale) @ self.axes

    def __call__(self, fake: Tensor) -> tuple[float, float]:
        """(kernel distance, coverage) of generated images [m, C, *size]."""
        drawn = self._project(self._raw(fake))
        distance = self.within + kernel(drawn, drawn, diagonal=False) - 2 * kernel(self.real, drawn)
        covered = (torch.cdist(self.real, drawn).amin(1) <= self.radius).double().mean()
        return float(distance), float(covered)


def kernel(one: Tensor, other: Tensor, *, diagonal: bool = True) -> float:
    """Mean of ``(x . y / d + 1) ** 3`` over pairs of rows; without the diagonal, over pairs of different rows."""
    values = (one @ other.T / one.shape[1] + 1) ** 3
    total, pairs = float(values.sum()), values.numel()
    if not diagonal:
        total, pairs = total - float(values.diagonal().sum()), pairs - len(one)
    return total / max(1, pairs)


def held_back(entities: NDArray[np.int64], seed: int, share: float = 0.1) -> NDArray[np.bool_]:
    """Mask of the images held back from training: whole patients, about ``share`` of the images, at most 1,000.

    None are held back where fewer than 50 would be.
    """
    wanted = min(MOST, int(share * len(entities)))
    if wanted < LEAST:
        return np.zeros(len(entities), dtype=bool)
    codes, inverse, counts = np.unique(entities, return_inverse=True, return_counts=True)
    order = generator(seed, "validation").permutation(len(codes))
    taken = np.zeros(len(codes), dtype=bool)
    taken[order[np.cumsum(counts[order]) <= wanted]] = True
    return taken[inverse.reshape(-1)]
