"""What the gates look at for a set of scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.contract import Contract
from synth.driving.scenes import Scenes
from synth.tabular.evidence import PARTS, TableEvidence
from synth.tabular.schema import TableSchema

SYNTHETIC = "synthetic"


@dataclass(frozen=True, kw_only=True)
class SceneEvidence:
    """The three real parts and the synthetic set (samples of at most a cap, whole entities, of large sets).

    ``synthetic.table`` holds what each scene was asked to show; the rules of :mod:`.labels` say what it does show.
    """

    contract: Contract
    schema: TableSchema  # of the listing's modelled columns
    train: Scenes
    holdout: Scenes
    reference: Scenes
    synthetic: Scenes
    seed: int
    shards: Path | None = None  # the generate stage's folder of files to publish; None: there are none to read back
    critic: Callable[[Scenes], NDArray[np.float64]] | None = None  # a private model's score of each scene
    sample_again: Callable[[int, int], Scenes] | None = None  # (scenes, seed) -> fresh ones from the released model
    totals: Mapping[str, int] = field(default_factory=dict)  # PARTS and "synthetic", before sampling

    def part(self, name: str) -> Scenes:
        """One of PARTS, or "synthetic"."""
        found: Scenes = getattr(self, name)
        return found

    def total(self, part: str) -> int:
        """Number of scenes of a part before sampling."""
        return self.totals.get(part, len(self.part(part)))

    def listing(self) -> TableEvidence:
        """The tables alone, for gates on tables."""
        return TableEvidence(contract=self.contract, schema=self.schema, seed=self.seed, totals=self.totals,
                             entities={part: self.part(part).entities for part in PARTS}, train=self.train.table,
                             holdout=self.holdout.table, reference=self.reference.table,
                             synthetic=self.synthetic.table)
