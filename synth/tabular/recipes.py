"""The recipes for tables. Data only: what each one trains, and for how long on a table of a given shape."""

from __future__ import annotations

import dataclasses
import math

from synth.contract.model import Training
from synth.errors import UserError
from synth.gan.recipe import Phase, Recipe, with_options

_CONDITIONAL = (
    ("embedding", 8), ("hidden", 128), ("inner", 64), ("dropout", 0.0), ("smooth", 16), ("given", 0.1), ("members", 5),
    ("temperature", 0.7), ("critic_width", 128),
    ("likelihood_passes", 60.0), ("settling_passes", 30.0), ("adversarial_passes", 5.0), ("control_passes", 25.0),
    ("likelihood_budget", 900.0), ("settling_budget", 225.0), ("adversarial_budget", 15.0), ("control_budget", 75.0),
)

_NOISE = (
    ("noise", 128), ("width", 256), ("blocks", 2), ("temperature", 0.5), ("critic_width", 256),
    ("adversarial_passes", 100.0), ("adversarial_budget", 2_000.0),
)

_WARM = Phase(name="likelihood", likelihood=1.0, generator_rate=2e-3, betas=(0.9, 0.999), decay=1e-4, average=0.995,
              patience=8)
_SETTLE = Phase(name="settling", likelihood=1.0, generator_rate=1e-4, average=0.99)
_CRITIC = Phase(name="adversarial", objective="relativistic", likelihood=1.0, penalties=(("r1", 0.02), ("r2", 0.02)),
                generator_rate=1e-4, critic_rate=5e-4, critic_lead=50, average=0.99)
_CONTROL = Phase(name="control", likelihood=1.0, generator_rate=1e-4, average=0.99)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (
    Recipe(name="tabular/conditional-gan", players="autoregressive", settings=_CONDITIONAL,
           phases=(_WARM, _SETTLE, _CRITIC)),
    Recipe(name="tabular/likelihood", players="autoregressive", settings=_CONDITIONAL,
           phases=(_WARM, _SETTLE, _CONTROL)),  # no critic, as much time: a step with one costs about five
    Recipe(name="tabular/wgan-gp", players="noise", pack=10, select="last", settings=_NOISE, phases=(
        Phase(name="adversarial", objective="wasserstein", penalties=(("gradient", 10.0),), critic_steps=1,
              generator_rate=2e-4, critic_rate=2e-4, betas=(0.5, 0.9), average=0.99),
    )),
    Recipe(name="tabular/relativistic", players="noise", pack=1, select="last", settings=_NOISE, phases=(
        Phase(name="adversarial", objective="relativistic", penalties=(("r1", 0.1), ("r2", 0.1)),
              generator_rate=2e-4, critic_rate=2e-4, average=0.99),
    )),
)}


def named(training: Training, *, rows: int) -> Recipe:
    """The recipe a contract asks for with its options; :class:`UserError` if there is no such recipe or option.

    A ``dropout`` of 0 is replaced by what suits the number of rows: small tables need more of it.
    """
    if training.recipe not in RECIPES:
        raise UserError(f"unknown recipe {training.recipe!r}", todo=f"known recipes: {', '.join(RECIPES)}")
    recipe = with_options(RECIPES[training.recipe], training.options)
    settings = dict(recipe.settings)
    if settings.get("dropout") == 0:
        settings["dropout"] = round(min(0.3, max(0.1, 0.3 * (15_000 / max(1, rows)) ** 0.5)), 3)
    return dataclasses.replace(recipe, settings=tuple(settings.items()))


def resolve(recipe: Recipe, *, rows: int, cost: float, effort: float) -> Recipe:
    """The recipe with steps that follow from the table's shape: equal shapes give equal steps on any machine.

    ``cost`` is the number of multiplications of one row in a forward pass. Phases that name no number of
    steps get ``PHASE_passes`` over the rows, cut at ``PHASE_budget`` thousand million multiplications.
    """
    phases = []
    for phase in recipe.phases:
        steps = phase.steps
        if not steps:
            passes = float(recipe.setting(f"{phase.name}_passes"))
            longest = float(recipe.setting(f"{phase.name}_budget")) * 1e9 / cost
            steps = math.ceil(min(passes * rows, longest) * effort / phase.batch)
        batch = min(phase.batch, max(recipe.pack, rows // recipe.pack * recipe.pack))
        phases.append(dataclasses.replace(phase, steps=max(1, steps), batch=batch,
                                          validate_every=max(20, math.ceil(rows / phase.batch))))
    return dataclasses.replace(recipe, phases=tuple(phases))
