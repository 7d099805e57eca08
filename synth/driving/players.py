"""How scenes meet the adversarial loop: recorded drives as tokens, kicked and led back; rollouts for the critic."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synth.driving.bicycle import controls, track
from synth.driving.features import features, planned
from synth.driving.networks.critic import moving
from synth.driving.networks.policy import Policy
from synth.driving.networks.whole import NOISE, WholeScene
from synth.driving.plan import KNOWN, Facts
from synth.driving.rollout import roll_out
from synth.driving.tokens import encode
from synth.gan.players import Offer, Seen, View

VALIDATED = 512  # scenes of a validation batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Kicks:
    """Noise that recorded vehicles are put beside their drive by: how often, and how far (s, d, heading, speed)."""

    often: float = 0.06  # of a vehicle's steps
    far: tuple[float, float, float, float] = (0.8, 0.12, 0.004, 0.4)


@dataclass(frozen=True)
class Store:
    """Recorded scenes on the bicycle: ``states`` [n, K, T, 4] as tracked, ``facts``, ``weights`` [n] of the draw."""

    states: Tensor
    facts: Facts
    weights: Tensor

    def __len__(self) -> int:
        return len(self.states)


@dataclass(frozen=True, slots=True)
class Batch:
    """States [B, T, K, 4], the controls [B, T - 1, K, 2] that follow them, the recorded drive, and the plan."""

    states: Tensor
    used: Tensor
    recorded: Tensor
    facts: Facts


class ScenePlayers:
    """A policy and a critic of scenes. ``generator`` is the policy."""

    def __init__(self, generator: Policy, critic: nn.Module | None, train: Store, held: Store | None, *, dt: float,
                 kicked: float, forget: float, temperature: float, kicks: Kicks | None = None) -> None:
        self.generator: Policy = generator
        self.critic, self.train, self.held, self.dt = critic, train, held, dt
        self.kicked, self.forget, self.temperature, self.kicks = kicked, forget, temperature, kicks or Kicks()
        self.offer = Offer()

    def draw(self, records: int) -> Batch:
        """Train scenes by their weights. A share of them is kicked beside the drive and led back; of some vehicles the
        profile is forgotten, so that the policy can drive without one."""
        rows = torch.multinomial(self.train.weights, records, replacement=True)
        recorded, facts = self.train.states[rows], self.train.facts.take(rows)
        device = recorded.device
        known = (torch.rand(facts.known.shape, device=device) >= self.forget).to(recorded.dtype) * facts.known
        static = facts.static.clone()
        static[..., KNOWN] = known
        facts = replace(facts, known=known, static=static)
        often = torch.rand(recorded.shape[:-1], device=device) < self.kicks.often
        often &= (torch.rand(records, device=device) < self.kicked)[:, None, None]
        kicks = torch.randn(recorded.shape, device=device) * torch.tensor(self.kicks.far, device=device)
        states, used = track(recorded, facts.friction, self.dt, kicks=kicks * often.unsqueeze(-1))
        return _batch(states, used, recorded, facts)

    def held_out(self, records: int) -> Batch | None:
        """Held-back scenes as they were recorded."""
        if self.held is None:
            return None
        rows = torch.randint(len(self.held), (records,), device=self.held.states.device)
        return plain(self.held, rows, self.dt)

    def likelihood(self, batch: Batch) -> Tensor:
        """Mean negative log-likelihood of a token, nats."""
        return token_losses(self.generator, batch).sum() / (2 * batch.facts.present.sum() * batch.used.shape[1])

    def real(self, batch: Batch) -> Seen:
        """What the drivers of the recorded drive saw [B, K, DYNAMIC, T]."""
        return seen(batch.recorded.transpose(1, 2), batch.facts, self.dt)

    def fake(self, batch: Batch) -> Seen:
        """The same of drives from the same start under the same plan."""
        start = batch.recorded[:, :, 0]
        temperature = self.temperature if torch.is_grad_enabled() else None
        states = roll_out(self.generator, start, batch.facts, self.dt, temperature=temperature)
        return seen(states, batch.facts, self.dt)

    @torch.no_grad()
    def validate(self, generator: nn.Module) -> float | None:
        """Mean negative log-likelihood of a token of held-back scenes (of train where none are), nats."""
        assert isinstance(generator, Policy)
        store = self.train if self.held is None else self.held
        total, count = 0.0, 0
        for rows in torch.arange(len(store), device=store.states.device)[:4 * VALIDATED].split(VALIDATED):
            batch = plain(store, rows, self.dt)
            total += float(token_losses(generator, batch).sum())
            count += 2 * int(batch.facts.present.sum()) * batch.used.shape[1]
        return total / max(1, count)


class WholePlayers(ScenePlayers):
    """A generator of whole scenes from noise and the same critic."""

    generator: WholeScene  # type: ignore[assignment]

    def draw(self, records: int) -> Batch:
        """Train scenes by their weights, as they were recorded."""
        return plain(self.train, torch.multinomial(self.train.weights, records, replacement=True), self.dt)

    def likelihood(self, batch: Batch) -> Tensor:
        """There is none: whoever asks has the wrong recipe."""
        raise NotImplementedError("a generator of whole scenes has no likelihood")

    def fake(self, batch: Batch) -> Seen:
        """As many scenes from noise."""
        noise = torch.randn(len(batch.recorded), NOISE, device=batch.recorded.device)
        return seen(self.generator(batch.facts, self.dt, noise), batch.facts, self.dt)

    def validate(self, generator: nn.Module) -> float | None:
        """No figure: the last average is released."""
        return None


def _batch(states: Tensor, used: Tensor, recorded: Tensor, facts: Facts) -> Batch:
    return Batch(states.transpose(1, 2), used.transpose(1, 2), recorded, facts)


def plain(store: Store, rows: Tensor, dt: float) -> Batch:
    """Scenes as they were recorded."""
    states = store.states[rows]
    return _batch(states, controls(states[..., :-1, :], states[..., 1:, :], dt), states, store.facts.take(rows))


def token_losses(policy: Policy, batch: Batch) -> Tensor:
    """Negative log-likelihoods [B, T - 1, K] of the two tokens of each step together; 0 in empty slots."""
    steps = batch.used.shape[1]
    before = F.pad(batch.used[:, :-1], (0, 0, 0, 0, 1, 0))
    views = features(batch.states[:, :steps], before, batch.facts.timed(), batch.facts.schedule[:, :steps])
    logits = policy(views, batch.facts.static)
    along, across = logits.split(list(policy.sizes), -1)
    asked = spoken(batch, policy.smooth)
    loss = (F.cross_entropy(along.flatten(0, -2), encode(asked[..., 0], policy.along).flatten(), reduction="none")
            + F.cross_entropy(across.flatten(0, -2), encode(asked[..., 1], policy.across).flatten(), reduction="none"))
    return loss.view(batch.used.shape[:-1]) * batch.facts.present.unsqueeze(1)


def spoken(batch: Batch, smooth: bool) -> Tensor:
    """What the tokens of each step have to say [B, T - 1, K, 2]: controls beyond what the plan asks for by itself, or
    (``smooth``) the change of that."""
    steps = batch.used.shape[1]
    rest = batch.used - planned(batch.states[:, :steps], batch.facts.timed(), batch.facts.schedule[:, :steps])
    return rest - F.pad(rest[:, :-1], (0, 0, 0, 0, 1, 0)) if smooth else rest


def seen(states: Tensor, facts: Facts, dt: float) -> View:
    """The critic's view of scenes [B, T, K, 4]."""
    used = controls(states[:, :-1], states[:, 1:], dt)
    views = features(states, F.pad(used, (0, 0, 0, 0, 1, 0)), facts.timed(), facts.schedule)
    views = views * facts.present[:, None, :, None]
    return View(moving(views), (facts.static, facts.present))
