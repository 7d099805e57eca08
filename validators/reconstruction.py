"""Reconstruction by asking again: what does the union of many sets drawn from one model give away?

Each set alone may hit few training rows by chance; who draws a hundred sees which rows come again (ReconSyn, Ganev and
De Cristofaro 2023, reached most outliers that way). The released set and fresh draws from the kept model are put
together. They are searched for single training rows as :mod:`validators.copies` does, against single untouched rows,
and the distance of a record to the nearest row of them all is an attack on membership. Measured: of an over-trained
generator one set gave an AUC of .57 by that attack, eleven .67, and of a sound one .517 and .522.

A row that is copied with a little noise is near in *every* set, an untouched one in some of them by chance: so the mean
over the sets of the logarithm of the distance is an attack, too, and those whom it is surest of are counted by
:mod:`validators.tail`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from synth.seeds import derive, generator
from synth.tabular.evidence import TableEvidence
from validators import statistics as st
from validators.copies import copies
from validators.encode import Encoding
from validators.finding import Finding, Verdict
from validators.membership import Scores, halves, worst_attack
from validators.tail import tail

IDENTITY = "leakage.union"
TITLE = "Reconstruction from repeated sampling"
ROWS = 10_000  # members, others, and rows of a set that distances are taken to
HELD = 250_000  # drawn rows kept in memory; of more, each use draws them again


@dataclass(frozen=True)
class Margins:
    """What copies may exceed chance by, as for the released set alone; ``least`` is let pass in any case.

    Eleven sets show a slight overfit that one does not, and one is released: of the demo's generator, which passes
    every attack, .0055 of the rare rows were nearly reached against .0017 of untouched ones.
    """

    significance: float
    exact: float
    near: float
    least: float


def reconstruction(evidence: TableEvidence, sets: int, most: int, margins: Margins, auc: float, least: int,
                   surest: float) -> list[Finding]:
    """Copies in, and distances to, the union of the released set and ``sets`` more of at most ``most`` rows in all.

    ``surest`` is the significance below which training people among those whom the attacks are surest of stop it.
    """
    released = evidence.total("synthetic")
    draw = evidence.sample_again
    if draw is None or not released:
        return [Finding(id=IDENTITY, title=TITLE, verdict=Verdict.INFO, value=None,
                        method="not tested: there is no model to ask again", remedy="information only")]
    rows = min(released, len(evidence.train), max(most // sets, 1))

    def drawn() -> Iterator[pd.DataFrame]:
        return (draw(rows, derive(evidence.seed, "reconstruction", number)) for number in range(sets))

    kept = list(drawn()) if sets * rows <= HELD else None

    def again() -> Iterator[pd.DataFrame]:
        return drawn() if kept is None else iter(kept)

    def union() -> Iterator[pd.DataFrame]:
        yield from evidence.all_rows("synthetic")
        yield from again()

    asked = replace(evidence, batches={**evidence.batches, "synthetic": union},
                    totals={**evidence.totals, "synthetic": released + sets * rows})
    found = copies(asked, margins.significance, margins.exact, margins.near, identity=IDENTITY, sampled=False,
                   least_margin=margins.least)
    who = f"the released set and {sets} more of {rows:,} rows from the kept model"
    found = [replace(f, title=f"{f.title.replace('copies of ', '').capitalize()} reached by {sets + 1} sets together",
                     method=f"{who}; {f.method}") for f in found]
    if st.fewest(evidence) < least:
        return found
    panel = halves([0, 1], _distances(evidence, again()), generator(evidence.seed, "reconstruction", "bootstrap"),
                   people=lambda side: _entities(evidence, side), readings=("", ", best row"))
    worst = worst_attack(panel, "auc", f"{IDENTITY}.auc",
                         f"Membership inference with {sets + 1} sets together, worst attack", auc)
    sure = tail(panel, panel[0].names, surest, identity=f"{IDENTITY}.tail", title=(
        f"People of train among those that {sets + 1} sets together are surest of (may veto, never justify)"))
    how = ("distance to the nearest row of them all, as it is and calibrated by that to an untouched part (GAN-Leaks "
           "2020), and the mean over the sets of its logarithm, calibrated")
    return [*found, replace(worst, method=f"{who}; {how}; members from train, others from the other untouched part, "
                                          "both ways averaged; simultaneous 95 % bounds"),
            replace(sure, method=f"{who}; {how}; {sure.method}")]


def _chosen(evidence: TableEvidence) -> dict[str, np.ndarray]:
    """Rows of the three parts that are attacked."""
    rng = generator(evidence.seed, "reconstruction", "rows")
    fewer = min(len(evidence.holdout), len(evidence.reference))
    most = {"train": min(ROWS, 3 * fewer), "holdout": ROWS // 2, "reference": ROWS // 2}
    return {part: st.choose(evidence.entities[part], rows, rng) for part, rows in most.items()}


def _entities(evidence: TableEvidence, side: int) -> tuple[np.ndarray, np.ndarray]:
    chosen, other = _chosen(evidence), ("holdout", "reference")[side]
    return evidence.entities["train"][chosen["train"]], evidence.entities[other][chosen[other]]


def _distances(evidence: TableEvidence, sets: Iterator[pd.DataFrame]):  # type: ignore[no-untyped-def]
    """The scores of a side (0: others from holdout, 1: from reference), from distances searched once."""
    from sklearn.neighbors import NearestNeighbors

    untouched = pd.concat([evidence.holdout, evidence.reference], ignore_index=True)
    encoding = Encoding.fit(untouched, evidence.schema, evidence.seed)
    chosen = _chosen(evidence)
    points = {part: encoding.transform(getattr(evidence, part).iloc[rows]) for part, rows in chosen.items()}

    def nearest(table: np.ndarray, queries: np.ndarray) -> np.ndarray:
        search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(table)
        return np.asarray(search.kneighbors(queries)[0][:, 0], dtype=np.float64)

    best = {part: np.full(len(p), np.inf) for part, p in points.items()}
    each: dict[str, list[np.ndarray]] = {part: [] for part in points}
    for frame in (evidence.synthetic, *sets):
        rng = generator(evidence.seed, "reconstruction", "thin")
        table = encoding.transform(frame.iloc[st.choose(np.arange(len(frame)), ROWS, rng)])
        for part, known in best.items():
            found = nearest(table, points[part])
            best[part] = np.minimum(known, found)
            each[part].append(found.astype(np.float32))

    def score(side: int) -> Scores:
        other, known = ("holdout", "reference")[side], ("reference", "holdout")[side]
        usual = {part: nearest(points[known], points[part]) for part in ("train", other)}
        floor = 1e-3 + float(np.quantile(usual[other], 0.01))
        calibrated = [np.log(usual[part] + floor) - np.log(best[part] + floor) for part in ("train", other)]
        steady = [np.log(usual[part] + floor) - np.mean([np.log(d + floor) for d in each[part]], axis=0)
                  for part in ("train", other)]
        return [("closest record", -best["train"], -best[other]),
                ("closest record, calibrated", calibrated[0], calibrated[1]),
                ("closest record, mean of sets", steady[0], steady[1])]

    return score
