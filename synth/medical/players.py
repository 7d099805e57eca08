"""How images meet the adversarial loop: batches, what the critic sees, further terms, validation, sample grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synth.gan.players import Offer, Seen, View, inputs_of
from synth.medical.canvas import Canvas, one_hot
from synth.medical.networks.autoencoder import Autoencoder
from synth.medical.validation import LEAST, MOST, Validation
from synth.seeds import derive

ON_DEVICE = 4 * 2**30  # bytes of images that may live on the device; more stay in main memory
COMPARED = {2: (500, MOST), 3: (200, 300)}  # fewest and most images drawn to validate, by the number of axes
OPERATIONS = ("translation", "cutout", "brightness", "contrast", "affine")  # that leave an image what it is


class Store:
    """Images in memory as they are stored, two bytes a sample; converted when a batch is drawn."""

    def __init__(self, pixels: NDArray[np.uint16] | None, masks: NDArray[np.uint8] | None,
                 conditions: NDArray[np.float32], device: torch.device) -> None:
        shown = pixels[:1, 0] if pixels is not None else masks
        assert shown is not None
        self.size = tuple(shown.shape[1:])
        total = sum(a.nbytes for a in (pixels, masks) if a is not None)
        home = device if total <= ON_DEVICE else torch.device("cpu")
        # torch indexes int16, not uint16, on every device
        self.pixels = None if pixels is None else torch.from_numpy(np.ascontiguousarray(pixels).view(np.int16)).to(home)
        self.masks = None if masks is None else torch.from_numpy(np.ascontiguousarray(masks)).to(home)
        self.conditions, self.device = torch.from_numpy(conditions).to(device), device

    def __len__(self) -> int:
        return len(self.conditions)

    def take(self, rows: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
        """(stored steps as int32 or None, labels or None, conditions) at ``rows``."""
        pixels = masks = None
        if self.pixels is not None:
            pixels = self.pixels[rows.to(self.pixels.device)].to(self.device).int() & 0xFFFF
        if self.masks is not None:
            masks = self.masks[rows.to(self.masks.device)].to(self.device)
        return pixels, masks, self.conditions[rows]


@dataclass(frozen=True, slots=True)
class Batch:
    """Canvases [B, C, *size], conditions [B, K], and the masks [B, classes, *size] that images are made from."""

    canvas: Tensor
    condition: Tensor
    mask: Tensor | None


class ImagePlayers:
    """A generator and a critic of canvases, both told the condition (and the mask, where ``paired`` > 0 classes).

    ``flips``: left and right (the last axis) may be exchanged, so half of the real images are.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module, train: Store, held: Store | None, canvas: Canvas, *,
                 paired: int = 0, flips: bool = False, seed: int = 0, grids: Path | None = None,
                 draw_grid: Callable[[nn.Module], Tensor] | None = None) -> None:
        self.generator, self.critic = generator, critic
        self.train, self.held, self.canvas, self.paired, self.flips = train, held, canvas, paired, flips
        self.seed, self.grids, self.draw_grid = seed, grids, draw_grid
        operations = (*OPERATIONS, "flip") if flips else OPERATIONS
        terms = ("reconstruction", "features") if hasattr(critic, "features") else ("reconstruction",)
        self.offer = Offer(terms=terms, intensities=canvas.channels, augment=operations)
        self.noise = int(generator.noise)  # type: ignore[arg-type]
        self.figures: dict[str, float] = {}  # of the last validation
        self._validation: Validation | None = None

    # -- batches ----------------------------------------------------------------------------------------

    def draw(self, records: int) -> Batch:
        """Train images, with replacement, under their own conditions."""
        rows = torch.randint(len(self.train), (records,), device=self.train.device)
        batch = self._batch(self.train, rows)
        if not self.flips:
            return batch
        turned = torch.rand(records, device=self.train.device) < 0.5
        places = turned.reshape(-1, *[1] * (batch.canvas.ndim - 1))
        mask = None if batch.mask is None else torch.where(places, batch.mask.flip(-1), batch.mask)
        return Batch(torch.where(places, batch.canvas.flip(-1), batch.canvas), batch.condition, mask)

    def _batch(self, store: Store, rows: Tensor) -> Batch:
        pixels, masks, condition = store.take(rows)
        mask = one_hot(masks, self.paired) if self.paired and masks is not None else None
        return Batch(self.canvas.lay(pixels, masks), condition, mask)

    def held_out(self, records: int) -> Batch | None:
        """Held-back images, which neither network trains on."""
        if self.held is None or not len(self.held):
            return None
        rows = torch.randint(len(self.held), (records,), device=self.held.device)
        return self._batch(self.held, rows)

    # -- the game ---------------------------------------------------------------------------------------

    def likelihood(self, batch: Batch) -> Tensor:
        """There is none: whoever asks has the wrong recipe."""
        raise NotImplementedError("a generator of images has no likelihood")

    def real(self, batch: Batch) -> Seen:
        """The canvases under their conditions."""
        return View(batch.canvas, (batch.condition, batch.mask))

    def fake(self, batch: Batch) -> Seen:
        """As many generated ones under the same conditions (and masks)."""
        noise = torch.randn(len(batch.condition), self.noise, device=batch.condition.device)
        return View(self.canvas.finish(self.generator(noise, batch.condition, batch.mask)),
                    (batch.condition, batch.mask))

    def term(self, name: str, batch: Batch, fake: Seen, critic: nn.Module | None) -> Tensor:
        """``reconstruction``: absolute difference from the real image of the same mask (Isola et al. 2017);
        ``features``: the same in the critic's layers (Wang et al. 2018, pix2pixHD)."""
        if name == "reconstruction":
            return (inputs_of(fake) - batch.canvas).abs().mean()
        layers: Callable[..., list[Tensor]] = critic.features  # type: ignore[union-attr,assignment]
        with torch.no_grad():
            real = layers(batch.canvas, batch.condition, batch.mask)[:-1]
        made = layers(inputs_of(fake), batch.condition, batch.mask)[:-1]
        return torch.stack([(a - b).abs().mean() for a, b in zip(made, real, strict=True)]).mean()

    # -- looking ----------------------------------------------------------------------------------------

    @torch.no_grad()
    def validate(self, generator: nn.Module) -> float:
        """The logarithm of one plus the kernel distance, plus one minus coverage: lower is better.

        On held-back images, or on train images where none are held back.
        """
        store = self.held if self.held is not None and len(self.held) >= LEAST else self.train
        rng = torch.Generator().manual_seed(derive(self.seed, "validation"))
        fewest, most = COMPARED[len(store.size)]
        count = min(most, len(store))
        rows = torch.randperm(len(store), generator=rng)[:count].to(store.device)
        if self._validation is None:
            self._validation = Validation(torch.cat([self._batch(store, part).canvas for part in rows.split(128)]))
        rows = rows.repeat(-(-fewest // count))[:max(fewest, count)]
        noise = torch.randn(len(rows), self.noise, generator=rng).to(store.device)
        drawn = []
        for part, seeds in zip(rows.split(64), noise.split(64), strict=True):
            batch = self._batch(store, part)
            drawn.append(self.canvas.finish(generator(seeds, batch.condition, batch.mask)))
        distance, coverage = self._validation(torch.cat(drawn))
        self.figures = {"kernel_distance": round(distance, 6), "coverage": round(coverage, 4)}
        return math.log1p(max(0.0, distance)) + 1 - coverage

    def watch(self, generator: nn.Module, step: int) -> None:
        """A grid of generated images from fixed noise, as a picture in the folder ``grids``."""
        if self.grids is None or self.draw_grid is None:
            return
        from synth.medical.grids import save

        save(self.draw_grid(generator), self.canvas, self.grids / f"step-{step:06d}.png")


class LatentPlayers(ImagePlayers):
    """An autoencoder whose codes a critic compares with plain noise (Makhzani et al. 2015)."""

    generator: Autoencoder

    def __init__(self, generator: Autoencoder, critic: nn.Module, train: Store, held: Store | None, canvas: Canvas,
                 **keywords: object) -> None:
        super().__init__(generator, critic, train, held, canvas, **keywords)  # type: ignore[arg-type]
        self.offer = Offer(terms=("reconstruction",))

    def real(self, batch: Batch) -> Seen:
        """Noise [B, noise]: what the codes should look like."""
        return View(torch.randn(len(batch.canvas), self.noise, device=batch.canvas.device), (batch.condition, None))

    def fake(self, batch: Batch) -> Seen:
        """The codes of the batch's images."""
        return View(self.generator.encoder(batch.canvas).float(), (batch.condition, None))

    def term(self, name: str, batch: Batch, fake: Seen, critic: nn.Module | None) -> Tensor:
        """``reconstruction``: absolute difference between an image and what its code decodes to."""
        made = self.canvas.finish(self.generator.decoder(inputs_of(fake), batch.condition, None))
        return (made - batch.canvas).abs().mean()
