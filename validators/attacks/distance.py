"""Attacks by distance: a training row has a synthetic row closer than it should."""

from __future__ import annotations

import numpy as np

from validators.attacks.base import NEIGHBOURS, View, least_distance, nearest


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


class ClosestRecordCalibrated:
    """The same, calibrated by the distance to the closest reference row (GAN-Leaks, CCS 2020).

    The paper subtracts errors of reconstruction; distances are compared by their logarithms here, because how far
    the closest row lies grows with how isolated a record is.
    """

    def __init__(self, seed: int) -> None:
        pass

    def fit(self, reference: View, synthetic: View) -> ClosestRecordCalibrated:
        """Keep both tables."""
        self.reference, self.synthetic = reference, synthetic
        self.least = least_distance(reference, synthetic)
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        near = nearest(self.synthetic, records, NEIGHBOURS, "synthetic")[:, 0]
        usual = nearest(self.reference, records, NEIGHBOURS, "reference")[:, 0]
        return np.log(usual + self.least) - np.log(near + self.least)


class NeighbourRatio:
    """Second closest synthetic row over the closest: a copy stands alone (NNDR; a feature of CITADEL's, MIDST 2025)."""

    def __init__(self, seed: int) -> None:
        pass

    def fit(self, reference: View, synthetic: View) -> NeighbourRatio:
        """Keep the synthetic rows."""
        self.synthetic, self.least = synthetic, least_distance(reference, synthetic)
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        near = np.log(nearest(self.synthetic, records, NEIGHBOURS, "synthetic") + self.least)
        return near[:, min(1, near.shape[1] - 1)] - near[:, 0]


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
        self.least = least_distance(reference, synthetic)
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        near = nearest(self.synthetic, records, NEIGHBOURS, "synthetic")
        usual = nearest(self.reference, records, NEIGHBOURS, "reference")
        return np.log(usual + self.least).mean(axis=1) - np.log(near + self.least).mean(axis=1)
