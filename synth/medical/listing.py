"""The listing: one row an image, with the columns of the contract; private (:mod:`.gather` makes it).

:meth:`Listing.source` shows it to the reader of tables without writing it to a disk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from synth.contract import Contract
from synth.records.listing import in_memory, keyed

RECORDS = "images"
Source = tuple[tuple[str, ...], str | None, int | None]  # files of an image, its mask, its frame in both


@dataclass(frozen=True)
class Row:
    """One image: its file (or the files of a series), its mask, the texts of its columns."""

    files: tuple[str, ...]
    mask: str | None
    cells: dict[str, str]
    readable: bool = True  # False: a DICOM file whose header already says that it is none
    frame: int | None = None  # from 0: the image is one of several frames of its file (and of its mask's)

    @property
    def source(self) -> Source:
        """What has to be read."""
        return self.files, self.mask, self.frame


@dataclass(frozen=True)
class Listing:
    """All images of an archive that can be tried, and the names and codes of those that cannot."""

    contract: Contract
    root: Path
    rows: tuple[Row, ...]
    refused: tuple[tuple[str, str], ...]  # (file, reason code); private
    counts: dict[str, int] = field(default_factory=dict)  # of files passed over, by reason
    modalities: int = 0  # different ones in the headers
    capped: int = 0  # ages above 89
    framed: int = 0  # files whose frames are images of their own

    @property
    def tried(self) -> int:
        """Images that the archive claims to hold."""
        return len(self.rows) + len(self.refused)

    def take(self, kept: list[int]) -> Listing:
        """The same with some rows only."""
        return replace(self, rows=tuple(self.rows[i] for i in kept))

    def column(self, name: str) -> list[str | None]:
        """The texts of one column, row by row."""
        return [row.cells.get(name) for row in self.rows]

    def patients(self) -> list[str]:
        """A key of each row's patient; without one, or without patients in the contract, every file has its own."""
        name = self.contract.entity
        keys = [None] * len(self.rows) if name is None else self.column(name)
        return [f"\0{row.files[0]}" if key is None or not key.strip() else key
                for row, key in zip(self.rows, keys, strict=True)]

    @contextlib.contextmanager
    def source(self, entities: list[str] | None = None) -> Iterator[Contract]:
        """The contract of the listing as a table (:func:`~synth.records.listing.in_memory`).

        ``entities``: keys to use instead of the patients'.
        """
        contract = self.contract
        texts: dict[str, list[str | None]] = {c.name: self.column(c.name) for c in contract.columns}
        if entities is not None:
            contract = keyed(contract)
            texts[str(contract.entity)] = list(entities)
        with in_memory(contract, texts, RECORDS) as table:
            yield table
