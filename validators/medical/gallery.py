"""The picture of synthetic images in the report: a few of each class, small, and nobody's."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.medical.evidence import Images
from validators.medical.arms import Arms

TILE, A_CLASS, CLASSES = 64, 6, 8  # pixels a side, images of a class, classes
MOST_BYTES = 200_000  # of all tiles, encoded


def gallery(sample: Arms) -> dict[str, Any]:
    """Tiles of synthetic images, the first of each class; volumes are shown by their middle slice."""
    labels = sample.labels(sample.synthetic)
    names, counts = np.unique(labels, return_counts=True)
    shown = [str(names[i]) for i in np.argsort(-counts, kind="stable")[:CLASSES]]
    items: list[dict[str, str]] = []
    left = MOST_BYTES
    for label in sorted(shown):
        for row in np.flatnonzero(labels == label)[:A_CLASS]:
            text = png(sample.synthetic, int(row))
            if len(text) > left:
                break
            left -= len(text)
            items.append({"label": label or "synthetic", "png": text})
    return {"kind": "images", "title": "Synthetic images, the first of each class", "items": items}


def png(images: Images, row: int) -> str:
    """One image as a PNG of at most 64 pixels a side, base64."""
    from PIL import Image

    plane = np.asarray(images.pixels[row])
    if plane.ndim == 4:
        plane = plane[:, plane.shape[1] // 2]
    bytes_: NDArray[np.uint8] = (plane >> 8).astype(np.uint8)
    picture = Image.fromarray(bytes_[0] if len(bytes_) == 1 else np.ascontiguousarray(bytes_.transpose(1, 2, 0)))
    picture.thumbnail((TILE, TILE))
    out = io.BytesIO()
    picture.save(out, format="PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()
