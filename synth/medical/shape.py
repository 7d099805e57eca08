"""The shape of what an image network makes and judges."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageShape:
    """Images float32 [B, channels, *size] in [-1, 1], conditions [B, conditions], masks one-hot [B, classes, *size]."""

    size: tuple[int, ...]  # (height, width) or (depth, height, width)
    channels: int = 1
    conditions: int = 0  # width of the condition vector; 0: unconditional
    classes: int = 0  # mask classes, background included; 0: no masks

    @property
    def dims(self) -> int:
        """2 for images, 3 for volumes."""
        return len(self.size)
