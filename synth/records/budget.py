"""Records under a privacy budget: whose they are, which may be measured, and how many there are said to be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.contract.model import Budget, Unit
from synth.records.stored import StoredRecords
from synth.tabular.private.measure import kept

COUNT = "released.json"  # of the fit stage's folder


def units(entities: NDArray[np.int64], budget: Budget) -> NDArray[np.int64]:
    """Whose each record is, as the budget counts: its entity's, or every record by itself."""
    return entities if budget.unit is Unit.ENTITY else np.arange(len(entities), dtype=np.int64)


def chosen(stored: StoredRecords, budget: Budget) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """A mask of the train records that may be measured, at most ``contributions`` of a unit, and whose each is."""
    train = np.flatnonzero(stored.rows_of("train"))
    owners = units(stored.entities()[train], budget)
    some = kept(owners, budget)
    rows = np.zeros(len(stored), bool)
    rows[train[some]] = True
    return rows, owners[some]


def keep_count(fitted: Path, records: str, count: int) -> None:
    """Write the noisy number of ``records`` down, for a contract that does not say how many to release."""
    (fitted / COUNT).write_text(json.dumps({records: count}) + "\n", encoding="utf-8")


def kept_count(fitted: Path, records: str) -> int | None:
    """What :func:`keep_count` wrote; ``None`` where there was no budget."""
    if not (fitted / COUNT).is_file():
        return None
    return int(json.loads((fitted / COUNT).read_text(encoding="utf-8"))[records])
