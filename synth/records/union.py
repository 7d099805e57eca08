"""What an attacker has who kept every release: the synthetic records of all of them together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.errors import UserError
from synth.records.evidence import RecordsEvidence
from synth.release.published import LISTING
from synth.seeds import derive
from synth.tabular.ingest import read_frame
from synth.tabular.people import digest, told_apart
from synth.tabular.stored import sample_entities

if TYPE_CHECKING:
    import pyarrow as pa

OWN = "listing.parquet"  # the columns of an earlier release's listing that the contract describes
DATA = Path("data", "train")  # where the files of a release are


@dataclass(frozen=True)
class Listing:
    """Some records of an earlier release: where they stand in its listing (int [n]), their rows as released, and the
    same in the working form."""

    rows: NDArray[np.intp]
    table: pa.Table
    frame: pd.DataFrame


def listed(evidence: RecordsEvidence[Any], folder: Path, most: int) -> Listing:
    """At most ``most`` records of an earlier release (its folder).

    Raises :class:`UserError` if it has no listing, and :class:`~synth.errors.Problems` if its columns or labels are
    not those of the present contract.
    """
    import pyarrow.parquet as pq

    if not (folder / DATA / LISTING).is_file():
        raise UserError("it has no table that lists its files", where=folder.name,
                        todo="nothing: the present release is judged without it, and the report says so")
    table = pq.read_table(folder / DATA / LISTING)
    known = {column.name for column in evidence.contract.columns}
    pq.write_table(table.select([name for name in table.column_names if name in known]), folder / OWN)
    frame = read_frame(evidence.contract, evidence.schema, str(folder / OWN))[list(evidence.schema.names)]
    rows = some(len(table), most, evidence.seed)
    return Listing(rows, table.take(rows), frame.iloc[rows].reset_index(drop=True))


def some(rows: int, most: int, seed: int) -> NDArray[np.intp]:
    """Places of at most ``most`` of the records of a release, in order."""
    return np.flatnonzero(sample_entities(np.arange(rows), np.ones(rows, bool), most, derive(seed, "union")))


def another_form(what: str) -> UserError:
    """A release whose files are not like those of the present contract."""
    return UserError(f"{what} differ from this contract's",
                     todo="nothing: the present release is judged without it, and the report says so")


def attacked(evidence: Any, joined: Any, total: int, most: int) -> Any:
    """The evidence with the records of all releases as its synthetic ones, at most ``most`` of them.

    ``joined`` are all of them, ``total`` how many there are behind them. What is asked of the present model, of its
    files or of its budget says nothing of the others.
    """
    chosen = joined.take(some(len(joined), most, evidence.seed))
    chosen = replace(chosen, entities=np.arange(len(chosen), dtype=np.int64))  # each is an entity of its own
    return replace(evidence, contract=replace(evidence.contract, budget=None), synthetic=chosen, critic=None,
                   sample_again=None, shards=None, totals={**evidence.totals, "synthetic": total})


def names(traces: NDArray[Any]) -> NDArray[np.uint64]:
    """Names of records by their bytes and by how many equal ones came before, uint64 [n]. Private."""
    return told_apart(np.array([digest(np.ascontiguousarray(trace).tobytes()) for trace in traces], np.uint64))
