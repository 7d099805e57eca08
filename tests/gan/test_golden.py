"""Every recipe still does what it did: loss curves, movements and schedule (see :mod:`tests.gan.golden`)."""

from __future__ import annotations

import copy
import json
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from synth.gan import augment, schedules
from synth.gan.augment import OPERATIONS
from synth.gan.objectives import OBJECTIVES, logistic_critic, relativistic_critic
from synth.gan.penalties import PENALTIES
from synth.gan.recipe import Phase
from synth.gan.trainer import Trainer
from synth.tabular.recipes import RECIPES
from tests.gan import golden
from tests.gan.toys import TOYS


def changed(name: str) -> dict[str, float]:
    """The figures of a recipe that left their tolerance."""
    kept = json.loads(golden.file(name).read_text(encoding="utf-8"))
    return {key: round(gap, 2) for key, gap in golden.differences(golden.play(name), kept).items() if not gap <= 1}


@pytest.mark.parametrize("name", [*RECIPES, *TOYS])
def test_a_recipe_repeats_its_golden_curves(name: str) -> None:
    assert changed(name) == {}


def test_every_file_belongs_to_a_recipe() -> None:
    assert {golden.file(name) for name in (*RECIPES, *TOYS)} == set(golden.FOLDER.iterdir())


def test_the_toys_play_every_objective_penalty_and_operation() -> None:
    phases = [phase for recipe in TOYS.values() for phase in recipe.phases]
    assert {phase.objective for phase in phases} == set(OBJECTIVES)
    assert {name for phase in phases for name, _ in phase.penalties} == set(PENALTIES)
    assert {name for phase in phases for name in phase.augment} == set(OPERATIONS) - {"flip"}


def _unsmoothed(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    return logistic_critic(real, fake)


PLANTED = [
    ("minimax", mock.patch.dict(OBJECTIVES, minimax=OBJECTIVES["non-saturating"]), "game.generator"),
    ("non-saturating", mock.patch.dict(OBJECTIVES, {"non-saturating": (
        _unsmoothed, OBJECTIVES["non-saturating"][1])}), "game.gap"),
    ("least-squares", mock.patch.object(schedules, "factor", lambda *_: 1.0), "game.moved.generator"),
    ("hinge", mock.patch.object(augment, "BRIGHTNESS", 0.2), "game.critic"),
    ("wasserstein-clip", mock.patch.object(torch, "_foreach_clamp_max_", lambda *_: None), "game.moved.critic"),
    ("relativistic", mock.patch.object(augment, "CAP", 0.15), "game.augment"),
    ("relativistic", mock.patch.object(schedules, "memory", lambda *_: 0.5), "game.moved.average"),
    ("relativistic-volume", mock.patch.object(augment, "ANGLE", 0.5), "game.moved.critic"),
]


@pytest.mark.parametrize(("name", "fault", "figure"), PLANTED)
def test_a_planted_fault_in_the_core_leaves_the_tolerance(name: str, fault: Any, figure: str) -> None:
    with fault:
        assert figure in changed(f"toy/{name}")


def test_a_flipped_sign_leaves_the_tolerance() -> None:
    with mock.patch.dict(OBJECTIVES, relativistic=(relativistic_critic, relativistic_critic)):
        assert "adversarial.moved.generator" in changed("tabular/relativistic")


def test_a_dropped_penalty_leaves_the_tolerance() -> None:
    def none(critic: object, real: Tensor, fake: Tensor) -> Tensor:
        return fake.new_zeros(len(fake))

    with mock.patch.dict(PENALTIES, r2=none):
        assert "adversarial.gap" in changed("tabular/relativistic")


def test_a_changed_rate_leaves_the_tolerance() -> None:
    rates = Trainer._rates

    def faster(self: Trainer, phase: Phase) -> None:
        rates(self, phase)
        for group in self.books.optimisers[0].param_groups:
            group["lr"] *= 1.1

    with mock.patch.object(Trainer, "_rates", faster):
        assert "likelihood.moved.generator" in changed("tabular/likelihood")


def test_a_changed_schedule_or_a_missing_figure_is_a_difference() -> None:
    kept = json.loads(golden.file("tabular/conditional-gan").read_text(encoding="utf-8"))
    assert max(golden.differences(kept, kept).values()) == 0
    for change in (lambda made: made["large_table"]["phases"][0].update(patience=4),
                   lambda made: made["phases"][1].update(steps=30),
                   lambda made: made["phases"].pop(),
                   lambda made: made["phases"][0]["losses"].pop("likelihood"),
                   lambda made: made["phases"][0]["figures"].update(validation=float("nan"))):
        made = copy.deepcopy(kept)
        change(made)
        assert max(golden.differences(made, kept).values()) == float("inf")
