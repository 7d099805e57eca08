"""What a network makes, as channels: the image, and beside it the mask where both are drawn together.

Everything real on a canvas is in [-1, 1]: intensities, and mask channels as indicators, stretched. A generator's mask
channels are a softmax over the classes; its intensities are squashed, but for a tenth of them, because a pure tanh
that has gone black everywhere passes no gradient on and stays black. What lies outside is cut off when stored.
So one network, one critic and one augmentation serve images, images with masks, and masks alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.medical.intensity import STEPS

LINEAR = 0.1  # share of an intensity that is not squashed


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """``channels`` of image (0: masks alone), then ``classes`` of mask (0: none)."""

    channels: int
    classes: int = 0

    @property
    def width(self) -> int:
        """Number of channels in all."""
        return self.channels + self.classes

    def lay(self, pixels: Tensor | None, masks: Tensor | None) -> Tensor:
        """Real canvases float32 [B, width, *size] of stored steps [B, C, *size] and labels [B, *size]."""
        parts = []
        if self.channels:
            assert pixels is not None
            parts.append(pixels.float() * (2 / STEPS) - 1)
        if self.classes:
            assert masks is not None
            parts.append(one_hot(masks, self.classes) * 2 - 1)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def finish(self, raw: Tensor) -> Tensor:
        """Canvases of a generator's raw output, differentiable; float32."""
        raw = raw.float()
        image, logits = raw[:, :self.channels], raw[:, self.channels:]
        image = (1 - LINEAR) * image.tanh() + LINEAR * image
        if not self.classes:
            return image
        label = logits.softmax(1) * 2 - 1
        return torch.cat([image, label], 1) if self.channels else label

    def pixels(self, canvas: Tensor) -> NDArray[np.uint16]:
        """Stored steps uint16 [B, channels, *size]."""
        share = (canvas[:, :self.channels].clamp(-1, 1).double() + 1) / 2
        return (share * STEPS).round().cpu().numpy().astype(np.uint16)

    def masks(self, canvas: Tensor) -> NDArray[np.uint8] | None:
        """Labels uint8 [B, *size], the likeliest class of each place; None without masks."""
        return canvas[:, self.channels:].argmax(1).to(torch.uint8).cpu().numpy() if self.classes else None


def one_hot(masks: Tensor, classes: int) -> Tensor:
    """Labels [B, *size] as float32 [B, classes, *size]."""
    out = torch.zeros(len(masks), classes, *masks.shape[1:], device=masks.device)
    return out.scatter_(1, masks.long().unsqueeze(1), 1.0)
