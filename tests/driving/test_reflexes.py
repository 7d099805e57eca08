"""Reflexes: they keep drivers who know nothing on the road and apart, and leave ordinary driving alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from synth.driving.bicycle import advance, controls
from synth.driving.geometry import collisions, off_road
from synth.driving.labels import labels
from synth.driving.plan import HARD, ONSET, facts
from synth.driving.reflexes import FIRM, firm, restrained, steered
from synth.driving.rollout import roll_out
from synth.driving.scenes import Scenes
from tests.driving import golden
from tests.driving.test_header import planned
from tests.driving.toys import traffic


def driven(scenes: Scenes, reflexes: bool) -> Scenes:
    """Scenes of an untrained policy."""
    policy = golden.players(scenes).generator.eval()
    policy.reflexes = reflexes
    with torch.inference_mode():
        policy.heads.bias[:10] = torch.linspace(-1, 1.5, 10)  # it likes speed
        _, _, plan = planned(scenes)
        told = facts(plan, 40, 0.2)
        states = roll_out(policy, torch.from_numpy(plan.start), told, 0.2, rng=torch.Generator().manual_seed(0))
    return dataclasses.replace(scenes, states=states.transpose(1, 2).numpy())


def test_drivers_who_know_nothing_stay_on_the_road_and_mostly_apart() -> None:
    scenes = traffic(300)
    scenes = scenes.take(~collisions(scenes).any((1, 2)))
    wild, careful = driven(scenes, False), driven(scenes, True)
    assert off_road(wild).any(1).mean() > 0.3 and off_road(careful).any(1).mean() < 0.05
    assert collisions(wild).any((1, 2)).mean() > 4 * collisions(careful).any((1, 2)).mean()


def test_ordinary_driving_is_left_alone() -> None:
    scenes = traffic(200)
    _, _, plan = planned(scenes)
    told = facts(plan, 40, 0.2)
    states = torch.from_numpy(scenes.states)
    used = controls(states[:, :, :-1], states[:, :, 1:], 0.2)
    changed = []
    for t in range(1, 39):
        kept = restrained(states[:, :, t], used[:, :, t], used[:, :, t - 1], told)
        changed.append(((kept - used[:, :, t]).abs() > 1e-4).any(-1)[told.present])
    assert float(torch.cat(changed).float().mean()) < 0.01


def test_they_brake_behind_a_wall_and_turn_from_the_edge() -> None:
    scenes = traffic(4)
    states = scenes.states.copy()
    present = np.zeros_like(scenes.present)
    present[:, :2] = True
    states[:, 0, 0], states[:, 1, 0] = (0, 5.25, 0, 25), (30, 5.25, 0, 0)
    states[1:, 1, 0, 0] = -30  # behind: nothing to brake for
    states[2, 0, 0, 1:3] = (1.2, -0.05)  # towards the right edge
    _, _, plan = planned(dataclasses.replace(scenes, present=present, states=states * present[..., None, None]))
    told = facts(dataclasses.replace(plan, present=present), 40, 0.2)
    kept = restrained(torch.from_numpy(states[:, :, 0]), torch.zeros(4, 4, 2), torch.zeros(4, 4, 2), told)
    assert float(kept[0, 0, 0]) < -8 and float(kept[1, 0, 0]) == 0
    assert float(kept[2, 0, 1]) > 1 and float(kept[1, 0, 1]) == 0


def test_a_near_miss_that_was_asked_for_comes_and_is_survived() -> None:
    scenes = traffic(200)
    states, present = np.zeros_like(scenes.states), np.zeros_like(scenes.present)
    present[:, :2] = True
    rng = np.random.default_rng(0)
    states[:, 0, 0], states[:, 1, 0] = (0, 5.25, 0, 22), (0, 5.25, 0, 20)
    states[:, 1, 0, 0] = rng.uniform(22, 45, 200)
    states[100:, 1, 0, 0] *= -1  # half of the time the ego vehicle is the one in front
    alone = dataclasses.replace(scenes, present=present, states=states, kinds=np.zeros_like(scenes.kinds), sizes=(
        np.tile(np.array([4.6, 1.8], np.float32), (200, 4, 1)) * present[..., None]))
    _, _, plan = planned(scenes)
    sign = np.where(np.arange(200) < 100, 1.0, -1.0).astype(np.float32)
    plan = dataclasses.replace(
        plan, start=states[:, :, 0], present=present, sizes=alone.sizes, kinds=alone.kinds,
        turn=np.zeros_like(plan.turn), cross=np.full_like(plan.cross, np.nan), braker=np.full(200, -1),
        profile=np.full_like(plan.profile, np.nan), actor=np.ones(200, np.int64), near=np.ones(200, np.float32),
        onset=np.full(200, 4.0, np.float32), room=np.full(200, 6.0, np.float32), pace=5 * sign,
        friction=np.full(200, 0.9, np.float32))
    shows = {}
    for near in (True, False):
        told = facts(dataclasses.replace(plan, near=np.full(200, 1.2 * near, np.float32)), 40, 0.2)
        state, used = torch.from_numpy(plan.start), torch.zeros(200, 4, 2)
        path = [state]
        for t in range(39):  # both would keep their speeds
            control, dares = steered(state, torch.zeros_like(used), used, told, told.schedule[:, t, 0, ONSET])
            after = advance(state, restrained(state, control, used, told, dares), told.friction, 0.2)
            used, state = controls(state, after, 0.2), after * told.present[..., None]
            path.append(state)
        drive = dataclasses.replace(alone, states=torch.stack(path, 2).numpy())
        shows[near] = (labels(drive) == "near_miss").mean(), collisions(drive).any((1, 2)).mean()
    assert shows[True][0] > 0.9 and shows[True][1] < 0.03
    assert shows[False][0] < 0.2


def test_a_hard_brake_that_was_asked_for_is_not_taken_back() -> None:
    _, _, plan = planned(traffic(60))
    plan = dataclasses.replace(plan, braker=np.zeros(60, np.int64), depth=np.full(60, 5.0, np.float32), near=np.zeros(
        60, np.float32), brake=np.full(60, 2.0, np.float32), lasting=np.full(60, 1.0, np.float32))
    told = facts(plan, 40, 0.2)
    hard = told.schedule[:, 12, :, HARD]
    assert (hard[:, 0] == 5).all() and not hard[:, 1:].any() and not told.schedule[:, 5, :, HARD].any()
    control = torch.randn(60, hard.shape[1], 2)
    found = firm(control, told, hard)
    assert (found[:, 0, 0] <= -FIRM * 5).all() and torch.equal(found[:, 1:], control[:, 1:])
    assert torch.equal(found[..., 1], control[..., 1])
    deeper = firm(control - 9, told, hard)
    assert torch.equal(deeper, control - 9), "who brakes harder than asked is left alone"
    for other in ({"depth": np.full(60, 3.0, np.float32)}, {"near": np.full(60, 1.2, np.float32)}):
        mild = facts(dataclasses.replace(plan, **other), 40, 0.2)
        assert torch.equal(firm(control, mild, mild.schedule[:, 12, :, HARD]), control)
