"""What a run remembers: history, weights to go back to, weights to release; kept in a checkpoint, all of it.

A run resumed from a checkpoint gives the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synth.errors import InternalError
from synth.gan import checkpoint as checkpoints
from synth.gan import steps
from synth.gan.averaging import Average
from synth.gan.players import Players
from synth.gan.recipe import Phase, Recipe

Weights = dict[str, Tensor]


class Books:
    """The state of a run. ``state`` and ``history`` are plain data, the rest are tensors by name."""

    average: Average

    def __init__(self, players: Players, recipe: Recipe, *, seed: int, device: torch.device) -> None:
        self.players, self.recipe, self.seed, self.device = players, recipe, seed, device
        self.history: dict[str, Any] = {"recipe": recipe.name, "phases": []}
        self.candidates: list[Weights] = []  # what each finished phase would release
        self.best: Weights | None = None  # of the running phase, by validation
        self.sound: dict[str, Weights] = {}  # "average" and "critic", to go back to
        self.state: dict[str, Any] = {}
        self.optimisers: list[torch.optim.Optimizer] = []

    def open(self, index: int, phase: Phase) -> None:
        """Begin a phase from what the phase before it left."""
        if index:
            self.players.generator.load_state_dict(self.candidates[-1])
        self.average, self.best = Average(self.players.generator, phase.average), None
        self.state.clear()
        self.state |= {"phase": index, "step": 0, "best": math.inf, "bad": 0, "scale": 1.0, "curve": [],
                       "validations": [], "rollbacks": [], "seconds": 0.0, "work": 0.0, **steps.begun(phase)}
        self.keep_sound()

    def keep_sound(self) -> None:
        """Remember average and critic, if both are finite: a step with finite losses may still have broken them."""
        parts = {"average": self.average.module}
        if self.players.critic is not None:
            parts["critic"] = self.players.critic
        if all(finite(module) for module in parts.values()):
            self.sound = {name: copied(module) for name, module in parts.items()}

    def go_back(self) -> None:
        """Put the last sound weights back; optimisers start anew, as their moments may hold what broke the weights."""
        for module in (self.players.generator, self.average.module):
            module.load_state_dict(self.sound["average"])
        if self.players.critic is not None:
            self.players.critic.load_state_dict(self.sound["critic"])
        for optimiser in self.optimisers:
            optimiser.state.clear()

    def keep_best(self, loss: float) -> bool:
        """Note a validation of the average; True if it is the best of the phase."""
        if not loss < self.state["best"]:
            return False
        self.state["best"], self.best = loss, copied(self.average.module)
        return True

    def save(self, path: Path, *, finished: bool) -> None:
        """Write all of it, with torch's random state; ``finished``: the phase is over."""
        tensors = {"rng": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        parts: dict[str, Weights] = {"generator": self.players.generator.state_dict(),
                                     "average": self.average.module.state_dict()}
        if self.players.critic is not None:
            parts["critic"] = self.players.critic.state_dict()
        if self.best is not None:
            parts["best"] = self.best
        parts |= {f"sound.{name}": weights for name, weights in self.sound.items()}
        parts |= {f"candidate{i}": weights for i, weights in enumerate(self.candidates)}
        for part, named in parts.items():
            tensors |= {f"{part}/{name}": value for name, value in named.items()}
        for i, optimiser in enumerate(self.optimisers):
            tensors |= checkpoints.flatten(f"optimiser{i}", optimiser)
        state = {**self.state, "best": None if math.isinf(self.state["best"]) else self.state["best"]}
        checkpoints.write(path, tensors, {
            "recipe": repr(self.recipe), "seed": self.seed, "finished": finished, "state": state,
            "averaged": self.average.steps, "history": self.history})

    def restore(self, path: Path) -> tuple[int, bool]:
        """Read a checkpoint; returns the phase to go on with, and whether it had begun.

        :class:`InternalError` if the checkpoint is of another recipe or seed.
        """
        self.tensors, notes = checkpoints.read(path)
        if notes["recipe"] != repr(self.recipe) or notes["seed"] != self.seed:
            raise InternalError("the checkpoint belongs to another recipe or seed", where=str(path),
                                todo="remove it to train from the start")
        self.history = notes["history"]
        self.state.clear()
        self.state |= notes["state"]
        self.state["best"] = math.inf if self.state["best"] is None else self.state["best"]
        self.averaged = notes["averaged"]
        tensors, device = self.tensors, self.device
        self.players.generator.load_state_dict(checkpoints.part(tensors, "generator", device))
        if self.players.critic is not None:
            self.players.critic.load_state_dict(checkpoints.part(tensors, "critic", device))
        self.candidates = [checkpoints.part(tensors, f"candidate{i}", device)
                           for i in range(len(self.history["phases"]))]
        self.best = checkpoints.part(tensors, "best", device) or None
        self.sound = {name: checkpoints.part(tensors, f"sound.{name}", device) for name in ("average", "critic")}
        torch.set_rng_state(tensors["rng"])
        if "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], device)
        return int(self.state["phase"]) + bool(notes["finished"]), not notes["finished"]

    def reopen(self, phase: Phase) -> None:
        """Put average and optimisers back where the checkpoint left them."""
        self.average = Average(self.players.generator, phase.average)
        self.average.steps = self.averaged
        self.average.module.load_state_dict(checkpoints.part(self.tensors, "average", self.device))
        for i, optimiser in enumerate(self.optimisers):
            checkpoints.unflatten(f"optimiser{i}", optimiser, self.tensors, self.device)


def copied(module: nn.Module) -> Weights:
    """A module's weights and buffers, as they are now."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def finite(module: nn.Module) -> bool:
    """True if every parameter and every floating buffer is."""
    values = [*(p.detach() for p in module.parameters()), *(b for b in module.buffers() if b.is_floating_point())]
    return bool(torch.stack(list(torch._foreach_norm(values))).isfinite().all())
