"""Headers: scenes to rows and back, and what a row cannot say wrong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import torch

from synth.driving.bicycle import advance
from synth.driving.features import DYNAMIC, SEEN, features, neighbours
from synth.driving.header import Header
from synth.driving.plan import KNOWN, SCHEDULE, STATIC, Facts, Plan, facts
from synth.driving.roles import cast
from synth.driving.scenes import HEADING, LENGTH, SPEED, D, S, Scenes
from synth.driving.staging import realise
from tests.driving.toys import SCHEMA, traffic


def planned(scenes: Scenes, header: Header | None = None, width: int = 2) -> tuple[Header, pd.DataFrame, Plan]:
    header = header or Header.fit(scenes, SCHEMA)
    frame = pd.concat([scenes.table, header.describe(scenes)], axis=1)
    n = len(scenes)
    return header, frame, realise(header, frame, np.full(n, 0.9, np.float32), np.zeros((n, width), np.float32))


def test_a_start_is_told_in_gaps_and_found_again() -> None:
    scenes = cast(traffic(300))
    header, frame, plan = planned(scenes)
    header.schema().check(frame[header.schema().names])
    np.testing.assert_array_equal(plan.present, scenes.present)
    np.testing.assert_array_equal(plan.kinds, scenes.kinds)
    off = np.abs(plan.start - scenes.states[:, :, 0])
    for part, limit in ((D, 1e-3), (HEADING, 1e-3), (SPEED, 0.02)):
        assert off[..., part].max() < limit
    assert np.quantile(off[..., S], 0.99) < 0.1  # but for vehicles that stand in one place
    names = " ".join(frame.columns)
    assert "gap" in names and not {"s", "d", "x", "y"} & set(names.split())
    assert Header.from_json(header.to_json()) == header


def test_intents_and_events_are_those_of_the_scene() -> None:
    scenes = cast(traffic(300))
    _, frame, plan = planned(scenes)
    changed = frame["ego turn"] != "+0"
    moved = np.abs(scenes.states[:, 0, -1, D] - scenes.states[:, 0, 0, D]) > 2.5
    assert changed.sum() > 10 and (changed.to_numpy() == moved).mean() > 0.99
    assert frame["ego cross"].notna().equals(changed)
    mean = frame[[f"ego a{i}" for i in range(4)]].mean(axis=1)
    gained = (scenes.states[:, 0, -1, SPEED] - scenes.states[:, 0, 0, SPEED]) / (39 * 0.2)
    np.testing.assert_allclose(mean, gained, atol=0.1)
    braking = scenes.table["manoeuvre"] == "hard_brake"
    assert (plan.braker[braking] >= 0).all() and (plan.depth[braking] >= 3.5).all()
    assert (frame.loc[scenes.table["manoeuvre"] == "free", "actor"] == "nobody").all()


def test_whatever_a_row_says_vehicles_of_a_lane_are_apart_and_on_the_road() -> None:
    scenes = cast(traffic(400))
    header, frame, _ = planned(scenes)
    rng = np.random.default_rng(0)
    nonsense = frame.copy()
    for name in nonsense:  # every column in an order of its own
        nonsense[name] = nonsense[name].to_numpy()[rng.permutation(len(nonsense))]
        if nonsense[name].dtype == "float64":
            nonsense.loc[rng.random(len(nonsense)) < 0.05, name] = np.nan
    nonsense["v1 gap"] -= 40.0
    nonsense["ego offset"] = 9.0
    plan = realise(header, nonsense, np.full(400, 0.9, np.float32), np.zeros((400, 1), np.float32))
    s, d, length = plan.start[..., S], plan.start[..., D], plan.sizes[..., LENGTH]
    lane = np.floor(d / 3.5)
    both = plan.present[:, :, None] & plan.present[:, None] & (np.arange(4)[:, None] < np.arange(4))
    same = both & (np.abs((d % 3.5) - 1.75)[:, :, None] < 1) & (lane[:, :, None] == lane[:, None])
    gap = np.abs(s[:, :, None] - s[:, None]) - (length[:, :, None] + length[:, None]) / 2
    assert same.sum() > 100
    assert (gap[same] < -0.01).mean() < 0.01  # none but those whose offset put them over a line
    assert (d[plan.present] > 0.5).all() and (d[plan.present] < 10.0).all()
    assert np.isfinite(plan.start).all() and (plan.start[..., SPEED] >= 0).all()
    assert not plan.start[~plan.present].any()


def test_the_schedule_counts_down_to_what_will_happen() -> None:
    scenes = cast(traffic(200))
    _, frame, plan = planned(scenes)
    told = facts(plan, 40, 0.2)
    assert told.static.shape == (200, 4, STATIC + 2) and told.schedule.shape == (200, 40, 4, SCHEDULE)
    assert torch.isfinite(told.static).all() and torch.isfinite(told.schedule).all()
    row = int(np.flatnonzero((frame["ego turn"] != "+0") & (frame["ego cross"] < 3.9))[0])
    left = told.schedule[row, :, 0, 5]
    at = round(float(frame["ego cross"][row]) / 0.2)
    assert float(left[at]) == 0 or abs(float(left[at])) < 0.11
    assert float(left[0]) > 0 > float(left[-1])
    ends = told.schedule[:, -1, 0, 0].numpy()  # the last goal speed is the speed at the end
    np.testing.assert_allclose(ends, scenes.states[:, 0, -1, SPEED], atol=0.15)
    forgotten = dataclasses.replace(plan, profile=np.full_like(plan.profile, np.nan))
    assert float(facts(forgotten, 40, 0.2).static[..., KNOWN].max()) == 0


def oracle(states: np.ndarray, plan: Plan, scene: int, slot: int) -> np.ndarray:
    """Nearness of the six neighbours at the first step, by loops."""
    found = np.zeros(6)
    s, d = states[scene, :, S], states[scene, :, D]
    for place, (low, high) in enumerate(((-1.6, -0.4), (-0.6, 0.6), (0.4, 1.6))):
        for side in (0, 1):
            best = None
            for other in range(4):
                beside = (d[other] - d[slot]) / 3.5
                if other == slot or not plan.present[scene, other] or not low < beside < high:
                    continue
                if (s[other] > s[slot]) == (side == 0) and (best is None or abs(s[other] - s[slot]) < best[0]):
                    gap = abs(s[other] - s[slot]) - (plan.sizes[scene, other, 0] + plan.sizes[scene, slot, 0]) / 2
                    best = abs(s[other] - s[slot]), gap
            if best is not None:
                found[2 * place + side] = np.exp(-max(best[1], 0) / 40)
    return found


def test_neighbours_are_those_a_loop_finds() -> None:
    _, _, plan = planned(traffic(60))
    told = facts(plan, 40, 0.2)
    states = torch.from_numpy(plan.start)
    seen = neighbours(states, torch.zeros(60, 4, 2), told).view(60, 4, 6, SEEN)[..., 1].numpy()
    for scene in range(60):
        for slot in range(4):
            if plan.present[scene, slot]:
                np.testing.assert_allclose(seen[scene, slot], oracle(plan.start, plan, scene, slot), atol=1e-5)


def test_what_a_driver_sees_does_not_depend_on_where_the_road_is_or_who_is_listed_first() -> None:
    _, _, plan = planned(traffic(40))
    told = facts(plan, 40, 0.2)
    states = torch.from_numpy(plan.start)
    used = torch.randn(40, 4, 2) * told.present.unsqueeze(-1)
    moved = states + torch.tensor([500.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(neighbours(states, used, told), neighbours(moved, used, told), atol=1e-3)
    order = torch.tensor([0, 3, 1, 2])
    shuffled = Facts(*(getattr(told, f.name)[:, order] if getattr(told, f.name).ndim > 1
                       and getattr(told, f.name).shape[1] == 4 else getattr(told, f.name)
                       for f in dataclasses.fields(told)))
    schedule = told.schedule[:, 3]
    whole = features(states, used, told, schedule)
    again = features(states[:, order], used[:, order], shuffled, schedule[:, order])
    assert whole.shape == (40, 4, DYNAMIC)
    there = told.present[:, order]
    np.testing.assert_allclose(whole[:, order][there], again[there], atol=1e-5)


def test_features_are_alike_for_one_step_and_for_all_at_once() -> None:
    _, _, plan = planned(traffic(20))
    told = facts(plan, 40, 0.2)
    state, states, used = torch.from_numpy(plan.start), [], []
    for _ in range(40):
        control = torch.randn(20, 4, 2)
        states.append(state)
        used.append(control)
        state = advance(state, control, told.friction, 0.2)
    whole = features(torch.stack(states, 1), torch.stack(used, 1), told.timed(), told.schedule)
    for t in (0, 17, 39):
        np.testing.assert_allclose(whole[:, t], features(states[t], used[t], told, told.schedule[:, t]), atol=1e-5)
