"""What the gates look at for a set of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract import Contract
from synth.contract.pixels import Pixels
from synth.medical.intensity import Intensity
from synth.tabular.evidence import PARTS, TableEvidence
from synth.tabular.schema import TableSchema

SYNTHETIC = "synthetic"


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of one part in one order.

    ``pixels`` uint16 [n, channels, *size] (stored steps, see :mod:`.intensity`), ``masks`` uint8 [n, *size] or
    None, ``table`` the working frame of the listing's modelled columns, ``entities`` one opaque int64 an image
    (patients; patients who share an image are one). The synthetic images have an entity each.
    """

    pixels: NDArray[np.uint16]
    masks: NDArray[np.uint8] | None
    table: pd.DataFrame
    entities: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Images:
        """The images at ``rows``, in that order."""
        at = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Images(pixels=self.pixels[at], masks=None if self.masks is None else self.masks[at],
                      table=self.table.iloc[at].reset_index(drop=True), entities=self.entities[at])


@dataclass(frozen=True, kw_only=True)
class ImageEvidence:
    """The three real parts and the synthetic set (samples of at most a cap, whole patients, of large sets)."""

    contract: Contract
    schema: TableSchema  # of the listing's modelled columns
    intensity: Intensity
    train: Images
    holdout: Images
    reference: Images
    synthetic: Images
    seed: int
    shards: Path | None = None  # the generate stage's folder of files to publish; None: there are none to read back
    critic: Callable[[Images], NDArray[np.float64]] | None = None  # the private critic's score of each image
    sample_again: Callable[[int, int], Images] | None = None  # (images, seed) -> fresh ones from the released model
    totals: Mapping[str, int] = field(default_factory=dict)  # PARTS and "synthetic", before sampling

    @property
    def pixels(self) -> Pixels:
        """The contract's block on pixels."""
        assert self.contract.pixels is not None
        return self.contract.pixels

    def part(self, name: str) -> Images:
        """One of PARTS, or "synthetic"."""
        found: Images = getattr(self, name)
        return found

    def labels(self, part: str) -> NDArray[np.str_] | None:
        """The target's label of each image, None if there is no classification target."""
        name = self.contract.target
        if name is None or name not in self.schema.names or self.schema[name].is_number:
            return None
        return self.part(part).table[name].fillna("").to_numpy(dtype=str)

    def total(self, part: str) -> int:
        """Number of images of a part before sampling."""
        return self.totals.get(part, len(self.part(part)))

    def listing(self) -> TableEvidence:
        """The tables alone, for gates on tables."""
        return TableEvidence(contract=self.contract, schema=self.schema, seed=self.seed, totals=self.totals,
                             entities={part: self.part(part).entities for part in PARTS}, train=self.train.table,
                             holdout=self.holdout.table, reference=self.reference.table,
                             synthetic=self.synthetic.table)
