"""Membership-inference attacks: one small class each, in one registry.

An attack is fitted on the reference part (rows the attacker may know from elsewhere) and on the synthetic
table, and scores records: the higher, the more it believes that a record was trained on. It never sees
train or holdout while fitting. No single attack dominates (Synth-MIA, 2025), so the worst of the panel
decides, and a panel that finds nothing proves nothing about attacks outside it.
"""

from __future__ import annotations

from collections.abc import Callable

from validators.attacks.base import Attack, View
from validators.attacks.classifier import Classifier
from validators.attacks.density import Domias, GenLRA
from validators.attacks.distance import ClosestRecord, ClosestRecordCalibrated, LocalCount, NeighbourRatio
from validators.attacks.stacked import DistanceClassifier

ATTACKS: dict[str, Callable[[int], Attack]] = {
    "closest record": ClosestRecord,
    "closest record, calibrated": ClosestRecordCalibrated,
    "neighbour ratio": NeighbourRatio,
    "local count": LocalCount,
    "density ratio": Domias,
    "likelihood gain": GenLRA,
    "classifier": Classifier,
    "classifier on distances": DistanceClassifier,
}

__all__ = ["ATTACKS", "Attack", "View"]
