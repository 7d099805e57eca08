"""A store of releases: who may take which version, and what a reader gets to see.

    STORE/index.json                 what exists: reserved and published versions
    STORE/NAME/VERSION/...           immutable releases
    STORE/.ledger/SOURCE/N.json      what was let out about whom (:mod:`synth.release.ledger`)
    STORE/.statements/NAME/VERSION/N.json   what people decided (:mod:`synth.release.desk`)

A version is *reserved* in the index, then the files are put in place (data, then manifest, then signature), and
last its entry turns *published*. Readers look at published entries only, so they see a whole release or none.
Both changes are one compare-and-swap of the index, hence two writers never get the same version; a number that
was given up is never used again. Versions are ``YYYY.MM.DD.N``: the day, then the day's count.

The index is not signed. It cannot make a reader accept anything that the publisher did not sign, but whoever can
write it can hide releases or offer an old one as the newest; name the version where that matters.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from synth.errors import UserError, VerificationError
from synth.release.backends import INDEX, MAX_INDEX_BYTES, S3, Backend, Local, Memory, Remote, Told, storage
from synth.release.manifest import MANIFEST, NAME, SIGNATURE, VERSION, check_name
from synth.workspace import now

READABLE = ("file", "local", "memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "http", "https")
GIVE_UP_AFTER = timedelta(days=7)  # a reservation this old belongs to nobody
MAX_SERIES, MAX_MEMBER_BYTES = 100_000, 1 << 20
_TRIES = 60
T = TypeVar("T")

RESERVED, PUBLISHED, ABANDONED = "reserved", "published", "abandoned"


def version_key(version: str) -> tuple[int, ...]:
    """Sort key of a version."""
    return tuple(int(part) for part in version.split("."))


def next_version(taken: list[str], today: date) -> str:
    """The version after those in ``taken``; never below the newest, even if this machine's clock is behind."""
    stamp = (today.year, today.month, today.day)
    newest = max((version_key(v) for v in taken), default=(*stamp, 0))
    day, count = (newest[:3], newest[3]) if newest[:3] >= stamp else (stamp, 0)
    return f"{day[0]:04d}.{day[1]:02d}.{day[2]:02d}.{count + 1}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """A version that only we may publish. ``published`` has its entry if this run published before."""

    name: str
    version: str
    nonce: str
    published: dict[str, Any] | None = None

    @property
    def path(self) -> str:
        """Where the release goes, below the store."""
        return f"{self.name}/{self.version}"


class Store:
    """A place that holds releases: a local folder, ``memory://`` or ``s3://`` to write, other fsspec URLs to read."""

    def __init__(self, url: str | Path) -> None:
        text = os.fspath(url)
        scheme = text.partition("://")[0] if "://" in text else "file"
        self.url = text.rstrip("/") or text
        if "::" in text or scheme not in READABLE or "\0" in text or not text:
            raise UserError("this is not an address of a store", where=f"scheme {scheme[:20]!r}",
                            todo=f"use a folder or one of {', '.join(s + '://' for s in READABLE)}")
        if "@" in text.removeprefix(scheme + "://").partition("/")[0] and scheme != "file":
            raise UserError("credentials do not belong into a store's address", where=f"a {scheme}:// address",
                            todo="use the environment or the credentials file of the storage's own tools")
        self._backend = _backend(text, scheme, self.url)

    def entries(self, name: str | None = None) -> list[dict[str, Any]]:
        """Published entries (of one data set), by name and then from old to new."""
        found = [e for e in self._index()[0] if e["state"] == PUBLISHED and name in (None, e["name"])]
        return sorted(found, key=lambda e: (e["name"], version_key(e["version"])))

    def reserve(self, name: str, run: str) -> Reservation:
        """Take the next version for ``run``; the version it already has if it was interrupted or done before."""
        check_name(name)
        nonce = os.urandom(8).hex()

        def change(entries: list[dict[str, Any]]) -> Reservation:
            for entry in entries:
                if (entry["name"], entry["run"]) == (name, run) and entry["state"] != ABANDONED:
                    if entry["state"] == RESERVED:
                        entry.update(nonce=nonce, reserved=now())
                    done = dict(entry) if entry["state"] == PUBLISHED else None
                    return Reservation(name=name, version=entry["version"], nonce=nonce, published=done)
            taken = [e["version"] for e in entries if e["name"] == name]
            version = next_version(taken, datetime.now(UTC).date())
            entries.append({"name": name, "version": version, "state": RESERVED, "run": run, "nonce": nonce,
                            "reserved": now()})
            return Reservation(name=name, version=version, nonce=nonce)

        self._give_up_old()
        reservation = self._update(change)
        if reservation.published is None:
            with storage(self.url):
                self._backend.remove(reservation.path)  # what an interrupted try of this run left
        return reservation

    def put(self, reservation: Reservation, folder: Path, paths: list[str], told: Told = lambda done: None) -> None:
        """Put the files of ``folder`` in place: data first, then the manifest, last the signature."""
        order = [p for p in paths if p not in (MANIFEST, SIGNATURE)] + [MANIFEST, SIGNATURE]
        with storage(self.url):
            try:
                self._backend.put(folder, order, reservation.path, told)
            except FileExistsError:
                raise self._taken(reservation) from None

    def commit(self, reservation: Reservation, facts: dict[str, Any]) -> dict[str, Any]:
        """Make the release visible, with ``facts`` in its entry."""
        def change(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
            for entry in entries:
                if (entry["name"], entry["version"]) == (reservation.name, reservation.version):
                    if entry["state"] != RESERVED or entry.get("nonce") != reservation.nonce:
                        return None
                    for key in ("nonce", "reserved"):
                        entry.pop(key)
                    entry.update(facts, state=PUBLISHED)
                    return entry
            return None

        entry = self._update(change)
        if entry is None:
            raise self._taken(reservation)
        return entry

    def give_up(self, reservation: Reservation) -> None:
        """Remove what was put and free the reservation; its number is not used again."""
        def change(entries: list[dict[str, Any]]) -> bool:
            for entry in entries:
                if (entry["name"], entry["version"]) == (reservation.name, reservation.version):
                    ours = entry["state"] == RESERVED and entry.get("nonce") == reservation.nonce
                    if ours:
                        entry["state"] = ABANDONED
                    return ours
            return False

        if self._update(change):
            with storage(self.url):
                self._backend.remove(reservation.path)

    def open(self, name: str, version: str, path: str) -> BinaryIO:
        """A file of a release for reading; ``FileNotFoundError`` if it is not there."""
        with storage(self.url):
            return self._backend.open(f"{name}/{version}/{path}")

    def series(self, folder: str) -> list[bytes]:
        """The files ``folder/00000001.json`` and so on, up to the first number that is missing."""
        found: list[bytes] = []
        with storage(self.url):
            while len(found) < MAX_SERIES:
                try:
                    with self._backend.open(f"{folder}/{len(found) + 1:08d}.json") as file:
                        data = file.read(MAX_MEMBER_BYTES + 1)
                except FileNotFoundError:
                    return found
                if len(data) > MAX_MEMBER_BYTES:
                    raise VerificationError("an entry is larger than any is",
                                            where=f"{self.url}/{folder}/{len(found) + 1:08d}.json")
                found.append(data)
        raise VerificationError("there are more entries than any store has", where=f"{self.url}/{folder}")

    def extend(self, folder: str, number: int, data: bytes) -> bool:
        """Add file ``number`` (from 1) of a series; False if somebody was faster. Nothing is ever overwritten."""
        with storage(self.url):
            return self._backend.create(f"{folder}/{number:08d}.json", data)

    def mark(self, name: str, version: str, **facts: Any) -> None:
        """Note ``facts`` in a published release's index entry, for lists; what counts is signed elsewhere."""
        def change(entries: list[dict[str, Any]]) -> None:
            for entry in entries:
                if (entry["name"], entry["version"], entry["state"]) == (name, version, PUBLISHED):
                    entry.update(facts)

        self._update(change)

    def _give_up_old(self) -> None:
        oldest = (datetime.now(UTC) - GIVE_UP_AFTER).strftime("%Y-%m-%dT%H:%M:%SZ")
        for entry in self._index()[0]:
            if entry["state"] == RESERVED and entry["reserved"] < oldest:
                self.give_up(Reservation(name=entry["name"], version=entry["version"], nonce=entry["nonce"]))

    def _index(self) -> tuple[list[dict[str, Any]], str]:
        with storage(self.url):
            data, token = self._backend.read()
        return parse_index(data, self.url), token

    def _update(self, change: Callable[[list[dict[str, Any]]], T]) -> T:
        """Apply ``change`` to the index's entries, again from the start if somebody else was faster."""
        for attempt in range(_TRIES):
            entries, token = self._index()
            before = json.dumps(entries)
            result = change(entries)
            if json.dumps(entries) == before:
                return result
            data = (json.dumps({"schema": 1, "releases": entries}, indent=1) + "\n").encode()
            with storage(self.url):
                if self._backend.swap(data, token):
                    return result
            time.sleep(os.urandom(1)[0] / 255 * 0.02 * min(attempt + 1, 25))
        raise UserError("too many writers work on this store at once", where=self.url, todo="try again later")

    def _taken(self, reservation: Reservation) -> UserError:
        return UserError(f"version {reservation.version} of {reservation.name!r} is no longer ours: another process "
                         "took it over", where=self.url, todo="go on with --resume; nothing was published")


def parse_index(data: bytes, where: str) -> list[dict[str, Any]]:
    """The entries of an index file, which may come from anywhere; a :class:`VerificationError` if it is malformed."""
    if not data:
        return []
    try:
        raw = json.loads(data) if len(data) < MAX_INDEX_BYTES else None
        entries = raw["releases"] if isinstance(raw, dict) and raw.get("schema") == 1 else None
        sound = isinstance(entries, list) and all(
            NAME.fullmatch(e["name"]) and VERSION.fullmatch(e["version"]) and isinstance(e["run"], str)
            and e["state"] in (RESERVED, PUBLISHED, ABANDONED)
            and (e["state"] != RESERVED or (isinstance(e["nonce"], str) and isinstance(e["reserved"], str)))
            for e in entries)
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise VerificationError("the store's index cannot be read", where=f"{where}/{INDEX}",
                                todo="restore it from a copy, or point --store to a store")
    assert entries is not None
    return list(entries)


def _backend(text: str, scheme: str, url: str) -> Backend:
    if scheme in ("file", "local"):
        path = text.partition("://")[2] if "://" in text else text
        return Local(Path(path).expanduser().absolute())
    import fsspec

    try:
        # No cached listings: a store changes under us. A hung server ends in an error, not in a hung run.
        fs, root = fsspec.core.url_to_fs(text, **({} if scheme == "memory" else {"use_listings_cache": False}))
    except ImportError:
        raise UserError(f"{scheme}:// needs a package that is not installed", where=url,
                        todo="pip install 'synth-pipeline[s3]'" if scheme.startswith("s3") else
                        "install the fsspec implementation of this storage") from None
    except (ValueError, TypeError, OSError):
        raise UserError("this is not an address of a store", where=url) from None
    if scheme == "memory":
        return Memory(fs, root, url)
    return S3(fs, root, url) if scheme in ("s3", "s3a") else Remote(fs, root, url)
