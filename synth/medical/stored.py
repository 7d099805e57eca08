"""Images on disk: what the ingest stage leaves for the others, and the synthetic ones in the same form.

    images.npy       uint16 [n, channels, *size], steps of the window
    masks.npy        uint8 [n, *size], where the contract has masks
    table.parquet, schema.json   the listing's modelled columns, rows in the same order
    entities.npy     int64 [n], patients; those who share an image are one
    intensity.json   the window (:class:`~synth.medical.intensity.Intensity`)
    geometry.json    median spacing of the stored samples in mm, or null
    quarantine.jsonl names of the files put aside, with the reason
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.medical.evidence import Images
from synth.medical.intensity import Intensity
from synth.records.stored import StoredRecords
from synth.tabular.schema import TableSchema
from synth.tabular.stored import FrameWriter, StoredTable


@dataclass(frozen=True, kw_only=True)
class StoredImages(StoredRecords):
    """The images of an ingest folder (memory-mapped), with the parts of a split folder."""

    pixels: NDArray[np.uint16]
    masks: NDArray[np.uint8] | None
    intensity: Intensity
    spacing: tuple[float, ...] | None  # median, mm between stored samples along each side

    @classmethod
    def open(cls, ingested: Path, split: Path | None = None) -> StoredImages:
        """Nothing is read but headers and small files."""
        spacing = json.loads((ingested / "geometry.json").read_text(encoding="utf-8"))["spacing"]
        return cls(table=StoredTable.open(ingested, split), pixels=_mapped(ingested / "images.npy"),
                   masks=_masks(ingested), intensity=load_intensity(ingested),
                   spacing=None if spacing is None else tuple(spacing))

    def images(self, rows: str | NDArray[np.bool_] | None = None) -> Images:
        """The images of a part (its name), or under a mask, or all of them, read into memory."""
        chosen = self.chosen(rows)
        return Images(pixels=np.array(self.pixels[chosen]),
                      masks=None if self.masks is None else np.array(self.masks[chosen]),
                      table=self.table.read(chosen), entities=self.entities()[chosen])


def write_images(folder: Path, images: Images, schema: TableSchema, intensity: Intensity) -> None:
    """Images of one order (the synthetic ones) in the stored form; :func:`read_images` reads them back."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images.pixels)
    if images.masks is not None:
        np.save(folder / "masks.npy", images.masks)
    np.save(folder / "entities.npy", images.entities)
    save_intensity(folder, intensity)
    with FrameWriter(folder / "table.parquet", schema) as writer:
        writer.write(images.table)


def read_images(folder: Path, schema: TableSchema) -> Images:
    """What :func:`write_images` wrote; the samples stay on disk until they are used."""
    return Images(pixels=_mapped(folder / "images.npy"), masks=_masks(folder),
                  table=StoredTable(folder / "table.parquet", schema).read(),
                  entities=np.load(folder / "entities.npy", allow_pickle=False))


def save_intensity(folder: Path, intensity: Intensity) -> None:
    """Write ``intensity.json``."""
    (folder / "intensity.json").write_text(json.dumps(intensity.to_json()) + "\n", encoding="utf-8")


def load_intensity(folder: Path) -> Intensity:
    """Read ``intensity.json``."""
    return Intensity.from_json(json.loads((folder / "intensity.json").read_text(encoding="utf-8")))


def save_geometry(folder: Path, spacing: tuple[float, ...] | None) -> None:
    """Write ``geometry.json``."""
    (folder / "geometry.json").write_text(json.dumps({"spacing": spacing}) + "\n", encoding="utf-8")


def _mapped(path: Path) -> NDArray[np.uint16]:
    found: NDArray[np.uint16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _masks(folder: Path) -> NDArray[np.uint8] | None:
    path = folder / "masks.npy"
    return np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None
