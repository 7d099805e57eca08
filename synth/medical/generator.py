"""The generator of a set of images: a table generator for the listing, and an image generator given its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synth.contract import Contract
from synth.medical.intensity import Intensity
from synth.progress import Progress, Silent
from synth.seeds import derive
from synth.tabular.conditions import parse

if TYPE_CHECKING:
    from synth.medical.evidence import Images
    from synth.medical.model import ImageModel
    from synth.tabular.generator import TableGenerator
    from synth.tabular.schema import TableSchema

LISTING, IMAGES, SAMPLES = "listing", "images", "samples.json"


@dataclass(frozen=True)
class ImageGenerator:
    """Draws listing rows, then an image (and mask) for each; conditions hold in every row of the listing."""

    listing: TableGenerator
    model: ImageModel
    intensity: Intensity
    spacing: tuple[float, ...] | None = None  # mm between samples along each side, for formats that say it

    @classmethod
    def fit(cls, images: Images, schema: TableSchema, contract: Contract, intensity: Intensity,
            spacing: tuple[float, ...] | None, *, seed: int, device: str, progress: Progress,
            checkpoints: Path | None = None, grids: Path | None = None) -> ImageGenerator:
        """Train both on the train part. ``checkpoints`` is a folder that outlives an interruption, if it shall."""
        from synth.contract.model import Training
        from synth.medical.model import ImageModel
        from synth.tabular.generator import TableGenerator

        assert contract.pixels is not None
        if checkpoints is not None:
            checkpoints.mkdir(exist_ok=True)
        listing = TableGenerator.fit(
            images.table, schema, contract.constraints, training=Training(), seed=derive(seed, "listing"),
            device=device, progress=progress, checkpoint=checkpoints / "listing" if checkpoints else None,
            entities=images.entities, target=contract.target, conditions=contract.conditions, k=contract.k)
        model = ImageModel.fit(
            images, schema, pixels=contract.pixels, conditions=conditioning(contract, schema), target=contract.target,
            training=contract.training, seed=derive(seed, "images"), device=device, progress=progress,
            checkpoint=checkpoints / "images" if checkpoints else None, grids=grids)
        return cls(listing, model, intensity, spacing)

    def draw(self, rows: int, *, seed: int, where: Sequence[str] = (), balance: str | None = None,
             progress: Progress | None = None) -> Images:
        """``rows`` images with their listing; each is an entity of its own."""
        from synth.medical.evidence import Images

        table: pd.DataFrame = self.listing.sample(rows, seed=derive(seed, "listing"), balance=balance,
                                                  where=parse(where, self.listing.schema) if where else None)
        pixels, masks = self.model.draw(table, seed=derive(seed, "pixels"), progress=progress or Silent())
        return Images(pixels=pixels, masks=masks, table=table, entities=np.arange(rows, dtype=np.int64))

    @property
    def history(self) -> dict[str, Any]:
        """How both were trained; the images' phases come first."""
        return {**self.model.history, "listing": self.listing.history}

    def save(self, folder: Path) -> None:
        """Write everything into a folder (private)."""
        folder.mkdir(parents=True, exist_ok=True)
        self.listing.save(folder / LISTING)
        self.model.save(folder / IMAGES)
        samples = {"intensity": self.intensity.to_json(), "spacing": self.spacing}
        (folder / SAMPLES).write_text(json.dumps(samples) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> ImageGenerator:
        """Read what :meth:`save` wrote."""
        from synth.medical.model import ImageModel
        from synth.tabular.generator import TableGenerator

        samples = json.loads((folder / SAMPLES).read_text(encoding="utf-8"))
        return cls(TableGenerator.load(folder / LISTING, device), ImageModel.load(folder / IMAGES, device),
                   Intensity.from_json(samples["intensity"]),
                   None if samples["spacing"] is None else tuple(samples["spacing"]))


def conditioning(contract: Contract, schema: TableSchema) -> tuple[str, ...]:
    """Columns the image generator is told: those the contract conditions on, and the target."""
    asked = dict.fromkeys([*contract.conditions, *([contract.target] if contract.target else [])])
    return tuple(name for name in asked if name in schema.names)
