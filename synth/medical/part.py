"""One trained network of images (or of masks) with what it takes to draw from it, and the critic that judged it."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from synth.gan.recipe import Recipe
from synth.medical.canvas import Canvas
from synth.medical.networks import build
from synth.medical.networks.autoencoder import Autoencoder
from synth.medical.shape import ImageShape


@dataclasses.dataclass(frozen=True)
class Part:
    """One trained generator with what it takes to draw: its recipe, canvas, shape and widths."""

    recipe: Recipe
    canvas: Canvas
    shape: ImageShape  # channels: of the canvas; classes: of masks that images are made from
    widths: tuple[int, ...]
    generator: nn.Module

    def draw(self, conditions: Tensor, masks: Tensor | None, seed: int) -> Tensor:
        """Canvases of ``conditions`` [B, K] (and one-hot masks), from noise of the seed. Always the whole batch."""
        rng = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(conditions), int(self.generator.noise), generator=rng)  # type: ignore[arg-type]
        with torch.inference_mode():
            return self.canvas.finish(self.generator(noise.to(conditions.device), conditions, masks))

    def to_json(self) -> dict[str, Any]:
        """Plain data; weights apart."""
        return {"recipe": self.recipe.to_json(), "canvas": dataclasses.asdict(self.canvas),
                "shape": dataclasses.asdict(self.shape), "widths": self.widths}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> tuple[Part, nn.Module]:
        """The inverse of :meth:`to_json` with untrained networks; the critic beside it."""
        recipe = Recipe.from_json(data["recipe"])
        shape = ImageShape(**{**data["shape"], "size": tuple(data["shape"]["size"])})
        generator, critic = build(recipe, shape, data["widths"])
        judge = Judge(critic, generator.encoder if isinstance(generator, Autoencoder) else None)
        generator = generator.decoder if isinstance(generator, Autoencoder) else generator
        return cls(recipe, Canvas(**data["canvas"]), shape, tuple(data["widths"]), generator.eval()), judge.eval()


class Judge(nn.Module):
    """The private critic (with the encoder, where it judges codes): canvases -> one score an image."""

    def __init__(self, critic: nn.Module, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.critic, self.encoder = critic, encoder

    def forward(self, canvas: Tensor, condition: Tensor, mask: Tensor | None) -> Tensor:
        seen = canvas if self.encoder is None else self.encoder(canvas)
        score: Tensor = self.critic(seen, condition, mask)
        return score.reshape(len(score), -1).mean(1)
