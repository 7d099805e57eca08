"""Gate "contract": does every released row keep what the contract promises?

Two independent looks at every row (not at a sample): the Great Expectations suite that also runs on the real data,
and counts of our own that share no code with the generator's repair. Counts are exact, so there are no intervals.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from synth.contract import Constraint, Contract, FixedCombinations, Inequality, Role, Sum
from synth.tabular.evidence import TableEvidence
from synth.tabular.schema import ColumnSchema, TableSchema
from validators.finding import Finding, GateResult, Verdict

TITLE = "Contract"
QUESTION = "Does every synthetic row keep what the contract promises?"

_MICROSECONDS = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_EXACT = 2.0**53
_METHOD = "Exact count over all released rows."


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be wrong before the gate fails: nothing.

    violating_rows: rows that break a constraint, leave the vocabulary or hold an impossible cell.
    """

    violating_rows: float = field(default=0.0, metadata={"direction": "at most", "range": (0, 1e9)})
    failed_expectations: float = field(default=0.0, metadata={"direction": "at most", "range": (0, 1e9)})


def run(evidence: TableEvidence, limits: Limits) -> GateResult:
    """Judge the whole synthetic table; value-free findings."""
    start = time.monotonic()
    contract, schema = evidence.contract, evidence.schema
    allowed = {i: _allowed(evidence, c) for i, c in enumerate(contract.constraints)
               if isinstance(c, FixedCombinations)}
    required = {c.name for c in contract.modelled if c.required}
    rows, broken = 0, [0] * len(contract.constraints)
    cells, words = Counter[str](), Counter[str]()
    bad_rows = lost_rows = 0
    for frame in evidence.all_rows("synthetic"):
        rows += len(frame)
        wrong, unknown = np.zeros(len(frame), dtype=bool), np.zeros(len(frame), dtype=bool)
        for column in schema.columns:
            impossible = _impossible(frame[column.name], column, column.name in required)
            outside = _outside(frame[column.name], column)
            cells[column.name] += int(impossible.sum())
            words[column.name] += int(outside.sum())
            wrong |= impossible
            unknown |= outside
        bad_rows, lost_rows = bad_rows + int(wrong.sum()), lost_rows + int(unknown.sum())
        for i, constraint in enumerate(contract.constraints):
            broken[i] += int(breaks(frame, schema, constraint, allowed.get(i)).sum())
    findings = [_suite(evidence, limits, rows)]
    findings += [_count(f"contract.constraint.{i + 1}", _describe(c), broken[i], rows, limits)
                 for i, c in enumerate(contract.constraints)]
    labels = [c.name for c in schema.columns if not c.is_number]
    if labels:
        findings.append(_count("contract.vocabulary", "Rows with a label outside the closed vocabulary", lost_rows,
                               rows, limits, {"table": [[n, words[n]] for n in labels]}))
    findings.append(_count("contract.cells", "Rows with an impossible cell: missing though required, outside declared "
                           "bounds, infinite, or not whole in an integer column", bad_rows, rows, limits,
                           {"table": [[n, cells[n]] for n in schema.names]}))
    findings.append(_rows(contract, rows))
    return GateResult(
        gate="contract", title=TITLE, question=QUESTION, findings=tuple(findings),
        not_tested=_not_tested(evidence), seconds=round(time.monotonic() - start, 3))


def breaks(frame: pd.DataFrame, schema: TableSchema, constraint: Constraint,
           allowed: frozenset[Hashable] | None = None) -> np.ndarray:
    """Rows that break a constraint, ``(rows,) bool``. A row with a missing cell cannot break an order or a sum.

    ``allowed`` are the combinations for a :class:`FixedCombinations`; a missing cell is a state like any other there.
    """
    if isinstance(constraint, Inequality):
        low, high = (_common(frame, schema[n]) for n in (constraint.low, constraint.high))
        with np.errstate(invalid="ignore"):
            return np.asarray(low >= high if constraint.strict else low > high)
    if isinstance(constraint, Sum):
        total, column = frame[constraint.total].to_numpy(dtype=float), schema[constraint.total]
        parts = frame[list(constraint.parts)].to_numpy(dtype=float)
        digits = 0 if column.integer else column.decimals
        size = np.abs(parts).sum(axis=1) + np.abs(total)  # the errors of double arithmetic grow with it
        rounding = 4e-16 * (len(constraint.parts) + 2) * size
        tolerance = 1e-9 * size if digits is None else 0.5 * 10.0**-digits + rounding
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(total - parts.sum(axis=1)) > tolerance)
    places, keys = _combinations(frame, schema, constraint)
    unknown = np.array([key not in (allowed or ()) for key in keys], dtype=bool)
    return unknown[places] if len(keys) else np.zeros(0, dtype=bool)


def _common(frame: pd.DataFrame, column: ColumnSchema) -> np.ndarray:
    """Numbers in a unit that two columns share (moments in microseconds)."""
    return frame[column.name].to_numpy(dtype=float) * _MICROSECONDS.get(column.unit or "", 1)


def _combinations(frame: pd.DataFrame, schema: TableSchema,
                  constraint: FixedCombinations) -> tuple[np.ndarray, list[Hashable]]:
    """The distinct combinations (missing cells as ``None``) and, for each row, the place of its own."""
    cells = pd.DataFrame({n: frame[n].round(d) if schema[n].is_number and (d := schema[n].decimals) is not None
                          else frame[n] for n in constraint.columns})
    places = cells.groupby(list(constraint.columns), dropna=False, sort=False).ngroup().to_numpy()
    first = cells[~cells.duplicated()]  # in order of appearance, as the places are
    columns = [first[n].astype(object).where(first[n].notna(), None) for n in constraint.columns]
    return places, list(zip(*columns, strict=True))


def _allowed(evidence: TableEvidence, constraint: FixedCombinations) -> frozenset[Hashable]:
    """Combinations of the training part that at least k entities have.

    Of a large table with several rows an entity the frame is a sample; there rows are counted instead, over all of
    them, which allows every combination that k entities have and perhaps a few more (:func:`_not_tested` says so).
    """
    schema, counts = evidence.schema, Counter[Hashable]()
    if _entities_known(evidence):
        places, keys = _combinations(evidence.train, schema, constraint)
        pairs = pd.DataFrame({"place": places, "entity": evidence.entities["train"]}).drop_duplicates()
        counts.update(dict(zip(keys, np.bincount(pairs["place"], minlength=len(keys)).tolist(), strict=True)))
    else:
        for frame in evidence.all_rows("train"):
            places, keys = _combinations(frame, schema, constraint)
            counts.update(dict(zip(keys, np.bincount(places, minlength=len(keys)).tolist(), strict=True)))
    return frozenset(key for key, count in counts.items() if count >= evidence.contract.k)


def _entities_known(evidence: TableEvidence) -> bool:
    return evidence.total("train") == len(evidence.train)


def _outside(cells: pd.Series, column: ColumnSchema) -> np.ndarray:
    """Labels that are not in the vocabulary the training data had (or the contract closed)."""
    if column.is_number:
        return np.zeros(len(cells), dtype=bool)
    known = {"true", "false"} if column.role is Role.BOOLEAN else {*column.values, column.folded}
    return np.asarray(cells.notna() & ~cells.isin(list(known - {None})))


def _impossible(cells: pd.Series, column: ColumnSchema, required: bool) -> np.ndarray:
    missing = cells.isna().to_numpy()
    wrong = missing if required else np.zeros(len(cells), dtype=bool)
    if not column.is_number:
        return wrong
    values = cells.to_numpy(dtype=float)
    low = -np.inf if column.minimum is None else column.minimum
    high = np.inf if column.maximum is None else column.maximum
    with np.errstate(invalid="ignore"):
        wrong = wrong | np.isinf(values) | (values < low) | (values > high)
        if column.integer or column.unit is not None:
            wrong |= ~missing & ((np.floor(values) != values) | (np.abs(values) > _EXACT))
    return wrong


def _suite(evidence: TableEvidence, limits: Limits, rows: int) -> Finding:
    from validators.expectations import validate

    results = validate(evidence.all_rows("synthetic"), evidence.contract, evidence.schema)
    failed = sum(not r["success"] for r in results)
    shown: list[list[Any]] = [[r["type"], r["column"] or "(table)", "yes" if r["success"] else "no",
                               r["unexpected_count"]] for r in results]
    verdict = Verdict.FAIL if failed > limits.failed_expectations else Verdict.PASS
    return Finding(
        id="contract.suite", title="Expectations of the contract that the synthetic table does not meet",
        verdict=verdict if rows else Verdict.INCONCLUSIVE, value=float(failed), unit="expectations",
        limit=limits.failed_expectations, n=rows,
        method=f"Great Expectations suite of {len(results)} expectations, compiled from the contract, on all rows.",
        remedy="read which expectation failed; a rule on the real data that synthesis cannot keep belongs into "
               "synthesis.constraints or the bounds",
        detail={"pictures": [{"kind": "table", "title": "Expectations", "rows": shown,
                              "columns": ["expectation", "column", "met", "unexpected rows"]}]})


def _count(name: str, title: str, count: int, rows: int, limits: Limits,
           detail: dict[str, Any] | None = None) -> Finding:
    verdict = Verdict.FAIL if count > limits.violating_rows else Verdict.PASS
    table = (detail or {}).get("table")
    pictures = [{"kind": "table", "title": title, "columns": ["column", "rows"], "rows": table}] if table else []
    return Finding(id=name, title=title, verdict=verdict if rows else Verdict.INCONCLUSIVE, value=float(count),
                   unit="rows", limit=limits.violating_rows, n=rows, method=_METHOD,
                   remedy="this is a fault of the generator's constraints; report it with the contract",
                   detail={"pictures": pictures} if pictures else {})


def _rows(contract: Contract, rows: int) -> Finding:
    wanted, title = contract.rows, "Released rows"
    verdict = Verdict.INFO
    if wanted is not None:
        title = f"Released rows (the contract asks for {wanted:,})"
        verdict = Verdict.PASS if rows == wanted else Verdict.FAIL
    return Finding(id="contract.rows", title=title, value=float(rows), unit="rows", n=rows, method=_METHOD,
                   verdict=verdict if rows else Verdict.INCONCLUSIVE,
                   remedy="generate the number of rows that synthesis.rows asks for, or change it")


def _describe(constraint: Constraint) -> str:
    if isinstance(constraint, Inequality):
        return f"Rows that break {constraint.low} {'<' if constraint.strict else '<='} {constraint.high}"
    if isinstance(constraint, Sum):
        return f"Rows that break {constraint.total} = {' + '.join(constraint.parts)}"
    return f"Rows with a combination of {', '.join(constraint.columns)} that too few entities have"


def _not_tested(evidence: TableEvidence) -> tuple[str, ...]:
    found = ["whether the contract says what it should"]
    combined = any(isinstance(c, FixedCombinations) for c in evidence.contract.constraints)
    if combined and evidence.contract.entity is not None and not _entities_known(evidence):
        found.append("the number of entities behind a fixed combination: the table is too large to keep them, so "
                     "rows were counted")
    return tuple(found)
