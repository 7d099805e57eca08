"""Scenes on disk: what the ingest stage leaves for the others, and the synthetic ones in the same form.

    states.npy, present.npy, sizes.npy, kinds.npy, road.npy   arrays of :class:`~synth.driving.scenes.Scenes`
    shape.json       vehicles, steps, rate
    table.parquet, schema.json   the listing's modelled columns, rows in the same order
    entities.npy     int64 [n]; scenes that share a driver or trip, in any number of steps, have the same
    measured.npy     where logs measured channels of the vehicle
    refused.json     what was put aside, counted by reason
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.driving.scenes import ARRAYS, Scenes, SceneShape
from synth.records.stored import StoredRecords
from synth.tabular.schema import TableSchema
from synth.tabular.stored import FrameWriter, StoredTable


@dataclass(frozen=True, kw_only=True)
class StoredScenes(StoredRecords):
    """The scenes of an ingest folder (memory-mapped), with the parts of a split folder."""

    folder: Path
    shape: SceneShape

    @classmethod
    def open(cls, ingested: Path, split: Path | None = None) -> StoredScenes:
        """Nothing is read but headers and small files."""
        return cls(folder=ingested, table=StoredTable.open(ingested, split), shape=load_shape(ingested))

    @property
    def states(self) -> NDArray[np.floating]:
        """The states of all scenes, memory-mapped, scenes first."""
        return _mapped(self.folder, "states")

    def scenes(self, rows: str | NDArray[np.bool_] | None = None) -> Scenes:
        """The scenes of a part (its name), or under a mask, or all of them, read into memory."""
        chosen = self.chosen(rows)
        arrays: dict[str, Any] = {name: np.array(_mapped(self.folder, name)[chosen]) for name in ARRAYS}
        measured = _measured(self.folder)
        return Scenes(**arrays, table=self.table.read(chosen), entities=self.entities()[chosen], shape=self.shape,
                      measured=None if measured is None else np.array(measured[chosen]))


def save_arrays(folder: Path, scenes: Scenes) -> None:
    """The arrays and the shape, without the listing and the entities."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(scenes, name))
    if scenes.measured is not None:
        np.save(folder / "measured.npy", scenes.measured)
    (folder / "shape.json").write_text(json.dumps(asdict(scenes.shape)) + "\n", encoding="utf-8")


def write_scenes(folder: Path, scenes: Scenes, schema: TableSchema) -> None:
    """Scenes of one order (the synthetic ones) in the stored form; :func:`read_scenes` reads them back."""
    save_arrays(folder, scenes)
    np.save(folder / "entities.npy", scenes.entities)
    with FrameWriter(folder / "table.parquet", schema) as writer:
        writer.write(scenes.table)


def read_scenes(folder: Path, schema: TableSchema) -> Scenes:
    """What :func:`write_scenes` wrote; the states stay on disk until they are used."""
    arrays: dict[str, Any] = {name: _mapped(folder, name) for name in ARRAYS}
    return Scenes(**arrays, table=StoredTable(folder / "table.parquet", schema).read(),
                  entities=np.load(folder / "entities.npy", allow_pickle=False), shape=load_shape(folder),
                  measured=_measured(folder))


def load_shape(folder: Path) -> SceneShape:
    """Read ``shape.json``."""
    return SceneShape(**json.loads((folder / "shape.json").read_text(encoding="utf-8")))


def _measured(folder: Path) -> NDArray[np.float32] | None:
    return _mapped(folder, "measured") if (folder / "measured.npy").is_file() else None


def _mapped(folder: Path, name: str) -> NDArray[Any]:
    found: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return found
