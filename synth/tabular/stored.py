"""Working frames on disk: the tables of the ingest and generate stages, read by mask and in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from synth.contract.model import Contract
from synth.seeds import generator
from synth.split import LEFT_OUT, alone, assign
from synth.tabular.evidence import PARTS
from synth.tabular.schema import TableSchema

BATCH_ROWS = 131_072


@dataclass(frozen=True)
class StoredTable:
    """A working frame in a Parquet file; ``folder`` and ``split`` are its stage folders, where it has any."""

    path: Path
    schema: TableSchema
    folder: Path | None = None
    split: Path | None = None

    @classmethod
    def open(cls, ingested: Path, split: Path | None = None) -> StoredTable:
        """The table of an ingest folder, with the parts of a split folder."""
        return cls(ingested / "table.parquet", TableSchema.load(ingested / "schema.json"), ingested, split)

    def __len__(self) -> int:
        return int(pq.read_metadata(self.path).num_rows)

    def entities(self) -> np.ndarray:
        """Opaque entity codes, int64 per row."""
        assert self.folder is not None
        return np.asarray(np.load(self.folder / "entities.npy", allow_pickle=False))

    def rows_of(self, part: str) -> np.ndarray:
        """One bool per row: it is in ``part``."""
        assert self.split is not None
        return np.asarray(np.load(self.split / "parts.npy", allow_pickle=False) == PARTS.index(part))

    def batches(self, rows: np.ndarray | None = None, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Working frames of the rows under the mask, in order, none of them empty."""
        names = list(columns or self.schema.names)
        start = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=names):
                if rows is not None:
                    here = rows[start:start + batch.num_rows]
                    start += batch.num_rows
                    batch = batch.filter(pa.array(here))
                if batch.num_rows:
                    yield _frame(batch, names, self.schema)

    def reader(self, rows: np.ndarray | None = None) -> Callable[[], Iterator[pd.DataFrame]]:
        """A function that starts :meth:`batches` anew."""
        return lambda: self.batches(rows)

    def read(self, rows: np.ndarray | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One working frame of the rows under the mask."""
        parts = list(self.batches(rows, columns))
        if parts:
            return pd.concat(parts, ignore_index=True)
        names = list(columns or self.schema.names)
        return pd.DataFrame({n: pd.Series(dtype="float64" if self.schema[n].is_number else "str") for n in names})


class FrameWriter:
    """Writes working frames to a Parquet file, one batch after the other; no statistics, no pandas metadata."""

    def __init__(self, path: Path, schema: TableSchema) -> None:
        self.schema, self.rows = schema, 0
        self._held: list[pa.Table] = []
        kinds = {True: pa.float64(), False: pa.string()}
        self._arrow = pa.schema([pa.field(c.name, kinds[c.is_number]) for c in schema.columns])
        self._writer = pq.ParquetWriter(path, self._arrow, compression="zstd", write_statistics=False,
                                        store_schema=False, use_dictionary=schema.labels)

    def write(self, frame: pd.DataFrame) -> None:
        """Append a working frame."""
        arrays = [pa.array(frame[f.name], f.type, from_pandas=True) for f in self._arrow]
        self._held.append(pa.Table.from_arrays(arrays, schema=self._arrow))
        self.rows += len(frame)
        if sum(table.num_rows for table in self._held) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.concat_tables(self._held).combine_chunks(), row_group_size=2 * BATCH_ROWS)
        self._held = []

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if error is None:
            self._flush()
        self._writer.close()


def sample_entities(entities: np.ndarray, rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Mask of at most ``most`` of the ``rows`` (mask): whole entities in a random order, as many as fit.

    An entity larger than ``most`` by itself is passed over, unless every entity is: then rows are drawn.
    """
    if int(rows.sum()) <= most:
        return rows
    rng = generator(seed, "entities")
    codes, inverse, counts = np.unique(entities[rows], return_inverse=True, return_counts=True)
    order = rng.permutation(len(codes))
    fits = counts[order] <= most
    kept = order[fits][np.cumsum(counts[order][fits]) <= most]
    chosen = np.zeros(len(rows), dtype=bool)
    place = np.flatnonzero(rows)
    if len(kept):
        taken = np.zeros(len(codes), dtype=bool)
        taken[kept] = True
        chosen[place[taken[inverse.reshape(-1)]]] = True
    else:
        chosen[rng.choice(place, most, replace=False)] = True
    return chosen


def _frame(batch: pa.RecordBatch, names: list[str], schema: TableSchema) -> pd.DataFrame:
    columns = {}
    for i, name in enumerate(names):
        if schema[name].is_number:
            columns[name] = pd.Series(batch.column(i).to_numpy(zero_copy_only=False), dtype="float64")
        else:
            array = batch.column(i)
            array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
            columns[name] = pd.Series(array.cast(pa.string()).to_pandas(), dtype="str")
    return pd.DataFrame(columns, index=pd.RangeIndex(batch.num_rows))


def split_by_entity(contract: Contract, ingested: Path, out: Path, seed: int,
                    before: np.ndarray | None = None) -> dict[str, Any]:
    """Write each row's part (``parts.npy``), disjoint by entity and stratified by the target; counts of each part.

    Who has a part from a run ``before`` (:func:`synth.tabular.people.known_parts`) keeps it: held out once, held out
    for good, so that there stay people whom no release was trained on.
    """
    stored = StoredTable.open(ingested)
    entities, strata = stored.entities(), None
    if contract.target is not None and contract.target in stored.schema.names:
        strata = stored.read(columns=[contract.target])[contract.target].to_numpy()

    def divide(rows: np.ndarray) -> np.ndarray:
        if contract.budget is not None:  # a part must not depend on who else is there
            return alone(entities[rows], contract.split)
        return assign(entities[rows], None if strata is None else strata[rows], contract.split, seed)

    kept: dict[str, Any] = {}
    if before is not None and len(known := np.unique(entities[before != LEFT_OUT])):
        parts, new = before.copy(), ~np.isin(entities, known)
        parts[new] = divide(new)
        first = np.full(int(entities.max()) + 1, LEFT_OUT, np.uint8)
        np.minimum.at(first, entities, parts)  # all rows of an entity together, in train if one was
        parts, kept = first[entities], {"kept": len(known)}
    else:
        parts = divide(np.ones(len(entities), bool))
    np.save(out / "parts.npy", parts)
    return {**kept, "rows": {name: int((parts == i).sum()) for i, name in enumerate(PARTS)},
            "entities": {name: len(np.unique(entities[parts == i])) for i, name in enumerate(PARTS)}}
