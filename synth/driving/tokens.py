"""Controls as tokens: which bin an acceleration falls into, and a draw inside a bin.

A token is an acceleration beyond what the plan asks for by itself, or (``smooth``) the change of it since the last
step. Bins are
narrow near zero, where drivers spend their time, and wide towards the bounds of the bicycle: a grid evenly spaced in
the inverse hyperbolic sine of the value over one scale. The scale is all that is learnt from data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from synth.driving.bicycle import BOUNDS

NARROWEST = 0.005  # m/s^2: no scale is below it


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Bins of one kind of acceleration, from ``low`` to ``high``, m/s^2."""

    low: float
    high: float
    scale: float
    bins: int

    def edges(self) -> Tensor:
        """Bounds of the bins, float32 [bins + 1], rising."""
        low, high = (float(np.arcsinh(end / self.scale)) for end in (self.low, self.high))
        return torch.from_numpy((np.sinh(np.linspace(low, high, self.bins + 1)) * self.scale).astype(np.float32))

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the constructor."""
        return {"low": self.low, "high": self.high, "scale": self.scale, "bins": self.bins}


@dataclass(frozen=True, kw_only=True, slots=True)
class Grids:
    """The two grids of a control."""

    along: Grid
    across: Grid

    @classmethod
    def fit(cls, asked: NDArray[np.float32], bins: tuple[int, int], smooth: bool = False) -> Grids:
        """From what tokens have to say [..., T, 2] of many vehicles: the scale of each is the mean size of its central
        half."""
        scales = []
        for values in np.moveaxis(asked, -1, 0):
            size = np.abs(values.ravel())
            inner = size[size <= np.quantile(size, 0.5)] if len(size) else size
            scales.append(max(NARROWEST, round(float(2 * inner.mean()) if len(inner) else 0.1, 3)))
        most = BOUNDS.braking if smooth else BOUNDS.acceleration
        return cls(along=Grid(low=-BOUNDS.braking, high=most, scale=scales[0], bins=bins[0]),
                   across=Grid(low=-BOUNDS.across, high=BOUNDS.across, scale=scales[1], bins=bins[1]))

    @property
    def sizes(self) -> tuple[int, int]:
        """Bins of each."""
        return self.along.bins, self.across.bins

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"along": self.along.to_json(), "across": self.across.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Grids:
        """The inverse of :meth:`to_json`."""
        return cls(along=Grid(**data["along"]), across=Grid(**data["across"]))


def encode(value: Tensor, edges: Tensor) -> Tensor:
    """Bin of each value, int64; beyond the ends the outer bins."""
    return torch.bucketize(value.contiguous(), edges[1:-1].contiguous())


def draw(logits: Tensor, edges: Tensor, uniform: Tensor) -> Tensor:
    """A value [...] from logits [..., bins]: its bin by inversion, its place in the bin from what is left over.

    ``uniform`` [...] in [0, 1) is the only chance in it.
    """
    share = logits.softmax(-1).cumsum(-1)
    at = torch.searchsorted(share, uniform.unsqueeze(-1) * share[..., -1:]).squeeze(-1).clamp(max=logits.shape[-1] - 1)
    above = share.gather(-1, at.unsqueeze(-1)).squeeze(-1)
    below = torch.where(at > 0, share.gather(-1, (at - 1).clamp(min=0).unsqueeze(-1)).squeeze(-1), 0.0)
    place = ((uniform * share[..., -1] - below) / (above - below).clamp(min=1e-9)).clamp(0.0, 1.0)
    return torch.lerp(edges[at], edges[at + 1], place)


def relaxed(logits: Tensor, edges: Tensor, noise: Tensor, place: Tensor, temperature: float) -> Tensor:
    """The same with a gradient: the value of the drawn bin, the slope of the softened one (Jang et al. 2017).

    ``noise`` [..., bins] and ``place`` [...] are uniform; the bin is the largest of the logits with Gumbel noise.
    """
    gumbel = -torch.log(-torch.log(noise.clamp(1e-9, 1 - 1e-7)))
    scores = logits + gumbel
    soft = (scores / temperature).softmax(-1)
    hard = F.one_hot(scores.argmax(-1), scores.shape[-1]).to(soft.dtype)
    weights = hard + soft - soft.detach()
    values = torch.lerp(edges[:-1].expand_as(weights), edges[1:].expand_as(weights), place.unsqueeze(-1))
    return (weights * values).sum(-1)
