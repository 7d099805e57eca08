"""One door for all formats: what a file is, is told by its bytes, never by its name."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synth.contract.pixels import Pixels
from synth.medical.files.base import Loaded, Refusal, Refused, head_of

_LIBRARIES = ("pydicom", "openjpeg", "libjpeg", "nibabel", "PIL")
_ENDING = (".dcm", ".dicom", ".ima")  # DICOM without its preamble can only be told by the name


def read(path: Path | Sequence[Path], pixels: Pixels, *, mask: bool = False, tags: Sequence[str] = (),
         frame: int | None = None, text: bool = True) -> Loaded | Refusal:
    """The image, volume or mask of a file; of a folder or several files, the volume of a DICOM series.

    Never raises for a bad file, and prints nothing that a library says of one (it may quote values): the
    :class:`Refusal` has a code. ``tags`` are the DICOM keywords wanted as facts. ``frame`` (from 0) picks one frame
    of several. With ``text``, images that have text burned in are refused, too (:mod:`.burned`).
    """
    _silence()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = _read(path, pixels, mask, tags, frame)
            if not mask:
                _sensible(loaded, text)
            return loaded
        except Refused as refused:
            return refused.refusal
        except MemoryError:
            return Refusal("too-large")
        except Exception:  # decoders raise what they like on broken input; its text may quote the file
            return Refusal("damaged")


@functools.cache
def _silence() -> None:
    """What the libraries log of a file goes nowhere: they quote its values."""
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    with contextlib.suppress(ImportError):
        gdcm = importlib.import_module("gdcm")
        for quiet in (gdcm.Trace.DebugOff, gdcm.Trace.WarningOff, gdcm.Trace.ErrorOff):
            quiet()


def _read(path: Path | Sequence[Path], pixels: Pixels, mask: bool, tags: Sequence[str], frame: int | None) -> Loaded:
    if not isinstance(path, Path) or path.is_dir():
        from synth.medical.files.dicom import read_series

        slices = sorted(p for p in path.iterdir() if p.is_file()) if isinstance(path, Path) else list(path)
        return read_series(slices, pixels, mask=mask, tags=tags)
    head = head_of(path)
    from synth.medical.files.nifti import inflate, is_nifti, read_nifti
    from synth.medical.files.raster import is_raster, read_raster

    if head[128:132] == b"DICM" or (path.suffix.lower() in _ENDING and not is_raster(head)):
        from synth.medical.files.dicom import read_dicom

        return read_dicom(path, pixels, mask=mask, tags=tags, frame=frame)
    if is_raster(head):
        return read_raster(path, pixels, mask=mask, frame=frame)
    if is_nifti(head) or (head[:2] == b"\x1f\x8b" and is_nifti(inflate(path, 352))):
        return read_nifti(path, pixels, mask=mask)
    raise Refused("truncated" if len(head) < 132 and head[:2] != b"\x1f\x8b" else "not-an-image")


def _sensible(loaded: Loaded, text: bool) -> None:
    if not np.isfinite(loaded.values).all():
        raise Refused("not-finite")
    window = loaded.intensity
    seen = np.clip(loaded.values, window.low, window.high)
    if seen.min() == seen.max():
        raise Refused("constant")
    if text:
        from synth.medical.files.burned import has_text

        if has_text(seen):
            raise Refused("burned-in-text")


def mask_fits(image: Loaded, mask: Loaded) -> Refusal | None:
    """None if the mask lies on the image's grid: the same size and, where both say it, the same spacing."""
    if image.values.shape[1:] != mask.values.shape[1:]:
        return Refusal("mask-shape")
    if image.spacing is not None and mask.spacing is not None and not np.allclose(
            image.spacing, mask.spacing, rtol=0.01, atol=1e-3):
        return Refusal("mask-shape")
    return None
