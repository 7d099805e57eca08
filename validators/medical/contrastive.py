"""A small encoder that learns, without labels, which changes leave an image the same one.

Two changed views of an image shall be near and other images far (SimCLR: Chen et al. 2020, arXiv 2002.05709), as in
the copy detector of Dar et al. 2025 (doi 10.1038/s41551-025-01468-8). They train on the training part; this one sees
train, holdout and reference alike, since an encoder that has met one part only tells its members apart from others
whether or not anything leaked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synth.seeds import derive
from validators.medical.augment import Changes, changed
from validators.medical.correlation import shrink

if TYPE_CHECKING:
    import torch

SIDE = {2: 32, 3: 16}  # images are shrunk to this for the encoder


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long the encoder trains, whatever the number of images."""

    steps: int = 600  # after 300 it finds half of the copies planted among phantoms, after 600 three quarters
    batch: int = 96
    width: int = 16
    dimensions: int = 64
    rate: float = 3e-3
    temperature: float = 0.1


@dataclass(frozen=True)
class Contrastive:
    """Distances between unit vectors of the encoder."""

    network: torch.nn.Module
    name: str = "encoder"
    title: str = "distance in a self-supervised encoder"

    @classmethod
    def fit(cls, pixels: NDArray[np.uint16], *, seed: int, schedule: Schedule | None = None) -> Contrastive:
        """Train on all real images [n, channels, *size]; deterministic by seed (on one kind of machine)."""
        import torch
        import torch.nn.functional as functional

        plan = schedule or Schedule()
        dims, random = pixels.ndim - 2, torch.Generator().manual_seed(derive(seed, "contrastive") % 2**31)
        images = torch.from_numpy(shrink(pixels, SIDE[dims]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "contrastive", "weights") % 2**31)
            network = _network(images.shape[1:], plan.width, plan.dimensions)
        batch = min(plan.batch, len(images))
        changes = Changes(flips=(dims - 1,))  # a mirrored copy is a copy, wherever the heart is
        optimiser = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=1e-4)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps)
        partner = torch.arange(2 * batch).roll(batch)
        for _ in range(plan.steps):
            chosen = images[torch.randperm(len(images), generator=random)[:batch]]
            views = torch.cat([changed(chosen, changes, random), changed(chosen, changes, random)])
            vectors = functional.normalize(network(views), dim=1)
            similar = vectors @ vectors.T / plan.temperature
            similar = similar - 1e9 * torch.eye(2 * batch)
            loss = functional.cross_entropy(similar, partner)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rates.step()
        return cls(network.eval())

    def vectors(self, pixels: NDArray[np.uint16], batch: int = 256) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dimensions]."""
        import torch

        images = torch.from_numpy(shrink(pixels, SIDE[pixels.ndim - 2]))
        with torch.no_grad():
            found = [torch.nn.functional.normalize(self.network(images[begin : begin + batch]), dim=1).numpy()
                     for begin in range(0, len(images), batch)]
        return np.concatenate(found) if found else np.zeros((0, 1), np.float32)

    def nearest(self, queries: NDArray[np.uint16], pieces: list[NDArray[np.uint16]]) -> tuple[np.ndarray, np.ndarray]:
        """Distances float64 [n, pieces] to the nearest image of each piece, and which it is, int64 [n, pieces]."""
        points = self.vectors(queries)
        distance = np.zeros((len(queries), len(pieces)))
        index = np.zeros((len(queries), len(pieces)), np.int64)
        for number, piece in enumerate(pieces):
            targets = self.vectors(piece).T
            for begin in range(0, len(points), 1024):
                similar = points[begin : begin + 1024] @ targets
                at = similar.argmax(axis=1)
                best = similar[np.arange(len(at)), at].astype(np.float64)
                distance[begin : begin + 1024, number] = np.sqrt(np.maximum(2 - 2 * best, 0))
                index[begin : begin + 1024, number] = at
        return distance, index


def _network(shape: torch.Size, width: int, dimensions: int) -> torch.nn.Module:
    """Four halvings at most, then a linear map of what is left of the picture (not of its mean: place matters)."""
    from torch import nn

    dims = len(shape) - 1
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
    instance = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d
    pool = nn.AdaptiveAvgPool2d if dims == 2 else nn.AdaptiveAvgPool3d
    layers: list[nn.Module] = [instance(shape[0])]
    channels, wide = shape[0], width
    for _ in range(3):
        layers += [convolution(channels, wide, 3, stride=2, padding=1, bias=False), norm(wide), nn.ReLU(),
                   convolution(wide, wide, 3, padding=1, bias=False), norm(wide), nn.ReLU()]
        channels, wide = wide, wide + width
    side = 4 if dims == 2 else 2
    return nn.Sequential(*layers, pool(side), nn.Flatten(), nn.Linear(channels * side**dims, dimensions))
