"""NIfTI-1 and NIfTI-2 files, gzipped or not, read from a capped number of decompressed bytes."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.contract.pixels import Pixels, Window
from synth.medical.files.base import (
    Loaded,
    Refused,
    display,
    head_of,
    intensity_of,
    labels,
    most_values,
    robust_range,
)
from synth.medical.files.volume import lps_spacing, oriented

_HEADER = 544  # bytes that hold either header
_EXTENSIONS = 1 << 20  # bytes between header and data that are passed over at most
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI counts to the right and the front


def is_nifti(head: bytes) -> bool:
    """Whether these first (decompressed) bytes open a single NIfTI file."""
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def inflate(path: Path, most: int) -> bytes:
    """At most ``most`` bytes of a file, decompressed if it is gzip; refused if the compressed data is broken."""
    out = bytearray()
    with path.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            stream.seek(0)
            return stream.read(most)
        stream.seek(0)
        unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
        while len(out) < most:
            packed = unzip.unconsumed_tail or stream.read(1 << 20)
            if not packed:
                break
            try:
                out += unzip.decompress(packed, most - len(out))
            except zlib.error:
                raise Refused("damaged") from None
            if unzip.eof:
                break
    return bytes(out)


def read_nifti(path: Path, pixels: Pixels, *, mask: bool) -> Loaded:
    """The volume of a file turned to patient space, or the image of one with a single slice."""
    import nibabel

    head_of(path)
    head = inflate(path, _HEADER)
    if not is_nifti(head):
        raise Refused("not-an-image" if len(head) >= 348 else "truncated")
    kind = nibabel.Nifti1Image if head[344:348] == b"n+1\0" else nibabel.Nifti2Image
    try:
        with nibabel.imageglobals.LoggingOutputSuppressor():
            header = kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)
            header.check_fix(error_level=40)
            shape = tuple(int(side) for side in header.get_data_shape())
            dtype, offset = header.get_data_dtype(), int(header.get_data_offset())
            affine = header.get_best_affine()
    except Exception:  # nibabel's own kinds and NumPy's: whatever a broken header gives
        raise Refused("damaged") from None
    if dtype.names is not None or dtype.kind == "c":
        raise Refused("colour")
    if not shape or min(shape) < 1 or offset > _EXTENSIONS or offset < 0:
        raise Refused("damaged")
    total = int(np.prod([float(side) for side in shape]))
    if total > most_values(pixels):
        raise Refused("too-large")
    whole = inflate(path, offset + total * dtype.itemsize)
    if len(whole) < offset + total * dtype.itemsize:
        raise Refused("truncated")
    raw = np.frombuffer(whole, dtype=dtype, offset=offset, count=total).reshape(shape, order="F")
    slope, intercept = header.get_slope_inter()
    values = raw.astype(np.float64) * (1.0 if slope is None else slope) + (intercept or 0.0)
    return _placed(values.astype(np.float32), affine, header, pixels, mask)


def _placed(values: NDArray[np.float32], affine: NDArray[np.float64], header: object, pixels: Pixels,
            mask: bool) -> Loaded:
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    if values.ndim > 3 or (min(values.shape) == 1) == pixels.volumetric:
        raise Refused("dimensions")
    if not np.isfinite(values).all():
        raise Refused("not-finite")
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    lps = _TO_LPS @ affine
    turned, spacing = oriented(values, lps), lps_spacing(lps)
    if not pixels.volumetric:  # the slice, whichever plane it is
        flat = next(axis for axis in (0, 1, 2) if turned.shape[axis + 1] == 1)
        turned = turned.squeeze(flat + 1)
        spacing = spacing[:flat] + spacing[flat + 1:]
    to = intensity_of(pixels)
    if mask:
        turned = labels(turned, pixels.mask_classes)
    elif isinstance(pixels.window, Window):
        low, high = float(header["cal_min"]), float(header["cal_max"])  # type: ignore[index]
        turned = display(turned, *((low, high) if np.isfinite([low, high]).all() and low < high
                                   else robust_range(turned)), to)
    if pixels.channels == 3 and not mask:
        turned = np.repeat(turned, 3, axis=0)
    return Loaded(values=turned, intensity=to, spacing=spacing)
