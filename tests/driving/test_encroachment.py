"""Post-encroachment time against a loop over all pairs of steps, and scenes whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.driving.encroachment import min_pet
from synth.driving.safety import GRAVITY, avoidable, max_drac
from synth.driving.scenes import LENGTH, WIDTH, D, S, Scenes
from tests.driving.making import change, lane, scene


def naive(scenes: Scenes, row: int) -> float:
    """Both orders of every pair, step by step."""
    best = np.inf
    for k in range(1, scenes.shape.vehicles):
        own, other = scenes.states[row, 0].astype(float), scenes.states[row, k].astype(float)
        wide = (float(scenes.sizes[row, 0, WIDTH]) + float(scenes.sizes[row, k, WIDTH])) / 2
        long = (float(scenes.sizes[row, 0, LENGTH]) + float(scenes.sizes[row, k, LENGTH])) / 2
        if not scenes.present[row, k] or abs(own[0, D] - other[0, D]) < wide:
            continue
        for one, two in ((own, other), (other, own)):
            for t in range(len(two)):
                there = [u for u in range(t + 1)
                         if abs(one[u, S] - two[t, S]) < long and abs(one[u, D] - two[t, D]) < wide]
                if there:
                    best = min(best, (t - there[-1]) * scenes.shape.dt)
                    break
    return best


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(2, 12), slots=st.integers(1, 4))
def test_as_a_loop_over_pairs_of_steps(seed: int, steps: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    one = scene((0.0, 0.0, 1.0), steps=steps, slots=slots)
    states = np.cumsum(np.stack([rng.uniform(0, 6, (3, slots, steps)), rng.uniform(-1, 1, (3, slots, steps)),
                                 np.zeros((3, slots, steps)), np.zeros((3, slots, steps))], axis=-1), axis=2)
    states[:, :, :, D] += rng.uniform(0, 6, (3, slots, 1))
    scenes = Scenes(states=states.astype(np.float32), present=(rng.random((3, slots)) < .8) | (np.arange(slots) == 0),
                    sizes=rng.uniform(1, 5, (3, slots, 2)).astype(np.float32), kinds=np.zeros((3, slots), np.int8),
                    road=np.repeat(one.road, 3, axis=0), table=one.table, entities=np.arange(3), shape=one.shape)
    assert min_pet(scenes) == pytest.approx([naive(scenes, n) for n in range(3)])


def test_of_a_cut_in_it_is_the_time_from_its_rear_to_the_front_behind() -> None:
    # both at 20 m/s, 40 m between centres, boxes of 5 m: 35 m of way, 1.75 s, in steps of .2 s
    found = min_pet(scene((0.0, lane(1), 20.0), (40.0, change(2, 1, 3.0), 20.0)))
    assert found == pytest.approx([1.8])


def test_who_follows_from_the_beginning_or_stays_beside_crosses_no_way() -> None:
    assert np.isinf(min_pet(scene((0.0, lane(1), 20.0), (30.0, lane(1), 20.0))))[0]
    assert np.isinf(min_pet(scene((0.0, lane(1), 20.0), (30.0, lane(2), 20.0))))[0]
    assert min_pet(scene((0.0, lane(1), 20.0)).take(np.zeros(0, np.int64))).shape == (0,)


def test_a_crash_at_a_merge_leaves_no_time() -> None:
    assert min_pet(scene((0.0, lane(1), 20.0), (2.0, change(2, 1, 3.0), 20.0)))[0] == 0


def test_what_dry_brakes_can_avoid_snow_may_not() -> None:
    closing = scene((0.0, lane(1), np.linspace(22, 8, 40)), (70.0, lane(1), 8.0))
    needed = max_drac(closing)[0]
    assert 1.0 < needed < 0.9 * GRAVITY
    assert avoidable(max_drac(closing), np.array([needed / GRAVITY + 0.01]))[0]
    assert not avoidable(max_drac(closing), np.array([needed / GRAVITY - 0.01]))[0]
    behind = scene((70.0, lane(1), 8.0), (0.0, lane(1), np.linspace(22, 8, 40)))  # the ego vehicle is the one ahead
    assert max_drac(behind)[0] == pytest.approx(needed, rel=1e-5)
