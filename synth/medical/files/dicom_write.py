"""Synthetic images as DICOM: built from nothing but a whitelist, so no source file can show through.

Every file says that it is synthetic: Synthetic Data (0008,001C) YES, ImageType DERIVED\\SECONDARY, and the
synthesizing equipment in Contributing Equipment (PS3.3 C.12.1.1). UIDs are fresh, under 2.25 (PS3.5 B.2), and made
of the seed and the picture, so that equal pictures of a seed have equal files and different ones never share a UID.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synth.contract.pixels import Pixels, Window
from synth.medical.files.deidentify import OLDEST
from synth.medical.intensity import Intensity

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

_CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4",
            "DX": "1.2.840.10008.5.1.4.1.1.1.1"}  # image storage; everything else is a secondary capture
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MAKER = "synth-pipeline"
FACTS = frozenset(("PatientSex", "PatientAge", "PatientSize", "PatientWeight", "BodyPartExamined", "Laterality",
                   "ViewPosition"))  # of the synthetic row, written where the contract says it came from there
WRITTEN = FACTS | frozenset((
    "SpecificCharacterSet", "ImageType", "SyntheticData", "SOPClassUID", "SOPInstanceUID", "StudyDate", "StudyTime",
    "AccessionNumber", "Modality", "ConversionType", "PresentationIntentType", "Manufacturer",
    "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientIdentityRemoved",
    "DeidentificationMethod", "BurnedInAnnotation", "StudyInstanceUID", "SeriesInstanceUID", "StudyID", "SeriesNumber",
    "AcquisitionNumber", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "PatientOrientation", "PatientPosition", "SliceThickness", "KVP", "ScanningSequence",
    "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength",
    "ContributingEquipmentSequence", "PurposeOfReferenceCodeSequence", "CodeValue", "CodingSchemeDesignator",
    "CodeMeaning", "ManufacturerModelName", "ContributionDescription", "SoftwareVersions", "SamplesPerPixel",
    "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelSpacing", "ImagerPixelSpacing", "PixelIntensityRelationship",
    "PixelIntensityRelationshipSign", "LossyImageCompression", "RescaleIntercept", "RescaleSlope", "RescaleType",
    "WindowCenter", "WindowWidth", "PresentationLUTShape", "AcquisitionContextSequence", "AnatomicRegionSequence",
    "DetectorType", "ImageLaterality", "PixelData"))


def uid(seed: int, *names: str | int) -> UID:
    """A UID under 2.25 for the stream ``names`` below ``seed``: a version 8 UUID as one number."""
    from pydicom.uid import UID

    digest = bytearray(hashlib.sha256("/".join([str(seed), *map(str, names)]).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UID(f"2.25.{int.from_bytes(digest, 'big')}")


def dicom_bytes(image: NDArray[np.uint16], intensity: Intensity, pixels: Pixels, *, seed: int, number: int,
                spacing: Sequence[float] | None = None, facts: Mapping[str, Any] | None = None) -> bytes:
    """A DICOM file of uint16 [channels, height, width]; ``number`` is its place in the set.

    ``facts`` are values of the synthetic row by keyword; those outside :data:`FACTS` are left out.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    kind = UID(_CLASSES.get(pixels.modality.upper(), _SECONDARY_CAPTURE))
    picture = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["DERIVED", "SECONDARY", *{"CT": ["AXIAL"], "MR": ["OTHER"]}.get(pixels.modality.upper(), [])]
    data.SyntheticData = "YES"
    data.SOPClassUID, data.SOPInstanceUID = kind, uid(seed, "image", number, picture)
    data.StudyInstanceUID, data.SeriesInstanceUID = uid(seed, "study", number, picture), uid(
        seed, "series", number, picture)
    data.Modality = pixels.modality.upper() or "OT"
    data.Manufacturer = _MAKER
    for empty in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate",
                  "PatientSex", "StudyID"):
        setattr(data, empty, "")
    data.PatientID, data.PatientName = f"SYN-{number:06d}", f"SYNTHETIC^{number:06d}"
    data.SeriesNumber = data.InstanceNumber = "1"
    data.PatientIdentityRemoved, data.DeidentificationMethod = "YES", "Synthetic image, no source instance"
    data.BurnedInAnnotation = "NO"
    data.ContributingEquipmentSequence = [_equipment()]
    _pixels(data, image, intensity, pixels)
    _module(data, pixels.modality.upper(), spacing, uid(seed, "frame", number, picture))
    _facts(data, facts or {})
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = kind
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.ImplementationClassUID = uid(0, _MAKER)
    data.file_meta.ImplementationVersionName = "SYNTH_PIPELINE"
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they would quote values
        data.save_as(out, enforce_file_format=True, little_endian=True, implicit_vr=False)
    return out.getvalue()


def _equipment() -> Dataset:
    from pydicom.dataset import Dataset

    purpose, equipment = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109100", "DCM"
    purpose.CodeMeaning = "Synthesizing Equipment"
    equipment.Manufacturer, equipment.ManufacturerModelName = _MAKER, "conditional generative adversarial network"
    equipment.ContributionDescription = "Drawn from a generative model; shows no person"
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    return equipment


def _pixels(data: Dataset, image: NDArray[np.uint16], intensity: Intensity, pixels: Pixels) -> None:
    from synth.medical.files.write import in_whole_units, steps

    channels, data.Rows, data.Columns = image.shape
    data.SamplesPerPixel, data.PixelRepresentation = channels, 0
    data.LossyImageCompression = "00"
    if channels == 3:
        data.PhotometricInterpretation, data.PlanarConfiguration = "RGB", 0
        samples, bits = np.moveaxis(steps(image, 8), 0, -1), 8
    else:
        data.PhotometricInterpretation = "MONOCHROME2"
        deep = pixels.modality.upper() in _CLASSES or intensity.bits == 16  # CT and MR always have 16 bits
        bits, slope, intercept = (16 if deep else 8), 1.0, intensity.low
        if deep and in_whole_units(intensity):
            samples = np.rint(intensity.restore(image[0]) - intensity.low).astype(np.uint16)
        else:
            samples = steps(image[0], bits)
            slope = (intensity.high - intensity.low) / (2**bits - 1)
        data.RescaleSlope, data.RescaleIntercept = number_text(slope), number_text(intercept)
        data.RescaleType = {"HU": "HU"}.get(intensity.unit, "US")
        width = intensity.high - intensity.low  # the LINEAR function maps c - .5 -+ (w - 1) / 2 to black and white
        data.WindowCenter, data.WindowWidth = number_text(intensity.low + width / 2 + 0.5), number_text(width + 1)
        if isinstance(pixels.window, Window) and slope == 1 and intercept == 0:
            del data.RescaleSlope, data.RescaleIntercept, data.RescaleType
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit = bits - 1
    if bits == 16:
        data.add_new("PixelData", "OW", np.ascontiguousarray(samples, dtype="<u2").tobytes())
    else:
        raw = np.ascontiguousarray(samples).tobytes()
        data.add_new("PixelData", "OB", raw + b"\0" * (len(raw) % 2))


def _module(data: Dataset, modality: str, spacing: Sequence[float] | None, frame: str) -> None:
    """What the image classes of each modality must have; a synthetic image knows little of it."""
    across = [number_text(s) for s in (spacing[-2:] if spacing is not None else (1.0, 1.0))]
    if modality != "DX":
        data.Laterality = ""
    if modality in ("CT", "MR"):
        data.FrameOfReferenceUID, data.PositionReferenceIndicator = frame, ""
        data.ImagePositionPatient, data.ImageOrientationPatient = ["0", "0", "0"], ["1", "0", "0", "0", "1", "0"]
        data.PixelSpacing, data.SliceThickness, data.AcquisitionNumber = across, "", ""
        data.PatientPosition = "HFS"
    elif spacing is not None:
        setattr(data, "ImagerPixelSpacing" if modality == "DX" else "PixelSpacing", across)
    if modality == "CT":
        data.KVP = ""
    elif modality == "MR":
        data.ScanningSequence, data.SequenceVariant, data.ScanOptions = "RM", "NONE", ""
        data.MRAcquisitionType, data.RepetitionTime, data.EchoTime, data.EchoTrainLength = "", "", "", ""
    elif modality == "DX":
        data.PresentationIntentType, data.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
        data.PixelIntensityRelationship, data.PixelIntensityRelationshipSign = "LIN", 1
        data.AcquisitionContextSequence, data.AnatomicRegionSequence = [], []
        data.DetectorType, data.ImageLaterality, data.PatientOrientation = "", "U", ["L", "F"]
        if "RescaleSlope" not in data:  # required of this class
            data.RescaleSlope, data.RescaleIntercept, data.RescaleType = "1", "0", "US"
    else:
        data.ConversionType, data.PatientOrientation = "SYN", ""


def _facts(data: Dataset, facts: Mapping[str, Any]) -> None:
    for keyword, value in facts.items():
        if keyword not in FACTS or value is None or value != value:
            continue
        if keyword == "BodyPartExamined" and "AnatomicRegionSequence" in data:
            continue  # this class would want the region's code, too
        if keyword == "PatientAge":
            data.PatientAge = f"{min(max(int(value), 0), OLDEST + 1):03d}Y"
        elif keyword == "PatientSex":
            sex = str(value).strip().upper()[:1]
            data.PatientSex = sex if sex in ("M", "F", "O") else ""
        elif keyword == "Laterality":
            side = str(value).strip().upper()[:1]
            side = side if side in ("L", "R") else ""
            if "ImageLaterality" in data:
                data.ImageLaterality = side or "U"
            else:
                data.Laterality = side
        elif keyword in ("PatientSize", "PatientWeight"):
            setattr(data, keyword, number_text(float(value)))
        else:
            setattr(data, keyword, str(value).strip().upper()[:16])


def number_text(value: float) -> str:
    """A decimal string: as exact as its 16 characters allow."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return next(text for digits in range(15, 0, -1) if len(text := f"{value:.{digits}g}") <= 16)
