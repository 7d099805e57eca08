"""A listing shown to the reader of tables, without writing it to a disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from synth.contract import Contract
from synth.contract.model import Column, IdentifierPolicy, Privacy, Role, Training
from synth.errors import Problems, UserError


@contextlib.contextmanager
def in_memory(contract: Contract, texts: Mapping[str, Sequence[str | None]], records: str) -> Iterator[Contract]:
    """The contract of the listing as a table: a CSV text in this process's memory, gone afterwards.

    ``texts``: of each column, row by row; ``records``: what a row lists. The training and the blocks of the contract
    are left out: they are for the records. Errors raised inside name "the table of RECORDS" as their place.
    """
    import fsspec
    import pyarrow.csv as arrow_csv

    memory, folder = fsspec.filesystem("memory"), f"/listing-{os.urandom(8).hex()}"
    table = replace(contract, source=f"memory:/{folder}/listing.csv", source_options=(), training=Training(),
                    pixels=None, traffic=None)
    try:
        with memory.open(f"{folder}/listing.csv", "wb") as file:
            arrow_csv.write_csv(pa.table({n: pa.array(list(t), pa.string()) for n, t in texts.items()}), file)
        yield table
    except Problems as problems:
        raise Problems([renamed(p, table, records) for p in problems.problems], shown=problems.shown) from None
    except UserError as error:
        raise renamed(error, table, records) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            memory.rm(folder, recursive=True)


def keyed(contract: Contract) -> Contract:
    """The contract with an entity: its own, or else a key under a name that no column has."""
    if contract.entity is not None:
        return contract
    name = max((c.name for c in contract.columns), key=len) + " "
    key = Column(name=name, role=Role.IDENTIFIER, privacy=Privacy.DIRECT, generate=IdentifierPolicy.DROP)
    return replace(contract, entity=name, columns=(*contract.columns, key))


def renamed(error: UserError, table: Contract, records: str) -> UserError:
    """An error or note about a listing, with words instead of its address in memory."""
    where = error.where
    for address in (table.source, table.source.removeprefix("memory:/")):
        where = where.replace(address, f"the table of {records}")
    return UserError(error.what, where=where, todo=error.todo)
