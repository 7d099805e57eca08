"""What the gates look at for a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from synth.contract import Contract
from synth.progress import Watch, unwatched
from synth.tabular.schema import TableSchema

PARTS = ("train", "holdout", "reference")


@dataclass(frozen=True, kw_only=True)
class TableEvidence:
    """Working frames of the three real parts and of the synthetic table.

    Frames of large tables are seeded samples of at most ``cap`` rows; ``totals`` has the true row counts and
    ``batches[part]()`` iterates over all rows for figures that merge (counts, hashes). ``entities[part]``
    gives one opaque int64 per row of the frame: resample these, not rows. ``sample_again(rows, seed)`` draws
    a fresh working frame from the released model, or is ``None`` if there is no model to ask. ``likelihood(frame)``
    is the model's private log-likelihood of each row (``None`` if it has none). ``scratch`` is a private folder for
    what attacks have to keep while they run; those that take long tell ``watch`` how far they are.
    """

    contract: Contract
    schema: TableSchema
    train: pd.DataFrame
    holdout: pd.DataFrame
    reference: pd.DataFrame
    synthetic: pd.DataFrame
    entities: Mapping[str, np.ndarray]  # keys of PARTS
    seed: int
    sample_again: Callable[[int, int], pd.DataFrame] | None = None
    likelihood: Callable[[pd.DataFrame], np.ndarray | None] | None = None
    scratch: Path | None = None
    watch: Watch = unwatched
    totals: Mapping[str, int] = field(default_factory=dict)  # PARTS and "synthetic"
    batches: Mapping[str, Callable[[], Iterator[pd.DataFrame]]] = field(default_factory=dict)

    def all_rows(self, part: str) -> Iterator[pd.DataFrame]:
        """Every row of a part (or of ``"synthetic"``), in batches."""
        if part in self.batches:
            yield from self.batches[part]()
        else:
            yield getattr(self, part)

    def total(self, part: str) -> int:
        """Number of rows of a part before sampling."""
        return self.totals.get(part, len(getattr(self, part)))
