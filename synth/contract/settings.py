"""``synthesis.*`` custom properties: which exist at which level, read with types and places.

A :class:`Settings` wraps one ``customProperties`` list. Every reader returns the default when the property is
absent and when it is wrong; what is wrong goes into one shared list, so that a person sees all of it at once.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar

from synth.contract.marks import Document, Place
from synth.contract.odcs import did_you_mean
from synth.errors import UserError

PREFIX = "synthesis."

LEVELS: dict[str, frozenset[str]] = {
    "contract": frozenset({"domain", "licence", "k", "split", "training", "gates", "budget", "rows", "maxAttempts",
                           "attacks", "pixels", "traffic", "source", "approvals", "approvers", "waivers",
                           "legalBasis", "collected"}),
    "schema": frozenset({"entity", "target", "task", "conditions", "constraints"}),
    "property": frozenset({"role", "privacy", "values", "missingCodes", "decimals", "boundsConfirmed", "generate",
                           "faker", "protected", "tag"}),
}
_OWNER = {"contract": "the contract (top level)", "schema": "the table (the entry of `schema`)",
          "property": "a column (an entry of `properties`)"}

Choice = TypeVar("Choice", bound=StrEnum)


class Problem(UserError):
    """A problem at a place of a contract."""


class Notes:
    """The document and the problems found in it so far."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[UserError] = []

    def add(self, what: str, place: Place, todo: str) -> None:
        """Write down one problem."""
        self.problems.append(Problem(what, where=self.document.where(place), todo=todo))

    def number(self, place: Place, value: Any, what: str) -> float | None:
        """A finite number (YAML 1.1 reads ``1e5`` as text; it is accepted here)."""
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                value = None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self.add(f"{what} must be a number", place, "write a plain finite number")
            return None
        return value

    def keys(self, place: Place, value: Any, known: Iterable[str], what: str) -> dict[str, Any]:
        """A mapping with no other keys than ``known``; ``{}`` if it is something else."""
        known = list(known)
        if not isinstance(value, dict):
            self.add(f"{what} must be a mapping", place, f"write it with the keys {', '.join(known)}")
            return {}
        for key in value:
            if key not in known:
                self.add(f"unknown key {key!r} in {what}", (*place, key), did_you_mean(key, known))
        return {k: v for k, v in value.items() if k in known}

    def texts(self, place: Place, value: Any, what: str) -> tuple[str, ...] | None:
        """A list of scalars as they are written in the file."""
        texts = [self.document.text((*place, i)) for i in range(len(value))] if isinstance(value, list) else [None]
        if any(t is None for t in texts):
            self.add(f"{what} must be a list of plain values", place, "write e.g. [a, b, c]")
            return None
        return tuple(t for t in texts if t is not None)


class Settings:
    """The ``synthesis.*`` properties of one ``customProperties`` list."""

    def __init__(self, notes: Notes, owner: Any, place: Place, level: str) -> None:
        self.notes, self.level, self.place = notes, level, place
        self.places: dict[str, Place] = {}
        self.found: dict[str, Any] = {}
        properties = owner.get("customProperties") if isinstance(owner, dict) else None
        for i, item in enumerate(properties if isinstance(properties, list) else []):
            if isinstance(item, dict):
                self._take(item, (*place, "customProperties", i))

    def _take(self, item: dict[str, Any], place: Place) -> None:
        name = item.get("property")
        if not isinstance(name, str):
            self.notes.add("a custom property has no name", place, "write `property: synthesis....` and `value: ...`")
            return
        prefix, dot, short = name.partition(".")
        at = (*place, "property")
        if prefix + dot != PREFIX:  # somebody else's property, unless it is ours with a typing error
            if difflib.SequenceMatcher(None, prefix.lower(), PREFIX[:-1]).ratio() > 0.75:
                self.notes.add(f"unknown property {name!r}", at, f"did you mean '{PREFIX}{short}'?")
            return
        if short not in LEVELS[self.level]:
            homes = [level for level, names in LEVELS.items() if short in names]
            todo = (f"it belongs to {_OWNER[homes[0]]}" if homes
                    else did_you_mean(name, [PREFIX + n for n in LEVELS[self.level]]))
            self.notes.add(f"unknown property {name!r} in the customProperties of {_OWNER[self.level]}", at, todo)
        elif short in self.found:
            self.notes.add(f"{name!r} stands twice", at, "keep one of them")
        elif item.get("value") is None:
            self.notes.add(f"{name!r} has no value", at, "add `value:` or remove the property")
        else:
            self.found[short], self.places[short] = item["value"], (*place, "value")

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def get(self, name: str) -> tuple[Any, Place]:
        """Value (``None`` if absent) and its place."""
        return self.found.get(name), self.places.get(name, self.place)

    def text(self, name: str, default: str | None = None) -> str | None:
        """A text."""
        value, place = self.get(name)
        if value is None or (isinstance(value, str) and value.strip()):
            return value if value is not None else default
        self.notes.add(f"'{PREFIX}{name}' must be text", place, "put it in quotes")
        return default

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value, place = self.get(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.notes.add(f"'{PREFIX}{name}' must be true or false", place, "write true or false, without quotes")
        return default

    def whole(self, name: str, default: int | None, low: int, high: int | None = None) -> int | None:
        """A whole number from ``low`` to ``high``."""
        value, place = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
            top = f" to {high}" if high is not None else " or more"
            self.notes.add(f"'{PREFIX}{name}' must be a whole number, {low}{top}", place, "correct it")
            return default
        return value

    def choice(self, name: str, kind: type[Choice]) -> Choice | None:
        """One of an enumeration."""
        value, place = self.get(name)
        if value is None:
            return None
        try:
            return kind(value)
        except ValueError:
            self.notes.add(f"'{PREFIX}{name}' has an unknown value", place,
                           did_you_mean(str(value), [k.value for k in kind]))
            return None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of scalars, as written."""
        value, place = self.get(name)
        return None if value is None else self.notes.texts(place, value, f"'{PREFIX}{name}'")
