"""What the critic and the generator minimise, as functions of the critic's scores alone: [B], or [B, patches]."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Objective = Callable[..., Tensor]  # (real scores, fake scores) -> scalar


def logistic_critic(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of real against generated, scores as logits (Goodfellow et al. 2014).

    With one-sided label smoothing (Salimans et al. 2016) the target of real records is ``1 - smoothing``.
    """
    loss = F.softplus(-real).mean() + F.softplus(fake).mean()
    return loss + smoothing * real.mean() if smoothing else loss


def minimax_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Goodfellow et al. 2014, equation 1: the generator raises the critic's own loss; flat where the critic wins."""
    return -F.softplus(fake).mean()


def non_saturating_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Goodfellow et al. 2014, section 3: the generator raises the log-probability of being taken for real."""
    return F.softplus(-fake).mean()


def least_squares_critic(real: Tensor, fake: Tensor) -> Tensor:
    """LSGAN (Mao et al. 2017): real scores to one, generated ones to zero."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def least_squares_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Generated scores to one."""
    return (fake - 1).square().mean() / 2


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss (Lim and Ye 2017; Miyato et al. 2018): nothing more to gain beyond a margin of one."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Arjovsky et al. 2017: the critic widens the gap of mean scores."""
    return fake.mean() - real.mean()


def wasserstein_generator(real: Tensor, fake: Tensor) -> Tensor:
    """The generator raises its own mean score; also the generator's side of the hinge loss."""
    return -fake.mean()


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic pairing, RpGAN (Jolicoeur-Martineau 2018; Huang et al. 2024, R3GAN): real above fake, row by row."""
    return F.softplus(-(real - fake)).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """The mirror image: fake above real."""
    return F.softplus(-(fake - real)).mean()


OBJECTIVES: dict[str, tuple[Objective, Objective]] = {
    "minimax": (logistic_critic, minimax_generator),
    "non-saturating": (logistic_critic, non_saturating_generator),
    "least-squares": (least_squares_critic, least_squares_generator),
    "hinge": (hinge_critic, wasserstein_generator),
    "wasserstein": (wasserstein_critic, wasserstein_generator),
    "relativistic": (relativistic_critic, relativistic_generator),
}
PAIRED = frozenset({"relativistic"})  # the generator's side looks at real scores, too
SMOOTHED = frozenset({"minimax", "non-saturating"})  # the critic's side takes ``smoothing``: real is a target there
BOUNDARY = {"minimax": 0.0, "non-saturating": 0.0, "hinge": 0.0, "least-squares": 0.5}  # score between real and fake
