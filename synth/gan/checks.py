"""What a recipe cannot be: refused when it is built, with the reason, all problems at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from synth.errors import UserError
from synth.gan.augment import OPERATIONS
from synth.gan.objectives import OBJECTIVES, SMOOTHED
from synth.gan.penalties import PENALTIES
from synth.gan.players import Offer
from synth.gan.recipe import RAMPS, Phase, Recipe

PRECISIONS = ("float32", "bfloat16")


def check(recipe: Recipe, critic: nn.Module | None, offer: Offer | None = None) -> None:
    """Raise a :class:`UserError` that lists whatever is wrong with a recipe for this critic and these players."""
    offered = offer if offer is not None else Offer()
    problems = [f"recipe {recipe.name!r}, phase {phase.name!r}: {problem}" for phase in recipe.phases
                for part in (_names, _lengths, _objective, _penalties, _pipe)
                for problem in part(recipe, phase, critic, offered)]
    if problems:
        raise UserError("\n".join(problems))


Part = Callable[[Recipe, Phase, "nn.Module | None", Offer], Iterator[str]]


def _names(recipe: Recipe, phase: Phase, critic: nn.Module | None, offer: Offer) -> Iterator[str]:
    for kind, named, known in (
            ("objective", [phase.objective] if phase.objective is not None else [], OBJECTIVES),
            ("penalty", [name for name, _ in phase.penalties], PENALTIES),
            ("term", [name for name, _ in phase.terms], offer.terms),
            ("term of the critic", [name for name, _ in phase.critic_terms], offer.critic_terms),
            ("ramp", [ramp[0] for ramp in phase.ramps], (*RAMPS, *offer.ramps)),
            ("operation of augmentation", phase.augment, OPERATIONS),
            ("precision", [phase.precision, phase.penalty_precision], PRECISIONS)):
        for name in named:
            if name not in known:
                yield f"unknown {kind} {name!r} (known here: {', '.join(known) or 'none'})"


def _lengths(recipe: Recipe, phase: Phase, critic: nn.Module | None, offer: Offer) -> Iterator[str]:
    if phase.batch < 1 or phase.batch % recipe.pack:
        yield f"the batch of {phase.batch} does not divide into packs of {recipe.pack}"
    if phase.steps < 1 or not 0 <= phase.average < 1:
        yield "steps must be positive and the average's decay in [0, 1)"
    if min(phase.critic_steps, phase.penalty_every, phase.augment_speed) < 1:
        yield "critic_steps, penalty_every and augment_speed must be at least 1"
    if any(images < 1 or min(first, last) < 0 for _, first, last, images in phase.ramps):
        yield "a ramp is (what, from, to, images) with factors of at least 0 over at least one image"
    if min(phase.half_life, phase.noise, phase.clip, phase.seconds) < 0:
        yield "half_life, noise, clip and seconds cannot be negative"


def _objective(recipe: Recipe, phase: Phase, critic: nn.Module | None, offer: Offer) -> Iterator[str]:
    if phase.objective is None:
        if phase.likelihood <= 0 and not any(weight > 0 for _, weight in phase.terms):
            yield "neither an objective nor a likelihood nor a term, so there is nothing to learn from"
        if phase.critic_terms or phase.clip or phase.augment or phase.noise or phase.smoothing:
            yield "critic_terms, clip, augment, noise or smoothing for a critic that does not train"
        return
    if critic is None:
        yield "an objective needs a critic"
    if phase.smoothing and phase.objective not in SMOOTHED:
        yield (f"label smoothing moves the target of real records, and {phase.objective} has no such probability;"
               f" use it with {' or '.join(sorted(SMOOTHED))}, or not at all")
    if not 0 <= phase.smoothing < 0.5:
        yield "smoothing must be in [0, .5): beyond that real records are taught as generated ones"


def _penalties(recipe: Recipe, phase: Phase, critic: nn.Module | None, offer: Offer) -> Iterator[str]:
    active = [name for name, weight in phase.penalties if weight > 0]
    if phase.objective is None and phase.penalties:
        yield "penalties on a critic that does not train"
    if phase.objective == "wasserstein" and "gradient" not in active and not phase.clip:
        yield ("a Wasserstein critic needs the gradient penalty or clipped weights,"
               " or its scores grow without bound")
    if phase.clip and active:
        yield (f"clipped weights together with the penalty {active[0]!r}: both bound the critic's slope, and clipping"
               " keeps the penalty from reaching its optimum; use one of them")
    if phase.clip and phase.penalty_every > 1:
        yield "a lazy interval without a penalty to be lazy about: clipping is after every step"
    if active and critic is not None:
        mixing = sorted({type(m).__name__ for m in critic.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)})
        if mixing:
            yield (f"a gradient penalty is defined per record, but {mixing[0]} in the critic"
                   " mixes the records of a batch; use LayerNorm or none")


def _pipe(recipe: Recipe, phase: Phase, critic: nn.Module | None, offer: Offer) -> Iterator[str]:
    if phase.augment and not offer.intensities:
        yield "augmentation, but the critic of these players does not look at images"
        return
    for name in phase.augment:
        if name in OPERATIONS and name not in offer.augment:
            yield ("flips, but left and right mean something in these records (laterality), and the generator would"
                   " learn to exchange them" if name == "flip" else
                   f"the augmentation {name!r} changes what a record is here"
                   f" (it may be: {', '.join(offer.augment) or 'none'})")
    if not 0 <= phase.augment_probability <= 1 or not 0 <= phase.augment_target < 1:
        yield "the probability of augmentation must be in [0, 1] and its target in [0, 1)"
    if phase.augment_target and not phase.augment:
        yield "a target for adaptive augmentation without operations to adapt"
