"""The listing of scenes shown to the reader of tables, without writing it to a disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from synth.contract import Contract
from synth.contract.model import Column, IdentifierPolicy, Privacy, Role, Training
from synth.driving.scenes import MANOEUVRE, MANOEUVRES
from synth.errors import Problems, UserError


@contextlib.contextmanager
def source(contract: Contract, texts: Mapping[str, Sequence[str | None]], groups: Sequence[str]) -> Iterator[Contract]:
    """The contract of the listing as a table: a CSV text in this process's memory, gone afterwards.

    ``groups`` are the keys of entities, instead of drivers: scenes that must stay together. Identifiers other than
    that key are empty in it. Manoeuvres are no secret, so rare ones are not folded. Errors raised inside name "the
    table of scenes" as their place.
    """
    import fsspec
    import pyarrow.csv as arrow_csv

    columns: dict[str, Sequence[str | None]] = {
        c.name: texts[c.name] if c.modelled else [None] * len(groups) for c in contract.columns}
    shown = tuple(m for m in MANOEUVRES if m in set(texts.get(MANOEUVRE, ())))
    described = tuple(replace(c, required=c.required and c.modelled, unique=False, values=shown or None)
                      if c.name == MANOEUVRE and c.values is None else
                      replace(c, required=c.required and c.modelled, unique=False) for c in contract.columns)
    entity = contract.entity
    if entity is None:  # under a name that no column has
        entity = max((c.name for c in contract.columns), key=len) + " "
        key = Column(name=entity, role=Role.IDENTIFIER, privacy=Privacy.DIRECT, generate=IdentifierPolicy.DROP)
        described = (*described, key)
    columns[entity] = groups
    memory, folder = fsspec.filesystem("memory"), f"/listing-{os.urandom(8).hex()}"
    table = replace(contract, source=f"memory:/{folder}/listing.csv", source_options=(), training=Training(),
                    traffic=None, entity=entity, columns=described)
    try:
        with memory.open(f"{folder}/listing.csv", "wb") as file:
            arrow_csv.write_csv(pa.table({n: pa.array(list(t), pa.string()) for n, t in columns.items()}), file)
        yield table
    except Problems as problems:
        raise Problems([renamed(p, table) for p in problems.problems], shown=problems.shown) from None
    except UserError as error:
        raise renamed(error, table) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            memory.rm(folder, recursive=True)


def renamed(error: UserError, table: Contract) -> UserError:
    """An error or note about the listing, with words instead of its address in memory."""
    where = error.where
    for address in (table.source, table.source.removeprefix("memory:/")):
        where = where.replace(address, "the table of scenes")
    return UserError(error.what, where=where, todo=error.todo)
