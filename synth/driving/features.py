"""What a driver looks at: the road, the vehicles round them in their own and the adjacent lanes, and their goal.

Everything is relative to the vehicle itself, so one network serves all. In each of three lanes the nearest vehicle
ahead and the nearest behind are seen; one that drives between two lanes is seen in both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from synth.driving.bicycle import SLOWEST
from synth.driving.plan import (
    BRAKING,
    CLOCK,
    CROSSING,
    GOAL_D,
    GOAL_SPEED,
    HARD,
    LEFT,
    NEXT,
    ONSET,
    PATH_A,
    PATH_D,
    PATH_V,
    PLANNED,
    PLANNED_S,
    Facts,
)

OWN = 0.6  # of a lane's width: what is nearer than this across the road is in the own lane
SEEN = 7  # facts of each neighbour
OWN_FACTS, GOALS = 12, 22
DYNAMIC = 6 * SEEN + OWN_FACTS + GOALS
FAR = 1e6
KEEPING, CATCHING = 0.9, 0.4  # 1/s: back to the path, back to the profile's speed
LEAST, MOST = 3.0, 2.0  # m/s^2: no profile asks for more braking, or more acceleration
PEAK = 0.95  # share of its hardest braking that a vehicle keeps up while it brakes


def features(states: Tensor, used: Tensor, facts: Facts, schedule: Tensor) -> Tensor:
    """Features [..., K, DYNAMIC] of states [..., K, 4], the controls used before [..., K, 2], and the schedule's rows
    [..., K, SCHEDULE]; ``facts`` broadcast against the states."""
    return torch.cat([neighbours(states, used, facts), own(states, used, facts),
                      goals(states, used, facts, schedule)], -1)


def planned(states: Tensor, facts: Facts, schedule: Tensor) -> Tensor:
    """The control [..., K, 2] that the plan alone asks for: along the road what leads to its profile's speed, and its
    braking while that lasts; across it what keeps a vehicle to its path or leads it back (critically damped). The
    policy says what a driver does beyond that, so errors of its own do not add up."""
    _, d, heading, speed = states.unbind(-1)
    ahead = schedule[..., PATH_A] + 2 * KEEPING * (schedule[..., PATH_V] - speed * heading.sin())
    across = (ahead + KEEPING ** 2 * (schedule[..., PATH_D] - d)) * (speed / SLOWEST).clamp(max=1.0)
    behind = schedule[..., GOAL_SPEED] - schedule[..., PLANNED] * schedule[..., LEFT] - speed
    along = (CATCHING * behind).clamp(-LEAST, MOST) * facts.known
    along = torch.where(schedule[..., HARD] > 0, -PEAK * schedule[..., HARD], along)
    return torch.stack([along, across], -1)


def fine(value: Tensor, scale: float) -> Tensor:
    """A quantity whose ordinary size is ``scale`` and that may be a hundred times as large."""
    return (value / scale).asinh() / 2


def neighbours(states: Tensor, used: Tensor, facts: Facts) -> Tensor:
    """The six neighbours [..., K, 6 * SEEN]: right, own, left lane; ahead before behind. Nobody there: zeros.

    Of each: how near (two scales), how fast it comes nearer, the inverse of the time to collision, its speed across,
    its last acceleration, how far beside it is.
    """
    s, d, heading, speed = states.unbind(-1)
    ahead = s.unsqueeze(-2) - s.unsqueeze(-1)  # [..., i, j]: of j before i
    beside = (d.unsqueeze(-2) - d.unsqueeze(-1)) / facts.lane.unsqueeze(-1)
    half = (facts.length.unsqueeze(-2) + facts.length.unsqueeze(-1)) / 2
    count = s.shape[-1]
    self_ = torch.eye(count, dtype=torch.bool, device=s.device)
    there = facts.present.unsqueeze(-2) & ~self_
    lanes = torch.stack([(beside < OWN - 1) & (beside > -1 - OWN), beside.abs() < OWN,
                         (beside > 1 - OWN) & (beside < 1 + OWN)], -3) & there.unsqueeze(-3)
    front = (ahead > 0).unsqueeze(-3)
    masks = torch.stack([lanes & front, lanes & ~front], -3).flatten(-4, -3)  # [..., 6, i, j]
    distance = torch.where(masks, ahead.abs().unsqueeze(-3), FAR)
    nearest, at = distance.min(-1, keepdim=True)  # [..., 6, i, 1]
    seen = (nearest < FAR).squeeze(-1)

    def of(values: Tensor) -> Tensor:  # [..., i, j] or [..., 1, j]
        return values.unsqueeze(-3).expand(masks.shape).gather(-1, at).squeeze(-1)

    gap = nearest.squeeze(-1) - of(half.expand(ahead.shape))
    gap = torch.where(seen, gap, 0.0)
    sign = torch.tensor([1.0, -1.0] * 3, device=s.device).unsqueeze(-1)
    closing = sign * (speed.unsqueeze(-2) - of(speed.unsqueeze(-2)))
    inside = gap.clamp(min=0)
    found = torch.stack([
        torch.exp(-inside / 8), torch.exp(-inside / 40), (closing / 6).clamp(-2, 2),
        (closing / inside.clamp(min=1.0)).clamp(-0.6, 1.2), of((speed * heading.sin()).unsqueeze(-2)).clamp(-2, 2),
        (of(used[..., 0].unsqueeze(-2)) / 3).clamp(-3, 2), of(beside)], -1)  # [..., 6, i, SEEN]
    found = found * seen.unsqueeze(-1)
    return found.transpose(-3, -2).flatten(-2)


def own(states: Tensor, used: Tensor, facts: Facts) -> Tensor:
    """Speed, place in the lane and between the edges, direction, last controls; [..., K, OWN_FACTS]."""
    _, d, heading, speed = states.unbind(-1)
    lane = d / facts.lane
    centre = torch.minimum(lane.floor().clamp(min=0), facts.lanes - 1) + 0.5
    return torch.stack([speed / 15, 3 * (lane - centre), (30 * heading).clamp(-5, 5),
                        (speed * heading.sin()).clamp(-3, 3), lane.clamp(-0.5, 2), (facts.lanes - lane).clamp(-0.5, 2),
                        used[..., 0] / 2, used[..., 1], fine(used[..., 0], 0.1), fine(used[..., 1], 0.03),
                        fine(speed * heading.sin(), 0.05), fine((lane - centre) * facts.lane, 0.1)], -1)


def goals(states: Tensor, used: Tensor, facts: Facts, schedule: Tensor) -> Tensor:
    """How far the vehicle has come towards what it is going to do; [..., K, GOALS]."""
    s, d, heading, speed = states.unbind(-1)
    plan = schedule.unbind(-1)
    short = plan[GOAL_SPEED] - speed
    crossing, onset = plan[CROSSING], plan[ONSET]
    meets, room, pace = facts.meeting.unsqueeze(-2).unbind(-1)
    # how far ego vehicle and actor are from meeting as they should; both are told, the others not
    partner = (facts.actor * s).sum(-1, keepdim=True), (facts.actor * speed).sum(-1, keepdim=True)
    half = ((facts.actor * facts.length).sum(-1, keepdim=True) + facts.length[..., :1]) / 2
    ahead, faster = partner[0] - s[..., :1], speed[..., :1] - partner[1]
    told = meets * (onset > -0.3) * (facts.actor + torch.eye(s.shape[-1], device=s.device)[0])
    spare = (ahead.abs() - half - room) * told
    over = (faster - pace) * told
    known = facts.known
    beyond = used - planned(states, facts, schedule)
    return torch.stack([
        (short / 4).clamp(-3, 3) * known, (short / plan[LEFT].clamp(min=0.2) / 3).clamp(-3, 2) * known, plan[LEFT],
        ((plan[PLANNED_S] - s) / 8).clamp(-3, 3) * known, plan[PLANNED] / 2 * known, plan[NEXT] / 2 * known,
        2 * ((plan[GOAL_D] - d) / facts.lane).clamp(-2, 2), crossing / 2, torch.exp(-crossing.abs()) * (crossing != 0),
        plan[BRAKING] / 2, plan[HARD] / 2, onset / 2, plan[CLOCK], (spare / 8).clamp(-3, 3), (over / 3).clamp(-3, 3),
        (spare / (onset.clamp(min=0) + 0.4) / 3).clamp(-3, 3),
        fine(plan[PATH_D] - d, 0.2), fine(plan[PATH_V] - speed * heading.sin(), 0.1),
        fine(short / plan[LEFT].clamp(min=0.2) - used[..., 0], 0.3) * known,
        (plan[HARD] > 0) * (plan[HARD] + used[..., 0]) / 3,
        fine(beyond[..., 0], 0.1), fine(beyond[..., 1], 0.03)], -1)
