"""From a row of the listing to the vector that a record (an image, a scene) is made under.

A label becomes an indicator of each of its values and one of being missing; a number its distance from the mean in
standard deviations, cut at three, and a flag where it is missing (the distance is 0 then).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.tabular.schema import TableSchema

FARTHEST = 3.0  # standard deviations: one old patient must not become a direction of their own


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One column's share of the vector; ``values`` of a label, ``mean`` and ``deviation`` of a number."""

    name: str
    values: tuple[str, ...] | None = None
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def width(self) -> int:
        """Entries of the vector."""
        return 2 if self.values is None else len(self.values) + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """The columns that records follow, in the vector's order."""

    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """Entries of the vector, K; 0: records follow nothing."""
        return sum(part.width for part in self.parts)

    @classmethod
    def fit(cls, table: pd.DataFrame, schema: TableSchema, columns: Sequence[str]) -> Conditioning:
        """From a working frame; columns twice or not modelled are passed over."""
        parts = []
        for name in dict.fromkeys(column for column in columns if column in schema.names):
            if schema[name].is_number:
                known = table[name].to_numpy(dtype=np.float64)
                known = known[np.isfinite(known)]
                deviation = float(known.std()) if len(known) else 0.0
                parts.append(Part(name=name, mean=float(known.mean()) if len(known) else 0.0,
                                  deviation=deviation if deviation > 0 else 1.0))
            else:
                values = schema[name].values or tuple(sorted(table[name].dropna().unique()))
                parts.append(Part(name=name, values=tuple(values)))
        return cls(parts=tuple(parts))

    def encode(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """Vectors [n, K] of a working frame's rows; a value that was never seen counts as missing."""
        out = np.zeros((len(table), self.width), dtype=np.float32)
        start = 0
        for part in self.parts:
            column = table[part.name]
            if part.values is None:
                number = column.to_numpy(dtype=np.float64)
                missing = ~np.isfinite(number)
                place = np.clip((number - part.mean) / part.deviation, -FARTHEST, FARTHEST)
                out[:, start] = np.where(missing, 0.0, place)
                out[:, start + 1] = missing
            else:
                codes = pd.Index(part.values).get_indexer(pd.Index(column.astype(object)))
                out[np.arange(len(table)), start + np.where(codes < 0, len(part.values), codes)] = 1.0
            start += part.width
        return out

    def to_json(self) -> dict[str, Any]:
        """Plain data (private: it holds vocabulary)."""
        return {"parts": [asdict(part) for part in self.parts]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Conditioning:
        """The inverse of :meth:`to_json`."""
        return cls(parts=tuple(Part(**{**part, "values": None if part["values"] is None else tuple(part["values"])})
                               for part in data["parts"]))
