"""How likely real traffic is under what the generator drives: the measures of the Waymo Sim Agents challenge.

Re-implemented from their definition (Montali et al., "The Waymo Open Sim Agents Challenge", NeurIPS 2023, and the
2025 Scenario Generation form, which pools over objects): each feature of the synthetic scenes becomes a histogram
with Laplace's .1 added, a real scene's steps are looked up in it, and exp of their mean log-likelihood is the
measure; steps count as independent. Real scenes do not reach 1 against each other either, so every measure is divided
by what real scenes reach against real ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.driving import geometry, safety
from synth.driving.scenes import HEADING, D, S, Scenes
from validators.driving.kinematics import wrapped

Floats = NDArray[np.float64]
SMOOTHING = 0.1  # counts added to every bin
FINE = 20  # bins between quantiles, for the second reading


@dataclass(frozen=True)
class Feature:
    """A measured quantity: the challenge's range and bins (none: yes or no) and its weight."""

    name: str
    title: str
    kind: str  # kinematic, interactive, map
    weight: float
    low: float = 0.0
    high: float = 1.0
    bins: int = 2


FEATURES = (  # ranges, bins and weights of the 2025 configuration; there are no traffic lights here (its weight: .05)
    Feature("speed", "speed", "kinematic", 0.05, 0.0, 25.0, 10),
    Feature("acceleration", "acceleration", "kinematic", 0.05, -12.0, 12.0, 11),
    Feature("yaw_rate", "angular speed", "kinematic", 0.05, -0.628, 0.628, 11),
    Feature("yaw_acceleration", "angular acceleration", "kinematic", 0.05, -3.14, 3.14, 11),
    Feature("nearest", "distance to the nearest object", "interactive", 0.10, -5.0, 40.0, 10),
    Feature("collision", "collision", "interactive", 0.25),
    Feature("ttc", "time to collision", "interactive", 0.10, 0.0, 5.0, 10),
    Feature("edge", "distance to the road's edge", "map", 0.05, -20.0, 40.0, 10),
    Feature("off_road", "off the road", "map", 0.25),
)


def measured(scenes: Scenes) -> dict[str, Floats]:
    """Each feature of every object at every step, [n, K, T]; [n, K, 1] for yes or no; NaN where there is none.

    Speeds and rates are central differences of positions and headings, as in the challenge.
    """
    states, dt = scenes.states.astype(np.float64), scenes.shape.dt
    there = scenes.present[:, :, None]
    speed = np.hypot(_central(states[..., S], dt), _central(states[..., D], dt))
    turn = _central(states[..., HEADING], dt, angle=True)
    nearest = geometry.separation(scenes).min(axis=2)
    found = {"speed": speed, "acceleration": _central(speed, dt), "yaw_rate": turn,
             "yaw_acceleration": _central(turn * dt, dt, angle=True) / dt,
             "nearest": np.where(np.isfinite(nearest), nearest, np.nan),
             "collision": (nearest < 0).any(axis=2, keepdims=True).astype(float),
             "ttc": np.minimum(safety.ttc(scenes), 5.0), "edge": -geometry.edge(scenes),
             "off_road": geometry.off_road(scenes)[:, :, None].astype(float)}
    return {name: np.where(there, values, np.nan) for name, values in found.items()}


def _central(values: Floats, dt: float, *, angle: bool = False) -> Floats:
    """Central differences along time, NaN at both ends."""
    found = np.full(values.shape, np.nan)
    step = values[..., 2:] - values[..., :-2]
    found[..., 1:-1] = (wrapped(step) if angle else step) / (2 * dt)
    return found


def edges(feature: Feature, reference: Floats | None = None) -> Floats:
    """Inner edges of the bins: the challenge's, or FINE quantiles of real values where those are given."""
    if feature.bins == 2 and feature.high == 1.0:
        return np.array([0.5])
    if reference is None:
        return np.linspace(feature.low, feature.high, feature.bins + 1)[1:-1]
    values = reference[np.isfinite(reference)]
    return np.unique(np.quantile(values, np.linspace(0, 1, FINE + 1)[1:-1])) if len(values) else np.zeros(0)


def counts(values: Floats, inner: Floats) -> NDArray[np.float32]:
    """Steps of each scene in each bin, [n, bins]; what lies beyond the range counts in the outermost bin."""
    n, size = len(values), len(inner) + 1
    flat = values.reshape(n, -1)
    known = np.isfinite(flat)
    place = np.searchsorted(inner, np.where(known, flat, 0.0), side="right") + size * np.arange(n)[:, None]
    return np.bincount(place[known], minlength=n * size).reshape(n, size).astype(np.float32)


def likelihood(real: Floats, synthetic: Floats) -> Floats:
    """exp of the mean log-likelihood of real counts [bins, draws] under synthetic ones, (draws,); 1 without counts."""
    drawn = synthetic + SMOOTHING
    logs = np.log(drawn / drawn.sum(axis=0))
    total = real.sum(axis=0)
    return np.asarray(np.exp(np.where(total > 0, (real * logs).sum(axis=0) / np.maximum(total, 1e-12), 0.0)))
