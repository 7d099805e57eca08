"""What each vehicle does step by step, and which of it no vehicle can do.

Rates of impossible motion are for comparison: recordings have measurement noise, so real traffic is not free of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.contract import Contract
from synth.driving.scenes import HEADING, SPEED, D, S, Scenes

Floats = NDArray[np.float64]
GRAVITY = 9.81  # m/s^2
FRICTION = 0.9  # of a dry road, where the contract names none
FASTEST = 50.8  # m/s, the fastest car of the CommonRoad vehicle models
ENGINE = 6.0  # m/s^2: no car on a motorway gains speed faster
JERK = 50.0  # m/s^3: brakes need a fifth of a second to grip
TIGHTEST = 0.2  # 1/m: a circle of 5 m
MOVING = 3.0  # m/s below which a direction of travel is mostly noise
ASKEW = np.radians(5.0)  # between heading and travel
GAPED = 1.0  # m/s between the speed that is stated and the one that was travelled
WEATHER = "weather"
RULES = {  # kind of impossibility -> what it is
    "speed": f"speed below 0 or above {FASTEST:g} m/s",
    "acceleration": f"acceleration above {ENGINE:g} m/s^2, or outside the weather's circle of friction",
    "jerk": f"jerk above {JERK:g} m/s^3",
    "curvature": f"a turn tighter than {1 / TIGHTEST:g} m",
    "heading": f"travel more than {np.degrees(ASKEW):.0f} degrees off the heading",
    "displacement": f"travel that differs from the stated speed by more than {GAPED:g} m/s (a leap)",
}


@dataclass(frozen=True)
class Motion:
    """Derivatives between steps; ``speed`` [n, K, T], the others shorter along time, NaN where a slot is empty."""

    speed: Floats  # m/s, as stated
    acceleration: Floats  # m/s^2, [n, K, T - 1]
    jerk: Floats  # m/s^3, [n, K, T - 2]
    yaw_rate: Floats  # rad/s, [n, K, T - 1]
    travelled: Floats  # m/s, from the positions, [n, K, T - 1]
    askew: Floats  # rad between travel and heading, 0 where slow, [n, K, T - 1]

    @classmethod
    def of(cls, scenes: Scenes) -> Motion:
        """Finite differences at the scenes' rate."""
        states, dt = scenes.states.astype(np.float64), scenes.shape.dt
        states = np.where(scenes.present[:, :, None, None], states, np.nan)
        speed = states[..., SPEED]
        gain = np.diff(speed, axis=2) / dt
        turn = wrapped(np.diff(states[..., HEADING], axis=2))
        moved = np.diff(states[..., [S, D]], axis=2) / dt
        middle = states[..., :-1, HEADING] + 0.5 * turn
        off = wrapped(np.arctan2(moved[..., 1], moved[..., 0]) - middle)
        travelled = np.hypot(moved[..., 0], moved[..., 1])
        return cls(speed=speed, acceleration=gain, jerk=np.diff(gain, axis=2) / dt, yaw_rate=turn / dt,
                   travelled=travelled, askew=np.where(travelled > MOVING, off, 0.0))

    @property
    def between(self) -> Floats:
        """Mean speed of each step, [n, K, T - 1]."""
        return 0.5 * (self.speed[..., 1:] + self.speed[..., :-1])


def wrapped(angle: Floats) -> Floats:
    """Angles brought to [-pi, pi)."""
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def friction(scenes: Scenes, contract: Contract) -> Floats:
    """Coefficient of friction of each scene [n], by its weather as the contract says."""
    found = np.full(len(scenes), FRICTION)
    traffic = contract.traffic
    if traffic is not None and WEATHER in scenes.table:
        known = dict(traffic.friction)
        found = np.array([known.get(str(v), FRICTION) for v in scenes.table[WEATHER]], np.float64)
    return found


def impossible(scenes: Scenes, mu: Floats) -> dict[str, NDArray[np.bool_]]:
    """Vehicles that break each of RULES at any step, bool [n, K]; ``mu`` is the friction of each scene."""
    m = Motion.of(scenes)
    with np.errstate(invalid="ignore"):
        sideways = m.between * m.yaw_rate
        grip = (mu * GRAVITY)[:, None, None]
        broken = {
            "speed": (m.speed < -0.1) | (m.speed > FASTEST),
            "acceleration": (m.acceleration > ENGINE) | (np.hypot(m.acceleration, sideways) > grip),
            "jerk": np.abs(m.jerk) > JERK,
            "curvature": (np.abs(m.yaw_rate) > TIGHTEST * m.between) & (m.between > MOVING),
            "heading": np.abs(m.askew) > ASKEW,
            "displacement": np.abs(m.travelled - np.abs(m.between)) > GAPED,
        }
        return {name: bad.any(axis=2) for name, bad in broken.items()}
