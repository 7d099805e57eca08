"""A generator that learns from noisy mean features, and from a critic if there is one; it is handed no real image.

First its images' mean features are brought near the noisy ones (the squared distance of two means, estimated without
bias from the two halves of a batch, so that noise in a batch does not pull towards images that are all alike). Then,
where the budget keeps a share for it, a critic joins whose gradient on real images comes noised, from outside
(DP-SGD on the critic alone: Xie et al. 2018). Nothing is validated and nothing stops early: both would read images.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synth.medical.canvas import Canvas
from synth.medical.private.features import Features, told
from synth.medical.private.plan import Plan
from synth.progress import Progress

Gradients = Callable[[], dict[str, Tensor]]  # of the critic's loss on real images, noised: one call a step
SMALLEST = 0.02  # share of a condition below which it weighs as if it had that much
CURVE = 100  # points of the loss curve


class Student:
    """A generator, the noisy mean it should have, and the conditions (of rows that are nobody's) it is trained on."""

    def __init__(self, generator: nn.Module, canvas: Canvas, conditions: Tensor, mean: Tensor, plan: Plan) -> None:
        self.generator, self.canvas, self.conditions, self.plan = generator, canvas, conditions, plan
        shape = generator.shape
        device = next(generator.parameters()).device
        self.look = Features(canvas.width, shape.size).to(device)  # type: ignore[arg-type]
        self.conditions, self.mean = conditions.to(device), mean.to(device)
        self.weight = 1 / told(self.conditions).square().mean(0).clamp_min(SMALLEST**2).sqrt()
        self.average = copy.deepcopy(generator).eval()

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Canvases and their conditions; differentiable."""
        place = torch.randint(len(self.conditions), (count,), device=self.conditions.device)
        given = self.conditions[place]
        made = torch.randn(count, self.plan.noise, device=given.device)
        return self.canvas.finish(self.generator(made, given, None)), given

    def distance(self, canvases: Tensor, given: Tensor) -> Tensor:
        """Squared distance of mean features, unbiased: it can be below 0."""
        features, half = self.look(canvases), len(given) // 2
        sides = told(given)
        one, two = ((features[rows].T @ sides[rows] / len(sides[rows]) - self.mean) * self.weight
                    for rows in (slice(0, half), slice(half, None)))
        return (one * two).sum()

    def remember(self, step: int) -> None:
        """The average of weights that is released."""
        memory = min(0.995, (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, now in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                kept.lerp_(now, 1 - memory)


def match(student: Student, steps: int, progress: Progress) -> dict[str, Any]:
    """Bring the generator's mean features to the noisy ones; a phase of the history."""
    plan, began, curve = student.plan, time.monotonic(), []
    optimiser = torch.optim.Adam(student.generator.parameters(), plan.rate, (0.5, 0.99))
    with progress.step("training: mean features", steps) as shown:
        for step in range(steps):
            _rate(optimiser, plan.rate, step / steps)
            loss = student.distance(*student.draw(plan.batch))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            student.remember(step)
            if step % max(1, steps // CURVE) == 0:
                curve.append({"step": step, "distance": round(loss.item(), 6)})
                shown.update(step, f"distance {loss.item():.4f}")
    return _phase("mean features", "mean features", steps, began, curve)


def spar(student: Student, critic: nn.Module, gradients: Gradients, steps: int, progress: Progress) -> dict[str, Any]:
    """Go on with a critic that meets real images through ``gradients`` alone; a phase of the history."""
    plan, began, curve = student.plan, time.monotonic(), []
    makes = torch.optim.Adam(student.generator.parameters(), plan.rate / 4, (0.5, 0.99))
    judges = torch.optim.Adam(critic.parameters(), plan.critic_rate, (0.5, 0.9))
    with progress.step("training: critic", steps) as shown:
        for step in range(steps):
            _rate(makes, plan.rate / 4, step / steps)
            noised = gradients()
            canvases, given = student.draw(plan.critic_batch)
            judges.zero_grad()
            F.softplus(critic(canvases.detach(), given, None)).mean().backward()
            for name, parameter in critic.named_parameters():
                if parameter.grad is not None:
                    parameter.grad += noised[name].to(parameter)
            judges.step()
            canvases, given = student.draw(plan.batch)
            fooled = F.softplus(-critic(canvases, given, None)).mean()
            loss = student.distance(canvases, given) + plan.adversarial * fooled
            makes.zero_grad()
            loss.backward()
            makes.step()
            student.remember(10_000)
            if step % max(1, steps // CURVE) == 0:
                curve.append({"step": step, "generator": round(fooled.item(), 6)})
                shown.update(step, f"generator {fooled.item():.3f}")
    return _phase("critic", "non-saturating", steps, began, curve)


def _rate(optimiser: torch.optim.Optimizer, rate: float, share: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * (0.51 + 0.49 * math.cos(math.pi * share))


def _phase(name: str, objective: str, steps: int, began: float, curve: list[dict[str, float]]) -> dict[str, Any]:
    return {"name": name, "objective": objective, "steps": steps, "seconds": round(time.monotonic() - began, 1),
            "validation": None, "curve": curve}
