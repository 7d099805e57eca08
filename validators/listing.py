"""Does the listing that comes with images or scenes have the mix of labels and numbers of fresh people?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.tabular.schema import TableSchema
from validators import pictures
from validators import statistics as st
from validators.dependence import weighted_counts
from validators.encode import Binning
from validators.finding import Finding

BINS, LABELS = 100, 100

Rows = tuple[pd.DataFrame, NDArray[np.int64]]  # a working frame, and the entity of each row


def judge(real: Rows, synthetic: pd.DataFrame, train: Rows, reference: pd.DataFrame, schema: TableSchema, *,
          limit: float, rng: np.random.Generator, who: str) -> list[Finding]:
    """The worst column of the listing against untouched rows, all rows of both; no finding without columns.

    ``who`` names an entity in the method's words. Bins are those of ``reference``.
    """
    names = schema.names
    if not names:
        return []
    binning = Binning.fit(reference, schema, BINS, LABELS)
    sets = [real, (synthetic, np.arange(len(synthetic))), train]
    weights = [np.hstack([np.ones((len(s), 1), np.float32), st.entity_weights(e, st.DRAWS, rng)]) for s, e in sets]
    excess, floors = [], []
    for name in names:
        distance = st.kolmogorov if schema[name].is_number else st.total_variation
        counts = [weighted_counts(binning.codes(s, name), binning.states(name), w)
                  for (s, _), w in zip(sets, weights, strict=True)]
        # the floor is the noise of two sets of these sizes, which bootstrap draws of each against itself show
        noise = np.sqrt(sum((distance(c[:, 1:], c[:, :1]) ** 2).mean() for c in counts[:2]))
        excess.append(distance(counts[1], counts[0]) - noise)
        floors.append(float(distance(counts[2], counts[0])[0]))
    found = np.array(excess)
    worst, lows, highs, verdict, error = st.worst_of(found, limit)
    rows = [pictures.interval_row(n, v, lo, hi, 0.0, limit)
            for n, v, lo, hi in zip(names, found[:, 0], lows, highs, strict=True)]
    return [Finding(
        id="fidelity.listing", title="Worst column of the listing beyond the floor", value=st.number(found[worst, 0]),
        unit="share", low=st.number(lows[worst]), high=st.number(highs[worst]), floor=0.0, limit=limit,
        n=st.rounded(min(len(real[0]), len(synthetic))), verdict=verdict,
        method="total variation (labels) or Kolmogorov-Smirnov (numbers) against untouched rows, less the noise of two "
               f"real sets; bounds hold for all columns at once (max-statistic); bootstrap by {who}",
        power=f"an excess of {st.detectable(error):.3f} in this column with 80 % power",
        remedy=st.remedy(verdict, f"see {names[worst]!r} first: the listing's generator, or --where and --balance",
                         st.rows_to_pass(len(real[0]), float(highs[worst] - found[worst, 0]), error, limit),
                         len(real[0]), "untouched rows"),
        detail={"worst": names[worst], "train_against_untouched": st.number(floors[worst]),
                "pictures": [pictures.intervals("Columns of the listing beyond the floor", rows, "share")]})]
