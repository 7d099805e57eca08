"""De-identification by whitelist: the only attributes of a DICOM file that can reach anything stored.

PS3.15 annex E lists what must go; a list of what may stay is shorter and does not age. Three sets: what describes
the pixels (used while reading, not kept), what a contract may ask for (its columns then say how it is treated: an
identifier is dropped, an age is modelled), and what a released file may hold. Private elements, overlays, curves,
free text, names, dates and everything nobody thought of are in none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OLDEST = 89  # years: older patients become OLDEST + 1 (HIPAA safe harbour, 45 CFR 164.514(b)(2)(i)(C))
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}

TECHNICAL = frozenset((  # how pixels are stored, shown and placed
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelAspectRatio", "PixelSpacing",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing", "SpacingBetweenSlices", "SliceThickness",
    "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth", "PresentationLUTShape",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "BurnedInAnnotation", "Modality", "ImageType", "SOPClassUID"))

ASKABLE = frozenset((  # what a column of a contract may be read from, besides TECHNICAL
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",  # link images; identifiers
    "PatientSex", "PatientAge", "PatientSize", "PatientWeight", "EthnicGroup", "SmokingStatus", "PregnancyStatus",
    "BodyPartExamined", "Laterality", "ImageLaterality", "ViewPosition", "PatientPosition", "PatientOrientation",
    "Manufacturer", "ManufacturerModelName", "MagneticFieldStrength", "InstitutionName", "StationName",
    "DeviceSerialNumber", "ContrastBolusAgent", "KVP", "XRayTubeCurrent", "ExposureTime", "Exposure",
    "ConvolutionKernel", "ReconstructionDiameter", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle",
    "EchoTrainLength", "ScanningSequence", "SequenceVariant", "MRAcquisitionType", "SeriesNumber", "InstanceNumber",
    "AcquisitionNumber", "FrameTime", "HeartRate", "BreastImplantPresent", "PartialView", "ConversionType"))


def refused(keywords: Iterable[str]) -> list[str]:
    """Those of a contract's keywords that are not read from any file: names, dates, addresses, free text."""
    return sorted(set(keywords) - TECHNICAL - ASKABLE)


def facts(data: Dataset, keywords: Sequence[str]) -> tuple[dict[str, str | float], tuple[str, ...]]:
    """Values of the permitted ``keywords`` that the file has, and notes.

    Numbers are floats, ages years (above 89: 90, and the note "age-capped"), the rest text; of several values the
    first. Keywords that are not permitted, and sequences, are passed over.
    """
    found: dict[str, str | float] = {}
    notes: tuple[str, ...] = ()
    for keyword in keywords:
        if keyword not in TECHNICAL | ASKABLE or keyword not in data:
            continue
        element = data[keyword]
        value = element.value
        if element.VM > 1 and not isinstance(value, str):
            value = value[0]
        if element.VR == "SQ" or isinstance(value, bytes) or value is None or str(value).strip() == "":
            continue
        if element.VR == "AS":
            age = years(str(value))
            if age is not None:
                found[keyword] = age if age <= OLDEST else float(OLDEST + 1)
                notes = notes if age <= OLDEST else ("age-capped",)
        elif element.VR in ("DS", "IS", "US", "SS", "UL", "SL", "FL", "FD"):
            found[keyword] = float(value)
        else:
            found[keyword] = str(value).strip()
    return found, notes


def years(age: str) -> float | None:
    """A DICOM age string ("045Y", "006M") in years; None if it is not one."""
    parts = re.fullmatch(r"(\d{1,3})([DWMY])", age.strip())
    return None if parts is None else int(parts[1]) * _YEARS[parts[2]]


def elements(data: Dataset) -> Iterator[tuple[str, int]]:
    """(keyword, tag) of every element, also inside sequences; private and unknown ones have the keyword ""."""
    for element in data:
        yield element.keyword, int(element.tag)
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)


def strangers(data: Dataset, allowed: frozenset[str]) -> list[str]:
    """Elements, at any depth, that are not in ``allowed``: their keywords, or "(gggg,eeee)"."""
    return sorted({keyword or f"({tag >> 16:04x},{tag & 0xFFFF:04x})" for keyword, tag in elements(data)
                   if keyword not in allowed})
