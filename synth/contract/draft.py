"""`synth init`: a first contract from a table, for a person to read, correct and confirm.

The draft says what columns probably are, never what is in them: no category, no minimum or maximum, no example.
Bounds are left empty and unconfirmed; a run is refused until somebody who knows the data has confirmed them.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from synth.contract.guess import Guess, guess, is_target
from synth.contract.model import Privacy, Role
from synth.errors import UserError

LOOKED_AT = 500_000  # rows a draft is made from
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_HEAD = """\
# Drafted by `synth init` from about {rows} rows on {day}. It holds guesses, and no value of the data. Please
#   1. read each column: is the role right? does `privacy` say who it could identify?
#   2. fill in minimum and maximum of numbers and dates from what you know, not from the data (or remove them),
#      and set boundsConfirmed to true: a bound taken from the data would give its most extreme person away;
#   3. check the entity key, the target and the purpose; say synthesis.legalBasis and .collected for the reviewer.
# Then run `synth check` on this file. data_contracts/README.md explains every field.
"""


def draft(source: str, name: str) -> str:
    """YAML of a contract called ``name`` for the table at ``source``; :class:`UserError` if it cannot be read."""
    from synth.tabular.source import guess_options, open_source

    if not _NAME.fullmatch(name):
        raise UserError("this name cannot be part of a path", todo="use letters, digits, '.', '_' and '-'")
    options = guess_options(source)
    opened = open_source(source, options)
    batches, rows = [], 0
    for batch in opened.batches():
        batches.append(batch)
        rows += batch.num_rows
        if rows >= LOOKED_AT:
            break
    if not rows:
        raise UserError("the table has no rows", where=source, todo="give a table with data")
    guesses = [guess(column, pa.chunked_array([b.column(i) for b in batches]))
               for i, column in enumerate(opened.names)]
    return "\n".join([*_header(source, name, options, rows), *_table(guesses), *_footer()]) + "\n"


def _quote(text: str) -> str:
    """A YAML scalar that is this text and nothing else (column names come from strangers)."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z_]*", text) and text.lower() not in (
        "y", "n", "yes", "no", "on", "off", "true", "false", "null") else json.dumps(text)


def _property(name: str, value: str, indent: int) -> str:
    return f"{' ' * indent}- {{property: synthesis.{name}, value: {value}}}"


def _header(source: str, name: str, options: dict[str, str], rows: int) -> list[str]:
    location = source if re.match(r"[a-z0-9+.-]+://", source, re.IGNORECASE) else str(Path(source).resolve())
    server = [f"    {key}: {_quote(value)}" for key, value in options.items()]
    return [
        _HEAD.format(rows=f"{float(f'{rows:.1g}'):,.0f}", day=datetime.now(UTC).date()),
        "apiVersion: v3.1.0", "kind: DataContract", f"id: {_quote(name)}", f"name: {_quote(name)}",
        'version: "1.0.0"', "status: draft", "description:",
        "  purpose: \"\"  # what the synthetic table is for; it stands in the report", "",
        "servers:", "  - server: source", f"    type: {'local' if location.startswith('/') else 'custom'}",
        f"    location: {json.dumps(location)}", *server, "",
        "schema:", f"  - name: {_quote(name)}", "    physicalType: table", "    properties:"]


def _table(guesses: list[Guess]) -> list[str]:
    lines = [line for g in guesses for line in _column(g)]
    keys = [g for g in guesses if g.repeats]
    entity = max(keys, key=lambda g: g.missing is False, default=None)
    targets = [g for g in guesses if g.role not in (Role.IDENTIFIER, Role.TEXT)]
    target = next((g for g in targets if is_target(g.name)), None) or (
        targets[-1] if targets and (targets[-1].role is Role.BOOLEAN or 2 <= targets[-1].labels <= 20) else None)
    settings = []
    if entity is not None:
        settings.append(_property("entity", _quote(entity.name), 6) + "  # rows that share it belong together: confirm")
    if target is not None and target.role is not Role.DATETIME:
        task = "regression" if target.role is Role.NUMERIC else "classification"
        settings.append(_property("target", _quote(target.name), 6) + "  # a guess: confirm")
        settings.append(_property("task", task, 6))
    asked = [g.name for g in guesses if g.protected and g.role not in (Role.IDENTIFIER, Role.TEXT)]
    if target is not None and not target.role.is_number:
        asked = list(dict.fromkeys([*asked, target.name]))
    if asked:
        settings.append(_property("conditions", f"[{', '.join(_quote(n) for n in asked)}]", 6))
    return lines + (["    customProperties:", *settings] if settings else [])


def _column(g: Guess) -> list[str]:
    lines = [f"      - name: {_quote(g.name)}" + "".join(f"  # {note}" for note in g.notes),
             f"        logicalType: {g.logical_type}"]
    if not g.missing and g.role not in (Role.IDENTIFIER, Role.TEXT):
        lines.append("        required: true")
    if g.unique:
        lines.append("        unique: true")
    if g.role.is_number:
        form = f", format: {json.dumps(g.format)}" if g.format else ""
        lines.append(f"        logicalTypeOptions: {{minimum: null, maximum: null{form}}}")
    lines.append("        customProperties:")
    lines.append(_property("role", g.role.value, 10))
    if g.privacy is not Privacy.NONE:
        lines.append(_property("privacy", g.privacy.value, 10))
    if g.missing_codes:
        lines.append(_property("missingCodes", json.dumps(list(g.missing_codes)), 10))
    if g.role.is_number:
        lines.append(_property("boundsConfirmed", "false", 10))
    if g.role in (Role.IDENTIFIER, Role.TEXT):
        lines.append(_property("generate", "drop", 10))
    if g.protected:
        lines.append(_property("protected", "true", 10))
    return lines


def _footer() -> list[str]:
    return ["", "customProperties:", "  - {property: synthesis.domain, value: tabular}"]
