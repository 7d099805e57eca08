"""Drivers who do what their header says and nothing else: no network, nothing learnt.

Each vehicle gets the control that its plan asks for by itself (:func:`synth.driving.features.planned`), bounded by the
reflexes that every driver has (:mod:`synth.driving.reflexes`): a driver model of rules, like those of simulators.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synth.driving.plan import Plan, facts
from synth.driving.rollout import roll_out
from synth.driving.scenes import SceneShape
from synth.driving.together import driven

BATCH = 512  # scenes driven at once


class Obedient(nn.Module):
    """A policy with one bin of no width: it never adds anything to the plan."""

    reflexes, smooth, cool, sizes = True, False, (1.0, 1.0), (1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.along, self.across = torch.zeros(2), torch.zeros(2)

    def begin(self, static: Tensor) -> tuple[Tensor, Tensor]:
        """There is nothing to remember."""
        return static[..., :1], static[..., :1]

    def step(self, seen: Tensor, still: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Equal logits of both controls' only bin."""
        return torch.zeros(*seen.shape[:-1], 2), memory


def obey(plan: Plan, shape: SceneShape) -> NDArray[np.float32]:
    """States float32 [n, K, T, 4] of drives by rules; there is no chance in them."""
    driver: Any = Obedient()
    return driven(lambda part, _: roll_out(driver, torch.from_numpy(part.start), facts(part, shape.steps, shape.dt),
                                           shape.dt, rng=torch.Generator().manual_seed(0)),
                  plan, shape.steps, at_once=BATCH)
