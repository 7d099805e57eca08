"""The ``synthesis.*`` settings of the reviewer's desk: which ledger, who must approve, what a person has waived."""

from __future__ import annotations

import re
from datetime import date

from synth.contract.model import Approver, Waiver
from synth.contract.sections import plain
from synth.contract.settings import Notes, Settings

_KEY = re.compile(r"sha256:[0-9a-f]{64}")
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MOST = 2  # approvals that a contract can ask for


def source(notes: Notes, settings: Settings) -> str | None:
    """The name of the source whose ledger counts the releases; ``None``: the contract's own name is used."""
    name = settings.text("source")
    if name is not None and not _SOURCE.fullmatch(name):
        notes.add("'synthesis.source' names a ledger, and this cannot be a name", settings.get("source")[1],
                  "use letters, digits, '.', '_' and '-'; where the data is stands in `servers`")
        return None
    return name


def approvals(notes: Notes, settings: Settings) -> tuple[int, tuple[Approver, ...]]:
    """How many approvals a release needs before it is visible, and whose keys can give them."""
    needed = settings.whole("approvals", 0, 0, MOST) or 0
    value, place = settings.get("approvers")
    form = "write `- {name: TEXT, key: sha256:...}` for each person"
    found: list[Approver] = []
    if value is not None and not isinstance(value, list):
        notes.add("'synthesis.approvers' must be a list", place, form)
        return needed, ()
    for i, item in enumerate(value or []):
        at = (*place, i)
        said = notes.keys(at, item, ("name", "key"), "an approver")
        name, key = plain(said.get("name")), plain(said.get("key"))
        if said and (not name or not _KEY.fullmatch(key)):
            notes.add("an approver needs a name and the name of a key", at, form + "; `synth key FILE` tells the key's")
        elif key in {a.key for a in found}:
            notes.add("two approvers have the same key", at, "one key is one person: give each their own")
        elif said:
            found.append(Approver(name=name, key=key))
    if needed > len(found) and len(found) == len(value or []):
        notes.add(f"the contract asks for {needed} approvals and names {len(found)} approvers",
                  settings.get("approvals")[1], "add `synthesis.approvers`: " + form)
    return needed, tuple(found)


def waivers(notes: Notes, settings: Settings) -> tuple[Waiver, ...]:
    """What a person has waived. Whether it may be waived, and whether it still holds, is for the gates to say."""
    value, place = settings.get("waivers")
    form = "write `- {finding: GATE.ID, name: WHO, reason: WHY, expires: \"2030-12-31\"}`"
    if value is None:
        return ()
    if not isinstance(value, list):
        notes.add("'synthesis.waivers' must be a list", place, form)
        return ()
    found: list[Waiver] = []
    for i, item in enumerate(value):
        at = (*place, i)
        said = notes.keys(at, item, ("finding", "name", "reason", "expires"), "a waiver")
        finding, name, reason = (plain(said.get(key)) for key in ("finding", "name", "reason"))
        if not said:
            continue
        try:
            expires = date.fromisoformat(str(said.get("expires")))
        except ValueError:
            notes.add("a waiver needs the day on which it expires", (*at, "expires"), form)
            continue
        if not (finding and name and reason):
            notes.add("a waiver needs the finding, the name of who waives it, and the reason", at, form)
        elif finding in {w.finding for w in found}:
            notes.add(f"finding {finding!r} is waived twice", at, "keep one of them")
        else:
            found.append(Waiver(finding=finding, name=name, reason=reason, expires=expires,
                                line=notes.document.line(at)))
    return tuple(found)
