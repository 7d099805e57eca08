"""The ingest stage of images: a private archive, read once, into the stored form.

Every listed file is read, brought to the contract's size and stored as uint16 steps; what cannot be judged is put
in quarantine under a reason code. Read images go to a cache in the stage's folder, keyed by the bytes of the file
and by everything that decides what becomes of them (the idea of MONAI's PersistentDataset with hashed transforms,
but plain samples instead of pickles), so an ingest that was interrupted goes on where it stopped. Patients who share
an image become one; then the listing of the images that were kept goes the way of every table.

The record it returns has counts and reason codes; names of files are in the private quarantine log only.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.contract import Contract
from synth.contract.pixels import Pixels
from synth.errors import Problems, UserError
from synth.medical import duplicates
from synth.medical.cache import Cache, Prepared
from synth.medical.files import CODES, Refusal, fit_size, intensity_of, mask_fits, read
from synth.medical.intensity import Intensity
from synth.medical.listing import Listing, Row, make
from synth.medical.stored import save_geometry, save_intensity
from synth.progress import Progress
from synth.tabular.ingest import ingest as ingest_table

MOST_QUARANTINED = 0.10  # of the listed images; an archive that is worse is not understood, and nobody should go on
READING = 1  # raise it when the same bytes would be read differently: cached images of before are not used
CHECKPOINT = "checkpoint-images"
OURS = {  # reason codes beside those of the readers
    "no-mask": "the image has no mask: complete the listing, or the folder of masks",
    "pattern": "its path does not fit the pattern",
    "series-in-two-places": "slices of one series lie where the pattern reads different columns",
}


def ingest(contract: Contract, out: Path, *, progress: Progress) -> dict[str, Any]:
    """Read the contract's archive into ``out``; see :mod:`.stored` for the files. Returns a value-free record.

    Raises :class:`~synth.errors.Problems` where the listing, the share of quarantined files or the classes are
    wrong.
    """
    listing = make(contract, progress=progress)
    tried = listing.tried
    assert contract.pixels is not None
    pixels, intensity = contract.pixels, intensity_of(contract.pixels)
    if problems := mixed(listing):
        raise Problems(problems)
    with Cache(out / CHECKPOINT) as cache:
        kept, quarantined = _read_all(listing, pixels, intensity, cache, progress)
        _log(out, quarantined)
        if problems := few(contract, quarantined, tried):
            raise Problems(problems)
        listing = listing.take([i for i, _ in kept])
        spacing = _write(cache, [key for _, key in kept], pixels, out)
    if problems := [*without_patient(listing), *lonely(listing)]:
        raise Problems(problems)
    stored = np.load(out / "images.npy", mmap_mode="r", allow_pickle=False)
    with progress.step("look for images that occur twice", 1):
        groups = duplicates.groups(stored)
    patients = np.unique(np.array(listing.patients(), dtype=object).astype(str), return_inverse=True)[1]
    merged = duplicates.merge(patients.astype(np.int64), groups)
    if problems := blurred(contract, merged, patients):
        raise Problems(problems)
    with listing.source([f"p{m}" for m in merged]) as table:
        record = ingest_table(table, out, progress=progress)
    save_intensity(out, intensity)
    save_geometry(out, spacing)
    return {**record, **_summary(listing, tried, quarantined, patients, merged, groups)}


def _read_all(listing: Listing, pixels: Pixels, intensity: Intensity, cache: Cache, progress: Progress
              ) -> tuple[list[tuple[int, bytes]], list[tuple[str, str]]]:
    """(row, cache key) of the images kept, and (file, reason code) of the others."""
    settings = settings_digest(pixels)
    kept, quarantined = [], list(listing.refused)
    with progress.step("read the images", max(len(listing.rows), 1)) as step:
        for i, row in enumerate(listing.rows):
            key = _key(listing, row, settings)
            if (code := cache.code(key)) is None:
                made = prepare(listing, row, pixels, intensity)
                code = cache.add(key, made.code if isinstance(made, Refusal) else made)
            if code:
                quarantined.append((row.files[0], code))
            else:
                kept.append((i, key))
            step.update(i + 1, f"{len(quarantined)} put aside" if quarantined else "")
    return kept, quarantined


def prepare(listing: Listing, row: Row, pixels: Pixels, intensity: Intensity) -> Prepared | Refusal:
    """One row's image, read and brought to the stored form; a refusal if it cannot be judged."""
    paths = [(listing.root / name).resolve() for name in row.files]
    loaded = read(paths if len(paths) > 1 else paths[0], pixels)
    if isinstance(loaded, Refusal):
        return loaded
    mask = None
    if row.mask is not None:
        labels = read((listing.root / row.mask).resolve(), pixels, mask=True)
        if isinstance(labels, Refusal):
            return labels
        if (misfit := mask_fits(loaded, labels)) is not None:
            return misfit
        fitted, _ = fit_size(labels.values, pixels.size, mask=True, spacing=loaded.spacing)
        mask = fitted[0].astype(np.uint8)
    values, spacing = fit_size(loaded.values, pixels.size, spacing=loaded.spacing, fill=intensity.low)
    return Prepared(pixels=intensity.store(values), mask=mask, spacing=spacing)


def settings_digest(pixels: Pixels) -> bytes:
    """Hash of all that decides what becomes of a file's bytes."""
    said = {name: getattr(pixels, name) for name in ("mask_classes", "size", "channels", "bits", "modality", "unit",
                                                     "window")}
    return hashlib.sha256(json.dumps([READING, {k: str(v) for k, v in said.items()}]).encode()).digest()


def _key(listing: Listing, row: Row, settings: bytes) -> bytes:
    digest = hashlib.sha256(settings)
    for name in [*row.files, *([row.mask] if row.mask else [])]:
        try:
            with (listing.root / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError:
            digest.update(b"unreadable")
        digest.update(b"/")
    return digest.digest()


def _write(cache: Cache, keys: list[bytes], pixels: Pixels, out: Path) -> tuple[float, ...] | None:
    """``images.npy`` and ``masks.npy`` in listing order; returns the median spacing, mm per stored sample."""
    images = np.lib.format.open_memmap(out / "images.npy", mode="w+", dtype=np.uint16,
                                       shape=(len(keys), pixels.channels, *pixels.size))
    masks = np.lib.format.open_memmap(out / "masks.npy", mode="w+", dtype=np.uint8,
                                      shape=(len(keys), *pixels.size)) if pixels.mask_classes else None
    spacings = []
    for i, key in enumerate(keys):
        made = cache.get(key, pixels)
        images[i] = made.pixels
        if masks is not None:
            masks[i] = made.mask
        if made.spacing is not None:
            spacings.append(made.spacing)
    images.flush()
    if masks is not None:
        masks.flush()
    return tuple(round(float(v), 4) for v in np.median(spacings, axis=0)) if spacings else None


def _log(out: Path, quarantined: list[tuple[str, str]]) -> None:
    lines = [json.dumps({"file": name, "reason": code}, ensure_ascii=False) + "\n" for name, code in quarantined]
    (out / "quarantine.jsonl").write_text("".join(lines), encoding="utf-8")


def mixed(listing: Listing) -> list[UserError]:
    """More than one modality in an archive whose contract does not say which it means."""
    pixels = listing.contract.pixels
    if listing.modalities > 1 and pixels is not None and not pixels.modality:
        return [UserError(f"the files are of {listing.modalities} different modalities",
                          where=f"{listing.contract.path}:{pixels.line}",
                          todo="say which one is meant (`modality: CT`); files of another are put aside")]
    return []


def few(contract: Contract, quarantined: list[tuple[str, str]], tried: int) -> list[UserError]:
    """Nothing left, or too much put aside."""
    counts = Counter(code for _, code in quarantined)
    if len(quarantined) < tried and len(quarantined) <= MOST_QUARANTINED * tried:
        return []
    reasons = "; ".join(f"{n} {code} ({hint(code)})" for code, n in counts.most_common(6))
    what = f"none of {tried} images can be used" if len(quarantined) == tried else \
        f"{len(quarantined)} of {tried} images were put aside, more than {MOST_QUARANTINED:.0%}"
    return [UserError(f"{what}: {reasons}", where=str(contract.path),
                      todo="correct what the reasons say; the private quarantine.jsonl of a run names the files")]


def hint(code: str) -> str:
    """What a person can do about a reason code."""
    return CODES.get(code) or OURS[code]


def lonely(listing: Listing) -> list[UserError]:
    """Classes of the target with a single image: nothing can be learned of them, and they name a patient."""
    contract = listing.contract
    if contract.target is None or contract.column(contract.target).role.is_number:
        return []
    counts = Counter(label for label in listing.column(contract.target) if label)
    single = sum(n == 1 for n in counts.values())
    if not single:
        return []
    column = contract.column(contract.target)
    return [UserError(f"{single} of the {len(counts)} classes of {contract.target!r} have one image only",
                      where=f"{contract.path}:{column.line}",
                      todo="leave these images out, or give them the label of a wider class")]


def blurred(contract: Contract, merged: NDArray[np.int64], patients: NDArray[np.intp]) -> list[UserError]:
    """Images so alike that a third of several patients are one: at this size they cannot be told apart."""
    before = len(np.unique(patients))
    largest = max(np.bincount(merged).tolist())
    if before < 10 or largest <= len(merged) / 3 or len(np.unique(merged)) == before:
        return []
    return [UserError("a third of the images or more are nearly the same picture under different patients",
                      where=str(contract.path),
                      todo="look at the archive for copies; if there are none, choose a larger size or a narrower "
                           "window")]


def without_patient(listing: Listing) -> list[UserError]:
    """Images whose patient is not said."""
    entity = listing.contract.entity
    missing = 0 if entity is None else sum(not (key or "").strip() for key in listing.column(entity))
    if entity is None or not missing:
        return []
    return [UserError(f"{missing} of {len(listing.rows)} images have no patient ({entity!r})",
                      where=f"{listing.contract.path}:{listing.contract.column(entity).line}",
                      todo="fill it at the source, or leave these images out")]


def classes_of_patients(listing: Listing) -> int:
    """Patients with images of more than one class of the target."""
    contract = listing.contract
    if contract.target is None or contract.entity is None or contract.column(contract.target).role.is_number:
        return 0
    classes: dict[str, set[str]] = {}
    for patient, label in zip(listing.patients(), listing.column(contract.target), strict=True):
        if label:
            classes.setdefault(patient, set()).add(label)
    return sum(len(found) > 1 for found in classes.values())


def _summary(listing: Listing, tried: int, quarantined: list[tuple[str, str]], patients: NDArray[np.intp],
             merged: NDArray[np.int64], groups: NDArray[np.int64]) -> dict[str, Any]:
    pixels = listing.contract.pixels
    assert pixels is not None
    sizes = np.bincount(groups)
    return {"images": len(listing.rows), "listed": tried,
            "quarantined": dict(sorted(Counter(code for _, code in quarantined).items())),
            "passed_over": dict(sorted(listing.counts.items())),
            "each_file_is_a_patient": pixels.each_file_is_a_patient,
            "patients": len(np.unique(patients)), "patients_merged": len(np.unique(patients)) - len(np.unique(merged)),
            "images_like_another": int(sizes[sizes > 1].sum()), "groups_of_like_images": int((sizes > 1).sum()),
            "patients_in_several_classes": classes_of_patients(listing), "ages_capped": listing.capped}
