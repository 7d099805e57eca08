"""What DICOM files say of themselves, read from their headers alone: the tags that a contract's columns name.

Which tags may be asked for, and what becomes of their values, is decided in :mod:`synth.medical.files.deidentify`;
nothing else of a header gets into a listing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synth.medical.files.deidentify import facts, refused

_SHAPE = ("Rows", "Columns", "NumberOfFrames", "Modality", "SeriesInstanceUID", "ImageType")


@dataclass(frozen=True)
class Header:
    """The facts asked for as a table would hold them, and what the listing needs of a file's geometry."""

    facts: dict[str, str] = field(default_factory=dict)
    modality: str = ""
    series: str = ""
    frames: int = 1
    size: tuple[int, int] = (0, 0)
    localizer: bool = False
    capped: bool = False  # an age was above 89


def unreadable(keywords: Sequence[str]) -> list[str]:
    """Those of the keywords that no header is asked for: unknown ones, names, dates, free text."""
    return refused(keywords)


def read_header(path: Path, keywords: Sequence[str]) -> Header | None:
    """The header of a DICOM file, pixels not touched; ``None`` if it cannot be read as one."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            data = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=[*_SHAPE, *keywords])
            found, notes = facts(data, keywords)
            return Header(facts={k: _text(v) for k, v in found.items()}, capped="age-capped" in notes,
                          modality=str(data.get("Modality") or ""), series=str(data.get("SeriesInstanceUID") or ""),
                          frames=int(data.get("NumberOfFrames") or 1),
                          size=(int(data.get("Rows") or 0), int(data.get("Columns") or 0)),
                          localizer="LOCALIZER" in [str(v).upper() for v in data.get("ImageType") or []])
    except Exception:  # anything a malformed file may raise; reading its pixels will say what is wrong with it
        return None


def _text(value: str | float) -> str:
    """The text a table would hold: 61, not 61.0."""
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) else f"{value:.4f}".rstrip("0")
