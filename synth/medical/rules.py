"""What stops a set of images: in the contract's words, in the listing, and after the files were read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from synth.contract import Contract
from synth.contract.model import IdentifierPolicy, Training
from synth.domain import RECIPES
from synth.errors import UserError
from synth.medical.files import CODES, unwritable
from synth.medical.headers import unreadable
from synth.medical.listing import Listing
from synth.tabular.scan import at_line
from synth.tabular.scan import refuse as refuse_table

MOST_QUARANTINED = 0.10  # of the listed images; an archive that is worse is not understood, and nobody should go on
OURS = {  # reason codes beside those of the readers
    "no-mask": "the image has no mask: complete the listing, or the folder of masks",
    "pattern": "its path does not fit the pattern",
    "series-in-two-places": "slices of one series lie where the pattern reads different columns",
}


def refuse(contract: Contract) -> list[UserError]:
    """What is wrong with the contract's words on images, before the archive is looked at."""
    pixels = contract.pixels
    if pixels is None:
        return [UserError("the contract has no block on pixels", where=str(contract.path),
                          todo="add `synthesis.pixels` (data_contracts/README.md)")]
    where, found = f"{contract.path}:{pixels.line}", []
    names = {c.name: c for c in contract.columns}
    for name, what in ((pixels.file, "file"), (pixels.mask, "mask")):
        if name is not None and (name not in names or names[name].modelled):
            found.append(UserError(f"the {what} column {name!r} of the pixels is not a described identifier",
                                   where=where, todo="describe it with role identifier and generate: drop"))
        elif name is not None and names[name].generate is not IdentifierPolicy.DROP:
            found.append(UserError(f"the {what} column {name!r} holds the paths of private files", where=where,
                                   todo="give it generate: drop; released files get names of their own"))
    if contract.entity is None and not pixels.each_file_is_a_patient:
        found.append(UserError("no column says which patient an image is of", where=where,
                               todo="name it as `synthesis.entity`; only if every file is of another person, set "
                                    "`eachFileIsAPatient: true` (the report will say so)"))
    if contract.entity is not None and pixels.each_file_is_a_patient:
        found.append(UserError("the contract names the patient and says that each file is one", where=where,
                               todo="keep `synthesis.entity`, or `eachFileIsAPatient`"))
    for column in contract.columns:
        if column.tag is not None and unreadable([column.tag]):
            found.append(UserError(f"column {column.name!r} asks for a tag that is not read from files",
                                   where=f"{contract.path}:{column.line}",
                                   todo="use the keyword of a permitted attribute, e.g. PatientID, PatientAge, "
                                        "PatientSex, StationName; names, dates and free text are never read"))
    if (error := unwritable(pixels)) is not None:
        found.append(UserError(error.what, where=where, todo=error.todo))
    for network in pixels.networks:
        if (error := network.problem()) is not None:
            found.append(UserError(error.what, where=f"{contract.path}:{network.line}", todo=error.todo))
    return found + _training(contract) + refuse_table(replace(contract, training=Training()), keeps_budgets=True)


def _training(contract: Contract) -> list[UserError]:
    """A recipe that there is not, or that cannot make these images."""
    found = []
    if contract.budget is not None:
        return _budgeted(contract)
    if (contract.training.recipe, contract.training.options) != (RECIPES[contract.domain], ()):
        from synth.medical.recipes import named  # imports torch
        from synth.medical.shape import ImageShape

        assert contract.pixels is not None
        shape = ImageShape(size=contract.pixels.size, channels=contract.pixels.channels, conditions=1,
                           classes=contract.pixels.mask_classes)
        try:
            named(contract.training, shape)
        except UserError as error:
            found.append(UserError(error.what, where=at_line(contract, contract.training.line), todo=error.todo))
    return found


def _budgeted(contract: Contract) -> list[UserError]:
    """What cannot be trained under a budget."""
    from synth.medical.private.plan import of

    assert contract.pixels is not None
    found = []
    try:
        of(contract.training)
    except UserError as error:
        found.append(UserError(error.what, where=at_line(contract, contract.training.line), todo=error.todo))
    if len(contract.pixels.size) != 2:
        found.append(UserError("volumes are not trained under a privacy budget",
                               where=f"{contract.path}:{contract.pixels.line}",
                               todo="give slices of them as images, or remove `synthesis.budget`"))
    return found


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
