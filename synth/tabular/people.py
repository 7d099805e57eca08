"""Who is behind the rows, as names that are the same in every run: 64-bit digests, private.

A person with an entity key is called by a digest of the key as printed. Without one a row is called by a digest of its
modelled cells and of how many equal rows came before it, so that equal rows have different names; then a changed
cell, or another set of columns, is a new name. Digests without a secret can be guessed from a list of keys: they stay
in the private half of the workspace, and the ledger keys them once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synth.tabular.evidence import PARTS
from synth.tabular.stored import StoredTable

FILE = "people.npy"  # of the ingest folder: uint64 per entity code, where there is an entity key


def digest(text: str | bytes) -> int:
    """A name, of 64 bits."""
    data = text.encode() if isinstance(text, str) else text
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def names_of(keys: Iterable[Any]) -> np.ndarray:
    """Names of entity keys, uint64 of shape (keys,)."""
    return np.array([digest(str(key)) for key in keys], np.uint64)


def names_of_rows(stored: StoredTable) -> np.ndarray:
    """Names of rows by their content, uint64 of shape (rows,)."""
    hashes = [pd.util.hash_pandas_object(frame[sorted(frame.columns)], index=False).to_numpy(np.uint64)
              for frame in stored.batches()]
    return told_apart(np.concatenate(hashes) if hashes else np.zeros(0, np.uint64))


def told_apart(names: np.ndarray) -> np.ndarray:
    """Different names for equal ones, uint64: each also says how many like it came before."""
    times = pd.Series(names).groupby(names).cumcount().to_numpy(np.uint64)
    with np.errstate(over="ignore"):
        return np.asarray(names + times * np.uint64(0x9E3779B97F4A7C15))  # an odd number: all sums differ


def row_names(stored: StoredTable) -> tuple[str, np.ndarray]:
    """What is counted (people or rows), and the name behind each row."""
    assert stored.folder is not None
    kept = stored.folder / FILE
    if kept.is_file():
        return "people", np.asarray(np.load(kept, allow_pickle=False))[stored.entities()]
    return "rows", names_of_rows(stored)


def people(stored: StoredTable) -> tuple[str, dict[str, np.ndarray]]:
    """What is counted, and the different names in each part of the split."""
    unit, names = row_names(stored)
    return unit, {part: np.unique(names[stored.rows_of(part)]) for part in PARTS}


def known_parts(ingested: Path, earlier: Sequence[tuple[Path, Path]],
                named: Callable[[Path], tuple[str, np.ndarray]] = lambda folder: row_names(StoredTable.open(folder))
                ) -> np.ndarray:
    """The part that earlier runs gave each row's person, uint8 of shape (rows,); 255 where none did.

    ``earlier``: (ingest, split) folders of the runs, oldest first; ``named``: what is counted in an ingest folder, and
    the name behind each row. Who was trained on once counts as trained on. Runs that count something else, or whose
    folders are gone, say nothing.
    """
    unit, names = named(ingested)
    found = np.full(len(names), 255, np.uint8)
    for folder, split in reversed(earlier):
        try:
            kind, called = named(folder)
            parts = np.load(split / "parts.npy", allow_pickle=False)
        except (OSError, ValueError):
            continue
        if kind != unit or not len(called):
            continue
        order = np.argsort(called, kind="stable")
        place = np.minimum(np.searchsorted(called[order], names), len(called) - 1)
        same = called[order][place] == names
        given = parts[order][place]
        found = np.where(same, np.minimum(found, given), found).astype(np.uint8)  # 0 is train
    return found
