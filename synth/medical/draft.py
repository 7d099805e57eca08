"""`synth init FOLDER`: a first contract from an archive of images, for a person to read, correct and confirm.

The draft says how the archive is laid out, never what is in it: the names of folders may be labels or patients, so
none of them is written down, and neither is a size of a file, a tag's value, or a row of a manifest.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synth.contract.pixels import SIDE
from synth.errors import UserError
from synth.medical.find import SUFFIXES, Found, find, is_dicom
from synth.medical.masks import is_mask, mask_of

LOOKED_AT = 60  # files opened
LARGEST = 64  # side that a first contract proposes: what a computer without a GPU can train
_SHARE = 0.5  # of the files that must be images
_TAGS = (  # columns proposed where most files have the tag: name, keyword, role, privacy, protected
    ("age", "PatientAge", "numeric", "quasi", False), ("sex", "PatientSex", "categorical", "quasi", True),
    ("site", "StationName", "categorical", "none", False),
    ("body_part", "BodyPartExamined", "categorical", "none", False),
    ("laterality", "Laterality", "categorical", "none", False))
_UNITS = {"CT": "HU", "PT": "Bq/ml"}
_FILE_NAMES = ("file", "file_name", "filename", "path", "image", "image_path", "filepath")
_PATIENT_NAMES = ("patient", "patient_id", "patientid", "subject", "subject_id", "case", "person")

_HEAD = """\
# Drafted by `synth init` from about {images} images on {day}. It holds guesses, and no value of the data. Please
#   1. read each column, and describe those that are missing; list the labels in `synthesis.values` if they are known;
#   2. say which column names the patient (`synthesis.entity`): no patient may be in two parts of the split;
#   3. read `synthesis.pixels`: the size to work at, the modality, the window that is kept, whether left and right
#      may be exchanged;
#   4. fill in minimum and maximum of numbers from what you know, and set boundsConfirmed to true.
# Then run `synth check` on this file. data_contracts/README.md explains every field.
"""


@dataclass
class _Seen:
    """What a look at some files says."""

    dims: Counter[int] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    bits: Counter[int] = field(default_factory=Counter)
    sizes: list[tuple[int, ...]] = field(default_factory=list)
    modalities: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    dicom: int = 0
    nifti: int = 0
    files: int = 0


def recognises(source: str) -> bool:
    """Whether most files of a local folder or glob are images, by their suffixes; files without one are DICOM."""
    try:
        path = Path(source)
        if path.is_file():
            return path.name.lower().endswith(SUFFIXES)
        found = find(source)
    except (UserError, OSError):
        return False
    return len(found.files) >= _SHARE * (len(found.files) + found.others)


def draft(source: str, name: str) -> str:
    """YAML of a contract called ``name`` for the archive at ``source``; :class:`UserError` if it cannot be read."""
    found = find(source)
    files, manifest = set(found.files), _manifest(found.root)
    masked = [f for f in found.files if mask_of(f, files) is not None]
    images = [f for f in found.files if not is_mask(f)] if masked else list(found.files)
    seen = look(found, images[:: max(1, len(images) // LOOKED_AT)][:LOOKED_AT])
    if not seen.files:
        raise UserError("none of the files looked at is an image", where=source, todo="check the folder")
    columns, pixels, about = _layout(found, images, seen, manifest)
    if masked and (classes := _mask_classes(found, [m for f in masked if (m := mask_of(f, files))])):
        columns.append(_column("mask", "string", role="identifier", privacy="direct", generate="drop"))
        pixels += ["      mask: mask", f"      maskClasses: {classes}  # the background included: confirm"]
    location = str(Path(source).resolve()) if Path(source).exists() else str(Path(source).absolute())
    volumes = seen.dims.most_common(1)[0][0] == 3
    lines = [
        _HEAD.format(images=f"{float(f'{len(images):.1g}'):,.0f}", day=datetime.now(UTC).date()),
        "apiVersion: v3.1.0", "kind: DataContract", f"id: {name}", f"name: {name}", 'version: "1.0.0"',
        "status: draft", "description:", '  purpose: ""  # what the synthetic images are for; it stands in the report',
        "", "servers:", "  - server: source", "    type: local", f"    location: {json.dumps(location)}",
        "    format: images", "", "schema:", "  - name: images", "    physicalType: table",
        f"    description: One row is one {'volume' if volumes else 'image'}.", "    properties:",
        *(line for column in columns for line in column),
        *(["    customProperties:", *about] if about else []),
        "", "customProperties:", "  - {property: synthesis.domain, value: medical}",
        "  - property: synthesis.pixels", "    value:", *pixels]
    return "\n".join(lines) + "\n"


def look(found: Found, names: list[str]) -> _Seen:
    """Open some files as far as their headers."""
    seen = _Seen()
    for name in names:
        path = found.root / name
        try:
            if is_dicom(path):
                _look_dicom(path, seen)
            elif name.lower().endswith((".nii", ".nii.gz")):
                import nibabel

                image: Any = nibabel.load(path)
                shape = tuple(s for s in image.shape if s > 1)
                _add(seen, shape[::-1], 1, 16)
                seen.nifti += 1
            else:
                from PIL import Image

                with Image.open(path) as picture:
                    bits = 16 if picture.mode.startswith(("I", "F")) else 8
                    _add(seen, (picture.height, picture.width), 1 if picture.mode in ("1", "L", "F")
                         or picture.mode.startswith("I") else 3, bits)
        except Exception:  # broken files are for `synth check` to count
            continue
    return seen


def _look_dicom(path: Path, seen: _Seen) -> None:
    import pydicom

    data = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    if "Rows" not in data:
        return
    frames = int(data.get("NumberOfFrames") or 1)
    size = (int(data.Rows), int(data.Columns))
    _add(seen, (frames, *size) if frames > 1 else size, int(data.get("SamplesPerPixel") or 1),
         16 if int(data.get("BitsStored") or 8) > 8 else 8)
    seen.dicom += 1
    seen.modalities[str(data.get("Modality") or "")] += 1
    seen.tags.update(tag for tag in (*(t[1] for t in _TAGS), "PatientID") if data.get(tag))


def _add(seen: _Seen, size: tuple[int, ...], channels: int, bits: int) -> None:
    seen.files += 1
    seen.dims[len(size)] += 1
    seen.channels[channels] += 1
    seen.bits[bits] += 1
    seen.sizes.append(size)


def _layout(found: Found, images: list[str], seen: _Seen, manifest: str | None
            ) -> tuple[list[list[str]], list[str], list[str]]:
    """Columns, the lines of the pixels, and the settings of the table."""
    columns: list[list[str]] = []
    about: list[str] = []
    target = entity = None
    tagged = [t for t in _TAGS if seen.tags[t[1]] > seen.dicom / 2]
    if manifest is not None:
        file, entity, target, columns = _of_manifest(found.root / manifest, images)
        place = [f"      manifest: {json.dumps(manifest)}"]
    else:
        file = "file"
        columns.append(_column("file", "string", role="identifier", privacy="direct", generate="drop"))
        pattern, column = _pattern(images, needed=not tagged)
        place = [f"      pattern: {json.dumps(pattern)}  # where columns stand in a path: confirm"] if pattern else []
        if column == "label":
            target = column
        if column:
            columns.append(_column(column, "string", "the name of a folder", role="categorical",
                                   privacy="sensitive" if column == "label" else "none"))
        if seen.tags["PatientID"] > seen.dicom / 2:
            entity = "patient"
            columns.append(_column("patient", "string", role="identifier", privacy="direct", generate="drop",
                                   tag="PatientID"))
        for name, keyword, role, privacy, protected in tagged:
            kind = "number" if role == "numeric" else "string"
            more = {"protected": "true"} if protected else {}
            bounds = {"boundsConfirmed": "false"} if role == "numeric" else {}
            columns.append(_column(name, kind, role=role, privacy=privacy, tag=keyword, **more, **bounds))
        if target is None:
            target = next((n for n, _, role, _, _ in tagged if role == "categorical"), None)
    if entity is not None:
        about.append(_setting("entity", json.dumps(entity)))
    if target is not None:
        about += [_setting("target", json.dumps(target)) + "  # a guess: confirm", _setting("task", "classification"),
                  _setting("conditions", f"[{json.dumps(target)}]")]
    pixels = [f"      file: {json.dumps(file)}", *place, *_values(seen)]
    if entity is None:
        pixels.append("      eachFileIsAPatient: false  # no patient was found; a run waits until you name the column, "
                      "or assert this")
    return columns, pixels, about


def _values(seen: _Seen) -> list[str]:
    """Size, channels, depth, modality, window, release."""
    dims = seen.dims.most_common(1)[0][0]
    volumes = dims == 3
    sizes = [s for s in seen.sizes if len(s) == dims]
    middle = [sorted(side)[len(side) // 2] for side in zip(*sizes, strict=True)]
    limit = LARGEST if not volumes else LARGEST // 2
    shrink = min(1.0, limit / max(middle))
    size = [min(max(round(m * shrink / 8) * 8, SIDE[0]), SIDE[1]) for m in middle]
    modality = seen.modalities.most_common(1)[0][0] if seen.modalities else ""
    modality = modality if modality.isalpha() and modality.isupper() and len(modality) <= 16 else ""
    channels = 1 if volumes or seen.channels.most_common(1)[0][0] == 1 else 3
    bits = 8 if channels == 3 else seen.bits.most_common(1)[0][0]
    lines = [f"      size: [{', '.join(map(str, size))}]  # what the generator works at; confirm"]
    lines += [f"      channels: {channels}", f"      bits: {bits}"]
    if modality:
        lines.append(f"      modality: {modality}  # files of another one are put aside")
    if modality in _UNITS:
        lines.append(f"      unit: {_UNITS[modality]}")
        lines.append("      window: file  # better: the range that matters, e.g. [-160, 240]")
    else:
        lines.append("      window: file")
    lines.append("      flips: false  # true only if left and right may be exchanged")
    release = "nifti" if volumes else "dicom" if seen.dicom > seen.files / 2 else "png"
    return [*lines, f"      release: {release}"]


def _pattern(images: list[str], *, needed: bool) -> tuple[str | None, str]:
    """A path pattern and the column in it, from the folders' depth.

    Where the last folder of a path differs between files it is a label. ``needed``: no other column is known, and a
    contract has to have one for the model, so the first folder will do.
    """
    depth = Counter(f.count("/") for f in images).most_common(1)[0][0]
    if depth == 0:
        return None, ""
    here = [f for f in images if f.count("/") == depth]
    suffixes = {_ending(f) for f in here}
    ending = suffixes.pop() if len(suffixes) == 1 else ""
    if 2 <= len({f.split("/")[-2] for f in here}) <= max(50, len(images) // 20):
        return "*/" * (depth - 1) + "{label}/*" + ending, "label"
    return ("{group}/" + "*/" * (depth - 1) + "*" + ending, "group") if needed else (None, "")


def _ending(name: str) -> str:
    return next((s for s in (".nii.gz", *SUFFIXES) if name.endswith(s)), "")


def _manifest(root: Path) -> str | None:
    """The only table that lies in the folder."""
    tables = [p.name for p in sorted(root.iterdir()) if p.suffix.lower() in (".csv", ".tsv", ".parquet")
              and not p.name.startswith(".")]
    return tables[0] if len(tables) == 1 else None


def _of_manifest(path: Path, images: list[str]) -> tuple[str, str | None, str | None, list[list[str]]]:
    """File, patient and target columns of a manifest, and all its columns as the tables' draft guesses them."""
    import pyarrow as pa

    from synth.contract.guess import guess, is_target
    from synth.tabular.source import guess_options, open_source

    opened = open_source(str(path), guess_options(str(path)))
    batches = list(opened.batches())
    file = next((n for n in opened.names if n.lower() in _FILE_NAMES), None)
    if file is None:
        known = set(images)
        for i, name in enumerate(opened.names):
            cells = {str(v) for b in batches[:1] for v in b.column(i).slice(0, 100).to_pylist()}
            if cells & known:
                file = name
                break
    if file is None:
        raise UserError("the folder's table has no column with the images' paths", where=str(path),
                        todo="add one, or take the table out of the folder")
    entity = next((n for n in opened.names if n.lower() in _PATIENT_NAMES), None)
    columns, target = [], None
    for i, name in enumerate(opened.names):
        if name in (file, entity):
            columns.append(_column(name, "string", role="identifier", privacy="direct", generate="drop"))
            continue
        found = guess(name, pa.chunked_array([b.column(i) for b in batches]))
        if is_target(name) and found.role.value in ("categorical", "boolean", "ordinal"):
            target = target or name
        more = {"boundsConfirmed": "false"} if found.role.is_number else {}
        more |= {"generate": "drop"} if found.role.value in ("identifier", "text") else {}
        more |= {"protected": "true"} if found.protected else {}
        more |= {"missingCodes": json.dumps(list(found.missing_codes))} if found.missing_codes else {}
        columns.append(_column(name, found.logical_type, role=found.role.value, privacy=found.privacy.value, **more))
    return file, entity, target, columns


def _mask_classes(found: Found, masks: list[str]) -> int:
    """Labels of the masks looked at; 0 where they cannot be read."""
    import numpy as np

    most = 0
    for name in masks[:10]:
        try:
            if name.lower().endswith((".nii", ".nii.gz")):
                import nibabel

                image: Any = nibabel.load(found.root / name)
                labels = np.unique(np.asarray(image.dataobj))
            else:
                from PIL import Image

                with Image.open(found.root / name) as picture:
                    labels = np.unique(np.asarray(picture))
        except Exception:  # as above
            continue
        most = max(most, 2 if len(labels) <= 2 else int(labels.max()) + 1)
    return most if 2 <= most <= 32 else 2 if most else 0


def _column(name: str, kind: str, note: str = "", **settings: str) -> list[str]:
    lines = [f"      - name: {json.dumps(name)}" + (f"  # {note}" if note else ""), f"        logicalType: {kind}"]
    if "boundsConfirmed" in settings:
        lines.append("        logicalTypeOptions: {minimum: null, maximum: null}")
    lines.append("        customProperties:")
    return lines + [f"          - {{property: synthesis.{key}, value: {value}}}" for key, value in settings.items()
                    if not (key == "privacy" and value == "none")]


def _setting(name: str, value: str) -> str:
    return f"      - {{property: synthesis.{name}, value: {value}}}"
