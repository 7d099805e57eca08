"""What the gates of driving measure with, against naive oracles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from synth.driving.scenes import EGO, HEADING, SPEED, D, S, joined
from tests.validators.driving import traffic
from validators.driving import aligned, kinematics, planted, realism, replay, summaries, uniqueness
from validators.driving.arms import thinned
from validators.driving.rates import excess, independent, standardised, wilson
from validators.finding import Verdict


@pytest.fixture(scope="module")
def some():
    return traffic.drives(120, 3)


def test_wilson_holds_for_none_and_for_many():
    assert wilson(0.0, 1_000)[0] == 0 and wilson(0.0, 1_000)[1] == pytest.approx(2.7 / 1_000, rel=0.02)
    low, high = wilson(0.5, 400)
    assert (high - low) / 2 == pytest.approx(1.645 * 0.5 / 20, rel=0.02)
    assert wilson(0.3, 0) == (0, 1)


def test_scenes_of_one_entity_are_not_counted_as_many():
    flags = np.repeat([True, False], [30, 270])
    one = np.ones(300)
    assert independent(flags, np.arange(300), one) == pytest.approx(300, rel=0.01)
    assert independent(flags, np.arange(300) // 30, one) == pytest.approx(10, rel=0.01)  # all or nothing of ten
    assert independent(np.zeros(300, bool), np.arange(300) // 30, one) == pytest.approx(10)


def test_a_rarer_mix_of_real_scenes_is_weighed_up():
    synthetic, real = np.repeat(["brake", "free"], [50, 50]), np.repeat(["brake", "free"], [10, 90])
    flags = real == "brake"
    found = excess(np.repeat([True, False], [50, 50]), flags, np.arange(100), weights=standardised(synthetic, real))
    assert found.real == pytest.approx(0.5) and found.value == pytest.approx(0) and found.low < 0 < found.high
    assert excess(np.repeat([True, False], [50, 50]), flags, np.arange(100)).value == pytest.approx(0.4)


@pytest.mark.parametrize(("rule", "change"), [
    ("speed", lambda s: s[0, 0, :, SPEED].fill(60.0)),
    ("acceleration", lambda s: s[0, 0, 20:, SPEED].__isub__(6.0)),
    ("jerk", lambda s: s[0, 0, 20:, SPEED].__iadd__(4.0)),
    ("curvature", lambda s: s[0, 0, 20, HEADING:HEADING + 1].fill(1.5)),
    ("heading", lambda s: s[0, 0, :, HEADING].__iadd__(0.2)),
    ("displacement", lambda s: s[0, 0, 20:, S].__iadd__(1.0)),
])
def test_each_impossible_motion_is_seen(some, rule, change):
    mu = np.full(len(some), 0.9)
    calm = some.take(np.flatnonzero(~np.any([b.any(axis=1) for b in kinematics.impossible(some, mu).values()], axis=0)))
    assert len(calm) > 60
    states = calm.states.copy()
    change(states)
    found = kinematics.impossible(replace(calm, states=states), mu[: len(calm)])
    assert found[rule][0, 0] and not found[rule][1:].any()


def test_grip_follows_the_weather(some):
    assert set(kinematics.friction(some, traffic.contract())) <= {0.9, 0.65, 0.45}
    assert (kinematics.friction(some, replace(traffic.contract(), traffic=None)) == kinematics.FRICTION).all()
    slippery = kinematics.impossible(some, np.full(len(some), 0.05))["acceleration"]
    assert slippery.mean() > 0.5


def test_likelihood_is_that_of_plain_loops():
    rng = np.random.default_rng(1)
    real, synthetic = rng.normal(0, 1, (30, 2, 5)), rng.normal(0.3, 1, (40, 2, 5))
    real[rng.random(real.shape) < 0.1] = np.nan
    feature = realism.Feature("x", "x", "kinematic", 1.0, -2.0, 2.0, 8)
    inner = realism.edges(feature)
    assert inner.tolist() == [-1.5, -1, -0.5, 0, 0.5, 1, 1.5]
    shares = [0.1] * 8
    for value in synthetic.ravel():
        shares[sum(value >= edge for edge in inner)] += 1
    logs = [np.log(shares[sum(v >= e for e in inner)] / sum(shares)) for v in real.ravel() if np.isfinite(v)]
    found = realism.likelihood(realism.counts(real, inner).T.sum(axis=1, keepdims=True),
                               realism.counts(synthetic, inner).T.sum(axis=1, keepdims=True))
    assert found[0] == pytest.approx(np.exp(np.mean(logs)))


def test_features_have_the_challenge_s_signs(some):
    found = realism.measured(some)
    assert set(found) == {f.name for f in realism.FEATURES}
    assert sum(f.weight for f in realism.FEATURES) == pytest.approx(0.95)  # no traffic lights
    for name, values in found.items():
        assert np.isnan(values[~some.present]).all() and np.isfinite(values[some.present]).any(), name
    assert (found["edge"][some.present] < 0).all()  # on the road
    speed = found["speed"][some.present][:, 1:-1]
    assert np.abs(speed - some.states[some.present][:, 1:-1, SPEED]).max() < 1.5


def naive(first, second, band, longest):
    cost = {(-1, -1): 0.0}
    for i in range(len(first)):
        for j in range(len(second)):
            if abs(i - j) <= band:
                before = min(cost.get(p, np.inf) for p in ((i - 1, j), (i, j - 1), (i - 1, j - 1)))
                step = float(((first[i] - second[j]) ** 2).sum())
                cost[i, j] = max(before, step) if longest else before + step
    return np.sqrt(cost[len(first) - 1, len(second) - 1])


@settings(max_examples=25, deadline=None)
@given(hs.integers(0, 2**32 - 1), hs.integers(2, 9), hs.integers(0, 9), hs.booleans())
def test_warping_is_that_of_plain_loops(seed, steps, band, longest):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3, steps, 2))
    found = aligned.warp(a, b, band, longest=longest)
    assert found == pytest.approx([naive(x, y, band, longest) for x, y in zip(a, b, strict=True)], rel=1e-4)


def test_warping_is_that_of_another_library():
    outside = pytest.importorskip("dtaidistance.dtw_ndim")
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 4, 20, 3))
    assert aligned.warp(a, b, 5) == pytest.approx([outside.distance(x, y, window=6) for x, y in zip(a, b, strict=True)],
                                                  rel=1e-4)


@pytest.mark.parametrize("kind", planted.KINDS)
def test_a_disguised_copy_lies_nearest_to_its_original(some, kind):
    rng = np.random.default_rng(5)
    copies = planted.planted(some, kind, rng)
    assert (copies.states[~copies.present] == 0).all() and np.allclose(copies.states[:, EGO, 0, S], 0)
    for detector in (aligned.Aligned(), aligned.Warped()):
        distance, index = detector.nearest(copies, [some])
        found = index[:, 0] == np.arange(len(some))
        assert found.mean() > 0.9, detector.name
        if kind in ("exact", "mirrored"):
            assert np.median(distance[:, 0]) < aligned.KNOWN + 1e-4


def test_another_ego_vehicle_and_another_beginning_do_not_hide_a_drive(some):
    """The second vehicle becomes the ego vehicle: the same traffic seen from elsewhere."""
    rows = np.flatnonzero(some.present[:, 1])
    other = some.take(rows)
    swapped = np.array([1, 0, *range(2, some.shape.vehicles)])
    states = other.states[:, swapped].copy()
    states[..., S] -= np.where(other.present[:, swapped][..., None], states[:, :1, :1, S], 0)
    turned = replace(other, states=states, present=other.present[:, swapped], sizes=other.sizes[:, swapped])
    distance, index = aligned.Aligned().nearest(turned, [some])
    assert (index[:, 0] == rows).mean() > 0.95
    assert np.median(distance) < aligned.KNOWN + 1e-3


def test_few_points_match_as_plain_loops_say(some):
    train, synthetic = some.take(np.arange(20)), some.take(np.arange(15, 40))

    class Fixed:
        def permuted(self, array, axis):
            return array

    found = uniqueness._matches(train, synthetic, 3, Fixed())
    for row in range(len(train)):
        count = 0
        for other in range(len(synthetic)):
            count += all(abs(float(train.states[row, 0, t, S] - synthetic.states[other, 0, t, S])) <= 1.0
                         and abs(float(train.states[row, 0, t, D] - synthetic.states[other, 0, t, D])) <= 0.25
                         for t in (1, 2, 3))
        assert found[row] == count
    assert (found[15:] >= 1).all()


def test_summaries_have_names_and_a_scale(some):
    names, data = summaries.summaries(some)
    assert data.shape == (len(some), len(names)) and len(set(names)) == len(names)
    points = summaries.Axes.fit(data, 12).of(data)
    assert points.shape == (len(some), 12) and np.isfinite(points).all()


def test_parts_keep_their_people_apart(some):
    both = joined(some.take(np.arange(10)), some.take(np.arange(10)))
    assert len(both) == 20 and len(np.unique(both.entities)) == 20
    rng = np.random.default_rng(0)
    assert len(thinned(both, 7, rng)) == 7 and thinned(both, 30, rng) is both


def test_without_sumo_nobody_else_is_asked(monkeypatch):
    monkeypatch.setattr(replay, "available", lambda: False)
    found = replay.judge(traffic.evidence(40, 1), 0.1)
    assert [f.verdict for f in found] == [Verdict.INFO] and "skipped" in found[0].method


def test_sumo_agrees_and_disagrees_where_it_is_told_otherwise(monkeypatch):
    pytest.importorskip("libsumo")
    e = traffic.evidence(80, 1, synthetic=60)
    [found] = replay.judge(e, 0.1)
    assert found.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE) and found.value < 0.1
    monkeypatch.setattr(replay, "replay", lambda scenes: (np.ones(len(scenes), bool), np.zeros(len(scenes))))
    assert replay.judge(e, 0.1)[0].verdict is Verdict.FAIL
