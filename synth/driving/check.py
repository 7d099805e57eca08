"""Contract and recordings against each other, without training: every problem at once, and what to know before a run.

The recordings are read and cut as the ingest does it; nothing is written.
"""

from __future__ import annotations

import numpy as np

from synth.contract import Contract
from synth.domain import Examination
from synth.driving.cut import Cut, cut
from synth.driving.ingest import listed
from synth.driving.listing import RECORDS
from synth.driving.rules import alone, counted, few, hint, refuse, stacked
from synth.errors import Problems, UserError
from synth.progress import Progress, Silent
from synth.records.listing import renamed
from synth.tabular.check import examine as examine_table
from synth.tabular.scan import at_line

FEW_SCENES = 50  # of a manoeuvre; below, the gates cannot judge it by itself
FEW_GROUPS = 60  # below, holdout and reference have a dozen each


def examine(contract: Contract, *, progress: Progress | None = None) -> Examination:
    """Read and cut the recordings against the contract."""
    progress = progress or Silent()
    if problems := refuse(contract):
        return Examination(problems=tuple(problems))
    try:
        found = cut(contract, progress)
    except Problems as several:
        return Examination(problems=tuple(several.problems))
    except UserError as error:
        return Examination(problems=(error,))
    problems, notes = few(contract, found) + alone(contract, found) + stacked(contract, found), list[UserError]()
    if not problems:
        with listed(contract, found) as table:
            listing = examine_table(table)
            problems = [renamed(p, table, RECORDS) for p in listing.problems]
            notes = [renamed(n, table, RECORDS) for n in listing.notes]
    return Examination(problems=tuple(problems), notes=(*notes, *_notes(contract, found)))


def _notes(contract: Contract, found: Cut) -> list[UserError]:
    block = contract.traffic
    assert block is not None
    where, notes = at_line(contract, block.line), []

    def note(what: str, todo: str) -> None:
        notes.append(UserError(what, where=where, todo=todo))

    for code, count in found.refused.most_common():
        note(f"{count} put aside: {code}", hint(code))
    if found.trimmed:
        cut = found.trimmed
        note(f"{cut['states']:,} states within {cut['metres']:,} m of an end of {cut['trips']:,} "
             "trips are cut away", "nothing; where trips begin and end is where people live (`endpoints`)")
    if found.groups.cut:
        note(f"{found.groups.cut} recordings are cut at points in time, because their drivers join too many scenes",
             "nothing; what belongs to both sides of a cut is left out")
    kept = found.groups.group[found.groups.group >= 0]
    if len(kept) and (groups := len(np.unique(kept))) < FEW_GROUPS:
        note(f"the scenes fall into {groups} groups that share no driver; gates will probably end inconclusive, which "
             "stops a release", "give more recordings, or expect a report only")
    if block.each_track_is_a_driver:
        note("the contract says that each track is another driver; the report repeats it",
             "make sure, because a driver in two parts spoils every figure on leakage")
    rare = {name: n for name, n in counted(found).items() if n < FEW_SCENES}
    if rare:
        note("few or no scenes show " + ", ".join(f"{name} ({n})" for name, n in rare.items()),
             "give more recordings with them, or do not ask for them")
    return notes
