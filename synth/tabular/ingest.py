"""The ingest stage: the private table, read once, into the working form.

One streaming pass takes the modelled columns and the entity key from the source into a spool of numbers and codes
(:mod:`synth.tabular.readers`), which also shows everything that is wrong with the data. Then each column is finished
on its own (rare categories folded by the number of entities behind them, dates to their unit, numbers to their
printed precision) and the spool is rewritten as ``table.parquet``. Memory: a batch, one column, the codes.

The record it returns has names, counts and rounded shares only.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from synth.contract.model import Contract, Role
from synth.errors import Problems, UserError
from synth.progress import Progress, Silent
from synth.seeds import generator
from synth.tabular.people import FILE as PEOPLE
from synth.tabular.people import names_of
from synth.tabular.readers import LabelReader, Reader
from synth.tabular.readers.dates import to_unit
from synth.tabular.scan import ENTITY, Scan, open_scan, refuse
from synth.tabular.schema import ColumnSchema, TableSchema
from synth.tabular.source import open_source

RARE = "(rare)"
ROW_GROUP = 1 << 18
SPOOL_BYTES = 64 << 20  # held before a row group is written


def ingest(contract: Contract, out: Path, *, progress: Progress) -> dict[str, Any]:
    """Read the contract's data into ``out``: ``table.parquet``, ``schema.json``, ``entities.npy``, and
    ``people.npy`` (:mod:`synth.tabular.people`) where the contract has an entity key.

    Returns a value-free record: rows, entities and, per column, role, missing share and folded categories.
    Raises :class:`~synth.errors.Problems` with everything that is wrong with the data.
    """
    if refused := refuse(contract, keeps_budgets=True):
        raise Problems(refused)
    scan = open_scan(contract)
    spool = out / "spool.parquet"
    try:
        _write_spool(scan, spool, progress)
        if problems := scan.problems():
            raise Problems(problems)
        entities, names = _entities(contract, spool, scan.rows)
        _save(out / "entities.npy", entities)
        if names is not None:
            _save(out / PEOPLE, names)
        finished = [finish(r, lambda r=r: _column(spool, r.column.name), entities, contract.k)
                    for r in scan.readers]
        schema = TableSchema(columns=tuple(f.schema for f in finished))
        schema.save(out / "schema.json")
        with progress.step("write the working table", scan.rows) as step:
            _write_table(finished, spool, out / "table.parquet", step)
    finally:
        spool.unlink(missing_ok=True)
    return {"rows": scan.rows, "entities": int(entities.max()) + 1,
            "columns": [{"name": f.schema.name, "role": f.schema.role.value,
                         "missing_share": round(r.missing / scan.rows, 3), "folded_categories": f.folded,
                         "folded_share": round(f.folded_share, 3)}
                        for f, r in zip(finished, scan.readers, strict=True)]}


def read_frame(contract: Contract, schema: TableSchema, source: str) -> pd.DataFrame:
    """The working frame of another file of the same shape, e.g. to fill its missing cells.

    Labels outside the schema's vocabulary become its folded label where there is one and are refused
    otherwise; missing cells are allowed in every column, and columns the model does not see may be absent.
    Raises :class:`~synth.errors.Problems`.
    """
    options = tuple(o for o in contract.source_options if o[0] != "format")  # this file may have another one
    present = open_source(source, options).names
    columns = tuple(replace(c, required=False) for c in contract.columns if c.modelled or c.name in present)
    scan = open_scan(replace(contract, columns=columns, entity=None, source=source, source_options=options))
    batches = list(scan.batches(Silent()))
    problems = [p for r in scan.readers for p in r.problems() if r.missing < r.cells]
    if not scan.rows:
        problems = scan.problems()
    frame: dict[str, Any] = {}
    for reader in scan.readers:
        column = schema[reader.column.name]
        values = pa.chunked_array([b.column(reader.column.name) for b in batches], reader.spool).combine_chunks()
        if isinstance(reader, LabelReader):
            words, unknown = _known_labels(reader, column)
            if unknown:
                problems.append(UserError(f"column {column.name!r} has {unknown} labels that the model does not know",
                                          where=source, todo="correct them, or leave these cells empty"))
            frame[column.name] = pd.Series(pa.array(words, pa.string()).take(values).to_pandas(), dtype="str")
        else:
            frame[column.name] = _number_values(values, column)
    if problems:
        raise Problems(problems)
    return pd.DataFrame(frame)


def _known_labels(reader: LabelReader, column: ColumnSchema) -> tuple[list[str | None], int]:
    """Per code the label of the schema's vocabulary, and how many labels it does not have."""
    words = [_boolean(reader, w) if column.role is Role.BOOLEAN else w for w in reader.labels]
    known = set(column.values)
    unknown = 0 if column.folded is not None else sum(w not in known for w in words)
    return [w if w in known else column.folded for w in words], unknown


def _boolean(reader: LabelReader, word: str) -> str:
    pair = reader.words() or ("false", "true")
    return "true" if word == pair[1] else "false"


def _save(path: Path, array: np.ndarray) -> None:
    """``np.save``, which into a file of its own does not say that the disk is full."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.write_bytes(buffer.getbuffer())


def _write_spool(scan: Scan, spool: Path, progress: Progress) -> None:
    writer: pq.ParquetWriter | None = None
    schema: pa.Schema | None = None
    pending: list[pa.RecordBatch] = []

    def flush() -> None:
        nonlocal writer, pending
        if pending:
            writer = writer or pq.ParquetWriter(spool, pending[0].schema, compression="zstd", compression_level=1,
                                                use_dictionary=False, write_statistics=False)
            writer.write_table(pa.Table.from_batches(pending), row_group_size=ROW_GROUP)
            pending = []

    try:
        for batch in scan.batches(progress):
            schema = schema or batch.schema
            if batch.schema != schema:  # the entity key has another type in another file
                raise UserError(f"the entity key {scan.contract.entity!r} is of different types in different files",
                                where=scan.source.name, todo="give all files the same types")
            pending.append(batch)
            if sum(b.num_rows for b in pending) >= ROW_GROUP or sum(b.nbytes for b in pending) >= SPOOL_BYTES:
                flush()
        flush()
    finally:
        if writer is not None:
            writer.close()


def _column(spool: Path, name: str) -> pa.ChunkedArray:
    return pq.read_table(spool, columns=[name]).column(0)


def _entities(contract: Contract, spool: Path, rows: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Opaque codes 0..E-1, one per row, in an order that says nothing about the order of the rows; a name per code."""
    names: np.ndarray | None = None
    if contract.entity is None:
        codes = np.arange(rows)
    else:
        encoded = _column(spool, ENTITY).combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy().astype(np.int64)
        names = names_of(encoded.dictionary.to_pylist())
    order = generator(0, "entities", contract.digest).permutation(int(codes.max()) + 1)
    if names is not None:
        names = names[np.argsort(order)]  # of code order[c]: that of dictionary entry c
    return order[codes].astype(np.int64), names


@dataclass(frozen=True)
class Finished:
    """A column's final schema and the map from its codes to its labels (labels only)."""

    schema: ColumnSchema
    codes: np.ndarray | None = None  # code of the reader -> index into schema.values
    folded: int = 0
    folded_share: float = 0.0


def finish(reader: Reader, values: Any, entities: np.ndarray, k: int) -> Finished:
    """Vocabulary and folding of a column; ``values()`` gives its spool form if it is needed."""
    schema = reader.schema()
    if not isinstance(reader, LabelReader):
        return Finished(schema=schema)
    if schema.role is Role.BOOLEAN:
        codes = np.array([int(_boolean(reader, w) == "true") for w in reader.labels], np.int32)
        return Finished(schema=schema, codes=codes)
    labels, declared = reader.labels, reader.column.values
    ordinal = schema.role is Role.ORDINAL
    kept = np.ones(len(labels), bool)
    rare_share = 0.0
    if declared is None:
        codes = values().combine_chunks()
        present = codes.is_valid().to_numpy(zero_copy_only=False)
        codes = codes.fill_null(0).to_numpy()
        kept = shared_by(codes[present], entities[present], len(labels), k)
        rare_share = float((~kept[codes[present]]).mean()) if present.any() else 0.0
    words = list(declared) if declared is not None else [w for w, good in zip(labels, kept, strict=True) if good]
    if declared is None or not ordinal:
        words.sort(key=float if ordinal else None)
    folded = None
    if not kept.all():
        folded = next(name for i in range(1, 10_000) if (name := RARE if i == 1 else f"(rare {i})") not in words)
        words.append(folded)
        if not ordinal:
            words.sort()
    index = {word: i for i, word in enumerate(words)}
    mapped = np.array([index[w if good else folded or ""] for w, good in zip(labels, kept, strict=True)], np.int32)
    schema = replace(schema, values=tuple(words), folded=folded,
                     label_type="str" if folded is not None else schema.label_type)
    return Finished(schema=schema, codes=mapped, folded=int((~kept).sum()), folded_share=rare_share)


def shared_by(codes: np.ndarray, entities: np.ndarray, labels: int, k: int) -> np.ndarray:
    """Whether at least ``k`` different entities are behind each code, shape (labels,)."""
    if not len(codes):
        return np.zeros(labels, bool)
    rows = np.bincount(codes, minlength=labels)
    kept = rows >= k * int(np.bincount(entities).max())  # enough rows, however they are shared out
    doubtful = ~kept[codes]
    span = int(entities.max()) + 1
    pairs = np.unique(codes[doubtful].astype(np.int64) * span + entities[doubtful])
    return kept | (np.bincount(pairs // span, minlength=labels) >= k)


def _number_values(values: pa.Array, column: ColumnSchema) -> np.ndarray:
    """Spool form -> float64 of the working frame."""
    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if column.role is Role.DATETIME:
        return to_unit(numbers, column.unit or "us")
    return numbers if column.decimals is None else np.round(numbers, column.decimals) + 0.0  # no negative zero


def _write_table(finished: list[Finished], spool: Path, path: Path, step: Any) -> None:
    """The working table: float64 and text, dictionary pages for the text, no statistics, no pandas metadata."""
    kinds = {True: pa.float64(), False: pa.dictionary(pa.int32(), pa.string())}
    schema = pa.schema([pa.field(f.schema.name, kinds[f.codes is None]) for f in finished])
    done = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_statistics=False, store_schema=False,
                          use_dictionary=[f.schema.name for f in finished if f.codes is not None]) as writer:
        for batch in pq.ParquetFile(spool).iter_batches(batch_size=ROW_GROUP):
            arrays = [_working(batch.column(i), f) for i, f in enumerate(finished)]
            writer.write_batch(pa.record_batch(arrays, schema=schema), row_group_size=ROW_GROUP)
            done += batch.num_rows
            step.update(done)


def _working(values: pa.Array, column: Finished) -> pa.Array:
    if column.codes is None:
        numbers = _number_values(values, column.schema)
        return pa.array(numbers, pa.float64(), mask=np.isnan(numbers))
    indices = pa.array(column.codes, pa.int32()).take(values)
    return pa.DictionaryArray.from_arrays(indices, pa.array(column.schema.values, pa.string()))
