"""Records on disk: arrays of a domain's own beside the listing, rows in the same order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.tabular.schema import TableSchema
from synth.tabular.stored import StoredTable


@dataclass(frozen=True, kw_only=True)
class StoredRecords:
    """The listing of an ingest folder, with the parts of a split folder; a domain adds its arrays."""

    table: StoredTable

    def __len__(self) -> int:
        return len(self.table)

    @property
    def schema(self) -> TableSchema:
        """Of the listing's modelled columns."""
        return self.table.schema

    def entities(self) -> NDArray[np.int64]:
        """Opaque units of privacy, int64 [n]."""
        return self.table.entities()

    def rows_of(self, part: str) -> NDArray[np.bool_]:
        """One bool per record: it is in ``part``."""
        return self.table.rows_of(part)

    def chosen(self, rows: str | NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """The mask of a part (its name), a mask itself, or that of all records."""
        if rows is None:
            return np.ones(len(self), dtype=bool)
        return self.rows_of(rows) if isinstance(rows, str) else rows
