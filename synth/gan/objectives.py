"""What the critic and the generator minimise, as functions of the critic's scores alone. Scores are [B]."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Objective = Callable[[Tensor, Tensor], Tensor]


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Arjovsky et al. 2017: the critic widens the gap of mean scores."""
    return fake.mean() - real.mean()


def wasserstein_generator(real: Tensor, fake: Tensor) -> Tensor:
    """The generator raises its own mean score."""
    return -fake.mean()


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic pairing, RpGAN (Jolicoeur-Martineau 2018; Huang et al. 2024, R3GAN): real above fake, row by row."""
    return F.softplus(-(real - fake)).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """The mirror image: fake above real."""
    return F.softplus(-(fake - real)).mean()


OBJECTIVES: dict[str, tuple[Objective, Objective]] = {
    "wasserstein": (wasserstein_critic, wasserstein_generator),
    "relativistic": (relativistic_critic, relativistic_generator),
}
