"""Linkability: can the synthetic table tell that two records, in two registers, are of one person?"""

from __future__ import annotations

import math

import numpy as np

from validators.criteria.base import Outcome, People

NEIGHBOURS = 5


def linkability(people: People) -> list[Outcome]:
    """Each register has half of the columns; right if the nearest synthetic rows of both halves share one.

    As in Giomi et al. 2023. The columns are dealt in turn, those with the most values first, so that both registers
    are about as telling; the baseline are two random choices of as many rows (hypergeometric).
    """
    names = sorted(people.schema.names, key=lambda n: (-people.reference[n].nunique(), n))
    halves = frozenset(names[::2]), frozenset(names[1::2])
    if not halves[1]:
        return []
    first, second = (people.nearest(half, NEIGHBOURS) for half in halves)
    rights = [float((one[:, :, None] == two[:, None, :]).any(axis=(1, 2)).mean())
              for one, two in zip(first, second, strict=True)]
    return [Outcome("two registers", rights[0], rights[1], chance(len(people.synthetic), first[0].shape[1]),
                    len(people.train))]


def chance(rows: int, count: int) -> float:
    """Probability that two random choices of ``count`` among ``rows`` share one."""
    if rows < 2 * count:
        return 1.0
    logs = [math.lgamma(n + 1) for n in (rows - count, rows - 2 * count, rows, rows - count)]
    return float(-np.expm1(logs[0] - logs[1] - (logs[2] - logs[3])))
