"""What an attacker has who kept every release: the synthetic rows of all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from synth.seeds import derive
from synth.tabular.evidence import TableEvidence
from synth.tabular.ingest import read_frame
from synth.tabular.stored import sample_entities


def released(evidence: TableEvidence, folder: Path) -> pd.DataFrame:
    """The rows of an earlier release (its folder) in the working form of ``evidence``.

    Raises :class:`~synth.errors.Problems` if the release has other columns or labels than the present contract.
    """
    return read_frame(evidence.contract, evidence.schema, str(folder / "data"))[list(evidence.schema.names)]


def together(evidence: TableEvidence, frames: Sequence[pd.DataFrame], most: int) -> TableEvidence:
    """The evidence with the rows of earlier releases joined to the synthetic ones.

    The frame that the gates work with has at most ``most`` rows, drawn from all; every row is behind the batches.
    """

    def batches() -> Iterator[pd.DataFrame]:
        yield from evidence.all_rows("synthetic")
        yield from frames

    total = evidence.total("synthetic") + sum(len(frame) for frame in frames)
    rows = pd.concat([evidence.synthetic, *frames], ignore_index=True)
    chosen = sample_entities(np.arange(len(rows)), np.ones(len(rows), dtype=bool), most, derive(evidence.seed, "union"))
    # what is asked of the present model, or of its budget, says nothing of the others
    return replace(evidence, contract=replace(evidence.contract, budget=None), sample_again=None, likelihood=None,
                   synthetic=rows[chosen].reset_index(drop=True), totals={**evidence.totals, "synthetic": total},
                   batches={**evidence.batches, "synthetic": batches})
