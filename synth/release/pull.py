"""For those who use releases: list them, get one, check one. A path is given out only after everything was checked.

The order is signature -> manifest -> digests. Nothing is parsed before the bytes it comes in are known to be
bounded, and nothing a manifest says is done before its signature was found good and its key trusted.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from synth.errors import SynthError, UserError, VerificationError
from synth.progress import Progress, Silent
from synth.release.backends import storage
from synth.release.desk import Release, standing
from synth.release.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    PUBLIC_KEY,
    SIGNATURE,
    VERSION,
    Manifest,
    parse,
    walk,
)
from synth.release.provenance import desk_rules, digests, identity
from synth.release.signing import Trust, key_id, open_envelope, read_public, trust
from synth.release.store import Store
from synth.workspace import sha256_file

_TODO = "do not use this copy; pull the release again, and tell its publisher if that does not help"


class BrokenRelease(VerificationError):
    """A release that is not what was signed; ``problems`` names each deviation."""

    def __init__(self, problems: list[str], *, where: str, shown: int = 20) -> None:
        self.problems = problems
        more = [f"... and {len(problems) - shown} more"] if len(problems) > shown else []
        super().__init__("the release is not what was signed:\n" + "\n".join(
            f"  - {p}" for p in [*problems[:shown], *more]), where=where, todo=_TODO)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A release whose signature, manifest and digests were found good."""

    name: str
    version: str
    created: str
    rows: int
    bytes: int
    files: int
    key_id: str
    trusted: bool  # False: intact, but made by a key that is not trusted here
    retention_until: str | None
    manifest_digest: str
    approvals: int = 0  # needed before it is given out
    approvers: tuple[str, ...] = ()  # names of the keys that count


def list_releases(store: str | Path | Store, name: str | None = None) -> list[dict[str, Any]]:
    """Published releases of a store (of one data set), by name, from old to new.

    Each has name, version, created, rows, bytes, key_id, manifest_digest, contract_version, retention_until, run
    and ``expired``; ``standing`` is empty, or says why it is not given out; ``waived`` counts its waivers.
    """
    opened = store if isinstance(store, Store) else Store(store)
    today = datetime.now(UTC).date().isoformat()
    return [{**entry, "expired": _expired(entry.get("retention_until"), today)} for entry in opened.entries(name)]


def pull(name: str, version: str | None = None, *, store: str | Path | Store, to: str | Path,
         key: str | Path | None = None, keys: Path | None = None, progress: Progress | None = None) -> Path:
    """Get a release into ``to/NAME/VERSION`` and return that folder, checked. A folder that is there is checked again.

    ``name`` may be ``NAME@VERSION``; without a version it is the newest one. ``key`` names the publisher: a PEM
    file or ``sha256:...``; without it the key must be ours or in the key home's ``trusted/`` (``keys`` is another
    key home). Raises :class:`UserError` if there is no such release, :class:`VerificationError` if it is not what
    a trusted key signed; then nothing is left behind.
    """
    opened = store if isinstance(store, Store) else Store(store)
    name, version = _resolve(opened, name, version)
    believed = trust(key, keys)
    root = Path(to)
    final = root / name / version
    if final.exists():
        _admit_copy(opened, final, verify(final, key, keys=keys, name=name, version=version), believed)
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=final.parent))  # 0700 and hidden
    except OSError:
        raise UserError("the folder to pull into cannot be written", where=str(root)) from None
    try:
        where = f"{opened.url}/{name}/{version}"
        with storage(opened.url, full=f"free some space, or pull into another folder than {root}"):
            manifest = fetch(opened, name, version, partial, believed, progress or Silent())
        if _expired(manifest.retention_until, datetime.now(UTC).date().isoformat()):
            raise UserError(f"{name} {version} was to be deleted by {manifest.retention_until}", where=where,
                            todo="ask the publisher for a newer version")
        partial.chmod(0o755)
        try:
            os.rename(partial, final)
        except OSError:  # another pull of the same release was faster: what it left must be as good
            _admit_copy(opened, final, verify(final, key, keys=keys, name=name, version=version), believed)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def verify(folder: str | Path, key: str | Path | None = None, *, keys: Path | None = None, name: str | None = None,
           version: str | None = None) -> Checked:
    """Check a release folder: signature, manifest, every file, nothing besides; its version if the folder is called so.

    With ``key`` (a PEM file or ``sha256:...``) the signature must be by that key; without it the result says
    whether the key is trusted here. ``name`` and ``version`` are what the release should be. Raises
    :class:`BrokenRelease` naming each file that was changed, added or is missing, and what else is wrong.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("there is no release", where=str(folder), todo="give the folder that holds manifest.json")
    believed = trust(key, keys)
    paths = {p.relative_to(folder).as_posix(): p for p in walk(folder)}
    for needed in (SIGNATURE, MANIFEST, PUBLIC_KEY):
        if needed not in paths:
            raise BrokenRelease([f"missing: {needed}"], where=str(folder))
    small = {n: _bounded(paths[n].open("rb"), n) for n in (SIGNATURE, MANIFEST, PUBLIC_KEY)}
    statement, signer = _signed(small, believed, str(folder))
    signed = digests(statement)
    found = {n: sha256_file(p) for n, p in paths.items() if n != SIGNATURE}
    problems = [f"changed: {_shown(n)}" for n in sorted(found) if n in signed and found[n] != signed[n]]
    problems += [f"added: {_shown(n)}" for n in sorted(set(found) - set(signed))]
    problems += [f"missing: {_shown(n)}" for n in sorted(set(signed) - set(found))]
    if version is None and VERSION.fullmatch(folder.resolve().name):
        version = folder.resolve().name
    problems += _identity_problems(statement, name, version)
    if problems:
        raise BrokenRelease(problems, where=str(folder))
    manifest = _agree(small[MANIFEST], statement, str(folder))
    return Checked(name=manifest.name, version=manifest.version, created=manifest.created, rows=manifest.rows,
                   bytes=manifest.size, files=len(manifest.files), key_id=signer, trusted=signer in believed,
                   retention_until=manifest.retention_until, manifest_digest=signed[MANIFEST],
                   approvals=desk_rules(statement)[0], approvers=desk_rules(statement)[1])


def _resolve(store: Store, name: str, version: str | None) -> tuple[str, str]:
    name, at, asked = name.partition("@")
    version = version or (asked if at else None)
    entries = store.entries()
    mine = [e for e in entries if e["name"] == name]
    if not mine:
        names = sorted({e["name"] for e in entries})
        raise UserError(f"the store has no release of {name[:100]!r}", where=store.url,
                        todo=f"it has {', '.join(names[:12])}" if names else "it is empty; check the address")
    if version is None:
        given_out = [e for e in mine if not e.get("standing")]
        if not given_out:
            raise UserError(f"no release of {name!r} is given out: the newest, {mine[-1]['version']}, is "
                            f"{_shown(str(mine[-1]['standing']))}", where=store.url,
                            todo="`synth list` shows all of them")
        return name, str(given_out[-1]["version"])
    if version not in [e["version"] for e in mine]:
        newest = ", ".join(e["version"] for e in mine[-5:])
        raise UserError(f"there is no version {version[:40]!r} of {name!r}", where=store.url,
                        todo=f"the newest are {newest}")
    return name, version


def stated(store: Store, name: str, version: str, believed: Trust) -> tuple[dict[str, bytes], dict[str, Any], str]:
    """The small files of a release in a store, what its signature states, and by whose key.

    Raises :class:`VerificationError` if it is not signed by a believed key, or says that it is another release.
    """
    where = f"{store.url}/{name}/{version}"
    small = {}
    for file in (SIGNATURE, PUBLIC_KEY, MANIFEST):
        try:
            small[file] = _bounded(store.open(name, version, file), file)
        except FileNotFoundError:
            raise BrokenRelease([f"missing: {file}"], where=where) from None
    statement, signer = _signed(small, believed, where)
    if signer not in believed:
        raise VerificationError(
            f"{name} {version} is signed by a key that is not trusted here", where=signer,
            todo="compare this name with what the publisher tells you by another way; then give it with --key "
                 f"{signer}, or put the publisher's signing.pub into {believed.source}")
    problems = _identity_problems(statement, name, version)
    if hashlib.sha256(small[MANIFEST]).hexdigest() != digests(statement)[MANIFEST]:
        problems.append(f"changed: {MANIFEST}")
    if problems:
        raise BrokenRelease(problems, where=where)
    return small, statement, signer


def fetch(store: Store, name: str, version: str, partial: Path, believed: Trust, progress: Progress, *,
          admit: bool = True) -> Manifest:
    """Download into ``partial``, checking on the way; returns the manifest.

    Without ``admit`` also what was revoked or still waits for approvals: for those who judge, not for those who use.
    """
    where, problems = f"{store.url}/{name}/{version}", list[str]()
    small, statement, signer = stated(store, name, version, believed)
    manifest = _agree(small[MANIFEST], statement, where)
    if admit:
        standing(store, Release.of(name, version, statement, signer)).admit(where)
    if shutil.disk_usage(partial).free < manifest.size:
        raise UserError(f"{manifest.size:,} bytes are needed and not free", where=str(partial.parent),
                        todo="free some space or pull into another folder")
    done = 0
    with progress.step(f"pull {name} {version}", max(manifest.size, 1)) as step:
        for entry in manifest.files:
            target = partial / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                same = _copy(store.open(name, version, entry.path), target, entry.bytes) == entry.sha256
            except FileNotFoundError:
                raise BrokenRelease([f"missing: {entry.path}"], where=where) from None
            if not same:
                problems.append(f"changed: {entry.path}")
            done += entry.bytes
            step.update(done)
    if problems:
        raise BrokenRelease(problems, where=where)
    for file in (MANIFEST, SIGNATURE):
        (partial / file).write_bytes(small[file])
    return manifest


def _signed(small: dict[str, bytes], believed: Trust, where: str) -> tuple[dict[str, Any], str]:
    """The statement, once its signature was checked with the key that came along, and that key's name."""
    try:
        public = read_public(small[PUBLIC_KEY], PUBLIC_KEY)
    except UserError:
        raise BrokenRelease([f"changed: {PUBLIC_KEY}, which is no public key"], where=where) from None
    signer = key_id(public)
    try:
        statement = open_envelope(small[SIGNATURE], public)
    except VerificationError as error:
        raise BrokenRelease([f"{SIGNATURE} or {PUBLIC_KEY}: {error.what}"], where=where) from None
    if believed.pinned and signer not in believed:
        raise VerificationError(f"the release is signed by another key than the one given ({believed.source})",
                                where=signer, todo="it is not from the publisher you named; do not use it")
    return statement, signer


def _identity_problems(statement: dict[str, Any], name: str | None, version: str | None) -> list[str]:
    is_name, is_version = identity(statement)
    problems = []
    if name is not None and name != is_name:
        problems.append(f"swapped: this is called {name!r}, but what was signed is {is_name[:100]!r}")
    if version is not None and version != is_version:
        problems.append(f"swapped: this is called version {version}, but what was signed is version "
                        f"{_shown(is_version)}")
    return problems


def _shown(text: str) -> str:
    """A name from elsewhere for a terminal: escaped unless it is plain."""
    return text if re.fullmatch(r"[A-Za-z0-9_./ -]{1,200}", text) else ascii(text[:200])


def _agree(manifest_bytes: bytes, statement: dict[str, Any], where: str) -> Manifest:
    """The manifest, once it says the same as the statement."""
    manifest = parse(manifest_bytes)
    listed = {f.path: f.sha256 for f in manifest.files}
    signed = {path: digest for path, digest in digests(statement).items() if path != MANIFEST}
    if listed != signed or (manifest.name, manifest.version) != identity(statement) or PUBLIC_KEY not in listed:
        raise BrokenRelease([f"{MANIFEST} and {SIGNATURE} do not speak of the same files"], where=where)
    return manifest


def _bounded(file: BinaryIO, name: str) -> bytes:
    with file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise BrokenRelease([f"{name} is larger than any release needs"], where=name)
    return data


def _copy(source: BinaryIO, target: Path, size: int, told: Callable[[int], None] = lambda n: None) -> str:
    """Copy at most ``size`` bytes; the digest of what was copied (a longer file gets a digest that fits nothing)."""
    digest, left = hashlib.sha256(), size
    with source, target.open("xb") as writer:
        while block := source.read(min(1 << 20, left + 1)):
            if len(block) > left:
                return "longer than its size in the manifest"
            left -= len(block)
            digest.update(block)
            writer.write(block)
    return digest.hexdigest()


def _admit_copy(store: Store, folder: Path, checked: Checked, believed: Trust) -> None:
    """A folder that was pulled before is given out only if its key is trusted still, and nobody revoked it since."""
    _same(checked, believed, folder)
    standing(store, Release(name=checked.name, version=checked.version, digest=checked.manifest_digest,
                            signer=checked.key_id, needed=checked.approvals,
                            approvers=frozenset(checked.approvers) - {checked.key_id})).admit(str(folder))


def _same(checked: Checked, believed: Trust, folder: Path) -> None:
    """A folder that was pulled before is given out only if its key still is trusted."""
    if checked.key_id not in believed:
        raise VerificationError("this folder is signed by a key that is not trusted here", where=str(folder),
                                todo=f"give its key with --key {checked.key_id} if you know the publisher")


def _expired(until: object, today: str) -> bool:
    return isinstance(until, str) and until < today


__all__ = ["BrokenRelease", "Checked", "SynthError", "list_releases", "pull", "verify"]
