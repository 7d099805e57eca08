"""The distribution that agrees best with noisy marginals (Private-PGM, McKenna, Sheldon, Miklau 2019).

Of all distributions the one of largest entropy whose marginals have the least squared distance, in units of the
noise, from what was measured; entropic mirror descent over a junction tree finds it, with momentum that starts anew
where it overshoots (O'Donoghue, Candes 2015). It reads measurements only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synth.tabular.private.junction import Clique, Tree

STEPS = 300
_GROW, _SHRINK, _WORSE = 1.02, 0.5, 1.0005  # of the rate after a good and a bad step; what counts as a bad one


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Noisy counts of a clique's cells, shape the columns' sizes, each with Gaussian noise of ``scale``."""

    clique: Clique
    counts: np.ndarray
    scale: float


@dataclass(frozen=True)
class Fitted:
    """A fitted distribution and the number of rows it stands for."""

    tree: Tree
    beliefs: list[Tensor]
    potentials: dict[Clique, Tensor]
    total: float

    def pair(self, a: int, b: int) -> np.ndarray:
        """Expected counts [size a, size b]."""
        return self.total * self.tree.pair(self.beliefs, a, b)

    def marginal(self, clique: Clique) -> np.ndarray:
        """Expected counts of a clique inside the tree."""
        return self.total * self.tree.marginal(self.beliefs, clique, self.tree.home(clique)).numpy()

    def draw(self, rows: int, rng: np.random.Generator) -> np.ndarray:
        """Cells [rows, columns]."""
        return self.tree.draw(self.beliefs, rows, rng)


def total(measurements: Sequence[Measurement]) -> float:
    """The number of rows that the measurements agree on, weighted by their noise."""
    sums = np.array([m.counts.sum() for m in measurements])
    weights = np.array([1 / (m.scale**2 * m.counts.size) for m in measurements])
    return max(1.0, float((sums * weights).sum() / weights.sum()))


def fit(sizes: Sequence[int], measurements: Sequence[Measurement], *, steps: int = STEPS,
        start: Fitted | None = None) -> Fitted:
    """Fit to the measurements; ``start`` is a fit to some of them, whose potentials are gone on from."""
    rows = total(measurements)
    tree = Tree.of(sizes, [m.clique for m in measurements])
    cliques = sorted({m.clique for m in measurements})
    homes = {c: tree.home(c) for c in cliques}
    gone = {c: [axis for axis, j in enumerate(tree.cliques[homes[c]]) if j not in c] for c in cliques}
    theta = {c: torch.zeros([sizes[j] for j in c], dtype=torch.float64) for c in cliques}
    if start is not None:
        theta |= {c: t.clone() for c, t in start.potentials.items() if c in theta}
    targets = [(m.clique, torch.from_numpy(m.counts / rows), (rows / m.scale) ** 2) for m in measurements]

    def look(at: dict[Clique, Tensor]) -> tuple[list[Tensor], dict[Clique, Tensor], float]:
        potentials = [torch.zeros([sizes[j] for j in c], dtype=torch.float64) for c in tree.cliques]
        for clique, table in at.items():
            potentials[homes[clique]] += tree.expand(clique, table, homes[clique])
        beliefs = tree.beliefs(potentials)
        shares = [torch.exp(b) for b in beliefs]  # once, and not for each marginal
        marginals = {c: shares[homes[c]].sum(gone[c]) if gone[c] else shares[homes[c]] for c in cliques}
        return beliefs, marginals, sum(float(w * (marginals[c] - y).square().sum()) / 2 for c, y, w in targets)

    rate = 1 / max(w for _, _, w in targets)
    ahead, before, last, run = theta, theta, np.inf, 0
    best = (np.inf, theta, list[Tensor]())
    for _ in range(steps):
        beliefs, marginals, loss = look(ahead)
        if not loss <= last * _WORSE:  # momentum has overshot: back to where it stood, slower
            ahead, theta, rate, run, last = before, before, rate * _SHRINK, 0, np.inf
            continue
        if loss < best[0]:
            best = (loss, ahead, beliefs)
        gradient = {c: torch.zeros_like(t) for c, t in theta.items()}
        for clique, wanted, weight in targets:
            gradient[clique] += weight * (marginals[clique] - wanted)
        moved = {c: ahead[c] - rate * gradient[c] for c in cliques}
        run += 1
        ahead = {c: moved[c] + run / (run + 3) * (moved[c] - theta[c]) for c in cliques}
        before, theta, last, rate = theta, moved, loss, rate * _GROW
    return Fitted(tree, best[2], best[1], rows)
