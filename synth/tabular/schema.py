"""The working frame: the one in-memory form of a table between ingest and export.

A working frame is a pandas frame with a fresh ``RangeIndex`` and exactly the modelled columns, in schema
order, of two kinds only:

* numbers (roles numeric and datetime): ``float64``, missing is ``NaN``. A datetime is the count of its
  ``unit`` since 1970-01-01 (UTC if the source had a zone). Integers are exact up to 2**53.
* labels (roles categorical, ordinal, boolean): pandas ``str``, missing is ``NaN``; booleans are the
  texts ``"true"`` and ``"false"``.

How a value is printed (integer or decimal, precision, date format, zone, the source's texts for true and
false) is not in the frame but in the :class:`TableSchema`, so that what goes out looks as it came in.
Identifier and text columns never enter a working frame; entities are opaque integers in a separate array.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from synth.contract.model import Role


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnSchema:
    """How one modelled column is held and printed. Contains vocabulary, so its file is private."""

    name: str
    role: Role
    nullable: bool  # missing cells occur or are allowed
    # numbers
    integer: bool = False  # written as int64
    decimals: int | None = None  # digits after the point that the source prints; None = full precision
    unit: str | None = None  # datetimes: "D", "s", "ms" or "us"
    zone: str | None = None  # datetimes: zone of the source, None = naive
    format: str | None = None  # datetimes that were text: strptime format (None: ISO 8601)
    text: bool = False  # datetimes or numbers that were text in the source and go out as text
    minimum: float | None = None  # declared bound in working units; None = not declared
    maximum: float | None = None
    # labels
    values: tuple[str, ...] = ()  # vocabulary after folding, ordinal in order, the rest sorted
    folded: str | None = None  # the label rare categories were folded into, None if none were
    true_text: str | None = None  # booleans that were text: the source's words; None: Arrow booleans
    false_text: str | None = None
    label_type: str = "str"  # "str", "int" or "float": Arrow type that labels had in the source

    @property
    def is_number(self) -> bool:
        """True for float64 columns of the working frame."""
        return self.role.is_number


@dataclass(frozen=True, kw_only=True, slots=True)
class TableSchema:
    """The columns of a working frame."""

    columns: tuple[ColumnSchema, ...]

    def __getitem__(self, name: str) -> ColumnSchema:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [c.name for c in self.columns]

    @property
    def numbers(self) -> list[str]:
        """Names of the float64 columns."""
        return [c.name for c in self.columns if c.is_number]

    @property
    def labels(self) -> list[str]:
        """Names of the str columns."""
        return [c.name for c in self.columns if not c.is_number]

    def to_json(self) -> dict[str, Any]:
        """Plain data, for :meth:`from_json`."""
        return {"columns": [asdict(c) for c in self.columns]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TableSchema:
        """The inverse of :meth:`to_json`."""
        columns = []
        for c in data["columns"]:
            c = dict(c)
            c["role"], c["values"] = Role(c["role"]), tuple(c["values"])
            columns.append(ColumnSchema(**c))
        return cls(columns=tuple(columns))

    def save(self, path: Path) -> None:
        """Write as JSON (private: it holds vocabulary)."""
        path.write_text(json.dumps(self.to_json(), ensure_ascii=False, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> TableSchema:
        """Read what :meth:`save` wrote."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))

    def check(self, frame: pd.DataFrame) -> None:
        """Assert the working-frame invariants; ``TypeError`` names the first column that breaks them."""
        if list(frame.columns) != self.names:
            raise TypeError("working frame has other columns than its schema")
        for c in self.columns:
            dtype = frame[c.name].dtype
            ok = dtype == "float64" if c.is_number else isinstance(dtype, pd.StringDtype)
            if not ok:
                raise TypeError(f"column {c.name!r} is {dtype}, not a working-frame type")
