"""Every recipe still does what it did: loss curves, movements and schedule (see :mod:`tests.gan.golden`)."""

from __future__ import annotations

import copy
import json
from unittest import mock

import pytest
from torch import Tensor

from synth.gan.objectives import OBJECTIVES, relativistic_critic
from synth.gan.penalties import PENALTIES
from synth.gan.recipe import Phase
from synth.gan.trainer import Trainer
from synth.tabular.recipes import RECIPES
from tests.gan import golden


def changed(name: str) -> dict[str, float]:
    """The figures of a recipe that left their tolerance."""
    kept = json.loads(golden.file(name).read_text(encoding="utf-8"))
    return {key: round(gap, 2) for key, gap in golden.differences(golden.play(name), kept).items() if not gap <= 1}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_repeats_its_golden_curves(name: str) -> None:
    assert changed(name) == {}


def test_every_file_belongs_to_a_recipe() -> None:
    assert {golden.file(name) for name in RECIPES} == set(golden.FOLDER.iterdir())


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
        assert "control.moved.generator" in changed("tabular/likelihood")


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
