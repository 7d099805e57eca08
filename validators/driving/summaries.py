"""Scenes as rows of kinematic summaries: what classifiers, neighbours and attackers look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.driving import safety
from synth.driving.scenes import EGO, HEADING, LANE_WIDTH, LENGTH, SPEED, D, S, Scenes
from validators.driving.kinematics import Motion

Floats = NDArray[np.float64]
CAP = 10.0  # s, m/s^2: what is farther off than this is equally far
FAR = 100.0  # m
OTHERS = 5  # vehicles besides the ego vehicle that are summarised one by one, the nearest first
OUTCOMES = ("end speed", "distance", "sideways", "least speed", "hardest braking", "least gap")  # of the ego vehicle


def summaries(scenes: Scenes) -> tuple[list[str], Floats]:
    """Names and float64 [n, columns]; NaN where a slot is empty."""
    motion, pairs = Motion.of(scenes), safety.following(scenes)
    found: dict[str, Floats] = {}
    states = scenes.states.astype(np.float64)
    with np.errstate(invalid="ignore"):
        for slot in range(min(scenes.shape.vehicles, 1 + OTHERS)):
            name = "ego" if slot == EGO else f"other {slot}"
            there = scenes.present[:, slot]
            found |= {f"{name} {k}": np.where(there, v, np.nan)
                      for k, v in _one(scenes, states, motion, pairs, slot).items()}
    found["vehicles"] = scenes.present.sum(axis=1).astype(np.float64)
    behind = np.where(pairs.leader == EGO, pairs.gap, np.inf).min(axis=(1, 2))
    found["gap behind"] = np.minimum(behind, FAR)
    found["ttc behind"] = np.minimum(np.where(pairs.leader == EGO, pairs.ttc, np.inf).min(axis=(1, 2)), CAP)
    found["headway behind"] = np.minimum(behind / np.maximum(states[:, EGO, 0, SPEED], 1.0), CAP)
    return list(found), np.stack(list(found.values()), axis=1)


def _one(scenes: Scenes, states: Floats, motion: Motion, pairs: safety.Following, slot: int) -> dict[str, Floats]:
    s, d, speed = states[:, slot, :, S], states[:, slot, :, D], states[:, slot, :, SPEED]
    gain, jerk, turn = motion.acceleration[:, slot], motion.jerk[:, slot], motion.yaw_rate[:, slot]
    width = scenes.road[:, LANE_WIDTH].astype(np.float64)[:, None]
    aside = np.mod(d, width) - 0.5 * width  # from the middle of the lane
    found = {
        "first speed": speed[:, 0], "last speed": speed[:, -1], "slowest": speed.min(axis=1),
        "speed spread": speed.std(axis=1), "braking": gain.min(axis=1), "gaining": gain.max(axis=1),
        "acceleration spread": gain.std(axis=1), "jerk spread": jerk.std(axis=1), "turning": turn.std(axis=1),
        "heading": np.abs(states[:, slot, :, HEADING]).max(axis=1), "sideways": d[:, -1] - d[:, 0],
        "sway": np.ptp(d, axis=1), "first offset": aside[:, 0], "last offset": aside[:, -1],
        "gap": np.minimum(pairs.gap[:, slot].min(axis=1), FAR),
        "ttc": np.minimum(pairs.ttc[:, slot].min(axis=1), CAP),
        "drac": np.minimum(pairs.drac[:, slot].max(axis=1), CAP), "length": scenes.sizes[:, slot, LENGTH].astype(float),
    }
    if slot == EGO:
        gap = np.maximum(pairs.gap[:, EGO], 0) / np.maximum(speed, 1.0)
        return found | {"d": d[:, 0], "headway": np.minimum(gap.min(axis=1), CAP),
                        "led": (pairs.leader[:, EGO] >= 0).mean(axis=1), "distance": s[:, -1] - s[:, 0]}
    away, beside = s - states[:, EGO, :, S], d - states[:, EGO, :, D]
    return found | {"ahead": away[:, 0], "ahead last": away[:, -1], "beside": beside[:, 0],
                    "beside last": beside[:, -1], "faster": (speed - states[:, EGO, :, SPEED]).mean(axis=1)}


def outcomes(scenes: Scenes) -> Floats:
    """OUTCOMES of the ego vehicle, float64 [n, 6]: how a scene turned out."""
    states, pairs = scenes.states[:, EGO].astype(np.float64), safety.following(scenes)
    speed = states[..., SPEED]
    return np.stack([speed[:, -1], states[:, -1, S] - states[:, 0, S], states[:, -1, D] - states[:, 0, D],
                     speed.min(axis=1), (np.diff(speed, axis=1) / scenes.shape.dt).min(axis=1),
                     np.minimum(pairs.gap[:, EGO].min(axis=1), FAR)], axis=1)


@dataclass(frozen=True)
class Axes:
    """Summaries brought to one scale, so that distances between scenes mean something.

    Every column is centred and divided by its spread in real train, clipped at four spreads (rare extremes would be
    all there is), an empty slot counts as the middle; then the first principal axes are kept and whitened only in
    scale.
    """

    centre: Floats
    scale: Floats
    vectors: Floats  # [columns, axes]

    @classmethod
    def fit(cls, train: Floats, axes: int) -> Axes:
        """Learned from real train alone."""
        centre, scale = np.nanmedian(train, axis=0), np.nanstd(train, axis=0)
        centre = np.where(np.isfinite(centre), centre, 0.0)
        scale = np.where(np.isfinite(scale) & (scale > 1e-9), scale, 1.0)
        data = _scaled(train, centre, scale)
        _, _, turned = np.linalg.svd(data - data.mean(axis=0), full_matrices=False)
        return cls(centre, scale, turned[:axes].T)

    def of(self, data: Floats) -> NDArray[np.float32]:
        """float32 [n, axes]."""
        return np.asarray(_scaled(data, self.centre, self.scale) @ self.vectors, np.float32)


def _scaled(data: Floats, centre: Floats, scale: Floats) -> Floats:
    found = np.clip((data - centre) / scale, -4, 4)
    return np.where(np.isfinite(found), found, 0.0)
