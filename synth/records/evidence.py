"""What the gates look at, of records with a listing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract import Contract
from synth.progress import Watch, unwatched
from synth.tabular.evidence import PARTS, TableEvidence
from synth.tabular.schema import TableSchema

SYNTHETIC = "synthetic"


class Records(Protocol):
    """Records of one part in one order, e.g. images or scenes."""

    @property
    def table(self) -> pd.DataFrame:
        """The working frame of the listing's modelled columns, one row a record."""

    @property
    def entities(self) -> NDArray[np.int64]:
        """One opaque int64 a record; synthetic records have an entity each."""

    def __len__(self) -> int: ...


R = TypeVar("R", bound=Records)


@dataclass(frozen=True, kw_only=True)
class RecordsEvidence(Generic[R]):
    """The three real parts and the synthetic set (samples of at most a cap, whole entities, of large sets)."""

    contract: Contract
    schema: TableSchema  # of the listing's modelled columns
    train: R
    holdout: R
    reference: R
    synthetic: R
    seed: int
    shards: Path | None = None  # the generate stage's folder of files to publish; None: there are none to read back
    critic: Callable[[R], NDArray[np.float64]] | None = None  # a private model's score of each record
    sample_again: Callable[[int, int], R] | None = None  # (records, seed) -> fresh ones from the released model
    scratch: Path | None = None  # a private folder for what attacks have to keep while they run
    watch: Watch = unwatched  # told by attacks that take long
    totals: Mapping[str, int] = field(default_factory=dict)  # PARTS and "synthetic", before sampling

    def part(self, name: str) -> R:
        """One of PARTS, or "synthetic"."""
        found: R = getattr(self, name)
        return found

    def total(self, part: str) -> int:
        """Number of records of a part before sampling."""
        return self.totals.get(part, len(self.part(part)))

    def listing(self) -> TableEvidence:
        """The tables alone, for gates on tables."""
        return TableEvidence(contract=self.contract, schema=self.schema, seed=self.seed, totals=self.totals,
                             entities={part: self.part(part).entities for part in PARTS}, train=self.train.table,
                             holdout=self.holdout.table, reference=self.reference.table,
                             synthetic=self.synthetic.table)
