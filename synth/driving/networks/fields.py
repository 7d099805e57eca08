"""The network of a block: fields that are drawn one after the other under a context.

Shapes: B rows, C context, F fields, S the most tokens that a field has, P entries of what earlier fields are told as.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synth.driving.cells import Cells

WAVES = 12  # smooth functions that the logits of neighbouring bins share
NEVER = -1e9
Allowed = Callable[[int, Tensor], Tensor | None]


class FieldNetwork(nn.Module):
    """p(field | context, fields before it), every field a distribution over its tokens.

    The first layer of all fields is one matrix (masked, so that a field sees those before it alone; Germain et al.
    2015), the second and third a batch of small ones. Bins of a number share smooth functions of their rank.
    """

    mask: Tensor
    basis: Tensor
    valid: Tensor

    def __init__(self, cells: Cells, context: int, *, hidden: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.fields, self.width, self.dropout = len(cells.fields), inner, dropout
        self.told = sum(field.told for field in cells.fields)
        sizes = [field.size for field in cells.fields]
        most = max(sizes)
        self.context = nn.Linear(context, hidden)
        self.deep = nn.Linear(hidden, hidden)
        self.shared = nn.Linear(hidden, self.fields * inner)
        self.before = nn.Parameter(torch.randn(self.told, self.fields * inner) / max(1, self.told) ** 0.5)
        mask = torch.zeros(self.told, self.fields)
        start = 0
        for i, field in enumerate(cells.fields):
            mask[start:start + field.told, i + 1:] = 1.0
            start += field.told
        self.register_buffer("mask", mask.repeat_interleave(inner, 1), persistent=False)
        self.inner = nn.Parameter(torch.randn(self.fields, inner, inner) / inner ** 0.5)
        self.free = nn.Parameter(torch.zeros(self.fields, inner, most))
        self.smooth = nn.Parameter(0.2 * torch.randn(self.fields, inner, WAVES) / (inner * WAVES) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(self.fields, most))
        basis = torch.zeros(self.fields, WAVES, most)
        for i, field in enumerate(cells.fields):
            rank = field.ranks()
            there = torch.isfinite(rank)
            for wave in range(WAVES if field.number else 0):
                basis[i, wave, :len(rank)] = torch.where(there, torch.cos(torch.pi * wave * rank.nan_to_num()), 0.0)
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("valid", torch.arange(most) < torch.tensor(sizes)[:, None], persistent=False)

    def _trunk(self, context: Tensor) -> Tensor:
        x = F.silu(self.context(context))
        x = x + F.silu(self.deep(self._dropped(x)))
        shared: Tensor = self.shared(x)
        return shared

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)

    def _head(self, at: slice) -> tuple[Tensor, Tensor]:
        weight = self.free[at] + self.smooth[at] @ self.basis[at]
        return weight, self.bias[at].masked_fill(~self.valid[at], NEVER)

    def _out(self, first: Tensor, at: slice) -> Tensor:
        """Logits [B, fields, S] from the first layer [B, fields, inner]."""
        x = F.silu(first).transpose(0, 1)
        x = x + F.silu(torch.bmm(self._dropped(x), self.inner[at]))
        weight, bias = self._head(at)
        return torch.baddbmm(bias.unsqueeze(1), self._dropped(x), weight).transpose(0, 1)

    def forward(self, context: Tensor, told: Tensor) -> Tensor:
        """Logits [B, F, S] of all fields at once; ``told`` [B, P]."""
        first = self._trunk(context) + told @ (self.before * self.mask)
        return self._out(first.view(len(context), self.fields, self.width), slice(0, self.fields))

    def losses(self, context: Tensor, told: Tensor, tokens: Tensor) -> Tensor:
        """Negative log-likelihood [B, F], nats; 0 where the token is -1 (a field of somebody who is not there)."""
        logits = self(context, told)
        loss = F.cross_entropy(logits.flatten(0, 1), tokens.clamp(min=0).flatten(), reduction="none")
        return loss.view(tokens.shape) * (tokens >= 0)

    @torch.no_grad()
    def draw(self, context: Tensor, cells: Cells, rng: torch.Generator, allowed: Allowed) -> Tensor:
        """Values [B, F] (a label's number; NaN where there is none); ``allowed(field, values so far)`` gives the
        tokens [B, S] that may be drawn, or None."""
        shared, weight = self._trunk(context), self.before * self.mask
        told = context.new_zeros(len(context), self.told)
        values = torch.full((len(context), self.fields), torch.nan, device=context.device)
        start = 0
        for i, field in enumerate(cells.fields):
            part = slice(i * self.width, (i + 1) * self.width)
            first = shared[:, part] + told[:, :start] @ weight[:start, part]
            logits = self._out(first.unsqueeze(1), slice(i, i + 1))[:, 0, :field.size]
            may = allowed(i, values)
            if may is not None:
                logits = torch.where(may.to(logits.device), logits, NEVER)
            share = logits.softmax(-1).cumsum(-1)
            chance = torch.rand(len(context), 1, generator=rng).to(context.device) * share[:, -1:]
            token = (share <= chance).sum(-1).clamp(max=field.size - 1)
            values[:, i] = field.value(token, torch.rand(len(context), generator=rng).to(context.device))
            told[:, start:start + field.told] = field.tell(token, values[:, i])
            start += field.told
        return values


class HeaderNetwork(nn.Module):
    """One network for each block."""

    def __init__(self, cells: Mapping[str, Cells], contexts: Mapping[str, int], *, hidden: int, inner: int,
                 dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict({name: FieldNetwork(cells[name], contexts[name], hidden=hidden, inner=inner,
                                                        dropout=dropout) for name in cells})

    def of(self, block: str) -> FieldNetwork:
        """A block's network."""
        found = self.blocks[block]
        assert isinstance(found, FieldNetwork)
        return found
