"""A table as it is printed (Arrow, the source's types) back into working form, so that one suite fits both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synth.contract import Role
from synth.errors import InternalError
from synth.tabular.schema import ColumnSchema, TableSchema


def working_frame(table: pa.Table, schema: TableSchema) -> pd.DataFrame:
    """The schema's columns in working form; other columns (generated identifiers) as text.

    Raises :class:`InternalError` naming the column whose cells are not what the schema says.
    """
    columns: dict[str, Any] = {}
    for name in table.column_names:
        cells = table.column(name).combine_chunks()
        held = schema[name] if name in schema.names else None
        try:
            if held is None:
                columns[name] = _text(cells)
            elif held.role is Role.DATETIME:
                columns[name] = _moments(cells, held)
            elif held.is_number:
                columns[name] = _numbers(cells)
            else:
                columns[name] = _labels(cells, held)
        except (pa.ArrowException, ValueError, TypeError):  # their texts quote cells
            raise InternalError(f"column {name!r} of the table is not printed as its schema says") from None
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def _text(cells: pa.Array) -> pd.Series:
    if pa.types.is_floating(cells.type):  # labels that are decimals are named as Python prints them
        return pd.Series([None if v is None else str(v) for v in cells.to_pylist()], dtype="str")
    return pd.Series(pc.cast(cells, pa.string()).to_pandas(), dtype="str")


def _numbers(cells: pa.Array) -> np.ndarray:
    return pc.cast(cells, pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)


def _moments(cells: pa.Array, held: ColumnSchema) -> np.ndarray:
    """Counts of the column's unit since 1970, NaN where missing."""
    unit = held.unit or "s"
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        texts = pd.Series(cells.to_pandas())
        form = held.format.replace("%-", "%") if held.format else "ISO8601"  # %-d is printed only, %d reads both
        moments = pd.to_datetime(texts, format=form, utc=held.zone is not None)
        cells = pa.array(moments.dt.tz_localize(None) if moments.dt.tz is not None else moments)
    if pa.types.is_date(cells.type) and unit == "D":
        whole = pc.cast(pc.cast(cells, pa.date32()), pa.int32())
    else:
        step = "s" if unit == "D" else unit
        whole = pc.cast(pc.cast(cells, pa.timestamp(step), safe=False), pa.int64())
    counts = _numbers(whole)
    return counts / 86_400 if unit == "D" and not pa.types.is_date(cells.type) else counts


def _labels(cells: pa.Array, held: ColumnSchema) -> pd.Series:
    words = _text(cells)
    if held.role is not Role.BOOLEAN or pa.types.is_boolean(cells.type):
        return words  # Arrow prints booleans as true and false
    return words.map({held.true_text: "true", held.false_text: "false"}).astype("str")
