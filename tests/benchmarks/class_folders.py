"""Folders of class folders of PNG files (train and test parts below each other are joined) as one population."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from synth.contract import Column, Contract, Role, Task
from synth.contract.pixels import Pixels
from synth.medical.evidence import Images
from synth.seeds import generator
from synth.tabular.schema import ColumnSchema, TableSchema


def population(folder: Path, side: int, most: int) -> tuple[Images, Contract, TableSchema]:
    """At most ``most`` images at ``side`` pixels, shuffled; exact copies count once, each image is a patient."""
    pixels, labels, seen = [], [], set()
    for path in sorted(folder.rglob("*.png")):
        plane = np.asarray(Image.open(path).convert("L").resize((side, side), Image.Resampling.BOX))
        if plane.tobytes() not in seen:
            seen.add(plane.tobytes())
            pixels.append(plane.astype(np.uint16) * 257)
            labels.append(path.parent.name)
    order = generator(0, "order").permutation(len(pixels))[:most]
    kinds = tuple(sorted(set(labels)))
    schema = TableSchema(columns=(ColumnSchema(name="label", role=Role.CATEGORICAL, nullable=False, values=kinds),))
    contract = Contract(name="images", version="1.0.0", domain="medical", path=Path("images.yaml"), digest="0" * 64,
                        description="", source="images", task=Task.CLASSIFICATION, target="label",
                        columns=(Column(name="label", role=Role.CATEGORICAL),),
                        pixels=Pixels(file="f", size=(side, side)))
    table = pd.DataFrame({"label": pd.Series([labels[i] for i in order], dtype="str")})
    return Images(pixels=np.stack([pixels[i] for i in order])[:, None], masks=None, table=table,
                  entities=np.arange(len(order))), contract, schema
