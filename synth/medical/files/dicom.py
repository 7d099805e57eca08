"""DICOM files: one image, one frame, a multi-frame volume, or a series of slices assembled into a volume.

MONAI's reader applies slope and intercept only; here the modality LUT, the VOI window and MONOCHROME1 are applied in
their order (:mod:`.display`), colour becomes RGB, and graphics in overlays (groups 60xx, or the unused high bits of
samples) never reach the picture.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synth.contract.pixels import Pixels
from synth.medical.files import codestream
from synth.medical.files.base import (
    MOST_BYTES,
    Loaded,
    Refused,
    head_of,
    intensity_of,
    labels,
    most_values,
    one_channel,
)
from synth.medical.files.deidentify import facts
from synth.medical.files.display import grey, grouped, palette
from synth.medical.files.volume import assemble

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset
    from pydicom.filebase import DicomBytesIO

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_DEFLATED, _RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
_EXTENDED = "1.2.840.10008.1.2.4.51"  # JPEG of up to 12 bits


def read_dicom(path: Path, pixels: Pixels, *, mask: bool, tags: Sequence[str], frame: int | None) -> Loaded:
    """The image, volume or mask of one file; :class:`Refused` otherwise.

    A file of several frames is a volume where the contract says three sides; in a contract of images each frame is
    an image, which ``frame`` (from 0) picks.
    """
    data = open_dicom(path)
    count = _check(data, pixels, mask)
    if pixels.volumetric and frame is None:
        return _volume_of_frames(data, pixels, count, mask, tags)
    if frame is None and count > 1:
        raise Refused("multi-frame")
    if frame is not None and not 0 <= frame < count:
        raise Refused("multi-frame")
    stored = _decode(data, count, frame)[0]
    values = _values(stored, data, pixels, frame or 0, mask)
    found, notes = facts(data, tags)
    return Loaded(values=values, intensity=intensity_of(pixels), spacing=_in_plane(data, frame or 0), facts=found,
                  notes=notes + _overlays(data))


def read_series(paths: Sequence[Path], pixels: Pixels, *, mask: bool, tags: Sequence[str]) -> Loaded:
    """One volume of the slices of a series, ordered along the normal of their planes.

    Scout images are left out. Refused are slices of several series, sizes or orientations, doubled or missing
    slices, and uneven spacing.
    """
    if not pixels.volumetric:
        raise Refused("dimensions")
    slices, total = [], 0
    for path in paths:
        data = open_dicom(path)
        if "LOCALIZER" in [str(v).upper() for v in data.get("ImageType") or []]:
            continue
        count = _check(data, pixels, mask)
        if count > 1:
            raise Refused("multi-frame")
        total += int(data.Rows) * int(data.Columns)
        if total > most_values(pixels):
            raise Refused("too-large")
        slices.append(data)
    if not slices:
        raise Refused("localizer" if paths else "missing")
    if len({str(data.get("SeriesInstanceUID")) for data in slices}) > 1:
        raise Refused("several-series")
    if len({(data.Rows, data.Columns) for data in slices}) > 1:
        raise Refused("slices")
    planes = [_values(_decode(data, 1)[0], data, pixels, 0, mask)[0] for data in slices]
    places = [(data.get("ImagePositionPatient"), data.get("ImageOrientationPatient")) for data in slices]
    values, spacing = assemble(planes, places, _in_plane(slices[0], 0))
    found, notes = facts(slices[0], tags)
    return Loaded(values=values, intensity=intensity_of(pixels), spacing=spacing, facts=found,
                  notes=notes + _overlays(slices[0]))


def open_dicom(path: Path) -> FileDataset:
    """The data set of a file; deflated ones are inflated to the cap at most."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    head_of(path)
    source: Any = path
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") == _DEFLATED:
            source = _inflated(path, meta)
    except InvalidDicomError:
        pass  # no preamble; read as it is
    data = pydicom.dcmread(source, force=True)
    if "SOPClassUID" not in data and "Rows" not in data:  # no more than the preamble, or no DICOM at all
        raise Refused("truncated" if data.file_meta else "not-an-image")
    if "TransferSyntaxUID" not in data.file_meta:  # a bare data set: as it was read
        little = data.original_encoding[1] is not False
        data.file_meta.TransferSyntaxUID = (
            pydicom.uid.ImplicitVRLittleEndian if data.original_encoding[0] else
            pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian)
    return data


def _inflated(path: Path, meta: Any) -> DicomBytesIO:
    """A deflated file's bytes with a plain data set, once it is known to be within the cap."""
    import pydicom
    from pydicom.filebase import DicomBytesIO

    with path.open("rb") as stream:
        pydicom.filereader.read_preamble(stream, False)
        pydicom.filereader._read_file_meta_info(stream)
        packed = stream.read()
    plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, MOST_BYTES + 1)
    if len(plain) > MOST_BYTES:
        raise Refused("too-large")
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    whole = DicomBytesIO()
    whole.write(b"\0" * 128 + b"DICM")
    pydicom.filewriter.write_file_meta_info(whole, meta, enforce_standard=False)
    whole.write(plain)
    whole.seek(0)
    return whole


def _check(data: FileDataset, pixels: Pixels, mask: bool) -> int:
    """Number of frames, once the header says that the pixels may be decoded."""
    from pydicom.pixels import get_decoder

    held = [name for name in _PIXELS if name in data]
    if not held or not all(data.get(name) for name in ("Rows", "Columns")):
        raise Refused("no-pixels")
    if pixels.modality and not mask and str(data.get("Modality") or "").upper() != pixels.modality.upper():
        raise Refused("modality")
    if not mask and str(data.get("BurnedInAnnotation") or "").upper() == "YES":  # NO is not believed, see read
        raise Refused("burned-in-text")
    count = int(data.get("NumberOfFrames") or 1)
    if count < 1:
        raise Refused("damaged")
    one = int(data.Rows) * int(data.Columns) * int(data.get("SamplesPerPixel") or 1)
    if one * count > most_values(pixels):
        raise Refused("too-large")
    if not isinstance(data[held[0]].value, bytes):
        raise Refused("no-pixels")
    syntax = data.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise Refused("no-decoder") from None
    if syntax.is_encapsulated:
        deep = syntax == _EXTENDED and int(data.get("BitsStored") or 8) > 8  # one decoder of several takes 12 bits
        if (not decoder.is_available or (deep and "pylibjpeg" not in decoder.available_plugins)
                or (syntax == _RLE and data.get("BitsAllocated") == 1)):
            raise Refused("no-decoder")
        if not data[held[0]].value:
            raise Refused("no-pixels")
        said = codestream.samples(_first_fragment(data))
        if said is not None and said > one:
            raise Refused("damaged" if said <= most_values(pixels) else "too-large")
    else:
        needed = one * count * int(data.get("BitsAllocated") or 0) // 8
        if str(data.get("PhotometricInterpretation")) == "YBR_FULL_422":
            needed = needed // 3 * 2
        if not data[held[0]].value:
            raise Refused("no-pixels")
        if len(data[held[0]].value) < needed:
            raise Refused("truncated")
    return count


def _first_fragment(data: FileDataset) -> bytes:
    from pydicom.encaps import generate_fragments, parse_basic_offsets

    source = io.BytesIO(data.PixelData)
    parse_basic_offsets(source)
    return next(iter(generate_fragments(source)), b"")


def _decode(data: FileDataset, count: int, frame: int | None = None) -> NDArray[Any]:
    """Stored samples [frames, rows, columns(, samples)], of one ``frame`` or of all; YBR becomes RGB."""
    from pydicom.pixels import pixel_array

    found = pixel_array(data, index=frame)
    shape = (int(data.Rows), int(data.Columns))
    whole = (count if frame is None else 1, *shape) + found.shape[-1:] * (int(data.get("SamplesPerPixel") or 1) > 1)
    return found.reshape(whole)


def _values(stored: NDArray[Any], data: FileDataset, pixels: Pixels, frame: int, mask: bool) -> NDArray[np.float32]:
    """float32 [channels, rows, columns] of one frame; labels of a mask."""
    if mask:
        if stored.ndim == 3:
            raise Refused("colour")
        return labels(stored.astype(np.float32), pixels.mask_classes)[None]
    to = intensity_of(pixels)
    photometric = str(data.get("PhotometricInterpretation") or "")
    if stored.ndim == 2 and not photometric.startswith("PALETTE"):
        shown = grey(stored, data, pixels, to, frame)[None]
        return np.repeat(shown, 3, axis=0) if pixels.channels == 3 else shown
    if stored.ndim == 2:
        stored, steps = palette(stored, data)
    else:
        steps = float(2 ** int(data.get("BitsStored") or 8) - 1)
    colour = np.moveaxis(stored, -1, 0).astype(np.float32)
    if isinstance(pixels.window, str):  # display values; with declared numbers they are kept as stored
        colour = (colour * np.float64(to.high / steps)).astype(np.float32)
        steps = to.high
    return colour if pixels.channels == 3 else one_channel(colour, steps)


def _volume_of_frames(data: FileDataset, pixels: Pixels, count: int, mask: bool, tags: Sequence[str]) -> Loaded:
    if count == 1:
        raise Refused("dimensions")
    stored = _decode(data, count)
    planes = [_values(stored[at], data, pixels, at, mask)[0] for at in range(count)]
    places = [(grouped(data, "ImagePositionPatient", "PlanePositionSequence", at),
               grouped(data, "ImageOrientationPatient", "PlaneOrientationSequence", at)) for at in range(count)]
    found, notes = facts(data, tags)
    if len({tuple(place) for place, _ in places if place is not None}) < 2:  # frames that say no places: as they are
        in_plane = _in_plane(data, 0)
        between = data.get("SpacingBetweenSlices") or data.get("SliceThickness")
        spacing: tuple[float, ...] | None = None
        if in_plane is not None and between:
            spacing = (abs(float(between)), *in_plane)
        values = np.stack(planes)[None]
        notes += ("no-positions",)
    else:
        values, spacing = assemble(planes, places, _in_plane(data, 0))
    return Loaded(values=values, intensity=intensity_of(pixels), spacing=spacing, facts=found,
                  notes=notes + _overlays(data))


def _in_plane(data: FileDataset, frame: int) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = grouped(data, keyword, "PixelMeasuresSequence", frame)
        if found is not None and len(found) == 2 and all(float(v) > 0 for v in found):
            return float(found[0]), float(found[1])
    return None


def _overlays(data: FileDataset) -> tuple[str, ...]:
    drawn = any(element.tag.group & 0xFF01 == 0x6000 for element in data)
    return ("overlay-dropped",) if drawn else ()
