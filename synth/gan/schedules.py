"""What changes while a phase goes on, as functions of the images it has seen."""

from __future__ import annotations

import math

from synth.gan.recipe import RAMPS, Phase

FLOOR = 0.05  # share of the rate that annealing ends at
MEMORY = 0.05  # longest half-life of the average, as a share of the images seen (Karras et al. 2020)


def factor(phase: Phase, what: str, images: int) -> float:
    """The product of a phase's ramps on ``what`` after ``images`` images."""
    value = 1.0
    for name, first, last, length in phase.ramps:
        if name == what:
            value *= first + (last - first) * (1 - math.cos(math.pi * min(1.0, images / length))) / 2
    return value


def offered(phase: Phase, images: int) -> dict[str, float]:
    """The ramps that are for the players."""
    return {name: factor(phase, name, images) for name, *_ in phase.ramps if name not in RAMPS}


def wave(phase: Phase, share: float) -> float:
    """The annealing factor of the rates after a share of the phase."""
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, share))) if phase.anneal else 1.0


def memory(phase: Phase, images: int) -> float | None:
    """The average's decay for one step from its half-life in images; ``None``: the phase states a decay."""
    if not phase.half_life:
        return None
    return float(0.5 ** (phase.batch / max(1e-8, min(phase.half_life, MEMORY * images))))
