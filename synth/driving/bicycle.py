"""The kinematic bicycle: how a vehicle moves under an acceleration and a steering, and which ones a drive came from.

A control is (acceleration along the vehicle, acceleration across it), m/s^2; the second is what steering makes of the
speed, ``v^2`` times the curvature of the path. What comes out of :func:`advance` keeps the friction circle, the
curvature that a steering can reach and speeds from standstill to a bound, whatever is asked of it: feasible by
construction, and differentiable. Between two steps the mean of speeds and headings is driven along, so that
:func:`controls` finds from two states what led from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synth.driving.layout import columns
from synth.driving.safety import GRAVITY

SLOWEST = 3.0  # m/s: below it, steering is scaled as if the vehicle were this fast, or it could not turn at all


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a road vehicle can do at most."""

    acceleration: float = 4.5  # m/s^2, of the engine
    braking: float = 9.0  # m/s^2, on a dry road
    across: float = 5.0  # m/s^2: half a g is where a car on the road begins to slide or its driver gives up
    curvature: float = 0.18  # 1/m: a turning circle of 11 m
    speed: float = 50.0  # m/s; the gate calls more than 50.8 impossible
    grip: float = 0.92  # share of the friction that is used: what is measured between steps may be a little more
    heading: float = 1.0  # rad from the road's direction


BOUNDS = Bounds()


def advance(state: Tensor, control: Tensor, friction: Tensor, dt: float, bounds: Bounds = BOUNDS) -> Tensor:
    """The state [..., 4] one step of ``dt`` seconds on, under ``control`` [..., 2] and ``friction`` [...]."""
    s, d, heading, speed = state.unbind(-1)
    circle = bounds.grip * GRAVITY * friction
    along = torch.minimum(torch.maximum(control[..., 0], -circle.clamp(max=bounds.braking)),
                          circle.clamp(max=bounds.acceleration))
    faster = (speed + along * dt).clamp(0.0, bounds.speed)
    real = (faster - speed) / dt
    room = (circle.square() - real.square()).clamp(min=1e-4).sqrt().clamp(max=bounds.across)
    mean = (speed + faster) / 2
    across = torch.minimum(torch.maximum(control[..., 1], -room), room)
    curvature = (across / mean.clamp(min=SLOWEST).square()).clamp(-bounds.curvature, bounds.curvature)
    turned = (heading + mean * curvature * dt).clamp(-bounds.heading, bounds.heading)
    way, course = mean * dt, (heading + turned) / 2
    return columns([s + way * course.cos(), d + way * course.sin(), turned, faster])


def controls(before: Tensor, after: Tensor, dt: float) -> Tensor:
    """The controls [..., 2] that lead from one state to the other in speed and heading; exact inside the bounds."""
    faster, speed = after[..., 3], before[..., 3]
    mean = (speed + faster) / 2
    curvature = (after[..., 2] - before[..., 2]) / (mean.clamp(min=1e-3) * dt)
    return columns([(faster - speed) / dt, curvature * mean.clamp(min=SLOWEST).square()])


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracking:
    """How firmly a recorded drive is followed by a vehicle that is beside it (critically damped)."""

    along: float = 0.6  # 1/s
    across: float = 1.1  # 1/s


TRACKING = Tracking()


def track(recorded: Tensor, friction: Tensor, dt: float, *, kicks: Tensor | None = None,
          tracking: Tracking = TRACKING, bounds: Bounds = BOUNDS) -> tuple[Tensor, Tensor]:
    """Follow recorded states [..., T, 4] on the bicycle: (states [..., T, 4], controls [..., T - 1, 2]).

    A recording that a bicycle can drive is driven exactly. One that contradicts itself (positions from one sensor,
    speeds from another) is followed closely. ``kicks`` [..., T, 4] are added to the state at each step; the controls
    that follow lead back to the recording, which is what a policy must know that is never quite where the recorded
    driver was (Ross et al. 2011; Bansal et al. 2018).
    """
    meant = controls(recorded[..., :-1, :], recorded[..., 1:, :], dt)
    state = recorded[..., 0, :] if kicks is None else recorded[..., 0, :] + kicks[..., 0, :]
    states, used = [state], []
    for t in range(recorded.shape[-2] - 1):
        there, (s, d, heading, speed) = recorded[..., t, :], state.unbind(-1)
        fast = there[..., 3].clamp(min=SLOWEST)
        along = (meant[..., t, 0] + 2 * tracking.along * (there[..., 3] - speed)
                 + tracking.along ** 2 * (there[..., 0] - s))
        across = (meant[..., t, 1] + 2 * tracking.across * fast * (there[..., 2] - heading)
                  + tracking.across ** 2 * (there[..., 1] - d))
        after = advance(state, torch.stack([along, across], -1), friction, dt, bounds)
        used.append(controls(state, after, dt))  # as the bounds left them
        state = after if kicks is None else after + kicks[..., t + 1, :]
        if kicks is not None:
            state = torch.cat([state[..., :3], state[..., 3:].clamp(min=0.0)], -1)
        states.append(state)
    return torch.stack(states, -2), torch.stack(used, -2)

