"""Folders of class folders of PNG files (train and test parts below each other are joined) as one population."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from synth.contract import Contract
from synth.medical.evidence import Images
from synth.seeds import generator
from synth.tabular.schema import TableSchema
from tests.benchmarks.medical_gates import listed


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
    return listed(np.stack([pixels[i] for i in order])[:, None], [labels[i] for i in order])
