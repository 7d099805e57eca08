"""Attacks by distance: a training row has a synthetic row closer than it should."""

from __future__ import annotations

import numpy as np

from validators.attacks.base import View, nearest

NEIGHBOURS = 25  # searched once for all attacks of this module


class ClosestRecord:
    """Score: minus the distance to the closest synthetic row (Chen et al., GAN-Leaks, CCS 2020)."""

    def __init__(self, seed: int) -> None:
        pass

    def fit(self, reference: View, synthetic: View) -> ClosestRecord:
        """Keep the synthetic rows."""
        self.synthetic = synthetic
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        return -nearest(self.synthetic, records, NEIGHBOURS, "synthetic")[:, 0]


class ClosestRecordDifference:
    """The same, calibrated by the distance to the closest reference row (GAN-Leaks, calibrated)."""

    def __init__(self, seed: int) -> None:
        pass

    def fit(self, reference: View, synthetic: View) -> ClosestRecordDifference:
        """Keep both tables."""
        self.reference, self.synthetic = reference, synthetic
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        return (nearest(self.reference, records, NEIGHBOURS, "reference")[:, 0]
                - nearest(self.synthetic, records, NEIGHBOURS, "synthetic")[:, 0])


class LocalCount:
    """How many synthetic rows lie around a record, against how many reference rows do.

    A k-nearest-neighbour form of the Monte Carlo attack (Hilprecht et al., PoPETs 2019): the mean log distance
    to the nearest synthetic rows, calibrated by that to the nearest reference rows.
    """

    def __init__(self, seed: int) -> None:
        pass

    def fit(self, reference: View, synthetic: View) -> LocalCount:
        """Keep both tables; the floor of a distance keeps coinciding rows finite."""
        self.reference, self.synthetic = reference, synthetic
        inner = nearest(reference, synthetic, NEIGHBOURS, "reference")
        positive = inner[inner > 0]
        self.least = float(np.quantile(positive, 0.01)) if len(positive) else 1e-3
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        near = nearest(self.synthetic, records, NEIGHBOURS, "synthetic")
        usual = nearest(self.reference, records, NEIGHBOURS, "reference")
        return np.log(usual + self.least).mean(axis=1) - np.log(near + self.least).mean(axis=1)
