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
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synth.contract import Contract
from synth.contract.pixels import Pixels
from synth.errors import Problems
from synth.medical import duplicates
from synth.medical.cache import Cache, Prepared
from synth.medical.files import Refusal, intensity_of
from synth.medical.gather import make
from synth.medical.intensity import Intensity
from synth.medical.listing import Listing, Row
from synth.medical.prepare import prepare
from synth.medical.rules import blurred, classes_of_patients, few, lonely, mixed, without_patient
from synth.medical.stored import save_geometry, save_intensity
from synth.medical.workers import each
from synth.progress import Progress
from synth.tabular.ingest import ingest as ingest_table

READING = 1  # raise it when the same bytes would be read differently: cached images of before are not used
CHECKPOINT = "checkpoint-images"


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
    # under a budget a patient is who the contract says: whom they are put together with must not hang on others
    merged = patients.astype(np.int64) if contract.budget is not None else duplicates.merge(
        patients.astype(np.int64), groups)
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
    keys = [_key(listing, row, settings) for row in listing.rows]
    new = {key: row.source for key, row in zip(keys, listing.rows, strict=True) if cache.code(key) is None}
    with progress.step("read the images", max(len(new), 1)) as step:
        bad = 0
        work = partial(prepare, root=listing.root, pixels=pixels, intensity=intensity)
        made: Iterator[Prepared | Refusal] = each(work, list(new.values()), died=Refusal("damaged"))
        for done, (key, image) in enumerate(zip(new, made, strict=True), start=1):
            bad += bool(cache.add(key, image.code if isinstance(image, Refusal) else image))
            step.update(done, f"{bad} put aside" if bad else "")
    kept, quarantined = [], list(listing.refused)
    for i, (key, row) in enumerate(zip(keys, listing.rows, strict=True)):
        if code := cache.code(key):
            quarantined.append((row.files[0], code))
        else:
            kept.append((i, key))
    return kept, quarantined


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
    if row.frame is not None:
        digest.update(f"frame {row.frame}".encode())
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
