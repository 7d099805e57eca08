"""Parts that the image networks share, for 2-D and 3-D alike by the number of spatial axes ``dims``.

Sizes need be no powers of two. A network works on a grid of ``base * 2**levels`` that covers the image, with
``base = ceil(size / 2**levels)``: a generator cuts its output from the middle, a critic is given a border of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of leaky rectifiers
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the variance through one of them (He et al. 2015)
COARSEST = 4  # smallest side of the coarsest grid


def levels(size: Sequence[int]) -> int:
    """Number of doublings from the coarsest grid to the image: its smallest side is 4 to 7 there."""
    return int(math.log2(min(size) / COARSEST))


def base(size: Sequence[int], doublings: int) -> tuple[int, ...]:
    """Sides of the coarsest grid."""
    return tuple(math.ceil(side / 2**doublings) for side in size)


def crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """The middle ``size`` of the spatial axes of [B, C, ...]."""
    for axis, side in enumerate(size, start=2):
        over = x.shape[axis] - side
        if over:
            x = x.narrow(axis, over // 2, side)
    return x


def border(x: Tensor, size: Sequence[int]) -> Tensor:
    """``x`` in the middle of zeros of ``size``; the inverse of :func:`crop`."""
    pads: list[int] = []
    for axis, side in enumerate(size, start=2):
        missing = side - x.shape[axis]
        pads[:0] = [missing // 2, missing - missing // 2]
    return F.pad(x, pads) if any(pads) else x


def grow(x: Tensor) -> Tensor:
    """Twice the sides, linear between the values."""
    return F.interpolate(x, scale_factor=2, mode="bilinear" if x.ndim == 4 else "trilinear", align_corners=False)


def shrink(x: Tensor) -> Tensor:
    """Half the sides, by averages (which, unlike an interpolation, can be differentiated twice everywhere)."""
    return F.avg_pool2d(x, 2) if x.ndim == 4 else F.avg_pool3d(x, 2)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Averages of ``x`` over a coarser grid."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    if x.ndim == 4:
        return F.adaptive_avg_pool2d(x, (size[0], size[1]))
    return F.adaptive_avg_pool3d(x, (size[0], size[1], size[2]))


def conv(dims: int, inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, groups: int = 1,
         bias: bool = True, gain: float = GAIN) -> nn.Conv2d | nn.Conv3d:
    """A convolution that keeps the sides (divided by ``stride``), with weights of variance ``gain**2 / fan-in``."""
    kind = nn.Conv2d if dims == 2 else nn.Conv3d
    layer = kind(inputs, outputs, kernel, stride=stride, padding=(kernel - stride + 1) // 2, groups=groups, bias=bias)
    fan_in = inputs // groups * kernel**dims
    nn.init.normal_(layer.weight, std=gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def linear(inputs: int, outputs: int, *, bias: bool = True, gain: float = 1.0) -> nn.Linear:
    """A linear layer with weights of variance ``gain**2 / inputs``."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(max(1, inputs)))
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def as_maps(vector: Tensor, size: Sequence[int]) -> Tensor:
    """A vector [B, K] as constant maps [B, K, *size]."""
    return vector.reshape(*vector.shape, *[1] * len(size)).expand(*vector.shape, *size)


def with_condition(vector: Tensor, condition: Tensor) -> Tensor:
    """Noise or features [B, N] beside conditions [B, K], which may have no column."""
    return torch.cat([vector, condition.to(vector.dtype)], 1) if condition.shape[1] else vector
