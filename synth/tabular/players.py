"""How tables meet the adversarial loop: batches of tokens, the likelihood, and what the critic sees."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from synth.gan.recipe import Recipe
from synth.gan.trainer import Players
from synth.tabular.codec import TableCodec, Token
from synth.tabular.networks import ConditionalGenerator, RowCritic, one_hot

Network = ConditionalGenerator


class AutoregressivePlayers:
    """A :class:`ConditionalGenerator` and a critic over one-hot rows, on tokens [rows, T] held in memory."""

    def __init__(self, generator: ConditionalGenerator, critic: nn.Module | None, train: Tensor, validation: Tensor, *,
                 given: float, temperature: float) -> None:
        self.generator: ConditionalGenerator = generator
        self.critic, self.train, self.validation = critic, train, validation
        self.given, self.temperature = given, temperature
        self.columns = torch.tensor([t.column for t in generator.tokens], device=train.device)

    def draw(self, records: int) -> Tensor:
        """Rows of the training tokens, with replacement."""
        return self.train[torch.randint(len(self.train), (records,), device=self.train.device)]

    def likelihood(self, batch: Tensor) -> Tensor:
        """Mean negative log-likelihood per token; a share of the rows knows a random subset of the other columns."""
        rows, tokens = batch.shape
        count = int(self.given * rows)
        total = self.generator.losses(batch[count:]).sum()
        if count:
            given = self._subsets(count)
            chain = torch.rand(count, device=batch.device) < 0.5
            total = total + self.generator.losses_given(batch[:count], given, chain).sum()
        return total / (rows * tokens)

    def _subsets(self, rows: int) -> Tensor:
        """Given columns [rows, T]: half the rows know one to three columns, the others a random share."""
        device, columns = self.train.device, int(self.columns.max()) + 1
        share = torch.rand(rows, 1, device=device)
        few = torch.randint(1, 4, (rows, 1), device=device) / columns
        share = torch.where(torch.rand(rows, 1, device=device) < 0.5, few, share)
        return (torch.rand(rows, columns, device=device) < share)[:, self.columns]

    def real(self, batch: Tensor) -> Tensor:
        """One-hot rows [B, D]."""
        return one_hot(batch, self.generator.shift, self.generator.width)

    def fake(self, batch: Tensor) -> Tensor:
        """As many generated one-hot rows."""
        if torch.is_grad_enabled():
            return self.generator.relaxed(len(batch), self.temperature)
        return self.real(self.generator.draw(len(batch)))

    @torch.no_grad()
    def validate(self, generator: nn.Module) -> float:
        """Mean negative log-likelihood of a held-back row, nats."""
        assert isinstance(generator, ConditionalGenerator)
        return sum(float(generator.losses(part).sum()) for part in self.validation.split(4096)) / len(self.validation)


def _tokens(codec: TableCodec, order: list[int]) -> list[Token]:
    """The codec's tokens in the network's order."""
    tokens, place = codec.tokens(), {token: place for place, token in enumerate(order)}
    return [tokens[i] if tokens[i].coarse is None else dataclasses.replace(tokens[i], coarse=place[tokens[i].coarse])
            for i in order]


def build_network(recipe: Recipe, codec: TableCodec, order: list[int]) -> Network:
    """The generator of a recipe, untrained."""
    setting = recipe.setting
    return ConditionalGenerator(
        _tokens(codec, order), embedding=int(setting("embedding")), hidden=int(setting("hidden")),
        inner=int(setting("inner")), dropout=setting("dropout"), smooth=int(setting("smooth")))


def build_players(recipe: Recipe, network: Network, train: Tensor, validation: Tensor) -> Players:
    """Generator and, if a phase asks for one, critic, with their data (tokens in the network's order)."""
    critic = None
    if any(phase.objective is not None for phase in recipe.phases):
        critic = RowCritic(network.tokens, width=int(recipe.setting("critic_width"))).to(train.device)
    return AutoregressivePlayers(network, critic, train, validation, given=recipe.setting("given"),
                                 temperature=recipe.setting("temperature"))
