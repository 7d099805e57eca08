"""Contract -> expectations: what the data promises, as plain data. Knows nothing of Great Expectations but names.

ODCS says the same thing in several places; each becomes one expectation on the working frame:

* ``required``, ``unique``, ``enum``/``synthesis.values``, ``logicalTypeOptions`` (bounds, lengths, pattern);
* ``quality`` with ``type: library``: nullValues, missingValues, invalidValues, duplicateValues, rowCount, judged
  by the rule beside them (``mustBe``, ``mustBeLessThan``, ...) on counts or, with ``unit: percent``, on percents;
* ``quality`` with ``type: custom`` and ``engine: greatExpectations``: passed through.

``sql`` and ``text`` rules are refused: there is no database here, and a sentence cannot be checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from synth.contract import Column, Contract, IdentifierPolicy, Role
from synth.errors import Problems, UserError
from synth.tabular.schema import ColumnSchema, TableSchema

# Row-wise expectations whose answer for a row depends on the other rows: they need all rows at once.
_WHOLE = frozenset({
    "expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique",
    "expect_multicolumn_values_to_be_unique", "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing", "expect_column_value_z_scores_to_be_less_than",
})
# About the columns, not their cells: one row of a batch is enough.
_STRUCTURAL = frozenset({
    "expect_column_to_exist", "expect_table_columns_to_match_set", "expect_table_columns_to_match_ordered_list",
    "expect_table_column_count_to_be_between", "expect_table_column_count_to_equal",
})
_ROWWISE = re.compile(r"expect_(column_values|column_value|column_pair_values|select_column_values|compound_columns|"
                      r"multicolumn)_")
_REFUSED = frozenset({"unexpected_rows_expectation", "expect_query_results_to_match_comparison",
                      "expect_table_row_count_to_equal_other_table"})
_ENGINES = frozenset({"greatexpectations", "gx"})
_UNITS = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds


@dataclass(frozen=True, slots=True)
class Rule:
    """An ODCS comparison on the number (or percent) of unexpected rows."""

    operator: str
    value: tuple[float, ...]
    percent: bool = False

    def holds(self, count: float, share: float) -> bool:
        """True if ``count`` unexpected rows, a share of ``share``, are within the rule."""
        x, v = (100 * share if self.percent else count), self.value
        return {"mustBe": x == v[0], "mustNotBe": x != v[0], "mustBeGreaterThan": x > v[0],
                "mustBeGreaterOrEqualTo": x >= v[0], "mustBeLessThan": x < v[0], "mustBeLessOrEqualTo": x <= v[0],
                "mustBeBetween": v[0] <= x <= v[-1], "mustNotBeBetween": not v[0] <= x <= v[-1]}[self.operator]


OPERATORS = ("mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan",
             "mustBeLessOrEqualTo", "mustBeBetween", "mustNotBeBetween")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation: Great Expectations' name, the column it is about, its arguments, and how it is judged."""

    type: str
    column: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict, repr=False)  # may hold vocabulary: never shown
    rule: Rule | None = None  # None: no unexpected row (or what ``mostly`` allows)
    passed_through: bool = False

    @property
    def rowwise(self) -> bool:
        """True if it counts unexpected rows; False if it compares one figure of the whole column (BOOLEAN_ONLY)."""
        return _ROWWISE.match(self.type) is not None

    @property
    def whole(self) -> bool:
        """True if all rows are needed at once, so that the answers of batches cannot be put together."""
        return self.type in _WHOLE or not (self.rowwise or self.structural)

    @property
    def structural(self) -> bool:
        """True if it is about which columns there are."""
        return self.type in _STRUCTURAL

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column it reads (for a table expectation: none)."""
        named = [self.arguments.get(key) for key in ("column", "column_A", "column_B")]
        return tuple(dict.fromkeys([c for c in named if c] + list(self.arguments.get("column_list", ()))))

    @property
    def mostly(self) -> float:
        """Smallest share of expected rows that passes where there is no rule."""
        return float(self.arguments.get("mostly", 1.0))


def compile_suite(contract: Contract, schema: TableSchema) -> tuple[Expectation, ...]:
    """All expectations of a contract on working frames of ``schema``.

    Columns that are generated for the output (identifiers) are covered too; they are checked where a table has
    them. Raises :class:`UserError` (or :class:`Problems`) for quality rules that cannot be honoured.
    """
    found: list[Expectation] = []
    problems: list[UserError] = []
    tables = contract.raw.get("schema") or [{}]
    described = {p.get("name"): p for p in tables[0].get("properties") or []}
    for column in contract.columns:
        raw = described.get(column.name, {})
        held = schema[column.name] if column.name in schema.names else None
        if held is None and column.generate is not IdentifierPolicy.GENERATE:
            rules = raw.get("quality") or []
            problems += [_problem(column.name, rule, "is on a column that is dropped", "remove the rule")
                         for rule in rules if rule.get("type", "library") in ("library", "custom")]
            continue
        found += _declared(column, held, raw)
        for rule in raw.get("quality") or []:
            try:
                found.append(_quality(rule, column, held))
            except UserError as problem:
                problems.append(problem)
    for rule in tables[0].get("quality") or []:
        try:
            found.append(_quality(rule, None, None))
        except UserError as problem:
            problems.append(problem)
    known = set(schema.names) | {c.name for c in contract.columns if c.generate is IdentifierPolicy.GENERATE}
    problems += [UserError(f"a quality rule names columns that are not released: {', '.join(sorted(lost))}",
                           where=e.type, todo="correct the names") for e in found if (lost := set(e.columns) - known)]
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return tuple(found)


def _declared(column: Column, held: ColumnSchema | None, raw: Mapping[str, Any]) -> Iterator[Expectation]:
    """What the standard's own fields promise."""
    name, here = column.name, {"column": column.name}
    yield Expectation("expect_column_to_exist", name, here)
    if column.required:
        yield Expectation("expect_column_values_to_not_be_null", name, here)
    if column.unique:
        yield Expectation("expect_column_values_to_be_unique", name, here)
    if held is None:
        return
    if column.role is Role.BOOLEAN:
        yield Expectation("expect_column_values_to_be_in_set", name, {**here, "value_set": ["true", "false"]})
    elif column.values is not None:
        folded = [held.folded] if held.folded is not None else []
        yield Expectation("expect_column_values_to_be_in_set", name,
                          {**here, "value_set": [*column.values, *folded]})
    if held.is_number and (held.minimum is not None or held.maximum is not None):
        yield Expectation("expect_column_values_to_be_between", name,
                          {**here, "min_value": held.minimum, "max_value": held.maximum})
    options = raw.get("logicalTypeOptions") or {}
    if not held.is_number and ("minLength" in options or "maxLength" in options):
        yield Expectation("expect_column_value_lengths_to_be_between", name,
                          {**here, "min_value": options.get("minLength"), "max_value": options.get("maxLength")})
    if not held.is_number and "pattern" in options:
        yield Expectation("expect_column_values_to_match_regex", name, {**here, "regex": options["pattern"]})


def _quality(rule: Mapping[str, Any], column: Column | None, held: ColumnSchema | None) -> Expectation:
    place = column.name if column else None
    kind = rule.get("type", "library")
    if kind == "custom":
        return _custom(rule, place, held)
    if kind != "library":
        raise _problem(place, rule, f"has type {kind!r}, which cannot be checked here",
                       "use type library, or custom with engine greatExpectations")
    metric, arguments = rule.get("metric") or rule.get("rule"), rule.get("arguments") or {}
    here = {"column": place} if place else {}
    if column is None:
        if metric == "rowCount":
            return Expectation("expect_table_row_count_to_be_between", None, _row_bounds(rule))
        if metric == "duplicateValues" and arguments.get("properties"):
            return Expectation("expect_compound_columns_to_be_unique", None,
                               {"column_list": list(arguments["properties"])}, _rule(rule, None))
        raise _problem(None, rule, f"has metric {metric!r}, which is not one of a table",
                       "use rowCount, or duplicateValues with arguments.properties")
    if metric == "nullValues":
        return Expectation("expect_column_values_to_not_be_null", place, here, _rule(rule, place))
    if metric == "missingValues":
        extra = set(map(str, arguments.get("missingValues") or ())) - {"None", "", "null", *column.missing_codes}
        if extra:
            raise _problem(place, rule, "lists codes that the data does not treat as missing",
                           "list them in synthesis.missingCodes too")
        return Expectation("expect_column_values_to_not_be_null", place, here, _rule(rule, place))
    if metric == "duplicateValues":
        return Expectation("expect_column_values_to_be_unique", place, here, _rule(rule, place))
    if metric == "invalidValues":
        if "validValues" in arguments:
            number = held is not None and held.is_number
            values = [float(v) if number else str(v) for v in arguments["validValues"]]
            return Expectation("expect_column_values_to_be_in_set", place, {**here, "value_set": values},
                               _rule(rule, place))
        if "pattern" in arguments and not (held is not None and held.is_number):
            return Expectation("expect_column_values_to_match_regex", place, {**here, "regex": arguments["pattern"]},
                               _rule(rule, place))
        raise _problem(place, rule, "does not say what is valid", "give arguments.validValues, or pattern for labels")
    raise _problem(place, rule, f"has metric {metric!r}, which is not known",
                   "use nullValues, missingValues, invalidValues or duplicateValues")


def _custom(rule: Mapping[str, Any], place: str | None, held: ColumnSchema | None) -> Expectation:
    engine = re.sub(r"[^a-z]", "", str(rule.get("engine", "")).lower())
    if engine not in _ENGINES:
        raise _problem(place, rule, "has an engine other than greatExpectations", "rewrite it for greatExpectations")
    body = rule.get("implementation")
    if isinstance(body, str):
        import yaml

        try:
            body = yaml.safe_load(body)
        except yaml.YAMLError:
            body = None
    name = body.get("type") or body.get("expectation_type") if isinstance(body, dict) else None
    arguments = body.get("kwargs") or {} if isinstance(body, dict) else None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise _problem(place, rule, "has no usable implementation", "write {type: expect_..., kwargs: {...}}")
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    if name in _REFUSED or {"row_condition", "condition_parser", "unexpected_rows_query"} & set(arguments):
        raise _problem(place, rule, "runs a query, which is refused", "write it without SQL and without row_condition")
    if place is not None and name.startswith("expect_column_") and not name.startswith("expect_column_pair"):
        arguments = {"column": place, **arguments}
    if held is not None and held.role is Role.DATETIME:
        arguments = {k: _working(v, held) if k in ("min_value", "max_value") else v for k, v in arguments.items()}
    return Expectation(name, arguments.get("column", place), arguments, passed_through=True)


def _working(value: Any, held: ColumnSchema) -> Any:
    """An ISO moment in the column's working unit."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return value
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6 / _UNITS[held.unit or "s"]


def _rule(rule: Mapping[str, Any], place: str | None) -> Rule:
    given = [(o, rule[o]) for o in OPERATORS if rule.get(o) is not None]
    unit = rule.get("unit") or "rows"
    if len(given) != 1 or unit not in ("rows", "percent"):
        raise _problem(place, rule, "needs exactly one comparison, in rows or percent", f"give one of {OPERATORS}")
    operator, value = given[0]
    values = value if isinstance(value, list) else [value]
    wanted = 2 if operator.endswith("Between") else 1
    if len(values) != wanted or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        raise _problem(place, rule, f"must compare with {wanted} number{'s' if wanted > 1 else ''}", "correct it")
    return Rule(operator, tuple(map(float, values)), unit == "percent")


def _row_bounds(rule: Mapping[str, Any]) -> dict[str, Any]:
    """rowCount as the bounds that Great Expectations takes (whole numbers)."""
    parsed = _rule(rule, None)
    low = high = parsed.value[0]
    bounds = {"mustBe": (low, high), "mustBeGreaterThan": (low + 1, None), "mustBeGreaterOrEqualTo": (low, None),
              "mustBeLessThan": (None, high - 1), "mustBeLessOrEqualTo": (None, high),
              "mustBeBetween": (low, parsed.value[-1])}.get(parsed.operator)
    if bounds is None or parsed.percent:
        raise _problem(None, rule, "cannot be asked of a row count", "use mustBe, mustBeBetween or a one-sided bound")
    return {"min_value": None if bounds[0] is None else int(bounds[0]),
            "max_value": None if bounds[1] is None else int(bounds[1])}


def _problem(column: str | None, rule: Mapping[str, Any], what: str, todo: str) -> UserError:
    named = f" {rule['name']!r}" if isinstance(rule.get("name"), str) else ""
    return UserError(f"quality rule{named} {what}", where=f"column {column!r}" if column else "the table's quality",
                     todo=todo)
