"""Copies of training scenes as a generator might make them: the positive controls of the copy detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synth.driving.scenes import EGO, HEADING, SPEED, D, S, Scenes, joined
from validators.driving.aligned import mirrored

KINDS = ("exact", "shifted", "warped", "mirrored", "noisy")
LATER = 1.5  # s by which a shifted copy begins later, at most
ALONG = 200.0  # m by which it lies elsewhere on the road, at most
TEMPO = 0.06  # by which a warped copy is faster or slower, at most
NOISE = (0.3, 0.1, 0.3)  # m along and across, m/s: white noise of each step


def planted(scenes: Scenes, kind: str, random: np.random.Generator) -> Scenes:
    """Copies of ``scenes``, disguised as ``kind`` says (one of KINDS)."""
    if kind == "exact":
        return scenes
    if kind == "mirrored":
        return mirrored(scenes)
    if kind == "noisy":
        states = scenes.states.copy()
        for place, spread in zip((S, D, SPEED), NOISE, strict=True):
            states[..., place] += random.normal(0, spread, states.shape[:-1]).astype(np.float32)
        return _with(scenes, states)
    steps, moments = scenes.shape.steps, np.arange(scenes.shape.steps, dtype=np.float64)
    if kind == "shifted":
        later = random.integers(1, max(int(LATER * scenes.shape.rate), 1) + 1, len(scenes))
        states = resampled(scenes, moments[None] + later[:, None])
        states[..., S] += random.uniform(-ALONG, ALONG, len(scenes))[:, None, None]
        return _with(scenes, states)
    if kind == "warped":
        tempo = 1 + random.uniform(0.3 * TEMPO, TEMPO, len(scenes)) * random.choice((-1, 1), len(scenes))
        states = resampled(scenes, 0.5 * steps + (moments[None] - 0.5 * steps) * tempo[:, None])
        states[..., SPEED] *= tempo[:, None, None]
        return _with(scenes, states)
    raise ValueError(kind)


def disguised(scenes: Sequence[Scenes], kind: str, random: np.random.Generator) -> Scenes:
    """The same for sets of one scene each."""
    return planted(joined(*scenes), kind, random)


def resampled(scenes: Scenes, moments: np.ndarray) -> np.ndarray:
    """States at other moments (steps, float [n, T]), linear between steps, at constant speed beyond them."""
    steps = scenes.shape.steps
    inside = np.clip(moments, 0, steps - 1)
    low = np.minimum(np.floor(inside).astype(np.int64), steps - 2)
    share = (inside - low)[:, None, :, None]
    rows = np.arange(len(scenes))[:, None]
    states = scenes.states.astype(np.float64).transpose(0, 2, 1, 3)
    found = (states[rows, low].transpose(0, 2, 1, 3) * (1 - share)
             + states[rows, low + 1].transpose(0, 2, 1, 3) * share)
    beyond = ((moments - inside) * scenes.shape.dt)[:, None, :]
    found[..., S] += beyond * found[..., SPEED] * np.cos(found[..., HEADING])
    found[..., D] += beyond * found[..., SPEED] * np.sin(found[..., HEADING])
    return found


def _with(scenes: Scenes, states: np.ndarray) -> Scenes:
    """The scenes with other states, the ego vehicle at the beginning of the frame again."""
    states = states.astype(np.float32)
    states[..., S] -= states[:, EGO, None, :1, S]
    return replace(scenes, states=np.where(scenes.present[:, :, None, None], states, np.float32(0)))
