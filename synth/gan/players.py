"""What a domain brings to the loop: two networks, how they meet the data, and what they can do beyond that.

The minimum is :class:`Players`. Everything else is an optional method, described by the small protocols below and
declared in an :class:`Offer`, so that a recipe that asks for what its players cannot do is refused when it is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class View:
    """What the critic sees of B records: ``critic(inputs, *context)``.

    Penalties differentiate with respect to ``inputs`` [B, ...] alone. ``context`` is what the critic is told beside:
    conditions [B, K], and whatever has the spatial shape of the inputs (a mask one-hot [B, classes, *size], the
    source image of a pair), which the augmentation moves together with them. Absent items are ``None``.
    """

    inputs: Tensor
    context: tuple[Tensor | None, ...] = ()


Seen = Tensor | View  # a tensor is a view without context
Critic = Callable[..., Tensor]  # (inputs, *context) -> scores [B], or [B, patches]


def inputs_of(seen: Seen) -> Tensor:
    """The tensor that penalties differentiate with respect to."""
    return seen.inputs if isinstance(seen, View) else seen


def with_inputs(seen: Seen, inputs: Tensor) -> Seen:
    """The same view of other inputs."""
    return View(inputs, seen.context) if isinstance(seen, View) else inputs


def scores(critic: Critic, seen: Seen) -> Tensor:
    """The critic's scores, [B] or [B, patches]."""
    return critic(seen.inputs, *seen.context) if isinstance(seen, View) else critic(seen)


class Players(Protocol):
    """What a domain brings: two networks and how they meet the data. A batch is whatever ``draw`` returns.

    All chance comes from torch's global generator (on the networks' device), and players keep no state that a
    run resumed from a checkpoint would miss: weights and buffers of the two networks are what is saved. Under a
    recipe of precision "bfloat16" ``real``, ``fake`` and ``term`` are called inside autocast.
    """

    @property
    def generator(self) -> nn.Module:
        """The network that is released. What the generator's optimiser trains is in here (encoder, Q head, ...)."""

    @property
    def critic(self) -> nn.Module | None:
        """The network that judges; it stays private. Frozen parameters in it stay frozen."""

    def draw(self, records: int) -> Any:
        """A batch of real records (with their conditions), from torch's global generator."""

    def likelihood(self, batch: Any) -> Tensor:
        """Mean negative log-likelihood of a batch, scaled to order one; only asked for where a recipe weighs it."""

    def real(self, batch: Any) -> Seen:
        """What the critic sees of a batch."""

    def fake(self, batch: Any) -> Seen:
        """What the critic sees of as many generated records under the same conditions; differentiable.

        Row i has the conditions of row i of the batch: relativistic objectives pair them.
        """

    def validate(self, generator: nn.Module) -> float | None:
        """Loss of a generator on held-back records, lower is better; ``None`` if players have no such figure.

        ``generator`` is the averaged copy in eval mode; what is drawn from torch's generator does not count.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What players can do beyond the minimum: an attribute ``offer`` of theirs; without one, nothing."""

    terms: tuple[str, ...] = ()  # of :meth:`WithTerms.term`
    critic_terms: tuple[str, ...] = ()  # of :meth:`WithCriticTerms.critic_term`
    ramps: tuple[str, ...] = ()  # factors of :meth:`Prepared.prepare`, e.g. "condition"
    intensities: int = 0  # leading channels of the inputs [B, C, *size] that are intensities; 0: no images, no pipe
    augment: tuple[str, ...] = ()  # operations of :mod:`.augment` that leave a record what it is


@runtime_checkable
class WithTerms(Protocol):
    """Players with further terms of the generator's loss: reconstruction, feature matching, ..."""

    def term(self, name: str, batch: Any, fake: Seen, critic: nn.Module | None) -> Tensor:
        """A scalar of order one. ``fake`` is what :meth:`Players.fake` made of ``batch``, before augmentation;
        the critic's parameters are frozen, gradients flow through it."""


@runtime_checkable
class WithCriticTerms(Protocol):
    """Players with further terms of the critic's loss: an auxiliary classifier, rotation self-supervision, ..."""

    def critic_term(self, name: str, batch: Any, real: Seen, fake: Seen) -> Tensor:
        """A scalar of order one, of the (augmented, detached) views that the critic scores in this step."""


@runtime_checkable
class Prepared(Protocol):
    """Players who change with the phase or with a ramp of it: strength of conditions, a stage that fades in."""

    def prepare(self, phase: str, factors: Mapping[str, float]) -> None:
        """Called before every step with the phase's name and its ramps (those that are not the loop's own)."""


@runtime_checkable
class Watching(Protocol):
    """Players who show how training goes, e.g. a grid of generated samples from fixed noise."""

    def watch(self, generator: nn.Module, step: int) -> None:
        """Called with the averaged generator; what is drawn from torch's generator here does not count."""


@runtime_checkable
class HeldOut(Protocol):
    """Players with real records that neither network trains on."""

    def held_out(self, records: int) -> Any | None:
        """A batch of them, or ``None`` if there are too few. A critic who scores them lower than the records
        it trains on has begun to learn its records by heart; that lead is logged."""
