"""How images are trained under a budget: frozen figures, none of which is taken from the images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from synth.contract.model import Training
from synth.domain import RECIPES
from synth.errors import UserError

NAME = "medical/private"  # of the recipe that a budget brings with it


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Shares are of the budget's squared mu. What ``listing`` and ``critic`` leave goes to the mean features."""

    listing: float = 0.10  # of the table that lists the images
    critic: float = 0.0  # of training a critic by noisy gradients; 0: there is none
    images: float = 200_000.0  # generated while the generator learns from the mean features, times the effort
    batch: int = 64
    rate: float = 2e-3
    noise: int = 64
    width: float = 1.0
    critic_steps: int = 400  # each with a Poisson sample of about ``critic_batch`` real images
    critic_batch: int = 128
    critic_rate: float = 5e-4
    critic_norm: float = 1.0  # to which a patient's gradient is clipped
    adversarial: float = 0.02  # weight of the critic beside the distance of mean features

    def __post_init__(self) -> None:
        for name in ("images", "batch", "rate", "noise", "width", "critic_steps", "critic_batch", "critic_rate",
                     "critic_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"option {name!r} of the training must be above 0")
        if not (0 < self.listing < 1 and self.critic >= 0 and self.listing + self.critic < 1):
            raise UserError("the shares 'listing' and 'critic' of the budget must leave some for the mean features",
                            todo="e.g. {listing: 0.1, critic: 0}")


def of(training: Training) -> Plan:
    """The plan of a contract with a budget; :class:`UserError` for a recipe that would read images without noise."""
    if training.recipe not in (RECIPES["medical"], NAME):
        raise UserError(f"recipe {training.recipe!r} reads images without noise",
                        todo=f"remove it: a budget brings its own way of training images ({NAME})")
    plan = Plan()
    fields = [f.name for f in dataclasses.fields(Plan)]
    changed: dict[str, Any] = {}
    for name, value in training.options:
        if name not in fields:
            raise UserError(f"training under a budget has no option {name!r}", todo=f"options: {', '.join(fields)}")
        like = getattr(plan, name)
        if isinstance(value, bool | str) or (isinstance(like, int) and value != int(value)):
            raise UserError(f"option {name!r} must be a {'whole ' if isinstance(like, int) else ''}number")
        changed[name] = type(like)(value)
    return dataclasses.replace(plan, **changed)
