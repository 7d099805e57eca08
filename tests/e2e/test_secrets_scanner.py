"""The scanner itself: it must find a secret under every coat it claims to look under, and find nothing in noise."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import pickle
import random
import sqlite3
import struct
import tarfile
import urllib.parse
import zipfile
import zlib

import pytest

from tests.e2e.secrets_scanner import Scanner, numbers

SECRET = "SENTINEL-ä<&>-93f1"


def _zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.bin", data)
    return out.getvalue()


def _tar(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("inner.bin")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _png(kind: bytes, body: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(kind, body) + chunk(b"IEND", b"")


def _parquet(text: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table({"x": [text]}), out, compression="zstd")
    return out.getvalue()


def _parquet_metadata(text: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({"note": text}), out)
    return out.getvalue()


RAW = SECRET.encode()
COATS = {
    "plain": RAW,
    "base64": b"x = '" + base64.b64encode(b"some words before " + RAW + b" and after") + b"'",
    "base64 for urls": base64.urlsafe_b64encode(b"\xff\xfe\xfb" * 9 + RAW),
    "base64 in lines": base64.encodebytes(b"long " * 40 + RAW),
    "base64 glued to letters": b"prefix" + base64.b64encode(RAW * 2),
    "hex": RAW.hex().encode(),
    "gzip": gzip.compress(RAW),
    "zlib": zlib.compress(RAW),
    "zip": _zip(RAW),
    "tar": _tar(RAW),
    "pickle": pickle.dumps({"rows": [SECRET]}),
    "pickle in base64": base64.b64encode(pickle.dumps([SECRET])),
    "gzip in base64 in zip": _zip(base64.b64encode(gzip.compress(RAW))),
    "html": html.escape(SECRET).encode("ascii", "xmlcharrefreplace"),
    "url": urllib.parse.quote(SECRET).encode(),
    "json": json.dumps({"x": SECRET}).encode(),
    "utf-16": b"\xff\xfe" + SECRET.encode("utf-16-le"),
    "png text": _png(b"tEXt", b"Comment\0" + RAW),
    "png compressed text": _png(b"zTXt", b"Comment\0\0" + zlib.compress(RAW)),
    "png international text": _png(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(RAW)),
    "parquet cell": _parquet(SECRET),
    "parquet metadata": _parquet_metadata(SECRET),
}


@pytest.mark.parametrize("coat", COATS)
def test_finds_it_under(coat, tmp_path):
    (tmp_path / "file.bin").write_bytes(COATS[coat])
    assert RAW in Scanner([RAW]).folder(tmp_path).found


def test_finds_it_in_a_database_and_its_log(tmp_path):
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("pragma journal_mode=wal")
    connection.execute("create table t (x blob)")
    connection.execute("insert into t values (?)", (base64.b64encode(pickle.dumps(SECRET)),))
    connection.commit()
    try:
        assert RAW in Scanner([RAW]).folder(tmp_path).found
    finally:
        connection.close()


def test_finds_it_in_a_file_name(tmp_path):
    (tmp_path / "patient-93f1.txt").write_text("nothing")
    assert Scanner([b"patient-93f1"]).folder(tmp_path).found


@pytest.mark.parametrize("text", ["7654321.25", "7,654,321.25", repr(7654321.25)])
def test_finds_numbers_however_they_are_printed(text):
    scanner = Scanner(numbers(7654321.25))
    scanner.bytes(f"<td>{text}</td>".encode(), "page")
    assert scanner.found


def test_finds_a_number_in_an_array():
    import numpy as np

    out = io.BytesIO()
    np.save(out, np.array([1.0, 7654321.25]))
    scanner = Scanner(numbers(7654321.25))
    scanner.bytes(out.getvalue(), "array")
    assert scanner.found


def test_finds_nothing_where_nothing_is(tmp_path):
    noise = random.Random(0).randbytes(200_000)
    (tmp_path / "noise.bin").write_bytes(noise)
    (tmp_path / "noise.b64").write_bytes(base64.b64encode(noise))
    scanner = Scanner([RAW, *numbers(7654321.25)]).folder(tmp_path)
    assert scanner.found == {} and scanner.files == 2


def test_skips_what_it_is_told_to(tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "x").write_bytes(RAW)
    assert not Scanner([RAW]).folder(tmp_path, skip=lambda p: "private" in p.parts).found
