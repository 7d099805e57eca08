"""What the gates look at for a set of scenes."""

from __future__ import annotations

from dataclasses import dataclass

from synth.driving.scenes import Scenes
from synth.records.evidence import RecordsEvidence


@dataclass(frozen=True, kw_only=True)
class SceneEvidence(RecordsEvidence[Scenes]):
    """The three real parts and the synthetic set.

    ``synthetic.table`` holds what each scene was asked to show; the rules of :mod:`.labels` say what it does show.
    """
