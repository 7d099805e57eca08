"""The reversible map between the units of the source and what is stored and trained on.

Stored samples are uint16 steps of a window [low, high]; networks see them as floats in [-1, 1]. What lies outside
the window is clipped when read: that, and rounding to a 65,535th of the window, is all that is lost.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 65_535


@dataclass(frozen=True, kw_only=True, slots=True)
class Intensity:
    """A window in the source's units, and how a released file holds its values."""

    low: float
    high: float
    unit: str = ""  # e.g. HU; "" for display values
    bits: int = 8  # of a released sample

    def store(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """uint16 steps of values in the source's units; not-a-number becomes the low end."""
        share = (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)
        return np.rint(np.clip(np.nan_to_num(share, nan=0.0), 0, 1) * STEPS).astype(np.uint16)

    def restore(self, stored: NDArray[np.uint16]) -> NDArray[np.float64]:
        """Values in the source's units of stored steps."""
        return self.low + stored.astype(np.float64) / STEPS * (self.high - self.low)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Intensity:
        """The inverse of :meth:`to_json`."""
        return cls(**data)


def as_float(stored: NDArray[np.uint16]) -> NDArray[np.float32]:
    """What networks see: float32 in [-1, 1]."""
    return stored.astype(np.float32) * np.float32(2 / STEPS) - np.float32(1)


def as_stored(floats: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The inverse of :func:`as_float`, clipped."""
    return np.rint((np.clip(floats, -1, 1).astype(np.float64) + 1) / 2 * STEPS).astype(np.uint16)
