"""The tail of the attacks: are those they are surest of more often people who were trained on?

A few people copied with a little noise move no average, and a share found at one per cent of false positives only when
they are as many as the false positives are. But if nobody leaks, train and untouched people are exchangeable: of the
K people on both sides whom an attack is surest of, the number who were trained on is hypergeometric. It may veto and
never justify, as nearness does. Measured on 8,000 real rows: of tables with 2 % of the rows copied, .1 standard
deviations of noise on all numbers, it stopped four of four, with 1 % three of four.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from validators import statistics as st
from validators.finding import Finding, Verdict
from validators.membership import Half

SHARES = (0.01, 0.02)  # of all people on both sides, whom an attack is surest of
LEAST = 20  # of them


def tail(halves: Sequence[Half], attacks: Sequence[str], significance: float, *, identity: str = "leakage.tail",
         title: str = "People of train among those that attacks are surest of (may veto, never justify)") -> Finding:
    """The surest sign of any of the ``attacks``, over both halves and all shares (Bonferroni)."""
    tried: list[tuple[float, str, float, float, int]] = []  # p, attack, share trained on, expected, how many
    for half in halves:
        for number, name in enumerate(half.names):
            if name.startswith(tuple(attacks)):
                for share in SHARES:
                    p, found, expected, count = _surest(half.members[number], half.others[number], share)
                    tried.append((p, name, found, expected, count))
    smallest, name, value, floor, count = min(tried)
    p = min(1.0, smallest * len(tried))
    error = np.sqrt(floor * (1 - floor) / count)
    needed = floor + (st.quantile(1 - significance / len(tried)) + st.quantile(0.8)) * error
    rows = sum(half.others.shape[1] for half in halves)
    return Finding(
        id=identity, title=title, value=st.number(value), low=st.number(value - st.quantile(st.LEVEL) * error),
        high=st.number(min(value + st.quantile(st.LEVEL) * error, 1.0)), unit="share", floor=st.number(floor),
        n=st.rounded(rows), verdict=Verdict.FAIL if p < significance else Verdict.INFO,
        method=f"of the {', '.join(f'{100 * s:g}' for s in SHARES)} % of train and untouched people whom an attack is "
               f"surest of, the share of train against its share of all (hypergeometric, {len(tried)} tests with "
               f"Bonferroni's correction): p = {p:.2g}, a veto below {significance:g}; the surest sign is of {name!r}",
        power=f"a share of {min(needed, 1.0):.3f} where {floor:.3f} is chance, with 80 % power",
        remedy="some training rows are reproduced with little change: train shorter, use more rows or a smaller model",
        detail={"p_value": float(f"{p:.3g}"), "worst": name})


def _surest(members: np.ndarray, others: np.ndarray, share: float) -> tuple[float, float, float, int]:
    """Of the people with the highest scores: p-value, the share of members, the share expected, how many they are."""
    scores = np.concatenate([others, members])
    count = min(max(int(share * len(scores)), LEAST), len(scores))
    order = np.argsort(-scores, kind="stable")[:count]  # of equal scores untouched people come first
    hits = int((order >= len(others)).sum())
    p = float(stats.hypergeom.sf(hits - 1, len(scores), len(members), count))
    return p, hits / count, len(members) / len(scores), count
