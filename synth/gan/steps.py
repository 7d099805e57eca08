"""One step of the critic and one of the generator: what is computed, and in which precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from synth.gan import schedules
from synth.gan.augment import adapted, augmented
from synth.gan.objectives import BOUNDARY, OBJECTIVES, PAIRED
from synth.gan.penalties import PENALTIES
from synth.gan.players import (
    HeldOut,
    Offer,
    Players,
    Prepared,
    Seen,
    WithCriticTerms,
    WithTerms,
    inputs_of,
    scores,
    with_inputs,
)
from synth.gan.recipe import Phase

ADAPT_EVERY = 4  # critic steps between changes of the adaptive probability of augmentation

State = dict[str, Any]  # of a phase, plain data; here "step", "critic_steps", "augment", "signs"


def begun(phase: Phase) -> State:
    """What the steps of a phase remember, at its start."""
    return {"critic_steps": 0, "augment": phase.augment_probability, "signs": []}


class Steps:
    """The two kinds of steps of one phase. Losses come back as detached scalars, still on the device."""

    def __init__(self, players: Players, phase: Phase, offer: Offer, state: State, device: torch.device) -> None:
        self.players, self.phase, self.offer, self.state, self.device = players, phase, offer, state, device
        if phase.channels_last:
            for module in (players.generator, players.critic):
                if module is not None:
                    channels_last(module)

    @property
    def images(self) -> int:
        """Images that the phase has seen."""
        return int(self.state["step"]) * self.phase.batch

    def _factor(self, what: str) -> float:
        return schedules.factor(self.phase, what, self.images)

    def _cast(self, precision: str | None = None) -> contextlib.AbstractContextManager[Any]:
        enabled = (precision or self.phase.precision) == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16) if enabled else contextlib.nullcontext()

    def _prepare(self) -> None:
        if isinstance(self.players, Prepared):
            self.players.prepare(self.phase.name, schedules.offered(self.phase, self.images))

    def _pipe(self, seen: Seen) -> Seen:
        """What the critic gets to see: float32, augmented, with instance noise (Sønderby et al. 2017)."""
        phase, inputs = self.phase, inputs_of(seen)
        if inputs.dtype == torch.bfloat16:
            seen = with_inputs(seen, inputs.float())
        seen = augmented(seen, phase.augment, self.state["augment"] * self._factor("augment"), self.offer.intensities)
        noise = phase.noise * self._factor("noise")
        if noise > 0:
            inputs = inputs_of(seen)
            seen = with_inputs(seen, inputs + noise * torch.randn_like(inputs))
        if phase.channels_last:
            inputs = inputs_of(seen)
            seen = with_inputs(seen, laid_out(inputs))
        return seen

    def critic(self, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        """One step of the critic on a fresh batch."""
        players, phase, critic = self.players, self.phase, self.players.critic
        assert critic is not None and phase.objective is not None
        self._prepare()
        batch = players.draw(phase.batch)
        with torch.no_grad():
            with self._cast():
                real, fake = players.real(batch), players.fake(batch)
            real, fake = self._pipe(real), self._pipe(fake)
        with self._cast():
            real_score, fake_score = scores(critic, real).float(), scores(critic, fake).float()
        smoothing = {"smoothing": phase.smoothing} if phase.smoothing else {}
        loss = OBJECTIVES[phase.objective][0](real_score, fake_score, **smoothing)
        total = loss
        for name, weight in phase.critic_terms:
            if weight > 0:
                assert isinstance(players, WithCriticTerms)
                with self._cast():
                    total = total + weight * players.critic_term(name, batch, real, fake).float()
        if self.state["critic_steps"] % phase.penalty_every == 0:
            gain = phase.penalty_every * self._factor("penalty")
            for name, weight in phase.penalties:
                if weight > 0:
                    with self._cast(phase.penalty_precision):
                        total = total + gain * weight * PENALTIES[name](critic, real, fake).mean()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        optimiser.step()
        if phase.clip:
            with torch.no_grad():
                torch._foreach_clamp_min_(list(critic.parameters()), -phase.clip)
                torch._foreach_clamp_max_(list(critic.parameters()), phase.clip)
        self.state["critic_steps"] += 1
        losses = {"critic": loss.detach(), "gap": (real_score.mean() - fake_score.mean()).detach()}
        if phase.augment_target:
            losses["sign"] = self._sign(real_score.detach(), real_score.detach(), fake_score.detach())
        return losses

    def adapt(self, sign: float) -> None:
        """Take note of a critic step's sign statistic; every few of them move the probability of augmentation."""
        phase, signs = self.phase, self.state["signs"]
        signs.append(sign)
        if len(signs) >= ADAPT_EVERY:
            self.state["augment"] = adapted(self.state["augment"], sum(signs) / len(signs), target=phase.augment_target,
                                            records=len(signs) * phase.batch, speed=phase.augment_speed)
            signs.clear()

    def generator(self, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        """One step of the generator on a fresh batch."""
        players, phase = self.players, self.phase
        losses: dict[str, Tensor] = {}
        self._prepare()
        batch = players.draw(phase.batch)
        total = torch.zeros((), device=self.device)
        playing = phase.objective is not None and phase.adversarial > 0
        terms = [(name, weight) for name, weight in phase.terms if weight > 0]
        if playing or terms:
            real_score: Tensor | None = None
            if playing and phase.objective in PAIRED:
                assert players.critic is not None
                with torch.no_grad():
                    with self._cast():
                        real = players.real(batch)
                    real = self._pipe(real)
                    with self._cast():
                        real_score = scores(players.critic, real).float()
            with _frozen(players.critic):
                with self._cast():
                    fake = players.fake(batch)
                if playing:
                    assert players.critic is not None and phase.objective is not None
                    seen = self._pipe(fake)
                    with self._cast():
                        fake_score = scores(players.critic, seen).float()
                    loss = OBJECTIVES[phase.objective][1](fake_score.detach() if real_score is None else real_score,
                                                          fake_score)
                    losses["generator"] = loss.detach()
                    total = total + phase.adversarial * self._factor("adversarial") * loss
                for name, weight in terms:
                    assert isinstance(players, WithTerms)
                    with self._cast():
                        loss = players.term(name, batch, fake, players.critic).float()
                    losses[name] = loss.detach()
                    total = total + weight * self._factor("terms") * loss
        if phase.likelihood > 0:
            loss = players.likelihood(batch)
            losses["likelihood"] = loss.detach()
            total = total + phase.likelihood * loss
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        optimiser.step()
        return losses

    @torch.no_grad()
    def memorised(self) -> dict[str, Tensor]:
        """Sign statistics of the critic on records it trains on and on held-out ones; empty if there are none.

        Their difference is near zero for a critic who knows the distribution and grows with one who knows its
        records. No weight, buffer or random number of the training changes.
        """
        players, critic = self.players, self.players.critic
        if critic is None or self.phase.objective is None or not isinstance(players, HeldOut):
            return {}
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []), _evaluated(
                critic, players.generator), self._cast():
            held = players.held_out(self.phase.batch)
            if held is None:
                return {}
            batch = players.draw(self.phase.batch)
            train, other, fake = (scores(critic, self._pipe(seen)).float() for seen in
                                  (players.real(batch), players.real(held), players.fake(batch)))
        return {"sign_train": self._sign(train, train, fake), "sign_held_out": self._sign(other, train, fake)}

    def _sign(self, real_score: Tensor, train: Tensor, fake: Tensor) -> Tensor:
        """Mean of sign(score - boundary); for objectives that fix no boundary it lies midway between the means."""
        assert self.phase.objective is not None
        boundary: Any = BOUNDARY.get(self.phase.objective)
        if boundary is None:
            boundary = (train.mean() + fake.mean()) / 2
        return (real_score - boundary).sign().mean()


def channels_last(module: nn.Module) -> None:
    """Convolutions' weights in the memory format in which they run fastest; values stay."""
    for parameter in module.parameters():
        if parameter.ndim in (4, 5):
            parameter.data = laid_out(parameter.data)


def laid_out(tensor: Tensor) -> Tensor:
    """The tensor with channels last in memory.

    ``contiguous`` leaves one channel or 1x1 kernels as they are, since either order is the same there, but their
    strides still say channels first, and every layer after them follows: pooling and activations then are several
    times as slow. A clone has the strides that were asked for.
    """
    return tensor.clone(memory_format=_format(tensor.ndim))


def _format(dims: int) -> torch.memory_format:
    return {4: torch.channels_last, 5: torch.channels_last_3d}.get(dims, torch.contiguous_format)


@contextlib.contextmanager
def _frozen(critic: nn.Module | None) -> Iterator[None]:
    """No gradients for the critic's parameters inside; those that had none before still have none after."""
    trained = [p for p in critic.parameters() if p.requires_grad] if critic is not None else []
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextlib.contextmanager
def _evaluated(*modules: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
