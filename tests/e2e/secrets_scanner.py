"""Looks for secrets in everything a run leaves behind, the way a curious person would: after decoding.

A needle is bytes. A haystack is a folder or some bytes; it is searched as it is and then, recursively, after
undoing what hides text without hiding it: base64, hex, gzip, zlib, zip, tar, pickle (read with ``pickletools``,
never loaded), HTML entities, URL quoting, JSON escapes, UTF-16, PNG text chunks, Parquet (every cell, the
metadata, the statistics), SQLite (every column of every table), NumPy arrays and safetensors headers.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import io
import json
import pickletools
import re
import sqlite3
import struct
import tarfile
import tempfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

DEPTH = 6
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}(?:\r?\n[A-Za-z0-9+/_-]{4,}={0,2})*")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){12,}")


@dataclass
class Scanner:
    """Finds ``needles``; ``found`` maps each one that was found to the places."""

    needles: list[bytes]
    found: dict[bytes, list[str]] = field(default_factory=dict)
    files: int = 0
    _seen: set[int] = field(default_factory=set)
    _wide: dict[bytes, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.needles = list(dict.fromkeys(self.needles))

    def _coats(self) -> list[tuple[bytes, bytes]]:
        """Each needle as it is and in wide characters (cheaper than decoding every haystack)."""
        if len(self._wide) != len(self.needles):
            self._wide = {}
            for needle in self.needles:
                text = needle.decode("utf-8", errors="replace")
                wide = [] if "\ufffd" in text else [text.encode(e) for e in ("utf-16-le", "utf-16-be", "utf-32-le")]
                self._wide[needle] = [needle, *wide]
        return [(needle, coat) for needle, coats in self._wide.items() for coat in coats]

    def folder(self, root: Path, *, skip: Callable[[Path], bool] = lambda path: False) -> Scanner:
        """Search the names and contents of every file below ``root`` that is not skipped."""
        for path in sorted(root.rglob("*")):
            if skip(path):
                continue
            self.bytes(str(path.relative_to(root)).encode(), f"name of {path}")
            if path.is_file() and not path.is_symlink():
                self.files += 1
                self.file(path)
        return self

    def file(self, path: Path) -> None:
        """Search one file."""
        data = path.read_bytes()
        if data.startswith(b"SQLite format 3\0"):
            for place, cell in _sqlite(path):
                self.bytes(cell, f"{path}:{place}")
        self.bytes(data, str(path))

    def bytes(self, data: bytes, place: str, depth: int = DEPTH) -> None:
        """Search some bytes and everything they decode to."""
        if not data or hash(data) in self._seen:
            return
        self._seen.add(hash(data))
        for needle, coat in self._coats():
            if coat in data:
                self.found.setdefault(needle, []).append(place)
        if depth:
            for how, decoded in decodings(data):
                self.bytes(decoded, f"{place} > {how}", depth - 1)


def decodings(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Everything that ``data`` may be once one layer of encoding is taken off."""
    for how, reader in _CONTAINERS:
        try:
            for part in reader(data):
                yield how, part
        except Exception:  # not of this kind, or damaged
            continue
    for match in _BASE64.finditer(data):
        text = re.sub(rb"\s", b"", match.group()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
        for start in range(4 if len(text) < 4096 else 1):  # it may begin in the middle of other letters
            piece = text[start:]
            try:
                yield "base64", base64.b64decode(piece[: len(piece) // 4 * 4] if len(piece) % 4 == 1
                                                 else piece + b"=" * (-len(piece) % 4))
            except binascii.Error:
                continue
    for match in _HEX.finditer(data):
        yield "hex", binascii.unhexlify(match.group())
    text = data.decode("utf-8", errors="ignore") if len(data) < 32 << 20 else ""
    if "&" in text and (plain := html.unescape(text)) != text:
        yield "html", plain.encode()
    if "%" in text and (plain := urllib.parse.unquote(text)) != text:
        yield "url", plain.encode()
    if "\\u" in text or "\\x" in text or "\\/" in text:
        plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
        plain = re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), plain).replace("\\/", "/")
        yield "escapes", plain.encode("utf-8", errors="ignore")


def _gzip(data: bytes) -> Iterator[bytes]:
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)


def _zlib(data: bytes) -> Iterator[bytes]:
    if data[:1] == b"\x78":
        yield zlib.decompressobj().decompress(data)


def _zip(data: bytes) -> Iterator[bytes]:
    if b"PK\x03\x04" in data:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                yield info.filename.encode() + b"\n" + info.comment
                yield archive.read(info)


def _tar(data: bytes) -> Iterator[bytes]:
    if data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                yield member.name.encode()
                if file := archive.extractfile(member):
                    yield file.read()


def _pickle(data: bytes) -> Iterator[bytes]:
    if data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05":
        for _, argument, _ in pickletools.genops(data):
            if isinstance(argument, str):
                yield argument.encode("utf-8", errors="ignore")
            elif isinstance(argument, bytes | bytearray):
                yield bytes(argument)
            elif isinstance(argument, int | float):
                yield repr(argument).encode()


def _png(data: bytes) -> Iterator[bytes]:
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        at += 12 + size
        if kind in (b"tEXt", b"eXIf"):
            yield body
        elif kind == b"zTXt":
            yield zlib.decompress(body.split(b"\0", 1)[1][1:])
        elif kind == b"iTXt":
            keyword, rest = body.split(b"\0", 1)
            text = rest[2:].split(b"\0", 2)[2]
            yield keyword + b"\n" + (zlib.decompress(text) if rest[:1] == b"\1" else text)


def _parquet(data: bytes) -> Iterator[bytes]:
    if data[:4] != b"PAR1":
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data))
    for key, value in (file.metadata.metadata or {}).items():
        yield key + b"\n" + value
    for group in range(file.metadata.num_row_groups):
        for column in range(file.metadata.num_columns):
            statistics = file.metadata.row_group(group).column(column).statistics
            if statistics is not None and statistics.has_min_max:
                yield f"{statistics.min}\n{statistics.max}".encode()
    table = file.read()
    for name in table.column_names:
        yield "\n".join([name, *map(str, table[name].unique().to_pylist())]).encode("utf-8", errors="ignore")


def _numpy(data: bytes) -> Iterator[bytes]:
    if data[:6] == b"\x93NUMPY":
        import numpy as np

        array = np.load(io.BytesIO(data), allow_pickle=False)
        yield "\n".join(map(str, np.unique(array).tolist())).encode()


def _safetensors(data: bytes) -> Iterator[bytes]:
    if len(data) > 8:
        size = int.from_bytes(data[:8], "little")
        if 2 <= size <= len(data) - 8 and data[8:9] == b"{":
            yield json.dumps(json.loads(data[8:8 + size]), ensure_ascii=False).encode()


_CONTAINERS: list[tuple[str, Callable[[bytes], Iterator[bytes]]]] = [
    ("gzip", _gzip), ("zlib", _zlib), ("zip", _zip), ("tar", _tar), ("pickle", _pickle), ("png", _png),
    ("parquet", _parquet), ("npy", _numpy), ("safetensors", _safetensors),
]


def _sqlite(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every cell of every table, read from a copy together with its write-ahead log."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        for suffix in ("", "-wal"):
            if (source := path.with_name(path.name + suffix)).exists():
                copy.with_name(copy.name + suffix).write_bytes(source.read_bytes())
        connection = sqlite3.connect(copy)
        connection.text_factory = bytes
        for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            name = table.decode()
            try:
                rows = connection.execute(f'select * from "{name}"')
                columns = [c[0] for c in rows.description]
                for row in rows:
                    for column, cell in zip(columns, row, strict=True):
                        if cell is not None:
                            yield f"{name}.{column}", cell if isinstance(cell, bytes) else str(cell).encode()
            except sqlite3.DatabaseError:  # a virtual table of an extension that is not here
                continue
        connection.close()


def numbers(value: float) -> list[bytes]:
    """The ways a number may stand in a text, and as eight bytes of an array."""
    texts = {repr(value), f"{value:.1f}", f"{value:.2f}", f"{value:,.2f}", f"{value:g}"}
    if value == int(value):
        texts |= {str(int(value)), f"{int(value):,}"}
    long = [text.encode() for text in texts if len(re.sub(r"\D", "", text)) >= 6]
    return [*long, struct.pack("<d", value), struct.pack(">d", value)]
