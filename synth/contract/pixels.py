"""``synthesis.pixels``: what a contract says of the images that its table lists.

The table of such a contract has one row an image (or volume); this block says which of its columns name the
files, what shape and range the pixels have, and what may be done with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from synth.contract.networks import Network, networks
from synth.contract.settings import Notes, Settings

_KEYS = ("file", "mask", "maskClasses", "size", "channels", "bits", "modality", "unit", "window", "flips", "manifest",
         "pattern", "eachFileIsAPatient", "release", "networks")
MOST_PIXELS = 512 * 512  # of one generated image or volume
SIDE = (16, 512)


class Window(StrEnum):
    """Where an intensity range comes from when the contract gives no numbers."""

    FILE = "file"  # the display range of each file: its VOI window, else the range of 8 bits, else its percentiles


class Format(StrEnum):
    """The format of the released files."""

    PNG = "png"
    NIFTI = "nifti"
    DICOM = "dicom"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """The pixels of a data set of images."""

    file: str  # column with the file's path, relative to the data folder; never released
    mask: str | None = None  # column with the path of its mask
    mask_classes: int = 0  # labels of a mask, background included; 0: no masks
    size: tuple[int, ...]  # (height, width) or (depth, height, width) that the generator works at
    channels: int = 1  # 1 grey, 3 colour
    bits: int = 8  # of a released sample: 8 or 16
    modality: str = ""  # DICOM's code: CT, MR, DX, ...; files of another one are quarantined
    unit: str = ""  # of the values after the modality LUT, e.g. HU
    window: tuple[float, float] | Window = Window.FILE  # the range kept, in ``unit``
    flips: bool = False  # left and right may be exchanged (no laterality in the picture)
    manifest: str | None = None  # CSV or Parquet with the table, relative to the data folder
    pattern: str | None = None  # where columns stand in a path, e.g. "{label}/{patient}_*.png"
    each_file_is_a_patient: bool = False  # asserted by a person where no column names the patient
    release: Format = Format.PNG
    networks: tuple[Network, ...] = ()  # a user's own, in which images are judged, too
    line: int = field(default=0, compare=False)

    @property
    def volumetric(self) -> bool:
        """True for volumes."""
        return len(self.size) == 3


def pixels(notes: Notes, settings: Settings) -> Pixels | None:
    """The block of a contract, ``None`` if it has none; problems go to ``notes``."""
    value, place = settings.get("pixels")
    if value is None:
        return None
    found = notes.keys(place, value, _KEYS, "'synthesis.pixels'")
    before = len(notes.problems)
    said: dict[str, Any] = {"line": notes.document.line(place)}
    for key, name in (("file", "file"), ("mask", "mask"), ("modality", "modality"), ("unit", "unit"),
                      ("manifest", "manifest"), ("pattern", "pattern")):
        if key in found:
            if not isinstance(found[key], str) or not found[key].strip():
                notes.add(f"{key!r} of the pixels must be text", (*place, key), "put it in quotes")
            else:
                said[name] = found[key]
    if "file" not in found:
        notes.add("the pixels name no file column", place, "add `file:`, the column with the path of each image")
    for key, name in (("flips", "flips"), ("eachFileIsAPatient", "each_file_is_a_patient")):
        if key in found:
            if not isinstance(found[key], bool):
                notes.add(f"{key!r} of the pixels must be true or false", (*place, key), "write true or false")
            else:
                said[name] = found[key]
    for key, name, allowed in (("channels", "channels", (1, 3)), ("bits", "bits", (8, 16))):
        if key in found:
            if found[key] not in allowed:
                notes.add(f"{key!r} of the pixels must be {allowed[0]} or {allowed[1]}", (*place, key), "correct it")
            else:
                said[name] = found[key]
    _size(notes, found.get("size"), (*place, "size"), said)
    _window(notes, found.get("window"), (*place, "window"), said)
    if "release" in found:
        try:
            said["release"] = Format(found["release"])
        except ValueError:
            notes.add("unknown format of the released files", (*place, "release"), f"one of {', '.join(Format)}")
    classes = found.get("maskClasses", 0)
    if isinstance(classes, bool) or not isinstance(classes, int) or not 0 <= classes <= 32 or classes == 1:
        notes.add("'maskClasses' must be a whole number from 2 to 32", (*place, "maskClasses"),
                  "count the background, too")
    elif bool(classes) != ("mask" in found):
        notes.add("'mask' and 'maskClasses' belong together", place, "give both or neither")
    else:
        said["mask_classes"] = classes
    if "networks" in found:
        said["networks"] = networks(notes, (*place, "networks"), found["networks"], notes.document.path.parent)
    for key in ("manifest", "pattern"):
        text = str(found.get(key) or "")
        if text.startswith(("/", "~")) or ".." in text.split("/") or "\\" in text:
            notes.add(f"{key!r} of the pixels leaves the data folder", (*place, key), "give a path below it")
    if len(notes.problems) > before:
        return None
    if len(said["size"]) == 3 and said.get("channels", 1) != 1:
        notes.add("a volume has one channel", (*place, "channels"), "use channels: 1")
    if len(said["size"]) == 3 and said.get("networks"):
        notes.add("networks judge images, not volumes", (*place, "networks"), "remove them")
    if len(said["size"]) == 3 and said.get("release", Format.PNG) is not Format.NIFTI:
        notes.add("volumes are released as nifti", (*place, "release"), "add `release: nifti`")
    return Pixels(**said) if len(notes.problems) == before else None


def _size(notes: Notes, value: Any, place: Any, said: dict[str, Any]) -> None:
    sides = [value, value] if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(sides, list) or len(sides) not in (2, 3) or any(
            isinstance(s, bool) or not isinstance(s, int) or not SIDE[0] <= s <= SIDE[1] for s in sides):
        notes.add(f"'size' of the pixels must be one side, or two or three, from {SIDE[0]} to {SIDE[1]}", place,
                  "e.g. 64, [64, 48] or [32, 48, 32]")
        return
    product = 1
    for side in sides:
        product *= side
    if product > MOST_PIXELS:
        notes.add(f"an image of this size has more than {MOST_PIXELS:,} values", place, "choose smaller sides")
        return
    said["size"] = tuple(sides)


def _window(notes: Notes, value: Any, place: Any, said: dict[str, Any]) -> None:
    if value is None or value == Window.FILE.value:
        return
    ends = value if isinstance(value, list) and len(value) == 2 else [None, None]
    low, high = (notes.number((*place, i), v, "an end of the window") for i, v in enumerate(ends))
    if low is None or high is None:
        return
    if not low < high:
        notes.add("the window's low end must be below its high end", place, "e.g. [-160, 240]")
        return
    said["window"] = (float(low), float(high))
