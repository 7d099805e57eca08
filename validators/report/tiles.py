"""Synthetic images in the report: small PNG files in base64, looked at before they are let onto the page.

Only synthetic images may be shown. A PNG could carry more than its picture (text chunks, metadata, data behind its
end), so each is read chunk by chunk and anything but the picture itself is refused.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Mapping
from typing import Any

WIDEST, TALLEST = 1024, 512  # pixels of one item
LARGEST = 200_000  # letters of base64 of one item
_START = b"\x89PNG\r\n\x1a\n"
_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def size(png: Any) -> tuple[int, int] | None:
    """(width, height) of a base64 PNG that holds a picture and nothing else; ``None`` for anything else."""
    if not isinstance(png, str) or len(png) > LARGEST:
        return None
    try:
        data = base64.b64decode(png, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not data.startswith(_START):
        return None
    at, found, seen = len(_START), (0, 0), list[bytes]()
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        if kind not in _CHUNKS or len(body) != length or at + 12 + length > len(data):
            return None
        if struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] != zlib.crc32(kind + body):
            return None
        if kind == b"IHDR":
            found = struct.unpack(">II", body[:8]) if length == 13 else (0, 0)
        seen.append(kind)
        at += 12 + length
        if kind == b"IEND":
            break
    whole = at == len(data) and seen[:1] == [b"IHDR"] and seen[-1:] == [b"IEND"] and b"IDAT" in seen
    return found if whole and 0 < found[0] <= WIDEST and 0 < found[1] <= TALLEST else None


def clean(picture: Mapping[str, Any]) -> dict[str, Any]:
    """The picture with those of its items that may be shown, and nothing besides."""
    items = [{"label": str(item.get("label", ""))[:120], "png": item["png"]} for item in picture.get("items", [])
             if isinstance(item, Mapping) and size(item.get("png")) is not None]
    return {"kind": "images", "title": str(picture.get("title", ""))[:200], "items": items}


def figure(picture: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the page shows: rows of (label, base64, width, height), or None if nothing is left."""
    rows = [(str(item["label"]), item["png"], *found) for item in picture.get("items", [])
            if (found := size(item.get("png"))) is not None]
    if not rows:
        return None
    return {"kind": "images", "title": str(picture.get("title", "")), "rows": rows, "wide": True,
            "size": sum(len(row[1]) for row in rows)}


def problems(picture: Mapping[str, Any]) -> list[str]:
    """What is wrong with an images picture of a finished report."""
    bad = sum(size(item.get("png")) is None or set(item) != {"label", "png"} for item in picture.get("items", []))
    whole = set(picture) == {"kind", "title", "items"}
    return [] if whole and not bad else [f"{bad} items are not a picture and nothing else"]
