"""Leaders, time to collision and the rest against a loop over all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.driving import safety
from synth.driving.scenes import HEADING, LENGTH, SPEED, WIDTH, D, S, Scenes
from tests.driving.making import lane, scene


def naive(scenes: Scenes, n: int, k: int, t: int) -> tuple[int, float, float]:
    """(leader, gap, time to collision) by looking at every other vehicle."""
    best, nearest = -1, np.inf
    for j in range(scenes.shape.vehicles):
        if j == k or not scenes.present[n, k] or not scenes.present[n, j]:
            continue
        mine, theirs = scenes.states[n, k, t].astype(float), scenes.states[n, j, t].astype(float)
        wide = (float(scenes.sizes[n, k, WIDTH]) + float(scenes.sizes[n, j, WIDTH])) / 2
        if abs(mine[D] - theirs[D]) < wide and 0 < theirs[S] - mine[S] < nearest:
            best, nearest = j, theirs[S] - mine[S]
    if best < 0:
        return -1, np.inf, np.inf
    gap = nearest - (float(scenes.sizes[n, k, LENGTH]) + float(scenes.sizes[n, best, LENGTH])) / 2
    mine, theirs = scenes.states[n, k, t].astype(float), scenes.states[n, best, t].astype(float)
    closing = mine[SPEED] * np.cos(mine[HEADING]) - theirs[SPEED] * np.cos(theirs[HEADING])
    if gap <= 0:
        return best, gap, 0.0
    return best, gap, gap / closing if closing > 0 else np.inf


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 5), slots=st.integers(1, 5))
def test_as_a_loop_over_pairs(seed: int, steps: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    one = scene((0.0, 0.0, 1.0), steps=max(steps, 2), slots=slots)
    states = np.stack([rng.uniform(-30, 30, (3, slots, steps)), rng.uniform(0, 10, (3, slots, steps)),
                       rng.uniform(-.2, .2, (3, slots, steps)), rng.uniform(0, 30, (3, slots, steps))], axis=-1)
    scenes = Scenes(states=states.astype(np.float32), present=rng.random((3, slots)) < .7,
                    sizes=rng.uniform(1, 6, (3, slots, 2)).astype(np.float32), kinds=np.zeros((3, slots), np.int8),
                    road=np.repeat(one.road, 3, axis=0), table=one.table, entities=np.arange(3), shape=one.shape)
    found = safety.following(scenes)
    for n, k, t in np.ndindex(3, slots, steps):
        slot, gap, ttc = naive(scenes, n, k, t)
        assert found.leader[n, k, t] == slot
        assert found.gap[n, k, t] == pytest.approx(gap)
        assert found.ttc[n, k, t] == pytest.approx(ttc, rel=1e-4)


def test_figures_of_a_known_pair() -> None:
    scenes = scene((0.0, lane(0), 20.0), (25.0, lane(0), 15.0), (12.0, lane(1), 20.0), steps=2)
    assert safety.leader(scenes)[0, :, 0].tolist() == [1, -1, -1, -1]
    assert safety.gap(scenes)[0, 0, 0] == pytest.approx(20.0)
    assert safety.ttc(scenes)[0, 0, 0] == pytest.approx(4.0, rel=1e-4)
    assert safety.drac(scenes)[0, 0, 0] == pytest.approx(25 / 40, rel=1e-4)
    assert safety.headway(scenes)[0, 0, 0] == pytest.approx(1.0, rel=1e-4)
    assert np.isinf(safety.ttc(scenes)[0, 1:]).all() and np.isinf(safety.headway(scenes)[0, 1:]).all()


def test_least_time_counts_the_follower_and_overlap_is_zero() -> None:
    behind = scene((0.0, lane(0), 10.0), (-30.0, lane(0), 12.0), steps=2)
    assert safety.min_ttc(behind)[0] == pytest.approx((25 - 2 / 5) / 2, rel=1e-3)
    crash = scene((0.0, lane(0), 20.0), (10.0, lane(0), 5.0))
    assert safety.min_ttc(crash)[0] == 0
    assert np.isinf(safety.min_ttc(scene((0.0, lane(0), 20.0)))[0])
    others = scene((0.0, lane(0), 10.0), (30.0, lane(2), 30.0), (50.0, lane(2), 5.0))
    assert np.isinf(safety.min_ttc(others)[0])  # a near miss of two others is not the ego vehicle's


def test_no_scenes() -> None:
    none = scene((0.0, 0.0, 1.0)).take(np.zeros(1, bool))
    assert safety.min_ttc(none).shape == (0,) and safety.leader(none).shape == (0, 4, 40)
