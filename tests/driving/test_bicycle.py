"""The bicycle: bounds hold whatever is asked, and what was driven can be found again."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.driving.bicycle import BOUNDS, SLOWEST, advance, controls, track
from synth.driving.safety import GRAVITY
from synth.driving.tokens import Grid, Grids, draw, encode, relaxed
from tests.driving.toys import traffic

DT = 0.2
wild = st.floats(-200, 200, width=32)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(wild, wild), min_size=2, max_size=30), st.floats(0.05, 1.0), st.floats(0, BOUNDS.speed))
def test_no_control_leaves_what_a_vehicle_can_do(asked: list[tuple[float, float]], mu: float, speed: float) -> None:
    friction = torch.tensor(mu)
    state = torch.tensor([0.0, 5.0, 0.0, speed])
    for control in asked:
        after = advance(state, torch.tensor(control), friction, DT)
        gained = float(after[3] - state[3]) / DT
        mean = float(after[3] + state[3]) / 2
        turned = float(after[2] - state[2]) / DT
        assert 0 <= after[3] <= BOUNDS.speed
        assert math.hypot(gained, turned * mean) <= mu * GRAVITY + 1e-2
        assert abs(turned) <= BOUNDS.curvature * mean + 1e-3
        moved = math.hypot(float(after[0] - state[0]), float(after[1] - state[1])) / DT
        assert moved == pytest.approx(mean, abs=2e-2)
        state = after


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-3, 2), st.floats(-1, 1)), min_size=2, max_size=30), st.floats(12, 40))
def test_what_was_asked_is_found_again(asked: list[tuple[float, float]], speed: float) -> None:
    friction, states = torch.tensor(0.9), [torch.tensor([0.0, 5.0, 0.0, speed], dtype=torch.float64)]
    limit = 3.0  # slower than this at the end would meet the bound at standstill
    for control in asked:
        states.append(advance(states[-1], torch.tensor(control, dtype=torch.float64), friction, DT))
    driven = torch.stack(states)
    if float(driven[:, 3].min()) < limit or float(driven[:, 2].abs().max()) > BOUNDS.heading - 0.01:
        return
    np.testing.assert_allclose(controls(driven[:-1], driven[1:], DT), np.array(asked), atol=1e-6)
    again, used = track(driven, friction, DT)
    np.testing.assert_allclose(again, driven, atol=1e-6)
    np.testing.assert_allclose(used, np.array(asked), atol=1e-6)


def test_a_vehicle_stands_and_can_start_again() -> None:
    state = torch.tensor([0.0, 0.0, 0.1, 0.5])
    for _ in range(5):
        state = advance(state, torch.tensor([-8.0, 3.0]), torch.tensor(0.9), DT)
    assert float(state[3]) == 0 and float(advance(state, torch.tensor([1.0, 0.0]), torch.tensor(0.9), DT)[3]) > 0


def test_traffic_that_knows_no_bicycle_is_followed_closely_and_kicks_are_led_back() -> None:
    scenes = traffic(60)
    recorded = torch.from_numpy(scenes.states)[scenes.present]
    friction = torch.full((len(recorded),), 0.9)
    driven, _ = track(recorded, friction, DT)
    off = (driven - recorded).abs()
    assert float(off[..., 0].max()) < 0.5 and float(off[..., 1].max()) < 0.1 and float(off[..., 3].max()) < 0.2
    kicks = torch.zeros_like(recorded)
    kicks[:, 5] = torch.tensor([1.0, 0.4, 0.0, 0.5])
    kicked, _ = track(recorded, friction, DT, kicks=kicks)
    fast = recorded[:, :, 3].min(1).values > 2 * SLOWEST
    apart = (kicked - recorded).abs()[fast]
    assert float(apart[:, 5, 1].min()) > 0.3
    assert float(apart[:, -1, 1].max()) < 0.1 and float(apart[:, -1, 3].max()) < 0.3


def test_gradients_reach_the_first_control_through_a_drive() -> None:
    asked = torch.zeros(10, 2, requires_grad=True)
    state = torch.tensor([0.0, 5.0, 0.0, 20.0])
    for control in asked:
        state = advance(state, control, torch.tensor(0.9), DT)
    state[0].backward()
    assert float(asked.grad[0, 0]) == pytest.approx(DT * DT * 9.5, rel=1e-4)


# -- tokens ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.floats(0.02, 1.0), st.integers(4, 64), st.floats(-8.9, 4.4))
def test_a_value_is_in_its_bin(scale: float, bins: int, value: float) -> None:
    edges = Grid(low=-9.0, high=4.5, scale=scale, bins=bins).edges()
    assert len(edges) == bins + 1 and bool((edges.diff() > 0).all())
    at = int(encode(torch.tensor([value]), edges)[0])
    assert edges[at] - 1e-4 <= value <= edges[at + 1] + 1e-4


def test_draws_follow_the_bins_probabilities_and_fill_them_evenly() -> None:
    edges = Grid(low=-2.0, high=2.0, scale=0.5, bins=5).edges()
    shares = torch.tensor([0.1, 0.2, 0.4, 0.0, 0.3])
    rng = torch.Generator().manual_seed(0)
    values = draw(shares.log().expand(40_000, 5), edges, torch.rand(40_000, generator=rng))
    at = encode(values, edges)
    np.testing.assert_allclose(torch.bincount(at, minlength=5) / 40_000, shares, atol=0.01)
    inside = (values[at == 2] - edges[2]) / (edges[3] - edges[2])
    assert abs(float(inside.mean()) - 0.5) < 0.01 and float(inside.std()) == pytest.approx(12**-0.5, abs=0.01)
    torch.manual_seed(0)
    logits = shares.clamp(min=1e-9).log().expand(40_000, 5).clone().requires_grad_(True)
    soft = relaxed(logits, edges, torch.rand(40_000, 5), torch.rand(40_000), 0.7)
    np.testing.assert_allclose(torch.bincount(encode(soft.detach(), edges), minlength=5) / 40_000, shares, atol=0.01)
    soft.sum().backward()
    assert logits.grad is not None and float(logits.grad[:, 4].mean()) > 0 > float(logits.grad[:, 0].mean())


def test_grids_are_finer_for_calmer_traffic() -> None:
    rng = np.random.default_rng(0)
    calm = Grids.fit(rng.normal(0, 0.05, (50, 10, 2)).astype(np.float32), (20, 20))
    lively = Grids.fit(rng.normal(0, 1.0, (50, 10, 2)).astype(np.float32), (20, 20))
    assert calm.along.scale < lively.along.scale and Grids.from_json(calm.to_json()) == calm
