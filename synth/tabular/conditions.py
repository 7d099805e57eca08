"""Conditions a user puts on sampled rows: parsed from text, checked, and testable on a working frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from synth.contract.model import Role
from synth.errors import UserError
from synth.tabular.grammar import GRAMMAR
from synth.tabular.grid import Grid, bounds
from synth.tabular.schema import ColumnSchema, TableSchema

_TICKS = {"D": timedelta(days=1), "s": timedelta(seconds=1), "ms": timedelta(milliseconds=1),
          "us": timedelta(microseconds=1)}
_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """The cells a condition admits in one column.

    ``missing`` only: the cell must be missing. Otherwise the cell is filled and lies in ``labels`` (label
    columns; ``None`` admits every label) or in the closed interval ``low .. high`` (number columns, in
    working units and on the printed grid).
    """

    missing: bool = False
    labels: frozenset[str] | None = None
    low: float = -np.inf
    high: float = np.inf

    @property
    def exact(self) -> float | str | None:
        """The one admitted value, or ``None`` if there are more (or the cell must be missing)."""
        if self.labels is not None:
            return next(iter(self.labels)) if len(self.labels) == 1 else None
        return self.low if self.low == self.high and not self.missing else None

    @property
    def empty(self) -> bool:
        """True if no cell can satisfy it."""
        return not self.missing and (self.labels == frozenset() or self.low > self.high)

    def both(self, other: Allowed) -> Allowed | None:
        """Cells that satisfy this and ``other``; ``None`` if there are none."""
        if self.missing != other.missing:
            return None
        if self.missing:
            return self
        sets = [s for s in (self.labels, other.labels) if s is not None]
        merged = Allowed(labels=frozenset.intersection(*sets) if sets else None,
                         low=max(self.low, other.low), high=min(self.high, other.high))
        return None if merged.empty else merged

    def holds(self, column: pd.Series) -> np.ndarray:
        """One bool per cell of a working-frame column."""
        filled: np.ndarray = column.notna().to_numpy(dtype=bool)
        if self.missing:
            return ~filled
        if self.labels is not None:
            return np.asarray(column.isin(list(self.labels)), dtype=bool)
        if column.dtype == "float64":
            values = column.to_numpy()
            return np.asarray((values >= self.low) & (values <= self.high) & filled, dtype=bool)
        return filled


@dataclass(frozen=True, slots=True)
class Conditions:
    """What each conditioned column admits; columns that are not named are free."""

    columns: Mapping[str, Allowed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    def __bool__(self) -> bool:
        return bool(self.columns)

    def holds(self, frame: pd.DataFrame) -> np.ndarray:
        """One bool per row of a working frame: all conditions hold."""
        result = np.ones(len(frame), dtype=bool)
        for name, allowed in self.columns.items():
            result &= allowed.holds(frame[name])
        return result


def parse(texts: Sequence[str], schema: TableSchema) -> Conditions:
    """Conditions from texts in :data:`GRAMMAR`; a :class:`UserError` says what is not understood.

    Messages name columns, and at most ten labels of the released vocabulary.
    """
    columns: dict[str, Allowed] = {}
    for text in texts:
        name, allowed = _parse_one(text, schema)
        merged = allowed if name not in columns else columns[name].both(allowed)
        if merged is None or merged.empty:
            raise UserError(f"the conditions on column {name!r} exclude each other", where=_place(text),
                            todo="drop one of them")
        columns[name] = merged
    return Conditions(columns)


def _place(text: str) -> str:
    return f"--where {text!r}"


def _parse_one(text: str, schema: TableSchema) -> tuple[str, Allowed]:
    stripped = text.strip()
    # the longest column name first: names may hold spaces and operators themselves
    for column in sorted(schema.columns, key=lambda c: -len(c.name)):
        rest = stripped[len(column.name):].lstrip()
        if not stripped.startswith(column.name):
            continue
        words = rest.split()
        if words == ["is", "missing"]:
            return column.name, _missing(column, text)
        if words == ["is", "not", "missing"]:
            return column.name, Allowed()
        for operator in (">=", "<=", "=", ">", "<"):
            if rest.startswith(operator):
                return column.name, _compare(column, operator, rest[len(operator):].strip(), text)
    names = ", ".join(schema.names[:40])
    if not any(operator in stripped for operator in ("=", ">", "<", " is ")):
        raise UserError("a condition needs an operator", where=_place(text), todo=GRAMMAR)
    raise UserError("the condition names no column that can be conditioned on", where=_place(text),
                    todo=f"columns: {names}")


def _missing(column: ColumnSchema, text: str) -> Allowed:
    if not column.nullable:
        raise UserError(f"column {column.name!r} has no missing cells, so none can be asked for", where=_place(text),
                        todo="give a value")
    return Allowed(missing=True)


def _compare(column: ColumnSchema, operator: str, value: str, text: str) -> Allowed:
    if operator == "=" and not value:
        return _missing(column, text)
    if not column.is_number:
        if operator != "=":
            raise UserError(f"column {column.name!r} holds labels, which have no {operator}", where=_place(text),
                            todo=f"write {column.name}=A or {column.name}=A|B")
        return Allowed(labels=_labels(column, value, text))
    number = _number(column, value, text)
    grid, point = Grid.of(column), np.array(number)
    nearest = float(grid.nearest(point))
    if operator == "=" and abs(nearest - number) > 1e-9 * max(1.0, abs(number)):
        raise UserError(f"column {column.name!r} prints {grid.digits} decimals, so this value never occurs",
                        where=_place(text), todo="round it, or ask for a range with >= and <=")
    low, high = bounds(column)
    if operator == "=":
        low, high = (nearest, nearest) if low <= nearest <= high else (np.inf, -np.inf)
    elif operator in (">=", ">"):
        low = max(low, float(grid.up(point, strict=operator == ">")))
    else:
        high = min(high, float(grid.down(point, strict=operator == "<")))
    if low > high:
        raise UserError(f"no value of column {column.name!r} within the contract's bounds satisfies this",
                        where=_place(text), todo="ask for a value inside the declared bounds")
    return Allowed(low=low, high=high)


def _labels(column: ColumnSchema, value: str, text: str) -> frozenset[str]:
    words = {label: label for label in column.values}
    if column.role is Role.BOOLEAN:
        words = {column.true_text or "true": "true", column.false_text or "false": "false"}
    asked = [value] if value in words else [part.strip() for part in value.split("|")]
    found = {words[part] for part in asked if part in words}
    if len(found) < len(set(asked)):
        listed = ", ".join(list(words)[:_SHOWN]) + (", ..." if len(words) > _SHOWN else "")
        raise UserError(f"column {column.name!r} has no such label", where=_place(text), todo=f"its labels: {listed}")
    return frozenset(found)


def _number(column: ColumnSchema, value: str, text: str) -> float:
    try:
        number = moment(column, value) if column.unit is not None else float(value)
    except (ValueError, OverflowError):
        number = np.nan
    if not np.isfinite(number):
        form = (column.format or "2024-12-31 (or 2024-12-31T23:59:59)") if column.unit is not None else "12.5"
        raise UserError(f"the value for column {column.name!r} is not a {column.role}", where=_place(text),
                        todo=f"write it like {form}") from None
    return number


def moment(column: ColumnSchema, value: str) -> float:
    """A printed date or time in working units of a datetime column; ``ValueError`` if it is neither."""
    if column.format is None:
        when = datetime.fromisoformat(value)
    else:
        when = datetime.strptime(value, column.format)
    if column.zone is not None and when.tzinfo is None:
        when = when.replace(tzinfo=zone_of(column.zone))
    epoch = datetime(1970, 1, 1, tzinfo=UTC if when.tzinfo else None)
    return (when - epoch) / _TICKS[column.unit or "s"]


def zone_of(name: str) -> timezone | ZoneInfo:
    """A time zone by name, or a fixed offset such as ``+02:00`` as Arrow writes it."""
    if name[:1] in "+-":
        sign = -1 if name[0] == "-" else 1
        hours, minutes = int(name[1:3]), int(name[-2:])
        return timezone(sign * timedelta(hours=hours, minutes=minutes))
    return ZoneInfo(name)
