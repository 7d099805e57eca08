"""A meta-attack: a classifier over the distances that the other attacks read one at a time."""

from __future__ import annotations

import numpy as np

from synth.seeds import derive, generator
from validators.attacks.base import View

NEIGHBOURS = 10
BLURS = (0.0, 0.1, 0.2, 0.35)  # standard deviations; chance that a coordinate is another row's


class DistanceClassifier:
    """Logistic regression on log distances to synthetic and untouched rows, taught by leaks the attacker plants.

    The best black-box teams at MIDST (SaTML 2025) learned from such features (CITADEL and UQAM: Gower neighbours, NNDR,
    DOMIAS) by training generators of their own. Here nothing is trained anew: of the reference rows a third plays
    members, a third others, a third what is known; blurred copies of the "members" join the synthetic rows, at several
    strengths, and the regression learns which pattern of distances gives them away.
    """

    def __init__(self, seed: int) -> None:
        self.seed = derive(seed, "classifier on distances")

    def fit(self, reference: View, synthetic: View) -> DistanceClassifier:
        """Plant, measure, regress."""
        from sklearn.linear_model import LogisticRegression

        rng, points = generator(self.seed, "plant"), reference.points
        members, others, self.known = (points[part] for part in np.array_split(rng.permutation(len(points)), 3))
        self.synthetic = synthetic.points
        spread = points.std(axis=0)
        inner = _distances(self.known, self.synthetic[:2000])
        self.least = float(np.quantile(inner[inner > 0], 0.01)) if (inner > 0).any() else 1e-3
        usual = [_distances(self.known, part) for part in (members, others)]
        near = [_distances(self.synthetic, part) for part in (members, others)]
        data, label = [], []
        for blur in BLURS:
            copies = members + blur * spread * rng.standard_normal(members.shape)
            strangers = points[rng.integers(0, len(points), len(members))]
            copies = np.where(rng.random(members.shape) < blur, strangers, copies).astype(np.float32)
            for part, known, drawn, member in zip((members, others), usual, near, (1, 0), strict=True):
                both = np.sort(np.concatenate([drawn, _distances(copies, part)], axis=1), axis=1)
                data.append(self._features(known, both[:, : drawn.shape[1]]))
                label.append(np.full(len(part), member))
        table = np.concatenate(data)
        self.mean, self.scale = table.mean(axis=0), table.std(axis=0) + 1e-9
        self.model = LogisticRegression(max_iter=300).fit((table - self.mean) / self.scale, np.concatenate(label))
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        features = self._features(_distances(self.known, records.points), _distances(self.synthetic, records.points))
        return np.asarray(self.model.decision_function((features - self.mean) / self.scale), dtype=np.float64)

    def _features(self, known: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
        """(rows, 8): nearness, NNDR, and both calibrated by untouched rows at several ranks."""
        usual, near = np.log(known + self.least), np.log(synthetic + self.least)
        middle = min(4, usual.shape[1] - 1, near.shape[1] - 1)
        return np.column_stack([
            near[:, 0], near[:, min(1, near.shape[1] - 1)] - near[:, 0], near[:, -1] - near[:, 0],
            usual[:, 0], usual[:, -1] - usual[:, 0], usual[:, 0] - near[:, 0], usual[:, middle] - near[:, middle],
            usual.mean(axis=1) - near.mean(axis=1)])


def _distances(points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    from validators.diversity import neighbour_distances

    return neighbour_distances(points, queries, NEIGHBOURS)
