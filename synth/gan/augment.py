"""Differentiable augmentation of what the critic sees, the same pipe for real and generated records.

Every operation is applied to each record with one probability: fixed (DiffAugment, Zhao et al. 2020), or adapted
while training goes on (ADA, Karras et al. 2020). Only the critic's view is augmented, and gradients pass through,
so the generator does not learn the augmented world as long as the probability stays well below one for what the
distribution could absorb; hence the cap. Works on images [B, C, H, W] and volumes [B, C, D, H, W] of any channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from synth.gan.players import Seen, View, inputs_of

CAP = 0.8  # of the adaptive probability: near one, augmented records look normal and leak into what is generated
SHIFT = 1 / 8  # largest translation, share of a side
HOLE = 1 / 2  # side of the cut-out box, share of a side
BRIGHTNESS, CONTRAST = 0.5, 0.5  # largest change, of intensities in [-1, 1] and of their spread
ANGLE, SCALE = math.radians(10), 1.1  # largest turn in each plane, largest change of size

# (parts, which records [B] bool, leading channels of parts[0] that are intensities) -> parts.
# parts[0] are the inputs, the others what moves with them.
Operation = Callable[[list[Tensor], Tensor, int], list[Tensor]]


def augmented(seen: Seen, operations: Sequence[str], probability: float, intensities: int) -> Seen:
    """The view with each operation applied to each record with ``probability``; differentiable.

    Items of the context that have the spatial shape of the inputs are moved with them.
    """
    if not operations or probability <= 0:
        return seen
    inputs = inputs_of(seen)
    context = list(seen.context) if isinstance(seen, View) else []
    moved = {i: item for i, item in enumerate(context) if item is not None and item.shape[2:] == inputs.shape[2:]}
    parts = [inputs, *moved.values()]
    for name in operations:
        on = torch.rand(len(inputs), device=inputs.device) < probability
        parts = OPERATIONS[name](parts, on, intensities)
    for i, part in zip(moved, parts[1:], strict=True):
        context[i] = part
    return View(parts[0], tuple(context)) if isinstance(seen, View) else parts[0]


def adapted(probability: float, sign: float, *, target: float, records: int, speed: int) -> float:
    """ADA's controller: towards more augmentation while the sign statistic is above its target, never past CAP.

    ``sign`` is the mean of sign(score - boundary) of the last real records; ``speed`` the number of records within
    which the probability could go from 0 to 1.
    """
    step = records / speed
    return min(CAP, max(0.0, probability + (step if sign > target else -step if sign < target else 0.0)))


def _each(on: Tensor, like: Tensor) -> Tensor:
    """A value a record [B], shaped to broadcast over ``like`` [B, ...]."""
    return on.reshape(-1, *[1] * (like.ndim - 1))


def translation(parts: list[Tensor], on: Tensor, intensities: int) -> list[Tensor]:
    """Whole steps along each axis, the border repeated."""
    size = parts[0].shape[2:]
    shifts = [torch.round((torch.rand(len(on), device=on.device) * 2 - 1) * SHIFT * side).long() * on for side in size]
    for axis, shift in enumerate(shifts):
        at = (torch.arange(size[axis], device=on.device) - shift[:, None]).clamp(0, size[axis] - 1)
        shape = [len(on), *[1] * (len(size) + 1)]
        shape[axis + 2] = size[axis]
        parts = [part.gather(axis + 2, at.reshape(shape).expand_as(part)) for part in parts]
    return parts


def cutout(parts: list[Tensor], on: Tensor, intensities: int) -> list[Tensor]:
    """A box of half of each side set to the middle of the range (DeVries and Taylor 2017)."""
    images, size = parts[0], parts[0].shape[2:]
    hole = _each(on, images)
    for axis, side in enumerate(size):
        centre = torch.rand(len(on), device=on.device) * side
        inside = (torch.arange(side, device=on.device) + 0.5 - centre[:, None]).abs() <= HOLE / 2 * side
        shape = [len(on), *[1] * (len(size) + 1)]
        shape[axis + 2] = side
        hole = hole & inside.reshape(shape)
    return [images.masked_fill(hole, 0.0), *parts[1:]]


def brightness(parts: list[Tensor], on: Tensor, intensities: int) -> list[Tensor]:
    """One number added to a record's intensities."""
    change = _each((torch.rand(len(on), device=on.device) * 2 - 1) * BRIGHTNESS * on, parts[0])
    return _intensities(parts, intensities, lambda images: images + change)


def contrast(parts: list[Tensor], on: Tensor, intensities: int) -> list[Tensor]:
    """A record's intensities spread or drawn together about their mean."""
    more = _each((torch.rand(len(on), device=on.device) * 2 - 1) * CONTRAST * on, parts[0])

    def change(images: Tensor) -> Tensor:
        mean = images.mean(dim=list(range(1, images.ndim)), keepdim=True)
        return images + (images - mean) * more

    return _intensities(parts, intensities, change)


def flip(parts: list[Tensor], on: Tensor, intensities: int) -> list[Tensor]:
    """Half of the chosen records mirrored along the last axis."""
    chosen = on & (torch.rand(len(on), device=on.device) < 0.5)
    return [torch.where(_each(chosen, part), part.flip(-1), part) for part in parts]


def affine(parts: list[Tensor], on: Tensor, intensities: int) -> list[Tensor]:
    """A small turn in each plane and a small change of size, linear interpolation, the border repeated."""
    size = parts[0].shape[2:]
    sides = torch.tensor(size[::-1], dtype=torch.float32, device=on.device)  # the grid's order: x, y, z
    matrix = torch.eye(len(size), device=on.device).repeat(len(on), 1, 1)
    for i in range(len(size)):
        for j in range(i + 1, len(size)):
            angle = (torch.rand(len(on), device=on.device) * 2 - 1) * ANGLE
            turn = torch.eye(len(size), device=on.device).repeat(len(on), 1, 1)
            turn[:, i, i] = turn[:, j, j] = angle.cos()
            turn[:, i, j], turn[:, j, i] = -angle.sin(), angle.sin()
            matrix = matrix @ turn
    matrix = matrix * torch.exp((torch.rand(len(on), 1, 1, device=on.device) * 2 - 1) * math.log(SCALE))
    theta = F.pad(matrix * sides / sides[:, None], (0, 1))  # sides cancel where the grid is not square
    grid = F.affine_grid(theta, [len(on), 1, *size], align_corners=False)
    return [torch.where(_each(on, part),
                        F.grid_sample(part, grid.to(part.dtype), padding_mode="border", align_corners=False), part)
            for part in parts]


def _intensities(parts: list[Tensor], count: int, change: Callable[[Tensor], Tensor]) -> list[Tensor]:
    images = parts[0]
    changed = change(images[:, :count])
    return [changed if count >= images.shape[1] else torch.cat([changed, images[:, count:]], 1), *parts[1:]]


OPERATIONS: dict[str, Operation] = {
    "translation": translation, "cutout": cutout, "brightness": brightness, "contrast": contrast, "affine": affine,
    "flip": flip,
}
