"""The black-box discriminator attack."""

from __future__ import annotations

import numpy as np

from synth.seeds import derive
from validators.attacks.base import View
from validators.discriminator import boosting, learnable


class Classifier:
    """Log-odds that a record is synthetic rather than reference (Hayes et al., LOGAN, PoPETs 2019)."""

    def __init__(self, seed: int) -> None:
        self.seed = derive(seed, "classifier")

    def fit(self, reference: View, synthetic: View) -> Classifier:
        """Boosting on reference against synthetic rows."""
        data = np.concatenate([synthetic.features, reference.features])
        label = np.r_[np.ones(len(synthetic)), np.zeros(len(reference))]
        self.model = boosting(self.seed, reference.categorical).fit(learnable(data), label)
        return self

    def score(self, records: View) -> np.ndarray:
        """float64 (rows,)."""
        return np.asarray(self.model.decision_function(records.features), dtype=np.float64)
