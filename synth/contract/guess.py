"""What a column probably is, for drafting a contract. Looks at values, returns no value.

Everything here is a guess that a person confirms; where guesses differ in what they risk, the careful one is taken
(an identifier too many is dropped, a missing one would reach the model).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synth.contract.model import Privacy, Role
from synth.tabular.readers.base import is_text, plain_text
from synth.tabular.readers.labels import PAIRS

# Codes for "missing" that are common knowledge. Only members of these lists are ever written into a draft.
WORDS = ("?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "(null)", "<NA>", "missing")
NUMERIC_WORDS = (*WORDS, "None", "none", "-", "--", ".", "..", "x", "X")  # as labels these could mean something
NUMERIC_CODES = ("-9", "-99", "-999", "-9999", "-99999")  # taken only where every other value is 0 or more

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ISO = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}([.]\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_FORMATS = tuple((jdk + time, strptime + clock)
                 for jdk, strptime in (("dd/MM/yyyy", "%d/%m/%Y"), ("MM/dd/yyyy", "%m/%d/%Y"),
                                       ("dd.MM.yyyy", "%d.%m.%Y"), ("yyyy/MM/dd", "%Y/%m/%d"),
                                       ("dd-MM-yyyy", "%d-%m-%Y"), ("dd-MMM-yyyy", "%d-%b-%Y"))
                 for time, clock in (("", ""), (" HH:mm", " %H:%M"), (" HH:mm:ss", " %H:%M:%S")))

_DIRECT = re.compile(r"(^|[_\W])(e?mail|phone|mobile|ssn|iban|passport|first_?name|last_?name|surname|full_?name|name|"
                     r"address|street|licen[cs]e|url|ip)([_\W]|$)", re.IGNORECASE)
_KEY = re.compile(r"(^|[_\W])(id|ids|nbr|no|nr|num|key|uuid|guid|mrn)$|[a-z](ID|Id|Nbr|Key)$|^(patient|person|user|"
                  r"customer|client|member|household|subject)s?$", re.IGNORECASE)
_QUASI = re.compile(r"(^|[_\W])(age|sex|gender|race|ethnic\w*|zip\w*|post\w*|birth\w*|dob|marital\w*|marr\w*|"
                    r"national\w*|country|native\w*|education|educ|occupation|city|region|state|black|hisp\w*)",
                    re.IGNORECASE)
_PROTECTED = re.compile(r"(^|[_\W])(sex|gender|race|ethnic\w*|black|hisp\w*|disab\w*)", re.IGNORECASE)
_SENSITIVE = re.compile(r"(income|salar|wage|earning|diagnos|disease|religio|hiv|health|medic|debt|gain|loss)",
                        re.IGNORECASE)
_TARGET = re.compile(r"^(target|label|class|y|outcome|income|churn(ed)?|default|revenue|readmitted|survived|"
                     r"fraud|is_fraud|response|diagnosis)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What a column probably is."""

    name: str
    role: Role
    logical_type: str
    privacy: Privacy = Privacy.NONE
    missing: bool = False
    missing_codes: tuple[str, ...] = ()
    format: str | None = None
    protected: bool = False
    repeats: bool = False  # looks like a key that several rows share
    unique: bool = False
    labels: int = 0  # number of different labels (labels only)
    notes: tuple[str, ...] = field(default=())


def guess(name: str, array: pa.ChunkedArray) -> Guess:
    """Guess from the name and a column of cells (text or typed)."""
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if is_text(kind):
        return _text(name, plain_text(array.combine_chunks()))
    cells = array.combine_chunks()
    cells = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
    if pa.types.is_floating(kind):
        cells = pc.if_else(pc.is_nan(cells), pa.scalar(None, kind), cells)
    missing, valid = cells.null_count > 0, cells.drop_null()
    if not len(valid):
        return _dropped(name, "no value in the rows looked at")
    if pa.types.is_boolean(kind):
        return _label(name, Role.BOOLEAN, "boolean", missing, (), 2)
    if pa.types.is_temporal(kind) and not (pa.types.is_time(kind) or pa.types.is_duration(kind)):
        logical = "date" if pa.types.is_date(kind) else "timestamp"
        return Guess(name=name, role=Role.DATETIME, logical_type=logical, missing=missing, privacy=_privacy(name))
    if pa.types.is_integer(kind):
        return _whole(name, valid, missing, ())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numeric(name, "number", missing, _codes(valid.cast(pa.float64())), valid)
    return _dropped(name, "a type that cannot be modelled")


def _text(name: str, cells: pa.Array) -> Guess:
    trimmed = pc.utf8_trim_whitespace(cells)
    trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    for words in (WORDS, NUMERIC_WORDS):
        used = pc.unique(trimmed.filter(pc.is_in(trimmed, value_set=pa.array(words)))).to_pylist()
        valid = trimmed.filter(pc.invert(pc.is_in(trimmed, value_set=pa.array([*used, None], pa.string()))))
        codes = tuple(w for w in words if w in used)
        missing = len(valid) < len(cells)
        if not len(valid):
            return _dropped(name, "no value in the rows looked at")
        if _all(valid, _NUMBER):
            if pc.any(pc.match_substring_regex(valid, r"^[+-]?0\d")).as_py():
                return _coded(name, valid, missing, codes)
            whole = not pc.any(pc.match_substring_regex(valid, "[.eE]")).as_py()
            numbers = valid.cast(pa.float64())
            if whole and pc.max(pc.binary_length(valid)).as_py() <= 15:
                return _whole(name, numbers, missing, codes)
            return _numeric(name, "number", missing, codes + _codes(numbers), numbers)
        if (form := _date_format(valid)) is not None:
            logical = "date" if pc.max(pc.utf8_length(valid)).as_py() <= 11 else "timestamp"
            notes = ("check the order of day and month",) if form[:2] in ("dd", "MM") else ()
            return Guess(name=name, role=Role.DATETIME, logical_type=logical, missing=missing, missing_codes=codes,
                         format=form or None, privacy=_privacy(name), notes=notes)
    used = pc.unique(trimmed.filter(pc.is_in(trimmed, value_set=pa.array(WORDS)))).to_pylist()
    codes = tuple(w for w in WORDS if w in used)
    valid = cells.filter(pc.invert(pc.is_in(trimmed, value_set=pa.array([*used, None], pa.string()))))
    return _coded(name, valid, len(valid) < len(cells), codes)


def _coded(name: str, valid: pa.Array, missing: bool, codes: tuple[str, ...]) -> Guess:
    """Texts that are no numbers and no dates: booleans, labels, keys, prose."""
    labels = pc.unique(valid)
    distinct, rows = len(labels), len(valid)
    if distinct == 2 and any(set(labels.to_pylist()) == {style(a), style(b)}
                             for a, b in PAIRS for style in (str.lower, str.capitalize, str.upper)):
        return _label(name, Role.BOOLEAN, "boolean", missing, codes, 2)
    length = pc.mean(pc.utf8_length(labels)).as_py()
    addresses = pc.mean(pc.match_substring_regex(labels, r"^\S+@\S+\.\S+$").cast(pa.float64())).as_py() > 0.5
    if _DIRECT.search(name) or addresses:
        return _key(name, "string", valid, missing, privacy=Privacy.DIRECT)
    if distinct > rows / 2 and length > 40:
        return _dropped(name, "it looks like free text")
    if rows > 10 and (distinct > 0.9 * rows or (_KEY.search(name) and distinct > 0.1 * rows)):
        return _key(name, "string", valid, missing, privacy=Privacy.DIRECT)
    return _label(name, Role.CATEGORICAL, "string", missing, codes, distinct)


def _whole(name: str, valid: pa.Array, missing: bool, codes: tuple[str, ...]) -> Guess:
    distinct, rows = len(pc.unique(valid)), len(valid)
    if rows > 10 and (distinct == rows or (_KEY.search(name) and distinct > 0.1 * rows)):
        return _key(name, "integer", valid, missing, privacy=Privacy.DIRECT)
    if distinct == 2 and pc.min(valid).as_py() == 0 and pc.max(valid).as_py() == 1:
        return _label(name, Role.BOOLEAN, "boolean", missing, codes, 2)
    if (_KEY.search(name) or re.search(r"(code|type|class|categ)", name, re.IGNORECASE)) and distinct <= 100:
        return _label(name, Role.CATEGORICAL, "integer", missing, codes, distinct)
    return _numeric(name, "integer", missing, codes + _codes(valid.cast(pa.float64())), valid)


def _codes(numbers: pa.Array) -> tuple[str, ...]:
    """Public numeric codes for missing that occur in a column whose other values are not negative."""
    codes = pa.array([float(c) for c in NUMERIC_CODES])
    rest = numbers.filter(pc.invert(pc.is_in(numbers, value_set=codes)))
    if not len(rest) or pc.min(rest).as_py() < 0:
        return ()
    present = set(pc.unique(numbers.filter(pc.is_in(numbers, value_set=codes))).to_pylist())
    return tuple(c for c in NUMERIC_CODES if float(c) in present)


def _numeric(name: str, logical: str, missing: bool, codes: tuple[str, ...], valid: pa.Array) -> Guess:
    notes = ("the same in every row",) if len(pc.unique(valid)) == 1 else ()
    return Guess(name=name, role=Role.NUMERIC, logical_type=logical, missing=missing or bool(codes),
                 missing_codes=codes, privacy=_privacy(name), notes=notes)


def _label(name: str, role: Role, logical: str, missing: bool, codes: tuple[str, ...], distinct: int) -> Guess:
    return Guess(name=name, role=role, logical_type=logical, missing=missing, missing_codes=codes, labels=distinct,
                 privacy=_privacy(name), protected=bool(_PROTECTED.search(name)),
                 notes=("the same in every row",) if distinct == 1 else ())


def _key(name: str, logical: str, valid: pa.Array, missing: bool, *, privacy: Privacy) -> Guess:
    distinct, rows = len(pc.unique(valid)), len(valid)
    return Guess(name=name, role=Role.IDENTIFIER, logical_type=logical, privacy=privacy, missing=missing,
                 unique=distinct == rows, repeats=bool(_KEY.search(name)) and not missing and distinct < 0.99 * rows)


def _dropped(name: str, why: str) -> Guess:
    return Guess(name=name, role=Role.TEXT, logical_type="string", missing=True, notes=(why,))


def _privacy(name: str) -> Privacy:
    return Privacy.SENSITIVE if _SENSITIVE.search(name) else Privacy.QUASI if _QUASI.search(name) else Privacy.NONE


def _all(texts: pa.Array, form: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, form)).as_py())


def _date_format(valid: pa.Array) -> str | None:
    """``""`` for ISO 8601, a JDK pattern for another common form, ``None`` if these are no dates."""
    if _all(valid, _ISO):
        return ""
    if not _all(valid, r"^\d{1,4}[/.-]\w{1,3}[/.-]\d{2,4}( \d{1,2}:\d{2}(:\d{2})?)?$"):
        return None
    words = pd.Series(pc.unique(valid).to_pylist(), dtype="str")
    for jdk, form in _FORMATS:
        if pd.to_datetime(words, format=form, errors="coerce").notna().all():
            return jdk
    return None


def is_target(name: str) -> bool:
    """True for names that usually mean the outcome."""
    return bool(_TARGET.match(name))
