"""Rules between the parts of a contract: names that must exist, roles that must fit, things not built yet."""

from __future__ import annotations

from collections import Counter
from typing import Any

from synth.contract.marks import Place
from synth.contract.model import Contract, FixedCombinations, Inequality, Privacy, Role, Sum, Task
from synth.contract.odcs import did_you_mean
from synth.contract.settings import Notes, Settings


def check(notes: Notes, contract: Contract, about: Settings, data: dict[str, Any]) -> None:
    """Write every broken rule into ``notes``; ``about`` are the settings of the table."""
    _columns(notes, contract)
    _table(notes, contract, about)
    for i, constraint in enumerate(contract.constraints):
        place = (*about.get("constraints")[1], i)
        if isinstance(constraint, FixedCombinations):
            _names(notes, contract, constraint.columns, place, "a fixed combination", least=2)
        elif isinstance(constraint, Inequality):
            _numbers(notes, contract, (constraint.low, constraint.high), place, "an inequality")
        elif isinstance(constraint, Sum):
            _numbers(notes, contract, (constraint.total, *constraint.parts), place, "a sum")
            names = (constraint.total, *constraint.parts)
            if any(c.role is Role.DATETIME for c in contract.columns if c.name in names):
                notes.add("a sum of dates has no meaning", place, "use numeric columns")
    _domain(notes, contract, data)


def _columns(notes: Notes, contract: Contract) -> None:
    place: Place = ("schema", 0, "properties")
    for name, times in Counter(c.name for c in contract.columns).items():
        if times > 1:
            raw = [i for i, item in enumerate(contract.raw["schema"][0]["properties"]) if item.get("name") == name]
            notes.add(f"column {name!r} is described {times} times", (*place, raw[-1]), "describe each column once")
    if not contract.modelled and not notes.problems:
        notes.add("no column is left for the model", place,
                  "give at least one column a role other than identifier or text")


def _table(notes: Notes, contract: Contract, about: Settings) -> None:
    known = {c.name: c for c in contract.columns}
    place = about.get("entity")[1]
    if contract.entity is not None and _exists(notes, contract, contract.entity, place, "the entity key"):
        column = known[contract.entity]
        if column.role is not Role.IDENTIFIER:
            notes.add(f"the entity key {contract.entity!r} has role {column.role.value!r}", place,
                      "give it role identifier: it says which rows belong together and must not reach the model")
        elif column.unique:
            notes.add(f"the entity key {contract.entity!r} is unique, so each row is an entity of its own",
                      place, "remove `synthesis.entity`, or `unique`/`primaryKey` from the column")
    if contract.target is not None:
        place = about.get("target")[1]
        if _exists(notes, contract, contract.target, place, "the target"):
            column = known[contract.target]
            if not column.modelled:
                notes.add(f"the target {contract.target!r} has role {column.role.value!r}", place,
                          "choose a modelled column")
            elif contract.task is None and "task" not in about:
                notes.add("a target needs a task", place, "add `synthesis.task`: classification or regression")
            elif contract.task is Task.REGRESSION and column.role is not Role.NUMERIC:
                notes.add("regression needs a numeric target", place, "choose another target, or task classification")
            elif contract.task is Task.CLASSIFICATION and column.role.is_number:
                notes.add("classification needs a target with labels", place,
                          "give the target role categorical, ordinal or boolean, or use task regression")
    elif contract.task is not None:
        notes.add("a task needs a target", about.get("task")[1], "add `synthesis.target`")
    _names(notes, contract, contract.conditions, about.get("conditions")[1], "the conditions")


def _exists(notes: Notes, contract: Contract, name: str, place: Place, what: str) -> bool:
    names = [c.name for c in contract.columns]
    table = contract.raw["schema"][0] if contract.raw.get("schema") else {}
    broken = any(isinstance(p, dict) and p.get("name") == name for p in table.get("properties") or [])
    if name not in names and not broken:  # a described column with a mistake of its own has been reported
        notes.add(f"{what} names column {name!r}, which is not described", place, did_you_mean(name, names))
    return name in names


def _names(notes: Notes, contract: Contract, names: tuple[str, ...], place: Place, what: str, least: int = 0) -> None:
    for name in names:
        if _exists(notes, contract, name, place, what) and not contract.column(name).modelled:
            notes.add(f"{what}: column {name!r} has role {contract.column(name).role.value!r}", place,
                      "use columns that the model sees")
    if len(set(names)) < max(least, len(names)):
        more = f", {least} or more" if least else ""
        notes.add(f"{what} needs different columns{more}", place, "correct the list")


def _numbers(notes: Notes, contract: Contract, names: tuple[str, ...], place: Place, what: str) -> None:
    _names(notes, contract, names, place, what, least=2)
    roles = {c.role for c in contract.columns if c.name in names}
    if any(not r.is_number for r in roles if r not in (Role.IDENTIFIER, Role.TEXT)):
        notes.add(f"{what} needs numeric or datetime columns", place, "labels have no size; correct the roles")
    elif len(roles) > 1:
        notes.add(f"{what} mixes numeric and datetime columns", place, "compare like with like")


def _domain(notes: Notes, contract: Contract, data: dict[str, Any]) -> None:
    from synth.domain import domains

    if contract.domain not in domains():
        place = Settings(Notes(notes.document), data, (), "contract").get("domain")[1]
        notes.add(f"unknown domain {contract.domain!r}", place, did_you_mean(contract.domain, domains()))
    if any(c.privacy is Privacy.SENSITIVE and c.role is Role.TEXT and c.generate.value == "generate"
           for c in contract.columns):
        notes.add("a sensitive text column cannot be generated", ("schema", 0, "properties"), "drop it")
