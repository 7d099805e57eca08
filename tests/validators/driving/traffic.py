"""Toy motorway traffic for tests: followers (IDM) on three lanes with lane changes, cut-ins and brakings.

Every scene is simulated by itself, all scenes at once; a scene's drivers have styles of their own, so that no two
scenes are alike, and scenes can share an entity. Rules of :mod:`synth.driving.labels` say what a scene shows.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from synth.contract import Column, Contract, Privacy, Role, Task
from synth.contract.traffic import Traffic
from synth.driving import geometry, labels, safety
from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import MANOEUVRES, Scenes, SceneShape
from synth.seeds import generator
from synth.tabular.schema import ColumnSchema, TableSchema

WEATHERS = ("dry", "rain", "snow")
LANES, WIDTH, DT, SUB = 3, 3.5, 0.2, 2
FRICTION = (("dry", 0.9), ("clear", 0.9), ("rain", 0.65), ("snow", 0.45))


def schema() -> TableSchema:
    """What the listing models."""
    number = {"role": Role.NUMERIC, "nullable": False}
    return TableSchema(columns=(
        ColumnSchema(name="manoeuvre", role=Role.CATEGORICAL, nullable=False, values=MANOEUVRES),
        ColumnSchema(name="weather", role=Role.CATEGORICAL, nullable=False, values=WEATHERS),
        ColumnSchema(name="lanes", integer=True, **number), ColumnSchema(name="density", **number),
        ColumnSchema(name="speed", **number), ColumnSchema(name="min_ttc", **number)))


def contract(**changes: object) -> Contract:
    """A contract over :func:`schema`."""
    columns = (Column(name="trip", role=Role.IDENTIFIER, privacy=Privacy.DIRECT),
               Column(name="manoeuvre", role=Role.CATEGORICAL), Column(name="weather", role=Role.CATEGORICAL),
               Column(name="lanes", role=Role.NUMERIC), Column(name="density", role=Role.NUMERIC),
               Column(name="speed", role=Role.NUMERIC), Column(name="min_ttc", role=Role.NUMERIC))
    base = Contract(name="traffic", version="1.0.0", domain="driving", path=Path("traffic.yaml"), digest="0" * 64,
                    description="", source="traffic", columns=columns, entity="trip", target="manoeuvre",
                    task=Task.CLASSIFICATION, conditions=("weather",), traffic=Traffic(friction=FRICTION))
    return replace(base, **changes)  # type: ignore[arg-type]


@lru_cache(maxsize=8)
def drives(count: int, seed: int, *, each: int = 1, vehicles: int = 4, steps: int = 40) -> Scenes:
    """``count`` drivers with ``each`` scenes of their own, collisions left out (so a few scenes are drawn again)."""
    scenes = _simulated(int(count * each * 1.25) + 20, seed, vehicles, steps)
    fine = ~geometry.collisions(scenes).any(axis=(1, 2)) & ~geometry.off_road(scenes).any(axis=1)
    kept = scenes.take(np.flatnonzero(fine)[: count * each])
    assert len(kept) == count * each
    return replace(kept, entities=np.repeat(np.arange(count), each))


def _simulated(n: int, seed: int, count: int, steps: int) -> Scenes:
    rng = generator(seed, "toy traffic")
    weather = rng.choice(3, n, p=(0.6, 0.3, 0.1))
    density = rng.gamma(6, 2.5, n) + 5
    cruise = np.array([31.0, 27.0, 21.0])[weather][:, None] - 0.25 * density[:, None]
    wish = np.maximum(cruise + rng.normal(0, 2.5, (n, count)), 8)
    headway = rng.uniform(0.9, 2.2, (n, count)) * np.array([1, 1.2, 1.5])[weather][:, None]
    truck = rng.random((n, count)) < 0.15
    sizes = np.stack([np.where(truck, rng.uniform(9, 16, (n, count)), rng.uniform(4, 5, (n, count))),
                      np.where(truck, 2.4, rng.uniform(1.7, 1.9, (n, count)))], axis=-1)
    lane = rng.integers(0, LANES, (n, count))
    present = rng.random((n, count)) < 0.9
    present[:, 0] = True
    # the second vehicle is ahead of the ego vehicle, the third behind, the fourth anywhere
    beside = np.where(rng.random(n) < 0.5, lane[:, 0], np.clip(lane[:, 0] + rng.choice((-1, 1), n), 0, LANES - 1))
    lane[:, 1] = beside
    # what will happen, to whom, when
    kind = rng.choice(5, n, p=(0.22, 0.2, 0.28, 0.15, 0.15))  # nothing, ego changes, cut-in, cut-out, braking
    actor = np.where(kind == 1, 0, 1)
    lane[kind == 2, 1] = np.clip(lane[kind == 2, 0] + rng.choice((-1, 1), int((kind == 2).sum())), 0, LANES - 1)
    lane[kind >= 3, 1] = lane[kind >= 3, 0]
    speed = np.maximum(wish + rng.normal(0, 1, (n, count)), 5)
    gap = 8 + rng.gamma(3, np.where(np.isin(kind, (2, 3)), 4, 12)[:, None], (n, count))
    s = np.zeros((n, count))
    s[:, 1] = 12 + gap[:, 1] + np.where(np.isin(kind, (2, 3)), 0, 0.6 * speed[:, 0])
    if count > 2:
        s[:, 2] = -(12 + gap[:, 2])
    for extra in range(3, count):
        s[:, extra] = s[:, 1] + 20 + gap[:, extra] * np.where(rng.random(n) < 0.5, 1, -3)
    onset = rng.uniform(0.5, 4.5, n)
    lasts = rng.uniform(2.5, 5, n)
    to = np.where(kind == 2, lane[:, 0], np.clip(lane[np.arange(n), actor] + rng.choice((-1, 1), n), 0, LANES - 1))
    depth = rng.uniform(2.5, 8, n) * np.array([1, 0.65, 0.42])[weather]
    wander, centre = np.zeros((n, count)), (lane + 0.5) * WIDTH + rng.normal(0, 0.15, (n, count))
    states = np.zeros((n, count, steps, 4))
    who = np.arange(n)
    d = centre.copy()
    for step in range(steps * SUB):
        t = step * DT / SUB
        shift = _smooth((t - onset) / lasts)
        moved = np.where(np.isin(kind, (1, 2, 3)), shift * ((to + 0.5) * WIDTH - centre[who, actor]), 0.0)
        wander += -0.4 * wander * DT / SUB + 0.08 * np.sqrt(DT / SUB) * rng.normal(size=(n, count))
        new = centre + wander
        new[who, actor] += moved
        d = new
        if step % SUB == 0:
            states[:, :, step // SUB] = np.stack([s, d, np.zeros_like(s), speed], axis=-1)
        accel = _follow(s, d, speed, wish, headway, sizes, present)
        braking = (kind == 4) & (t >= onset) & (t < onset + 2)
        accel[who[braking], actor[braking]] = -depth[braking]
        ease = np.clip(accel, -np.array([8.0, 5.2, 3.4])[weather][:, None], 2.5)
        before = speed
        speed = np.maximum(speed + ease * DT / SUB, 0.5)
        s = s + 0.5 * (before + speed) * DT / SUB
    # headings follow from what was driven
    dy = np.gradient(states[..., 1], DT, axis=2)
    states[..., 2] = np.arctan2(dy, np.maximum(states[..., 3], 1))
    states[..., 0] -= states[:, :1, :1, 0]
    return _scenes(states, present, sizes, truck, weather, density)


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def _follow(s, d, speed, wish, headway, sizes, present):  # type: ignore[no-untyped-def]
    """Intelligent driver model (Treiber et al. 2000) behind the nearest vehicle whose box overlaps across the road."""
    ahead = s[:, None, :] - s[:, :, None]
    aside = np.abs(d[:, None, :] - d[:, :, None]) < 0.5 * (sizes[:, None, :, 1] + sizes[:, :, None, 1])
    gap = ahead - 0.5 * (sizes[:, None, :, 0] + sizes[:, :, None, 0])
    gap = np.where((ahead > 0) & aside & present[:, None, :] & present[:, :, None], gap, np.inf)
    leader = gap.argmin(axis=2)
    room = np.maximum(np.take_along_axis(gap, leader[:, :, None], 2)[..., 0], 0.5)
    closing = speed - np.take_along_axis(speed, leader, 1)
    wanted = 2 + speed * headway + speed * closing / (2 * np.sqrt(1.5 * 2.0))
    with np.errstate(invalid="ignore"):
        return 1.5 * (1 - (speed / wish) ** 4 - np.where(np.isfinite(room), (np.maximum(wanted, 0) / room) ** 2, 0))


def _scenes(states, present, sizes, truck, weather, density):  # type: ignore[no-untyped-def]
    """Empty slots zeroed, slots ordered, labelled."""
    n, count = present.shape
    states = np.where(present[:, :, None, None], states, 0)
    apart = states[:, :, 0, :2] - states[:, :1, 0, :2]
    away = np.where(present, np.hypot(apart[..., 0], apart[..., 1]), np.inf)
    away[:, 0] = -1
    order = np.argsort(away, axis=1, kind="stable")
    rows = np.arange(n)[:, None]
    scenes = Scenes(
        states=states[rows, order].astype(np.float32), present=present[rows, order],
        sizes=np.where(present[:, :, None], sizes, 0)[rows, order].astype(np.float32),
        kinds=np.where(present, truck, 0)[rows, order].astype(np.int8),
        road=np.tile(np.array([[LANES, WIDTH]], np.float32), (n, 1)), entities=np.arange(n),
        table=pd.DataFrame({"manoeuvre": ["free"] * n}),
        shape=SceneShape(vehicles=count, steps=states.shape[2], rate=5))
    table = pd.DataFrame({
        "manoeuvre": pd.Series(labels.labels(scenes), dtype="str"),
        "weather": pd.Series([WEATHERS[w] for w in weather], dtype="str"), "lanes": np.full(n, float(LANES)),
        "density": np.round(density, 2), "speed": np.round(scenes.states[:, 0, 0, 3].astype(float), 2),
        "min_ttc": np.round(np.minimum(safety.min_ttc(scenes), 10.0).astype(float), 2)})
    return replace(scenes, table=table)


def evidence(drivers: int, seed: int, *, each: int = 1, synthetic: int | None = None) -> SceneEvidence:
    """Train .5, holdout .25, reference .25 of the drivers; the synthetic scenes are fresh drivers' unless replaced."""
    real = drives(drivers, seed, each=each)
    part = np.searchsorted(np.array([0.5, 0.75]) * drivers, real.entities, side="right")
    fresh = drives(synthetic or int((part == 0).sum()), seed + 7_000)
    return SceneEvidence(contract=contract(), schema=schema(), seed=seed, synthetic=fresh, train=real.take(part == 0),
                         holdout=real.take(part == 1), reference=real.take(part == 2))


def alone(scenes: Scenes) -> Scenes:
    """As synthetic scenes are: an entity each."""
    return replace(scenes, entities=np.arange(len(scenes)))
