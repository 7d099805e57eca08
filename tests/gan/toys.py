"""Small image players and recipes over every objective, penalty and schedule of the core: 8 px, seconds in all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synth.gan.players import Offer, Seen, View, inputs_of
from synth.gan.recipe import Phase, Recipe

OFFER = Offer(terms=("reconstruction", "features"), critic_terms=("side",), ramps=("condition",), intensities=1,
              augment=("translation", "cutout", "brightness", "contrast", "affine"))


class Painter(nn.Module):
    """Noise [B, 4] and conditions [B, 2] -> images [B, 1, *size]; with masks [B, 2, *size] it paints on them."""

    def __init__(self, size: tuple[int, ...], masks: bool) -> None:
        super().__init__()
        self.size, conv = size, nn.Conv2d if len(size) == 2 else nn.Conv3d
        self.first = nn.Linear(6, 8 * math.prod(size))
        self.last = conv(8 + 2 * masks, 1, 3, padding=1)

    def forward(self, noise: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden = F.leaky_relu(self.first(torch.cat([noise, condition], 1)), 0.2).reshape(-1, 8, *self.size)
        return torch.tanh(self.last(hidden if mask is None else torch.cat([hidden, mask], 1)))


class Judge(nn.Module):
    """A residual-free critic of images with a projected condition; patches [B, P] where it sees masks."""

    def __init__(self, dims: int, masks: bool, normed: bool = False) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.first, self.second = conv(1 + 2 * masks, 8, 3, stride=2, padding=1), conv(8, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8) if normed else nn.Identity()
        self.score, self.project, self.turn = conv(8, 1, 1), nn.Linear(2, 8), nn.Linear(8, 2)
        self.masks, self.strength = masks, 1.0

    def features(self, images: Tensor, mask: Tensor | None) -> list[Tensor]:
        first = F.leaky_relu(self.first(images if mask is None else torch.cat([images, mask], 1)), 0.2)
        return [first, F.leaky_relu(self.norm(self.second(first)), 0.2)]

    def forward(self, images: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden = self.features(images, mask)[-1]
        told = (hidden.flatten(2).mean(2) * self.project(condition)).sum(1, keepdim=True)
        scores = self.score(hidden).flatten(1) + self.strength * told
        return scores if self.masks else scores.mean(1)


class Pictures:
    """Two classes of images, a bright blob in the upper or the lower half, of random place and brightness."""

    def __init__(self, size: tuple[int, ...] = (8, 8), *, masks: bool = False, normed: bool = False,
                 offer: Offer = OFFER) -> None:
        torch.manual_seed(0)
        self.size, self.masks, self.offer = size, masks, offer
        self.generator: nn.Module = Painter(size, masks)
        self.critic: nn.Module | None = Judge(len(size), masks, normed)
        self.images, self.conditions = paint(160, size)
        self.drawn, self.stop_at = 0, math.inf
        self.watched: list[int] = []
        self.prepared: list[tuple[str, dict[str, float]]] = []

    def draw(self, records: int) -> Any:
        self.drawn += 1
        if self.drawn > self.stop_at:
            raise KeyboardInterrupt
        return self._take(torch.randint(128, (records,)))

    def held_out(self, records: int) -> Any:
        return self._take(128 + torch.randint(32, (records,)))

    def _take(self, rows: Tensor) -> Any:
        images = self.images[rows]
        bright = (images > 0).float()
        return images, self.conditions[rows], torch.cat([1 - bright, bright], 1) if self.masks else None

    def real(self, batch: Any) -> Seen:
        return View(batch[0], batch[1:])

    def fake(self, batch: Any) -> Seen:
        return View(self.generator(torch.randn(len(batch[0]), 4), *batch[1:]), batch[1:])

    def likelihood(self, batch: Any) -> Tensor:
        raise NotImplementedError

    def term(self, name: str, batch: Any, fake: Seen, critic: nn.Module | None) -> Tensor:
        assert not any(p.requires_grad for p in critic.parameters())
        if name == "reconstruction":
            return (inputs_of(fake) - batch[0]).abs().mean()
        made, real = (critic.features(images, batch[2]) for images in (inputs_of(fake), batch[0]))
        return sum((a - b.detach()).abs().mean() for a, b in zip(made, real, strict=True))

    def critic_term(self, name: str, batch: Any, real: Seen, fake: Seen) -> Tensor:
        hidden = self.critic.features(inputs_of(real), batch[2])[-1].flatten(2).mean(2)
        return F.cross_entropy(self.critic.turn(hidden), batch[1].argmax(1))

    def prepare(self, phase: str, factors: Mapping[str, float]) -> None:
        self.prepared.append((phase, dict(factors)))
        self.critic.strength = factors.get("condition", 1.0)

    def watch(self, generator: nn.Module, step: int) -> None:
        torch.randn(3)  # random numbers drawn here must not matter
        assert not generator.training
        self.watched.append(step)

    def validate(self, generator: nn.Module) -> float:
        """Distance of the mean images by class."""
        masks = self._take(torch.arange(128))[2]
        with torch.no_grad():
            made = generator(torch.randn(128, 4), self.conditions[:128], masks)
        return sum(float((made[self.conditions[:128, c] > 0].mean(0)
                          - self.images[:128][self.conditions[:128, c] > 0].mean(0)).square().mean()) for c in (0, 1))


class Coder(nn.Module):
    """An autoencoder of images with a latent of four numbers."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(size), 16), nn.LeakyReLU(0.2), nn.Linear(16, 4))
        self.decoder = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.Linear(16, math.prod(size)), nn.Tanh())

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(latents).reshape(-1, 1, *self.size)


class Latents(Pictures):
    """The adversarial autoencoder (Makhzani et al. 2015): the critic compares latents with a normal prior."""

    def __init__(self) -> None:
        super().__init__(offer=Offer(terms=("reconstruction",)))
        self.generator = Coder(self.size)
        self.critic = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Flatten(0))

    def real(self, batch: Any) -> Seen:
        return torch.randn(len(batch[0]), 4)

    def fake(self, batch: Any) -> Seen:
        return self.generator.encoder(batch[0])

    def term(self, name: str, batch: Any, fake: Seen, critic: nn.Module | None) -> Tensor:
        return (self.generator.decode(inputs_of(fake)) - batch[0]).square().mean()

    def prepare(self, phase: str, factors: Mapping[str, float]) -> None:
        pass

    def validate(self, generator: nn.Module) -> float:
        with torch.no_grad():
            return float((generator.decode(generator.encoder(self.images)) - self.images).square().mean())


def paint(count: int, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Images [n, 1, *size] in [-1, 1] and their classes one-hot [n, 2], from a generator of their own."""
    chance = torch.Generator().manual_seed(5)
    label = torch.arange(count) % 2
    axes = torch.meshgrid(*[torch.arange(side, dtype=torch.float32) for side in size], indexing="ij")
    middle = torch.rand(count, len(size), generator=chance) * 2 - 1 + (torch.tensor(size) - 1) / 2
    middle[:, 0] += torch.where(label == 0, -2.0, 2.0)
    distance = sum((axis - middle[:, i].reshape(-1, *[1] * len(size))) ** 2 for i, axis in enumerate(axes))
    peak = (1.4 + 0.5 * torch.rand(count, generator=chance)).reshape(-1, *[1] * len(size))
    return (peak * torch.exp(-distance / 4) - 1).unsqueeze(1), F.one_hot(label, 2).float()


def _one(name: str, players: str = "pictures", **fields: Any) -> Recipe:
    given: dict[str, Any] = {"steps": 36, "batch": 16, "generator_rate": 2e-3, "critic_rate": 2e-3} | fields
    return Recipe(name=f"toy/{name}", players=players, select="last", phases=(Phase(name="game", **given),))


_R1R2 = (("r1", 0.2), ("r2", 0.2))
TOYS: dict[str, Recipe] = {recipe.name: recipe for recipe in (
    _one("minimax", objective="minimax", critic_lead=4),
    _one("non-saturating", "normed", objective="non-saturating", smoothing=0.1, noise=0.2,
         ramps=(("noise", 1.0, 0.0, 400),), anneal=True),
    _one("non-saturating-r1", objective="non-saturating", penalties=(("r1", 0.5),), betas=(0.5, 0.99)),
    _one("least-squares", "masks", objective="least-squares", terms=(("reconstruction", 10.0), ("features", 1.0)),
         ramps=(("terms", 0.5, 1.0, 300),)),
    _one("hinge", objective="hinge", critic_steps=2, critic_terms=(("side", 0.2),),
         augment=("brightness", "contrast", "translation", "cutout", "affine")),
    _one("wasserstein-clip", objective="wasserstein", clip=0.05, critic_steps=3, decay=0.01),
    _one("wasserstein-gradient", objective="wasserstein", penalties=(("gradient", 10.0),), critic_steps=2,
         betas=(0.5, 0.9)),
    _one("relativistic", objective="relativistic", penalties=_R1R2, penalty_every=4, half_life=100.0,
         ramps=(("penalty", 4.0, 1.0, 300), ("condition", 0.0, 1.0, 400), ("rate", 1.5, 1.0, 200)),
         augment=("translation", "brightness"), augment_probability=0.1, augment_target=0.3, augment_speed=2_000,
         validate_every=12),
    _one("relativistic-volume", "volumes", objective="relativistic", penalties=_R1R2, steps=18,
         augment=("affine", "cutout"), augment_probability=0.5),
    _one("latent", "latents", objective="non-saturating", adversarial=0.1, terms=(("reconstruction", 1.0),)),
)}


def players(recipe: Recipe) -> Pictures:
    """The players a toy recipe names."""
    made: dict[str, Any] = {"pictures": Pictures, "latents": Latents, "normed": lambda: Pictures(normed=True),
                            "masks": lambda: Pictures(masks=True), "volumes": lambda: Pictures((4, 8, 6))}
    return made[recipe.players]()
