"""Small files of every kind, made by the field's own libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.contract.pixels import Format, Pixels
from synth.medical.files import Loaded, Refusal, read

RAMP = np.arange(16 * 20).reshape(16, 20)  # every stored value once


def wanted(size: tuple[int, ...] = (16, 20), **said: Any) -> Pixels:
    if "release" in said:
        said["release"] = Format(said["release"])
    return Pixels(file="path", size=size, **said)


def values(path: Any, pixels: Pixels | None = None, **options: Any) -> NDArray[np.float32]:
    found = read(path, pixels or wanted(), **{"text": False, **options})
    assert isinstance(found, Loaded), found
    assert found.values.dtype == np.float32
    return found.values


def code(path: Any, pixels: Pixels | None = None, **options: Any) -> str:
    found = read(path, pixels or wanted(), **options)
    assert isinstance(found, Refusal), "it was read"
    assert found.hint
    return found.code


def dicom(path: Path, stored: NDArray[Any], *, syntax: str = "1.2.840.10008.1.2.1", **said: Any) -> Path:
    """A DICOM file of integers [rows, columns], [rows, columns, 3] or [frames, rows, columns]."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, generate_uid

    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.7"), generate_uid()
    data.Modality, data.SeriesInstanceUID = "CT", "1.2.3"
    colour = stored.ndim == 3 and stored.shape[-1] == 3
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        data.PlanarConfiguration = 0
    elif stored.ndim == 3:
        data.NumberOfFrames = len(stored)
    data.Rows, data.Columns = stored.shape[:2] if colour else stored.shape[-2:]
    data.BitsAllocated = data.BitsStored = stored.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(stored.dtype.kind == "i")
    data.add_new("PixelData", "OB" if data.BitsAllocated == 8 else "OW", stored.tobytes())
    for keyword, value in said.items():
        if value is None:
            delattr(data, keyword)
        elif isinstance(value, tuple) and len(value) == 2 and value[0] in ("US", "SS", "OW"):
            data.add_new(keyword, *value)
        else:
            setattr(data, keyword, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(syntax)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.save_as(path, enforce_file_format=True)
    return path


def nifti(path: Path, array: NDArray[Any], affine: NDArray[np.float64] | None = None, **header: Any) -> Path:
    import nibabel

    picture = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)
    for key, value in header.items():
        picture.header[key] = value
    nibabel.save(picture, path)
    return path


