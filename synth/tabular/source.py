"""Where a table is: one file, a folder or a glob of CSV or Parquet files, local or behind any fsspec URL.

Opening a source reads names and types only; :meth:`Source.batches` streams record batches of the columns asked
for. CSV cells come as text, so that nothing about how a value was printed is lost before
:mod:`synth.tabular.ingest` looks at it. Messages name files, columns and row numbers, never a cell: the messages
of Arrow, which quote cells, are not passed on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from synth.errors import UserError
from synth.tabular.csv_part import CsvPart
from synth.tabular.csv_part import guess_options as guess_csv_options
from synth.tabular.parquet_part import ParquetPart
from synth.tabular.part import Part, open_binary

_CSV = (".csv", ".tsv", ".tab", ".txt")
_PARQUET = (".parquet", ".pq")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_KNOWN_OPTIONS = ("format", "delimiter", "encoding", "endpoint_url")


@dataclass
class Source:
    """An opened source. ``rows`` is ``None`` where the format does not say (CSV)."""

    name: str
    columns: tuple[tuple[str, pa.DataType], ...]
    rows: int | None
    text: bool  # CSV: every cell comes as text
    size: int  # bytes of all files, for progress
    parts: list[Part] = field(repr=False)

    @property
    def names(self) -> list[str]:
        """Column names in the order of the first file."""
        return [name for name, _ in self.columns]

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Stream all rows of ``columns`` (default: all), file by file; :class:`UserError` on unreadable data."""
        wanted = self.names if columns is None else columns
        for part in self.parts:
            yield from part.batches(wanted)


def open_source(source: str, options: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> Source:
    """Open a path, folder, glob or fsspec URL.

    ``options``: ``format`` (``csv`` or ``parquet``; default by name and content), ``delimiter`` (default a
    comma, or a tab for .tsv), ``encoding`` (default UTF-8), ``endpoint_url`` (S3).
    """
    chosen = dict(options)
    fs, paths = _locate(source, chosen)
    formats = {path: _format(fs, path, chosen.get("format")) for path in paths}
    if len(set(formats.values())) > 1:
        raise UserError("the folder holds CSV and Parquet files", where=source,
                        todo="keep one format in it, or name the files with a glob such as *.parquet")
    csv = formats[paths[0]] == "csv"
    parts: list[Part] = [CsvPart(fs, p, chosen) if csv else ParquetPart(fs, p) for p in paths]
    first = parts[0]
    for path, part in zip(paths[1:], parts[1:], strict=True):
        if (difference := _difference(first, part)) is not None:
            raise UserError(f"the files of the source differ: {difference}", where=str(path),
                            todo="give all files the same columns and types, or name fewer files")
    counts = [p.rows for p in parts]
    return Source(name=source, columns=first.columns, text=csv, parts=parts,
                  rows=sum(c for c in counts if c is not None) if None not in counts else None,
                  size=sum(int(fs.size(p) or 0) for p in paths))


def guess_options(source: str) -> dict[str, str]:
    """Reading options of a source nobody has described yet: format, and for CSV delimiter and encoding."""
    fs, paths = _locate(source, {})
    if _format(fs, paths[0], None) == "parquet":
        return {"format": "parquet"}
    return {"format": "csv", **guess_csv_options(fs, paths[0])}


def _difference(first: Part, other: Part) -> str | None:
    """What is different in another file of the same folder, in words, or ``None``."""
    mine, theirs = dict(first.columns), dict(other.columns)
    for name in [*mine, *theirs]:
        if name not in theirs or name not in mine:
            return f"column {name!r} is in some of them only"
        if _kind(mine[name]) != _kind(theirs[name]):
            return f"column {name!r} has another type"
    return None


def _kind(kind: pa.DataType) -> str:
    """Types that mix freely between files have one kind."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "floating"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    return str(kind)


def _locate(source: str, options: dict[str, str]) -> tuple[Any, list[str]]:
    """File system and the sorted files of a source."""
    import fsspec

    scheme = re.match(r"([a-z0-9+.-]+)::?(?://)?", source, re.IGNORECASE)
    if "::" in source:
        raise UserError("chained URLs are not read", where=source, todo="give one plain path or URL")
    unknown = [key for key in options if key not in _KNOWN_OPTIONS]
    if unknown:
        raise UserError(f"unknown reading option {unknown[0]!r}", where=source,
                        todo=f"known options: {', '.join(_KNOWN_OPTIONS)}")
    storage = {"endpoint_url": options["endpoint_url"]} if "endpoint_url" in options else {}
    try:
        fs, path = fsspec.core.url_to_fs(source, **storage)
        paths = _expand(fs, path)
    except UserError:
        raise
    except ImportError:
        raise UserError(f"reading {scheme[1] if scheme else 'this'}:// needs a package that is not installed",
                        where=source, todo="install what fsspec needs for it (`pip install synth-pipeline[s3]` for "
                        "s3://, aiohttp for https://)") from None
    except FileNotFoundError:
        paths = []
    except PermissionError:
        raise UserError("the data may not be read", where=source, todo="check permissions and credentials") from None
    except Exception as error:  # any library behind a URL; its message may quote anything
        raise UserError(f"the data cannot be reached ({type(error).__name__})", where=source,
                        todo="check the address, the network and the credentials") from None
    if not paths:
        raise UserError("there is no such file, or nothing in the folder", where=source,
                        todo="check the location of the data in the contract")
    return fs, paths


def _expand(fs: Any, path: str) -> list[str]:
    """Files behind a path: itself, or what a folder or glob holds (hidden files and markers left out)."""
    if fs.isfile(path):
        return [path]
    if any(c in path for c in "*?["):
        found = [p for p in fs.glob(path) if fs.isfile(p)]
        root = re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0]
    elif fs.isdir(path):
        found, root = fs.find(path), path
    else:
        return []
    found = sorted(p for p in found if not _hidden(p[len(root):]) and p.lower().endswith(
        tuple(a + b for a in (*_CSV, *_PARQUET) for b in ("", *_COMPRESSED))))
    if _is_local(fs):
        base = os.path.realpath(root)
        for p in found:
            if os.path.commonpath([base, os.path.realpath(p)]) != base:
                raise UserError("a file of the folder is a link to somewhere outside it", where=str(p),
                                todo="put the file itself into the folder, or give its own path")
    return found


def _hidden(relative: str) -> bool:
    return any(piece.startswith((".", "_")) for piece in relative.split("/") if piece)


def _is_local(fs: Any) -> bool:
    protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
    return protocol in ("file", "local")


def _format(fs: Any, path: str, said: str | None) -> str:
    """``csv`` or ``parquet``: the option, else the content, else the name."""
    if said is not None:
        if said.lower() not in ("csv", "parquet"):
            raise UserError("the format of the data is not known", where=path, todo="use format: csv or parquet")
        return said.lower()
    if path.lower().endswith(_PARQUET):
        return "parquet"
    with open_binary(fs, path) as file:
        return "parquet" if file.read(4) == b"PAR1" else "csv"
