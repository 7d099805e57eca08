"""Objectives, penalties and schedules against naive formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synth.gan import schedules
from synth.gan.objectives import BOUNDARY, OBJECTIVES, PAIRED, SMOOTHED
from synth.gan.penalties import PENALTIES
from synth.gan.players import View
from synth.gan.recipe import Phase


def _log(x: float) -> float:
    """log(sigmoid(x)), without overflow."""
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


NAIVE: dict[str, tuple[Callable[[list[float], list[float]], float], Callable[[list[float], list[float]], float]]] = {
    "minimax": (lambda r, f: -_mean([_log(x) for x in r]) - _mean([_log(-x) for x in f]),
                lambda r, f: _mean([_log(-x) for x in f])),
    "non-saturating": (lambda r, f: -_mean([_log(x) for x in r]) - _mean([_log(-x) for x in f]),
                       lambda r, f: -_mean([_log(x) for x in f])),
    "least-squares": (lambda r, f: 0.5 * _mean([(x - 1) ** 2 for x in r]) + 0.5 * _mean([x**2 for x in f]),
                      lambda r, f: 0.5 * _mean([(x - 1) ** 2 for x in f])),
    "hinge": (lambda r, f: _mean([max(0, 1 - x) for x in r]) + _mean([max(0, 1 + x) for x in f]),
              lambda r, f: -_mean(f)),
    "wasserstein": (lambda r, f: _mean(f) - _mean(r), lambda r, f: -_mean(f)),
    "relativistic": (lambda r, f: -_mean([_log(a - b) for a, b in zip(r, f, strict=True)]),
                     lambda r, f: -_mean([_log(b - a) for a, b in zip(r, f, strict=True)])),
}
PAIRS = st.lists(st.tuples(st.floats(-20, 20, width=32), st.floats(-20, 20, width=32)), min_size=6, max_size=6)


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=40, deadline=None)
@given(pairs=PAIRS)
def test_an_objective_is_its_formula_for_scores_and_for_patches(name: str, pairs: list[tuple[float, float]]) -> None:
    real, fake = (list(side) for side in zip(*pairs, strict=True))
    for side in (0, 1):
        for shape in ((6,), (3, 2)):
            made = OBJECTIVES[name][side](torch.tensor(real).reshape(shape), torch.tensor(fake).reshape(shape))
            assert float(made) == pytest.approx(NAIVE[name][side](real, fake), rel=1e-4, abs=1e-4)


def test_every_objective_improves_towards_its_own_goal() -> None:
    """The critic gains by raising real and lowering generated scores, the generator by raising its own."""
    for name, (critic, generator) in OBJECTIVES.items():
        real, fake = (torch.zeros(4) + BOUNDARY.get(name, 0.0)).requires_grad_(), torch.zeros(4, requires_grad=True)
        with torch.no_grad():
            fake += BOUNDARY.get(name, 0.0)
        up, down = torch.autograd.grad(critic(real, fake), (real, fake))
        assert bool((up < 0).all()) and bool((down > 0).all()), name
        (own,) = torch.autograd.grad(generator(real, fake), fake)
        assert bool((own < 0).all()), name
    assert set(BOUNDARY) | {"wasserstein", "relativistic"} == set(OBJECTIVES) and set(OBJECTIVES) >= PAIRED


@pytest.mark.parametrize("name", sorted(SMOOTHED))
def test_smoothing_is_cross_entropy_with_a_soft_target(name: str) -> None:
    real, fake = torch.randn(32) * 3, torch.randn(32) * 3
    naive = (F.binary_cross_entropy_with_logits(real, torch.full((32,), 0.9))
             + F.binary_cross_entropy_with_logits(fake, torch.zeros(32)))
    torch.testing.assert_close(OBJECTIVES[name][0](real, fake, smoothing=0.1), naive)


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 4, 3), (5, 1, 2, 3, 2)])
def test_penalties_of_a_quadratic_critic_are_known_in_every_dimension(shape: tuple[int, ...]) -> None:
    def critic(x: Tensor, scale: Tensor, nothing: None = None) -> Tensor:
        return x.square().flatten(1).sum(1) * scale

    scale = torch.tensor([1.0, 2.0, 0.0, -1.0, 0.5])
    real, fake = View(torch.randn(shape), (scale, None)), View(torch.randn(shape), (scale, None))
    for name, seen in (("r1", real), ("r2", fake)):
        naive = (2 * seen.inputs.flatten(1) * scale[:, None]).square().sum(1) / 2
        torch.testing.assert_close(PENALTIES[name](critic, real, fake), naive)
    slope = (2 * real.inputs.flatten(1) * scale[:, None]).norm(dim=1)
    torch.testing.assert_close(PENALTIES["gradient"](critic, real, real), (slope - 1).square(), rtol=1e-4, atol=1e-4)


def test_the_context_is_told_and_not_differentiated() -> None:
    told = torch.ones(4, requires_grad=True)

    def critic(x: Tensor, condition: Tensor) -> Tensor:
        return (x * condition[:, None]).sum(1)

    penalty = PENALTIES["r1"](critic, View(torch.randn(4, 3), (told,)), View(torch.randn(4, 3), (told,)))
    torch.testing.assert_close(penalty, torch.full((4,), 1.5))


def test_a_record_scored_in_patches_is_penalised_by_their_mean() -> None:
    weights = torch.tensor([[1.0, 3.0], [0.0, 2.0]])

    def critic(x: Tensor) -> Tensor:
        return x @ weights  # two patches

    seen = torch.randn(7, 2)
    torch.testing.assert_close(PENALTIES["r1"](critic, seen, seen), torch.full((7,), (2.0**2 + 1.0**2) / 2))


def test_ramps_go_along_half_a_cosine_and_stay() -> None:
    phase = Phase(name="p", ramps=(("noise", 1.0, 0.0, 1000), ("condition", 0.0, 1.0, 400), ("rate", 2.0, 1.0, 100)))
    assert [schedules.factor(phase, "noise", n) for n in (0, 500, 1000, 5000)] == pytest.approx([1, 0.5, 0, 0])
    assert schedules.factor(phase, "noise", 250) == pytest.approx(0.5 + math.cos(math.pi / 4) / 2)
    assert schedules.factor(phase, "penalty", 10) == 1.0
    assert schedules.offered(phase, 200) == {"condition": pytest.approx(0.5)}


def test_the_average_forgets_half_in_its_half_life() -> None:
    phase = Phase(name="p", batch=50, half_life=1000.0)
    late = schedules.memory(phase, 1_000_000)
    assert late is not None and late ** (1000 / 50) == pytest.approx(0.5)
    early = schedules.memory(phase, 2000)  # a twentieth of the images seen: 100
    assert early is not None and early**2 == pytest.approx(0.5)
    assert schedules.memory(phase, 0) == 0 and schedules.memory(Phase(name="p"), 500) is None


def test_annealing_ends_at_a_twentieth_and_only_where_asked() -> None:
    phase = Phase(name="p", anneal=True)
    assert [schedules.wave(phase, share) for share in (0, 0.5, 1, 2)] == pytest.approx([1, 0.525, 0.05, 0.05])
    assert schedules.wave(Phase(name="p"), 0.7) == 1.0
