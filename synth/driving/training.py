"""Training of the policy: the scenes it sees, the players it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from synth.driving.bicycle import track
from synth.driving.networks.critic import SceneCritic
from synth.driving.networks.policy import Policy
from synth.driving.networks.whole import WholeScene
from synth.driving.plan import Plan, facts
from synth.driving.players import ScenePlayers, Store, WholePlayers, plain, spoken
from synth.driving.tokens import Grids
from synth.gan.recipe import Recipe
from synth.gan.trainer import Trainer
from synth.progress import Progress
from synth.seeds import derive, generator

Driver = Policy | WholeScene
HELD = 0.08  # share of scenes, by entity, to choose weights by
LEAST = 50  # scenes: with fewer none are held back
_BLOCK = 4096  # scenes tracked at once


def held_back(entities: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Scenes [n] kept from training, whole entities at a time; none where there are few."""
    if len(entities) < LEAST:
        return np.zeros(len(entities), bool)
    _, entity = np.unique(entities, return_inverse=True)
    order = generator(seed, "held back").permutation(int(entity.max()) + 1)
    wanted = int(np.clip(HELD * len(entities), 10, 2000))
    taken = order[np.cumsum(np.bincount(entity)[order]) <= wanted]
    return np.asarray(np.isin(entity, taken), dtype=bool)


def on_bicycle(states: NDArray[np.float32], plan: Plan, dt: float) -> torch.Tensor:
    """Recorded states [n, K, T, 4] as a bicycle drives them."""
    parts = []
    for start in range(0, len(states), _BLOCK):
        rows = slice(start, start + _BLOCK)
        parts.append(track(torch.from_numpy(states[rows]), torch.from_numpy(plan.friction[rows, None]), dt)[0])
    return torch.cat(parts) * torch.from_numpy(plan.present)[..., None, None]


def shares(classes: NDArray[np.int64], balance: float) -> NDArray[np.float32]:
    """Weights [n] of the draw: a class's share of the batches is its share of the scenes to the power 1 - balance."""
    count = np.bincount(classes)
    weight = np.where(count > 0, np.maximum(count, 1) ** -balance, 0.0)[classes]
    return (weight / weight.sum()).astype(np.float32)


def networks(recipe: Recipe, grids: Grids, condition: int, vehicles: int, steps: int) -> tuple[Driver, SceneCritic]:
    """Untrained, from torch's global generator."""
    driver: Driver
    if recipe.players == "whole":
        driver = WholeScene(condition=condition, vehicles=vehicles, steps=steps, width=int(recipe.setting("hidden")))
    else:
        driver = Policy(grids, condition=condition, hidden=int(recipe.setting("hidden")),
                        dropout=float(recipe.setting("dropout")), reflexes=bool(recipe.setting("reflexes")),
                        smooth=bool(recipe.setting("smooth")),
                        cool=(float(recipe.setting("cool_along")), float(recipe.setting("cool_across"))))
    return driver, SceneCritic(condition=condition, width=int(recipe.setting("critic_width")))


def train(recipe: Recipe, states: NDArray[np.float32], plan: Plan, classes: NDArray[np.int64],
          entities: NDArray[np.int64], *, dt: float, seed: int, device: torch.device, progress: Progress,
          checkpoint: Path | None) -> tuple[Driver, nn.Module | None, Grids, dict[str, Any]]:
    """Run a resolved recipe on scenes [n, K, T, 4] with their plans; ``classes`` [n] are balanced in the batches.

    Returns policy, critic (None where none trained), the grids of the tokens, and the history.
    """
    driven = on_bicycle(states, plan, dt)
    smooth, some = bool(recipe.setting("smooth")), np.linspace(0, len(states) - 1, min(len(states), _BLOCK)).astype(int)
    told = facts(plan.take(some), states.shape[2], dt)
    batch = plain(Store(driven[torch.from_numpy(some)], told, torch.empty(0)), torch.arange(len(some)), dt)
    grids = Grids.fit(spoken(batch, smooth).transpose(1, 2)[told.present].numpy(),
                      (int(recipe.setting("along")), int(recipe.setting("across"))), smooth)
    held = held_back(entities, seed)
    weights = shares(classes, float(recipe.setting("balance")))
    stores = []
    for rows in (np.flatnonzero(~held), np.flatnonzero(held)):
        told = facts(plan.take(rows), states.shape[2], dt, device)
        stores.append(Store(driven[torch.from_numpy(rows)].to(device), told,
                            torch.from_numpy(weights[rows]).to(device)))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive(seed, "weights"))
        policy, critic = networks(recipe, grids, plan.condition.shape[1], states.shape[1], states.shape[2])
        policy.to(device)
        critic.to(device)
    kind: Any = WholePlayers if recipe.players == "whole" else ScenePlayers
    players = kind(
        policy, critic if recipe.adversarial else None, stores[0], stores[1] if held.any() else None, dt=dt,
        kicked=float(recipe.setting("kicked")), forget=float(recipe.setting("forget")),
        temperature=float(recipe.setting("temperature")))
    history = Trainer(players, recipe, seed=seed, progress=progress, checkpoint=checkpoint).run()
    history |= {"scenes": int((~held).sum()), "validation_scenes": int(held.sum()), "device": device.type,
                "parameters": sum(p.numel() for p in policy.parameters())}
    return policy.eval(), critic.eval() if recipe.adversarial else None, grids, history
