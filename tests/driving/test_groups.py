"""Scenes that share a driver are one group; a group that is too large is cut so that no driver is on both sides."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.driving.groups import PIECE, groups


def naive(drivers: np.ndarray) -> list[set[int]]:
    """Drivers joined by scenes, by merging sets until nothing changes."""
    sets = [set(row[row >= 0].tolist()) for row in drivers]
    changed = True
    while changed:
        changed = False
        for i in range(len(sets)):
            for j in range(i):
                if sets[i] & sets[j] and sets[i] != sets[j]:
                    sets[i] = sets[j] = sets[i] | sets[j]
                    changed = True
    return sets


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), scenes=st.integers(1, 30), people=st.integers(1, 60))
def test_as_merging_sets(seed: int, scenes: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    drivers = rng.integers(-1, people, (scenes, 3))
    drivers[:, 0] = rng.integers(0, people, scenes)
    found = groups(drivers, np.zeros(scenes, np.int64), np.arange(scenes))
    sets = naive(drivers)
    if not found.cut:
        for i in range(scenes):
            for j in range(i):
                assert (found.group[i] == found.group[j]) == (sets[i] == sets[j])
    for i in range(scenes):  # whatever was cut: who is in two groups is in none
        for j in range(i):
            if found.group[i] >= 0 and found.group[j] >= 0 and found.group[i] != found.group[j]:
                assert not set(drivers[i][drivers[i] >= 0]) & set(drivers[j][drivers[j] >= 0])


def test_a_long_recording_is_cut_in_time_at_a_small_loss() -> None:
    rng = np.random.default_rng(1)
    start = np.repeat(np.arange(0, 6000, 10), 4)  # four scenes every ten steps
    came = start[:, None] + rng.integers(-60, 1, (len(start), 3))  # drivers stay for about 60 steps
    drivers = (came + 60) // 6
    found = groups(drivers, np.zeros(len(start), np.int64), start)
    kept = found.group >= 0
    assert found.cut == 1 and kept.mean() > 0.6
    sizes = np.bincount(found.group[kept])
    assert sizes.max() <= max(PIECE * len(start), 1) * 1.01 or (sizes > 0).sum() >= 8
    assert (np.diff(start[kept & (found.group == found.group[kept][0])]) <= 10).all()


def test_a_dozen_recordings_are_left_as_they_are() -> None:
    drivers = (np.arange(240)[:, None] // 20) + np.array([0, 100])
    found = groups(drivers, np.arange(240) // 20, np.arange(240))
    assert found.cut == 0 and len(np.unique(found.group)) == 12


def test_a_cut_that_leaves_one_piece_is_none() -> None:
    drivers = np.tile(np.arange(40)[:, None], (6, 1))
    drivers = np.concatenate([drivers, np.roll(drivers, 1)], axis=1)
    found = groups(drivers, np.zeros(240, np.int64), np.repeat(np.arange(6), 40))
    assert found.cut == 0 and (found.group == found.group[0]).all()


def test_many_small_recordings_are_left_alone() -> None:
    drivers = np.arange(400)[:, None] // 4 * 2 + np.array([0, 1])
    found = groups(drivers, np.arange(400) // 4, np.arange(400))
    assert found.cut == 0 and len(np.unique(found.group)) == 100 and (found.group >= 0).all()
    assert groups(np.zeros((0, 3), np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)).group.shape == (0,)
