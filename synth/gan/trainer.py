"""The one training loop. It knows players and recipes, and nothing of tables, images or roads.

A phase is a stretch of generator steps, each preceded by critic steps if the phase has an objective; the
generator's loss is a weighted sum of the objective and, where players have them, a likelihood and further terms.
Weights are averaged; the average is what validation looks at, what the next phase starts from and what is
released. Everything random comes from torch's generators, seeded here, so that a run resumed from a checkpoint
gives the same bytes as one that was never interrupted; only a phase limited by the clock does not.

A loss that is not a number takes the players back to weights that were sound, at half the rate, a few times
before the run gives up; a healthy run is not touched by that.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synth.errors import InternalError
from synth.gan import schedules
from synth.gan.books import Books, copied, finite
from synth.gan.checks import check
from synth.gan.clock import work
from synth.gan.players import Offer, Players, Watching
from synth.gan.recipe import Phase, Recipe
from synth.gan.steps import Steps
from synth.progress import Progress, Step
from synth.seeds import derive

CHECKPOINT_SECONDS = 60.0
LOG_POINTS = 100  # entries of a phase's loss curve
ROLLBACKS = 3  # in a phase, before training is given up
SELECT_TOLERANCE = 0.002  # share of the validation loss that a later phase may cost


class Trainer:
    """Runs a recipe; :meth:`run` leaves the chosen weights in ``players.generator``."""

    def __init__(self, players: Players, recipe: Recipe, *, seed: int, progress: Progress,
                 checkpoint: Path | None = None) -> None:
        self.offer: Offer = getattr(players, "offer", Offer())
        check(recipe, players.critic, self.offer)
        self.players, self.recipe, self.seed = players, recipe, seed
        self.progress, self.checkpoint = progress, checkpoint
        self.device = next(players.generator.parameters()).device
        self.books = Books(players, recipe, seed=seed, device=self.device)
        self.state = self.books.state
        self.saved = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Train every phase; returns the history (value-free: losses, steps, seconds, the phase released)."""
        with torch.random.fork_rng(devices=self._devices()):
            torch.manual_seed(derive(self.seed, "train"))
            start, inside = 0, False
            if self.checkpoint is not None and self.checkpoint.exists():
                start, inside = self.books.restore(self.checkpoint)
            for index in range(start, len(self.recipe.phases)):
                self._phase(index, inside and index == start)
        return self._choose()

    def _devices(self) -> list[torch.device]:
        return [self.device] if self.device.type == "cuda" else []

    def _choose(self) -> dict[str, Any]:
        history = self.books.history
        losses = [phase["validation"] for phase in history["phases"]]
        chosen = len(losses) - 1
        if self.recipe.select == "validation" and all(loss is not None for loss in losses):
            # Later phases polish what the loss hardly sees, so they are released unless they lost something.
            best = min(losses)
            chosen = max(i for i, loss in enumerate(losses) if loss <= best + SELECT_TOLERANCE * abs(best))
        self.players.generator.load_state_dict(self.books.candidates[chosen])
        self.players.generator.eval()
        history["released"] = self.recipe.phases[chosen].name
        return history

    def _phase(self, index: int, resumed: bool) -> None:
        phase, players, books, state = self.recipe.phases[index], self.players, self.books, self.state
        steps = Steps(players, phase, self.offer, state, self.device)
        generator_optimiser = torch.optim.AdamW(players.generator.parameters(), phase.generator_rate, phase.betas,
                                                weight_decay=phase.decay, fused=True)
        critic_optimiser = None
        if phase.objective is not None and players.critic is not None:
            critic_optimiser = torch.optim.Adam(players.critic.parameters(), phase.critic_rate, phase.betas, fused=True)
        books.optimisers = [o for o in (generator_optimiser, critic_optimiser) if o is not None]
        if resumed:
            books.reopen(phase)
        else:
            books.open(index, phase)
        started, worked = time.monotonic() - state["seconds"], work(self.device) - state["work"]
        every = max(1, phase.steps // LOG_POINTS)
        with self.progress.step(f"training: {phase.name}", phase.steps) as shown:
            while state["step"] < phase.steps and not (phase.seconds and state["work"] >= phase.seconds):
                if critic_optimiser is not None and state["step"] == 0:
                    for _ in range(phase.critic_lead):
                        self._critic(steps, critic_optimiser)
                self._rates(phase)
                players.generator.train()
                losses: dict[str, float] = {}
                if critic_optimiser is not None:
                    for _ in range(phase.critic_steps):
                        losses = self._critic(steps, critic_optimiser)
                losses |= _numbers(steps.generator(generator_optimiser))
                if not all(math.isfinite(loss) for loss in losses.values()):
                    self._roll_back(phase)
                    continue
                state["step"] = step = state["step"] + 1
                books.average.update(players.generator, schedules.memory(phase, steps.images))
                if step % every == 0 or step == 1:
                    self._watch(steps, losses, shown)
                exhausted = phase.validate_every and step % phase.validate_every == 0 and self._validated(phase)
                if step % (phase.watch_every or phase.validate_every or phase.steps) == 0:
                    self._show(step)
                if exhausted:
                    break
                state["seconds"], state["work"] = time.monotonic() - started, work(self.device) - worked
                self._save(False)
        self._finish(phase, time.monotonic() - started)
        self._save(True)

    def _critic(self, steps: Steps, optimiser: torch.optim.Optimizer) -> dict[str, float]:
        losses = _numbers(steps.critic(optimiser))
        if math.isfinite(losses.get("sign", math.nan)):
            steps.adapt(losses["sign"])
            losses["augment"] = self.state["augment"]
        return losses

    def _rates(self, phase: Phase) -> None:
        state = self.state
        share = max(state["step"] / phase.steps, state["work"] / phase.seconds if phase.seconds else 0.0)
        scale = schedules.wave(phase, share) * schedules.factor(phase, "rate", state["step"] * phase.batch)
        for optimiser, rate in zip(self.books.optimisers, (phase.generator_rate, phase.critic_rate), strict=False):
            for group in optimiser.param_groups:
                group["lr"] = rate * scale * state["scale"]

    def _watch(self, steps: Steps, losses: dict[str, float], shown: Step) -> None:
        self.books.keep_sound()
        losses = losses | _numbers(steps.memorised())
        step = self.state["step"]
        self.state["curve"].append({"step": step, **{k: round(v, 6) for k, v in losses.items()}})
        shown.update(step, " ".join(f"{k} {v:.3f}" for k, v in losses.items()))

    def _show(self, step: int) -> None:
        if isinstance(self.players, Watching):
            with torch.random.fork_rng(devices=self._devices()), torch.no_grad():
                self.players.watch(self.books.average.module, step)

    def _roll_back(self, phase: Phase) -> None:
        """Go on from the last sound weights at half the rate; :class:`InternalError` when that did not help."""
        state = self.state
        if len(state["rollbacks"]) >= ROLLBACKS:
            raise InternalError(f"training diverged in phase {phase.name!r} at step {state['step'] + 1}:"
                                f" a loss is not a number, again after {ROLLBACKS} returns to sound weights",
                                todo="lower the phase's rates through synthesis.training.options, or change the recipe")
        state["rollbacks"].append(state["step"] + 1)
        state["scale"] /= 2
        self.books.go_back()

    def _validate(self) -> float | None:
        with torch.random.fork_rng(devices=self._devices()):
            return self.players.validate(self.books.average.module)

    def _validated(self, phase: Phase) -> bool:
        """Validate the average; True if the phase has run out of patience."""
        loss, state = self._validate(), self.state
        if loss is None:
            return False
        state["validations"].append({"step": state["step"], "loss": round(loss, 6)})
        if self.books.keep_best(loss):
            state["bad"] = 0
            return False
        state["bad"] += 1
        if not phase.patience:
            return False
        if state["bad"] % max(1, phase.patience // 2) == 0:
            state["scale"] /= 2
        return bool(state["bad"] >= phase.patience)

    def _finish(self, phase: Phase, seconds: float) -> None:
        books, state = self.books, self.state
        if not finite(books.average.module):  # broken by the very last steps, which no loss has shown yet
            self._roll_back(phase)
        loss, weights = self._validate(), copied(books.average.module)
        if books.best is not None and loss is not None and state["best"] < loss:
            loss, weights = state["best"], books.best
        books.candidates.append(weights)
        books.history["phases"].append({
            "name": phase.name, "steps": state["step"], "planned": phase.steps, "seconds": round(seconds, 2),
            "validation": loss, "objective": phase.objective, "gap": _last(state["curve"], "gap"),
            "curve": state["curve"], "validations": state["validations"], "rollbacks": state["rollbacks"]})
        for name in ("augment", "sign_train", "sign_held_out"):
            value = _last(state["curve"], name)
            if value is not None:
                books.history["phases"][-1][name] = value

    def _save(self, boundary: bool) -> None:
        if self.checkpoint is None or (not boundary and time.monotonic() - self.saved < CHECKPOINT_SECONDS):
            return
        self.saved = time.monotonic()
        self.books.save(self.checkpoint, finished=boundary)


def _numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    """Plain numbers; one wait for the device, whatever the number of losses."""
    if not losses:
        return {}
    return dict(zip(losses, torch.stack([loss.float() for loss in losses.values()]).tolist(), strict=True))


def _last(curve: list[dict[str, float]], name: str) -> float | None:
    """Mean of a figure over the last quarter of a phase; ``None`` if it was not there."""
    values = [entry[name] for entry in curve[-max(1, len(curve) // 4):] if name in entry]
    return round(sum(values) / len(values), 6) if values else None
