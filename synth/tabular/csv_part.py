"""One CSV file, streamed as text; strict about what other readers repair in silence."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv

from synth.errors import UserError
from synth.tabular.part import check_names, open_binary

BLOCK_BYTES = 8 << 20  # a row longer than a block is refused, so a gigabyte-long cell costs a few blocks of memory
_HEADER_BYTES = 1 << 20
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def guess_options(fs: Any, path: str) -> dict[str, str]:
    """Delimiter and encoding of a CSV file, guessed from its first megabyte (for drafting a contract)."""
    with open_binary(fs, path) as file:
        start: bytes = file.read(_HEADER_BYTES)
    if path.lower().endswith((*_CODECS, ".xz", ".zip")):
        return {}
    encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8")
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)
    except UnicodeDecodeError:
        encoding, text = "cp1252", start.decode("cp1252", errors="replace")
    first = text.lstrip("\ufeff").split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)  # the comma wins a tie
    return {"delimiter": delimiter, "encoding": encoding}


class CsvPart:
    """A CSV file (plain or .gz, .bz2, .zst) with a header row."""

    rows: int | None = None

    def __init__(self, fs: Any, path: str, options: dict[str, str]) -> None:
        self.fs, self.path = fs, path
        tabs = path.lower().split(".")[-1] in ("tsv", "tab")
        self.delimiter = {"\\t": "\t", "tab": "\t"}.get(d := options.get("delimiter", "\t" if tabs else ","), d)
        self.encoding = options.get("encoding", "utf8")
        if len(self.delimiter.encode()) != 1:
            raise UserError("the delimiter must be one plain character", where=path, todo="e.g. ';' or '\\t'")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise UserError("the encoding is not known", where=path, todo="use e.g. utf-8, latin-1, cp1252") from None
        self.columns = tuple((name, pa.string()) for name in self._header())

    @contextlib.contextmanager
    def _open(self) -> Iterator[pa.NativeFile]:
        with open_binary(self.fs, self.path) as file:
            stream = pa.PythonFile(file, mode="r")
            codec = next((c for end, c in _CODECS.items() if self.path.lower().endswith(end)), None)
            if codec is None and self.path.lower().endswith((".xz", ".zip")):
                raise UserError("this compression is not read", where=self.path, todo="use .gz, .bz2 or .zst")
            yield pa.CompressedInputStream(stream, codec) if codec else stream

    def _header(self) -> list[str]:
        try:
            with self._open() as stream:
                start = stream.read(_HEADER_BYTES)
        except (pa.ArrowException, OSError, ValueError):
            raise UserError("the file cannot be read or unpacked", where=self.path,
                            todo="check that it is whole, e.g. copy it again") from None
        if not start.strip():
            raise UserError("the file is empty", where=self.path, todo="give a CSV file with a header row")
        for mark, name in _MARKS.items():
            if start.startswith(mark) and not self.encoding.lower().startswith("utf-16"):
                raise UserError("the file is UTF-16", where=self.path, todo=f"set `encoding: {name}` on the server")
        try:
            text = codecs.getincrementaldecoder(self.encoding)().decode(start).removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise self._wrong_encoding() from None
        if "\0" in text[:4096]:
            raise UserError("the file is not text", where=self.path, todo="give CSV or Parquet, and the right encoding")
        try:
            names = next(csv.reader(io.StringIO(text), delimiter=self.delimiter, strict=True), [])
        except csv.Error:
            raise UserError("the header row cannot be read", where=f"{self.path}, row 1",
                            todo="check its quotes and length") from None
        check_names(names, f"{self.path}, row 1")
        return names

    def _wrong_encoding(self) -> UserError:
        return UserError(f"the file is not {self.encoding} text", where=self.path,
                         todo="set `encoding` on the server of the contract, e.g. latin-1 or cp1252")

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Record batches of text; empty cells are null. Ragged rows are counted, then refused."""
        ragged: list[int | None] = []

        def refuse(row: arrow_csv.InvalidRow) -> str:
            ragged.append(row.number)
            return "skip"

        rows = 0
        try:
            with self._open() as stream:
                for batch in self._reader(stream, columns, refuse, threads=True):
                    rows += batch.num_rows
                    if batch.num_rows:
                        yield batch.select(columns)
        except pa.ArrowInvalid as error:
            raise self._explain(str(error), rows) from None
        except UnicodeDecodeError:
            raise self._wrong_encoding() from None
        except (pa.ArrowException, OSError, EOFError):
            raise UserError("the file cannot be read to its end", where=f"{self.path}, after row {rows + 1}",
                            todo="check that it is whole, e.g. copy it again") from None
        if ragged:
            raise UserError(f"{len(ragged)} row{'s have' if len(ragged) > 1 else ' has'} more or fewer cells than the "
                            f"header", where=f"{self.path}, row {self._first_ragged(columns)}",
                            todo="check the delimiter, and quotes around cells that contain it")

    def _reader(self, stream: pa.NativeFile, columns: list[str], refuse: Any, *,
                threads: bool) -> arrow_csv.CSVStreamingReader:
        return arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=threads, encoding=self.encoding),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=refuse,
                ignore_empty_lines=len(self.columns) > 1),  # in a table of one column such a line is a missing cell
            convert_options=arrow_csv.ConvertOptions(
                include_columns=columns, column_types={name: pa.string() for name in columns},
                null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True))

    def _explain(self, message: str, rows: int) -> UserError:
        """Our words for Arrow's; the message itself is not shown, because it may quote cells."""
        place = f"{self.path}, after row {rows + 1}"
        if "straddling" in message or "block" in message:
            return UserError(f"a row is longer than {BLOCK_BYTES >> 20} MB", where=place,
                             todo="look for a quote that is never closed, or a cell that does not belong in a table")
        if "UTF8" in message or "UTF-8" in message:
            return self._wrong_encoding()
        return UserError("the file cannot be read as CSV", where=place, todo="check its delimiter and quotes")

    def _first_ragged(self, columns: list[str]) -> str:
        """Row number (the header is row 1) of the first ragged row, by a second, single-threaded look."""
        found: list[int | None] = []

        def note(row: arrow_csv.InvalidRow) -> str:
            found.append(row.number)
            return "skip"

        with contextlib.suppress(pa.ArrowException, OSError), self._open() as stream:
            for _ in self._reader(stream, columns, note, threads=False):
                if found:
                    break
        return str(found[0]) if found and found[0] is not None else "unknown"
