"""The networks of the image recipes. A generator makes images from noise and a condition, a critic scores them.

    generator(noise [B, generator.noise], condition [B, K], mask [B, classes, *size] | None) -> [B, C, *size]
    critic(images [B, C, *size], condition [B, K], mask [B, classes, *size] | None) -> scores [B] or [B, patches]

Generators do not squash their output: what becomes of a channel is decided in :mod:`synth.medical.canvas`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from synth.medical.networks.layers import levels

if TYPE_CHECKING:
    from synth.gan.recipe import Recipe
    from synth.medical.shape import ImageShape

SCALE = 16  # channels come in multiples of this: what a processor's matrix unit takes at once


def capacity(images: int, size: Sequence[int], *, width: float = 1.0) -> tuple[int, ...]:
    """Channels of each grid, from the coarsest to the image's.

    Nearly all of the work is in the finest grids, so those are narrow: 16 channels, and coarser grids double that up
    to 64, or to 32 where there are fewer than 1,000 images: with so few, a wider critic learns the images by heart
    before the generator has followed. On a processor twice as many steps at half the width are worth more than the
    width (LOG.md); ``width`` multiplies all (a device that is good at it can carry 2, 4 or 8).
    """
    finest, widest = 16, (64 if images >= 1000 else 32)
    channels = [min(widest, finest << i) for i in range(levels(size) + 1)][::-1]
    return tuple(max(SCALE, round(count * width / SCALE) * SCALE) for count in channels)


def build(recipe: Recipe, shape: ImageShape, widths: Sequence[int]) -> tuple[nn.Module, nn.Module]:
    """The untrained generator and critic that a recipe's settings name, for images of ``shape``.

    ``KeyError`` for a network that does not exist; settings a network does not know are not looked at.
    """
    setting: dict[str, Any] = dict(recipe.settings)
    noise = int(setting["noise"])
    return _generator(setting, shape, widths, noise), _critic(setting, shape, widths, noise)


def _generator(setting: dict[str, Any], shape: ImageShape, widths: Sequence[int], noise: int) -> nn.Module:
    name = setting["generator"]
    if name == "residual":
        from synth.medical.networks.residual import ResidualGenerator

        return ResidualGenerator(shape, widths, noise=noise, blocks=int(setting["blocks"]))
    if name == "dcgan":
        from synth.medical.networks.dcgan import ConvolutionalGenerator

        return ConvolutionalGenerator(shape, widths, noise=noise)
    if name == "resnet":
        from synth.medical.networks.resnet import NormedGenerator

        return NormedGenerator(shape, widths, noise=noise, spectral=bool(setting["spectral"]),
                               attention=bool(setting["attention"]))
    if name == "autoencoder":
        from synth.medical.networks.autoencoder import Autoencoder

        return Autoencoder(shape, widths, noise=noise)
    from synth.medical.networks.masks import SpadeGenerator, UNetGenerator

    return {"unet": UNetGenerator, "spade": SpadeGenerator}[name](shape, widths, noise=noise)


def _critic(setting: dict[str, Any], shape: ImageShape, widths: Sequence[int], noise: int) -> nn.Module:
    name = setting["critic"]
    if name == "residual":
        from synth.medical.networks.residual import ResidualCritic

        return ResidualCritic(shape, widths, blocks=int(setting["blocks"]))
    if name == "dcgan":
        from synth.medical.networks.dcgan import ConvolutionalCritic

        return ConvolutionalCritic(shape, widths, norm=str(setting["critic_norm"]))
    if name == "resnet":
        from synth.medical.networks.resnet import ProjectionCritic

        return ProjectionCritic(shape, widths, spectral=bool(setting["spectral"]),
                                attention=bool(setting["attention"]))
    if name == "code":
        from synth.medical.networks.autoencoder import CodeCritic

        return CodeCritic(noise, shape.conditions)
    from synth.medical.networks.masks import PatchCritic

    return {"patch": PatchCritic}[name](shape, widths)
