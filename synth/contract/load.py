"""Contract file -> :class:`~synth.contract.model.Contract`. The form is described in data_contracts/README.md.

The file is an Open Data Contract Standard v3.1 document with one server (where the data is) and one schema
object (the table). Standard fields are used where they exist:

* ``name`` (or ``id``), ``version``, ``description.purpose``;
* ``servers[0]``: ``location`` or ``path`` (relative to the contract's folder, absolute, or an fsspec URL),
  ``format``, ``delimiter``, ``encoding``, ``endpointUrl``;
* per column: ``logicalType``, ``logicalTypeOptions`` (``minimum``, ``maximum``, ``format``), ``enum``,
  ``required``, ``unique``, ``primaryKey``, ``classification``, ``description``;
* ``slaProperties`` with ``property: retention`` (an ISO date, or a number with ``unit`` d, m or y counted
  from ``contractCreatedTs``); ``team.members`` whose ``role`` is ``reviewer``; ``quality`` for the gates.

The rest are ``customProperties`` called ``synthesis.*`` (:data:`synth.contract.settings.LEVELS`):

* contract: ``domain``, ``licence``, ``k`` (below 10: ``{limit, reason}``), ``split {train, holdout,
  reference}``, ``training {recipe, maxRows, effort, options}``, ``gates {gate: {key: {limit, reason}}}``,
  ``budget {epsilon, delta, unit, contributions, totalEpsilon, totalDelta}``, ``rows``, ``maxAttempts``, ``attacks``,
  ``pixels`` (:mod:`synth.contract.pixels`), ``traffic`` (:mod:`synth.contract.traffic`), ``source``,
  ``approvals``, ``approvers [{name, key}]``, ``waivers [{finding, name, reason, expires}]``
  (:mod:`synth.contract.desk`), ``legalBasis``, ``collected {from, to}``;
* schema: ``entity``, ``target``, ``task``, ``conditions [column]``, ``constraints`` (a list of
  ``inequality {low, high, strict}``, ``fixedCombinations [column]``, ``sum {total, parts}``);
* column: ``role``, ``privacy``, ``values``, ``missingCodes``, ``decimals``, ``boundsConfirmed``,
  ``generate``, ``faker``, ``protected``, ``tag``.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date
from pathlib import Path
from typing import Any

from synth.contract import desk, odcs, rules, sections
from synth.contract.columns import parse_column
from synth.contract.marks import Place, parse, read
from synth.contract.model import Attacks, Column, Contract, Task
from synth.contract.pixels import pixels
from synth.contract.sections import plain
from synth.contract.settings import Notes, Settings
from synth.contract.traffic import traffic
from synth.domain import RECIPES
from synth.errors import Problems, UserError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,49}")
_SERVER_OPTIONS = {"format": "format", "delimiter": "delimiter", "encoding": "encoding", "endpointUrl": "endpoint_url"}


def load(path: Path) -> Contract:
    """Parse a contract file. :class:`~synth.errors.Problems` lists everything that is wrong, with file:line."""
    path = Path(path)
    return _loads(read(path), path)


def loads(text: str, path: Path) -> Contract:
    """Like :func:`load` for text in memory; ``path`` names it and anchors relative data locations."""
    return _loads(text.encode(), path)


def _loads(content: bytes, path: Path) -> Contract:
    return _contract(Notes(parse(content, path)), hashlib.sha256(content).hexdigest())


def _contract(notes: Notes, digest: str) -> Contract:
    document, data = notes.document, notes.document.data
    notes.problems += odcs.check(document)
    if notes.problems and any(not isinstance(data.get(k, []), list) for k in ("schema", "servers", "slaProperties")):
        raise Problems(notes.problems)  # the skeleton itself is wrong: nothing below would make sense
    settings = Settings(notes, data, (), "contract")
    source, options = _server(notes, data.get("servers") or [])
    table, table_place = _table(notes, data.get("schema") or [])
    columns = _columns(notes, table, table_place)
    about = Settings(notes, table, table_place, "schema")
    description = data.get("description") if isinstance(data.get("description"), dict) else {}
    k, k_reason = sections.k(notes, settings)
    domain = settings.text("domain", "tabular") or "tabular"
    approvals, approvers = desk.approvals(notes, settings)
    contract = Contract(
        name=_named(notes, data, "name" if "name" in data else "id", _NAME, "letters, digits, '.', '_' and '-'"),
        version=_named(notes, data, "version", _VERSION, "e.g. \"1.0.0\", in quotes"),
        domain=domain,
        path=document.path, digest=digest,
        description=plain(table.get("description")) or plain(description.get("usage")),
        purpose=plain(description.get("purpose")), licence=settings.text("licence", "") or "",
        legal_basis=settings.text("legalBasis", "") or "", collected=sections.collected(notes, settings),
        source=source, source_options=options, columns=columns,
        entity=about.text("entity"), target=about.text("target"), task=about.choice("task", Task),
        conditions=about.texts("conditions") or (), constraints=sections.constraints(notes, about),
        k=k, k_reason=k_reason, split=sections.split(notes, settings),
        training=sections.training(notes, settings, RECIPES.get(domain, "")),
        limits=sections.limits(notes, settings), budget=sections.budget(notes, settings, shared="entity" in about),
        rows=settings.whole("rows", None, 1), attacks=settings.choice("attacks", Attacks) or Attacks.QUICK,
        max_attempts=settings.whole("maxAttempts", 3, 1, 100) or 3,
        retention_until=_retention(notes, data), reviewers=_reviewers(data.get("team")),
        source_name=desk.source(notes, settings), approvals=approvals, approvers=approvers,
        waivers=desk.waivers(notes, settings), pixels=pixels(notes, settings),
        traffic=traffic(notes, settings), raw=data)
    rules.check(notes, contract, about, data)
    if notes.problems:
        raise Problems(notes.problems)
    return contract


def _named(notes: Notes, data: dict[str, Any], key: str, pattern: re.Pattern[str], form: str) -> str:
    value = data.get(key)
    if isinstance(value, str) and not pattern.fullmatch(value):
        notes.add(f"{key!r} becomes part of a path and this one cannot", (key,), f"use {form}")
    return value if isinstance(value, str) else ""


def _server(notes: Notes, servers: list[Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Source and reading options of the one server."""
    if len(servers) != 1 or not isinstance(servers[0], dict):
        notes.add(f"a contract has one server, where its data is (found {len(servers)})", ("servers",),
                  "give `servers:` with one entry and its `location`")
        return "", ()
    place: Place = ("servers", 0)
    locations = [(k, servers[0][k]) for k in ("location", "path") if isinstance(servers[0].get(k), str)]
    options = tuple((ours, str(servers[0][key])) for key, ours in _SERVER_OPTIONS.items() if servers[0].get(key))
    if len(locations) != 1 or not locations[0][1].strip():
        notes.add("the location of the data is not known", place,
                  "give the server one `location`: a file, folder, glob or URL")
        return "", options
    key, location = locations[0]
    try:
        return resolve(location, notes.document.path), options
    except UserError as error:
        notes.add(error.what, (*place, key), error.todo)
        return "", options


def resolve(location: str, contract: Path) -> str:
    """The data's location as an absolute path or a URL.

    A relative location stays inside the contract's folder (after symlinks): a contract that travels must
    not reach into the machine it lands on. Whoever means another folder writes its absolute path.
    """
    if re.match(r"[a-z0-9+.-]+:", location, re.IGNORECASE):
        if re.match(r"[^/]+://[^/]*:[^/]*@", location):
            raise UserError("the location has a password in it",
                            todo="take it out; credentials come from the environment")
        return location
    if Path(location).is_absolute():
        return location
    root = contract.parent.resolve()
    base = re.split(r"[*?\[]", location, maxsplit=1)[0]  # a glob is judged by its fixed part
    if ".." in Path(location).parts or not (root / base).resolve().is_relative_to(root):
        raise UserError("the location leaves the contract's folder",
                        todo="put the data below the contract's folder, or give its absolute path")
    return str(root / location)


def _table(notes: Notes, schema: list[Any]) -> tuple[dict[str, Any], Place]:
    if len(schema) != 1 or not isinstance(schema[0], dict):
        notes.add(f"a contract describes one table (found {len(schema)})", ("schema",),
                  "give `schema:` with one entry and its `properties`")
        return {}, ("schema",)
    return schema[0], ("schema", 0)


def _columns(notes: Notes, table: dict[str, Any], place: Place) -> tuple[Column, ...]:
    items = table.get("properties")
    items = items if isinstance(items, list) else []
    keys = sum(1 for item in items if isinstance(item, dict) and item.get("primaryKey"))
    parsed = [parse_column(notes, item, (*place, "properties", i), sole_key=keys == 1) for i, item in enumerate(items)]
    return tuple(c for c in parsed if c is not None)


def _retention(notes: Notes, data: dict[str, Any]) -> date | None:
    """The day until which the release may be kept."""
    for i, item in enumerate(data.get("slaProperties") or []):
        if not isinstance(item, dict) or item.get("property") != "retention":
            continue
        place: Place = ("slaProperties", i, "value")
        try:
            if isinstance(item.get("value"), str):
                return date.fromisoformat(item["value"])
            return _later(date.fromisoformat(str(data.get("contractCreatedTs"))[:10]), item["value"], item["unit"])
        except (KeyError, TypeError, ValueError, OverflowError):
            notes.add("the retention is not understood", place,
                      "write `value: \"2030-12-31\"`, or a number with `unit: d|m|y` and `contractCreatedTs`")
    return None


def _later(start: date, value: int | float, unit: str) -> date:
    number = int(value)
    if unit in ("d", "day", "days"):
        return date.fromordinal(start.toordinal() + number)
    months = {"m": 1, "month": 1, "months": 1, "y": 12, "year": 12, "years": 12}[unit] * number
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, 28))  # the 28th exists in every month; never later than asked


def _reviewers(team: Any) -> tuple[str, ...]:
    members = team.get("members") if isinstance(team, dict) else team
    return tuple(str(m.get("username") or m.get("name")) for m in (members if isinstance(members, list) else [])
                 if isinstance(m, dict) and "review" in str(m.get("role", "")).lower())
