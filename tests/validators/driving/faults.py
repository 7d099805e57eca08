"""Planted faults: generators of scenes that deserve to be stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from synth.driving import geometry, labels
from synth.driving.evidence import SceneEvidence
from synth.driving.scenes import EGO, LANE_WIDTH, LANES, LENGTH, D, S, Scenes, joined
from synth.seeds import generator
from tests.validators.driving.traffic import alone

Fault = Callable[[SceneEvidence], Scenes]


def relabelled(scenes: Scenes) -> Scenes:
    """Rows of the listing that say what the scenes show."""
    return replace(scenes, table=scenes.table.assign(manoeuvre=labels.labels(scenes)))


def _part(e: SceneEvidence, share: float, name: str) -> tuple[np.ndarray, np.random.Generator]:
    rng = generator(e.seed, name)
    return np.sort(rng.permutation(len(e.synthetic))[: int(share * len(e.synthetic))]), rng


def memorised(e: SceneEvidence, share: float = 1.0, *, jitter: float = 0.1) -> Scenes:
    """``share`` of the synthetic scenes are training scenes, each vehicle moved a little along and across."""
    rows, rng = _part(e, share, "memorised")
    chosen = e.train.take(rng.choice(len(e.train), len(rows), replace=len(rows) > len(e.train)))
    moved = chosen.states.copy()
    for place in (S, D):
        moved[..., place] += rng.normal(0, jitter, moved.shape[:2])[..., None].astype(np.float32)
    moved[~chosen.present] = 0
    moved[..., S] -= np.where(chosen.present[:, :, None], moved[:, EGO, None, :1, S], 0)
    rest = np.setdiff1d(np.arange(len(e.synthetic)), rows)
    return alone(joined(relabelled(replace(chosen, states=moved)), e.synthetic.take(rest)))


def collapsed(e: SceneEvidence, kinds: int = 40, *, jitter: float = 0.05) -> Scenes:
    """A few synthetic scenes again and again."""
    rng = generator(e.seed, "collapsed")
    few = rng.permutation(len(e.synthetic))[:kinds]
    chosen = e.synthetic.take(few[rng.integers(0, kinds, len(e.synthetic))])
    states = chosen.states.copy()
    states[..., D] += rng.normal(0, jitter, states.shape[:2])[..., None].astype(np.float32)
    states[~chosen.present] = 0
    return alone(relabelled(replace(chosen, states=states)))


def shuffled(e: SceneEvidence) -> Scenes:
    """The other vehicles of one scene round the ego vehicle of another: good drives, no reaction to each other."""
    rng, s = generator(e.seed, "shuffled"), e.synthetic
    other = s.take(rng.permutation(len(s)))
    states, present, sizes, kinds = (getattr(s, n).copy() for n in ("states", "present", "sizes", "kinds"))
    for own, new in ((states, other.states), (present, other.present), (sizes, other.sizes), (kinds, other.kinds)):
        own[:, 1:] = new[:, 1:]
    return alone(relabelled(replace(s, states=states, present=present, sizes=sizes, kinds=kinds)))


def permuted(e: SceneEvidence) -> Scenes:
    """The right scenes under each other's manoeuvres."""
    order = generator(e.seed, "permuted").permutation(len(e.synthetic))
    table = e.synthetic.table
    return replace(e.synthetic, table=table.assign(manoeuvre=table["manoeuvre"].to_numpy()[order]))


def colliding(e: SceneEvidence, share: float = 0.03) -> Scenes:
    """In ``share`` of the scenes the ego vehicle drives through the vehicle beside or before it."""
    rows, rng = _part(e, share, "colliding")
    states, present = e.synthetic.states.copy(), e.synthetic.present
    for row in rows:
        others = np.flatnonzero(present[row, 1:]) + 1
        if len(others):
            slot, step = int(rng.choice(others)), states.shape[2] // 2
            states[row, slot, :, :2] += (states[row, EGO, step] - states[row, slot, step])[:2]
            states[row, slot, :, S] += 0.5 * e.synthetic.sizes[row, EGO, LENGTH]
    return replace(e.synthetic, states=states)


def off_road(e: SceneEvidence, share: float = 0.03) -> Scenes:
    """In ``share`` of the scenes the whole traffic drives beyond the edge."""
    rows, _ = _part(e, share, "off road")
    states, road = e.synthetic.states.copy(), e.synthetic.road
    beyond = (road[rows, LANES] * road[rows, LANE_WIDTH])[:, None, None]
    states[rows, :, :, D] = np.where(e.synthetic.present[rows][:, :, None], states[rows, :, :, D] + beyond, 0)
    return replace(e.synthetic, states=states)


def leaping(e: SceneEvidence, share: float = 0.03, far: float = 4.0) -> Scenes:
    """In ``share`` of the scenes a vehicle is suddenly further along the road."""
    rows, rng = _part(e, share, "leaping")
    states = e.synthetic.states.copy()
    for row in rows:
        slot = rng.choice(np.flatnonzero(e.synthetic.present[row]))
        states[row, slot, int(rng.integers(5, states.shape[2] - 5)):, S] += far
    return replace(e.synthetic, states=states)


def unbraked(e: SceneEvidence) -> Scenes:
    """Nobody ever changes speed or lane, and who would crash is left out: safe and nothing like traffic."""
    s = e.synthetic
    states, steps = s.states.copy(), s.shape.steps
    time = np.arange(steps) * s.shape.dt
    states[..., S] = states[:, :, :1, S] + states[:, :, :1, 3] * time
    for place in (D, 2, 3):
        states[..., place] = states[:, :, :1, place] if place != 2 else 0
    states[~s.present] = 0
    still = relabelled(replace(s, states=states.astype(np.float32)))
    fine = np.flatnonzero(~geometry.collisions(still).any(axis=(1, 2)))
    return alone(still.take(np.resize(fine, len(s))))


FAULTS: dict[str, tuple[Fault, str]] = {  # and the gate that is meant for it
    "memoriser": (memorised, "leakage"), "5 % memorised": (lambda e: memorised(e, 0.05), "leakage"),
    "collapsed": (collapsed, "diversity"), "shuffled": (shuffled, "fidelity"), "permuted": (permuted, "contract"),
    "colliding": (colliding, "contract"), "off road": (off_road, "contract"), "leaping": (leaping, "contract"),
    "unbraked": (unbraked, "fidelity")}
