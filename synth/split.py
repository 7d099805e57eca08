"""Train, holdout and reference: disjoint by entity, alike in the target, decided before anything looks at the data.

Rows of one entity stay together. Entities are stratified by the target: an entity's stratum is its most frequent
class, or the quantile bin of its mean for a numeric target; entities without a target value form a stratum of
their own. Within a stratum the order is random and the parts are filled to their shares, what does not come out
even being carried over to the next stratum, so that the shares hold for the whole table to one entity.

Small tables are not stretched: no row is ever in two parts. From three entities on every part has at least one;
with fewer, all go to train, and the gates, which then have nothing to compare with, end inconclusive.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from synth.contract.model import Split
from synth.seeds import generator

TRAIN, HOLDOUT, REFERENCE, LEFT_OUT = 0, 1, 2, 255
QUANTILE_BINS = 10


def assign(entities: np.ndarray, strata: np.ndarray | None, split: Split, seed: int) -> np.ndarray:
    """The part of every row, uint8 of shape (rows,): 0 train, 1 holdout, 2 reference.

    ``entities``: int64 codes, shape (rows,). ``strata``: the target, shape (rows,), labels or numbers (missing
    allowed), or ``None``. The result depends on the codes, the target, the shares and the seed, not on the order
    of the rows.
    """
    if len(entities) == 0:
        return np.zeros(0, np.uint8)
    codes, rows = np.unique(entities, return_inverse=True)
    stratum = np.zeros(len(codes), np.int64) if strata is None else _strata(rows, np.asarray(strata), len(codes))
    shares = np.array([split.train, split.holdout, split.reference])
    return _fill(stratum, shares / shares.sum(), seed)[rows]


def alone(entities: np.ndarray, split: Split) -> np.ndarray:
    """Like :func:`assign`, but every entity by itself, by secret chance: who else is in the table changes nothing.

    Under a privacy budget adding somebody must not move others from one part to another. No part is filled up.
    """
    from synth.gan.private import noise

    codes, rows = np.unique(entities, return_inverse=True)
    ends = np.cumsum([split.train, split.holdout, split.reference])
    parts = np.searchsorted(ends[:-1] / ends[-1], noise.uniform(len(codes)), "right").astype(np.uint8)
    return np.asarray(parts[rows])


def _strata(entity: np.ndarray, target: np.ndarray, entities: int) -> np.ndarray:
    """Stratum of each entity, int64 of shape (entities,); 0 is "no target value"."""
    if np.issubdtype(target.dtype, np.number):
        known = np.isfinite(target.astype(float))
        total = np.bincount(entity[known], weights=target[known].astype(float), minlength=entities)
        count = np.bincount(entity[known], minlength=entities)
        mean = np.full(entities, np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        if not known.any():
            return np.zeros(entities, np.int64)
        edges = np.unique(np.nanquantile(mean, np.linspace(0, 1, QUANTILE_BINS + 1)[1:-1]))
        return np.where(np.isnan(mean), 0, 1 + np.searchsorted(edges, mean))
    classes, names = pd.factorize(pd.Series(target, dtype="str"), sort=True)
    known = classes >= 0
    width = max(len(names), 1)
    pairs, counts = np.unique(entity[known] * width + classes[known], return_counts=True)
    owner, kind = pairs // width, pairs % width
    order = np.lexsort((kind, -counts, owner))  # per entity: most frequent class first, ties by class
    owner, kind = owner[order], kind[order]
    first = np.r_[True, owner[1:] != owner[:-1]] if len(owner) else np.zeros(0, bool)
    stratum = np.zeros(entities, np.int64)
    stratum[owner[first]] = 1 + kind[first]
    return stratum


def _fill(stratum: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Part of each entity, uint8 of shape (entities,)."""
    entities = len(stratum)
    parts = np.zeros(entities, np.uint8)
    if entities < len(shares):
        return parts
    order = generator(seed, "split").permutation(entities)
    order = order[np.argsort(stratum[order], kind="stable")]  # strata one after another, random inside
    quota = _round(shares * entities)
    given = np.zeros(len(shares), np.int64)
    start = 0
    for size in np.unique(stratum, return_counts=True)[1]:
        stop = start + size
        wanted = np.maximum(quota * (stop / entities) - given, 0.0)  # what each part is owed by now
        counts = _round(wanted * (size / wanted.sum()))
        parts[order[start:stop]] = np.repeat(np.arange(len(shares), dtype=np.uint8), counts)
        given += counts
        start = stop
    for part in np.flatnonzero(given == 0):  # only where a share is smaller than one entity
        taken = np.flatnonzero(parts == given.argmax())[-1]
        given[given.argmax()] -= 1
        parts[taken], given[part] = part, 1
    return parts


def _round(wanted: np.ndarray) -> np.ndarray:
    """Whole numbers with the same sum, by largest remainder."""
    whole = np.floor(wanted + 1e-9).astype(np.int64)
    missing = round(wanted.sum()) - whole.sum()
    whole[np.argsort(whole - wanted, kind="stable")[:missing]] += 1
    return whole
