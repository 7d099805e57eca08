"""Gate "contract" for images: is every published file what the contract promises, and so is the table that lists them?

Files are read back as a user would read them, all of them, and counted; the listing is judged by the gate on tables.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.contract.pixels import Format, Pixels
from synth.medical.evidence import ImageEvidence
from synth.release.published import FILE_NAME, MASK_FILE_NAME
from validators import contract as tables
from validators import pictures
from validators.finding import Finding, GateResult, Verdict

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Contract"
QUESTION = "Is every published file readable and what the contract promises, and so is every row that lists them?"
METADATA = "metadata.parquet"
SUFFIXES = {Format.PNG: ".png", Format.NIFTI: ".nii.gz", Format.DICOM: ".dcm"}
_METHOD = "Exact count over all published files, read back."
NOT_TESTED: tuple[str, ...] = (
    "whether the contract says what it should", "whether an image shows what its row says (see downstream use)",
    "DICOM conformance beyond what readers need")
KINDS = {  # kind of fault -> what it is
    "unlisted": "Files that no row lists",
    "missing": "Rows whose file is not there, is listed twice, or lies elsewhere",
    "unreadable": "Files that cannot be read back",
    "geometry": "Files of another size or number of channels",
    "range": "Files with values outside the window, or not numbers",
    "blank": "Files of one value",
    "depth": "Files of another bit depth",
    "unmarked": "Files that do not say that they are synthetic",
    "mask": "Masks that do not fit their image, or have labels out of range",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be wrong before the gate fails: nothing.

    files: files with a fault of one kind; violating_rows, failed_expectations: of the listing, as for tables.
    """

    files: float = field(default=0.0, metadata={"direction": "at most", "range": (0, 1e9)})
    violating_rows: float = field(default=0.0, metadata={"direction": "at most", "range": (0, 1e9)})
    failed_expectations: float = field(default=0.0, metadata={"direction": "at most", "range": (0, 1e9)})


def run(evidence: ImageEvidence, limits: Limits) -> GateResult:
    """Judge all files and the listing; value-free findings."""
    start = time.monotonic()
    findings = _files(evidence, limits)
    judged = tables.run(evidence.listing(), tables.Limits(violating_rows=limits.violating_rows,
                                                          failed_expectations=limits.failed_expectations))
    # how many rows there are is counted in the published table, since large listings are sampled here
    findings += [replace(f, id=f.id.replace("contract.", "contract.listing.", 1), title=f"Listing: {f.title}")
                 for f in judged.findings if f.id != "contract.rows"]
    blind = NOT_TESTED
    if evidence.total("synthetic") > len(evidence.synthetic):
        blind = (*NOT_TESTED, f"rules on all {evidence.total('synthetic'):,} rows of the listing: a sample of "
                              f"{len(evidence.synthetic):,} was judged")
    return GateResult(gate="contract", title=TITLE, question=QUESTION, findings=tuple(findings), not_tested=blind,
                      seconds=round(time.monotonic() - start, 3))


def _files(evidence: ImageEvidence, limits: Limits) -> list[Finding]:
    folders = sorted(p.parent for p in evidence.shards.rglob(METADATA)) if evidence.shards is not None else []
    if not folders:
        return [Finding(id="contract.files", title="Published files", verdict=Verdict.INCONCLUSIVE, value=None,
                        unit="files", method="there are no files to read back",
                        remedy="the generate stage left no table that lists files; report it with the contract")]
    counts, codes, rows = Counter[str](), Counter[str](), 0
    for folder in folders:
        rows += _folder(folder, evidence.pixels, counts, codes)
    kinds = [k for k in KINDS if k != "mask" or evidence.pixels.mask_classes]
    findings = [_count(kind, counts[kind], rows, limits, codes) for kind in kinds]
    wanted = evidence.contract.rows
    right = wanted is None or rows == wanted
    findings.append(Finding(
        id="contract.rows", title="Released images" + (f" (the contract asks for {wanted:,})" if wanted else ""),
        value=float(rows), unit="rows", n=rows, method="Rows of the published table.",
        verdict=Verdict.INCONCLUSIVE if not rows else Verdict.INFO if wanted is None
        else Verdict.PASS if right else Verdict.FAIL,
        remedy="generate the number of images that synthesis.rows asks for, or change it"))
    return findings


def _count(kind: str, count: int, rows: int, limits: Limits, codes: Counter[str]) -> Finding:
    shown = [pictures.table("Reasons", ["code", "files"], [[c, n] for c, n in sorted(codes.items())])]
    verdict = Verdict.FAIL if count > limits.files else Verdict.PASS
    return Finding(
        id=f"contract.files.{kind}", title=KINDS[kind], verdict=verdict if rows else Verdict.INCONCLUSIVE,
        value=float(count), unit="files", limit=limits.files, n=rows, method=_METHOD,
        remedy="this is a fault of the generator or of the writer of files; report it with the contract",
        detail={"pictures": shown} if kind == "unreadable" and codes else {})


def _folder(folder: Path, pixels: Pixels, counts: Counter[str], codes: Counter[str]) -> int:
    """Count the faults of one folder; returns its rows."""
    import pandas as pd

    listing = pd.read_parquet(folder / METADATA)
    names = _names(listing, FILE_NAME)
    masks = _names(listing, MASK_FILE_NAME) if pixels.mask_classes else []
    counts["missing"] += len(listing) - len(names)
    if pixels.mask_classes:
        counts["mask"] += len(listing) - len(masks)
    listed = {METADATA, *names, *masks}
    counts["unlisted"] += sum(p.is_symlink() or str(p.relative_to(folder)) not in listed
                              for p in folder.rglob("*") if not p.is_dir() or p.is_symlink())
    for name in names:
        for kind in _faults(folder / name, pixels, codes):
            counts[kind] += 1
    counts["mask"] += sum(not _mask_fits(folder / name, pixels) for name in masks)
    return len(listing)


def _names(listing: pd.DataFrame, column: str) -> list[str]:
    """Names listed once that stay in the folder."""
    if column not in listing:
        return []
    values = listing[column].dropna().astype(str)
    once = values[~values.duplicated(keep=False)]
    return [v for v in once if v and "/" not in v and "\\" not in v and v not in (".", "..", METADATA)]


def _faults(path: Path, pixels: Pixels, codes: Counter[str]) -> Iterator[str]:
    """Kinds of fault of one file."""
    from synth.medical.files import Refusal, intensity_of, read_released

    if path.is_symlink() or not path.is_file():
        yield "missing"
        return
    loaded = read_released(path, pixels) if path.name.endswith(SUFFIXES[pixels.release]) else Refusal("not-an-image")
    if isinstance(loaded, Refusal):
        if loaded.code == "constant":
            yield "blank"
        else:
            codes[loaded.code] += 1
            yield "unreadable"
        return
    values, to = loaded.values, intensity_of(pixels)
    if values.shape != (pixels.channels, *pixels.size):
        yield "geometry"
    slack = (to.high - to.low) / 255 / 2  # half a step of the coarsest file: rounding, no more
    if not np.isfinite(values).all() or values.min() < to.low - slack or values.max() > to.high + slack:
        yield "range"
    elif values.max() - values.min() <= 0:
        yield "blank"
    depth, marked = _header(path, pixels)
    if not depth:
        yield "depth"
    if not marked:
        yield "unmarked"


def _header(path: Path, pixels: Pixels) -> tuple[bool, bool]:
    """Whether the samples have the contract's depth, and whether the file says that it is synthetic."""
    if pixels.release is Format.PNG:
        from PIL import Image

        with Image.open(path) as image:
            modes = {(8, 1): ("L",), (8, 3): ("RGB",), (16, 1): ("I;16", "I;16B", "I")}
            return image.mode in modes.get((pixels.bits, pixels.channels), ()), image.info.get("SyntheticData") == "YES"
    if pixels.release is Format.NIFTI:
        import nibabel

        header: Any = nibabel.load(path).header  # it holds units: floats or whole numbers, whatever the depth
        return True, b"SyntheticData=YES" in np.asarray(header["descrip"]).tobytes()
    import pydicom

    data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["BitsStored", "SyntheticData"])
    return int(data.get("BitsStored", 0)) == pixels.bits, str(data.get("SyntheticData", "")) == "YES"


def _mask_fits(path: Path, pixels: Pixels) -> bool:
    from synth.medical.files import Refusal, read_released

    if path.is_symlink() or not path.is_file():
        return False
    loaded = read_released(path, pixels, mask=True)
    if isinstance(loaded, Refusal):
        return loaded.code == "constant"  # nothing to outline is a mask, too
    labels = np.unique(loaded.values)
    return loaded.values.shape[-len(pixels.size):] == pixels.size and bool(
        np.isin(labels, np.arange(pixels.mask_classes)).all())
