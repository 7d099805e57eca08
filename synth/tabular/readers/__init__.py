"""Readers: one per column, from source cells to the working form, learning how the source prints them.

A reader is fed batch by batch (:meth:`Reader.read`) and gives back the spool form of each: float64 for numbers,
int64 microseconds for dates, int32 codes of distinct texts for labels, null where a cell is missing. At the end
it knows the problems of the whole column (as counts, never as values) and the printing part of its schema.
"""

from __future__ import annotations

from synth.contract.model import Column, Role
from synth.tabular.readers.base import Reader
from synth.tabular.readers.dates import DateReader
from synth.tabular.readers.labels import LabelReader
from synth.tabular.readers.numbers import NumberReader

__all__ = ["DateReader", "LabelReader", "NumberReader", "Reader", "reader_for"]


def reader_for(column: Column, *, place: str, typed: bool) -> Reader:
    """The reader for a modelled column. ``typed``: the source has types, so text in it was meant as text."""
    kinds: dict[Role, type[Reader]] = {Role.NUMERIC: NumberReader, Role.DATETIME: DateReader}
    return kinds.get(column.role, LabelReader)(column, place=place, typed=typed)
