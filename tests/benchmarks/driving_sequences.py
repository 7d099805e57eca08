"""Plain generators of sequences, to compare the closed loop with: nobody in them looks at anybody.

Each learns the motion of all vehicles of a scene at once, as one sequence of numbers, given the scene's row of the
listing. What a row says, who is there, sizes and the road are those of train scenes drawn again, which favours them.
They train for given CPU seconds on one thread and draw as many scenes as they saw.

* ``sequence/wgan-gp``: convolutions over time from noise, Wasserstein loss with a penalty on the critic's gradient
  (Gulrajani et al. 2017), critic 3 steps a step of the generator.
* ``sequence/timegan``: recurrent networks that embed, recover, supervise, generate and discriminate, trained in the
  three phases of Yoon et al. 2019 (a third of the time each).
* ``sequence/autoregressive``: one step given those before it, a mixture of normals for its change, by likelihood.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from synth.driving.scenes import EGO, MANOEUVRE, SPEED, Scenes

BATCH, HIDDEN, NOISE, MIXTURE = 64, 96, 16, 5
FASTEST = 60.0  # m/s, to which drawn speeds are cut


@dataclass(frozen=True)
class Sequences:
    """Scenes as standardised numbers [n, T, F], their rows as [n, C]."""

    values: Tensor
    told: Tensor
    mean: Tensor
    spread: Tensor
    scenes: Scenes

    @classmethod
    def of(cls, scenes: Scenes) -> Sequences:
        """Places of the others are taken from the ego vehicle's."""
        x = scenes.states.astype(np.float32).copy()
        x[:, 1:, :, 0] -= x[:, :1, :, 0]
        x[~scenes.present] = 0
        flat = torch.from_numpy(x.transpose(0, 2, 1, 3).reshape(len(x), x.shape[2], -1).copy())
        mean, spread = flat.mean((0, 1)), flat.std((0, 1)).clamp(min=1e-3)
        return cls((flat - mean) / spread, _rows(scenes), mean, spread, scenes)

    def batches(self, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Drawn with replacement, without end."""
        while True:
            rows = torch.randint(len(self.values), (BATCH,), generator=rng)
            yield self.values[rows], self.told[rows]

    def back(self, values: Tensor, rows: NDArray[np.int64]) -> Scenes:
        """Drawn numbers as scenes with what is given of ``rows``."""
        base = self.scenes.take(rows)
        x = (values * self.spread + self.mean).numpy().reshape(len(rows), -1, base.shape.vehicles, 4)
        states = x.transpose(0, 2, 1, 3).astype(np.float32).copy()
        states[..., 0] -= states[:, :1, :1, 0]
        states[:, 1:, :, 0] += states[:, :1, :, 0]
        states[..., SPEED] = states[..., SPEED].clip(0, FASTEST)
        states[~base.present] = 0
        table = base.table.copy()
        table["speed"] = states[:, EGO, 0, SPEED].round(2)
        return replace(base, states=states, table=table, entities=np.arange(len(rows)))


def _rows(scenes: Scenes) -> Tensor:
    parts = [scenes.present, scenes.road, scenes.sizes.reshape(len(scenes), -1)]
    for name in scenes.table:
        column = scenes.table[name]
        if column.dtype.kind == "f":
            parts.append(column.to_numpy()[:, None])
        else:
            parts.append((column.to_numpy(str)[:, None] == np.unique(column.to_numpy(str))).astype(float))
    flat = np.concatenate([np.asarray(p, np.float32) for p in parts], 1)
    return torch.from_numpy((flat - flat.mean(0)) / np.maximum(flat.std(0), 1e-3))


class _Clock:
    """CPU seconds of this process since now."""

    def __init__(self, seconds: float) -> None:
        self.end = time.process_time() + seconds

    def __bool__(self) -> bool:
        return time.process_time() < self.end


# -- convolutions from noise ----------------------------------------------------------------------------


class _Whole(nn.Module):
    def __init__(self, features: int, told: int, steps: int) -> None:
        super().__init__()
        self.coarse, self.steps = -(-steps // 8), steps
        self.first = nn.Sequential(nn.Linear(4 * NOISE + told, 4 * HIDDEN), nn.ReLU(),
                                   nn.Linear(4 * HIDDEN, HIDDEN * self.coarse))
        self.layers = nn.ModuleList(nn.Conv1d(HIDDEN, HIDDEN, 5, padding=2) for _ in range(3))
        self.last = nn.Conv1d(HIDDEN, features, 5, padding=2)

    def forward(self, noise: Tensor, told: Tensor) -> Tensor:
        x = self.first(torch.cat([noise, told], -1)).unflatten(-1, (HIDDEN, self.coarse))
        for layer in self.layers:
            x = F.relu(layer(F.interpolate(x, scale_factor=2.0, mode="linear")))
        found: Tensor = self.last(x)[..., :self.steps].transpose(1, 2)
        return found


class _Critic(nn.Module):
    def __init__(self, features: int, told: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(features + told, HIDDEN, 5, padding=2)
        self.layers = nn.ModuleList(nn.Conv1d(HIDDEN, HIDDEN, 5, stride=2, padding=2) for _ in range(3))
        self.last = nn.Linear(HIDDEN, 1)

    def forward(self, values: Tensor, told: Tensor) -> Tensor:
        given = told.unsqueeze(1).expand(-1, values.shape[1], -1)
        x = self.first(torch.cat([values, given], -1).transpose(1, 2))
        for layer in self.layers:
            x = layer(F.leaky_relu(x, 0.2))
        found: Tensor = self.last(F.leaky_relu(x, 0.2).mean(-1)).squeeze(-1)
        return found


def wgan_gp(data: Sequences, seconds: float, rng: torch.Generator) -> tuple[Callable[[Tensor], Tensor], int]:
    """A function from rows [n, C] to sequences [n, T, F], and how many steps were made."""
    features, told, steps = data.values.shape[2], data.told.shape[1], data.values.shape[1]
    maker, critic = _Whole(features, told, steps), _Critic(features, told)
    mine = torch.optim.Adam(maker.parameters(), 2e-4, betas=(0.0, 0.9))
    theirs = torch.optim.Adam(critic.parameters(), 2e-4, betas=(0.0, 0.9))
    batches, clock, made = data.batches(rng), _Clock(seconds), 0
    while clock:
        for _ in range(3):
            real, given = next(batches)
            fake = maker(torch.randn(BATCH, 4 * NOISE, generator=rng), given).detach()
            mixed = torch.lerp(fake, real, torch.rand(BATCH, 1, 1, generator=rng)).requires_grad_()
            slope, = torch.autograd.grad(critic(mixed, given).sum(), mixed, create_graph=True)
            penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
            loss = critic(fake, given).mean() - critic(real, given).mean() + 10 * penalty
            _step(theirs, loss)
        _, given = next(batches)
        _step(mine, -critic(maker(torch.randn(BATCH, 4 * NOISE, generator=rng), given), given).mean())
        made += 1
    return lambda rows: maker(torch.randn(len(rows), 4 * NOISE, generator=rng), rows), made


# -- TimeGAN --------------------------------------------------------------------------------------------


class _Recurrent(nn.Module):
    def __init__(self, inputs: int, outputs: int, bounded: bool) -> None:
        super().__init__()
        self.core, self.out = nn.GRU(inputs, HIDDEN, batch_first=True), nn.Linear(HIDDEN, outputs)
        self.bounded = bounded

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        given = told.unsqueeze(1).expand(-1, x.shape[1], -1)
        found: Tensor = self.out(self.core(torch.cat([x, given], -1))[0])
        return torch.sigmoid(found) if self.bounded else found


def timegan(data: Sequences, seconds: float, rng: torch.Generator) -> tuple[Callable[[Tensor], Tensor], int]:
    """See :func:`wgan_gp`."""
    features, told, steps, inner = data.values.shape[2], data.told.shape[1], data.values.shape[1], 24
    embed, recover = _Recurrent(features + told, inner, True), _Recurrent(inner + told, features, False)
    generate, follow = _Recurrent(NOISE + told, inner, True), _Recurrent(inner + told, inner, True)
    judge = _Recurrent(inner + told, 1, False)

    def rate(*parts: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam([p for part in parts for p in part.parameters()], 1e-3)

    first, second, third = rate(embed, recover), rate(follow), rate(generate, follow)
    fourth, fifth = rate(judge), rate(embed, recover)
    batches, made = data.batches(rng), 0

    def noise(n: int) -> Tensor:
        return torch.randn(n, steps, NOISE, generator=rng)

    def ahead(hidden: Tensor, given: Tensor) -> Tensor:
        return F.mse_loss(follow(hidden, given)[:, :-1], hidden[:, 1:])

    clock = _Clock(seconds / 3)
    while clock:
        real, given = next(batches)
        _step(first, 10 * F.mse_loss(recover(embed(real, given), given), real).sqrt())
        made += 1
    clock = _Clock(seconds / 3)
    while clock:
        real, given = next(batches)
        _step(second, ahead(embed(real, given).detach(), given))
        made += 1
    clock = _Clock(seconds / 3)
    while clock:
        for _ in range(2):
            real, given = next(batches)
            raw = generate(noise(BATCH), given)
            hidden = follow(raw, given)
            fooled = sum(F.binary_cross_entropy_with_logits(judge(h, given), torch.ones(BATCH, steps, 1))
                         for h in (hidden, raw))
            shown = recover(hidden, given)
            moments = ((shown.std((0, 1)) - real.std((0, 1))).abs() + (shown.mean((0, 1)) - real.mean((0, 1))).abs())
            _step(third, fooled + 100 * ahead(embed(real, given).detach(), given).sqrt() + 100 * moments.mean())
            known = embed(real, given)
            _step(fifth, 10 * F.mse_loss(recover(known, given), real).sqrt() + 0.1 * ahead(known, given))
        real, given = next(batches)
        with torch.no_grad():
            raw = generate(noise(BATCH), given)
            sets = embed(real, given), follow(raw, given), raw
        loss = sum(F.binary_cross_entropy_with_logits(judge(h, given), torch.full((BATCH, steps, 1), float(i == 0)))
                   for i, h in enumerate(sets))
        if loss.item() > 0.15:  # the paper's guard of a discriminator that is too strong
            _step(fourth, loss)
        made += 1
    return lambda rows: recover(follow(generate(noise(len(rows)), rows), rows), rows), made


# -- step by step ---------------------------------------------------------------------------------------


class _Steps(nn.Module):
    """Distribution of the first step, and of every change given the steps before it."""

    def __init__(self, features: int, told: int) -> None:
        super().__init__()
        self.features = features
        self.start = nn.Sequential(nn.Linear(told, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, MIXTURE * (1 + 2 * features)))
        self.cell = nn.GRU(2 * features + told, HIDDEN, batch_first=True)
        self.out = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, MIXTURE * (1 + 2 * features)))

    def mixture(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = raw.unflatten(-1, (MIXTURE, 1 + 2 * self.features))
        scale = F.softplus(x[..., 1 + self.features:]) + 0.01
        return x[..., 0], x[..., 1:1 + self.features], scale

    def loss(self, raw: Tensor, wanted: Tensor) -> Tensor:
        weight, mean, scale = self.mixture(raw)
        each = -0.5 * ((wanted.unsqueeze(-2) - mean) / scale) ** 2 - scale.log()
        return -(weight.log_softmax(-1) + each.sum(-1)).logsumexp(-1).mean()

    def draw(self, raw: Tensor, rng: torch.Generator) -> Tensor:
        weight, mean, scale = self.mixture(raw)
        which = torch.multinomial(weight.softmax(-1), 1, generator=rng)[..., None].expand(-1, 1, self.features)
        spread = torch.randn(len(raw), self.features, generator=rng)
        return mean.gather(1, which)[:, 0] + scale.gather(1, which)[:, 0] * spread


def autoregressive(data: Sequences, seconds: float, rng: torch.Generator) -> tuple[Callable[[Tensor], Tensor], int]:
    """See :func:`wgan_gp`. Changes are standardised, too."""
    features, steps = data.values.shape[2], data.values.shape[1]
    unit = (data.values[:, 1:] - data.values[:, :-1]).std((0, 1)).clamp(min=1e-4)
    model = _Steps(features, data.told.shape[1])
    rate = torch.optim.Adam(model.parameters(), 2e-3)
    batches, clock, made = data.batches(rng), _Clock(seconds), 0
    while clock:
        real, given = next(batches)
        change = (real[:, 1:] - real[:, :-1]) / unit
        before = torch.cat([torch.zeros_like(change[:, :1]), change[:, :-1]], 1)
        seen = torch.cat([real[:, :-1], before, given.unsqueeze(1).expand(-1, steps - 1, -1)], -1)
        _step(rate, model.loss(model.start(given), real[:, 0]) + model.loss(model.out(model.cell(seen)[0]), change))
        made += 1

    def draw(rows: Tensor) -> Tensor:
        at = model.draw(model.start(rows), rng)
        found, change, memory = [at], torch.zeros_like(at), None
        for _ in range(steps - 1):
            hidden, memory = model.cell(torch.cat([at, change, rows], -1).unsqueeze(1), memory)
            change = model.draw(model.out(hidden[:, 0]), rng)
            at = at + change * unit
            found.append(at)
        return torch.stack(found, 1)

    return draw, made


def _step(optimizer: torch.optim.Adam, loss: Any) -> None:
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 5.0)
    optimizer.step()


KINDS = {"sequence/wgan-gp": wgan_gp, "sequence/timegan": timegan, "sequence/autoregressive": autoregressive}


def sequences(kind: str, train: Scenes, seconds: float, seed: int) -> tuple[Scenes, dict[str, Any]]:
    """As many scenes as there are in train, and what they cost; ``kind`` of :data:`KINDS`."""
    assert MANOEUVRE in train.table
    rng, data = torch.Generator().manual_seed(seed), Sequences.of(train)
    used = time.process_time()
    draw, made = KINDS[kind](data, seconds, rng)
    cost: dict[str, Any] = {"cpu_s": time.process_time() - used, "steps": made}
    rows = torch.randint(len(train), (len(train),), generator=rng)
    used = time.process_time()
    with torch.no_grad():
        drawn = torch.cat([draw(data.told[part]) for part in rows.split(1024)])
    scenes = data.back(drawn, rows.numpy())
    return scenes, cost | {"draw_cpu_s": time.process_time() - used}
