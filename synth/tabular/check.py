"""Contract and data against each other, without training: every problem at once, each with its place."""

from __future__ import annotations

from synth.contract.model import Contract
from synth.domain import Examination
from synth.errors import Problems, UserError
from synth.progress import Progress, Silent
from synth.tabular.readers import LabelReader
from synth.tabular.scan import Scan, open_scan, refuse

FEW_ROWS = 1_000  # below, most gates cannot tell a good table from a bad one


def check(contract: Contract) -> list[UserError]:
    """Everything that would make a run of ``contract`` be refused; an empty list if nothing would."""
    return list(examine(contract).problems)


def examine(contract: Contract, *, progress: Progress | None = None) -> Examination:
    """Read the data once against the contract. Nothing is written."""
    problems = refuse(contract, keeps_budgets=True)
    try:
        scan = open_scan(contract)
        for _ in scan.batches(progress or Silent()):
            pass
        problems += scan.problems()
    except Problems as found:
        return Examination(problems=(*problems, *found.problems), notes=())
    except UserError as error:
        return Examination(problems=(*problems, error), notes=())
    return Examination(problems=tuple(problems), notes=tuple(_notes(scan)))


def _notes(scan: Scan) -> list[UserError]:
    contract, notes = scan.contract, []
    where = f"{contract.path}, {scan.source.name}"
    if scan.rows < FEW_ROWS:
        notes.append(UserError(f"the table has fewer than {FEW_ROWS} rows; gates will probably end inconclusive, which "
                               "stops a release", where=where, todo="give more rows, or expect a report only"))
    if contract.target is None:
        notes.append(UserError("the contract has no target, so the downstream gate has nothing to test", where=where,
                               todo="add `synthesis.target` and `synthesis.task`"))
    for reader in scan.readers:
        if isinstance(reader, LabelReader) and len(reader.codes) == 1 and not reader.missing:
            notes.append(UserError(f"column {reader.column.name!r} has the same value in every row", where=reader.place,
                                   todo="it can stay; it tells a model nothing"))
    return notes
