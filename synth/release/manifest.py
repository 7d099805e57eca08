"""The manifest: every file of a release but itself and the signature, with digest, size and rows.

    {"schema": 1, "name", "version", "created", "synthetic": true, "retention_until": date or null,
     "files": [{"path", "sha256", "bytes", "rows": int or null}, ...]}      sorted by path

A manifest that comes from elsewhere is hostile until its signature was checked and suspect after that:
:func:`parse` refuses paths that leave the folder, are absolute, hidden, odd or doubled, and absurd sizes.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from synth.errors import UserError, VerificationError
from synth.release.published import LISTING
from synth.workspace import sha256_file

MANIFEST = "manifest.json"
SIGNATURE = "provenance.dsse.json"
PUBLIC_KEY = "publisher.pub"
MAX_MANIFEST_BYTES = 64 << 20
MAX_FILES = 200_000
MAX_BYTES = 64 << 40  # of all files together; a larger figure is a mistake or an attack

NAME = re.compile(r"(?!index\.json$)[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
VERSION = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})\.([1-9]\d{0,8})")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file. ``rows`` is ``None`` for files that are not tables."""

    path: str  # relative, with forward slashes
    sha256: str  # hex
    bytes: int
    rows: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A release's list of contents."""

    name: str
    version: str
    created: str  # UTC, ISO 8601
    files: tuple[Entry, ...]
    retention_until: str | None = None  # ISO date
    synthetic: bool = True

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(f.rows or 0 for f in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(f.bytes for f in self.files)

    def to_bytes(self) -> bytes:
        """The manifest file's content."""
        return (json.dumps({"schema": 1, **asdict(self)}, indent=1) + "\n").encode()


def check_name(name: str) -> str:
    """``name`` if it can be a release's name (a folder, a URL part, a Hugging Face dataset)."""
    if not NAME.fullmatch(name):
        raise UserError("a release's name is made of letters, digits, ., - and _, and starts with a letter or a digit",
                        where=f"name {name[:40]!r}")
    return name


def safe_path(path: object) -> str:
    """``path`` if it stays in the folder and is plain: ASCII letters, digits, ``._-``, no hidden part.

    Raises :class:`VerificationError` otherwise.
    """
    if isinstance(path, str) and len(path) <= 500 and all(_PART.fullmatch(part) for part in path.split("/")):
        return path
    raise VerificationError("the manifest names a file outside of the release or with an unsafe name",
                            where=repr(path)[:80], todo="do not use this release; tell its publisher")


def parse(data: bytes) -> Manifest:
    """Read a manifest, refusing anything odd with a :class:`VerificationError`."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise VerificationError("the manifest is larger than any release needs", where=MANIFEST)
    try:
        raw = json.loads(data)
        schema, files = raw["schema"], raw["files"]
        retention, synthetic = raw["retention_until"], raw["synthetic"]
        name, version, created = str(raw["name"]), str(raw["version"]), str(raw["created"])
        entries = tuple(Entry(path=safe_path(f["path"]), sha256=f["sha256"], bytes=f["bytes"], rows=f["rows"])
                        for f in files)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise VerificationError("the manifest cannot be read", where=MANIFEST) from None
    if schema != 1:
        raise VerificationError("the manifest is of a kind that this version does not know", where=MANIFEST,
                                todo="update synth")
    sound = bool(isinstance(files, list) and len(entries) <= MAX_FILES and NAME.fullmatch(name)
                 and VERSION.fullmatch(version) and synthetic is True and (retention is None or _is_date(retention))
                 and all(_is_sound(entry) for entry in entries))
    paths = [e.path.lower() for e in entries]  # lower: no two files fall together on a case-blind disk
    reserved = {MANIFEST, SIGNATURE} & set(paths)
    if not sound or len(set(paths)) != len(paths) or reserved:
        raise VerificationError("the manifest is malformed", where=MANIFEST)
    if sum(e.bytes for e in entries) > MAX_BYTES:
        raise VerificationError("the manifest promises more bytes than any release has", where=MANIFEST)
    return Manifest(name=name, version=version, created=created, files=entries, retention_until=retention)


def build(folder: Path, *, name: str, version: str, created: str, retention_until: str | None) -> Manifest:
    """Read every file of an assembled release (all but the manifest and the signature)."""
    entries = []
    for path in walk(folder):
        relative = path.relative_to(folder).as_posix()
        if relative in (MANIFEST, SIGNATURE):
            continue
        entries.append(Entry(path=safe_path(relative), sha256=sha256_file(path), bytes=path.stat().st_size,
                             rows=_rows(path, folder)))
    return Manifest(name=check_name(name), version=version, created=created, files=tuple(entries),
                    retention_until=retention_until)


def walk(folder: Path) -> list[Path]:
    """Every file below ``folder``, sorted by path; a link or a special file is a :class:`VerificationError`."""
    found = []
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(root) / name
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise VerificationError("a release holds plain files only, this is a link or a special file",
                                        where=str(path))
        found += [Path(root) / name for name in files]
    return sorted(found, key=lambda p: p.relative_to(folder).as_posix())


def _rows(path: Path, folder: Path) -> int | None:
    """Rows of a table of the data set; files that a table above or beside them lists are none of their own."""
    above = [up for up in path.parents if up.is_relative_to(folder)]
    if path.suffix != ".parquet" or (path.name != LISTING and any((up / LISTING).is_file() for up in above)):
        return None
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _is_sound(entry: Entry) -> bool:
    """The types of an entry that came from elsewhere (``bool`` is no count)."""
    counts = [entry.bytes] if entry.rows is None else [entry.bytes, entry.rows]
    return (isinstance(entry.sha256, str) and _DIGEST.fullmatch(entry.sha256) is not None
            and all(type(count) is int and count >= 0 for count in counts))


def _is_date(text: object) -> bool:
    try:
        date.fromisoformat(text)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return False
    return True


def statement_subjects(manifest: Manifest, manifest_digest: str) -> list[dict[str, Any]]:
    """in-toto subjects: the manifest itself, then every file it lists."""
    return [{"name": MANIFEST, "digest": {"sha256": manifest_digest}},
            *({"name": f.path, "digest": {"sha256": f.sha256}} for f in manifest.files)]
