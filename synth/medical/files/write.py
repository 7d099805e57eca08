"""The synthetic set as files in the field's formats, with the table that lists them beside them.

The layout is Hugging Face's image folder: ``metadata.parquet`` with a column ``file_name``, and beside it
``000000.png`` and so on, ``000000_mask.png`` where there are masks. Equal input and seed give equal bytes: no clock, no
host, no random UID.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synth.contract.pixels import Format, Pixels, Window
from synth.errors import UserError
from synth.medical.files.base import Loaded, Refusal, intensity_of
from synth.medical.files.read import read
from synth.medical.intensity import STEPS, Intensity
from synth.release.published import FILE_NAME, MASK_FILE_NAME

if TYPE_CHECKING:
    import pyarrow as pa

    from synth.progress import Progress

METADATA = "metadata.parquet"
SUFFIX = {Format.PNG: ".png", Format.NIFTI: ".nii.gz", Format.DICOM: ".dcm"}
_WHOLE_UNITS = 255  # a window at least this wide in whole units loses nothing that 8 bits would keep


def unwritable(pixels: Pixels) -> UserError | None:
    """Why a set of such pixels has no released form, known before anything is trained; None if it has one."""
    where = f"synthesis.pixels, line {pixels.line}" if pixels.line else "synthesis.pixels"
    if pixels.channels == 3 and pixels.release is Format.NIFTI:
        return UserError("NIfTI files here hold one channel", where=where, todo="use `release: png` or `dicom`")
    if pixels.channels == 3 and pixels.bits == 16:
        return UserError("colour is released with 8 bits a channel", where=where, todo="use `bits: 8`")
    if pixels.channels == 3 and pixels.modality.upper() in ("CT", "MR", "DX"):
        return UserError(f"{pixels.modality} images have one channel", where=where, todo="use `channels: 1`")
    return None


def write_set(out: Path, images: NDArray[np.uint16], masks: NDArray[np.uint8] | None, table: pa.Table,
              intensity: Intensity, pixels: Pixels, *, seed: int, progress: Progress,
              spacing: Sequence[float] | None = None, tags: Mapping[str, str] | None = None, start: int = 0) -> int:
    """Write the set into the folder ``out`` in the contract's format; returns the number of images.

    ``images`` uint16 [n, channels, *size] and ``masks`` uint8 [n, *size] in the order of ``table``, which is
    dressed as it will be released. ``spacing`` is mm along each side (None: not said; 1 mm in formats that must say
    it); ``tags`` maps columns of the table to the DICOM keywords they came from. ``start`` is the number of the
    first file. Raises :class:`UserError` where :func:`unwritable` says so.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    problem = unwritable(pixels)
    if problem is not None:
        raise problem
    folder, suffix, count = Path(out), SUFFIX[pixels.release], len(images)
    folder.mkdir(parents=True, exist_ok=True)
    mask_suffix = ".nii.gz" if pixels.release is Format.NIFTI else ".png"
    names = [f"{start + row:06d}{suffix}" for row in range(count)]
    mask_names = [f"{start + row:06d}_mask{mask_suffix}" for row in range(count)] if masks is not None else []
    with progress.step("write files", count) as step:
        for row in range(count):
            content = _image(images[row], intensity, pixels, spacing)
            if content is None:
                from synth.medical.files.dicom_write import dicom_bytes

                facts = {keyword: table[column][row].as_py() for column, keyword in (tags or {}).items()
                         if column in table.column_names}
                content = dicom_bytes(images[row], intensity, pixels, seed=seed, number=start + row, spacing=spacing,
                                      facts=facts)
            (folder / names[row]).write_bytes(content)
            if masks is not None:
                (folder / mask_names[row]).write_bytes(
                    nifti_bytes(masks[row], None, spacing) if pixels.release is Format.NIFTI
                    else png_bytes(masks[row], {}))
            step.update(row + 1)
    listing = table.add_column(0, pa.field(FILE_NAME, pa.string()), pa.array(names, pa.string()))
    if masks is not None:
        listing = listing.add_column(1, pa.field(MASK_FILE_NAME, pa.string()), pa.array(mask_names, pa.string()))
    pq.write_table(listing, folder / METADATA, compression="zstd")
    return count


def read_released(path: Path, pixels: Pixels, *, mask: bool = False) -> Loaded | Refusal:
    """A released file in the units of the contract's window, as :func:`read` gives a source file.

    NIfTI and DICOM hold units; the samples of a PNG are shares of the window (see its text chunk).
    """
    if mask or pixels.release is not Format.PNG or isinstance(pixels.window, Window):
        return read(path, pixels, mask=mask, text=False)
    loaded = read(path, replace(pixels, window=Window.FILE), text=False)
    if isinstance(loaded, Refusal):
        return loaded
    to = intensity_of(pixels)
    share = loaded.values / np.float32(2**pixels.bits - 1)
    return Loaded(values=(to.low + share * (to.high - to.low)).astype(np.float32), intensity=to)


def _image(image: NDArray[np.uint16], intensity: Intensity, pixels: Pixels,
           spacing: Sequence[float] | None) -> bytes | None:
    if pixels.release is Format.PNG:
        slope = (intensity.high - intensity.low) / (2**intensity.bits - 1)
        return png_bytes(steps(image, intensity.bits),
                         {"RescaleSlope": f"{slope:.9g}", "RescaleIntercept": f"{intensity.low:.9g}",
                          "RescaleType": intensity.unit or "US"})
    if pixels.release is Format.NIFTI:
        return nifti_bytes(intensity.restore(image[0]), intensity, spacing)
    return None


def steps(stored: NDArray[np.uint16], bits: int) -> NDArray[Any]:
    """Stored steps as samples of 8 or 16 bits."""
    return stored if bits == 16 else np.rint(stored.astype(np.float64) * (255 / STEPS)).astype(np.uint8)


def png_bytes(samples: NDArray[Any], text: Mapping[str, str]) -> bytes:
    """A PNG of uint8 or uint16 [height, width], or [1 or 3, height, width]; marked as synthetic."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    plane = samples if samples.ndim == 2 else samples[0] if len(samples) == 1 else np.moveaxis(samples, 0, -1)
    said = PngInfo()
    for key, value in {"SyntheticData": "YES", **text}.items():
        said.add_text(key, value)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(out, "PNG", pnginfo=said)
    return out.getvalue()


def nifti_bytes(values: NDArray[Any], intensity: Intensity | None, spacing: Sequence[float] | None) -> bytes:
    """A gzipped NIfTI-1 file of [depth, height, width] or [height, width]; ``intensity`` None: labels, uint8.

    Whole units (HU) where the window is wide enough for them, else float32. The affine is RAS with its origin in
    the middle; arrays count to the head, the back and the left, so two axes are turned.
    """
    import nibabel

    volume = np.asarray(values)
    sides = (1.0,) * volume.ndim if spacing is None else tuple(float(s) for s in spacing)
    if volume.ndim == 2:
        volume, sides = volume[None], (1.0, *sides)
    ras = np.flip(np.transpose(volume, (2, 1, 0)), (0, 1))
    if intensity is None:
        ras = ras.astype(np.uint8)
    elif in_whole_units(intensity) and intensity.low >= -32768 and intensity.high <= 32767:
        ras = np.rint(ras).astype(np.int16)
    else:
        ras = ras.astype(np.float32)
    zooms = sides[::-1]
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * zoom for n, zoom in zip(ras.shape, zooms, strict=True)]
    picture = nibabel.Nifti1Image(np.asfortranarray(ras), affine)
    header: Any = picture.header
    header.set_xyzt_units("mm" if spacing is not None else "unknown")
    header["descrip"] = b"SyntheticData=YES"
    if intensity is not None:
        header["cal_min"], header["cal_max"] = intensity.low, intensity.high
    return gzip.compress(picture.to_bytes(), compresslevel=6, mtime=0)


def in_whole_units(intensity: Intensity) -> bool:
    """Whether the window is kept well enough by whole numbers of its unit."""
    whole = intensity.low == int(intensity.low) and intensity.high == int(intensity.high)
    return whole and _WHOLE_UNITS <= intensity.high - intensity.low <= STEPS
