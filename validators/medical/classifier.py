"""A small convolutional network that learns a label or a number from images, for the downstream gate.

Its size and schedule are fixed and the same for every arm, so that arms differ by what they learn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synth.medical.evidence import Images
from validators.medical.augment import Changes, changed
from validators.medical.correlation import shrink

if TYPE_CHECKING:
    import torch

SIDE = {2: 48, 3: 20}  # images are shrunk to this for the classifier


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long a network trains, whatever it learns from."""

    steps: int = 200
    batch: int = 64
    width: int = 12
    rate: float = 4e-3
    fine_tune: float = 0.5  # share of the steps, and of the rate, of a fine-tuning


@dataclass(frozen=True)
class Lesson:
    """Images as the network sees them and their answers: class index, or a number on the scale of z-scores."""

    images: NDArray[np.float32]  # [n, channels, *size]
    answers: NDArray[np.float64]  # [n], finite

    def __add__(self, other: Lesson) -> Lesson:
        return Lesson(np.concatenate([self.images, other.images]), np.concatenate([self.answers, other.answers]))

    @classmethod
    def of(cls, images: Images, answers: NDArray[np.float64]) -> Lesson:
        """The images that have an answer."""
        keep = np.isfinite(answers)
        return cls(shrink(images.pixels[keep], SIDE[images.pixels.ndim - 2]), answers[keep])


@dataclass(frozen=True)
class Classifier:
    """A trained network."""

    network: torch.nn.Module
    classes: int  # 0: a number

    @classmethod
    def train(cls, lesson: Lesson, classes: int, *, seed: int, schedule: Schedule, changes: Changes | None = None,
              after: Classifier | None = None) -> Classifier:
        """Fit to ``lesson``, every class drawn equally often; ``after``: go on from that network, at a lower rate.

        ``changes`` are drawn anew for every batch. Deterministic by seed on one kind of machine.
        """
        import copy

        import torch

        with torch.random.fork_rng(devices=[]):  # weights and dropout draw from the global generator
            torch.manual_seed(seed % 2**31)
            network = (_network(lesson.images.shape[1:], schedule.width, max(classes, 1)) if after is None
                       else copy.deepcopy(after.network))
            _fit(network, lesson, classes, seed=seed, schedule=schedule, changes=changes, tuned=after is not None)
        return cls(network.eval(), classes)

    def predict(self, images: NDArray[np.float32], batch: int = 256) -> NDArray[np.float64]:
        """Class index, or the number, of each image [n, channels, *size]."""
        import torch

        with torch.no_grad():
            said = torch.cat([self.network(torch.from_numpy(images[begin : begin + batch]))
                              for begin in range(0, len(images), batch)])
        found = said.argmax(dim=1) if self.classes else said[:, 0]
        return np.asarray(found.double().numpy())


def _fit(network: torch.nn.Module, lesson: Lesson, classes: int, *, seed: int, schedule: Schedule,
         changes: Changes | None, tuned: bool) -> None:
    import torch
    import torch.nn.functional as functional

    random = torch.Generator().manual_seed(seed % 2**31)
    share = schedule.fine_tune if tuned else 1.0
    steps, rate = max(int(share * schedule.steps), 1), share * schedule.rate
    images, answers = torch.from_numpy(lesson.images), torch.from_numpy(lesson.answers)
    weights = torch.ones(len(answers))
    if classes:
        counts = torch.bincount(answers.long(), minlength=classes).clamp(min=1)
        weights = 1.0 / counts[answers.long()].float()
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-3)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    network.train()
    for _ in range(steps):
        rows = torch.multinomial(weights, schedule.batch, replacement=True, generator=random)
        seen = images[rows] if changes is None else changed(images[rows], changes, random)
        said = network(seen)
        loss = (functional.cross_entropy(said, answers[rows].long()) if classes
                else functional.mse_loss(said[:, 0], answers[rows].float()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()


def _network(shape: tuple[int, ...], width: int, outputs: int) -> torch.nn.Module:
    """Four stages, each half the size of the one before; the mean and the highest of each map decide."""
    import torch
    from torch import nn

    dims = len(shape) - 1
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
    layers: list[nn.Module] = []
    channels, wide = shape[0], width
    for stage in range(4):
        layers += [convolution(channels, wide, 3, stride=1 if stage == 0 and dims == 3 else 2, padding=1, bias=False),
                   norm(wide), nn.ReLU(), convolution(wide, wide, 3, padding=1, bias=False), norm(wide), nn.ReLU()]
        channels, wide = wide, wide + width

    class Pooled(nn.Module):
        """Mean and maximum over places: a lesion may fill the picture or a few pixels."""

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            flat = maps.flatten(2)
            return torch.cat([flat.mean(dim=2), flat.amax(dim=2)], dim=1)

    return nn.Sequential(*layers, Pooled(), nn.Dropout(0.2), nn.Linear(2 * channels, outputs))
