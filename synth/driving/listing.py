"""The listing of scenes shown to the reader of tables, without writing it to a disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from synth.contract import Contract
from synth.driving.scenes import MANOEUVRE, MANOEUVRES
from synth.records.listing import in_memory, keyed

RECORDS = "scenes"


@contextlib.contextmanager
def source(contract: Contract, texts: Mapping[str, Sequence[str | None]], groups: Sequence[str]) -> Iterator[Contract]:
    """The contract of the listing as a table (:func:`~synth.records.listing.in_memory`).

    ``groups`` are the keys of entities, instead of drivers: scenes that must stay together. Identifiers other than
    that key are empty in it. Manoeuvres are no secret, so rare ones are not folded.
    """
    columns: dict[str, Sequence[str | None]] = {
        c.name: texts[c.name] if c.modelled else [None] * len(groups) for c in contract.columns}
    shown = tuple(m for m in MANOEUVRES if contract.budget is not None or m in set(texts.get(MANOEUVRE, ())))
    described = tuple(replace(c, required=c.required and c.modelled, unique=False, values=shown or None)
                      if c.name == MANOEUVRE and c.values is None else
                      replace(c, required=c.required and c.modelled, unique=False) for c in contract.columns)
    table = keyed(replace(contract, columns=described))
    columns[str(table.entity)] = groups
    with in_memory(table, columns, RECORDS) as shown_table:
        yield shown_table
