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


def together(evidence: TableEvidence, releases: Sequence[Path], most: int) -> TableEvidence:
    """The evidence with the rows of earlier ``releases`` (folders) joined to the synthetic ones.

    The frame that the gates work with has at most ``most`` rows, drawn from all; every row is behind the batches.
    Raises :class:`~synth.errors.Problems` if a release has other columns or labels than the present contract.
    """
    frames = [read_frame(evidence.contract, evidence.schema, str(folder / "data")) for folder in releases]
    frames = [frame[list(evidence.schema.names)] for frame in frames]

    def batches() -> Iterator[pd.DataFrame]:
        yield from evidence.all_rows("synthetic")
        yield from frames

    total = evidence.total("synthetic") + sum(len(frame) for frame in frames)
    rows = pd.concat([evidence.synthetic, *frames], ignore_index=True)
    chosen = sample_entities(np.arange(len(rows)), np.ones(len(rows), dtype=bool), most, derive(evidence.seed, "union"))
    # what is asked of the present model says nothing of the others
    return replace(evidence, sample_again=None, likelihood=None, synthetic=rows[chosen].reset_index(drop=True),
                   totals={**evidence.totals, "synthetic": total},
                   batches={**evidence.batches, "synthetic": batches})
