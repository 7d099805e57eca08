"""Does the listing that comes with the images have the mix of labels and numbers of fresh patients?"""

from __future__ import annotations

from synth.medical.evidence import ImageEvidence
from synth.seeds import generator
from validators import listing
from validators.finding import Finding
from validators.medical.arms import untouched


def judge(evidence: ImageEvidence, limit: float) -> list[Finding]:
    """The worst column of the listing against untouched rows, all rows of both; no finding without columns."""
    real, train = untouched(evidence), evidence.train
    return listing.judge((real.table, real.entities), evidence.synthetic.table, (train.table, train.entities),
                         evidence.reference.table, evidence.schema, limit=limit, who="patient",
                         rng=generator(evidence.seed, "medical", "listing"))
