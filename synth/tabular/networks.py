"""The conditional generator: a row token by token, any of them given (see :mod:`.codec` for tokens).

Shapes: B rows, T tokens, D the sum of token sizes, e the embedding. One-hot rows are [B, D].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synth.tabular.codec import Token
from synth.tabular.embeddings import CellEmbedding
from synth.tabular.prefix import Prefixes
from synth.tabular.rows import gumbel, offsets, pick, waves

FLIPPED = 0.2  # share of a member's first units that start with the other sign
_Masks = tuple[Tensor, Tensor] | None  # what dropout leaves of the two layers, [B, width] each


class TokenHead(nn.Module):
    """Logits of one token: a free linear layer plus, for ordered values, smooth functions of their rank.

    Sixty-four bins of a number are no sixty-four unrelated classes; the cosine part lets neighbours share
    what is learnt and the free part keeps spikes sharp.
    """

    basis: Tensor

    def __init__(self, width: int, token: Token, smooth: int) -> None:
        super().__init__()
        self.free = nn.Linear(width, token.size)
        self.ordered = smooth > 0 and token.size > 2 and any(p == p for p in token.positions)
        if self.ordered:
            self.register_buffer("basis", waves(token.positions, smooth), persistent=False)
            self.smooth = nn.Parameter(torch.randn(smooth, width) * 0.2 / (width * smooth) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, size] of features [B, width]."""
        weight = self.free.weight + self.basis @ self.smooth if self.ordered else self.free.weight
        return F.linear(x, weight, self.free.bias)


class _Given:
    """Embeddings [G, T, e] of rows of which some tokens are given: as a token sees those before it, and after it."""

    def __init__(self, embedded: Tensor, told: Tensor, chain: Tensor) -> None:
        self.all, self.told, self.seen = embedded, told, told | chain[:, None]
        self.before, self.after = embedded * self.seen[:, :, None], embedded * told[:, :, None]


class ConditionalGenerator(nn.Module):
    """Draws a row token by token; any subset of tokens may be given.

    Token ``j`` has a small network over the embeddings of the tokens before it and, where the caller knows
    them, of tokens after it (all others are zero and flagged), so p(token | any other tokens) is native:
    prefix mode (nothing given, the unconditional law) costs no more than an ordinary autoregressive net.

    Every such network is an ensemble of ``members`` that share their matrices and differ in a scale and a shift
    of each unit (TabM, Gorishniy et al. 2024). A training row goes through one of them, so a step costs what it
    would without; what is validated and drawn from is the mean of their distributions.
    """

    shift: Tensor

    def __init__(self, tokens: Sequence[Token], *, embedding: int = 16, hidden: int = 128, inner: int = 64,
                 dropout: float = 0.1, smooth: int = 16, members: int = 1) -> None:
        super().__init__()
        self.tokens, self.embedding_size, self.dropout, self.inner_width = tuple(tokens), embedding, dropout, inner
        self.members = members
        count, e = len(self.tokens), embedding
        self.starts = offsets(self.tokens)
        self.register_buffer("shift", torch.tensor(self.starts[:-1]), persistent=False)
        self.cells = CellEmbedding(self.tokens, e, smooth)
        self.before = nn.ParameterList([torch.randn(hidden, j * e) / max(1, j * e) ** 0.5 for j in range(count)])
        self.after = nn.ParameterList([torch.zeros(hidden, (count - j - 1) * e) for j in range(count)])
        self.flags = nn.ParameterList([torch.zeros(hidden, count) for _ in range(count)])
        # not zero: the first token has nothing before it, and a unit at zero would never learn what comes after
        self.bias = nn.Parameter(0.1 * torch.randn(count, hidden))
        self.inner = nn.ModuleList([nn.Linear(hidden, inner) for _ in range(count)])
        self.heads = nn.ModuleList([TokenHead(inner, token, smooth) for token in self.tokens])
        # a fifth of a member's units look at the other half of their input; more of them, and members learn slowly
        self.scale_first = nn.ParameterList([
            torch.where(torch.rand(members, hidden) < FLIPPED, -1.0, 1.0) for _ in range(count)])
        self.scale_inner = nn.ParameterList([1 + 0.1 * torch.randn(members, inner) for _ in range(count)])
        self.shift_first = nn.ParameterList([0.1 * torch.randn(members, hidden) for _ in range(count)])
        self.shift_inner = nn.ParameterList([0.1 * torch.randn(members, inner) for _ in range(count)])
        for j, token in enumerate(self.tokens):
            if token.coarse is not None:
                child = torch.arange(token.size)[None, :] >= torch.tensor(token.children)[:, None]
                self.register_buffer(f"forbidden_{j}", child, persistent=False)

    @property
    def width(self) -> int:
        """Length D of a one-hot row."""
        return self.starts[-1]

    @property
    def cost(self) -> float:
        """Multiplications of one row in a forward pass in prefix mode."""
        first = sum(weight.numel() for weight in self.before)
        heads = sum(token.size for token in self.tokens) * self.inner_width
        return float(first + sum(p.numel() for p in self.inner.parameters()) + heads)

    def _place(self, j: int, logits: Tensor, tokens_b: Tensor, rng: torch.Generator | None) -> Tensor:
        """Place [B] in [0, 1) inside the drawn token: .5, or for a bin by a density that meets its neighbours'.

        Bins have equal mass, so the predicted probabilities of neighbouring bins are densities in rank. Inside a
        bin the density is piecewise linear: halfway to the neighbour's at either edge, and in the middle what
        keeps the bin's mass.
        """
        bins, device = self.tokens[j].bins, logits.device
        if bins < 2:
            return torch.full((len(tokens_b),), 0.5, device=device)
        first = self.tokens[j].size - bins
        at = (tokens_b - first).clamp_(min=0)
        density = torch.softmax(logits, 1)[:, first:].clamp_min(1e-9)
        near = [density.gather(1, (at + step).clamp(0, bins - 1)[:, None]).squeeze(1) for step in (-1, 0, 1)]
        left, right = (near[0] + near[1]) / 2, (near[1] + near[2]) / 2
        left = torch.where(at == 0, (1.5 * near[1] - 0.5 * near[2]).clamp(min=0), left)
        right = torch.where(at == bins - 1, (1.5 * near[1] - 0.5 * near[0]).clamp(min=0), right)
        middle = (2 * near[1] - (left + right) / 2).clamp(min=0)
        below, above = (left + middle) / 4, (middle + right) / 4
        mass = torch.rand(len(tokens_b), generator=rng, device=device) * (below + above)
        half = mass >= below
        start, stop = torch.where(half, middle, left), torch.where(half, right, middle)
        mass = torch.where(half, mass - below, mass)
        # solve start x + (stop - start) x^2 = mass for x in [0, 1/2], in the form that is stable for equal ends
        root = (start.square() + 4 * (stop - start) * mass).clamp(min=0).sqrt()
        place = 2 * mass / (start + root).clamp(min=1e-12) + 0.5 * half
        return torch.where(tokens_b >= first, place.clamp(0, 0.9999), 0.5)

    def _masks(self, rows: int) -> _Masks:
        """Dropout of a step, for both layers. All tokens share it: drawing one each took a third of a step."""
        if not self.training or not self.dropout:
            return None
        keep, device = 1 - self.dropout, self.shift.device
        first, inner = ((torch.rand(rows, width, device=device) < keep) / keep
                        for width in (self.bias.shape[1], self.inner_width))
        return first, inner

    def _adapted(self, x: Tensor, scale: Tensor, shift: Tensor, member: int | None) -> Tensor:
        """relu(x * scale + shift) of rows [B, width] with one member's adapter, or, dealt out in turn, with all's."""
        if member is not None:
            return torch.addcmul(shift[member], x, scale[member]).relu_()
        if len(x) % self.members == 0:  # broadcast: no copy of an adapter for each row
            return torch.addcmul(shift, x.unflatten(0, (-1, self.members)), scale).flatten(0, 1).relu_()
        turn = torch.arange(len(x), device=x.device) % self.members
        return torch.addcmul(shift[turn], x, scale[turn]).relu_()

    def _member(self, j: int, first: Tensor, member: int | None, masks: _Masks) -> Tensor:
        """Logits of one member, or of rows dealt out to all."""
        x = self._adapted(first, self.scale_first[j], self.shift_first[j], member)
        x = self.inner[j](x if masks is None else x * masks[0])
        x = self._adapted(x, self.scale_inner[j], self.shift_inner[j], member)
        logits: Tensor = self.heads[j](x if masks is None else x * masks[1])
        return logits

    def _logits(self, j: int, first: Tensor, tokens_bt: Tensor, masks: _Masks = None) -> Tensor:
        """Logits [B, size]: of each row's own member while training, else of the members' mean distribution.

        ``tokens_bt`` tells a fine token which coarse one it refines.
        """
        if self.training:
            return self._restrict(j, self._member(j, first, None, masks), tokens_bt)
        members = (torch.log_softmax(self._restrict(j, self._member(j, first, member, masks), tokens_bt), 1)
                   for member in range(self.members))
        return reduce(torch.logaddexp, members)

    def _first(self, j: int, prefix: Tensor) -> Tensor:
        """First layer over the embeddings [B, j*e] of the tokens before ``j``."""
        return F.linear(prefix, self.before[j], self.bias[j]) if j else self.bias[0].expand(len(prefix), -1)

    def _first_given(self, j: int, known_bte: Tensor, visible_bt: Tensor) -> Tensor:
        """First layer where only ``visible_bt`` is known; ``known_bte`` is zero elsewhere."""
        first = self._first(j, known_bte.flatten(1)[:, : j * self.embedding_size])
        return self._told(j, first, known_bte, visible_bt, visible_bt, j + 1)

    def _told(self, j: int, first: Tensor, known_bte: Tensor, seen_bt: Tensor, told_bt: Tensor, start: int) -> Tensor:
        """``first``, the embeddings of the tokens from ``start`` on, and flags: what is not ``seen`` before ``j``, and
        what is ``told`` from ``start`` on."""
        odd = torch.cat([~seen_bt[:, :j], told_bt[:, j:]], 1).to(first.dtype)
        odd[:, j:start] = 0
        after = F.linear(known_bte[:, start:].flatten(1), self.after[j][:, (start - j - 1) * self.embedding_size:])
        return first + after + F.linear(odd, self.flags[j])

    def _restrict(self, j: int, logits: Tensor, tokens_bt: Tensor) -> Tensor:
        coarse = self.tokens[j].coarse
        if coarse is None:
            return logits
        return logits.masked_fill(getattr(self, f"forbidden_{j}")[tokens_bt[:, coarse].long()], -torch.inf)

    def losses(self, cells_bt: Tensor, given_gt: Tensor | None = None, chain_g: Tensor | None = None) -> Tensor:
        """Negative log-likelihood [B, T] in nats of the tokens of cells, in prefix mode.

        With ``given_gt`` the first G rows know those tokens, wherever they stand; those with ``chain_g`` also know
        every token before the predicted one, the others the given ones alone. What is given has a loss of 0.
        """
        e, tokens_bt, masks = self.embedding_size, cells_bt.long(), self._masks(len(cells_bt))
        embedded = self.cells(cells_bt, self.shift)
        given = None
        if given_gt is not None and chain_g is not None and len(given_gt):
            given = _Given(embedded[:len(given_gt)], given_gt, chain_g)
            embedded = torch.cat([given.before, embedded[len(given_gt):]])
        flat, out, firsts = embedded.flatten(1), [], None
        if torch.is_grad_enabled():  # else one after the other: there may be many rows
            firsts = Prefixes.apply(flat, self.bias, e, *self.before)
        for j in range(len(self.tokens)):
            first = self._first(j, flat[:, : j * e]) if firsts is None else firsts[j]
            if given is not None:
                count = len(given.told)
                first = torch.cat([self._known(j, first[:count], given), first[count:]])
            logits = self._logits(j, first, tokens_bt, masks)
            out.append(F.cross_entropy(logits, tokens_bt[:, j], reduction="none"))
        losses = torch.stack(out, 1)
        if given is None:
            return losses
        return torch.cat([losses[:len(given.told)].masked_fill(given.told, 0.0), losses[len(given.told):]])

    def _known(self, j: int, first: Tensor, given: _Given) -> Tensor:
        """``first`` [G, hidden] of rows with given tokens, and what they are told beside the tokens before ``j``."""
        e, coarse, seen = self.embedding_size, self.tokens[j].coarse, given.seen
        if coarse is not None:  # known to whoever asks for the fine one
            hidden = given.all[:, coarse] * ~seen[:, coarse, None]
            first = first + F.linear(hidden, self.before[j][:, coarse * e:(coarse + 1) * e])
            seen = seen.clone()
            seen[:, coarse] = True
        fine = j + 1 < len(self.tokens) and self.tokens[j + 1].coarse == j  # it would tell the answer
        return self._told(j, first, given.after, seen, given.told, j + 2 if fine else j + 1)

    def relaxed(self, rows: int, temperature: float) -> Tensor:
        """Differentiable one-hot rows [B, D] from the unconditional law."""
        table, slope = self.cells.tables()
        prefix, masks = table.new_zeros(rows, 0), self._masks(rows)
        chosen, hard = [], torch.zeros(rows, len(self.tokens), dtype=torch.long, device=table.device)
        for j in range(len(self.tokens)):
            logits = self._logits(j, self._first(j, prefix), hard, masks)
            pick = gumbel(logits, temperature)
            hard[:, j] = pick.detach().argmax(1)
            rows_of_j = slice(self.starts[j], self.starts[j + 1])
            along = 2 * self._place(j, logits.detach(), hard[:, j], None)[:, None] - 1
            prefix = torch.cat([prefix, pick @ table[rows_of_j] + along * (pick @ slope[rows_of_j])], 1)
            chosen.append(pick)
        return torch.cat(chosen, 1)

    @torch.no_grad()
    def draw(self, rows: int, rng: torch.Generator | None = None, shares: Sequence[Tensor] | None = None) -> Tensor:
        """Cells [B, T] (token + place inside it) from the unconditional law.

        With ``shares`` (a distribution for each token), every head's bias is first moved so that the token's
        mean probability over the rows drawn is that share: marginals are projected while sampling.
        """
        e, count = self.embedding_size, len(self.tokens)
        tables = self.cells.tables()
        flat = self.bias.new_zeros(rows, count * e)
        out, masks = self.bias.new_zeros(rows, count), self._masks(rows)
        for j in range(count):
            logits = self._logits(j, self._first(j, flat[:, : j * e]), out, masks)
            if shares is not None:
                wanted, mean = shares[j], torch.softmax(logits, 1).mean(0)
                move = torch.log((wanted * rows + 1) / (mean * rows + 1)).clamp(-1, 1)
                head = self.heads[j]
                assert isinstance(head, TokenHead)
                head.free.bias.add_(move)
                logits = logits + move
            drawn = pick(logits, rng)
            out[:, j] = drawn + self._place(j, logits, drawn, rng)
            flat[:, j * e:(j + 1) * e] = self.cells(out[:, j], self.starts[j], tables)
        return out

    @torch.no_grad()
    def draw_given(self, known_bt: Tensor, given_bt: Tensor, rng: torch.Generator | None = None,
                   allowed: dict[int, Tensor] | None = None) -> Tensor:
        """Cells [B, T] that keep ``known_bt`` where ``given_bt`` and draws the rest.

        ``allowed`` has log-weights of the values of restricted tokens (-inf: not allowed): [size] for a coarse
        token, [coarse size, size] for a fine one. Restricted tokens are drawn first, each given those before it,
        so the others follow their conditional law.
        """
        out, seen = known_bt.clone(), given_bt.clone()
        out[~seen] = 0
        tables = self.cells.tables()
        known = self.cells(out, self.shift, tables) * seen[:, :, None]
        allowed = allowed or {}
        first = sorted(allowed)
        for j in first + [j for j in range(len(self.tokens)) if j not in first]:
            if bool(seen[:, j].all()):
                continue
            visible = seen.clone()
            visible[:, j] = False
            logits = self._logits(j, self._first_given(j, known * visible[:, :, None], visible), out)
            if j in allowed:
                coarse = self.tokens[j].coarse
                logits = logits + (allowed[j] if coarse is None else allowed[j][out[:, coarse].long()])
            drawn = pick(logits, rng)
            out[:, j] = torch.where(seen[:, j], out[:, j], drawn + self._place(j, logits, drawn, rng))
            seen[:, j] = True
            known[:, j] = self.cells(out[:, j], self.starts[j], tables)
        return out
