"""Images of an earlier release in the form that the gates look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.medical.evidence import ImageEvidence, Images
from synth.medical.files import Refusal, read_released
from synth.medical.files.write import SUFFIX
from synth.records.union import Listing, another_form
from synth.release.published import FILE_NAME, MASK_FILE_NAME

if TYPE_CHECKING:
    import pyarrow as pa


def reread(evidence: ImageEvidence, folder: Path, listing: Listing) -> Images:
    """The images (and masks) that ``listing`` names in ``folder``.

    Raises :class:`~synth.errors.UserError` if they are of another format, size or number of channels.
    """
    block, table = evidence.pixels, listing.table
    pixels = np.empty((len(table), block.channels, *block.size), np.uint16)
    for row, path in enumerate(_paths(folder, table, FILE_NAME, SUFFIX[block.release])):
        pixels[row] = evidence.intensity.store(_values(evidence, path, pixels.shape[1:]))
    masks = None
    if block.mask_classes:
        masks = np.empty((len(table), *block.size), np.uint8)
        for row, path in enumerate(_paths(folder, table, MASK_FILE_NAME, "")):
            masks[row] = _values(evidence, path, (1, *block.size), mask=True)[0].astype(np.uint8)
    return Images(pixels=pixels, masks=masks, table=listing.frame, entities=np.arange(len(table), dtype=np.int64))


def joined(several: Sequence[Images]) -> Images:
    """The images of several sets in one; each is an entity of its own."""
    masks = [images.masks for images in several]
    whole = None if any(m is None for m in masks) else np.concatenate([m for m in masks if m is not None])
    return replace(several[0], pixels=np.concatenate([i.pixels for i in several]), masks=whole,
                   table=pd.concat([i.table for i in several], ignore_index=True),
                   entities=np.arange(sum(len(i) for i in several), dtype=np.int64))


def _paths(folder: Path, table: pa.Table, column: str, suffix: str) -> list[Path]:
    if column not in table.column_names:
        raise another_form("its files")
    found = [str(name) for name in table[column].to_pylist()]
    if any(Path(name).name != name or not name.endswith(suffix) for name in found):
        raise another_form("the formats of its files")
    return [folder / name for name in found]


def _values(evidence: ImageEvidence, path: Path, shape: tuple[int, ...], *, mask: bool = False
            ) -> NDArray[np.float32]:
    loaded = read_released(path, evidence.pixels, mask=mask)
    if isinstance(loaded, Refusal):
        if loaded.code != "constant":
            raise another_form("its files")
        return np.full(shape, 0.0 if mask else evidence.intensity.low, np.float32)  # one value says nothing of anybody
    if loaded.values.shape != shape:
        raise another_form("the sizes of its images")
    return loaded.values
