"""The fields of a header as tokens: labels, and numbers in bins of about equal mass."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

BINS = 28
TOLD = 4  # entries that a number is told to later fields as


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field. ``labels`` of a label; of a number the bounds of its bins, ``low`` and ``high`` (equal for a value
    that is frequent by itself), and the scale it is told in; token 0 of a number is that there is none."""

    name: str
    labels: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    centre: float = 0.0
    scale: float = 1.0

    @property
    def number(self) -> bool:
        """Whether it is a number."""
        return not self.labels

    @property
    def size(self) -> int:
        """Tokens."""
        return len(self.labels) or 1 + len(self.low)

    @property
    def told(self) -> int:
        """Entries that later fields see of it."""
        return len(self.labels) or TOLD

    @classmethod
    def fit(cls, name: str, values: NDArray[np.float64], k: int, bins: int = BINS) -> Field:
        """Bins of a number; the outermost bounds are not the outermost values but those that ``k`` are beyond."""
        known = np.sort(values[np.isfinite(values)])
        if not len(known):
            return cls(name=name, low=(0.0,), high=(0.0,))
        known = known[min(k - 1, len(known) // 2):len(known) - min(k - 1, (len(known) - 1) // 2)]
        marks = np.round(np.quantile(known, np.linspace(0, 1, bins + 1)), 4)
        low: list[float] = []
        high: list[float] = []
        for a, b in pairwise(marks):
            if a == b and low and low[-1] == a == high[-1]:
                continue  # one bin for a value that fills several
            low.append(float(a))
            high.append(float(b))
        scale = float(known.std())
        return cls(name=name, low=tuple(low), high=tuple(high), centre=float(known.mean()), scale=max(scale, 1e-3))

    def ranks(self) -> Tensor:
        """Place of each token among the bins, 0 to 1; NaN where it has none."""
        if not self.number:
            return torch.full((self.size,), torch.nan)
        return torch.cat([torch.tensor([torch.nan]), (torch.arange(len(self.low)) + 0.5) / len(self.low)])

    def encode(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Tokens of a column's values."""
        if not self.number:
            place = {label: i for i, label in enumerate(self.labels)}
            return np.array([place.get(v, 0) for v in values], dtype=np.int64)
        values = values.astype(np.float64)
        known = np.nan_to_num(values, nan=self.low[0])
        low, high = np.array(self.low), np.array(self.high)
        at = np.clip(np.searchsorted(low, known, side="right") - 1, 0, len(low) - 1)
        beside = (low[at] == high[at]) & (known != low[at])  # after a frequent value comes the bin that begins there
        at = np.where(beside, np.minimum(at + 1, len(low) - 1), at)
        lone = low[np.maximum(at - 1, 0)] == high[np.maximum(at - 1, 0)]
        at = np.where(lone & (known == low[np.maximum(at - 1, 0)]) & (at > 0), at - 1, at)
        return np.where(np.isfinite(values), at + 1, 0)

    def value(self, tokens: Tensor, place: Tensor) -> Tensor:
        """Values of tokens: the label's number, or a number at ``place`` [0, 1) in its bin."""
        if not self.number:
            return tokens.to(place.dtype)
        low, high = (torch.tensor([torch.nan, *ends], dtype=place.dtype, device=place.device)
                     for ends in (self.low, self.high))
        return torch.lerp(low[tokens], high[tokens], place)

    def tell(self, tokens: Tensor, values: Tensor) -> Tensor:
        """What later fields are told [..., told]."""
        if not self.number:
            return F.one_hot(tokens, self.size).to(values.dtype)
        there = tokens > 0
        z = ((values.nan_to_num() - self.centre) / self.scale) * there
        rank = (tokens.to(values.dtype) - 0.5) / len(self.low) * there
        return torch.stack([there.to(values.dtype), z.clamp(-3, 3), 2 * rank - 1, (3 * z).tanh()], -1)


@dataclass(frozen=True)
class Cells:
    """The fields of a block, in the order in which they are drawn."""

    fields: tuple[Field, ...]

    def encode(self, columns: dict[str, NDArray[Any]]) -> tuple[Tensor, Tensor]:
        """(tokens [n, F], what is told of them [n, P]) of columns of one length."""
        tokens, told = [], []
        for field in self.fields:
            found = torch.from_numpy(field.encode(columns[field.name]))
            values = torch.from_numpy(columns[field.name].astype(np.float64)).float() if field.number else found.float()
            told.append(field.tell(found, values))
            tokens.append(found)
        return torch.stack(tokens, 1), torch.cat(told, 1)

    def at(self, name: str) -> Field:
        """A field by name."""
        return next(field for field in self.fields if field.name == name)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data (private: bounds of bins come from data)."""
        return [asdict(field) for field in self.fields]

    @classmethod
    def from_json(cls, data: list[dict[str, Any]]) -> Cells:
        """The inverse of :meth:`to_json`."""
        return cls(tuple(Field(name=field["name"], labels=tuple(field["labels"]), low=tuple(field["low"]),
                               high=tuple(field["high"]), centre=field["centre"], scale=field["scale"])
                         for field in data))
