"""What all column readers share: missing codes, counting, and messages without values."""

from __future__ import annotations

import abc

import pyarrow as pa
import pyarrow.compute as pc

from synth.contract.model import Column
from synth.errors import UserError
from synth.tabular.schema import ColumnSchema


class Reader(abc.ABC):
    """Reads one column. ``place`` is the contract line for messages."""

    spool: pa.DataType  # type of the spool form

    def __init__(self, column: Column, *, place: str, typed: bool) -> None:
        self.column, self.place, self.typed = column, place, typed
        self.cells = self.missing = 0
        self.wrong_type = ""  # the source's type, if the role cannot be made of it
        self.counts: dict[str, int] = {}  # kind of problem -> cells

    @abc.abstractmethod
    def read(self, array: pa.Array) -> pa.Array:
        """Spool form of one batch; missing and unreadable cells are null."""

    @abc.abstractmethod
    def schema(self) -> ColumnSchema:
        """How the column is held and printed; valid once everything was read without problems."""

    @abc.abstractmethod
    def _problems(self) -> list[UserError]:
        """Problems of this kind of column."""

    def problems(self) -> list[UserError]:
        """All problems of the column, as counts."""
        found = self._problems()
        if self.wrong_type:  # nothing was read, which is not the same as nothing being there
            return found
        if self.cells and self.missing == self.cells:
            return [self._problem("has no value in any row",
                                  "take it out of the contract, or give it role text with generate: drop")]
        if self.column.required and self.missing:
            found.append(self._problem(f"is required, but {cells(self.missing)} of {self.cells} are missing",
                                       "fill them at the source, or remove `required`"))
        return found

    @property
    def nullable(self) -> bool:
        """Missing cells occur or are allowed."""
        return not self.column.required

    def _count(self, kind: str, mask: pa.Array | int) -> None:
        number = mask if isinstance(mask, int) else pc.sum(mask).as_py() or 0
        if number:
            self.counts[kind] = self.counts.get(kind, 0) + number

    def _done(self, result: pa.Array) -> pa.Array:
        self.cells += len(result)
        self.missing += result.null_count - self._unreadable_now
        return result

    _unreadable_now = 0  # null cells of the current batch that are problems, not missing

    def _problem(self, what: str, todo: str) -> UserError:
        gap = "" if what.startswith(":") else " "
        return UserError(f"column {self.column.name!r}{gap}{what}", where=self.place, todo=todo)

    def _text(self, array: pa.Array) -> pa.Array:
        """Text cells as they are; blank cells and missing codes become null."""
        array = plain_text(array)
        trimmed = pc.utf8_trim_whitespace(array)
        absent = pc.equal(pc.binary_length(trimmed), 0)
        if self.column.missing_codes:
            codes = pa.array([c.strip() for c in self.column.missing_codes], pa.string())
            absent = pc.or_(absent, pc.is_in(trimmed, value_set=codes))
        return pc.if_else(absent, pa.scalar(None, pa.string()), array)


def plain_text(array: pa.Array) -> pa.Array:
    """Any string-like array as plain ``string``."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array if pa.types.is_string(array.type) else array.cast(pa.string())


def is_text(kind: pa.DataType) -> bool:
    """True for every kind of string, also dictionary-encoded."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def cells(number: int) -> str:
    """``"1 cell"``, ``"2 cells"``."""
    return f"{number} cell{'s' if number != 1 else ''}"

