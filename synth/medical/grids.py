"""A picture of a few generated images, to see how training goes. Synthetic only, and private until a release."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.medical.canvas import Canvas

COLUMNS = 8
LONGEST = 96  # pixels of a tile's longest side


def tile(canvas: Tensor, kind: Canvas) -> NDArray[np.uint8]:
    """Canvases [n, C, *size] (middle slices of volumes) as one picture [height, width, 3], eight a row."""
    canvas = canvas.detach().float().cpu()
    if canvas.ndim == 5:
        canvas = canvas[:, :, canvas.shape[2] // 2]
    if kind.channels:
        pictures = (canvas[:, :kind.channels].clamp(-1, 1) + 1) / 2
    else:
        pictures = canvas.argmax(1, keepdim=True).float() / max(1, kind.classes - 1)
    factor = -(-max(pictures.shape[2:]) // LONGEST)
    if factor > 1:
        pictures = torch.nn.functional.avg_pool2d(pictures, factor, ceil_mode=True)
    pictures = pictures.expand(-1, 3, -1, -1) if pictures.shape[1] == 1 else pictures
    missing = -len(pictures) % COLUMNS
    pictures = torch.cat([pictures, pictures.new_zeros(missing, *pictures.shape[1:])])
    rows = [torch.cat(list(row), 2) for row in pictures.split(COLUMNS)]
    return (torch.cat(rows, 1).permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def save(canvas: Tensor, kind: Canvas, path: Path) -> None:
    """Write :func:`tile` as a PNG, readable by its owner alone."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tile(canvas, kind)).save(path, format="PNG")
    path.chmod(0o600)
