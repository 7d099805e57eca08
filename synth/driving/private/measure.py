"""The one place where recorded scenes are read under a budget: noisy marginals of their listing and headers.

A scene becomes one row: what its listing says, how it starts and what will happen in it. Each row depends on its own
scene alone, a unit has at most ``contributions`` of them, and from there on it is a table
(:mod:`synth.tabular.private.measure`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract.model import Contract
from synth.driving.header import Header
from synth.driving.private.header import public_columns, public_header
from synth.driving.roles import cast
from synth.driving.scenes import MANOEUVRE, Scenes
from synth.driving.stored import StoredScenes
from synth.gan.private.accounting import Account
from synth.progress import Progress
from synth.records.budget import chosen
from synth.tabular.private import find
from synth.tabular.private import road as tables
from synth.tabular.private.axes import public_schema
from synth.tabular.private.measure import Measured, measure
from synth.tabular.schema import TableSchema

# what a manoeuvre is made of: measured together whatever the noisy scores say
TOLD = ("actor", "braker", "onset", "ego turn", "v1 where", "v1 turn", "min_ttc")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of private scenes: noisy and declared facts, nothing else."""

    rows: Measured  # columns of the listing, then of the header
    listing: TableSchema
    header: Header
    statement: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"rows": self.rows.to_json(), "listing": self.listing.to_json(), "header": self.header.to_json(),
                "statement": self.statement}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Known:
        """The inverse of :meth:`to_json`."""
        return cls(rows=Measured.from_json(data["rows"]), listing=TableSchema.from_json(data["listing"]),
                   header=Header.from_json(data["header"]), statement=data["statement"])


def measured(stored: StoredScenes, contract: Contract, progress: Progress) -> Known:
    """Measure the train part; the statement says what was spent."""
    budget = contract.budget
    assert budget is not None
    rows, owners = chosen(stored, budget)
    return of_scenes(stored.scenes(rows), owners, stored.schema, contract, progress)


def of_scenes(scenes: Scenes, owners: NDArray[np.int64], seen: TableSchema, contract: Contract, progress: Progress
              ) -> Known:
    """Measure private scenes; ``owners`` [n] says whose each is, ``seen`` is the private schema of their listing."""
    budget = contract.budget
    assert budget is not None
    account = Account(budget.epsilon, budget.delta)
    listing = public_schema(contract, seen)
    header = public_header(contract, listing)
    frame = described(scenes, listing, header)
    if budget.find:
        part, listing = find.complete(frame[listing.names], owners, listing, seen, find.lacking(contract), contract,
                                      account)
        frame[listing.names] = part
    schema = TableSchema(columns=(*listing.columns, *public_columns(header).columns))
    wanted = [(MANOEUVRE, name) for name in TOLD if name in schema.names]
    found = measure(frame[schema.names], schema, owners, budget, account, progress=progress,
                    wanted=[*tables.bound_together(contract), *wanted])
    said = {**tables.statement(budget, account), "covers": COVERED, "outside": list(OUTSIDE),
            "sampling": "none: every train scene is measured once"}
    return Known(rows=found, listing=listing, header=header, statement=said)


def described(scenes: Scenes, listing: TableSchema, header: Header) -> pd.DataFrame:
    """The row that is measured of each scene: the listing's columns, then the header's."""
    return pd.concat([scenes.table[listing.names].reset_index(drop=True), header.describe(cast(scenes))], axis=1)


COVERED = "the synthetic scenes and their listing, their number, the model, and whatever else is drawn from it"
OUTSIDE = (
    "the report, the data card and the gates' figures, which are computed from recorded scenes",
    "the run's own record: numbers of scenes and groups, windows put aside, durations",
    "which drivers were put together because they share scenes: with unit entity such a group is the unit, with unit "
    "row a single scene; a driver is in many scenes",
    "how recordings were read and cut into scenes: the road's line and lanes are fitted to all vehicles of a recording",
    "that the recordings met the contract: declared values and bounds",
    "which columns exist at all, and the choice of this contract, its budget and limits",
    "earlier runs and releases of the same source, which the ledger adds up",
)
