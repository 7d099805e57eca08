"""Images read by an ingest that did not get to its end: one growing file of samples and an index beside it.

Only whole entries count: a line of the index is written after its samples, and a sum of them guards against a file
that was cut. Nothing in it is a pickle, and the stage removes both files when it is done.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from synth.contract.pixels import Pixels


@dataclass(frozen=True)
class Prepared:
    """One image in its stored form."""

    pixels: NDArray[np.uint16]  # [channels, *size]
    mask: NDArray[np.uint8] | None  # [*size]
    spacing: tuple[float, ...] | None  # mm between stored samples


@dataclass(frozen=True)
class _Entry:
    code: str  # why the image was put aside; "": it is here
    start: int
    length: int
    spacing: tuple[float, ...] | None


class Cache:
    """A map from a key (hash) to a prepared image or a reason code, on disk at ``path`` + .bin and .jsonl."""

    def __init__(self, path: Path) -> None:
        self._samples = path.with_name(path.name + ".bin").open("a+b")
        self._index = path.with_name(path.name + ".jsonl").open("a+b")
        self._entries: dict[bytes, _Entry] = {}
        self._end = whole = 0
        size = self._samples.seek(0, 2)
        self._index.seek(0)
        for line in self._index:
            try:
                key, code, start, length, check, spacing = json.loads(line)
                entry = _Entry(code, start, length, tuple(spacing) if spacing else None)
            except ValueError:  # the line that was being written when it was interrupted
                break
            if not line.endswith(b"\n") or start + length > size or zlib.crc32(self._read(entry)) != check:
                break
            self._entries[bytes.fromhex(key)] = entry
            self._end, whole = start + length, whole + len(line)
        self._samples.truncate(self._end)
        self._index.truncate(whole)

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._samples.close()
        self._index.close()

    def __len__(self) -> int:
        return len(self._entries)

    def code(self, key: bytes) -> str | None:
        """The reason code of an entry, "" for an image, ``None`` if there is no entry."""
        entry = self._entries.get(key)
        return None if entry is None else entry.code

    def add(self, key: bytes, made: Prepared | str) -> str:
        """Keep a prepared image or a reason code; returns what :meth:`code` says from now on."""
        content, code, spacing = b"", "", None
        if isinstance(made, str):
            code = made
        else:
            content = made.pixels.astype("<u2").tobytes() + (b"" if made.mask is None else made.mask.tobytes())
            spacing = made.spacing
        self._samples.write(content)  # opened to append: always at the end
        self._samples.flush()
        self._entries[key] = _Entry(code, self._end, len(content), spacing)
        line = [key.hex(), code, self._end, len(content), zlib.crc32(content), spacing]
        self._index.write(json.dumps(line).encode() + b"\n")
        self._index.flush()
        self._end += len(content)
        return code

    def get(self, key: bytes, pixels: Pixels) -> Prepared:
        """A prepared image."""
        entry = self._entries[key]
        content = self._read(entry)
        count = pixels.channels * int(np.prod(pixels.size))
        image = np.frombuffer(content, "<u2", count).reshape(pixels.channels, *pixels.size).astype(np.uint16)
        rest = content[2 * count:]
        mask = np.frombuffer(rest, np.uint8).reshape(pixels.size) if rest else None
        return Prepared(pixels=image, mask=mask, spacing=entry.spacing)

    def _read(self, entry: _Entry) -> bytes:
        self._samples.seek(entry.start)
        return self._samples.read(entry.length)
