"""Copies of images: :mod:`validators.pieces` over pixels, with disguises that images can have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.medical.evidence import ImageEvidence, Images
from synth.tabular.evidence import PARTS
from validators import pieces as core
from validators.finding import Finding
from validators.medical.planted import KINDS, planted
from validators.pieces import SYNTHETIC, Detector, Nearness, Scale

__all__ = ["SYNTHETIC", "Detector", "Nearness", "Pieces", "Scale", "copies", "pieces"]


def _disguised(images: Sequence[Images], kind: str, random: np.random.Generator) -> NDArray[np.uint16]:
    return planted(np.concatenate([i.pixels for i in images]), kind, random)


IMAGES = core.Subject(
    record="image", records="images", person="patient", people="patients", kinds=KINDS, planted=_disguised,
    disguises="as they are, shifted, noisy, mirrored and re-windowed", content=lambda images: images.pixels,
    unseen="more patients, or images that show more of the patient, are needed")


@dataclass(frozen=True)
class Pieces(core.Pieces):
    """Equal pieces of real patients: those of train, then holdout and reference."""

    parts: tuple[Images, ...]

    @property
    def pixels(self) -> list[NDArray[np.uint16]]:
        """The images of each piece."""
        return [part.pixels for part in self.parts]


def pieces(evidence: ImageEvidence) -> Pieces:
    """Deal train into as few pieces as are no larger than holdout and reference, by patient."""
    dealt = core.pieces({p: evidence.part(p) for p in PARTS}, evidence.seed)
    return Pieces(dealt.parts, dealt.share)


def copies(evidence: ImageEvidence, dealt: Pieces, detectors: Sequence[Detector], *, excess: float,
           sensitivity: float, either: float, patients: int, images: int) -> list[Finding]:
    """Findings of every detector: the excess, unmistakable copies, and whether planted copies would have been found."""
    target = evidence.contract.target if evidence.labels("synthetic") is not None else None
    return core.copies(evidence.synthetic, dealt, detectors, IMAGES, target=target, excess=excess, people=patients,
                       sensitivity=sensitivity, either=either, records=images, k=evidence.contract.k,
                       seed=evidence.seed)
