"""One file of a source: what every format provides, and what every format needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa

from synth.errors import UserError

BATCH_ROWS = 1 << 17


class Part(Protocol):
    """One file of a source."""

    columns: tuple[tuple[str, pa.DataType], ...]
    rows: int | None

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Stream the columns asked for, in that order."""


def open_binary(fs: Any, path: str) -> Any:
    """Open a file for reading; failures as :class:`UserError`."""
    try:
        return fs.open(path, "rb")
    except Exception as error:
        raise UserError(f"the file cannot be opened ({type(error).__name__})", where=path,
                        todo="check that it exists and may be read") from None


def check_names(names: list[str], path: str) -> None:
    """Column names must be there and be different; names are not values, so they may be shown."""
    empty = [i + 1 for i, name in enumerate(names) if not name.strip()]
    if empty:
        raise UserError(f"column {empty[0]} has no name", where=path,
                        todo="name it in the header row, or leave it out of the file")
    double = [name for name, times in Counter(names).items() if times > 1]
    if double:
        raise UserError(f"the column name {double[0]!r} stands twice in the header", where=path,
                        todo="rename one of the columns")
