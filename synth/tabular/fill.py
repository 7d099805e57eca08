"""Impute a file: fill its missing cells, and give every other cell back as it was printed."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from synth.contract import Contract
from synth.tabular.export import dress, texts
from synth.tabular.generator import TableGenerator
from synth.tabular.ingest import read_frame
from synth.tabular.source import open_source


def fill(generator: TableGenerator, contract: Contract, file: str, *, seed: int) -> pa.Table:
    """The table of ``file`` (the contract's shape) with the missing cells of modelled columns drawn.

    Identifiers and texts stay as they are in the file. Raises what
    :func:`~synth.tabular.ingest.read_frame` raises for a file of another shape.
    """
    frame = read_frame(contract, generator.schema, file)[generator.schema.names]
    made = dress(generator.impute(frame, seed=seed), generator.schema, contract, seed=seed)
    source = open_source(file, contract.source_options)
    raw = pa.Table.from_batches(list(source.batches()), pa.schema(list(source.columns)))
    columns, fields = [], []
    for name in raw.column_names:
        cells, field = raw.column(name), raw.schema.field(name)
        if name in generator.schema.names:
            drawn, field = made.column(name), made.schema.field(name)
            if pa.types.is_dictionary(cells.type):
                cells = cells.cast(cells.type.value_type)
            if _is_text(cells.type):
                drawn = pa.chunked_array([pa.array(texts(drawn.combine_chunks(), field), pa.string())])
                cells = cells.cast(pa.string())
            elif drawn.type != cells.type:
                drawn = drawn.cast(cells.type, safe=False)
            missing = pa.array(frame[name].isna().to_numpy(dtype=bool))
            cells = pc.if_else(pa.chunked_array([missing]), drawn, cells)
            field = pa.field(name, cells.type, metadata=field.metadata)
        columns.append(cells)
        fields.append(field)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
