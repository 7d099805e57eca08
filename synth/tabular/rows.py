"""Rows of one-hot tokens: drawing them, judging them, and the generator that makes a whole row from noise.

Shapes: B rows, T tokens, D the sum of token sizes. One-hot rows are [B, D], tokens side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synth.tabular.codec import Token


def waves(positions: Sequence[float], count: int) -> Tensor:
    """Cosines [size, count] of rank positions, zero rows for values without one: a smooth start for numbers."""
    place = torch.tensor(positions)
    basis = torch.cos(torch.pi * place[:, None] * torch.arange(1, count + 1))
    return torch.where(torch.isnan(place)[:, None], 0.0, basis)


def offsets(tokens: Sequence[Token]) -> list[int]:
    """Start of each token in a one-hot row; one more entry for the end."""
    out = [0]
    for token in tokens:
        out.append(out[-1] + token.size)
    return out


def one_hot(tokens_bt: Tensor, starts: Tensor, width: int) -> Tensor:
    """One-hot rows [B, D] of a token matrix; ``starts`` [T] are the offsets of the tokens."""
    return torch.zeros(len(tokens_bt), width, device=tokens_bt.device).scatter_(1, tokens_bt + starts, 1.0)


def view(tokens: Sequence[Token], count: int = 8) -> Tensor:
    """What a critic sees of a one-hot row, as a matrix [D, F].

    Labels stay one-hot. Ordered values become their normal score and some cosines of their rank, beside
    one-hots of half the size for spikes: so a penalty on the critic's slope measures how far a number moved,
    and not merely that it left its bin.
    """
    blocks = []
    for token in tokens:
        place = torch.tensor(token.positions)
        if torch.isnan(place).all():
            blocks.append(torch.eye(token.size))
            continue
        score = (torch.erfinv(2 * place.clamp(0.001, 0.999) - 1) * 2**0.5).nan_to_num(0.0)
        blocks.append(torch.cat([score[:, None], waves(token.positions, count), torch.eye(token.size) / 2], 1))
    return torch.block_diag(*blocks)


def gumbel(logits: Tensor, temperature: float) -> Tensor:
    """Straight-through Gumbel softmax (Jang et al. 2017): one-hot forward, relaxed backward."""
    return F.gumbel_softmax(logits, tau=temperature, hard=True)


def pick(logits: Tensor, rng: torch.Generator | None) -> Tensor:
    """One value per row of logits [B, size], by inversion with evenly spread chances.

    Rows with similar distributions are made neighbours, and neighbours draw from different parts of theirs
    (a randomly shifted golden-ratio sequence; array-RQMC, L'Ecuyer et al. 2008). Every row still follows its
    own distribution exactly, but a table's counts scatter less than those of independent draws.
    """
    total = torch.softmax(logits, 1).cumsum(1)
    rows = len(logits)
    shift = torch.rand(1, generator=rng, device=logits.device, dtype=torch.float64)
    ties = torch.rand(rows, generator=rng, device=logits.device)
    order = torch.argsort(total.sum(1) + 1e-4 * ties)  # sum of the distribution function: the mean place, mirrored
    spread = torch.empty(rows, device=logits.device)
    golden = torch.arange(rows, device=logits.device, dtype=torch.float64) * 0.6180339887498949
    spread[order] = ((golden + shift) % 1.0).float()
    chance = spread[:, None] * total[:, -1:]
    return torch.searchsorted(total, chance, right=True).squeeze(1).clamp_(max=logits.shape[1] - 1)


class ResidualBlock(nn.Module):
    """x + f(x) with f two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, width] -> [B, width]."""
        return x + self.body(x)


class RowCritic(nn.Module):
    """Scores rows, or packs of rows, [B, inputs]: a residual net."""

    def __init__(self, inputs: int, *, width: int = 256) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, width), ResidualBlock(width), ResidualBlock(width),
                                  nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, rows: Tensor) -> Tensor:
        """Scores [B]."""
        scores: Tensor = self.body(rows)
        return scores.squeeze(1)


class NoiseGenerator(nn.Module):
    """A whole row at once from noise and the given cells, as in CTGAN (Xu et al. 2019), with residual blocks.

    Given tokens are written through, so conditions hold in every row; the others are drawn from their heads.
    """

    shift: Tensor
    frequency: Tensor

    def __init__(self, tokens: Sequence[Token], *, noise: int = 128, width: int = 256, blocks: int = 2) -> None:
        super().__init__()
        self.tokens, self.noise = tuple(tokens), noise
        self.starts = offsets(self.tokens)
        self.width = self.starts[-1]
        self.register_buffer("shift", torch.tensor(self.starts[:-1]), persistent=False)
        self.register_buffer("frequency", torch.zeros(self.width))  # of each value in train, to draw conditions by
        self.body = nn.Sequential(nn.Linear(noise + self.width + len(self.tokens), width),
                                  *[ResidualBlock(width) for _ in range(blocks)], nn.LeakyReLU(0.2),
                                  nn.Linear(width, self.width))
        for j, token in enumerate(self.tokens):
            if token.coarse is not None:
                child = torch.arange(token.size)[None, :] >= torch.tensor(token.children)[:, None]
                self.register_buffer(f"forbidden_{j}", child, persistent=False)

    @property
    def cost(self) -> float:
        """Multiplications of one row in a forward pass."""
        return float(sum(p.numel() for p in self.body.parameters()))

    def _scores(self, known_bt: Tensor, given_bt: Tensor, rng: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(len(known_bt), self.noise, generator=rng, device=known_bt.device)
        cells = one_hot(known_bt, self.shift, self.width)
        cells = cells * torch.repeat_interleave(given_bt, torch.diff(torch.tensor(self.starts)).to(known_bt.device), 1)
        scores: Tensor = self.body(torch.cat([noise, cells, given_bt.to(cells.dtype)], 1))
        return scores

    def _logits(self, j: int, scores: Tensor, tokens_bt: Tensor) -> Tensor:
        logits, coarse = scores[:, self.starts[j]:self.starts[j + 1]], self.tokens[j].coarse
        if coarse is None:
            return logits
        return logits.masked_fill(getattr(self, f"forbidden_{j}")[tokens_bt[:, coarse]], -torch.inf)

    def relaxed(self, known_bt: Tensor, given_bt: Tensor, temperature: float) -> Tensor:
        """Differentiable one-hot rows [B, D]; given cells are constants."""
        scores, out, hard = self._scores(known_bt, given_bt), [], known_bt.clone()
        for j, token in enumerate(self.tokens):
            made = gumbel(self._logits(j, scores, hard), temperature)
            hard[:, j] = torch.where(given_bt[:, j], known_bt[:, j], made.detach().argmax(1))
            kept = F.one_hot(known_bt[:, j], token.size).to(made.dtype)
            out.append(torch.where(given_bt[:, j, None], kept, made))
        return torch.cat(out, 1)

    @torch.no_grad()
    def draw(self, rows: int, rng: torch.Generator | None = None) -> Tensor:
        """Cells [B, T] (token + place inside it): one a row is drawn at its true frequency, the rest follow."""
        count = len(self.tokens)
        known = torch.zeros(rows, count, dtype=torch.long, device=self.shift.device)
        given = torch.zeros(rows, count, dtype=torch.bool, device=self.shift.device)
        roots = torch.tensor([j for j, t in enumerate(self.tokens) if t.coarse is None], device=self.shift.device)
        chosen = roots[torch.randint(len(roots), (rows,), generator=rng, device=self.shift.device)]
        for j in roots.tolist():
            at = chosen == j
            share = self.frequency[self.starts[j]:self.starts[j + 1]].clamp_min(1e-30).log()
            known[at, j] = pick(share.expand(int(at.sum()), -1), rng)
            given[at, j] = True
        place = torch.rand(rows, count, generator=rng, device=self.shift.device).clamp_(max=0.9999)
        return self.draw_given(known + place, given, rng)

    @torch.no_grad()
    def draw_given(self, known_bt: Tensor, given_bt: Tensor, rng: torch.Generator | None = None,
                   allowed: Mapping[int, Tensor] | None = None) -> Tensor:
        """Cells [B, T] that keep the given ones; restricted tokens are drawn first, then given too."""
        out, given = known_bt.long(), given_bt.clone()
        if allowed:
            scores = self._scores(out, given, rng)
            for j, weights in sorted(allowed.items()):
                coarse = self.tokens[j].coarse
                logits = self._logits(j, scores, out) + (weights if coarse is None else weights[out[:, coarse]])
                out[:, j] = torch.where(given[:, j], out[:, j], pick(logits, rng))
                given[:, j] = True
        scores = self._scores(out, given, rng)
        for j in range(len(self.tokens)):
            drawn = pick(self._logits(j, scores, out), rng)
            out[:, j] = torch.where(given[:, j], out[:, j], drawn)
        place = torch.rand(out.shape, generator=rng, device=out.device).clamp_(max=0.9999)
        return torch.where(given_bt, known_bt, out + place)
