"""Small images whose content follows their listing: discs of a brightness by label, of a size by age, with masks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synth.contract.model import Role
from synth.contract.pixels import Pixels
from synth.medical.evidence import Images
from synth.seeds import generator
from synth.tabular.schema import ColumnSchema, TableSchema

SCHEMA = TableSchema(columns=(
    ColumnSchema(name="label", role=Role.CATEGORICAL, nullable=False, values=("bright", "dark")),
    ColumnSchema(name="age", role=Role.NUMERIC, nullable=True)))


def discs(count: int = 60, size: tuple[int, ...] = (16, 20), *, classes: int = 0, channels: int = 1,
          seed: int = 1, images_each: int = 1) -> Images:
    """``count`` images of patients with ``images_each``; ``classes`` 3: masks of the disc and its inner half."""
    rng = generator(seed, "discs")
    bright, age = rng.random(count) < 0.5, np.round(rng.normal(60, 10, count))
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, side) for side in size], indexing="ij"))
    shape = (count, *[1] * len(size))
    centre = rng.normal(0, 0.15, (count, len(size), *[1] * len(size)))
    distance = np.sqrt(((grid - centre) ** 2).sum(1)) / (0.6 + (age.reshape(shape) - 60) / 100)
    inside = (distance < 1) * np.where(bright.reshape(shape), 0.9, 0.4)
    pixels = np.repeat(np.rint(inside * 65_535).astype(np.uint16)[:, None], channels, 1)
    masks = (distance < 1).astype(np.uint8) + (distance < 0.5) if classes else None
    table = pd.DataFrame({"label": pd.Series(np.where(bright, "bright", "dark"), dtype="str"), "age": age})
    return Images(pixels=pixels, masks=masks, table=table, entities=np.arange(count) // images_each)


def block(size: tuple[int, ...] = (16, 20), *, classes: int = 0, channels: int = 1, flips: bool = False) -> Pixels:
    """The contract's block on such images."""
    return Pixels(file="file", size=size, channels=channels, flips=flips, mask_classes=classes,
                  mask="mask" if classes else None)
