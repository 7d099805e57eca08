"""Channels of a vehicle's bus, worked out from how it moves.

With v the speed, psi the heading and central differences in time:

* ``acceleration`` a_x = dv/dt, ``yaw_rate`` r = d(psi)/dt, ``lateral_acceleration`` a_y = v r (no side slip);
* ``steering_angle`` delta = atan(L r / v) of the front wheels of a kinematic bicycle (Rajamani, "Vehicle Dynamics and
  Control", 2012, chapter 2), with a wheelbase L of :data:`WHEELBASE` times the length;
* what engine or brakes must give, u = a_x + c_r g + c_a v^2 (rolling and air drag), ``throttle`` = u / min(a_max,
  p / v) and ``brake`` = -u / b_max, each cut to [0, 1]; constants by type of vehicle in :data:`DRIVES`.

Recordings of traffic have no such channels to compare with: theirs are consistent with the movement, not with one make
of car, and no sensor noise is added. What logs measured beyond this is learnt (:mod:`.residual`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.driving.safety import GRAVITY
from synth.driving.scenes import EGO, HEADING, LENGTH, SPEED, Kind, Scenes

WHEELBASE, SLOWEST = 0.6, 1.0  # share of the length; m/s below which steering is not told apart
CHANNELS = {  # name -> unit
    "speed": "m/s", "acceleration": "m/s^2", "lateral_acceleration": "m/s^2", "yaw_rate": "rad/s",
    "steering_angle": "rad", "throttle": "1", "brake": "1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Drive:
    """What a type of vehicle can do."""

    rolling: float  # c_r
    drag: float  # c_a, 1/m: half of air density times drag area over mass
    acceleration: float  # a_max, m/s^2
    power: float  # p, W/kg
    braking: float  # b_max, m/s^2


DRIVES = {
    Kind.CAR: Drive(rolling=0.010, drag=2.6e-4, acceleration=4.5, power=60.0, braking=9.0),
    Kind.TRUCK: Drive(rolling=0.006, drag=1.2e-4, acceleration=1.5, power=10.0, braking=6.0),
    Kind.MOTORCYCLE: Drive(rolling=0.015, drag=9.0e-4, acceleration=6.0, power=150.0, braking=8.5),
}


def telemetry(scenes: Scenes, slot: int = EGO) -> dict[str, NDArray[np.float32]]:
    """:data:`CHANNELS` of one slot of every scene, each [n, T]; zero where the slot is empty."""
    states = scenes.states[:, slot].astype(np.float64)
    speed, heading = states[..., SPEED], np.unwrap(states[..., HEADING], axis=1)
    dt = scenes.shape.dt
    if scenes.shape.steps > 1:
        along, yaw = np.gradient(speed, dt, axis=1), np.gradient(heading, dt, axis=1)
    else:
        along = yaw = np.zeros_like(speed)
    base = WHEELBASE * scenes.sizes[:, slot, LENGTH].astype(np.float64)[:, None]
    steering = np.arctan(base * yaw / np.maximum(speed, SLOWEST))
    kinds = scenes.kinds[:, slot]

    def of(name: str) -> NDArray[np.float64]:
        known = np.array([getattr(DRIVES[kind], name) for kind in Kind])
        return np.asarray(known[kinds][:, None])

    needed = along + of("rolling") * GRAVITY * (speed > 0) + of("drag") * speed**2
    most = np.minimum(of("acceleration"), of("power") / np.maximum(speed, SLOWEST))
    found = {"speed": speed, "acceleration": along, "lateral_acceleration": speed * yaw, "yaw_rate": yaw,
             "steering_angle": steering, "throttle": np.clip(needed / most, 0, 1),
             "brake": np.clip(-needed / of("braking"), 0, 1)}
    there = scenes.present[:, slot, None]
    return {name: np.where(there, found[name], 0).astype(np.float32) for name in CHANNELS}
