"""Reconstruction by asking again: what does the union of many sets drawn from one model give away?

Each set alone may hit few training rows by chance; who draws a hundred sees which rows come again (ReconSyn, Ganev and
De Cristofaro 2023, reached most outliers that way). The released set and fresh draws from the kept model are put
together and searched for single training rows as :mod:`validators.copies` does, against single untouched rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from synth.seeds import derive
from synth.tabular.evidence import TableEvidence
from validators.copies import copies
from validators.finding import Finding, Verdict

IDENTITY = "leakage.union"


def reconstruction(evidence: TableEvidence, sets: int, most: int, significance: float, exact_margin: float,
                   near_margin: float) -> list[Finding]:
    """Exact and near copies in the union of the released set and ``sets`` more, of at most ``most`` rows in all."""
    released = evidence.total("synthetic")
    draw = evidence.sample_again
    if draw is None or not released:
        return [Finding(id=IDENTITY, title="Reconstruction from repeated sampling", verdict=Verdict.INFO, value=None,
                        method="not tested: there is no model to ask again", remedy="information only")]
    rows = min(released, len(evidence.train), max(most // sets, 1))

    def union() -> Iterator[pd.DataFrame]:
        yield from evidence.all_rows("synthetic")
        for number in range(sets):
            yield draw(rows, derive(evidence.seed, "reconstruction", number))

    asked = replace(evidence, batches={**evidence.batches, "synthetic": union},
                    totals={**evidence.totals, "synthetic": released + sets * rows})
    found = copies(asked, significance, exact_margin, near_margin, identity=IDENTITY, sampled=False)
    words = f" reached by {sets + 1} sets together"
    return [replace(f, title=f.title.replace("copies of ", "").capitalize() + words,
                    method=f"the released set and {sets} more of {rows:,} rows from the kept model; {f.method}")
            for f in found]
