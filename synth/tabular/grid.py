"""The printed grid of a number column: which float64 values its source could have printed.

A column printed with ``d`` decimals lives on the multiples of ``10**-d``; integers and datetimes are whole
numbers of their unit. Every value is made by *one* correctly rounded operation on an integer, so the same
decimal is the same double in columns of different precision and comparisons after rounding are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.tabular.schema import ColumnSchema

_EXACT = 2.0**53  # integers beyond this are not all float64
_HUGE = 1e150  # full-precision columns: sums and differences of values within stay finite


@dataclass(frozen=True, slots=True)
class Grid:
    """Multiples of ``factor`` (``digits`` 0) or of ``10**-digits``; ``digits`` None is the whole real line."""

    digits: int | None
    factor: int = 1

    @classmethod
    def of(cls, column: ColumnSchema, factor: int = 1) -> Grid:
        """The grid of ``column``, in units ``factor`` times finer than the column's own."""
        return cls(0 if column.integer or column.unit is not None else column.decimals, factor)

    @property
    def reach(self) -> float:
        """The largest magnitude that is still exact."""
        return _HUGE if self.digits is None else _EXACT / 10.0**self.digits

    @property
    def step(self) -> float | None:
        """Distance of neighbours, None on the real line."""
        return None if self.digits is None else self.factor / 10.0**self.digits

    def ticks(self, values: np.ndarray) -> np.ndarray:
        """The nearest whole number of steps (on the real line the values themselves)."""
        if self.digits is None:
            return values
        return np.rint(values / self.factor) if self.factor != 1 else np.rint(values * 10.0**self.digits)

    def value(self, ticks: np.ndarray) -> np.ndarray:
        """The value of a number of steps; never minus zero."""
        if self.digits is None:
            return ticks + 0.0
        return (ticks * self.factor if self.factor != 1 else ticks / 10.0**self.digits) + 0.0

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """The grid's values nearest to ``values`` (NaN stays NaN)."""
        return self.value(self.ticks(values))

    def up(self, values: np.ndarray, *, strict: bool = False) -> np.ndarray:
        """The smallest grid value that is at least (``strict``: above) ``values``."""
        if self.digits is None:
            return np.nextafter(values, np.inf) if strict else values + 0.0
        ticks = self.ticks(values)
        found = self.value(ticks)
        return self.value(ticks + (found <= values if strict else found < values))

    def down(self, values: np.ndarray, *, strict: bool = False) -> np.ndarray:
        """The largest grid value that is at most (``strict``: below) ``values``."""
        return -self.up(-np.asarray(values, dtype=float), strict=strict) + 0.0

    def inside(self, low: float | None, high: float | None) -> tuple[float, float]:
        """Bounds moved inwards onto the grid; the grid's reach where there is none."""
        reach = float(self.down(np.array(self.reach)))
        return (-reach if low is None else max(-reach, float(self.up(np.array(low)))),
                reach if high is None else min(reach, float(self.down(np.array(high)))))


def at_precision(values: np.ndarray, column: ColumnSchema) -> np.ndarray:
    """The printable values nearest to ``values`` (NaN stays)."""
    return Grid.of(column).nearest(values)


def bounds(column: ColumnSchema) -> tuple[float, float]:
    """The declared bounds moved inwards onto the grid; the exactly representable range where none is declared."""
    return Grid.of(column).inside(column.minimum, column.maximum)
