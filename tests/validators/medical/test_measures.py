"""Distances and neighbours of features against their definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import linalg

from synth.seeds import generator
from validators.medical import frechet as fr
from validators.medical import kernel as kr
from validators.medical import similarity as sm
from validators.precision import neighbourhood

seeds = some.integers(0, 10_000)


def cloud(rng: np.random.Generator, n: int, d: int, shift: float = 0.0) -> np.ndarray:
    return (rng.normal(size=(n, d)) * rng.uniform(0.3, 2, d) + shift).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(seeds, some.integers(3, 9), some.integers(3, 9), some.integers(1, 5))
def test_kernel_distance_is_the_mean_over_pairs_of_different_patients(seed: int, n: int, m: int, d: int) -> None:
    rng = generator(seed)
    x, y = cloud(rng, n, d), cloud(rng, m, d)
    who = np.r_[0, 0, np.arange(1, n - 1)], np.arange(m)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(np.dot(a.astype(float), b.astype(float))) / d + 1) ** 3

    def within(z: np.ndarray, e: np.ndarray) -> float:
        return float(np.mean([k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if e[i] != e[j]]))

    naive = within(x, who[0]) + within(y, who[1]) - 2 * float(np.mean([k(a, b) for a in x for b in y]))
    found = kr.kernel_distance(x, y, who, rng, draws=5)
    assert found.value == pytest.approx(naive, rel=1e-3, abs=1e-3)
    assert 1 / 6 - 1e-9 <= found.p <= 1


def test_kernel_distance_of_one_population_is_zero_in_the_mean_and_may_be_negative() -> None:
    rng = generator(1)
    values, ps = [], []
    for _ in range(60):
        x, y = (rng.normal(size=(60, 4)).astype(np.float32) for _ in range(2))
        one = kr.kernel_distance(x, y, (np.arange(60), np.arange(60)), rng, 40)
        values.append(one.value)
        ps.append(one.p)
        assert np.isfinite(one.draws).all()
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)
    assert min(values) < 0 < max(values)
    assert np.mean(np.array(ps) < 0.1) < 0.25  # the test keeps its level


def test_a_shift_is_found_by_the_permutation_test() -> None:
    rng = generator(3)
    x, y = cloud(rng, 150, 6), cloud(generator(3, "y"), 150, 6, shift=0.8)
    found = kr.kernel_distance(x, y, (np.arange(150), np.arange(150)), rng, 100)
    assert found.p < 0.02 and found.value - 2 * found.draws.std() > 0


def test_images_of_one_patient_do_not_make_a_real_set_look_different() -> None:
    rng, excess = generator(4), []
    for _ in range(20):
        people = rng.normal(size=(40, 5))
        who = np.repeat(np.arange(40), 4)
        x = (people[who] + 0.1 * rng.normal(size=(160, 5))).astype(np.float32)
        y = (rng.normal(size=(160, 5)) * np.sqrt(1.01)).astype(np.float32)
        ones = np.ones((160, 1), np.float32)
        plain = kr.mean_within(kr.kernel(x, x), 1 - np.eye(160, dtype=np.float32), ones)[0]
        fair = kr.mean_within(kr.kernel(x, x), kr.strangers(who), ones)[0]
        truth = kr.mean_within(kr.kernel(y, y), kr.strangers(np.arange(160)), ones)[0]
        excess.append((plain - truth, fair - truth))
    plain, fair = np.mean(excess, axis=0)
    assert abs(fair) < 0.5 * plain


def test_floor_is_the_mean_biased_distance_of_two_real_sets() -> None:
    rng = generator(5)
    population = cloud(rng, 4_000, 5)

    def biased(x: np.ndarray, y: np.ndarray) -> float:
        return float(kr.kernel(x, x).mean() + kr.kernel(y, y).mean() - 2 * kr.kernel(x, y).mean())

    found = [biased(*(population[rng.integers(0, 4_000, 50)] for _ in range(2))) for _ in range(300)]
    assert kr.floor(population[:1_000], np.arange(1_000), 50) == pytest.approx(np.mean(found), rel=0.25)


@settings(max_examples=30, deadline=None)
@given(seeds, some.integers(1, 6))
def test_frechet_is_the_textbook_formula(seed: int, d: int) -> None:
    rng = generator(seed)
    x, y = cloud(rng, 40, d).astype(float), cloud(rng, 50, d, 0.5).astype(float)
    a, b = np.cov(x, rowvar=False).reshape(d, d), np.cov(y, rowvar=False).reshape(d, d)
    naive = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * np.real(linalg.sqrtm(a @ b)))
    assert fr.distance(x, y) == pytest.approx(naive, rel=1e-6, abs=1e-8)
    assert fr.distance(x, x) == pytest.approx(0, abs=1e-8)
    twice = np.full(40, 2, np.float32), np.ones(50, np.float32)
    assert fr.distance(x, y, twice) == pytest.approx(fr.distance(np.r_[x, x], y), rel=1e-6)


def test_frechet_of_singular_sets_is_finite() -> None:
    flat = np.zeros((50, 6))
    assert fr.distance(flat, flat) == 0
    assert fr.distance(flat, flat + 1) == pytest.approx(6)


def test_extrapolation_removes_the_bias_that_the_plain_distance_has() -> None:
    rng, plain, limit, shifted = generator(6), [], [], []
    who = np.arange(400), np.arange(400)
    for _ in range(12):
        x, y = rng.normal(size=(400, 30)), rng.normal(size=(400, 30))
        plain.append(fr.distance(x, y))
        limit.append(fr.extrapolated(x, y, who, rng).value)
        shifted.append(fr.extrapolated(x, y + 0.2, who, rng).value)
    assert abs(np.mean(limit)) < 0.1 * np.mean(plain)
    assert np.mean(shifted) == pytest.approx(30 * 0.04, abs=0.25)


def test_axes_are_at_most_a_tenth_of_the_images() -> None:
    data = cloud(generator(7), 500, 90)
    assert fr.Axes.fit(data, 200).vectors.shape == (90, 20)
    assert fr.Axes.fit(data, 5_000).vectors.shape == (90, 64)
    axes = fr.Axes.fit(data, 5_000)
    assert np.allclose(axes.vectors.T @ axes.vectors, np.eye(64))
    spread = axes.of(data).var(axis=0)
    assert (np.diff(spread) <= 1e-9).all()


@settings(max_examples=40, deadline=None)
@given(seeds, some.integers(2, 14), some.integers(2, 14), some.integers(1, 3), some.integers(1, 6))
def test_neighbourhoods_are_their_definitions(seed: int, n: int, m: int, d: int, k: int) -> None:
    rng = generator(seed)
    real, fake = (rng.integers(0, 4, (size, d)).astype(np.float32) for size in (n, m))  # ties and repeats are common

    def gap(a: np.ndarray, b: np.ndarray) -> float:
        return float(((a.astype(float) - b.astype(float)) ** 2).sum())

    def radius(points: np.ndarray, i: int) -> float:
        others = sorted(gap(points[i], points[j]) for j in range(len(points)) if j != i)
        return others[min(k, len(others)) - 1]

    reach, own = [radius(real, i) for i in range(n)], [radius(fake, j) for j in range(m)]
    inside = [[gap(real[i], fake[j]) <= reach[i] for j in range(m)] for i in range(n)]
    found = neighbourhood(real, fake, k)
    assert found.precision.tolist() == [float(any(row[j] for row in inside)) for j in range(m)]
    assert np.allclose(found.density, [sum(row[j] for row in inside) / k for j in range(m)])
    assert found.coverage.tolist() == [float(any(row)) for row in inside]
    assert found.recall.tolist() == [float(any(gap(real[i], fake[j]) <= own[j] for j in range(m))) for i in range(n)]


def test_effective_rank_counts_directions() -> None:
    assert sm.effective_rank(np.eye(7)) == pytest.approx(7)
    assert sm.effective_rank(np.diag([1.0, 0, 0])) == pytest.approx(1)
    assert sm.effective_rank(np.zeros((3, 3))) == 1
    assert 1 < sm.effective_rank(np.diag([1.0, 0.1])) < 2


@pytest.mark.parametrize("size", [(16, 16), (32, 24), (300, 280), (18, 20, 16)])
def test_structural_similarity_knows_equal_near_and_unrelated(size: tuple[int, ...]) -> None:
    rng = generator(8, len(size))
    first = rng.integers(0, 65_536, (3, 1, *size)).astype(np.uint16)
    near = np.clip(first.astype(int) + rng.integers(-3_000, 3_000, first.shape), 0, 65_535).astype(np.uint16)
    other = rng.integers(0, 65_536, first.shape).astype(np.uint16)
    same, close, apart = (sm.structural_similarity(first, x) for x in (first, near, other))
    assert same == pytest.approx(1, abs=1e-5)
    assert (apart < 0.5).all() and (close > apart).all() and (close < 1).all()


@pytest.mark.parametrize(("side", "count"), [(8, 1), (16, 1), (32, 2), (64, 3), (256, 5), (512, 5)])
def test_scales_fit_the_size(side: int, count: int) -> None:
    weights = sm.scales((side, 512))
    assert len(weights) == count and sum(weights) == pytest.approx(1)


def test_nearest_unlikeness_ignores_the_own_patient_and_sees_repeats() -> None:
    pixels = generator(9).integers(0, 65_536, (6, 1, 32, 32)).astype(np.uint16)
    pixels[1], pixels[5] = pixels[0], pixels[4]
    found = sm.nearest_unlikeness(sm.thumbnails(pixels), np.array([0, 0, 1, 2, 3, 4]))
    assert (found[:4] > 0.3).all() and found[4:] == pytest.approx(0, abs=1e-5)
    black = np.zeros((3, 1, 32, 32), np.uint16)
    assert sm.nearest_unlikeness(sm.thumbnails(black), np.arange(3)) == pytest.approx(0)
