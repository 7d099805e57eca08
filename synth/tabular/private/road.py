"""Fit under a privacy budget: measure once, store, and train on rows drawn from what was measured.

:func:`measured` is the only function on this road that is given the private table. What it returns holds noisy
counts and declared facts; training, its validation rows, vocabularies, quantiles, fixed combinations and the number
of rows to release all come from rows drawn from it, so they are post-processing and cost nothing more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synth.contract.model import Budget, Contract, Inequality, Sum, Unit
from synth.errors import UserError
from synth.gan.private import noise
from synth.gan.private.accounting import Account
from synth.progress import Progress
from synth.seeds import derive, generator
from synth.tabular.private import find
from synth.tabular.private.axes import public_schema
from synth.tabular.private.measure import Measured, measure
from synth.tabular.schema import TableSchema
from synth.tabular.stored import StoredTable
from synth.workspace import write_json

KEPT = "checkpoint-measured.json"  # survives an interruption of the stage
BEGUN = "checkpoint-measuring.json"  # so does how often a measurement was begun
STORED = "measured.json"  # in the finished stage
FEWEST, MOST = 100, 10_000_000  # rows drawn to train on, whatever a noisy count says
OUTSIDE = (
    "the report, the data card and the gates' figures, which are computed from real rows",
    "the run's own record: numbers of rows and entities, missing shares, durations",
    "that the data met the contract: declared values and bounds, types, date formats, zones, words for true and false",
    "which rows and columns exist at all, and the choice of this contract, its budget and limits",
    "earlier runs and releases of the same source, which the ledger adds up",
)
INTERRUPTED = ("measurements that were interrupted before this one: nothing of them was stored or used, and they are "
               "not in the account")
COVERED = "the synthetic table, its number of rows, the model, and whatever else is drawn from it"


def fit(contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str,
        progress: Progress) -> dict[str, Any]:
    """Like the plug's ``fit``, for a contract with a budget; the record has the statement under ``privacy``."""
    from synth.gan.weights import phases_shown
    from synth.tabular.generator import TableGenerator

    assert contract.budget is not None
    kept, statement = _measurement(contract, ingested, split, out, progress)
    rows = released_rows(kept)
    frame = drawn(kept, int(np.clip(rows, FEWEST, contract.training.max_rows)), derive(seed, "drawn"))
    generator_ = TableGenerator.fit(
        frame, kept.schema, contract.constraints, training=contract.training, seed=derive(seed, "model"),
        device=device, progress=progress, checkpoint=out / "checkpoint", target=contract.target,
        conditions=contract.conditions, k=contract.k)
    generator_.save(out / "model")
    (out / "history.json").write_text(json.dumps(generator_.history) + "\n", encoding="utf-8")
    write_json(out / STORED, {"measured": kept.to_json(), "statement": statement})
    return {"rows": rows, "rows_drawn_to_train_on": len(frame), "recipe": contract.training.recipe,
            "released_phase": generator_.history.get("released"), "phases": phases_shown(generator_.history),
            "privacy": statement}


def measured(stored: StoredTable, contract: Contract, progress: Progress) -> tuple[Measured, dict[str, Any]]:
    """Measure the train part; the statement says what was spent. The one reader of private rows."""
    budget = contract.budget
    assert budget is not None
    train = stored.rows_of("train")
    frame = stored.read(train)
    account = Account(budget.epsilon, budget.delta)
    found = of_rows(frame, stored.entities()[train], stored.schema, contract, budget, account, progress)
    return found, statement(budget, account)


def of_rows(frame: pd.DataFrame, units: np.ndarray, seen: TableSchema, contract: Contract, budget: Budget,
            account: Account, progress: Progress) -> Measured:
    """Measure private rows; what the contract does not declare is found first, if its budget says so."""
    schema = public_schema(contract, seen)
    if budget.find:
        frame, schema = find.complete(frame, units, schema, seen, find.lacking(contract), contract, account)
    return measure(frame, schema, units, budget, account, wanted=bound_together(contract), progress=progress)


def bound_together(contract: Contract) -> list[tuple[str, str]]:
    """Pairs of columns that a constraint ties to each other: worth measuring whatever their scores say."""
    pairs: list[tuple[str, str]] = []
    for constraint in contract.constraints:
        if isinstance(constraint, Inequality):
            pairs.append((constraint.low, constraint.high))
        elif isinstance(constraint, Sum):
            pairs += [(part, constraint.total) for part in constraint.parts]
    return pairs


def statement(budget: Budget, account: Account) -> dict[str, Any]:
    """The fields of NIST SP 800-226 for what was spent; raises if the two accountants disagree."""
    said = account.statement()
    return {**said, "unit": budget.unit.value, "contributions": budget.contributions if budget.unit is Unit.ENTITY
            else 1, "neighbours": "add or remove one unit", "definition": "approximate differential privacy",
            "sampling": "none: every train row is measured once", "bounds": find.for_budget(budget), "covers": COVERED,
            "outside": list(OUTSIDE), "rng": noise.DESCRIPTION, "audit": None,
            "trust": "whoever runs the pipeline sees the private rows; the promise is about what is released"}


def drawn(kept: Measured, rows: int, seed: int) -> pd.DataFrame:
    """Rows of the measured distribution as a working frame."""
    rng = generator(seed, "rows of the measured model")
    return kept.frame(kept.fit().draw(rows, rng), rng)


def released_rows(kept: Measured) -> int:
    """The noisy number of rows, for a contract that does not say how many to release."""
    from synth.tabular.private.inference import total

    return int(np.clip(round(total(kept.measurements)), FEWEST, MOST))


def stored_rows(fitted: Path) -> int:
    """The same of a finished fit stage."""
    return released_rows(_read(fitted / STORED)[0])


def _measurement(contract: Contract, ingested: Path, split: Path, out: Path, progress: Progress
                 ) -> tuple[Measured, dict[str, Any]]:
    """What an interrupted or finished stage has measured, else a new measurement, stored before it is used.

    Measuring again would spend the budget again.
    """
    if (place := earlier(out)) is not None:
        found, said = _read(place)
        require_same(said, contract.budget, place.parent.name)
        return found, said
    begun = begin(out)
    found, said = measured(StoredTable.open(ingested, split), contract, progress)
    said = told(said, begun)
    write_json(out / KEPT, {"measured": found.to_json(), "statement": said})
    (out / KEPT).chmod(0o600)
    return found, said


def earlier(out: Path, kept: str = KEPT, stored: str = STORED) -> Path | None:
    """Where the stage, interrupted in ``out`` or finished before, has kept what it measured, if it has."""
    return next((p for p in (out / kept, out.with_suffix("") / stored) if p.is_file()), None)


def begin(out: Path) -> int:
    """How often a measurement was begun in this stage, this time included; to be asked before anything is read."""
    place = out / BEGUN
    before = int(json.loads(place.read_text(encoding="utf-8"))["begun"]) if place.is_file() else 0
    write_json(place, {"begun": before + 1})
    return before + 1


def told(statement: dict[str, Any], begun: int) -> dict[str, Any]:
    """The statement, which says if measurements were interrupted before this one: they spent what nobody saw."""
    if begun == 1:
        return statement
    return {**statement, "interrupted": begun - 1, "outside": [*statement["outside"], INTERRUPTED]}


def require_same(statement: dict[str, Any], budget: Budget | None, where: str) -> None:
    """:class:`UserError` unless what was measured before was measured under this budget."""
    if budget is None or (statement["epsilon"], statement["delta"]) != (budget.epsilon, budget.delta):
        raise UserError("this run has measured under another budget", where=where,
                        todo="start a new run; both budgets count")


def _read(path: Path) -> tuple[Measured, dict[str, Any]]:
    data = json.loads(path.read_text(encoding="utf-8"))
    return Measured.from_json(data["measured"]), data["statement"]
