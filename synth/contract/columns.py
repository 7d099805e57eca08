"""One entry of ``properties`` -> :class:`~synth.contract.model.Column`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from synth.contract.marks import Place
from synth.contract.model import Column, IdentifierPolicy, Privacy, Role
from synth.contract.odcs import did_you_mean
from synth.contract.settings import Notes, Settings

# Role of a column whose contract gives only the standard's logical type.
_ROLES = {"string": Role.CATEGORICAL, "integer": Role.NUMERIC, "number": Role.NUMERIC, "boolean": Role.BOOLEAN,
          "date": Role.DATETIME, "timestamp": Role.DATETIME}

# Logical types that a role can be made of. Codes are often integers, so labels may be numbers.
_TYPES = {
    Role.NUMERIC: {"integer", "number"},
    Role.CATEGORICAL: {"string", "integer", "number"},
    Role.ORDINAL: {"string", "integer", "number"},
    Role.BOOLEAN: {"boolean", "integer", "string"},
    Role.DATETIME: {"date", "timestamp"},
}

# The standard leaves `classification` free; these words in it say the privacy class.
_CLASSES = {"direct identifier": Privacy.DIRECT, "quasi-identifier": Privacy.QUASI, "sensitive": Privacy.SENSITIVE}

_OPTIONS = {"minimum", "maximum", "format", "minLength", "maxLength", "pattern", "timezone", "defaultTimezone"}

# JDK DateTimeFormatter (the standard's language) -> strptime. Unpadded forms (M, d, H) are read, and printed padded.
_JDK = {"yyyy": "%Y", "uuuu": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%m", "dd": "%d",
        "d": "%d", "HH": "%H", "H": "%H", "hh": "%I", "mm": "%M", "ss": "%S", "SSS": "%f", "SSSSSS": "%f", "a": "%p",
        "XXX": "%z", "xxx": "%z", "XX": "%z", "Z": "%z"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bounds:
    minimum: float | str | None = None
    maximum: float | str | None = None
    datetime_format: str | None = None


def parse_column(notes: Notes, item: Any, place: Place, *, sole_key: bool) -> Column | None:
    """The column, or ``None`` if it has no usable name or role; problems go to ``notes``.

    ``sole_key``: no other column is part of the primary key, so being in it means being unique.
    """
    if not isinstance(item, dict):
        return None  # already reported as a wrong type
    name = item.get("name")
    if not isinstance(name, str) or not name.strip():
        notes.add("a column has no name", place, "add `name:`, as it stands in the data")
        return None
    settings = Settings(notes, item, place, "property")
    role = settings.choice("role", Role)
    if "role" in settings and role is None:
        return None
    logical = item.get("logicalType")
    role = role or _ROLES.get(logical or "")
    if role is None:
        notes.add(f"the role of column {name!r} is not known", place,
                  f"add `synthesis.role`: {', '.join(r.value for r in Role)}")
        return None
    if logical is not None and logical not in _TYPES.get(role, {logical}):
        notes.add(f"column {name!r}: role {role.value!r} and logicalType {logical!r} do not go together",
                  (*place, "logicalType"), f"logical types for this role: {', '.join(sorted(_TYPES[role]))}")
    bounds = _bounds(notes, name, role, item.get("logicalTypeOptions"), (*place, "logicalTypeOptions"))
    generate = settings.choice("generate", IdentifierPolicy)
    column = Column(
        name=name, role=role, privacy=_privacy(settings, item),
        required=bool(item.get("required")), unique=bool(item.get("unique") or (sole_key and item.get("primaryKey"))),
        description=item.get("description") or "",
        minimum=bounds.minimum, maximum=bounds.maximum, datetime_format=bounds.datetime_format,
        bounds_confirmed=settings.flag("boundsConfirmed", True),
        decimals=settings.whole("decimals", None, 0, 12), whole=logical == "integer",
        values=_values(notes, settings, item, place), missing_codes=settings.texts("missingCodes") or (),
        generate=generate or IdentifierPolicy.DROP, faker=settings.text("faker"),
        protected=settings.flag("protected", False), tag=settings.text("tag"), line=notes.document.line(place))
    _check(notes, column, settings, logical, place, said=generate is not None)
    return column


def _privacy(settings: Settings, item: dict[str, Any]) -> Privacy:
    said = settings.choice("privacy", Privacy)
    return said or _CLASSES.get(str(item.get("classification")).strip().lower(), Privacy.NONE)


def _values(notes: Notes, settings: Settings, item: dict[str, Any], place: Place) -> tuple[str, ...] | None:
    """The closed vocabulary: ``synthesis.values`` or the standard's ``enum``, as written in the file."""
    values, where = settings.texts("values"), settings.get("values")[1]
    entries = item.get("enum")
    if isinstance(entries, list):
        where = (*place, "enum")
        if values is not None:
            notes.add("both `enum` and `synthesis.values` are given", where, "keep one of them")
        texts = [notes.document.text((*where, i, "value")) for i in range(len(entries))]
        if any(t is None for t in texts):
            notes.add("an entry of `enum` has no plain value", where, "write `- value: ...` for each entry")
        values = tuple(t for t in texts if t is not None)
    if values is not None and len(set(values)) < len(values):
        notes.add("the same value is listed twice", where, "list each value once")
        values = tuple(dict.fromkeys(values))
    return values


def _bounds(notes: Notes, name: str, role: Role, options: Any, place: Place) -> _Bounds:
    if not isinstance(options, dict):
        return _Bounds()
    for key in options:
        if key not in _OPTIONS:
            todo = {"exclusiveMinimum": "use `minimum`", "exclusiveMaximum": "use `maximum`",
                    "enum": "use `synthesis.values` or `enum` beside logicalTypeOptions"}.get(key)
            notes.add(f"column {name!r}: {key!r} is not a logicalTypeOption that is honoured here", (*place, key),
                      todo or did_you_mean(key, _OPTIONS))
    limits: dict[str, Any] = {}
    for key in ("minimum", "maximum"):
        if options.get(key) is None:
            continue
        at = (*place, key)
        if role is Role.NUMERIC:
            limits[key] = notes.number(at, options[key], f"{key!r} of column {name!r}")
        elif role is Role.DATETIME:
            limits[key] = notes.document.text(at)
            if _moment(limits[key]) is None:
                notes.add(f"{key!r} of column {name!r} must be an ISO 8601 date", at, "write e.g. \"2020-01-31\"")
                limits[key] = None
        else:
            notes.add(f"column {name!r} has bounds, but its role is {role.value!r}", at,
                      "bounds are for numeric and datetime columns; list labels in `synthesis.values`")
    low, high = limits.get("minimum"), limits.get("maximum")
    if low is not None and high is not None:
        a, b = (_moment(low), _moment(high)) if role is Role.DATETIME else (low, high)
        if a > b:  # type: ignore[operator]
            notes.add(f"the minimum of column {name!r} is above its maximum", (*place, "minimum"), "swap them")
    written = _strptime(notes, name, options.get("format"), (*place, "format")) if role is Role.DATETIME else None
    return _Bounds(minimum=low, maximum=high, datetime_format=written)


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "").replace(tzinfo=None)
    except ValueError:
        return None


def _strptime(notes: Notes, name: str, written: Any, place: Place) -> str | None:
    """``format`` of a date as strptime; JDK patterns are translated, texts with ``%`` are taken as they are."""
    if written is None:
        return None
    if not isinstance(written, str):
        notes.add(f"'format' of column {name!r} must be text", place, "write e.g. dd/MM/yyyy")
        return None
    if "%" in written:
        return written
    result = ""
    for literal, letters, other in _tokens(written):
        if letters and letters not in _JDK:
            notes.add(f"'format' of column {name!r} has a part that is not supported ({letters})", place,
                      "use yyyy MM dd HH mm ss SSS XXX, or a strptime format such as %d/%m/%Y")
            return None
        result += _JDK[letters] if letters else literal or other
    return result


def _tokens(written: str) -> list[tuple[str, str, str]]:
    """(quoted literal, run of one letter, other character), exactly one of them not empty."""
    return [(m[1] or "", m[2] or "", m[4] or "") for m in re.finditer(r"'([^']*)'|(([A-Za-z])\3*)|(.)", written)]


def _check(notes: Notes, column: Column, settings: Settings, logical: str | None, place: Place, *, said: bool) -> None:
    """Rules inside one column."""
    name, role = repr(column.name), column.role
    if column.privacy is Privacy.DIRECT and column.modelled:
        notes.add(f"column {name} is a direct identifier but has role {role.value!r}", place,
                  "give it role identifier (or text) with generate: drop or generate; it must not reach the model")
    if role is Role.TEXT and not said:
        notes.add(f"column {name} is free text, which is refused", place,
                  "add `synthesis.generate: drop` (or generate, with a faker provider) to leave its content out")
    if role is Role.ORDINAL and column.values is None and logical not in ("integer", "number"):
        notes.add(f"the order of ordinal column {name} is not known", place,
                  "list its values in order in `synthesis.values`")
    if role is Role.BOOLEAN and column.values is not None and len(column.values) != 2:
        notes.add(f"boolean column {name} must list two values", place,
                  "list the word for false, then the one for true")
    if column.values is not None and (column.role.is_number or not column.modelled):
        notes.add(f"column {name} lists values, but its role is {role.value!r}", place,
                  "values are for categorical, ordinal and boolean columns")
    if column.unique and column.modelled:
        notes.add(f"column {name} is unique, so it names rows and cannot be modelled", place,
                  "give it role identifier, or remove `unique`/`primaryKey`")
    if column.decimals is not None and role is not Role.NUMERIC:
        notes.add(f"column {name} has decimals, but its role is {role.value!r}", place,
                  "decimals are for numeric columns")
    if column.generate is IdentifierPolicy.GENERATE and column.modelled:
        notes.add(f"column {name} is modelled, so it cannot also be generated", place,
                  "use `synthesis.generate` with role identifier or text")
    if column.protected and (not column.modelled or column.role.is_number):
        notes.add(f"column {name} is protected, but has no groups (role {role.value!r})", place,
                  "protected columns are categorical, ordinal or boolean")
    if column.faker is not None:
        if column.generate is not IdentifierPolicy.GENERATE:
            notes.add(f"column {name} names a faker provider but is not generated", place,
                      "add `synthesis.generate: generate`")
        elif not _has_provider(column.faker):
            notes.add(f"column {name}: faker has no provider of that name", settings.get("faker")[1],
                      "see the list of providers of faker, e.g. name, email, uuid4, ssn")


def _has_provider(name: str) -> bool:
    from faker import Faker

    try:
        return not name.startswith("_") and callable(getattr(Faker(), name, None))
    except TypeError:  # faker raises it for names that work on the class only
        return False
