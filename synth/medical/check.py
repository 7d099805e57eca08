"""Contract and archive against each other, without training: every problem at once, and what a person should know.

All paths, manifests and DICOM headers are read; of the images themselves a sample (:data:`TRIED`), because decoding a
large archive takes as long as its ingest. Copies of images are found by the ingest only.
"""

from __future__ import annotations

from collections import Counter

from synth.contract import Contract
from synth.domain import Examination
from synth.errors import Problems, UserError
from synth.medical.files import Refusal, intensity_of
from synth.medical.gather import make
from synth.medical.listing import RECORDS, Listing
from synth.medical.prepare import prepare
from synth.medical.rules import classes_of_patients, few, hint, lonely, mixed, refuse, without_patient
from synth.progress import Progress, Silent
from synth.records.listing import renamed
from synth.seeds import generator
from synth.tabular.check import examine as examine_table

TRIED = 200  # images decoded
FEW_IMAGES = 50  # of a class; below, the gates cannot judge it by itself
FEW_PATIENTS = 60  # below, holdout and reference have a dozen each
_SIDES = ("Laterality", "ImageLaterality", "ViewPosition")


def examine(contract: Contract, *, progress: Progress | None = None) -> Examination:
    """Read listing, headers and a sample of the images against the contract. Nothing is written."""
    progress = progress or Silent()
    if problems := refuse(contract):
        return Examination(problems=tuple(problems))
    try:
        listing = make(contract, progress=progress)
    except Problems as found:
        return Examination(problems=tuple(found.problems))
    except UserError as error:
        return Examination(problems=(error,))
    quarantined, tried = _try(listing, progress)
    bad = {name for name, _ in quarantined}
    readable = listing.take([i for i, row in enumerate(listing.rows) if row.readable and row.files[0] not in bad])
    problems = mixed(listing) + few(contract, quarantined, tried) + without_patient(readable) + lonely(readable)
    notes: list[UserError] = []
    if readable.rows and not problems:
        with readable.source() as table:
            listed = examine_table(table)
            problems = [renamed(p, table, RECORDS) for p in listed.problems]
            notes = [renamed(n, table, RECORDS) for n in listed.notes]
    return Examination(problems=tuple(problems), notes=(*notes, *_notes(readable, quarantined, tried)))


def _try(listing: Listing, progress: Progress) -> tuple[list[tuple[str, str]], int]:
    """(file, reason code) of what would be put aside, and of how many images: a sample, and all that is not there."""
    assert listing.contract.pixels is not None
    rows = len(listing.rows)
    chosen = sorted(generator(0, "check").choice(rows, TRIED, replace=False).tolist()) if rows > TRIED \
        else list(range(rows))
    intensity, quarantined = intensity_of(listing.contract.pixels), []
    with progress.step("try to read images", max(len(chosen), 1)) as step:
        for done, i in enumerate(chosen):
            row = listing.rows[i]
            made = prepare(row.source, listing.root, listing.contract.pixels, intensity)
            if isinstance(made, Refusal):
                quarantined.append((row.files[0], made.code))
            step.update(done + 1)
    if len(chosen) == rows:
        return quarantined + list(listing.refused), listing.tried
    missing = round(len(listing.refused) * len(chosen) / rows)  # their share, in a sample of this size
    return quarantined + list(listing.refused[:missing]), len(chosen) + missing


def _notes(listing: Listing, quarantined: list[tuple[str, str]], tried: int) -> list[UserError]:
    contract, pixels = listing.contract, listing.contract.pixels
    assert pixels is not None
    where, notes = f"{contract.path}:{pixels.line}", []

    def note(what: str, todo: str) -> None:
        notes.append(UserError(what, where=where, todo=todo))

    for code, count in Counter(code for _, code in quarantined).most_common():
        note(f"{count} of {tried} images read would be put aside: {code}", hint(code))
    if tried < listing.tried:
        note(f"{tried} of {listing.tried} images were tried; a run reads them all",
             "nothing, unless the others are of another kind")
    for reason, count in sorted(listing.counts.items()):
        note(f"{count} files are passed over: {reason}", "check that this is meant")
    if pixels.each_file_is_a_patient:
        note("the contract says that each file is another patient; the report repeats it",
             "make sure, because a patient in two parts spoils every figure on leakage")
    elif (patients := len(set(listing.patients()))) < FEW_PATIENTS:
        note(f"there are {patients} patients; gates will probably end inconclusive, which stops a release",
             "give images of more patients, or expect a report only")
    if several := classes_of_patients(listing):
        note(f"{several} patients have images of more than one class",
             "right if the label is of the image; if it is of the patient, correct the labels")
    if listing.framed:
        note(f"{listing.framed} files hold several frames; each frame is an image of its own",
             "nothing; for one volume a file, say three sides of `size`")
    if listing.capped:
        note(f"{listing.capped} images are of patients above 89; their age is kept as 90", "nothing; the law asks it")
    if pixels.flips and any(c.tag in _SIDES for c in contract.columns):
        note("left and right may be exchanged, but a column holds the side", "set `flips: false`")
    if contract.target is not None and not contract.column(contract.target).role.is_number:
        counts = Counter(label for label in listing.column(contract.target) if label)
        small = sum(n < FEW_IMAGES for n in counts.values())
        if small:
            note(f"{small} of the {len(counts)} classes have fewer than {FEW_IMAGES} images, too few to be judged "
                 "by themselves", "give more images of them, or join classes")
    return notes
