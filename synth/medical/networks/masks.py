"""From a mask to an image: the U-Net and patch critic of pix2pix (Isola et al. 2017), and SPADE (Park et al. 2019).

The networks are MONAI's. What has to be known of them: ``SPADEDecoder`` ends in a leaky rectifier unless told
otherwise and appends to the list of channels it is given; ``PatchDiscriminator`` has batch normalisation unless told
otherwise and returns a list whose last entry are the scores; ``BasicUNet`` wants sides that are multiples of 16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.patchgan_discriminator import PatchDiscriminator
from monai.networks.nets.spade_network import SPADEDecoder
from torch import Tensor, nn

from synth.medical.networks.layers import as_maps, base, border, crop, levels, linear, with_condition
from synth.medical.shape import ImageShape

STRIDE = 16  # of the U-Net
GROUPS = 8  # of its group normalisation, which unlike instance normalisation works at 1 x 1


class UNetGenerator(nn.Module):
    """Masks one-hot [B, classes, *size], noise [B, noise] and conditions [B, K] as constant maps -> [B, C, *size]."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, noise: int = 16) -> None:
        super().__init__()
        self.noise, self.shape = noise, shape
        self.whole = tuple(math.ceil(side / STRIDE) * STRIDE for side in shape.size)
        top, deep = max(GROUPS, min(widths)), max(GROUPS, max(widths))
        features = [min(deep, top << i) for i in range(5)]
        self.net = BasicUNet(
            spatial_dims=shape.dims, in_channels=shape.classes + noise + shape.conditions, out_channels=shape.channels,
            features=(*features, top), norm=("group", {"num_groups": GROUPS}), upsample="nontrainable",
            act=("LeakyReLU", {"negative_slope": 0.1, "inplace": False}))

    def forward(self, noise: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        assert mask is not None
        maps = as_maps(with_condition(noise, condition), self.whole)
        return crop(self.net(torch.cat([border(mask, self.whole).to(maps.dtype), maps], 1)), self.shape.size)


class SpadeGenerator(nn.Module):
    """Noise and conditions -> the coarsest grid; the mask [B, classes, *size] in the normalisation of every grid."""

    def __init__(self, shape: ImageShape, widths: Sequence[int], *, noise: int = 64, hidden: int = 32) -> None:
        super().__init__()
        self.noise, self.shape = noise, shape
        doublings = levels(shape.size)
        self.whole = tuple(side << doublings for side in base(shape.size, doublings))
        self.embed = linear(shape.conditions, noise, bias=False) if shape.conditions else None
        self.net = SPADEDecoder(
            label_nc=shape.classes, spatial_dims=shape.dims, out_channels=widths[-1], input_shape=self.whole,
            channels=list(widths[:-1]), z_dim=noise * (2 if shape.conditions else 1), is_vae=True,
            spade_intermediate_channels=hidden, last_act=("leakyrelu", {"negative_slope": 0.2}))
        self.paint = (nn.Conv2d if shape.dims == 2 else nn.Conv3d)(widths[-1], shape.channels, 1)

    def forward(self, noise: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        assert mask is not None
        latent = noise if self.embed is None else with_condition(noise, self.embed(condition))
        return crop(self.paint(self.net(border(mask, self.whole).to(latent.dtype), latent)), self.shape.size)


class PatchCritic(nn.Module):
    """Images beside their masks and conditions -> a score for each patch, [B, patches]; ``features`` for matching."""

    def __init__(self, shape: ImageShape, widths: Sequence[int]) -> None:
        super().__init__()
        self.shape = shape
        self.net = PatchDiscriminator(
            spatial_dims=shape.dims, channels=min(widths),
            in_channels=shape.channels + shape.classes + shape.conditions,
            num_layers_d=3 if min(shape.size) >= 32 else 2, norm="INSTANCE")

    def features(self, images: Tensor, condition: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """What each layer makes of the images; the last entry is the map of scores."""
        parts = [images] if mask is None else [images, mask.to(images.dtype)]
        if self.shape.conditions:
            parts.append(as_maps(condition.to(images.dtype), images.shape[2:]))
        out: list[Tensor] = self.net(torch.cat(parts, 1))
        return out

    def forward(self, images: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.features(images, condition, mask)[-1].flatten(1)
