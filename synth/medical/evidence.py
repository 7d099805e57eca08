"""What the gates look at for a set of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract.pixels import Pixels
from synth.medical.intensity import Intensity
from synth.records.evidence import RecordsEvidence


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
class ImageEvidence(RecordsEvidence[Images]):
    """The three real parts and the synthetic set, with the window of their samples."""

    intensity: Intensity

    @property
    def pixels(self) -> Pixels:
        """The contract's block on pixels."""
        assert self.contract.pixels is not None
        return self.contract.pixels

    def labels(self, part: str) -> NDArray[np.str_] | None:
        """The target's label of each image, None if there is no classification target."""
        name = self.contract.target
        if name is None or name not in self.schema.names or self.schema[name].is_number:
            return None
        return self.part(part).table[name].fillna("").to_numpy(dtype=str)
