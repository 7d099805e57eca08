"""Random changes that leave the patient recognisable: what a copy may have undergone, and classical augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Ranges of the changes. Shares are of the image's side; intensities are on the scale [-1, 1]."""

    shift: float = 0.1
    zoom: float = 0.1
    turn: float = 0.12  # radians
    flips: tuple[int, ...] = ()  # spatial axes (0 the first) that may be mirrored
    blur: float = 1.0  # largest standard deviation, pixels
    gamma: float = 0.5  # of the logarithm of the exponent
    gain: float = 0.25
    offset: float = 0.15
    noise: float = 0.12


def changed(images: torch.Tensor, changes: Changes, random: torch.Generator) -> torch.Tensor:
    """Images [n, channels, *size] (2-D or 3-D), each changed at random by its own amounts."""
    import torch
    import torch.nn.functional as functional

    count, dims = len(images), images.ndim - 2

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=random) * (high - low) + low

    # grid_sample names the last axis first
    matrix = torch.diag_embed(1 + uniform(-changes.zoom, changes.zoom, count, 1).expand(count, dims))
    for axis in changes.flips:
        matrix[:, dims - 1 - axis] *= torch.sign(torch.rand((count, 1), generator=random) - 0.5)
    angle = uniform(-changes.turn, changes.turn, count)
    turn = torch.eye(dims).repeat(count, 1, 1)  # in the plane of the last two axes
    turn[:, 0, 0] = turn[:, 1, 1] = torch.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0] = -torch.sin(angle), torch.sin(angle)
    place = uniform(-2 * changes.shift, 2 * changes.shift, count, dims, 1)
    grid = functional.affine_grid(torch.cat([turn @ matrix, place], dim=2), list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if changes.blur > 0:
        images = _blurred(images, uniform(0.05, changes.blur, count))
    one = (count,) + (1,) * (dims + 1)
    lifted = ((images + 1) / 2).clamp(1e-4, 1) ** torch.exp(uniform(-changes.gamma, changes.gamma, *one))
    images = (2 * lifted - 1) * (1 + uniform(-changes.gain, changes.gain, *one))
    images = images + uniform(-changes.offset, changes.offset, *one)
    return images + torch.randn(images.shape, generator=random) * uniform(0, changes.noise, *one)


def _blurred(images: torch.Tensor, deviations: torch.Tensor) -> torch.Tensor:
    """Each image under a Gaussian of its own width, axis by axis (five taps)."""
    import torch
    import torch.nn.functional as functional

    count, channels, dims = len(images), images.shape[1], images.ndim - 2
    taps = torch.exp(-(torch.arange(-2, 3) ** 2) / (2 * deviations[:, None] ** 2))
    kernel = (taps / taps.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    convolve = functional.conv2d if dims == 2 else functional.conv3d
    for axis in range(dims):
        shape, pad = [1] * dims, [0] * (2 * dims)
        shape[axis] = 5
        pad[2 * (dims - 1 - axis)] = pad[2 * (dims - 1 - axis) + 1] = 2
        flat = functional.pad(images.reshape(1, count * channels, *images.shape[2:]), pad, mode="replicate")
        images = convolve(flat, kernel.reshape(-1, 1, *shape), groups=count * channels).reshape(images.shape)
    return images
