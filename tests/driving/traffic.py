"""Made-up scenes for the tests of files: straight traffic, a lane change, a crash."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synth.driving.scenes import Kind, Scenes, SceneShape

WEATHER = ("dry", "rain", "snow")


def scenes(n: int = 6, *, vehicles: int = 4, steps: int = 40, rate: float = 5.0, seed: int = 0,
           crash: bool = False) -> Scenes:
    """``n`` scenes on 3 lanes: the ego vehicle follows a leader; slot 2 changes from the middle lane to the left.

    Every third scene has an empty last slot. With ``crash``, the ego vehicle of scene 0 runs into its leader.
    """
    rng = np.random.default_rng(seed)
    shape = SceneShape(vehicles=vehicles, steps=steps, rate=rate)
    t = np.arange(steps) / rate
    states = np.zeros((n, vehicles, steps, 4))
    sizes = np.tile(np.array([4.6, 1.9]), (n, vehicles, 1)) + rng.uniform(0, 0.3, (n, vehicles, 2))
    kinds = np.zeros((n, vehicles), np.int8)
    for i in range(n):
        speed = rng.uniform(18, 24)
        gap = rng.uniform(16, 40)
        closing = 6.0 if crash and i == 0 else rng.uniform(-0.5, 1.0)
        gap = 12.0 if crash and i == 0 else gap
        for k in range(vehicles):
            if k == 0:
                v, s0, d = speed, 0.0, np.full(steps, 1.75)
            elif k == 1:
                v, s0, d = speed - closing, gap, np.full(steps, 1.75)
            elif k == 2:
                v, s0, d = speed + 1, -14.0, 5.25 + 1.75 * (1 - np.cos(np.pi * np.clip((t - 2) / 4, 0, 1)))
            else:
                v, s0, d = speed + 2, 15.0 * (k - 1), np.full(steps, 8.75)
                sizes[i, k], kinds[i, k] = (12.0, 2.5), Kind.TRUCK
            across = np.gradient(d, 1 / rate)
            states[i, k] = np.stack([s0 + v * t, d, np.arctan2(across, v), np.hypot(v, across)], axis=-1)
    present = np.ones((n, vehicles), bool)
    present[::3, -1] = vehicles < 2
    states[~present] = 0
    table = pd.DataFrame({
        "manoeuvre": pd.Categorical(["follow"] * n), "weather": pd.Categorical([WEATHER[i % 3] for i in range(n)]),
        "lanes": np.full(n, 3), "density": np.full(n, 20.0), "speed": states[:, 0, 0, 3], "min_ttc": np.full(n, 9.0)})
    return Scenes(states=states.astype(np.float32), present=present, sizes=sizes.astype(np.float32), kinds=kinds,
                  road=np.tile(np.array([3, 3.5], np.float32), (n, 1)), table=table,
                  entities=np.arange(n, dtype=np.int64), shape=shape)
