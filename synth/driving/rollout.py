"""Closing the loop: every vehicle looks, decides and moves, and the next look is at where all of them went."""

from __future__ import annotations

import torch
from torch import Tensor

from synth.driving.bicycle import advance, controls
from synth.driving.features import features, planned
from synth.driving.layout import columns, innermost, rows, scenes
from synth.driving.networks.policy import Policy
from synth.driving.plan import HARD, ONSET, Facts
from synth.driving.reflexes import firm, restrained, steered
from synth.driving.scenes import EGO
from synth.driving.tokens import draw, relaxed

JERK = 45.0  # m/s^3


def roll_out(policy: Policy, start: Tensor, facts: Facts, dt: float, *, rng: torch.Generator | None = None,
             temperature: float | None = None) -> Tensor:
    """States [B, T, K, 4] from the first ones [B, K, 4]; steps as many as the schedule has.

    With a ``temperature`` the draws are softened so that gradients flow through the whole drive (and chance comes from
    torch's global generator); without one they are exact and ``rng`` is the only chance. Empty slots stay 0.
    """
    facts = facts.driven()
    there = facts.present.unsqueeze(-1)
    state = innermost(start) * there
    used = torch.zeros_like(state[..., :2])
    rest = used  # controls beyond what the plan asks for by itself
    count = facts.present.shape[1]
    still, memory = policy.begin(rows(facts.static))
    states = [state]
    along, _ = policy.sizes
    for t in range(facts.schedule.shape[1] - 1):
        schedule = facts.schedule[:, t]
        base = planned(state, facts, schedule)
        logits, memory = policy.step(rows(features(state, used, facts, schedule, base)), still, memory)
        parts = logits.split([along, logits.shape[-1] - along], -1)
        chosen = []
        for part, edges, cool in zip(parts, (policy.along, policy.across), policy.cool, strict=True):
            if temperature is None:
                uniform = torch.rand(facts.present.shape, generator=rng, device=part.device)
                value = draw(part / cool, edges, uniform.t().flatten())
            else:
                value = relaxed(part, edges, torch.rand_like(part), torch.rand_like(part[..., 0]), temperature)
            chosen.append(scenes(value, count))
        rest = columns(chosen) + (rest if policy.smooth else 0.0)
        control = firm(rest + base, facts, schedule[..., HARD])
        if policy.reflexes:
            control, dares = steered(state, control, used, facts, schedule[:, EGO, ONSET])
            control = restrained(state, control, used, facts, dares)
        if t:  # brakes take time to grip
            room = JERK * dt
            control = columns([torch.minimum(torch.maximum(control[..., 0], used[..., 0] - room), used[..., 0] + room),
                               control[..., 1]])
        after = advance(state, control, facts.friction, dt) * there
        used = controls(state, after, dt) * there
        rest = used - base
        state = after
        states.append(state)
    return torch.stack(states, 1)
