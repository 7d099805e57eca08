"""What a driver looks at: the road, the vehicles round them in their own and the adjacent lanes, and their goal.

Everything is relative to the vehicle itself, so one network serves all. In each of three lanes the nearest vehicle
ahead and the nearest behind are seen; one that drives between two lanes is seen in both.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synth.driving.bicycle import SLOWEST
from synth.driving.layout import beside, columns, flat
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


def features(states: Tensor, used: Tensor, facts: Facts, schedule: Tensor, base: Tensor | None = None) -> Tensor:
    """Features [..., K, DYNAMIC] of states [..., K, 4], the controls used before [..., K, 2], and the schedule's rows
    [..., K, SCHEDULE]; ``facts`` broadcast against the states. ``base`` is :func:`planned`, where it is known."""
    base = planned(states, facts, schedule) if base is None else base
    return beside([neighbours(states, used, facts), own(states, used, facts),
                   goals(states, used, facts, schedule, base)])


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
    return columns([along, across])


def fine(values: Sequence[Tensor], scales: tuple[float, ...]) -> Tensor:
    """Quantities [..., n] whose ordinary sizes are ``scales`` and that may be a hundred times as large."""
    found = columns(values)
    return (found / torch.tensor(scales, device=found.device)).asinh() / 2


def neighbours(states: Tensor, used: Tensor, facts: Facts) -> Tensor:
    """The six neighbours [..., K, 6 * SEEN]: right, own, left lane; ahead before behind. Nobody there: zeros.

    Of each: how near (two scales), how fast it comes nearer, the inverse of the time to collision, its speed across,
    its last acceleration, how far beside it is.
    """
    s, d, heading, speed = states.unbind(-1)
    drift = speed * heading.sin()
    ahead = s.unsqueeze(-2) - s.unsqueeze(-1)  # [..., i, j]: of j before i
    aside = (d.unsqueeze(-2) - d.unsqueeze(-1)) / facts.lane.unsqueeze(-1)
    others = facts.present.unsqueeze(-2) & ~torch.eye(s.shape[-1], dtype=torch.bool, device=s.device)
    front, back = others & (ahead > 0), others & ~(ahead > 0)
    lanes = ((aside < OWN - 1) & (aside > -1 - OWN), aside.abs() < OWN, (aside > 1 - OWN) & (aside < 1 + OWN))
    away = torch.where(columns([lane & side for lane in lanes for side in (front, back)]), ahead.abs().unsqueeze(-1),
                       FAR)  # [..., i, j, 6]
    nearest, length, fast, across, along, there = _nearest(away, (facts.length, speed, drift, used[..., 0], d))
    seen = nearest < FAR
    gap = torch.where(seen, nearest - (length + facts.length.unsqueeze(-1)) / 2, 0.0)
    closing = torch.tensor([1.0, -1.0] * 3, device=s.device) * (speed.unsqueeze(-1) - fast)
    inside = gap.clamp(min=0)
    found = columns([torch.exp(-inside / 8), torch.exp(-inside / 40), (closing / 6).clamp(-2, 2),
                     (closing / inside.clamp(min=1.0)).clamp(-0.6, 1.2), across.clamp(-2, 2), (along / 3).clamp(-3, 2),
                     (there - d.unsqueeze(-1)) / facts.lane.unsqueeze(-1)])  # [..., i, 6, SEEN]
    return flat(found * seen.unsqueeze(-1))


def _nearest(distance: Tensor, values: tuple[Tensor, ...]) -> list[Tensor]:
    """The least of distances [..., i, j, 6] over j, and the values [..., j] of whom it is of, each [..., i, 6]."""
    def of(value: Tensor, j: int) -> Tensor:
        return value[..., j, None, None]

    best = [distance[..., 0, :], *(of(value, 0) for value in values)]
    for j in range(1, distance.shape[-2]):
        nearer = distance[..., j, :] < best[0]
        theirs = [distance[..., j, :], *(of(value, j) for value in values)]
        best = [torch.where(nearer, new, old) for new, old in zip(theirs, best, strict=True)]
    return [part.expand(distance[..., 0, :].shape) for part in best]


def own(states: Tensor, used: Tensor, facts: Facts) -> Tensor:
    """Speed, place in the lane and between the edges, direction, last controls; [..., K, OWN_FACTS]."""
    _, d, heading, speed = states.unbind(-1)
    lane = d / facts.lane
    centre = torch.minimum(lane.floor().clamp(min=0), facts.lanes - 1) + 0.5
    aside, drift = lane - centre, speed * heading.sin()
    return beside([
        columns([speed / 15, 3 * aside, (30 * heading).clamp(-5, 5), drift.clamp(-3, 3), lane.clamp(-0.5, 2),
                 (facts.lanes - lane).clamp(-0.5, 2), used[..., 0] / 2, used[..., 1]]),
        fine((used[..., 0], used[..., 1], drift, aside * facts.lane), (0.1, 0.03, 0.05, 0.1))])


def goals(states: Tensor, used: Tensor, facts: Facts, schedule: Tensor, base: Tensor) -> Tensor:
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
    beyond = used - base
    short_of = short / plan[LEFT].clamp(min=0.2)
    return beside([
        columns([
            (short / 4).clamp(-3, 3) * known, (short_of / 3).clamp(-3, 2) * known, plan[LEFT],
            ((plan[PLANNED_S] - s) / 8).clamp(-3, 3) * known, plan[PLANNED] / 2 * known, plan[NEXT] / 2 * known,
            2 * ((plan[GOAL_D] - d) / facts.lane).clamp(-2, 2), crossing / 2,
            torch.exp(-crossing.abs()) * (crossing != 0), plan[BRAKING] / 2, plan[HARD] / 2, onset / 2, plan[CLOCK],
            (spare / 8).clamp(-3, 3), (over / 3).clamp(-3, 3), (spare / (onset.clamp(min=0) + 0.4) / 3).clamp(-3, 3)]),
        fine((plan[PATH_D] - d, plan[PATH_V] - speed * heading.sin()), (0.2, 0.1)),
        fine((short_of - used[..., 0],), (0.3,)) * known.unsqueeze(-1),
        columns([(plan[HARD] > 0) * (plan[HARD] + used[..., 0]) / 3]),
        fine((beyond[..., 0], beyond[..., 1]), (0.1, 0.03))])
