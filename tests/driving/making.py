"""Scenes made by hand for tests."""

import numpy as np
import pandas as pd

from synth.driving.scenes import Scenes, SceneShape

LANES, WIDTH = 3, 3.5


def scene(*vehicles: tuple[np.ndarray | float, np.ndarray | float, np.ndarray | float], steps: int = 40,
          rate: float = 5.0, slots: int = 4, length: float = 5.0, width: float = 1.8) -> Scenes:
    """One scene from (s, d, speed) of each vehicle; a number for s is where it starts, at its speed."""
    time = np.arange(steps) / rate
    states = np.zeros((1, slots, steps, 4), np.float32)
    for slot, (s, d, v) in enumerate(vehicles):
        speed = np.broadcast_to(np.asarray(v, float), steps)
        across = np.broadcast_to(np.asarray(d, float), steps)
        along = s if isinstance(s, np.ndarray) else s + np.r_[0.0, np.cumsum((speed[1:] + speed[:-1]) / 2)] / rate
        heading = np.arctan2(np.gradient(across, time), np.maximum(speed, 0.1))
        states[0, slot] = np.stack([along, across, heading, speed], axis=-1)
    present = np.arange(slots)[None] < len(vehicles)
    sizes = np.where(present[..., None], np.array([length, width], np.float32), np.float32(0))
    return Scenes(states=states, present=present, sizes=sizes.astype(np.float32), kinds=np.zeros((1, slots), np.int8),
                  road=np.array([[LANES, WIDTH]], np.float32), table=pd.DataFrame(index=pd.RangeIndex(1)),
                  entities=np.zeros(1, np.int64), shape=SceneShape(vehicles=slots, steps=steps, rate=rate))


def lane(number: int) -> float:
    """Centre of a lane, 0 the rightmost, in m."""
    return (number + 0.5) * WIDTH


def change(start: int, end: int, at: float, *, takes: float = 3.0, steps: int = 40, rate: float = 5.0) -> np.ndarray:
    """Position across the road of a smooth lane change that crosses the line ``at`` seconds."""
    time = np.arange(steps) / rate
    share = np.clip((time - at) / takes + 0.5, 0, 1)
    return lane(start) + (lane(end) - lane(start)) * (3 * share**2 - 2 * share**3)
