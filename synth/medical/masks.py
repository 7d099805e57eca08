"""Which file is the mask of an image where no manifest says it.

It has the image's name in a folder ``masks`` (``labels``, ...) beside the folder ``images``, or lies beside the image
as ``NAME_mask`` (``_seg``, ``_label``); its suffix is the image's, or one of PNG and NIfTI.
"""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import PurePosixPath

_IMAGES, _MASKS = ("images", "image", "imagesTr", "imgs"), ("masks", "mask", "labels", "labelsTr", "segmentations")
_MARKS = ("_mask", "_seg", "_label", "-mask", "-seg")
_SUFFIX = re.compile(r"(\.nii\.gz|\.[A-Za-z0-9]{1,5})$")


def mask_of(name: str, files: Container[str]) -> str | None:
    """The one of ``files`` that is the mask of ``name`` by the convention, if there is one."""
    found = _SUFFIX.search(name)
    stem, suffix = (name[:found.start()], found[1]) if found else (name, "")
    folder, _, base = stem.rpartition("/")
    folder = f"{folder}/" if folder else ""
    stems = [f"{folder}{base}{mark}" for mark in _MARKS]
    parts = stem.split("/")
    for i, part in enumerate(parts[:-1]):
        if part in _IMAGES:
            stems += ["/".join([*parts[:i], other, *parts[i + 1:]]) for other in _MASKS]
    for each in stems:
        for end in dict.fromkeys((suffix, ".png", ".nii.gz", ".nii")):
            if f"{each}{end}" in files:
                return f"{each}{end}"
    return None


def is_mask(name: str) -> bool:
    """Whether a file without an image is a mask by its name."""
    parts = PurePosixPath(name).parts
    stem = _SUFFIX.sub("", parts[-1])
    return stem.endswith(_MARKS) or any(p in _MASKS for p in parts[:-1])
