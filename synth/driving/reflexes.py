"""What any driver does at the last moment, whatever they had in mind: stay on the road, not brush whoever is alongside,
brake when there is no other way.

Bounds on a control, as control barrier functions of second order (Ames et al. 2019; Xiao and Belta 2019): a distance
``h`` that must stay positive does if its second derivative is at least ``-2 w h' - w^2 h``. In ordinary driving no
bound is reached. Only minima and maxima, so gradients pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from synth.driving.plan import Facts

EDGE, ALONGSIDE = 1.5, 1.3  # 1/s: how late one turns away from the edge, and from a neighbour
SPARE = 0.1  # m left at the edge
BESIDE = 0.25  # m between sides
LAST = 5.0  # m/s^2: braking that a situation must ask for before reflexes take over
STOP = 1.0  # m left to a leader
FAR = 1e6


def restrained(state: Tensor, control: Tensor, used: Tensor, facts: Facts) -> Tensor:
    """The control [..., K, 2] that is left of one asked for; ``used`` are the last ones, ``state`` [..., K, 4]."""
    s, d, heading, speed = state.unbind(-1)
    drift = speed * heading.sin()
    reach = (facts.length * heading.sin().abs() + facts.width * heading.cos().abs()) / 2
    left, right = facts.lanes * facts.lane - d - reach - SPARE, d - reach - SPARE
    highest = EDGE ** 2 * left - 2 * EDGE * drift
    lowest = -EDGE ** 2 * right - 2 * EDGE * drift

    apart = d.unsqueeze(-2) - d.unsqueeze(-1)  # [..., i, j]: j is to the left of i by
    ahead = s.unsqueeze(-2) - s.unsqueeze(-1)
    other = facts.present.unsqueeze(-2) & ~torch.eye(s.shape[-1], dtype=torch.bool, device=s.device)
    gap = ahead.abs() - (facts.length.unsqueeze(-2) + facts.length.unsqueeze(-1)) / 2
    between = apart.abs() - (reach.unsqueeze(-2) + reach.unsqueeze(-1))
    parting = (speed.unsqueeze(-2) - speed.unsqueeze(-1)) * ahead.sign()
    level = other & (gap + parting.clamp(max=0) < STOP) & (between > -0.5)  # alongside, or within a second
    nearing = (drift.unsqueeze(-2) - drift.unsqueeze(-1)) * apart.sign()  # speed at which they part
    room = ALONGSIDE ** 2 * (between - BESIDE) + 2 * ALONGSIDE * nearing
    # j to the left of i bounds what i may steer to the left
    highest = torch.minimum(highest, torch.where(level & (apart > 0), room, FAR).amin(-1))
    lowest = torch.maximum(lowest, torch.where(level & (apart < 0), -room, -FAR).amax(-1))
    across = torch.where(lowest > highest, (lowest + highest) / 2,  # from both sides: in the middle
                         torch.minimum(torch.maximum(control[..., 1], lowest), highest))

    leader = other & (ahead > 0) & (between < BESIDE)
    closing = speed.unsqueeze(-1) - speed.unsqueeze(-2)
    slowing = (-used[..., 0]).clamp(min=0).unsqueeze(-2)
    asked = closing.clamp(min=0).square() / (2 * (gap - STOP).clamp(min=0.3)) + slowing
    asked = torch.where(leader & (closing > 0), asked, 0.0).amax(-1)
    along = torch.where(asked > LAST, torch.minimum(control[..., 0], -1.1 * asked), control[..., 0])
    return torch.stack([along, across], -1)
