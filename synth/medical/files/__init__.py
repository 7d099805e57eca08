"""Files of medical images: read from DICOM, NIfTI and raster files, and written as PNG, NIfTI or DICOM."""

from __future__ import annotations

from synth.medical.files.base import CODES, Loaded, Refusal, intensity_of
from synth.medical.files.read import mask_fits, read
from synth.medical.files.resize import fit_size
from synth.medical.files.write import read_released, unwritable, write_set

__all__ = [
    "CODES", "Loaded", "Refusal", "fit_size", "intensity_of", "mask_fits", "read", "read_released", "unwritable",
    "write_set",
]
