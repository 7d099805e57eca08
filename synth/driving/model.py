"""The drivers: fit on scenes and their plans, drive plans, score scenes, save, load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from synth.driving.networks.critic import SceneCritic
from synth.driving.networks.whole import NOISE, WholeScene
from synth.driving.plan import Plan, facts
from synth.driving.players import Store, plain, seen, token_losses
from synth.driving.rollout import roll_out
from synth.driving.scenes import SceneShape
from synth.driving.together import driven
from synth.driving.tokens import Grids
from synth.driving.training import Driver, networks, on_bicycle, train
from synth.gan.recipe import Recipe
from synth.gan.weights import device_named, read_description, save_weights, write_description
from synth.progress import Progress, Silent
from synth.seeds import derive

FORMAT = 1  # of the saved folder
WEIGHTS, CRITIC, DESCRIPTION = "policy.safetensors", "critic.safetensors", "model.json"
BATCH = 2500  # scenes driven at once; fewer cost more in the calls of a step than in its numbers


class DriverModel:
    """A trained policy; ``judge`` is the critic where one was trained. ``history`` is not part of the saved bytes."""

    def __init__(self, policy: Driver, judge: nn.Module | None, grids: Grids, recipe: Recipe, shape: SceneShape,
                 condition: int, history: dict[str, Any] | None = None) -> None:
        self.policy, self.judge, self.grids, self.recipe = policy, judge, grids, recipe
        self.shape, self.condition, self.history = shape, condition, history or {}

    @property
    def device(self) -> torch.device:
        """Where the networks live."""
        return next(self.policy.parameters()).device

    @classmethod
    def fit(cls, states: NDArray[np.float32], plan: Plan, classes: NDArray[np.int64], entities: NDArray[np.int64],
            shape: SceneShape, recipe: Recipe, *, seed: int, device: str, progress: Progress | None = None,
            checkpoint: Path | None = None) -> DriverModel:
        """Train on recorded states [n, K, T, 4] and their plans; see :func:`synth.driving.training.train`."""
        policy, judge, grids, history = train(
            recipe, states, plan, classes, entities, dt=shape.dt, seed=seed, device=device_named(device),
            progress=progress or Silent(), checkpoint=checkpoint)
        return cls(policy, judge, grids, recipe, shape, plan.condition.shape[1], history)

    def drive(self, plan: Plan, *, seed: int, progress: Progress | None = None) -> NDArray[np.float32]:
        """States float32 [n, K, T, 4] of a drive for each plan; equal seeds give equal bytes."""

        def drive(part: Plan, number: int) -> Tensor:
            told = facts(part, self.shape.steps, self.shape.dt, self.device)
            rng = torch.Generator(device=self.device).manual_seed(derive(seed, "drive", number))
            if isinstance(self.policy, WholeScene):
                noise = torch.randn(len(part), NOISE, generator=rng, device=self.device)
                return self.policy(told, self.shape.dt, noise)
            first = torch.from_numpy(part.start).to(self.device)
            return roll_out(self.policy, first, told, self.shape.dt, rng=rng)

        return driven(drive, plan, self.shape.steps, at_once=BATCH, device=self.device, progress=progress)

    def scores(self, states: NDArray[np.float32], plan: Plan) -> NDArray[np.float64]:
        """Mean log-likelihood [n] of a scene's tokens: higher is more like the scenes it was trained on.

        Where there is no likelihood it is the critic's score.
        """
        whole = isinstance(self.policy, WholeScene)
        return self._each(states, plan, self._judged if whole else self._likelihood)

    def critic_scores(self, states: NDArray[np.float32], plan: Plan) -> NDArray[np.float64] | None:
        """The critic's scores [n]; None where no critic trained or it was not kept."""
        return None if self.judge is None else self._each(states, plan, self._judged)

    def _each(self, states: NDArray[np.float32], plan: Plan, of: Any) -> NDArray[np.float64]:
        found = [np.empty(0)]
        with torch.inference_mode():
            for start in range(0, len(states), BATCH):
                rows = slice(start, start + BATCH)
                part = plan.take(rows)
                store = Store(on_bicycle(states[rows], part, self.shape.dt).to(self.device),
                              facts(part, self.shape.steps, self.shape.dt, self.device), torch.empty(0))
                found.append(of(store).double().cpu().numpy())
        return np.concatenate(found)

    def _likelihood(self, store: Store) -> Tensor:
        batch = plain(store, torch.arange(len(store), device=self.device), self.shape.dt)
        assert not isinstance(self.policy, WholeScene)
        losses = token_losses(self.policy, batch)
        return -losses.sum((1, 2)) / (batch.facts.present.sum(1) * losses.shape[1])

    def _judged(self, store: Store) -> Tensor:
        assert self.judge is not None
        view = seen(store.states.transpose(1, 2), store.facts, self.shape.dt)
        found: Tensor = self.judge(view.inputs, *view.context)
        return found

    # -- on disk ----------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Weights as safetensors, the rest as JSON; the critic is a file apart. Private."""
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.policy, folder / WEIGHTS)
        if self.judge is not None:
            save_weights(self.judge, folder / CRITIC)
        write_description(folder / DESCRIPTION, FORMAT, {
            "grids": self.grids.to_json(), "recipe": self.recipe.to_json(), "condition": self.condition,
            "shape": {"vehicles": self.shape.vehicles, "steps": self.shape.steps, "rate": self.shape.rate}})

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> DriverModel:
        """Read what :meth:`save` wrote, onto any device."""
        from safetensors.torch import load_file

        described = read_description(folder / DESCRIPTION, FORMAT)
        recipe, grids = Recipe.from_json(described["recipe"]), Grids.from_json(described["grids"])
        shape = SceneShape(**described["shape"])
        policy, critic = networks(recipe, grids, described["condition"], shape.vehicles, shape.steps)
        policy.load_state_dict(load_file(folder / WEIGHTS))
        judge: SceneCritic | None = None
        if (folder / CRITIC).exists():
            judge = critic
            judge.load_state_dict(load_file(folder / CRITIC))
            judge.to(device_named(device)).eval()
        return cls(policy.to(device_named(device)).eval(), judge, grids, recipe, shape,
                   described["condition"])
