"""From stored samples to the units of the contract, in DICOM's order: modality LUT, VOI window, inversion.

PS3.3 C.7.6.3 (pixel module), C.11.1 (modality LUT), C.11.2 (VOI LUT), C.11.6 (softcopy presentation LUT). The order
matters: MONOCHROME1 is inverted after the window, so that a window means the same in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synth.contract.pixels import Pixels, Window
from synth.medical.files.base import Refused, display, robust_range
from synth.medical.intensity import Intensity

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GROUPS = {"RescaleSlope": "PixelValueTransformationSequence", "RescaleIntercept": "PixelValueTransformationSequence",
           "WindowCenter": "FrameVOILUTSequence", "WindowWidth": "FrameVOILUTSequence",
           "VOILUTFunction": "FrameVOILUTSequence"}


def grouped(data: Dataset, keyword: str, sequence: str, frame: int) -> Any:
    """An attribute of a frame: from its functional groups, the shared ones, or the file; None if nowhere."""
    for name, at in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = data.get(name)
        inner = items[at].get(sequence) if items and at < len(items) else None
        if inner and keyword in inner[0]:
            return inner[0].get(keyword)
    return data.get(keyword)


def grey(stored: NDArray[Any], data: Dataset, pixels: Pixels, to: Intensity, frame: int = 0) -> NDArray[np.float32]:
    """float32 values of one grey frame in the units of ``to``.

    With a declared window these are the units after the modality LUT, and MONOCHROME1 is inverted within the
    window. Else the frame's own window maps to the whole of ``to``. Padding becomes the low end: background.
    """
    values = modality(stored, data, frame)
    if not np.isfinite(values).all():
        raise Refused("not-finite")
    if isinstance(pixels.window, Window):
        shown = _voi(values, stored, data, to, frame)
    else:
        shown = values
    if inverted(data):
        shown = np.float32(to.low + to.high) - shown
    padding = _padding(stored, data)
    if padding is not None:
        shown = np.where(padding, np.float32(to.low), shown)
    return shown.astype(np.float32, copy=False)


def inverted(data: Dataset) -> bool:
    """Whether the lowest value is to be shown white."""
    return "MONOCHROME1" in str(data.get("PhotometricInterpretation")) or data.get("PresentationLUTShape") == "INVERSE"


def modality(stored: NDArray[Any], data: Dataset, frame: int = 0) -> NDArray[np.float32]:
    """Stored samples in the unit of the modality (HU of a CT): the LUT if there is one, else slope and intercept."""
    if data.get("ModalityLUTSequence"):
        table, first, _ = _table(data.ModalityLUTSequence[0], data)
        return _look_up(stored, table, first)
    slope = grouped(data, "RescaleSlope", _GROUPS["RescaleSlope"], frame)
    intercept = grouped(data, "RescaleIntercept", _GROUPS["RescaleIntercept"], frame)
    if slope is None and intercept is None:
        return stored.astype(np.float32)
    slope, intercept = float(1 if slope is None else slope), float(0 if intercept is None else intercept)
    if slope == 0:
        raise Refused("damaged")
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _voi(values: NDArray[np.float32], stored: NDArray[Any], data: Dataset, to: Intensity,
         frame: int) -> NDArray[np.float32]:
    if data.get("VOILUTSequence"):
        table, first, bits = _table(data.VOILUTSequence[0], data)
        return display(_look_up(values, table, first), 0.0, float(2**bits - 1), to)
    centre, width = (grouped(data, k, _GROUPS[k], frame) for k in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None:
        function = str(grouped(data, "VOILUTFunction", _GROUPS["VOILUTFunction"], frame) or "LINEAR").upper()
        c, w = (float(_first(number)) for number in (centre, width))
        if function == "SIGMOID" and w > 0:
            share = 1 / (1 + np.exp(np.clip(-4 * (values.astype(np.float64) - c) / w, -700, 700)))
            return (to.low + share * (to.high - to.low)).astype(np.float32)
        if w > 0 and (function == "LINEAR_EXACT" or w < 1 or stored.dtype.kind == "f"):  # LINEAR counts whole steps
            return display(values, c - w / 2, c + w / 2, to)
        if w > 1:
            return display(values, c - 0.5 - (w - 1) / 2, c - 0.5 + (w - 1) / 2, to)
        if w == 1:  # a threshold
            return display((values > c - 0.5).astype(np.float32), 0.0, 1.0, to)
    if int(data.get("BitsAllocated") or 0) == 8:
        ends = np.array([0, 255] if not data.get("PixelRepresentation") else [-128, 127], dtype=stored.dtype)
        low, high = sorted(map(float, modality(ends, data, frame)))
        return display(values, low, high, to)
    padding = _padding(stored, data)
    shown = values if padding is None or padding.all() else values[~padding]
    return display(values, *robust_range(shown), to)


def _first(number: Any) -> Any:
    return number[0] if not isinstance(number, (str, float, int)) and hasattr(number, "__len__") else number


def _padding(stored: NDArray[Any], data: Dataset) -> NDArray[np.bool_] | None:
    if "PixelPaddingValue" not in data or data.PixelPaddingValue is None:
        return None
    one = _signed(data.PixelPaddingValue, data)
    other = _signed(data.get("PixelPaddingRangeLimit", one), data)
    found = (stored >= min(one, other)) & (stored <= max(one, other))
    return found if found.any() else None


def _signed(value: Any, data: Dataset) -> int:
    """A US or SS attribute as the pixels are: writers often take the wrong one of the two."""
    number = int(value)
    if data.get("PixelRepresentation") and number > 32767:
        return number - 65536
    return number + 65536 if not data.get("PixelRepresentation") and number < 0 else number


def palette(stored: NDArray[Any], data: Dataset) -> tuple[NDArray[np.float32], float]:
    """[rows, columns, 3] of indices into a palette, and the sample that is full light."""
    if "RedPaletteColorLookupTableData" not in data:  # a segmented one
        from pydicom.pixels import apply_color_lut

        colour = apply_color_lut(stored, data)[..., :3]
        return colour.astype(np.float32), 65_535.0 if colour.dtype.itemsize == 2 else 255.0
    tables = []
    for name in ("Red", "Green", "Blue"):
        said = data[f"{name}PaletteColorLookupTableDescriptor"].value
        table, first, bits = _entries(said, data[f"{name}PaletteColorLookupTableData"].value, data)
        tables.append(_look_up(stored, table, first))
    full = 65_535.0 if bits > 8 and max(float(t.max()) for t in tables) > 255 else 255.0
    return np.stack(tables, axis=-1), full


def _table(item: Dataset, data: Dataset) -> tuple[NDArray[np.float32], int, int]:
    return _entries(item.LUTDescriptor, item.LUTData, data)


def _entries(descriptor: Any, raw: Any, data: Dataset) -> tuple[NDArray[np.float32], int, int]:
    """(entries, first input mapped, bits of an entry) of a lookup table."""
    entries, first, bits = (int(v) for v in descriptor)
    entries = (entries & 0xFFFF) or 65536
    if data.get("PixelRepresentation") and first > 32767:
        first -= 65536
    if isinstance(raw, bytes):
        wide = len(raw) >= 2 * entries
        order = "<" if data.original_encoding[1] in (True, None) else ">"
        table = np.frombuffer(raw, dtype=f"{order}u2" if wide else "u1").astype(np.float32)
    else:
        table = np.atleast_1d(np.asarray(raw, dtype=np.float64)).astype(np.float32)
        table = np.where(table < 0, table + 65536, table)  # read as SS
    if len(table) < entries and bits <= 8 and len(table) * 2 >= entries:  # two entries a word
        words = table.astype(np.uint16)
        table = np.stack([words & 0xFF, words >> 8], axis=1).reshape(-1).astype(np.float32)
    if len(table) < entries or not 1 <= bits <= 16:
        raise Refused("damaged")
    return table[:entries].astype(np.float32), first, bits


def _look_up(values: NDArray[Any], table: NDArray[np.float32], first: int) -> NDArray[np.float32]:
    """Entries for values; those before the first or after the last get the first or the last."""
    at = np.clip(np.rint(values.astype(np.float64)) - first, 0, len(table) - 1).astype(np.int64)
    found: NDArray[np.float32] = table[at]
    return found
