"""Copies with one cell altered: is a synthetic row a training row in all columns but one?

An exact copy is told by its hash, a slightly moved one by its distance; a copy of which one cell was drawn anew by
neither, where that cell matters. So each column in turn is left out, and what remains of a row is looked up as
:mod:`validators.copies` looks up whole rows. Only remainders count that are *rare*: a leak-free table hits one with a
chance below one in a hundred, by a tree of columns fitted on untouched rows without the column. A hit row counts once,
however many columns may be left out, so that training and untouched rows stay exchangeable where nothing leaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from synth.tabular.evidence import TableEvidence
from synth.tabular.schema import TableSchema
from validators import copies as copying
from validators.finding import Finding, Verdict
from validators.rarity import CHANCE, Exact, Rarity

IDENTITY = "leakage.copies.altered"
TITLE = "Copies of single training rows with one cell altered"
FEWEST = 3  # columns: of fewer nothing is left that could name a row


def remainders(frame: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Each column with the hash (uint64) of every row without it: the sum of all cells' hashes less its own."""
    names = list(frame.columns)
    cells = [copying.row_hashes(frame[[name]]) * np.uint64(2 * place + 0x9E3779B97F4A7C15)  # odd: no two columns alike
             for place, name in enumerate(names)]
    whole = np.sum(cells, axis=0, dtype=np.uint64)
    for name, own in zip(names, cells, strict=True):
        yield name, whole - own


def altered(evidence: TableEvidence, significance: float, margin: float) -> Finding:
    """One finding over the rows that are in memory; ``margin`` as for near copies."""
    frames = {p: getattr(evidence, p)[list(evidence.schema.names)] for p in ("train", "holdout", "synthetic")}
    fresh = len(evidence.holdout) + len(evidence.reference)
    if len(evidence.schema.names) < FEWEST:
        return Finding(id=IDENTITY, title=TITLE, verdict=Verdict.INFO, value=None, remedy="information only",
                       method=f"not tested: it takes {FEWEST} columns")
    # a row that is not hit stands for itself: what `compare` needs to know how many single rows there are
    keys = {p: np.array(copying.row_hashes(frames[p])) for p in ("train", "holdout")}
    hit = {p: np.zeros(len(k), bool) for p, k in keys.items()}
    for (name, synthetic), *real in zip(*(remainders(frames[p]) for p in ("synthetic", *keys)), strict=True):
        present = {p: np.isin(hashes, synthetic) & ~hit[p] for p, (_, hashes) in zip(keys, real, strict=True)}
        if not any(p.any() for p in present.values()):
            continue
        rarity = _without(evidence, name)
        for part, (_, hashes) in zip(keys, real, strict=True):
            rows = np.flatnonzero(present[part])
            rows = rows[rarity.rare(frames[part].iloc[rows].drop(columns=name), len(frames["synthetic"]))]
            hit[part][rows], keys[part][rows] = True, hashes[rows]
    found = np.concatenate([keys[p][hit[p]] for p in keys])
    empty = np.zeros(0, np.uint64)
    counted = copying.compare({**keys, "reference": empty, "synthetic": found}, {p: evidence.entities[p] for p in keys},
                              seed=evidence.seed)
    # without the fresh rows, which would have to be compared with train in the same way: pieces alone decide
    hits = replace(counted, synthetic_rows=len(frames["synthetic"]), fresh_rows=0, fresh_hits=0)
    enough = hits.synthetic_rows >= copying.SYNTHETIC_MINIMUM and fresh >= copying.REAL_MINIMUM
    return copying.judged(IDENTITY, TITLE, hits, significance, (0.0, margin), (
        "rows that agree in all columns but one, labels, numbers and missing cells exact; remainders that a leak-free "
        f"table hits with a chance below {CHANCE:g} by a tree of columns (Chow and Liu) fitted on untouched rows"),
        enough)


def _without(evidence: TableEvidence, name: str) -> Rarity:
    """How rare rows are without a column."""
    schema = TableSchema(columns=tuple(c for c in evidence.schema.columns if c.name != name))
    reference = evidence.reference[list(schema.names)]
    return Rarity(reference, schema, Exact.fit(reference, schema))
