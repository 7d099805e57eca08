"""The printed grid of a number column: which float64 values its source could have printed.

A column printed with ``d`` decimals lives on the multiples of ``10**-d`` (integers and datetimes: whole
numbers of their unit). Every value here is *integer / 10**d*, one correctly rounded division, so the same
decimal is the same double in columns of different precision and comparisons after rounding are exact.
"""

from __future__ import annotations

import numpy as np

from synth.tabular.schema import ColumnSchema


def decimals(column: ColumnSchema) -> int | None:
    """Digits after the point that the column prints; ``None`` for full precision."""
    return 0 if column.integer or column.unit is not None else column.decimals


def at_precision(values: np.ndarray, column: ColumnSchema) -> np.ndarray:
    """The printable values nearest to ``values`` (NaN and infinities stay)."""
    return nearest(values, decimals(column))


def nearest(values: np.ndarray, digits: int | None) -> np.ndarray:
    """``values`` rounded to ``digits`` decimals (``None``: unchanged), never minus zero."""
    if digits is None:
        return values + 0.0
    scale = 10.0**digits
    return np.rint(values * scale) / scale + 0.0


def up(values: np.ndarray, digits: int | None, *, strict: bool = False) -> np.ndarray:
    """The smallest value on the grid that is at least (``strict``: above) ``values``."""
    if digits is None:
        return np.nextafter(values, np.inf) if strict else values + 0.0
    scale = 10.0**digits
    ticks = np.rint(values * scale)
    short = ticks / scale <= values if strict else ticks / scale < values
    return (ticks + short) / scale + 0.0


def down(values: np.ndarray, digits: int | None, *, strict: bool = False) -> np.ndarray:
    """The largest value on the grid that is at most (``strict``: below) ``values``."""
    return -up(-np.asarray(values, dtype=float), digits, strict=strict) + 0.0


def bounds(column: ColumnSchema) -> tuple[float, float]:
    """The declared bounds moved inwards onto the grid; infinite where none is declared."""
    digits = decimals(column)
    low = -np.inf if column.minimum is None else float(up(np.array(column.minimum), digits))
    high = np.inf if column.maximum is None else float(down(np.array(column.maximum), digits))
    return low, high
