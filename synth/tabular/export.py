"""From the working frame to what leaves: the source's types, words and precision, as Parquet or CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synth.contract.model import Contract, IdentifierPolicy, Role
from synth.tabular.conditions import zone_of
from synth.tabular.grid import at_precision
from synth.tabular.identifiers import generate
from synth.tabular.schema import ColumnSchema, TableSchema

MARK = {b"synthetic": b"true"}  # schema metadata of every file
ROW_GROUP = 131_072
_CSV_ROWS = 50_000  # formatted at once
_FORMULA = r"^[=+\-@\t\r]"  # what a spreadsheet takes for a formula
_SECONDS = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_LABEL_TYPES = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}


def dress(frame: pd.DataFrame, schema: TableSchema, contract: Contract, *, seed: int, start: int = 0) -> pa.Table:
    """The table as the source would print it, in the contract's column order.

    Dropped columns are absent; generated identifiers are filled from faker (``seed``; ``start`` is the number
    of the first row, so that batches do not repeat each other). Fields carry their role and printed decimals
    as metadata, for :func:`write_csv`.
    """
    fields, arrays = [], []
    for column in contract.columns:
        if column.modelled and column.name in schema.names:
            held = schema[column.name]
            array = _printed(frame[column.name], held)
            metadata = {b"role": held.role.value.encode()}
            if held.role is Role.NUMERIC and held.decimals is not None:
                metadata[b"decimals"] = str(held.decimals).encode()
        elif column.generate is IdentifierPolicy.GENERATE and not column.modelled:
            # every synthetic row is an entity of its own
            unique = column.unique or column.name == contract.entity
            array = generate(column, len(frame), seed=seed, start=start, unique=unique)
            metadata = {b"role": column.role.value.encode()}
        else:
            continue
        fields.append(pa.field(column.name, array.type, metadata=metadata))
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=MARK))


def _printed(cells: pd.Series, column: ColumnSchema) -> pa.Array:
    if column.role is Role.BOOLEAN:
        return _booleans(cells, column)
    if not column.is_number:
        words = pa.array(cells, from_pandas=True).cast(pa.string())
        return words.cast(_LABEL_TYPES[column.label_type])
    values = at_precision(cells.to_numpy(dtype=float), column)
    empty = np.isnan(values)
    if column.role is Role.DATETIME:
        return _moments(values, empty, column)
    if column.text:
        return pa.array(_number_texts(values, column.decimals if not column.integer else 0), pa.string())
    if column.integer:
        return pa.array(np.where(empty, 0, values).astype(np.int64), mask=empty)
    return pa.array(values, mask=empty)


def _booleans(cells: pd.Series, column: ColumnSchema) -> pa.Array:
    truth = pa.array((cells == "true").to_numpy(dtype=bool), mask=cells.isna().to_numpy(dtype=bool))
    if column.true_text is None or column.false_text is None:
        return truth
    words = pc.if_else(truth, column.true_text, column.false_text).cast(pa.string())
    return words.cast(_LABEL_TYPES[column.label_type])


def _moments(values: np.ndarray, empty: np.ndarray, column: ColumnSchema) -> pa.Array:
    unit = column.unit or "s"
    counts = np.where(empty, 0, values).astype(np.int64)
    if column.text or column.format is not None:
        codes, inverse = np.unique(counts, return_inverse=True)
        words = pa.array(_moment_texts(codes, unit, column), pa.string())
        return words.take(pa.array(inverse.reshape(-1), mask=empty))
    if unit == "D":
        return pa.array(counts.astype(np.int32), pa.int32(), mask=empty).cast(pa.date32())
    return pa.array(counts, mask=empty).cast(pa.timestamp(unit, tz=column.zone))


def _moment_texts(counts: np.ndarray, unit: str, column: ColumnSchema) -> list[str]:
    """Dates and times in the column's format (ISO 8601 without one), in the column's zone."""
    form = column.format
    zone: timezone | ZoneInfo | None = None if column.zone is None else zone_of(column.zone)
    epoch = datetime(1970, 1, 1, tzinfo=None if zone is None else UTC)
    tick = timedelta(microseconds=_SECONDS[unit])
    texts = []
    for count in counts.tolist():
        when = epoch + count * tick
        when = when if zone is None else when.astimezone(zone)
        if form is None:
            texts.append(when.date().isoformat() if unit == "D" else when.isoformat())
            continue
        # strftime prints years before 1000 without their zeros, and always six digits of a second
        text_form = form.replace("%Y", f"{when.year:04d}")
        if unit == "ms":
            text_form = text_form.replace("%f", f"{when.microsecond // 1000:03d}")
        texts.append(when.strftime(text_form))
    return texts


def _number_texts(values: np.ndarray, digits: int | None) -> list[str | None]:
    if digits is None:
        return [None if v != v else repr(v) for v in values.tolist()]
    return [None if v != v else f"{v:.{digits}f}" for v in values.tolist()]


def write_shards(tables: Iterable[pa.Table], folder: Path, rows_per_shard: int = 1_000_000) -> list[Path]:
    """Write the Hugging Face layout ``folder/data/train-00000-of-0000N.parquet``; the paths in order.

    Streams: about one row group is held. No statistics (they would hold minima and
    maxima) and no pandas metadata.
    """
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    writer: pq.ParquetWriter | None = None
    open_paths, rows = list[Path](), 0
    try:
        for table in regrouped(tables, ROW_GROUP):
            offset = 0
            while offset < table.num_rows or writer is None:
                if writer is None or rows == rows_per_shard:
                    if writer is not None:
                        writer.close()
                    open_paths.append(data / f".shard-{len(open_paths):05d}.partial")
                    writer = pq.ParquetWriter(open_paths[-1], table.schema, compression="zstd", write_statistics=False)
                    rows = 0
                part = table.slice(offset, rows_per_shard - rows)
                writer.write_table(part, row_group_size=2 * ROW_GROUP)
                offset, rows = offset + part.num_rows, rows + part.num_rows
                if table.num_rows == 0:
                    break
    finally:
        if writer is not None:
            writer.close()
    final = [data / f"train-{i:05d}-of-{len(open_paths):05d}.parquet" for i in range(len(open_paths))]
    for partial, path in zip(open_paths, final, strict=True):
        os.replace(partial, path)
    return final


def regrouped(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of at least ``rows`` rows (the last may have fewer), for row groups of that size."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(t.num_rows for t in held) >= rows:
            yield pa.concat_tables(held).combine_chunks()
            held = []
    if held:
        yield pa.concat_tables(held).combine_chunks()


def write_csv(table: pa.Table, path: Path) -> None:
    """Write UTF-8 CSV (RFC 4180) in the printed precision of the fields; a missing cell is empty.

    Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers and dates do not.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        header = pa.array(table.column_names)
        writer.writerow(_escaped(header).to_pylist())
        for batch in table.to_batches(max_chunksize=_CSV_ROWS):
            columns = [_csv_cells(batch.column(i), field) for i, field in enumerate(table.schema)]
            writer.writerows(zip(*columns, strict=True))


def write_whole(table: pa.Table, path: Path) -> None:
    """Write ``path`` (.csv or Parquet), whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.suffix == ".csv":
            write_csv(table, temporary)
        else:
            pq.write_table(table, temporary, compression="zstd", write_statistics=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _csv_cells(array: pa.Array, field: pa.Field) -> list[str | None]:
    kind = field.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        number = (field.metadata or {}).get(b"role") in (b"numeric", b"datetime")
        return (array if number else _escaped(array)).to_pylist()
    return texts(array, field)


def texts(array: pa.Array, field: pa.Field) -> list[str | None]:
    """Cells as CSV prints them, ``None`` where missing; texts as they are."""
    metadata, kind = field.metadata or {}, field.type
    if pa.types.is_boolean(kind):
        return pc.if_else(array, "true", "false").to_pylist()
    if pa.types.is_floating(kind):
        digits = metadata.get(b"decimals")
        return _number_texts(array.to_numpy(zero_copy_only=False), None if digits is None else int(digits))
    if pa.types.is_temporal(kind):
        return [None if cell is None else cell.isoformat() for cell in array.to_pylist()]
    return array.cast(pa.string()).to_pylist()


def _escaped(array: pa.Array) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(array, _FORMULA), pc.binary_join_element_wise("'", array, ""), array)


def dressed_batches(frames: Iterable[pd.DataFrame], schema: TableSchema, contract: Contract, *,
                    seed: int) -> Iterator[pa.Table]:
    """:func:`dress` over a stream of working frames."""
    start = 0
    for frame in frames:
        yield dress(frame, schema, contract, seed=seed, start=start)
        start += len(frame)
