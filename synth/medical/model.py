"""The image model: fit on images and their listing, draw images for rows of a listing, save, load."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synth.contract.model import Training
from synth.contract.pixels import Pixels
from synth.errors import UserError
from synth.gan.weights import device_named, read_description, save_weights, write_description
from synth.medical import recipes
from synth.medical.canvas import Canvas, one_hot
from synth.medical.evidence import Images
from synth.medical.part import Part
from synth.medical.shape import ImageShape
from synth.medical.training import Data, train
from synth.progress import Progress, Silent
from synth.records.conditions import Conditioning
from synth.seeds import derive
from synth.tabular.schema import TableSchema

FORMAT = 1  # of the saved folder
WEIGHTS, MASK_WEIGHTS = "generator.safetensors", "masks.safetensors"
CRITIC, DESCRIPTION = "critic.safetensors", "model.json"
PLACES = 64 * 64 * 64  # drawn at once


class ImageModel:
    """A trained generator of images under the conditions of a listing's rows.

    ``masks``: the generator of masks where images are drawn from them. ``history`` says how it was trained (not part
    of the saved bytes); its first phases are the images'.
    """

    def __init__(self, part: Part, masks: Part | None, conditioning: Conditioning, judge: nn.Module | None,
                 history: dict[str, Any] | None = None) -> None:
        self.part, self.masks, self.conditioning, self.judge = part, masks, conditioning, judge
        self.history = history or {}

    @property
    def device(self) -> torch.device:
        """Where the networks live."""
        return next(self.part.generator.parameters()).device

    # -- training ---------------------------------------------------------------------------------------

    @classmethod
    def fit(cls, images: Images, schema: TableSchema, *, pixels: Pixels, conditions: Sequence[str] = (),
            target: str | None = None, training: Training | None = None, seed: int, device: str = "auto",
            progress: Progress | None = None, checkpoint: Path | None = None, grids: Path | None = None) -> ImageModel:
        """Train on train images.

        ``conditions`` and ``target`` are the listing's columns that images follow. A tenth of the patients is held
        back to choose weights by. An existing ``checkpoint`` file (a second one, ``NAME-masks``, is written for the
        generator of masks) is gone on from and gives the same weights as an uninterrupted run. ``grids``: a private
        folder for pictures of generated images as training goes. Raises :class:`UserError` for no images, an unknown
        recipe, a bad option, or a recipe that is not for these images.
        """
        if not len(images):
            raise UserError("there is nothing to train on: the training part has no image")
        training, progress = training or Training(recipe="medical/r3"), progress or Silent()
        where = device_named(device)
        conditioning = Conditioning.fit(images.table, schema, [*conditions, *([target] if target else [])])
        classes = pixels.mask_classes if images.masks is not None else 0
        whole = ImageShape(size=tuple(images.pixels.shape[2:]), channels=images.pixels.shape[1],
                           conditions=conditioning.width, classes=classes)
        base, bfloat16 = recipes.named(training, whole), _bfloat16(where)
        data = Data.split(images, conditioning.encode(images.table), where, flips=pixels.flips,
                          seed=derive(seed, "held back"))
        made: Part | None = None
        before: dict[str, Any] = {}
        if recipes.paired(base, whole):
            plan = recipes.resolve(recipes.of_masks(base), images=data.count, effort=training.effort,
                                   bfloat16=bfloat16)
            made, _, before = train(
                plan, Canvas(channels=0, classes=classes), dataclasses.replace(whole, channels=classes, classes=0),
                data, masks=None, seed=derive(seed, "masks"), progress=progress,
                checkpoint=checkpoint.with_name(f"{checkpoint.name}-masks") if checkpoint is not None else None,
                grids=grids / "masks" if grids is not None else None)
            canvas, shape = Canvas(channels=whole.channels), whole
        else:
            canvas = Canvas(channels=whole.channels, classes=classes)
            shape = dataclasses.replace(whole, channels=canvas.width, classes=0)
        plan = recipes.resolve(base, images=data.count, effort=training.effort, bfloat16=bfloat16)
        part, judge, history = train(plan, canvas, shape, data, masks=made, seed=seed, progress=progress,
                                     checkpoint=checkpoint, grids=grids)
        if before:
            history["masks"] = before
        return cls(part, made, conditioning, judge, history)

    # -- drawing ----------------------------------------------------------------------------------------

    def draw(self, table: pd.DataFrame, *, seed: int, progress: Progress | None = None
             ) -> tuple[NDArray[np.uint16], NDArray[np.uint8] | None]:
        """An image (stored steps [n, C, *size]) and, where there are masks, a mask [n, *size] for each row.

        Equal seeds give equal bytes, and the first images of a longer draw of rows that begin alike.
        """
        vectors = torch.from_numpy(self.conditioning.encode(table))
        size, channels = self.part.shape.size, self.part.canvas.channels
        batch = _batch_size(size)
        out = np.empty((len(table), channels, *size), dtype=np.uint16)
        classes = self.part.canvas.classes or (self.masks.canvas.classes if self.masks is not None else 0)
        labels = np.empty((len(table), *size), dtype=np.uint8) if classes else None
        with (progress or Silent()).step("drawing images", max(1, len(table))) as step:
            for number, start in enumerate(range(0, len(table), batch)):
                # a full batch is drawn even where fewer are wanted, so that the length changes no value
                given = torch.zeros(batch, vectors.shape[1])
                wanted = min(batch, len(table) - start)
                given[:wanted] = vectors[start:start + wanted]
                canvas, mask = self._batch(given.to(self.device), derive(seed, "draw", number))
                out[start:start + wanted] = self.part.canvas.pixels(canvas[:wanted])
                if labels is not None and mask is not None:
                    labels[start:start + wanted] = mask[:wanted]
                step.update(start + wanted)
        return out, labels

    def _batch(self, given: Tensor, seed: int) -> tuple[Tensor, NDArray[np.uint8] | None]:
        if self.masks is None:
            canvas = self.part.draw(given, None, seed)
            return canvas, self.part.canvas.masks(canvas)
        labels = self.masks.canvas.masks(self.masks.draw(given, None, derive(seed, "masks")))
        assert labels is not None
        shown = one_hot(torch.from_numpy(labels), self.part.shape.classes).to(given.device)
        return self.part.draw(given, shown, seed), labels

    def critic_scores(self, images: Images) -> NDArray[np.float64]:
        """The private critic's score of each image [n]: higher is more like the images it was trained on."""
        if self.judge is None:
            raise UserError("the critic was not kept with this model")
        vectors = torch.from_numpy(self.conditioning.encode(images.table))
        batch, scores = _batch_size(self.part.shape.size), []
        for start in range(0, len(images), batch):
            rows = slice(start, start + batch)
            pixels = torch.from_numpy(images.pixels[rows].astype(np.int32)).to(self.device)
            masks = None if images.masks is None else torch.from_numpy(images.masks[rows]).to(self.device)
            canvas = self.part.canvas.lay(pixels, masks)
            shown = one_hot(masks, self.part.shape.classes) if self.part.shape.classes and masks is not None else None
            with torch.inference_mode():
                scores.append(self.judge(canvas, vectors[rows].to(self.device), shown).double().cpu().numpy())
        return np.concatenate(scores) if scores else np.empty(0)

    # -- on disk ----------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and everything else (JSON) into a folder; the critic is a file apart. Private."""
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.part.generator, folder / WEIGHTS)
        if self.masks is not None:
            save_weights(self.masks.generator, folder / MASK_WEIGHTS)
        if self.judge is not None:
            save_weights(self.judge, folder / CRITIC)
        description = {"conditioning": self.conditioning.to_json(), "images": self.part.to_json(),
                       "masks": None if self.masks is None else self.masks.to_json()}
        write_description(folder / DESCRIPTION, FORMAT, description)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> ImageModel:
        """Read what :meth:`save` wrote, onto any device; without the critic's file there are no critic scores."""
        from safetensors.torch import load_file

        description = read_description(folder / DESCRIPTION, FORMAT)
        where = device_named(device)
        part, judge = Part.from_json(description["images"])
        part.generator.load_state_dict(load_file(folder / WEIGHTS))
        masks: Part | None = None
        if description["masks"] is not None:
            masks, _ = Part.from_json(description["masks"])
            masks.generator.load_state_dict(load_file(folder / MASK_WEIGHTS))
            masks.generator.to(where)
        kept = (folder / CRITIC).exists()
        if kept:
            judge.load_state_dict(load_file(folder / CRITIC))
        part.generator.to(where)
        return cls(part, masks, Conditioning.from_json(description["conditioning"]), judge.to(where) if kept else None)


def _batch_size(size: Sequence[int]) -> int:
    return max(1, min(256, PLACES // math.prod(size)))


def _bfloat16(device: torch.device) -> bool:
    """True if the device multiplies bfloat16 faster than float32; elsewhere it would be emulated, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
