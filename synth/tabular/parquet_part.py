"""One Parquet file, streamed; the footer is checked before any page is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synth.errors import UserError
from synth.tabular.part import BATCH_ROWS, check_names, open_binary

MAX_CHUNK_BYTES = 1 << 30  # of one column in one row group, unpacked; a table that needs more has endless cells


class ParquetPart:
    """A Parquet file."""

    def __init__(self, fs: Any, path: str) -> None:
        self.fs, self.path = fs, path
        with open_binary(fs, path) as file:
            meta, schema = self._footer(file)
        self.rows: int | None = meta.num_rows
        check_names(schema.names, path)
        self.columns = tuple((f.name, f.type) for f in schema)

    def _footer(self, file: Any) -> tuple[pq.FileMetaData, pa.Schema]:
        try:
            opened = pq.ParquetFile(file)
            return opened.metadata, opened.schema_arrow
        except (pa.ArrowException, OSError, ValueError):
            raise UserError("the file is not Parquet, or it is cut off", where=self.path,
                            todo="check that it is whole, e.g. write or copy it again") from None

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Record batches of at most ``BATCH_ROWS`` rows."""
        rows = 0
        with open_binary(self.fs, self.path) as file:
            meta, _ = self._footer(file)
            self._check_size(meta, set(columns))
            try:
                for batch in pq.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS, columns=columns):
                    rows += batch.num_rows
                    if batch.num_rows:
                        yield batch.select(columns)
            except (pa.ArrowException, OSError, ValueError):
                raise UserError("the file cannot be read to its end", where=f"{self.path}, after row {rows}",
                                todo="it is damaged; write or copy it again") from None

    def _check_size(self, meta: pq.FileMetaData, columns: set[str]) -> None:
        for group in range(meta.num_row_groups):
            row_group = meta.row_group(group)
            for index in range(row_group.num_columns):
                chunk = row_group.column(index)
                name = chunk.path_in_schema.split(".")[0]
                if name in columns and chunk.total_uncompressed_size > MAX_CHUNK_BYTES:
                    raise UserError(f"column {name!r} unpacks to more than {MAX_CHUNK_BYTES >> 30} GB in one row group",
                                    where=self.path,
                                    todo="write the file with smaller row groups (e.g. 1,000,000 rows)")
