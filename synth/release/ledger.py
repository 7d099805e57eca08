"""The ledger of a source: what was let out about its people, by whom, and what privacy it cost.

    STORE/.ledger/SOURCE/00000001.json, 00000002.json, ...

Entries are only added. Each is signed, and is a statement about the entry before it (by digest), so an edited, an
exchanged or a missing one breaks the chain; two writers who add the same number at once are told apart by the
storage (the file is created or it is not), and the slower one reads again before it may spend anything. What no
chain shows by itself is that its end was cut off. Three witnesses do: every release's signature names the entry
that made room for it, so does its line in the store's index, and the publisher's key home remembers the last entry it
saw (``ledgers.json``).

The source is the contract's ``synthesis.source``, else its name. A contract under another name that releases the
same people is noticed by the sketches of who was trained on (:mod:`synth.release.sketch`) and refused, unless a
person declared a source. **Not seen**: people whose identifiers changed between releases; without an entity key,
people whose rows changed; releases in other stores; releases made before there was a ledger.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from synth.errors import SynthError, UserError, VerificationError
from synth.release.accounts import (
    CANCELLED,
    EXPIRED,
    PUBLISHED,
    RESERVED,
    RESTARTED,
    REVOKED,
    WITHHELD,
    Account,
    Spend,
    replay,
    room,
)
from synth.release.manifest import check_name
from synth.release.signing import key_home, locked, signing_key, trust
from synth.release.sketch import Overlap, Sketch, overlap
from synth.release.statements import NOTHING, Sealed, clock, older, seal, unseal
from synth.release.store import Store
from synth.workspace import write_json

KIND = "urn:synth-pipeline:ledger:1"
FOLDER = ".ledger"
HEADS = "ledgers.json"
EXPIRES = timedelta(days=7)  # a reservation this old belongs to nobody
SAME = 0.10  # share of people, surely shared, from which another source's ledger is about the same people
_TRIES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What a run wants to let out, and about whom."""

    run: str
    contract: str  # name and version
    contract_digest: str
    plan_digest: str
    spend: Spend
    total: Spend | None
    people: Sketch

    def to_json(self) -> dict[str, Any]:
        """Fields of its entry."""
        return {"run": self.run, "contract": self.contract, "contract_digest": self.contract_digest,
                "plan_digest": self.plan_digest, "spend": self.spend.to_json(),
                "total": None if self.total is None else self.total.to_json(), "people": self.people.to_json()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """A ledger as it was read and found whole."""

    source: str
    entries: tuple[dict[str, Any], ...]
    accounts: Mapping[str, Account]
    head: str  # digest of the last entry

    @property
    def latest(self) -> str | None:
        """Time of the last entry."""
        return self.entries[-1]["at"] if self.entries else None

    def released(self) -> list[Account]:
        """Published runs, in order."""
        found = [a for a in self.accounts.values() if a.state == PUBLISHED]
        return sorted(found, key=lambda a: a.sequence)

    def place(self, number: int) -> dict[str, Any]:
        """What a release says of its entry."""
        return {"source": self.source, "sequence": number, "digest": self.entries[number - 1]["digest"]}


class Ledger:
    """The ledger of one source in a store. ``home`` is another key home."""

    def __init__(self, store: Store, source: str, home: Path | None = None) -> None:
        self.store, self.source, self.home = store, check_name(source), home
        self.folder = f"{FOLDER}/{source}"
        self.where = f"{store.url}/{self.folder}"

    # -- reading -------------------------------------------------------------------------------------------

    def read(self, key: str | Path | None = None) -> Read:
        """All entries, verified: signatures by keys trusted here (or ``key``), order, chain, and the witnesses.

        Raises :class:`VerificationError` naming the first entry that is wrong, or what is missing.
        """
        believed = trust(key, self.home)
        entries: list[dict[str, Any]] = []
        previous = NOTHING
        for number, data in enumerate(self.store.series(self.folder), start=1):
            sealed = unseal(data, KIND, f"{self.where}/{number:08d}.json")
            if sealed.key not in believed:
                raise VerificationError(f"entry {number} of the ledger is signed by a key that is not trusted here",
                                        where=sealed.key, todo="if it is a colleague's, or yours that was lost, put "
                                                               "its public half (a release's publisher.pub) into "
                                                               f"{believed.source} as NAME.pub")
            self._follows(sealed, number, previous)
            entries.append({**sealed.said, "sequence": number, "key": sealed.key, "digest": sealed.itself})
            previous = sealed.itself
        read = Read(source=self.source, entries=tuple(entries), accounts=replay(entries, self.where), head=previous)
        self._witnessed(read)
        return read

    def _follows(self, sealed: Sealed, number: int, previous: str) -> None:
        said = (sealed.said.get("source"), sealed.said.get("sequence"))
        if said != (self.source, number):
            raise VerificationError(f"entry {number} of the ledger is out of its place: it is entry "
                                    f"{str(said[1])[:12]} of source {str(said[0])[:100]!r}", where=self.where,
                                    todo="entries were exchanged; restore the ledger from a copy")
        if sealed.digest != previous or sealed.subject != f"{self.source}/{number - 1}":
            raise VerificationError(f"entry {number} of the ledger does not follow from entry {number - 1}: one of "
                                    "the two was replaced", where=self.where, todo="restore the ledger from a copy")

    def _witnessed(self, read: Read) -> None:
        """The end is not cut off, and the past not rewritten, as far as anybody remembers."""
        claims = [(f"release {e['name']} {e['version']}", e["ledger"]) for e in self.store.entries()
                  if isinstance(e.get("ledger"), dict) and e["ledger"].get("source") == self.source]
        head = self._heads().get(f"{self.store.url}|{self.source}")
        if isinstance(head, dict) and (read.entries or not self._empty()):
            claims.append(("this machine, which saw it,", head))
        for who, claim in claims:
            number, digest = claim.get("sequence"), claim.get("digest")
            if not isinstance(number, int) or not 1 <= number <= len(read.entries):
                raise VerificationError(f"the ledger was cut short: it has {len(read.entries)} entries, and {who} "
                                        f"knows of entry {number}", where=self.where,
                                        todo="restore the ledger from a copy; until then nothing is released")
            if read.entries[number - 1]["digest"] != digest:
                raise VerificationError(f"the ledger was rewritten: {who} knows another entry {number}",
                                        where=self.where, todo="restore the ledger from a copy")

    def _empty(self) -> bool:
        """True if the store holds nothing at all: it is new, or was thrown away."""
        return not self.store.entries()

    def witnesses(self, read: Read) -> int:
        """How many published releases of this source sign what the ledger says.

        Raises :class:`VerificationError` for a release whose signature names an entry that is not there, or that the
        ledger knows with another digest. Slower than :meth:`read`: every release's signature is opened.
        """
        from synth.release.provenance import counted_after
        from synth.release.pull import stated

        count, believed = 0, trust(None, self.home)
        by_release = {a.release: a for a in read.released()}
        for entry in self.store.entries():
            if not isinstance(entry.get("ledger"), dict) or entry["ledger"].get("source") != self.source:
                continue
            name = f"{entry['name']}/{entry['version']}"
            _, statement, _ = stated(self.store, entry["name"], entry["version"], believed)
            after, account = counted_after(statement), by_release.get(name)
            number = 0 if after is None else after.get("sequence")
            known = {0: NOTHING, **{e["sequence"]: e["digest"] for e in read.entries}}.get(number)
            if account is None or (after is not None and after.get("digest") != known):
                raise VerificationError(f"release {name} was signed with another ledger than this one",
                                        where=self.where, todo="restore the ledger from a copy")
            count += 1
        return count

    def elsewhere(self, people: Sketch) -> list[tuple[str, Overlap]]:
        """Other sources of this store whose releases share people with these, and how many (their largest)."""
        sources = {e["ledger"]["source"] for e in self.store.entries() if isinstance(e.get("ledger"), dict)}
        found = []
        for source in sorted(sources - {self.source}):
            released = Ledger(self.store, source, self.home).read().released()
            shared = [o for a in released if a.people is not None and (o := overlap(people, a.people)) is not None]
            if shared and (most := max(shared, key=lambda o: o.low)).low > 0:
                found.append((source, most))
        return found

    # -- adding --------------------------------------------------------------------------------------------

    def check(self, ask: Ask, *, declared: bool) -> Read:
        """A :class:`UserError` if ``ask`` may not be released; the ledger as it is.

        ``declared``: a person named the source, so that people who look like those of another source are others.
        """
        read = self.read()
        room(read.accounts, ask.run, ask.spend, ask.total, self.where)
        if not declared:
            for source, shared in self.elsewhere(ask.people):
                if shared.low > SAME:
                    raise UserError(
                        f"at least {shared.low:.0%} of the {ask.people.unit} behind this release are in releases of "
                        f"the source {source!r}, whose ledger this contract would not be counted in",
                        where=self.where, todo=f"add `synthesis.source: {source}` to the contract if they are the "
                        "same, or another name if they are others whose identifiers only look alike; the report "
                        "shows which")
        return read

    def reserve(self, ask: Ask, *, declared: bool) -> dict[str, Any]:
        """Hold back what ``ask`` will spend, before it is spent; returns the entry's place.

        A run that holds it already (it was resumed) keeps it. Reservations that nobody went on with are marked
        as expired first, each by its name.
        """
        for _ in range(_TRIES):
            self._expire(self.read())
            read = self.check(ask, declared=declared)
            mine = read.accounts.get(ask.run)
            if mine is not None and mine.state == RESERVED and mine.spend == ask.spend:
                return read.place(mine.sequence)
            if mine is not None and mine.state in (WITHHELD, PUBLISHED):
                return read.place(mine.sequence)  # counted, and nothing of it comes back
            if mine is not None and mine.state == RESERVED:
                self._add(read, {"event": CANCELLED, "run": ask.run, "reason": "asks for another budget"})
                continue
            if added := self._add(read, {"event": RESERVED, **ask.to_json()}):
                return added.place(len(added.entries))
        raise self._busy()

    def publish(self, ask: Ask, *, declared: bool, release: str, manifest_digest: str,
                attacks: Sequence[Mapping[str, Any]], judged_with: Sequence[str] | None = None) -> dict[str, Any]:
        """Write down a release that is about to become visible; returns the entry's place.

        Everything is checked again, as days may lie between training and publishing: a reservation that expired is
        made anew, if there still is room. ``judged_with`` are the manifest digests of the earlier releases that the
        attacks saw beside this one, where they did; :class:`Overtaken` if there are more by now.
        """
        if ask.spend.finite:
            self.reserve(ask, declared=declared)
        for _ in range(_TRIES):
            read = self.check(ask, declared=declared)
            if judged_with is not None:
                known = [a.manifest_digest for a in read.released() if a.run != ask.run]
                if missing := set(known) - set(judged_with):
                    raise Overtaken(len(missing), self.where)
            if added := self._add(read, {"event": PUBLISHED, **ask.to_json(), "release": release,
                                         "manifest_digest": manifest_digest, "attacks": [dict(a) for a in attacks]}):
                return added.place(len(added.entries))
        raise self._busy()

    def close(self, run: str, event: str, reason: str) -> None:
        """End a run's reservation (``withheld`` or ``cancelled``), or note that its release was ``revoked``.

        Nothing happens where the ledger knows nothing to end.
        """
        assert event in (WITHHELD, CANCELLED, REVOKED)
        for _ in range(_TRIES):
            read = self.read()
            mine = read.accounts.get(run)
            wanted = PUBLISHED if event == REVOKED else RESERVED
            if mine is None or mine.state != wanted or (event == REVOKED and mine.revoked):
                return
            if self._add(read, {"event": event, "run": run, "reason": reason}):
                return
        raise self._busy()

    def _expire(self, read: Read) -> None:
        for account in list(read.accounts.values()):
            if account.state == RESERVED and older(account.at, EXPIRES):
                grown = self._add(read, {"event": EXPIRED, "run": account.run,
                                         "reason": f"reserved {account.at}, and never finished"})
                if grown is None:
                    return  # whoever was faster has seen to it
                read = grown

    def _add(self, read: Read, said: Mapping[str, Any]) -> Read | None:
        """Add one entry after those read; ``None`` if somebody was faster."""
        number = len(read.entries) + 1
        if number == 1 and said["event"] != RESTARTED and (head := self._lost()):
            self._add(read, {"event": RESTARTED, "run": "-", "reason": (
                f"this machine saw entry {head['sequence']} ({head['digest'][:12]}) of a ledger of this source here, "
                "and the store is empty now")})
            return None  # what has room in it is to be asked again
        key = signing_key(self.home)
        whole = {"source": self.source, "sequence": number, "at": clock(read.latest, self.where), **said}
        data = seal(key, kind=KIND, subject=f"{self.source}/{number - 1}", digest=read.head, said=whole)
        digest = hashlib.sha256(data).hexdigest()
        entries = (*read.entries, {**whole, "key": key.id, "digest": digest})
        grown = Read(source=self.source, entries=entries, accounts=replay(entries, self.where), head=digest)
        if not self.store.extend(self.folder, number, data):
            return None
        self._remember(number, digest)
        return grown

    def _busy(self) -> UserError:
        return UserError("too many writers work on this ledger at once", where=self.where, todo="try again later")

    # -- the memory of the key home ------------------------------------------------------------------------

    def _heads(self) -> dict[str, Any]:
        if self.store.url.startswith("memory://"):
            return {}  # gone with its process
        try:
            found = json.loads((key_home(self.home) / HEADS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _lost(self) -> dict[str, Any] | None:
        """The head of a ledger that was here and is not any more, in a store that is empty now."""
        head = self._heads().get(f"{self.store.url}|{self.source}")
        return head if isinstance(head, dict) and self._empty() else None

    def _remember(self, number: int, digest: str) -> None:
        if self.store.url.startswith("memory://"):
            return
        with contextlib.suppress(SynthError, OSError), locked(key_home(self.home)):  # a key from the environment
            heads = self._heads()
            heads[f"{self.store.url}|{self.source}"] = {"sequence": number, "digest": digest}
            write_json(key_home(self.home) / HEADS, heads)
            os.chmod(key_home(self.home) / HEADS, 0o600)


class Overtaken(UserError):
    """Another release of the same people was published since this run was judged."""

    def __init__(self, count: int, where: str) -> None:
        super().__init__(f"{count} other releases of the same people were published since this run was judged, so the "
                         "attacks have not seen them together", where=where,
                         todo="go on with --resume: the run is judged again, with them")
