"""The recipes for scenes. Data only: what each one trains, and for how long.

``players``: "closed-loop" drives every vehicle with one policy from a header; "whole" makes a scene from noise at
once, to compare with. ``passes`` in the settings are the times a phase looks at every train scene, cut at ``most``
scenes in all, times the contract's effort.
"""

from __future__ import annotations

import dataclasses
import math

from synth.contract.model import Training
from synth.errors import UserError
from synth.gan.recipe import Phase, Recipe, with_options

VALIDATIONS, RARELY = 12, 20  # of a phase; and the fewest steps between two

_CLOSED = (
    ("hidden", 64), ("reflexes", True), ("smooth", True), ("cool_along", 0.6), ("cool_across", 0.75),
    ("along", 48), ("across", 40), ("dropout", 0.1), ("critic_width", 48), ("kicked", 0.5), ("forget", 0.15),
    ("balance", 0.3), ("temperature", 0.7), ("listing_passes", 24.0), ("listing_most", 200_000.0),
    ("header_hidden", 96), ("header_inner", 40), ("header_dropout", 0.15), ("header_passes", 36.0),
    ("header_most", 400_000.0), ("likelihood_passes", 40.0), ("settling_passes", 10.0), ("adversarial_passes", 2.0),
    ("control_passes", 2.0), ("likelihood_most", 80_000.0), ("settling_most", 16_000.0),
    ("adversarial_most", 8_000.0), ("control_most", 8_000.0), ("noise_passes", 40.0), ("noise_most", 80_000.0),
)

_HEADER = Phase(name="headers", likelihood=1.0, batch=256, generator_rate=3e-3, betas=(0.9, 0.99), decay=0.05,
                anneal=True, average=0.98, patience=6)
_WARM = Phase(name="likelihood", likelihood=1.0, batch=64, generator_rate=3e-3, betas=(0.9, 0.99), decay=1e-4,
              anneal=True, average=0.99, patience=8)
_SETTLE = Phase(name="settling", likelihood=1.0, batch=64, generator_rate=2e-4, betas=(0.9, 0.99), average=0.995)
_CRITIC = Phase(name="adversarial", objective="relativistic", adversarial=0.05, likelihood=1.0, batch=32,
                penalties=(("r1", 0.1), ("r2", 0.1)), penalty_every=4, critic_lead=50, generator_rate=2e-4,
                critic_rate=5e-4, average=0.99)
_CONTROL = Phase(name="control", likelihood=1.0, batch=32, generator_rate=2e-4, average=0.99)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (
    Recipe(name="driving/closed-loop", players="closed-loop", select="last", settings=_CLOSED,
           phases=(_WARM, _SETTLE, _CRITIC)),
    Recipe(name="driving/likelihood", players="closed-loop", select="last", settings=_CLOSED,
           phases=(_WARM, _SETTLE, _CONTROL)),  # no critic, as many steps
    Recipe(name="driving/wgan-gp", players="whole", select="last", settings=_CLOSED, phases=(
        Phase(name="noise", objective="wasserstein", penalties=(("gradient", 10.0),), batch=64, generator_rate=2e-4,
              critic_rate=2e-4, betas=(0.0, 0.9), average=0.99),)),
)}


def named(training: Training) -> Recipe:
    """The recipe a contract asks for with its options; :class:`UserError` if there is no such recipe or option."""
    if training.recipe not in RECIPES:
        raise UserError(f"unknown recipe {training.recipe!r}", todo=f"known recipes: {', '.join(RECIPES)}")
    return with_options(RECIPES[training.recipe], training.options)


def of_listing(recipe: Recipe, *, scenes: int, effort: float) -> Training:
    """How the table of the listing is trained: by likelihood (a critic of tables has not paid there)."""
    passes = min(float(recipe.setting("listing_passes")), float(recipe.setting("listing_most")) / max(1, scenes))
    return Training(recipe="tabular/likelihood", effort=effort, options=(
        ("likelihood_passes", passes), ("settling_passes", passes / 6), ("control.steps", 1), ("hidden", 64),
        ("inner", 32)))


def of_headers(recipe: Recipe, *, scenes: int, effort: float) -> Recipe:
    """How the networks of headers are trained."""
    phase = _HEADER
    passes = min(float(recipe.setting("header_passes")) * scenes, float(recipe.setting("header_most"))) * effort
    steps = max(1, math.ceil(passes / phase.batch))
    return Recipe(name="driving/headers", players="headers", settings=recipe.settings, phases=(dataclasses.replace(
        phase, steps=steps, batch=max(1, min(phase.batch, scenes)), validate_every=max(10, math.ceil(steps / 20))),))


def resolve(recipe: Recipe, *, scenes: int, effort: float) -> Recipe:
    """The recipe with steps that follow from the number of train scenes, equal on any machine."""
    phases = []
    for phase in recipe.phases:
        batch = max(1, min(phase.batch, scenes))
        wanted = min(float(recipe.setting(f"{phase.name}_passes")) * scenes,
                     float(recipe.setting(f"{phase.name}_most"))) * effort
        steps = phase.steps or max(1, math.ceil(wanted / phase.batch))
        phases.append(dataclasses.replace(phase, steps=steps, batch=batch, validate_every=min(
            steps, max(RARELY, math.ceil(steps / VALIDATIONS)))))
    return dataclasses.replace(recipe, phases=tuple(phases))
