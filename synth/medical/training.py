"""Training of one network of images: the data it sees, the players it becomes, how long it will take."""

from __future__ import annotations

import copy
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synth.gan.clock import work
from synth.gan.recipe import Recipe
from synth.gan.steps import Steps, begun
from synth.gan.trainer import Trainer
from synth.medical.canvas import Canvas, one_hot
from synth.medical.evidence import Images
from synth.medical.networks import build, capacity
from synth.medical.networks.autoencoder import Autoencoder
from synth.medical.part import Judge, Part
from synth.medical.players import ImagePlayers, LatentPlayers, Store
from synth.medical.shape import ImageShape
from synth.medical.validation import held_back
from synth.progress import Progress
from synth.seeds import derive

GRID = 40  # images of a sample grid
TIMED = 2  # steps timed for the estimate, after one that warms up
SPARE = 1.5  # steps planned beyond what a limit by the clock is thought to allow


@dataclass(frozen=True)
class Data:
    """Images to train on and images held back, by whole patients."""

    train: Store
    held: Store | None
    vectors: NDArray[np.float32]  # conditions of all of them, [n, K]
    flips: bool

    @classmethod
    def split(cls, images: Images, vectors: NDArray[np.float32], device: torch.device, *, flips: bool,
              seed: int) -> Data:
        """``vectors``: the images' conditions [n, K]."""
        held = held_back(images.entities, seed)
        stores = [Store(images.pixels[rows], None if images.masks is None else images.masks[rows], vectors[rows],
                        device) for rows in (~held, held) if rows.any()]
        return cls(stores[0], stores[1] if held.any() else None, vectors, flips)

    @property
    def count(self) -> int:
        """Images to train on."""
        return len(self.train)


def train(recipe: Recipe, canvas: Canvas, shape: ImageShape, data: Data, *, masks: Part | None, seed: int,
          progress: Progress, checkpoint: Path | None, grids: Path | None) -> tuple[Part, Judge, dict[str, Any]]:
    """Run a resolved recipe; returns the generator to draw from, the critic, and the history.

    ``masks``: the trained generator of masks where ``shape`` has classes to make images from.
    """
    device = data.train.device
    widths = capacity(data.count, shape.size, width=float(recipe.setting("width")))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive(seed, "weights"))
        generator, critic = (network.to(device) for network in build(recipe, shape, widths))
    watch = _Grid(canvas, data, masks, derive(seed, "grid"))
    kind: type[ImagePlayers] = LatentPlayers if isinstance(generator, Autoencoder) else ImagePlayers
    players = kind(generator, critic, data.train, data.held, canvas, paired=shape.classes, flips=data.flips,
                   seed=seed, grids=grids, draw_grid=watch)
    if recipe.setting("seconds"):
        checkpoint = None  # what ends by the clock cannot be gone on with to the same end
    if checkpoint is None or not checkpoint.exists():
        recipe = _timed(players, recipe, progress)
    history = Trainer(players, recipe, seed=seed, progress=progress, checkpoint=checkpoint).run()
    players.validate(generator)
    history |= {"images": data.count, "validation_images": 0 if data.held is None else len(data.held),
                "widths": widths, "device": device.type, "figures": players.figures,
                "parameters": sum(p.numel() for p in generator.parameters())}
    judge = Judge(critic, generator.encoder if isinstance(generator, Autoencoder) else None)
    released = generator.decoder if isinstance(generator, Autoencoder) else generator
    for parameter in (*released.parameters(), *judge.parameters()):
        # as it will be when loaded: the memory format decides roundings, and 1 x 1 kernels keep theirs unless copied
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    return Part(recipe, canvas, shape, widths, released.eval()), judge.eval(), history


class _Grid:
    """Generated images from fixed noise under the conditions of a few training rows, alike ones together."""

    def __init__(self, canvas: Canvas, data: Data, masks: Part | None, seed: int) -> None:
        self.canvas, self.seed = canvas, seed
        rows = np.random.default_rng(seed).integers(0, len(data.vectors), GRID)
        vectors = data.vectors[rows]
        self.conditions = torch.from_numpy(vectors[np.lexsort(vectors.T)]).to(data.train.device)
        self.masks: Tensor | None = None
        if masks is not None:
            labels = masks.canvas.masks(masks.draw(self.conditions, None, seed))
            assert labels is not None
            self.masks = one_hot(torch.from_numpy(labels).to(data.train.device), masks.canvas.classes)

    def __call__(self, generator: nn.Module) -> Tensor:
        rng = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(GRID, int(generator.noise), generator=rng)  # type: ignore[arg-type]
        return self.canvas.finish(generator(noise.to(self.conditions.device), self.conditions, self.masks))


def _timed(players: ImagePlayers, recipe: Recipe, progress: Progress) -> Recipe:
    """Say how long the training will take, from a few steps of copies of the networks.

    Where the recipe has a limit in ``seconds``, it becomes its phases' limit, with steps enough to reach it.
    """
    limit = float(recipe.setting("seconds"))
    copied = copy.copy(players)
    copied.generator, copied.critic = copy.deepcopy(players.generator), copy.deepcopy(players.critic)
    device = players.train.device

    def now() -> float:
        return work(device) if limit else time.perf_counter()

    phases, total = [], 0.0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for phase in recipe.phases:
            steps = Steps(copied, phase, players.offer, {"step": 0, **begun(phase)}, device)
            one = torch.optim.SGD(copied.generator.parameters(), 0.0)
            other = torch.optim.SGD(copied.critic.parameters(), 0.0)
            seconds = []
            for _ in range(TIMED + 1):
                start = now()
                for _ in range(phase.critic_steps):
                    steps.critic(other)
                losses = steps.generator(one)
                sum(float(loss) for loss in losses.values())  # waits for the device
                seconds.append(now() - start)
            each = sum(seconds[1:]) / TIMED
            if limit:
                planned = max(1, int(SPARE * limit / each))
                phase = dataclasses.replace(phase, seconds=limit, steps=planned,
                                            validate_every=max(1, int(limit / each / 12)))
            phases.append(phase)
            total += min(phase.steps * each, limit or float("inf"))
    progress.say(f"training {recipe.name} on {len(players.train):,} images: {phases[0].steps:,} steps of"
                 f" {phases[0].batch}, about {_duration(total)}")
    return dataclasses.replace(recipe, phases=tuple(phases))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes" if seconds < 5400 else \
        f"{seconds / 3600:.1f} hours"
