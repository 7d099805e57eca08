"""A distribution over discrete columns as a junction tree: exact marginals and draws.

For the messages see Lauritzen and Spiegelhalter (1988).
``sizes[j]`` is the number of values of column j. Potentials belong to *factors* (the measured cliques) and are log
densities; the tree's own cliques are the maximal cliques of the factors' graph after triangulation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import torch
from torch import Tensor

Clique = tuple[int, ...]  # column indices, ascending


@dataclass(frozen=True)
class Tree:
    """Cliques in an order in which each one's parent stands before it; ``separators[i]`` is shared with it."""

    sizes: tuple[int, ...]
    cliques: tuple[Clique, ...]
    parents: tuple[int, ...]  # -1 for the first clique of a component
    separators: tuple[Clique, ...]

    @classmethod
    def of(cls, sizes: Sequence[int], factors: Iterable[Clique]) -> Tree:
        """The junction tree of a triangulation of the factors' graph (greedy: least table first)."""
        cliques = _maximal(_eliminated(sizes, factors))
        order, parents, separators = _spanning(cliques)
        return cls(sizes=tuple(sizes), cliques=tuple(cliques[i] for i in order), parents=tuple(parents),
                   separators=tuple(separators))

    @property
    def cells(self) -> int:
        """Cells of all clique tables together: what a pass over the tree costs."""
        return sum(int(np.prod([self.sizes[j] for j in clique], dtype=np.float64)) for clique in self.cliques)

    def home(self, factor: Clique) -> int:
        """The smallest clique that contains the factor."""
        inside = [i for i, c in enumerate(self.cliques) if set(factor) <= set(c)]
        return min(inside, key=lambda i: int(np.prod([self.sizes[j] for j in self.cliques[i]])))

    def contains(self, factor: Clique) -> bool:
        """Whether some clique contains the factor, so that its marginal is one sum away."""
        return any(set(factor) <= set(c) for c in self.cliques)

    def beliefs(self, potentials: Sequence[Tensor]) -> list[Tensor]:
        """Log marginals of every clique, from log potentials of the cliques; both messages passed once."""
        beliefs, sent = list(potentials), {}
        for i in range(len(self.cliques) - 1, -1, -1):  # leaves to root
            if (parent := self.parents[i]) >= 0:
                sent[i] = self._down(beliefs[i], self.cliques[i], self.separators[i])
                beliefs[parent] = beliefs[parent] + self._up(sent[i], self.separators[i], self.cliques[parent])
        for i, parent in enumerate(self.parents):  # root to leaves
            if parent >= 0:
                back = self._down(beliefs[parent], self.cliques[parent], self.separators[i]) - sent[i]
                beliefs[i] = beliefs[i] + self._up(back, self.separators[i], self.cliques[i])
        return [b - torch.logsumexp(b.flatten(), 0) for b in beliefs]

    def _down(self, table: Tensor, clique: Clique, kept: Clique) -> Tensor:
        """Log sum over the columns of ``clique`` that are not ``kept``."""
        gone = [axis for axis, j in enumerate(clique) if j not in kept]
        return torch.logsumexp(table, gone) if gone else table

    def _up(self, table: Tensor, columns: Clique, clique: Clique) -> Tensor:
        """A table over ``columns`` shaped to be added to one over ``clique``."""
        return table.reshape([self.sizes[j] if j in columns else 1 for j in clique])

    def expand(self, factor: Clique, table: Tensor, home: int) -> Tensor:
        """A factor's table shaped to be added to the potential of its home."""
        return self._up(table, factor, self.cliques[home])

    def marginal(self, beliefs: Sequence[Tensor], factor: Clique, home: int) -> Tensor:
        """Probabilities of a factor that lies inside the clique ``home``."""
        return torch.exp(self._down(beliefs[home], self.cliques[home], factor))

    def pair(self, beliefs: Sequence[Tensor], a: int, b: int) -> np.ndarray:
        """Probabilities [size a, size b] of any two columns, along the path between their cliques."""
        factor = (min(a, b), max(a, b))
        if self.contains(factor):
            table = self.marginal(beliefs, factor, self.home(factor)).numpy()
            return table if a < b else table.T
        path = self._path(a, b)
        if path is None:
            one, two = (self.marginal(beliefs, (j,), self.home((j,))).numpy() for j in (a, b))
            return np.outer(one, two)
        return self._carried(beliefs, path, a, b)

    def _carried(self, beliefs: Sequence[Tensor], path: list[int], a: int, b: int) -> np.ndarray:
        """p(a, separator) is carried from clique to clique until b is in reach."""
        table = torch.exp(beliefs[path[0]])
        known: Clique = self.cliques[path[0]]
        for here, there in pairwise(path):
            shared = self.separators[there] if self.parents[there] == here else self.separators[here]
            keep = tuple(j for j in known if j == a or j in shared)
            table = table.sum([axis for axis, j in enumerate(known) if j not in keep] or [table.dim()]) \
                if len(keep) < len(known) else table
            joint = torch.exp(beliefs[there])
            clique = self.cliques[there]
            gone = [axis for axis, j in enumerate(clique) if j not in shared]
            conditional = joint / joint.sum(gone, keepdim=True).clamp_min(1e-300) if gone else torch.ones_like(joint)
            wide = tuple(sorted({*keep, *clique}))
            table = _shaped(table, keep, wide, self.sizes) * _shaped(conditional, clique, wide, self.sizes)
            keep_next = tuple(j for j in wide if j == a or j in clique)
            gone = [axis for axis, j in enumerate(wide) if j not in keep_next]
            table, known = (table.sum(gone) if gone else table), keep_next
        out = table.sum([axis for axis, j in enumerate(known) if j not in (a, b)]) if len(known) > 2 else table
        return (out if a < b else out.T).numpy()

    def _path(self, a: int, b: int) -> list[int] | None:
        """Cliques from one with ``a`` to one with ``b``, the shortest such; ``None`` between components."""
        starts, goals = ({i for i, c in enumerate(self.cliques) if j in c} for j in (a, b))
        neighbours: dict[int, list[int]] = {i: [] for i in range(len(self.cliques))}
        for i, parent in enumerate(self.parents):
            if parent >= 0:
                neighbours[i].append(parent)
                neighbours[parent].append(i)
        came: dict[int, int] = dict.fromkeys(starts, -1)
        queue = sorted(starts)
        for i in queue:
            if i in goals:
                path = [i]
                while came[path[-1]] >= 0:
                    path.append(came[path[-1]])
                return path[::-1]
            for n in neighbours[i]:
                if n not in came:
                    came[n] = i
                    queue.append(n)
        return None

    def draw(self, beliefs: Sequence[Tensor], rows: int, rng: np.random.Generator) -> np.ndarray:
        """Rows [rows, columns] of cells; systematic within equal separators, so that shares come out even."""
        out = np.zeros((rows, len(self.sizes)), np.int64)
        for clique, separator, belief in zip(self.cliques, self.separators, beliefs, strict=True):
            new = tuple(j for j in clique if j not in separator)
            table = torch.exp(belief).numpy().transpose([clique.index(j) for j in (*separator, *new)])
            shape = [self.sizes[j] for j in new]
            table = table.reshape(-1, int(np.prod(shape)))
            group = np.zeros(rows, np.int64)
            for j in separator:
                group = group * self.sizes[j] + out[:, j]
            cells = _systematic(table, group, rng)
            for j, values in zip(new, np.unravel_index(cells, shape), strict=True):
                out[:, j] = values
        return out


def _systematic(table: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each row a column of ``table`` by the probabilities of the table's row ``group``."""
    cells = np.zeros(len(group), np.int64)
    order = np.argsort(group + rng.random(len(group)), kind="stable")  # by group, random inside
    codes, starts, counts = np.unique(group[order], return_index=True, return_counts=True)
    for code, start, count in zip(codes.tolist(), starts.tolist(), counts.tolist(), strict=True):
        share = np.cumsum(np.maximum(table[code], 0) + 1e-300)
        at = (np.arange(count) + rng.random()) / count * share[-1]
        cells[order[start:start + count]] = np.minimum(np.searchsorted(share, at, "right"), table.shape[1] - 1)
    return cells


def _shaped(table: Tensor, columns: Clique, wide: Clique, sizes: Sequence[int]) -> Tensor:
    return table.reshape([sizes[j] if j in columns else 1 for j in wide])


def _eliminated(sizes: Sequence[int], factors: Iterable[Clique]) -> list[Clique]:
    """Cliques met while columns are eliminated, the one with the least table first."""
    near: dict[int, set[int]] = {j: set() for j in range(len(sizes))}
    for factor in factors:
        for a, b in combinations(factor, 2):
            near[a].add(b)
            near[b].add(a)
    left, cliques = set(near), []
    while left:
        best = min(sorted(left), key=lambda j: (sizes[j] * float(np.prod([sizes[i] for i in near[j]])), j))
        cliques.append(tuple(sorted({best, *near[best]})))
        for a, b in combinations(near[best], 2):
            near[a].add(b)
            near[b].add(a)
        for j in near[best]:
            near[j].discard(best)
        left.discard(best)
    return cliques


def _maximal(cliques: list[Clique]) -> list[Clique]:
    kept: list[Clique] = []
    for clique in sorted(set(cliques), key=lambda c: (-len(c), c)):
        if not any(set(clique) <= set(other) for other in kept):
            kept.append(clique)
    return sorted(kept)


def _spanning(cliques: list[Clique]) -> tuple[list[int], list[int], list[Clique]]:
    """Largest separators first (Prim): order, parents by place in the order, separators."""
    order, parents, left = [0], [-1], set(range(1, len(cliques)))
    separators: list[Clique] = [()]
    best = {i: (len(set(cliques[0]) & set(cliques[i])), 0) for i in left}
    while left:
        i = max(sorted(left), key=lambda n: best[n][0])
        shared, parent = best[i]
        order.append(i)
        parents.append(parent if shared else -1)
        separators.append(tuple(sorted(set(cliques[i]) & set(cliques[order[parent]]))) if shared else ())
        left.discard(i)
        for n in left:
            common = len(set(cliques[i]) & set(cliques[n]))
            if common > best[n][0]:
                best[n] = (common, len(order) - 1)
    return order, parents, separators
