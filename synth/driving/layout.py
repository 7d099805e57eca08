"""Where numbers of many scenes lie in memory: scenes innermost while they are driven.

A step of a drive is some hundred small operations on [B, K] vehicles, on pairs and on neighbours. With the scenes next
to each other each of them runs over whole vectors, and the minimum over a few vehicles is one of vectors; with the few
vehicles or coordinates next to each other none does. Shapes are the same either way, and so are the values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def innermost(values: Tensor) -> Tensor:
    """The same tensor [B, ...] with B innermost in memory."""
    return values.movedim(0, -1).contiguous().movedim(-1, 0)


def columns(parts: Sequence[Tensor]) -> Tensor:
    """Parts of one shape stacked along a new last axis; in memory it is the outermost where scenes are innermost."""
    first = parts[0]
    if first.dim() < 2 or first.stride(0) != 1:
        return torch.stack(list(parts), -1)
    return torch.stack([part.movedim(0, -1) for part in parts]).movedim(-1, 0).movedim(1, -1)


def beside(parts: Sequence[Tensor]) -> Tensor:
    """Parts joined along their last axis, in memory as :func:`columns` leaves them."""
    first = parts[0]
    if first.dim() < 3 or first.stride(0) != 1:
        return torch.cat(list(parts), -1)
    return torch.cat([part.movedim(0, -1).movedim(-2, 0) for part in parts]).movedim(0, -1).movedim(-2, 0)


def flat(values: Tensor) -> Tensor:
    """The last two axes as one, in memory as :func:`columns` leaves it."""
    if values.dim() < 4 or values.stride(0) != 1:
        return values.flatten(-2)
    return values.movedim(0, -1).movedim(-2, 0).movedim(-2, 0).flatten(0, 1).movedim(0, -1).movedim(-2, 0)


def rows(values: Tensor) -> Tensor:
    """[B, K, C] as [K * B, C] without a copy where scenes are innermost; :func:`scenes` is the way back."""
    return values.transpose(0, 1).flatten(0, 1)


def scenes(values: Tensor, vehicles: int) -> Tensor:
    """[K * B, ...] as [B, K, ...]."""
    return values.unflatten(0, (vehicles, -1)).transpose(0, 1)
