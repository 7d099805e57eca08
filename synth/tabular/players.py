"""How tables meet the adversarial loop: batches of tokens, the likelihood, and what the critic sees."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from synth.gan.recipe import Recipe
from synth.tabular.codec import TableCodec, Token
from synth.tabular.networks import ConditionalGenerator
from synth.tabular.rows import NoiseGenerator, RowCritic, one_hot, view

Network = ConditionalGenerator | NoiseGenerator
CALIBRATION_ROUNDS, CALIBRATION_ROWS = 2, 20_000


class AutoregressivePlayers:
    """A :class:`ConditionalGenerator` and a critic over one-hot rows, on tokens [rows, T] held in memory."""

    def __init__(self, generator: ConditionalGenerator, critic: nn.Module | None, train: Tensor, validation: Tensor, *,
                 given: float, temperature: float) -> None:
        self.generator: ConditionalGenerator = generator
        self.critic, self.train, self.validation = critic, train, validation
        self.given, self.temperature = given, temperature
        self.columns = torch.tensor([t.column for t in generator.tokens], device=train.device)
        self.view = view(generator.tokens).to(train.device)

    def draw(self, records: int) -> Tensor:
        """Rows of the training tokens, with replacement."""
        return self.train[torch.randint(len(self.train), (records,), device=self.train.device)]

    def likelihood(self, batch: Tensor) -> Tensor:
        """Mean negative log-likelihood per token; a share of the rows knows a random subset of the other columns."""
        rows, tokens = batch.shape
        count = int(self.given * rows)
        chain = torch.rand(count, device=batch.device) < 0.5
        return self.generator.losses(batch, self._subsets(count), chain).sum() / (rows * tokens)

    def _subsets(self, rows: int) -> Tensor:
        """Given columns [rows, T]: half the rows know one to three columns, the others a random share."""
        device, columns = self.train.device, int(self.columns.max()) + 1
        share = torch.rand(rows, 1, device=device)
        few = torch.randint(1, 4, (rows, 1), device=device) / columns
        share = torch.where(torch.rand(rows, 1, device=device) < 0.5, few, share)
        return (torch.rand(rows, columns, device=device) < share)[:, self.columns]

    def real(self, batch: Tensor) -> Tensor:
        """Rows [B, F] as the critic sees them."""
        return one_hot(batch.long(), self.generator.shift, self.generator.width) @ self.view

    def fake(self, batch: Tensor) -> Tensor:
        """As many generated rows."""
        if torch.is_grad_enabled():
            return self.generator.relaxed(len(batch), self.temperature) @ self.view
        return self.real(self.generator.draw(len(batch)))

    @torch.no_grad()
    def calibrate(self, tokens: Tensor, seed: int) -> None:
        """Project the marginals of the generator onto those of ``tokens`` (all training rows), by its biases alone."""
        shares = [torch.bincount(tokens[:, j].long(), minlength=token.size) / len(tokens)
                  for j, token in enumerate(self.generator.tokens)]
        rng = torch.Generator(device=tokens.device).manual_seed(seed)
        for _ in range(CALIBRATION_ROUNDS):
            self.generator.draw(CALIBRATION_ROWS, rng, shares)

    @torch.no_grad()
    def validate(self, generator: nn.Module) -> float:
        """Mean negative log-likelihood of a held-back row, nats."""
        assert isinstance(generator, ConditionalGenerator)
        return sum(float(generator.losses(part).sum()) for part in self.validation.split(4096)) / len(self.validation)


def _tokens(codec: TableCodec, order: list[int]) -> list[Token]:
    """The codec's tokens in the network's order."""
    tokens, place = codec.tokens(), {token: place for place, token in enumerate(order)}
    return [dataclasses.replace(token, coarse=None if token.coarse is None else place[token.coarse])
            for token in (tokens[i] for i in order)]


class NoisePlayers:
    """A :class:`NoiseGenerator` and a critic over packs of rows, with CTGAN's conditioning.

    A batch is (tokens [B, T], given [B, T]): each row is chosen through one of its cells, a column at random
    and a value of it by the logarithm of its frequency, so that rare values are seen; now and then more of its
    cells are given too, so that any subset can be asked for later. The critic sees the row and what was given.
    """

    def __init__(self, generator: NoiseGenerator, critic: nn.Module, train: Tensor, *, pack: int,
                 temperature: float) -> None:
        self.generator: NoiseGenerator = generator
        self.critic: nn.Module = critic
        train = train.long()
        self.train, self.pack, self.temperature = train, pack, temperature
        self.columns = torch.tensor([t.column for t in generator.tokens], device=train.device)
        self.roots = [j for j, token in enumerate(generator.tokens) if token.coarse is None]
        self.order, self.counts = torch.argsort(train, dim=0, stable=True), []
        for j, token in enumerate(generator.tokens):
            self.counts.append(torch.bincount(train[:, j], minlength=token.size))
        generator.frequency.copy_(torch.cat(self.counts) / len(train))

    def draw(self, records: int) -> tuple[Tensor, Tensor]:
        """Training by sampling: rows through a cell of logarithmic frequency, and which cells are given."""
        device = self.train.device
        chosen = torch.tensor(self.roots, device=device)[torch.randint(len(self.roots), (records,), device=device)]
        row = torch.zeros(records, dtype=torch.long, device=device)
        for j in self.roots:
            at = torch.nonzero(chosen == j).squeeze(1)
            if len(at):
                count = self.counts[j]
                value = torch.multinomial(torch.log1p(count.float()), len(at), replacement=True)
                within = (torch.rand(len(at), device=device) * count[value]).long()
                row[at] = self.order[(count.cumsum(0) - count)[value] + within, j]
        share = torch.rand(records, 1, device=device) * (torch.rand(records, 1, device=device) < 0.25)
        more = torch.rand(records, int(self.columns.max()) + 1, device=device) < share
        more[torch.arange(records, device=device), self.columns[chosen]] = True
        return self.train[row], more[:, self.columns]

    def likelihood(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """There is none: whoever asks has the wrong recipe."""
        raise NotImplementedError("a generator from noise has no likelihood")

    def _seen(self, rows: Tensor, given: Tensor) -> Tensor:
        return torch.cat([rows, given.to(rows.dtype)], 1).reshape(len(rows) // self.pack, -1)

    def real(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Packs [B / pack, pack * (D + T)] of one-hot rows and their given flags."""
        return self._seen(one_hot(batch[0], self.generator.shift, self.generator.width), batch[1])

    def fake(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The same of generated rows under the same conditions."""
        return self._seen(self.generator.relaxed(*batch, self.temperature), batch[1])

    def calibrate(self, tokens: Tensor, seed: int) -> None:
        """Nothing to do: marginals come from conditions at their true frequencies."""

    def validate(self, generator: nn.Module) -> None:
        """No figure: the last average is released."""


def build_network(recipe: Recipe, codec: TableCodec, order: list[int]) -> Network:
    """The generator of a recipe, untrained."""
    setting, tokens = recipe.setting, _tokens(codec, order)
    if recipe.players == "noise":
        return NoiseGenerator(tokens, noise=int(setting("noise")), width=int(setting("width")),
                              blocks=int(setting("blocks")))
    return ConditionalGenerator(
        tokens, embedding=int(setting("embedding")), hidden=int(setting("hidden")), inner=int(setting("inner")),
        dropout=float(setting("dropout")), smooth=int(setting("smooth")),
        members=int(setting("members")))


def build_players(recipe: Recipe, network: Network, train: Tensor, validation: Tensor
                  ) -> AutoregressivePlayers | NoisePlayers:
    """Generator and, if a phase asks for one, critic, with their data (tokens in the network's order)."""
    width, temperature = int(recipe.setting("critic_width")), float(recipe.setting("temperature"))
    if isinstance(network, NoiseGenerator):
        critic = RowCritic(recipe.pack * (network.width + len(network.tokens)), width=width)
        return NoisePlayers(network, critic.to(train.device), train, pack=recipe.pack, temperature=temperature)
    judge = RowCritic(view(network.tokens).shape[1], width=width).to(train.device) if recipe.adversarial else None
    return AutoregressivePlayers(network, judge, train, validation, given=float(recipe.setting("given")),
                                 temperature=temperature)
