"""The report's statement of differential privacy, with the fields that NIST SP 800-226 asks for; or that there is none.

The fit stage's record says what was done (``privacy``); what the claim amounts to is worked out here: the most
members that any attacker can find at a given rate of false accusations (Kairouz, Oh and Viswanath 2015), which
bounds every attack in this report whether it is in the panel or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from validators.report.disclosure import plain, tidy
from validators.report.words import finite

NONE = "no formal guarantee"
FIELDS = ("epsilon", "delta", "unit", "contributions", "neighbours", "mechanisms", "accountants", "curve", "outside",
          "bounds", "rng", "audit", "implied", "definition", "sampling", "covers", "trust")
FALSE_ALARMS = (0.001, 0.01, 0.05, 0.1)
OUTSIDE = ("this report and its figures, which were computed on real people and are no part of the guarantee",
           "the ledger's keyed samples of who was trained on, which say nothing without the publisher's key")
AUDITED = {"correct": "right guesses", "claimed": "epsilon claimed", "lower_bound": "epsilon shown at least",
           "ceiling": "epsilon if all guesses had been right", "runs": "measurements", "cells": "noisy figures seen",
           "noise": "their noise, of what is claimed", "contradicts": "contradicts the claim",
           "could_contradict": "guesses could have contradicted it", "quiet": "too little noise"}  # in words
TRUST = "The publisher runs the training and sees the private data; whoever gets the release is not trusted."


def statement(privacy: Any, ledger: Mapping[str, Any], commit: Any, k: int, audit: Any = None) -> dict[str, Any]:
    """The ``dp`` part of the report, from the fit stage's record, the ledger's facts and what an audit found."""
    if not isinstance(privacy, Mapping):
        return {"none": NONE}
    said = tidy(plain(privacy), k)
    epsilon, delta = finite(said.get("epsilon")), finite(said.get("delta"))
    rest = {key: value for key, value in said.items() if key not in FIELDS}
    outside = list(said.get("outside") or [])
    outside += OUTSIDE[1:] if any("report" in text for text in outside) else OUTSIDE
    points = [(e, d) for e, d in _curve(said.get("curve")) if d < 1]
    points += [] if epsilon is None else [(epsilon, delta or 0.0)]
    return {
        **{key: said.get(key) for key in FIELDS}, "outside": outside,
        "audit": said.get("audit") if audit is None else audit,
        "curve": [{"epsilon": e, "delta": d} for e, d in _curve(said.get("curve"))],
        "definition": said.get("definition") or f"{'approximate' if delta else 'pure'} differential privacy",
        "trust": said.get("trust") or TRUST,
        "attacks_bound": [{"false_alarms": rate, "found": min(most_found(e, d, rate) for e, d in points)}
                          for rate in FALSE_ALARMS if points],
        "cumulative": {key: ledger.get(key) for key in ("spent", "after", "total", "composition")} if ledger else None,
        "side_channels": "How long the training took and whether it failed are not hidden from its operators.",
        "commit": commit, "rest": rest,
    }


def audited(found: Any) -> Any:
    """What an audit found, for people."""
    return {AUDITED.get(key, key): value for key, value in found.items()} if isinstance(found, Mapping) else found


def _curve(points: Any) -> list[tuple[float, float]]:
    """(epsilon, delta) pairs of the privacy curve; what is none is left out."""
    found = []
    for point in points if isinstance(points, list) else ():
        if isinstance(point, list) and len(point) == 2:
            epsilon, delta = finite(point[0]), finite(point[1])
            if epsilon is not None and delta is not None:
                found.append((epsilon, delta))
    return found


def most_found(epsilon: float, delta: float, false_alarms: float) -> float:
    """The highest true positive rate at a false positive rate that (epsilon, delta) allows any attacker."""
    low = math.exp(min(epsilon, 700.0)) * false_alarms + delta
    high = 1 - math.exp(-epsilon) * (1 - delta - false_alarms)
    return max(min(low, high, 1.0), false_alarms)
