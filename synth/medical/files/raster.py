"""PNG, JPEG, TIFF and BMP. Only the pixels are taken: text chunks, EXIF and colour profiles are left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synth.contract.pixels import Pixels, Window
from synth.medical.files.base import Loaded, Refused, head_of, intensity_of, labels, most_values, one_channel

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # nothing that runs a program (EPS) or opens other files
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"II+\0", b"MM\0+")


def is_raster(head: bytes) -> bool:
    """Whether these first bytes open a picture of a kind that is read."""
    return head.startswith(_MAGIC)


def read_raster(path: Path, pixels: Pixels, *, mask: bool, frame: int | None) -> Loaded:
    """The picture or mask of a file; :class:`Refused` otherwise."""
    from PIL import Image, UnidentifiedImageError

    head_of(path)
    if pixels.volumetric:
        raise Refused("dimensions")
    try:
        picture = Image.open(path, formats=_FORMATS)
    except UnidentifiedImageError:
        raise Refused("damaged") from None
    except Image.DecompressionBombError:
        raise Refused("too-large") from None
    with picture:
        if picture.width * picture.height * len(picture.getbands()) > most_values(pixels):
            raise Refused("too-large")
        frames = getattr(picture, "n_frames", 1)
        if (frame is None and frames > 1) or (frame is not None and not 0 <= frame < frames):
            raise Refused("multi-frame")
        try:
            if frame:
                picture.seek(frame)
                if picture.width * picture.height * len(picture.getbands()) > most_values(pixels):
                    raise Refused("too-large")
            picture.load()
        except (OSError, SyntaxError, EOFError):
            raise Refused("truncated") from None
        values, steps = _samples(picture, mask)
    to = intensity_of(pixels)
    if mask:
        if len(values) > 1 and (values != values[:1]).any():
            raise Refused("colour")
        return Loaded(values=labels(values[:1], pixels.mask_classes), intensity=to)
    if not np.isfinite(values).all():
        raise Refused("not-finite")
    if isinstance(pixels.window, Window):
        if steps is None:  # floats: nothing says which are black and white
            from synth.medical.files.base import display, robust_range

            values, steps = display(values, *robust_range(values), to), to.high
        else:
            values = (values * np.float64(to.high / steps)).astype(np.float32)
            steps = to.high
    if pixels.channels == 1 and len(values) == 3:
        values = one_channel(values, steps or float(np.ptp(values)))
    elif pixels.channels == 3 and len(values) == 1:
        values = np.repeat(values, 3, axis=0)
    return Loaded(values=values, intensity=to)


def _samples(picture: Image, mask: bool) -> tuple[NDArray[np.float32], float | None]:
    """float32 [1 or 3, height, width] and the sample that is white (None for floats)."""
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(picture)
    mode = picture.mode
    if mode == "1":
        return np.asarray(picture, dtype=np.float32)[None], 1.0
    if mode == "P" and mask:  # indices of a palette are the labels
        return np.asarray(picture, dtype=np.float32)[None], 255.0
    if mode == "F":
        return np.asarray(picture, dtype=np.float32)[None], None
    if mode == "I" or mode.startswith("I;16"):
        return np.asarray(picture).astype(np.float32)[None], 65_535.0
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        return _opaque(np.asarray(picture.convert("RGBA"))), 255.0
    if mode == "L":
        return np.asarray(picture, dtype=np.float32)[None], 255.0
    return _channels(np.asarray(picture.convert("RGB"))), 255.0


def _opaque(colour: NDArray[Any]) -> NDArray[np.float32]:
    """Over black, which is what is outside of a picture here."""
    return _channels(colour[..., :3].astype(np.float32) * (colour[..., 3:].astype(np.float32) / 255))


def _channels(colour: NDArray[Any]) -> NDArray[np.float32]:
    found = np.moveaxis(colour, -1, 0).astype(np.float32)
    return found[:1] if (found == found[:1]).all() else found
