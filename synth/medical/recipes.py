"""The recipes for images. Data only: what each one trains, and on how many images a step.

``players``: "image" draws images (with their masks, where the contract has them, on one canvas); "paired" draws them
from masks, which a generator of masks draws first; "volume" is paired where there are masks, for 3-D only; "latent"
is the autoencoder. ``images`` in the settings is how many images a training looks at, whatever their size, times
the contract's effort.
"""

from __future__ import annotations

import dataclasses
import math

from synth.contract.model import Training
from synth.errors import UserError
from synth.gan.recipe import Phase, Recipe, with_options
from synth.medical.shape import ImageShape

VALIDATIONS, RARELY = 12, 20  # of a phase; and the fewest steps between two
MASKS = "medical/r3"  # trains the generator of masks of a paired recipe

Setting = float | str | bool


def _settings(generator: str = "residual", critic: str = "residual", **changed: Setting
              ) -> tuple[tuple[str, Setting], ...]:
    said: dict[str, Setting] = {
        "generator": generator, "critic": critic, "noise": 64, "blocks": 1, "width": 1.0, "spectral": False,
        "attention": False, "critic_norm": "none", "images": 60_000, "seconds": 0.0}
    return tuple((said | changed).items())


# Rates are for the averaged generator: the last steps are small, so the average is of weights that agree.
# Penalties stay float32: on a processor the second derivative of a bfloat16 convolution ends the process (a division
# by zero in oneDNN, torch 2.13) for some sizes, 32x48 in batches of 64 and 128x128 of three channels among them.
_FAST = Phase(name="adversarial", batch=64, anneal=True, half_life=10_000, precision="bfloat16", channels_last=True,
              patience=8, generator_rate=1e-3, critic_rate=1e-3, betas=(0.0, 0.9))
# The penalties begin ten times as strong as they end (Huang et al. 2024): weak ones from the start let losses leap.
# Half the batch of the others: it is steps that short trainings lack (tests/benchmarks/results/medical.md).
_R3 = dataclasses.replace(_FAST, objective="relativistic", batch=32, generator_rate=2e-3, critic_rate=2e-3,
                          penalties=(("r1", 0.5), ("r2", 0.5)), penalty_every=8,
                          ramps=(("penalty", 1.0, 0.1, 20_000),))
_PLAIN = dataclasses.replace(_FAST, generator_rate=2e-4, critic_rate=2e-4, betas=(0.5, 0.999), anneal=False)
_FEW = ("translation", "cutout", "brightness", "contrast")

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (
    Recipe(name="medical/r3", players="image", settings=_settings(), phases=(_R3,)),
    Recipe(name="medical/r3-ada", players="image", settings=_settings(), phases=(
        dataclasses.replace(_R3, augment=(*_FEW, "affine"), augment_probability=0.0, augment_target=0.6,
                            augment_speed=50_000),)),
    Recipe(name="medical/r3-diffaugment", players="image", settings=_settings(), phases=(
        dataclasses.replace(_R3, augment=_FEW, augment_probability=0.5),)),
    Recipe(name="medical/r3-3d", players="volume", settings=_settings(images=6_000, width=0.5), phases=(
        dataclasses.replace(_R3, batch=4, ramps=(("penalty", 1.0, 0.1, 3_000),)),)),
    Recipe(name="medical/dcgan", players="image", settings=_settings("dcgan", "dcgan", critic_norm="batch"), phases=(
        dataclasses.replace(_PLAIN, objective="non-saturating"),)),
    Recipe(name="medical/cgan", players="image", settings=_settings("resnet", "resnet"), phases=(
        dataclasses.replace(_PLAIN, objective="non-saturating", penalties=(("r1", 1.0),), penalty_every=8,
                            betas=(0.0, 0.9)),)),
    Recipe(name="medical/wgan", players="image", settings=_settings("dcgan", "dcgan"), phases=(
        dataclasses.replace(_PLAIN, objective="wasserstein", clip=0.05, critic_steps=3, generator_rate=5e-4,
                            critic_rate=5e-4, betas=(0.0, 0.9)),)),
    Recipe(name="medical/wgan-gp", players="image", settings=_settings("dcgan", "dcgan", critic_norm="group"), phases=(
        dataclasses.replace(_PLAIN, objective="wasserstein", penalties=(("gradient", 10.0),), critic_steps=3,
                            betas=(0.0, 0.9)),)),
    Recipe(name="medical/lsgan", players="image", settings=_settings("dcgan", "dcgan", critic_norm="batch"), phases=(
        dataclasses.replace(_PLAIN, objective="least-squares"),)),
    Recipe(name="medical/sagan", players="image",
           settings=_settings("resnet", "resnet", spectral=True, attention=True), phases=(
        dataclasses.replace(_PLAIN, objective="hinge", critic_rate=4e-4, generator_rate=2e-4, betas=(0.0, 0.9)),)),
    Recipe(name="medical/pix2pix", players="paired", settings=_settings("unet", "patch", noise=8), phases=(
        dataclasses.replace(_PLAIN, objective="least-squares", terms=(("reconstruction", 10.0),), batch=16),)),
    Recipe(name="medical/spade", players="paired", settings=_settings("spade", "patch"), phases=(
        dataclasses.replace(_PLAIN, objective="hinge", terms=(("features", 10.0),), batch=16, critic_rate=4e-4,
                            generator_rate=1e-4, betas=(0.0, 0.9)),)),
    Recipe(name="medical/aae", players="latent", settings=_settings("autoencoder", "code", noise=32), phases=(
        dataclasses.replace(_PLAIN, objective="non-saturating", adversarial=0.1, terms=(("reconstruction", 1.0),),
                            generator_rate=1e-3, anneal=True),)),
)}


def named(training: Training, shape: ImageShape) -> Recipe:
    """The recipe a contract asks for with its options, for images of this shape (``classes``: of its masks).

    :class:`UserError` if there is no such recipe or option, or if it is for other images.
    """
    if training.recipe not in RECIPES:
        raise UserError(f"unknown recipe {training.recipe!r}", todo=f"known recipes: {', '.join(RECIPES)}")
    recipe = with_options(RECIPES[training.recipe], training.options)
    if recipe.players == "paired" and not shape.classes:
        raise UserError(f"recipe {recipe.name!r} draws images from masks, and the contract has none",
                        todo="name the masks under synthesis.pixels (mask, maskClasses), or use medical/r3")
    if recipe.players == "volume" and shape.dims != 3:
        raise UserError(f"recipe {recipe.name!r} is for volumes, and the contract's size has two sides",
                        todo="use medical/r3")
    return recipe


def paired(recipe: Recipe, shape: ImageShape) -> bool:
    """True if images are drawn from masks that are drawn first."""
    return recipe.players in ("paired", "volume") and shape.classes > 0


def of_masks(recipe: Recipe) -> Recipe:
    """The recipe of the masks that a paired recipe's images are made from: half as many images, as wide."""
    own: tuple[tuple[str, Setting], ...] = (
        ("images", float(recipe.setting("images")) / 2), ("seconds", float(recipe.setting("seconds")) / 2),
        ("width", recipe.setting("width")))
    if recipe.players == "volume":
        own = (*own, ("adversarial.batch", recipe.phases[0].batch))
    return with_options(RECIPES[MASKS], own)


def resolve(recipe: Recipe, *, images: int, effort: float, bfloat16: bool = True) -> Recipe:
    """The recipe with steps that follow from the images to look at, equal on any machine; ``images`` are there.

    ``bfloat16`` false: the processor has no such arithmetic, and everything is float32.
    """
    phases = []
    for phase in recipe.phases:
        batch = max(1, min(phase.batch, images))
        steps = phase.steps or math.ceil(float(recipe.setting("images")) * effort / batch)
        phase = dataclasses.replace(phase, steps=steps, batch=batch,
                                    validate_every=min(steps, max(RARELY, math.ceil(steps / VALIDATIONS))))
        if not bfloat16:
            phase = dataclasses.replace(phase, precision="float32", penalty_precision="float32")
        phases.append(phase)
    return dataclasses.replace(recipe, phases=tuple(phases))
