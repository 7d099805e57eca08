"""What any driver does at the last moment, whatever they had in mind: stay on the road, not brush whoever is alongside,
keep time to a collision, brake when there is no other way. And what a driver does who was asked for a near miss, or a
hard brake.

Bounds on a control, as control barrier functions of second order (Ames et al. 2019; Xiao and Belta 2019): a distance
``h`` that must stay positive does if its second derivative is at least ``-2 w h' - w^2 h``. In ordinary driving no
bound is reached. Only minima and maxima, so gradients pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from synth.driving.bicycle import BOUNDS
from synth.driving.labels import HARD_BRAKE
from synth.driving.layout import columns
from synth.driving.plan import Facts
from synth.driving.safety import GRAVITY

EDGE, ALONGSIDE = 1.5, 1.3  # 1/s: how late one turns away from the edge, and from a neighbour
SPARE = 0.1  # m left at the edge
BESIDE = 0.25  # m between sides
LAST = 0.6  # share of the grip: braking that a situation must ask for before reflexes take over
STOP = 1.0  # m left to a leader
KEEP = 1.0, 2.0  # 1/s: how late one slows down to keep that; of who was asked for a near miss
TIME, LATE, CLOSING = 1.8, 1.0, 1.0  # s to a collision that are kept, 1/s, above this closing speed (m/s)
GENTLE = 3.2  # m/s^2: brakes for the sake of time alone (less than what counts as hard)
NEARER = 2.4  # m/s at which a near miss closes in at least
SOFT_SHARE = 0.5  # of the grip: braking that is enough to get out of it
DANGER = 1.1  # of those: braking that a situation asks for, beyond which nobody steers on to it
FIRM = 0.95  # share of the braking asked for that a hard brake keeps
EARLY = 3.9  # s before a near miss from which on it is steered to
FAR = 1e6


def restrained(state: Tensor, control: Tensor, used: Tensor, facts: Facts, dares: Tensor | None = None) -> Tensor:
    """The control [..., K, 2] that is left of one asked for; ``used`` are the last ones, ``state`` [..., K, 4]. Who
    ``dares`` [..., K] keeps no time, and slows down later."""
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
    theirs = used[..., 0].unsqueeze(-2)
    asked = closing.clamp(min=0).square() / (2 * (gap - STOP).clamp(min=0.3)) + (-theirs).clamp(min=0)
    asked = torch.where(leader & (closing > 0), asked, 0.0).amax(-1)
    # d/dt (gap - TIME closing) >= -LATE (gap - TIME closing)
    most = theirs + (LATE * (gap - TIME * closing) - closing) / TIME
    most = torch.where(leader & (closing > CLOSING), most, FAR).amin(-1)
    grip = BOUNDS.grip * GRAVITY * facts.friction
    calm = torch.minimum(control[..., 0], torch.maximum(most, -(LAST * grip).clamp(max=GENTLE)))
    if dares is None:
        dares = torch.zeros_like(facts.present)
    along = torch.where(dares, control[..., 0], calm)
    firm = torch.where(dares, KEEP[1], KEEP[0]).unsqueeze(-1)
    close = theirs + firm.square() * (gap - STOP) - 2 * firm * closing
    close = torch.where(leader, close, FAR).amin(-1)
    along = torch.minimum(along, torch.maximum(close, -grip))
    along = torch.where(asked > LAST * grip, torch.minimum(along, -1.1 * asked), along)
    return columns([along, across])


def firm(control: Tensor, facts: Facts, hard: Tensor) -> Tensor:
    """Control [..., K, 2] of drivers who brake as hard as was asked for while they are asked to: ``hard`` [..., K]
    m/s^2, 0 otherwise. Policies took a quarter of hard brakes back, in states that recordings seldom show."""
    asked = (hard >= HARD_BRAKE) & (facts.near <= 0)
    along = torch.where(asked, torch.minimum(control[..., 0], -FIRM * hard), control[..., 0])
    return columns([along, control[..., 1]])


def steered(state: Tensor, control: Tensor, used: Tensor, facts: Facts, left: Tensor) -> tuple[Tensor, Tensor]:
    """(control [..., K, 2], who dares [..., K]): ego vehicle and actor meet as a near miss that was asked for says, in
    ``left`` [...] seconds, as near as was asked for and at the header's pace, brought to what can be got out of.

    The follower's acceleration relative to its leader's is that of least effort between two gaps and two speeds, which
    is linear in time; other scenes, and other times, keep their control.
    """
    s, _, _, speed = state.unbind(-1)
    acts = facts.actor
    where, fast, last = ((acts * v).sum(-1) for v in (s, speed, used[..., 0]))
    half = ((acts * facts.length).sum(-1) + facts.length[..., 0]) / 2
    follows = where > s[..., 0]  # the ego vehicle does
    sign = torch.where(follows, 1.0, -1.0)
    gap, closing = (where - s[..., 0]).abs() - half, sign * (speed[..., 0] - fast)
    meets, _, pace = facts.meeting.unbind(-1)
    soft = SOFT_SHARE * BOUNDS.grip * GRAVITY * facts.friction[..., 0]
    # fast enough to count, and not too fast to get out of it: pace^2 / (2 soft) + STOP <= time * pace
    time = facts.near[..., 0]
    most = soft * (time + (time.square() - 2 * STOP / soft).clamp(min=0).sqrt())
    pace = torch.minimum((sign * pace).clamp(min=NEARER), most.clamp(min=NEARER))
    room = time * pace
    short, change = (gap - room) / left.clamp(min=0.2) - closing, pace - closing
    wanted = ((6 * short - 2 * change) / left.clamp(min=0.2)).clamp(-6.0, 2.5)
    leading = torch.where(follows, last, used[..., 0, 0])
    danger = closing.clamp(min=0).square() / (2 * (gap - STOP).clamp(min=0.3)) + (-leading).clamp(min=0)
    active = (left > 0.15) & (left < EARLY) & (gap > 0) & (danger < DANGER * soft)
    ego = torch.nn.functional.one_hot(torch.zeros_like(left, dtype=torch.long), s.shape[-1]).to(s.dtype)
    who = torch.where(follows.unsqueeze(-1), ego, acts) * ((time > 0) & (meets > 0)).unsqueeze(-1) > 0
    along = torch.where(who & active.unsqueeze(-1), (leading + wanted).unsqueeze(-1), control[..., 0])
    return columns([along, control[..., 1]]), who
