"""What reading a file gives: an image, or the reason why it is put aside. Never an exception, never a value of it.

A file that cannot be judged is refused: the caller puts it in quarantine under its code. Sizes are known from the
headers and capped before anything is decoded, so that a small file cannot ask for a large memory.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.contract.pixels import Pixels, Window
from synth.medical.intensity import Intensity

MOST_BYTES = 2 * 1024**3  # of a file as it lies on the disk
MOST_IMAGE_VALUES = 64_000_000  # samples of an image: a mammogram has 20 million
MOST_VOLUME_VALUES = 256_000_000  # samples of a volume: 512 x 512 x 900

CODES: Mapping[str, str] = {  # reason code -> what to do
    "missing": "there is no such file: correct the listing",
    "not-a-file": "a folder or a device stands where an image should",
    "not-an-image": "only DICOM, NIfTI, PNG, JPEG, TIFF and BMP are read",
    "empty": "the file has no bytes: copy it again",
    "truncated": "the file ends before its pixels do: copy it again",
    "damaged": "the file's header or pixels cannot be decoded: export it again",
    "no-pixels": "a DICOM file without an image (a report, a structure set): take it out of the listing",
    "no-decoder": "its compression cannot be read here: export it uncompressed or as JPEG 2000",
    "too-large": "more bytes or pixels than are decoded: shrink it first",
    "modality": "another modality than the contract says: take it out, or correct `modality`",
    "colour": "colour where the contract says one channel: convert it, or say `channels: 3`",
    "multi-frame": "several frames in a file for one image, or fewer than its header says: save its frames as files",
    "dimensions": "a volume for a contract of images, or the reverse: correct `size`",
    "not-finite": "pixels that are not numbers: fill them at the source",
    "constant": "all pixels are equal inside the window: take it out, or correct `window`",
    "burned-in-text": "text stands in the pixels: remove it, it may be a name",
    "mask-shape": "the mask does not lie on the grid of its image: resample it",
    "mask-values": "the mask has labels outside 0 to maskClasses - 1: renumber them",
    "localizer": "a scout image among the slices: take it out",
    "several-series": "a folder with slices of several series: one folder a series",
    "slices": "slices are missing, doubled, or unevenly spaced: export the series again",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file is put aside: one of :data:`CODES`. Never holds a name or a value."""

    code: str

    @property
    def hint(self) -> str:
        """What a person can do about it."""
        return CODES[self.code]


class Refused(Exception):
    """Raised inside the readers, turned into a :class:`Refusal` by ``read``."""

    def __init__(self, code: str) -> None:
        assert code in CODES, code
        super().__init__(code)
        self.refusal = Refusal(code)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """One image or volume at its own size.

    ``values`` float32 [channels, *size] in the units of ``intensity`` (not clipped to its window); of a mask, the
    labels 0 to maskClasses - 1. Volumes are in patient space: depth runs to the head, height to the back, width
    to the patient's left, so that a slice looks as a radiologist sees it.
    """

    values: NDArray[np.float32]
    intensity: Intensity
    spacing: tuple[float, ...] | None = None  # mm between samples along each side; None: the file does not say
    facts: Mapping[str, str | float] = field(default_factory=dict)  # DICOM keyword -> value, of those asked for
    notes: tuple[str, ...] = ()  # codes of what was done to it, e.g. "overlay-dropped"


def intensity_of(pixels: Pixels) -> Intensity:
    """The window of a data set.

    A declared window is kept in its unit. Without one, every file is brought to display values, 0 to 255 or to
    65,535 by the contract's bits: by its VOI window, else its bit depth, else (where neither means anything: NIfTI,
    and deep DICOM without a window) by the 0.1 and 99.9 percentiles of its own values.
    """
    if isinstance(pixels.window, Window):
        return Intensity(low=0.0, high=float(2**pixels.bits - 1), unit="", bits=pixels.bits)
    low, high = pixels.window
    return Intensity(low=low, high=high, unit=pixels.unit, bits=pixels.bits)


def display(values: NDArray[np.float32], low: float, high: float, to: Intensity) -> NDArray[np.float32]:
    """``values`` clipped to [low, high] and brought to the range of ``to``; a range without width becomes low."""
    if not high > low:
        return np.full_like(values, to.low)
    share = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return (to.low + share * np.float32(to.high - to.low)).astype(np.float32)


def robust_range(values: NDArray[np.float32]) -> tuple[float, float]:
    """The 0.1 and 99.9 percentiles (of at most about a million samples)."""
    flat = values.reshape(-1)
    low, high = np.percentile(flat[:: max(1, flat.size // 1_000_000)], (0.1, 99.9))
    if not high > low:
        low, high = flat.min(), flat.max()
    return float(low), float(high)


def head_of(path: Path, most: int = 512) -> bytes:
    """The first bytes of an ordinary file; refused if there is none, or if it is empty or too large."""
    try:
        status = path.stat()  # of what a link leads to; that it stays in the data folder is the listing's matter
    except OSError:
        raise Refused("missing") from None
    if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
        raise Refused("not-a-file")
    if status.st_size == 0:
        raise Refused("empty")
    if status.st_size > MOST_BYTES:
        raise Refused("too-large")
    try:
        with path.open("rb") as stream:
            return stream.read(most)
    except OSError:
        raise Refused("missing") from None


def most_values(pixels: Pixels) -> int:
    """Cap on the samples of one file."""
    return MOST_VOLUME_VALUES if pixels.volumetric else MOST_IMAGE_VALUES


def one_channel(colour: NDArray[np.float32], span: float) -> NDArray[np.float32]:
    """Grey [1, *size] of a picture [3, *size] that is grey but for compression noise; refused if it is not.

    ``span`` is the range of a sample. JPEG's rounding of chroma moves grey by a few steps of 255.
    """
    apart = colour.max(axis=0) - colour.min(axis=0)
    if np.mean(apart > 0.06 * span) > 0.001:
        raise Refused("colour")
    if not apart.any():
        return colour[:1]
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
    return np.tensordot(weights, colour, axes=1)[None].astype(np.float32)


def labels(values: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """Labels 0 to classes - 1 of a mask's samples; with two classes, whatever is not 0 is 1."""
    if not np.isfinite(values).all():
        raise Refused("not-finite")
    found = np.unique(values)
    if classes == 2 and len(found) <= 2 and found[0] == 0:
        return (values != 0).astype(np.float32)
    if found[0] < 0 or found[-1] >= classes or (found != np.rint(found)).any():
        raise Refused("mask-values")
    return values.astype(np.float32)
