"""The files of an archive of images: what lies below its folder, and what must not be reached from it.

Hidden files are passed over, files that are no images are counted, and nothing outside the folder is ever opened:
a link that leads out, or a name in a manifest that climbs out, stops the run.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from synth.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".ima", ".nii", ".nii.gz")
_OTHERS = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".json", ".yaml", ".yml", ".xml", ".md", ".html", ".pdf", ".py",
           ".zip", ".gz", ".tar", ".npz", ".npy", ".pkl", ".pt", ".log")  # certainly no image; not even looked into
_PREAMBLE = 128  # bytes before the letters DICM


@dataclass(frozen=True)
class Found:
    """A data folder (links resolved) and its image files, relative to it, sorted."""

    root: Path
    files: tuple[str, ...]
    others: int  # files that are no images


def find(source: str) -> Found:
    """The images below a local folder, or those that a local glob names.

    Raises :class:`UserError` for a URL, a folder that is not there, links that lead out of it, and no images.
    """
    if re.match(r"[a-z0-9+.-]{2,}:", source, re.IGNORECASE):
        raise UserError("images are read from a local folder", where=source,
                        todo="copy them to this machine, and give the folder as the server's location")
    path = Path(source)
    if path.is_dir():
        root, found = path.resolve(), _walk(path.resolve())
    elif path.is_file():
        root, found = path.parent.resolve(), [path.name]
    elif any(c in source for c in "*?["):
        root, found = _glob(source)
    else:
        raise UserError("the folder of the images is not there", where=source,
                        todo="check the location of the data in the contract")
    outside = sum(not _inside(root, name) for name in found)
    if outside:
        raise UserError(f"{outside} of the folder's files are links to somewhere outside it", where=str(root),
                        todo="put the files themselves into the folder")
    images = tuple(sorted(name for name in found if (root / name).is_file() and is_image(root / name)))
    if not images:
        raise UserError("there is no image in the folder", where=str(root),
                        todo=f"give a folder with files of these kinds: {', '.join(SUFFIXES)}, or DICOM by any name")
    return Found(root=root, files=images, others=len(found) - len(images))


def is_image(path: Path) -> bool:
    """Whether a file says that it is an image: by its suffix, or by DICOM's mark."""
    name = path.name.lower()
    if name.endswith(SUFFIXES):
        return True
    if name.endswith(_OTHERS) or name == "dicomdir":
        return False
    return is_dicom(path)


def is_dicom(path: Path) -> bool:
    """Whether a file has the DICOM mark, or the suffix of one."""
    if path.name.lower().endswith((".dcm", ".dicom", ".ima")):
        return True
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"
    except OSError:
        return False


def below(root: Path, name: str) -> Path | None:
    """The path that ``name`` means below ``root``, or ``None`` if it is absolute, climbs or leads out."""
    if not name or "\0" in name or "\\" in name or name.startswith(("/", "~")) or re.match(r"[A-Za-z]:", name):
        return None
    if ".." in PurePosixPath(name).parts or not _inside(root, name):
        return None
    return root / name


def _inside(root: Path, name: str) -> bool:
    real = os.path.realpath(root / name)
    return os.path.commonpath([str(root), real]) == str(root)


def _walk(root: Path) -> list[str]:
    """All files below ``root`` but hidden ones; folders that are links are looked at as links, not entered."""
    found = []
    for folder, folders, files in os.walk(root):
        links = [d for d in folders if not _hidden(d) and os.path.islink(os.path.join(folder, d))]
        folders[:] = sorted(d for d in folders if not _hidden(d) and d not in links)
        names = [f for f in files if not _hidden(f)] + [d for d in links if not _inside(root, os.path.relpath(
            os.path.join(folder, d), root))]
        found += [os.path.relpath(os.path.join(folder, f), root) for f in names]
    return found


def _glob(source: str) -> tuple[Path, list[str]]:
    import glob

    fixed = re.split(r"[*?\[]", source, maxsplit=1)[0].rpartition("/")[0] or "."
    root = Path(fixed).resolve()
    if not root.is_dir():
        raise UserError("the folder of the images is not there", where=source,
                        todo="check the location of the data in the contract")
    pattern = source[len(fixed):].lstrip("/") if fixed != "." or source.startswith("./") else source
    names = glob.glob(pattern.removeprefix("./"), root_dir=root, recursive=True)
    return root, [n for n in names if not any(_hidden(part) for part in n.split("/")) and (root / n).is_file()]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
