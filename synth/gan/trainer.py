"""The one training loop. It knows players and recipes, and nothing of tables, images or roads.

A phase is a stretch of generator steps, each preceded by critic steps if the phase has an objective; the
generator's loss is a weighted sum of the objective and, where players have one, a likelihood. Weights are
averaged; the average is what validation looks at, what the next phase starts from and what is released.
Everything random comes from torch's generators, seeded here, so that a run resumed from a checkpoint
gives the same bytes as one that was never interrupted.

A loss that is not a number takes the players back to weights that were sound, at half the rate, a few times
before the run gives up; a healthy run is not touched by that.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from synth.errors import InternalError
from synth.gan import checkpoint as checkpoints
from synth.gan.averaging import Average
from synth.gan.objectives import OBJECTIVES
from synth.gan.penalties import PENALTIES
from synth.gan.recipe import Phase, Recipe, check
from synth.progress import Progress, Step
from synth.seeds import derive

CHECKPOINT_SECONDS = 60.0
LOG_POINTS = 100  # entries of a phase's loss curve
ROLLBACKS = 3  # in a phase, before training is given up
SELECT_TOLERANCE = 0.002  # share of the validation loss that a later phase may cost


class Players(Protocol):
    """What a domain brings: two networks and how they meet the data. A batch is whatever ``draw`` returns."""

    @property
    def generator(self) -> nn.Module:
        """The network that is released."""

    @property
    def critic(self) -> nn.Module | None:
        """The network that judges; it stays private."""

    def draw(self, records: int) -> Any:
        """A batch of real records (with their conditions), from torch's global generator."""

    def likelihood(self, batch: Any) -> Tensor:
        """Mean negative log-likelihood of a batch, scaled to order one; only asked for where a recipe weighs it."""

    def real(self, batch: Any) -> Tensor:
        """What the critic sees of a batch."""

    def fake(self, batch: Any) -> Tensor:
        """What the critic sees of as many generated records under the same conditions; differentiable."""

    def validate(self, generator: nn.Module) -> float | None:
        """Loss of a generator on held-back records, lower is better; ``None`` if players have no such figure."""


class Trainer:
    """Runs a recipe; :meth:`run` leaves the chosen weights in ``players.generator``."""

    def __init__(self, players: Players, recipe: Recipe, *, seed: int, progress: Progress,
                 checkpoint: Path | None = None) -> None:
        check(recipe, players.critic)
        self.players, self.recipe, self.seed = players, recipe, seed
        self.progress, self.checkpoint = progress, checkpoint
        self.device = next(players.generator.parameters()).device
        self.history: dict[str, Any] = {"recipe": recipe.name, "phases": []}
        self.candidates: list[dict[str, Tensor]] = []
        self.average: Average
        self.best: dict[str, Tensor] | None = None
        self.sound: dict[str, dict[str, Tensor]] = {}  # "average" and "critic", to go back to
        self.state: dict[str, Any] = {}
        self.saved = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Train every phase; returns the history (value-free: losses, steps, seconds, the phase released)."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(derive(self.seed, "train"))
            start, inside = self._restore() if self.checkpoint is not None and self.checkpoint.exists() else (0, False)
            for index in range(start, len(self.recipe.phases)):
                self._phase(index, inside and index == start)
        return self._choose()

    def _choose(self) -> dict[str, Any]:
        losses = [phase["validation"] for phase in self.history["phases"]]
        chosen = len(losses) - 1
        if self.recipe.select == "validation" and all(loss is not None for loss in losses):
            # Later phases polish what the loss hardly sees, so they are released unless they lost something.
            best = min(losses)
            chosen = max(i for i, loss in enumerate(losses) if loss <= best + SELECT_TOLERANCE * abs(best))
        self.players.generator.load_state_dict(self.candidates[chosen])
        self.players.generator.eval()
        self.history["released"] = self.recipe.phases[chosen].name
        return self.history

    def _phase(self, index: int, resumed: bool) -> None:
        phase, players = self.recipe.phases[index], self.players
        generator_optimiser = torch.optim.AdamW(players.generator.parameters(), phase.generator_rate, phase.betas,
                                                weight_decay=phase.decay, fused=True)
        critic_optimiser = None
        if phase.objective is not None and players.critic is not None:
            critic_optimiser = torch.optim.Adam(players.critic.parameters(), phase.critic_rate, phase.betas, fused=True)
        self.optimisers = [o for o in (generator_optimiser, critic_optimiser) if o is not None]
        if resumed:
            self._restore_phase(phase)
        else:
            if index:
                players.generator.load_state_dict(self.candidates[-1])
            self.average, self.best = Average(players.generator, phase.average), None
            self.state = {"phase": index, "step": 0, "best": math.inf, "bad": 0, "scale": 1.0, "curve": [],
                          "validations": [], "rollbacks": [], "seconds": 0.0}
            self._keep_sound()
        started = time.monotonic() - self.state["seconds"]
        every = max(1, phase.steps // LOG_POINTS)
        with self.progress.step(f"training: {phase.name}", phase.steps) as shown:
            while self.state["step"] < phase.steps:
                step = self.state["step"]
                if critic_optimiser is not None and step == 0:
                    for _ in range(phase.critic_lead):
                        self._critic_step(phase, critic_optimiser)
                self._rates(phase)
                players.generator.train()
                losses: dict[str, float] = {}
                if critic_optimiser is not None:
                    for _ in range(phase.critic_steps):
                        losses = self._critic_step(phase, critic_optimiser)
                losses |= self._generator_step(phase, generator_optimiser)
                if not all(math.isfinite(loss) for loss in losses.values()):
                    self._roll_back(phase)
                    continue
                self.average.update(players.generator)
                self.state["step"] = step = step + 1
                if step % every == 0 or step == 1:
                    self._watch(step, losses, shown)
                if phase.validate_every and step % phase.validate_every == 0 and self._validated(phase):
                    break
                self.state["seconds"] = time.monotonic() - started
                self._save(False)
        self._finish(phase, time.monotonic() - started)
        self._save(True)

    def _critic_step(self, phase: Phase, optimiser: torch.optim.Optimizer) -> dict[str, float]:
        players, critic = self.players, self.players.critic
        assert critic is not None and phase.objective is not None
        batch = players.draw(phase.batch)
        with torch.no_grad():
            real, fake = players.real(batch), players.fake(batch)
        real_score, fake_score = critic(real), critic(fake)
        loss = OBJECTIVES[phase.objective][0](real_score, fake_score)
        total = loss
        for name, weight in phase.penalties:
            if weight > 0:
                total = total + weight * PENALTIES[name](critic, real, fake).mean()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        optimiser.step()
        return {"critic": float(loss.detach()), "gap": float((real_score.mean() - fake_score.mean()).detach())}

    def _generator_step(self, phase: Phase, optimiser: torch.optim.Optimizer) -> dict[str, float]:
        players, losses = self.players, {}
        batch = players.draw(phase.batch)
        total = torch.zeros((), device=self.device)
        if phase.objective is not None and phase.adversarial > 0:
            assert players.critic is not None
            with torch.no_grad():
                real_score = players.critic(players.real(batch))
            players.critic.requires_grad_(False)
            loss = OBJECTIVES[phase.objective][1](real_score, players.critic(players.fake(batch)))
            players.critic.requires_grad_(True)
            losses["generator"] = float(loss.detach())
            total = total + phase.adversarial * loss
        if phase.likelihood > 0:
            loss = players.likelihood(batch)
            losses["likelihood"] = float(loss.detach())
            total = total + phase.likelihood * loss
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        optimiser.step()
        return losses

    def _rates(self, phase: Phase) -> None:
        share = self.state["step"] / phase.steps
        wave = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)) if phase.anneal else 1.0
        for optimiser, rate in zip(self.optimisers, (phase.generator_rate, phase.critic_rate), strict=False):
            for group in optimiser.param_groups:
                group["lr"] = rate * wave * self.state["scale"]

    def _watch(self, step: int, losses: dict[str, float], shown: Step) -> None:
        self._keep_sound()
        self.state["curve"].append({"step": step, **{k: round(v, 6) for k, v in losses.items()}})
        shown.update(step, " ".join(f"{k} {v:.3f}" for k, v in losses.items()))

    def _keep_sound(self) -> None:
        """Remember average and critic, if both are finite: a step with finite losses may still have broken them."""
        parts = {"average": self.average.module}
        if self.players.critic is not None:
            parts["critic"] = self.players.critic
        if all(_finite(module) for module in parts.values()):
            self.sound = {name: {k: v.clone() for k, v in module.state_dict().items()}
                          for name, module in parts.items()}

    def _roll_back(self, phase: Phase) -> None:
        """Go on from the last sound weights at half the rate; :class:`InternalError` when that did not help."""
        state = self.state
        if len(state["rollbacks"]) >= ROLLBACKS:
            raise InternalError(f"training diverged in phase {phase.name!r} at step {state['step'] + 1}:"
                                f" a loss is not a number, again after {ROLLBACKS} returns to sound weights",
                                todo="lower the phase's rates through synthesis.training.options, or change the recipe")
        state["rollbacks"].append(state["step"] + 1)
        state["scale"] /= 2
        for module in (self.players.generator, self.average.module):
            module.load_state_dict(self.sound["average"])
        if self.players.critic is not None:
            self.players.critic.load_state_dict(self.sound["critic"])
        for optimiser in self.optimisers:
            optimiser.state.clear()  # its moments may hold what broke the weights

    def _validated(self, phase: Phase) -> bool:
        """Validate the average; True if the phase has run out of patience."""
        loss, state = self.players.validate(self.average.module), self.state
        if loss is None:
            return False
        state["validations"].append({"step": state["step"], "loss": round(loss, 6)})
        if loss < state["best"]:
            state["best"], state["bad"] = loss, 0
            self.best = {k: v.clone() for k, v in self.average.module.state_dict().items()}
            return False
        state["bad"] += 1
        if not phase.patience:
            return False
        if state["bad"] % max(1, phase.patience // 2) == 0:
            state["scale"] /= 2
        return bool(state["bad"] >= phase.patience)

    def _finish(self, phase: Phase, seconds: float) -> None:
        if not _finite(self.average.module):  # broken by the very last steps, which no loss has shown yet
            self._roll_back(phase)
        loss = self.players.validate(self.average.module)
        weights = {k: v.clone() for k, v in self.average.module.state_dict().items()}
        if self.best is not None and loss is not None and self.state["best"] < loss:
            loss, weights = self.state["best"], self.best
        self.candidates.append(weights)
        self.history["phases"].append({
            "name": phase.name, "steps": self.state["step"], "planned": phase.steps, "seconds": round(seconds, 2),
            "validation": loss, "objective": phase.objective, "gap": _gap(self.state["curve"]),
            "curve": self.state["curve"], "validations": self.state["validations"],
            "rollbacks": self.state["rollbacks"]})

    # -- checkpoints ------------------------------------------------------------------------------------

    def _save(self, boundary: bool) -> None:
        if self.checkpoint is None or (not boundary and time.monotonic() - self.saved < CHECKPOINT_SECONDS):
            return
        self.saved = time.monotonic()
        tensors = {"rng": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        parts: dict[str, dict[str, Tensor]] = {"generator": self.players.generator.state_dict(),
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
        checkpoints.write(self.checkpoint, tensors, {
            "recipe": repr(self.recipe), "seed": self.seed, "finished": boundary, "state": state,
            "averaged": self.average.steps, "history": self.history})

    def _restore(self) -> tuple[int, bool]:
        """Read the checkpoint; returns the phase to go on with, and whether it had begun."""
        assert self.checkpoint is not None
        self.tensors, notes = checkpoints.read(self.checkpoint)
        if notes["recipe"] != repr(self.recipe) or notes["seed"] != self.seed:
            raise InternalError("the checkpoint belongs to another recipe or seed", where=str(self.checkpoint),
                                todo="remove it to train from the start")
        self.history, self.state = notes["history"], notes["state"]
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
        torch.set_rng_state(self.tensors["rng"])
        if "rng.cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["rng.cuda"], self.device)
        return int(self.state["phase"]) + bool(notes["finished"]), not notes["finished"]

    def _restore_phase(self, phase: Phase) -> None:
        """Put average and optimisers back where the checkpoint left them."""
        self.average = Average(self.players.generator, phase.average)
        self.average.steps = self.averaged
        self.average.module.load_state_dict(checkpoints.part(self.tensors, "average", self.device))
        for i, optimiser in enumerate(self.optimisers):
            checkpoints.unflatten(f"optimiser{i}", optimiser, self.tensors, self.device)


def _finite(module: nn.Module) -> bool:
    norms = torch._foreach_norm([parameter.detach() for parameter in module.parameters()])
    return bool(torch.stack(list(norms)).isfinite().all())


def _gap(curve: list[dict[str, float]]) -> float | None:
    """Mean lead of real over generated records in the critic's scores, last quarter of a phase; None: no critic."""
    gaps = [entry["gap"] for entry in curve[-max(1, len(curve) // 4):] if "gap" in entry]
    return round(sum(gaps) / len(gaps), 6) if gaps else None
