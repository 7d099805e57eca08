"""One look through the contract's data: a reader a column, and everything that is wrong with it.

Used by the ingest stage, which keeps what the readers give back, and by `synth check`, which does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from synth.contract.model import Column, Contract, Training, Unit
from synth.errors import Problems, UserError
from synth.progress import Progress
from synth.tabular.private.axes import undeclared
from synth.tabular.readers import LabelReader, Reader, reader_for
from synth.tabular.source import Source, open_source

ENTITY = "\0entity"  # column of the entity key beside the readers' columns; no contract column is called that


@dataclass
class Scan:
    """An opened source and one reader per modelled column, in contract order."""

    contract: Contract
    source: Source
    readers: list[Reader]
    rows: int = 0
    without_entity: int = 0
    units: set[object] = field(default_factory=set)  # entity keys, kept only where a budget must know their number

    @property
    def columns(self) -> list[str]:
        """Columns read from the source: the modelled ones, and the entity key last."""
        names = [r.column.name for r in self.readers]
        return names + ([self.contract.entity] if self.contract.entity is not None else [])

    def batches(self, progress: Progress) -> Iterator[pa.RecordBatch]:
        """Spool batches: what the readers made of the cells, and the entity key as it is."""
        fields = [pa.field(r.column.name, r.spool) for r in self.readers]
        # A step counts rows where the source knows them, else an estimate from its size.
        total = self.source.rows or max(self.source.size // (8 * len(self.source.columns)), 1)
        with progress.step("read the table", total) as step:
            for batch in self.source.batches(self.columns):
                arrays = [r.read(batch.column(i)) for i, r in enumerate(self.readers)]
                schema = pa.schema(fields)
                if self.contract.entity is not None:
                    key = entity_key(batch.column(len(arrays)))
                    self.without_entity += key.null_count
                    if self.contract.budget is not None:
                        self.units.update(pc.unique(key.drop_null()).to_pylist())
                    arrays, schema = [*arrays, key], schema.append(pa.field(ENTITY, key.type))
                self.rows += batch.num_rows
                step.update(min(self.rows, total))
                yield pa.record_batch(arrays, schema=schema)

    def problems(self) -> list[UserError]:
        """Everything wrong with what was read."""
        where = f"{self.contract.path}, {self.source.name}"
        if not self.rows:
            return [UserError("the table has no rows", where=where, todo="give a table with data")]
        found = [p for r in self.readers for p in r.problems()]
        found += [p for r in self.readers if isinstance(r, LabelReader) and not r.problems()
                  for p in r.names_rows(self.contract.k)]
        if self.without_entity:
            found.append(UserError(f"{self.without_entity} of {self.rows} rows have no entity key "
                                   f"({self.contract.entity!r})", where=where,
                                   todo="fill it at the source, or leave these rows out"))
        return found + self._budget()

    def _budget(self) -> list[UserError]:
        """A delta that would let somebody's whole record out is none."""
        budget = self.contract.budget
        if budget is None:
            return []
        by_row = budget.unit is Unit.ROW or self.contract.entity is None
        units = self.rows if by_row else len(self.units)
        if budget.delta < 1 / max(1, units):
            return []
        return [UserError(f"the delta of the budget is not below 1 / {units}, the number of "
                          f"{'rows' if by_row else 'entities'}: such a promise is kept by publishing one of them whole",
                          where=at_line(self.contract, budget.line), todo="lower it, e.g. to a tenth of that")]


def entity_key(array: pa.Array) -> pa.Array:
    """An entity column as integers or text; blank texts and missing floats are null."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_integer(array.type):
        return array.cast(pa.int64(), safe=False)
    if pa.types.is_floating(array.type):
        numbers = array.cast(pa.float64())
        array = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    text = array.cast(pa.string())
    return pc.if_else(pc.equal(pc.binary_length(pc.utf8_trim_whitespace(text)), 0), pa.scalar(None, pa.string()), text)


def open_scan(contract: Contract) -> Scan:
    """Open the contract's data and match its columns to the contract's; :class:`Problems`."""
    opened = open_source(contract.source, contract.source_options)
    problems = match_columns(contract, opened)
    kinds = dict(opened.columns)
    if contract.entity in kinds and pa.types.is_nested(kinds[contract.entity]):
        problems.append(UserError(f"the entity key {contract.entity!r} is a list or a structure in the data",
                                  where=place_of(contract, contract.column(contract.entity)),
                                  todo="use a column of numbers or text"))
    if problems:
        raise Problems(problems)
    readers = [reader_for(c, place=place_of(contract, c), typed=not opened.text) for c in contract.modelled]
    return Scan(contract=contract, source=opened, readers=readers)


def place_of(contract: Contract, column: Column) -> str:
    """``file:line`` of a column in the contract."""
    return f"{contract.path}:{column.line}"


def match_columns(contract: Contract, source: Source) -> list[UserError]:
    """Columns that only the contract or only the data has."""
    from synth.contract.odcs import did_you_mean

    described, found = [c.name for c in contract.columns], source.names
    missing = [UserError(f"column {c.name!r} is in the contract but not in the data", where=place_of(contract, c),
                         todo=did_you_mean(c.name, [n for n in found if n not in described] or found)
                         + ("; is the delimiter right?" if len(found) == 1 else ""))
               for c in contract.columns if c.name not in found]
    both = f"{contract.path}, {source.name}"
    extra = [UserError(f"column {name!r} is in the data but not in the contract", where=both,
                       todo="describe it; a column that must stay out gets role text with generate: drop")
             for name in found if name not in described]
    return missing + extra


def refuse(contract: Contract, *, keeps_budgets: bool = False) -> list[UserError]:
    """What stops a run before the data is touched: unconfirmed bounds, unknown recipes, a budget nobody keeps."""
    found = [UserError(f"the bounds of column {c.name!r} are not confirmed", where=place_of(contract, c),
                       todo="fill in minimum and maximum from what you know (not from the data), or remove them, "
                            "and set `synthesis.boundsConfirmed` to true")
             for c in contract.columns if c.modelled and not c.bounds_confirmed]
    if contract.budget is not None and keeps_budgets:
        found += undeclared(contract)
    elif contract.budget is not None:
        found.append(UserError("the contract asks for a differential-privacy budget, which this domain does not keep",
                               where=at_line(contract, contract.budget.line),
                               todo="remove `synthesis.budget`; the leakage gate measures instead"))
    if (contract.training.recipe, contract.training.options) != (Training().recipe, ()):
        from synth.tabular.recipes import named  # imports torch

        try:
            named(contract.training, rows=1)
        except UserError as error:
            found.append(UserError(error.what, where=at_line(contract, contract.training.line), todo=error.todo))
    return found


def at_line(contract: Contract, line: int) -> str:
    """The contract's file with a line of it, where that is known."""
    return f"{contract.path}:{line}" if line else str(contract.path)
