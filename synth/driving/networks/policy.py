"""The policy that drives every vehicle: from what a driver sees to a distribution over two controls."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synth.driving.features import DYNAMIC
from synth.driving.plan import STATIC
from synth.driving.tokens import Grids

Memory = Tensor  # [..., hidden]


class Policy(nn.Module):
    """Features to logits of both controls, with a memory.

    The memory is a minimal gated recurrent unit (Feng et al. 2024, minGRU): its gate and its candidate look at the
    present alone, so training runs over all steps at once but for one weighted sum a step. ``along`` and ``across``
    are the bins' edges, kept with the weights. ``cool`` are temperatures below 1 that the two controls are drawn at:
    a network that learnt to come back from where a kick put it expects more surprises than there are.
    """

    along: Tensor
    across: Tensor

    def __init__(self, grids: Grids, *, condition: int, hidden: int, dropout: float = 0.0,
                 reflexes: bool = True, smooth: bool = False, cool: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        self.hidden, self.dropout, self.reflexes, self.smooth, self.cool = hidden, dropout, reflexes, smooth, cool
        self.sizes = grids.sizes
        self.static = nn.Linear(STATIC + condition, hidden)
        self.dynamic = nn.Linear(DYNAMIC, hidden)
        self.gates = nn.Linear(hidden, 2 * hidden)
        self.mix = nn.Linear(2 * hidden, hidden)
        self.heads = nn.Linear(hidden, sum(grids.sizes))
        nn.init.normal_(self.heads.weight, std=0.01)
        self.register_buffer("along", grids.along.edges())
        self.register_buffer("across", grids.across.edges())

    def begin(self, static: Tensor) -> tuple[Tensor, Memory]:
        """(what does not change [..., K, hidden], an empty memory of that shape) from static features."""
        still = self.static(static)
        return still, torch.zeros_like(still)

    def step(self, seen: Tensor, still: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Logits [..., sum(sizes)] and the memory after one step; ``seen`` [..., DYNAMIC]."""
        x = F.silu(self.dynamic(seen) + still)
        gate, candidate = self.gates(x).chunk(2, -1)
        memory = torch.lerp(memory, torch.tanh(candidate), torch.sigmoid(gate))
        return self._out(x, memory), memory

    def forward(self, seen: Tensor, static: Tensor) -> Tensor:
        """Logits [B, T, K, sum(sizes)] of features [B, T, K, DYNAMIC] known at all steps, static [B, K, ...]."""
        still, memory = self.begin(static)
        x = F.silu(self.dynamic(seen) + still.unsqueeze(1))
        gate, candidate = self.gates(x).chunk(2, -1)
        gate, candidate = torch.sigmoid(gate), torch.tanh(candidate)
        memories = []
        for t in range(seen.shape[1]):
            memory = torch.lerp(memory, candidate[:, t], gate[:, t])
            memories.append(memory)
        return self._out(x, torch.stack(memories, 1))

    def _out(self, x: Tensor, memory: Memory) -> Tensor:
        both = torch.cat([x, memory], -1)
        if self.training and self.dropout > 0:  # one mask for all rows of a step: uniforms, equal on any processor
            keep = (torch.rand(both.shape[-1], device=both.device) >= self.dropout).to(both.dtype)
            both = both * keep / (1 - self.dropout)
        logits: Tensor = self.heads(F.silu(self.mix(both)))
        return logits
