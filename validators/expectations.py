"""Great Expectations on private data: counts come out, values never.

What leaks in Great Expectations (found with planted values): ``partial_unexpected_list`` of the default result
format, ``observed_value`` of every aggregate expectation (a maximum is one person's), ``value_set`` in the
arguments that every result repeats, exception texts, and Data Docs. Hence: row-wise expectations run with
``partial_unexpected_count: 0``, aggregate ones with BOOLEAN_ONLY, on an ephemeral context that writes nothing, and
of each result only an allow-list of fields is read; the objects themselves never leave this module.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from synth.contract import Contract
from synth.errors import InternalError, UserError
from synth.tabular.schema import TableSchema
from validators.suite import Expectation, compile_suite

if TYPE_CHECKING:
    import pyarrow as pa

_COUNTS = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
_BOOLEAN = {"result_format": "BOOLEAN_ONLY"}
_one_at_a_time = threading.Lock()  # the library's current context is one for the process

__all__ = ["compile_suite", "validate"]


@dataclass
class _Tally:
    """What is known of one expectation so far; counts of batches add up."""

    success: bool | None = None  # of expectations that give no counts; None: not evaluated
    rows: int | None = None
    missing: int = 0
    unexpected: int = 0

    def add(self, result: dict[str, Any], success: bool) -> None:
        """``result`` of one frame: counts, or nothing where ``success`` is all there is."""
        if result:
            self.rows = (self.rows or 0) + int(result["element_count"])
            self.missing += int(result.get("missing_count") or 0)
            self.unexpected += int(result["unexpected_count"])
        else:
            self.success = success and self.success is not False


def validate(data: pd.DataFrame | pa.Table | Iterable[pd.DataFrame], contract: Contract,
             schema: TableSchema) -> list[dict[str, Any]]:
    """Run the contract's suite on a working frame, on batches of one, or on a dressed table.

    One dict an expectation, in the suite's order: success, type, column, element_count, unexpected_count,
    unexpected_percent (of the non-missing cells). Counts are ``None`` for aggregate expectations, and where the
    column is not there at all. Batches are read once; of the expectations that need all rows at once (uniqueness,
    aggregates) only their columns are kept. Raises :class:`UserError` for a rule that cannot be run.
    """
    suite = compile_suite(contract, schema)
    tallies = [_Tally() for _ in suite]
    wanted = {c for e in suite if e.whole for c in e.columns}
    kept: list[pd.DataFrame] = []
    rows, seen = 0, None
    with _quiet():
        for frame in _frames(data, schema):
            seen = list(frame.columns)
            rows += len(frame)
            kept.append(frame[[c for c in seen if c in wanted]])
            now = [i for i, e in enumerate(suite) if not e.whole and set(e.columns) <= set(seen)]
            _run(frame, suite, [i for i in now if suite[i].rowwise], tallies)
            _run(frame.head(1), suite, [i for i in now if suite[i].structural], tallies)
        seen = seen or []
        whole = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame()
        if not len(whole.columns):
            whole = pd.DataFrame({"row": pd.RangeIndex(rows)})
        now = [i for i, e in enumerate(suite) if e.whole and set(e.columns) <= set(whole.columns)]
        for rowwise in (True, False):
            _run(whole, suite, [i for i in now if suite[i].rowwise is rowwise], tallies)
    asked = [i for i, e in enumerate(suite) if e.column is None or e.column in schema.names or e.column in seen]
    return [_result(suite[i], tallies[i], set(suite[i].columns) <= set(seen)) for i in asked]


def _result(expectation: Expectation, tally: _Tally, there: bool) -> dict[str, Any]:
    filled = (tally.rows or 0) - tally.missing
    share = tally.unexpected / filled if filled else 0.0
    if not there:
        success = False
    elif tally.rows is None:
        success = bool(tally.success)
    elif expectation.rule is not None:
        success = expectation.rule.holds(tally.unexpected, share)
    else:
        success = 1 - share >= expectation.mostly - 1e-12
    return {"success": success, "type": expectation.type, "column": expectation.column,
            "element_count": tally.rows, "unexpected_count": None if tally.rows is None else tally.unexpected,
            "unexpected_percent": None if tally.rows is None else 100 * share}


def _run(frame: pd.DataFrame, suite: tuple[Expectation, ...], chosen: list[int], tallies: list[_Tally]) -> None:
    """Evaluate some expectations, all row-wise or none, on one frame, and add up what they say."""
    import great_expectations as gx

    if not chosen:
        return
    rowwise = suite[chosen[0]].rowwise
    used = {c for i in chosen for c in suite[i].columns}
    if used and not any(suite[i].structural for i in chosen):
        frame = frame[[c for c in frame.columns if c in used]]  # the library hashes every cell it is given
    same: dict[str, list[int]] = {}  # it drops a repeated expectation: ask once, tell all
    for i in chosen:
        same.setdefault(repr((suite[i].type, sorted(suite[i].arguments.items(), key=str))), []).append(i)
    with _one_at_a_time:
        asset = _context().data_sources.add_pandas("memory").add_dataframe_asset("table")
        bundle = gx.ExpectationSuite(name="contract")
        for places in same.values():
            bundle.add_expectation(_build(suite[places[0]], places))
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
        try:
            results = batch.validate(bundle, result_format=_COUNTS if rowwise else _BOOLEAN).results
        except Exception:  # its text may quote a value
            raise InternalError("the expectations of the contract could not be evaluated") from None
    if len(results) != len(same):
        raise InternalError("Great Expectations left out an expectation of the contract")
    for result in results:
        for i in result.expectation_config.meta["places"]:
            if _raised(result.exception_info):
                raise _failure(suite[i]) from None
            tallies[i].add(dict(result.result) if rowwise else {}, bool(result.success))


def _build(expectation: Expectation, places: list[int]) -> Any:
    import great_expectations.expectations as library

    name = "".join(part.capitalize() for part in expectation.type.split("_"))
    kind = getattr(library, name, None)
    if kind is None:
        raise UserError(f"Great Expectations has no {expectation.type!r}", where=_where(expectation),
                        todo="correct the name in the contract's quality rule")
    try:
        return kind(**expectation.arguments, meta={"places": places})
    except Exception:  # pydantic quotes the arguments, which may be vocabulary
        raise _failure(expectation) from None


def _failure(expectation: Expectation) -> UserError | InternalError:
    what = f"the expectation {expectation.type!r} could not be evaluated"
    if expectation.passed_through:
        return UserError(what, where=_where(expectation), todo="check its arguments in the contract's quality rule")
    return InternalError(what, where=_where(expectation))


def _where(expectation: Expectation) -> str:
    return f"column {expectation.column!r}" if expectation.column else "the table"


def _raised(info: Any) -> bool:
    """Great Expectations gives one exception record or, for a failed metric, a dict of them."""
    if not isinstance(info, dict):
        return bool(getattr(info, "raised_exception", False))
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return any(_raised(inner) for inner in info.values())


def _frames(data: pd.DataFrame | pa.Table | Iterable[pd.DataFrame], schema: TableSchema) -> Iterator[pd.DataFrame]:
    if isinstance(data, pd.DataFrame):
        yield data
    elif hasattr(data, "column_names") and hasattr(data, "to_batches"):
        from validators.undress import working_frame

        yield working_frame(data, schema)
    else:
        yield from data


def _context() -> Any:
    """An ephemeral context: no telemetry, no files, no progress bars. One a frame: it keeps every frame it saw."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    return gx.get_context(mode="ephemeral", project_config=DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False, progress_bars=ProgressBarsConfig(globally=False)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines and no warnings from Great Expectations."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import by versions before 1.24
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx

        # Some of its loggers have a level of their own, so silencing their parent is not enough.
        loggers = [logging.getLogger(n) for n in list(logging.root.manager.loggerDict) if n.startswith(gx.__name__)]
        before = [logger.disabled for logger in loggers]
        for logger in loggers:
            logger.disabled = True
        try:
            yield
        finally:
            for logger, state in zip(loggers, before, strict=True):
                logger.disabled = state
