"""SUMO's opinion of scenes: where it puts them, whom it sees crash, how close it thinks they come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synth.driving import geometry, safety
from synth.driving.files import replay as module
from synth.driving.files.replay import available, replay, replayed
from synth.errors import InternalError, UserError
from tests.driving.traffic import scenes

needs_sumo = pytest.mark.skipif(not available(), reason="libsumo is not installed (extra demo)")


@needs_sumo
def test_sumo_sees_the_same_crashes_and_the_same_time_to_collision():
    traffic = scenes(12, crash=True)
    found = replayed(traffic)
    assert found.error.max() < 1e-3
    assert found.collisions.tolist() == geometry.collisions(traffic).any(axis=(1, 2)).tolist()
    assert found.collisions[0] and not found.collisions[1:].any()
    own = safety.min_ttc(traffic)
    assert np.isfinite(found.min_ttc).tolist() == np.isfinite(own).tolist()
    near = own < 30
    assert near.sum() >= 3 and np.abs(found.min_ttc[near] - own[near]).max() < 0.1


@needs_sumo
def test_sumo_agrees_on_the_deceleration_that_avoids_a_crash():
    traffic = scenes(12)
    close = traffic.states.copy()
    close[:, 1, :, 0] = close[:, 0, :, 0] + 25 - 2 * np.arange(40) * 0.2  # closes in with 2 m/s, but never touches
    close[:, 1, :, 3] = close[:, 0, :, 3] - 2
    traffic = replace(traffic, states=close)
    found, own = replayed(traffic), safety.following(traffic).drac[:, 0].max(axis=1)
    assert not found.collisions.any() and own.min() > 0.2
    assert np.abs(found.drac / own - 1).max() < 0.05


@needs_sumo
def test_replay_gives_the_two_that_gates_ask_for():
    collided, ttc = replay(scenes(3))
    assert collided.shape == ttc.shape == (3,) and collided.dtype == bool


def test_without_sumo_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "available", lambda: False)
    with pytest.raises(UserError, match="libsumo"):
        replay(scenes(1))


def test_a_dead_simulator_is_no_answer(monkeypatch, tmp_path):
    dead = tmp_path / "dead.py"
    dead.write_text("raise SystemExit(3)")
    monkeypatch.setattr(module, "available", lambda: True)
    monkeypatch.setattr(module, "_WORKER", dead)
    with pytest.raises(InternalError, match="exit code 3"):
        replay(scenes(1))
