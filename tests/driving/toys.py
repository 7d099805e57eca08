"""Toy traffic that moves by its own rules (intelligent driver model, smooth lane changes), not by the bicycle."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from synth.contract.model import Role
from synth.driving.labels import labels
from synth.driving.safety import min_ttc
from synth.driving.scenes import MANOEUVRES, Scenes, SceneShape
from synth.seeds import generator
from synth.tabular.schema import ColumnSchema, TableSchema

WEATHERS = ("dry", "rain", "snow")
SCHEMA = TableSchema(columns=(
    ColumnSchema(name="manoeuvre", role=Role.CATEGORICAL, nullable=False, values=tuple(sorted(MANOEUVRES))),
    ColumnSchema(name="weather", role=Role.CATEGORICAL, nullable=False, values=WEATHERS),
    ColumnSchema(name="lanes", role=Role.NUMERIC, nullable=False, integer=True, decimals=0),
    ColumnSchema(name="density", role=Role.NUMERIC, nullable=False, decimals=1),
    ColumnSchema(name="speed", role=Role.NUMERIC, nullable=False, decimals=2),
    ColumnSchema(name="min_ttc", role=Role.NUMERIC, nullable=False, decimals=2)))


def traffic(n: int = 200, *, vehicles: int = 4, steps: int = 40, rate: float = 5.0, seed: int = 0,
            windows_each: int = 2) -> Scenes:
    """``n`` scenes of three lanes: some vehicle changes its lane in half of them, one brakes hard in a fifth."""
    rng, k, dt = generator(seed, "toys"), vehicles, 1 / rate
    wide, lanes = 3.5, 3
    aside = np.concatenate([np.zeros((n, 1), int), rng.integers(-1, 2, (n, k - 1))], 1)
    lane = np.clip(rng.integers(0, 3, (n, 1)) + aside, 0, 2)
    s = np.concatenate([np.zeros((n, 1)), rng.uniform(-60, 80, (n, k - 1))], 1)
    for slot in range(1, k):  # those of a lane stand apart
        for _ in range(3):
            near = (np.abs(s[:, :slot] - s[:, slot, None]) < 18) & (lane[:, :slot] == lane[:, slot, None])
            s[:, slot] += near.any(1) * 25
    v = rng.uniform(16, 28, (n, 1)) + rng.normal(0, 1.0, (n, k))
    wish = v + rng.normal(0, 1.5, (n, k))
    present = rng.random((n, k)) < 0.9
    present[:, 0] = True
    mover = np.where(rng.random(n) < 0.5, rng.integers(0, k, n), -1)
    start = rng.uniform(0.5, 4.0, n)
    target = np.clip(lane[np.arange(n), mover] + rng.choice([-1, 1], n), 0, 2)
    brakes = np.where(rng.random(n) < 0.2, rng.integers(0, 2, n), -1)
    when = rng.uniform(1, 5, n)
    states = np.zeros((n, k, steps, 4))
    wander = rng.normal(0, 0.1, (n, k))
    centre = (lane + 0.5) * wide
    before = centre + wander
    for t in range(steps):
        share = np.clip((t * dt - start) / 4.0, 0, 1)
        moved = (3 * share**2 - 2 * share**3) * (target - lane[np.arange(n), mover]) * wide
        d = before + (np.arange(k) == mover[:, None]) * moved[:, None]
        states[:, :, t] = np.stack([s, d, np.zeros_like(s), v], -1)
        ahead = s[:, None] - s[:, :, None]
        beside = np.abs(d[:, None] - d[:, :, None]) < 2.0
        gap = np.where((ahead > 0) & beside & present[:, None], ahead, 1e3).min(2) - 5.0
        who = np.where((ahead > 0) & beside & present[:, None], ahead, 1e3).argmin(2)
        closing = np.where(gap < 900, v - np.take_along_axis(v, who, 1), 0)
        want = 2 + 1.2 * v + v * closing / 4
        a = 1.5 * (1 - (v / wish) ** 4 - (np.maximum(want, 2) / np.maximum(gap, 1)) ** 2) + rng.normal(0, 0.15, (n, k))
        hit = (np.arange(k) == brakes[:, None]) & (np.abs(t * dt - when - 0.7) < 0.7)[:, None]
        a = np.clip(np.where(hit, -5.0, a), -8, 2.5)
        faster = np.maximum(v + a * dt, 0)
        s, v = s + (v + faster) / 2 * dt, faster
    states[..., 2] = np.arctan2(np.gradient(states[..., 1], dt, axis=2), np.maximum(states[..., 3], 1))
    kinds = (rng.random((n, k)) < 0.15).astype(np.int8)
    sizes = np.where(kinds[..., None] == 1, [7.0, 2.3], [4.6, 1.8])
    states[~present], sizes[~present], kinds[~present] = 0, 0, 0
    order = np.argsort(np.where(present, np.hypot(states[:, :, 0, 0], states[:, :, 0, 1] - states[:, :1, 0, 1]), 1e6)
                       - 1e6 * (np.arange(k) == 0), axis=1, kind="stable")
    rows = np.arange(n)[:, None]
    made = Scenes(
        states=states[rows, order].astype(np.float32), present=present[rows, order],
        sizes=sizes[rows, order].astype(np.float32), kinds=kinds[rows, order],
        road=np.tile(np.array([lanes, wide], np.float32), (n, 1)), table=pd.DataFrame(index=pd.RangeIndex(n)),
        entities=np.arange(n, dtype=np.int64) // windows_each, shape=SceneShape(vehicles=k, steps=steps, rate=rate))
    table = pd.DataFrame({
        "manoeuvre": pd.Series(labels(made), dtype="str"), "weather": pd.Series(rng.choice(WEATHERS, n), dtype="str"),
        "lanes": np.full(n, 3.0), "density": np.round(rng.uniform(8, 30, n), 1),
        "speed": np.round(states[:, 0, 0, 3], 2), "min_ttc": np.round(np.minimum(min_ttc(made), 10.0), 2)})
    return dataclasses.replace(made, table=table)
