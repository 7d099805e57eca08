"""Putting a listing together: its columns from a manifest, from the files' paths and from DICOM headers.

A column of the contract comes from exactly one place: the manifest (``pixels.manifest``), a field of the path
(``pixels.pattern``), or the header (the column's ``tag``). Paths of images are found, or stand in the manifest;
masks are told by :mod:`.masks` where no manifest names them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from synth.contract import Contract
from synth.contract.odcs import did_you_mean
from synth.errors import Problems, UserError
from synth.medical.find import below, find, is_dicom
from synth.medical.headers import Header, read_header
from synth.medical.listing import Listing, Row
from synth.medical.masks import is_mask, mask_of
from synth.medical.pattern import Pattern
from synth.medical.rules import refuse
from synth.progress import Progress, Silent

MOST_FRAMES = 10_000  # a header may claim any number; reading says what is wrong with the file


def make(contract: Contract, *, progress: Progress | None = None) -> Listing:
    """Everything the contract's archive lists. :class:`Problems` with all that is wrong with it."""
    return _Maker(contract, progress or Silent()).make()


class _Maker:
    """Puts a listing together; collects the problems on the way."""

    def __init__(self, contract: Contract, progress: Progress) -> None:
        if problems := refuse(contract):
            raise Problems(problems)
        assert contract.pixels is not None
        self.contract, self.pixels, self.progress = contract, contract.pixels, progress
        self.where = f"{contract.path}:{self.pixels.line}"
        self.tags = {c.name: c.tag for c in contract.columns if c.tag is not None}
        self.problems: list[UserError] = []
        self.refused: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()

    def make(self) -> Listing:
        found = find(self.contract.source)
        self.root, self.files, self.known_files = found.root, list(found.files), set(found.files)
        if found.others:
            self.counts["other files"] = found.others
        pattern = Pattern(self.pixels.pattern, self.where) if self.pixels.pattern else None
        manifest = self._manifest()
        self._places(pattern, manifest)
        if self.problems:
            raise Problems(self.problems)
        rows = self._listed(manifest) if manifest is not None else self._found()
        if pattern is not None:
            rows = self._placed(rows, pattern, strict=manifest is not None)
        headers = self._headers(rows)
        if self.pixels.volumetric:
            rows = self._volumes(rows, headers, pattern)
        else:
            rows = [replace(row, frame=frame) for row in rows for frame in self._frames(row, headers)]
        rows = [self._told(row, headers.get(row.files[0])) for row in rows]
        if not rows and not self.refused and not self.problems:
            self.problems.append(UserError("no image is listed", where=self.where, todo="check pattern and manifest"))
        if self.problems:
            raise Problems(self.problems)
        used = {row.files[0] for row in rows}
        return Listing(contract=self.contract, root=self.root, rows=tuple(rows), refused=tuple(self.refused),
                       counts=dict(self.counts),
                       modalities=len({h.modality for n, h in headers.items() if h.modality and n in used}),
                       capped=sum(h.capped for n, h in headers.items() if n in used),
                       framed=sum(row.frame == 0 for row in rows))

    def _manifest(self) -> pa.Table | None:
        if self.pixels.manifest is None:
            return None
        from synth.tabular.source import open_source

        path = below(self.root, self.pixels.manifest)
        if path is None or not path.is_file():
            raise UserError("the manifest is not there", where=self.where, todo="give its path below the data folder")
        options = tuple(o for o in self.contract.source_options if o[0] in ("delimiter", "encoding"))
        opened = open_source(str(path), options)
        table = pa.Table.from_batches(list(opened.batches()), pa.schema(list(opened.columns)))
        if not table.num_rows:
            raise UserError("the manifest has no rows", where=self.where, todo="give a manifest that lists the images")
        if self.pixels.file not in table.column_names:
            raise UserError(f"the manifest has no column {self.pixels.file!r} with the images' paths", where=self.where,
                            todo=did_you_mean(self.pixels.file, table.column_names))
        return table

    def _places(self, pattern: Pattern | None, manifest: pa.Table | None) -> None:
        """Every column of the contract comes from one place, and every place is described."""
        described = {c.name: c for c in self.contract.columns}
        listed = [] if manifest is None else list(manifest.column_names)
        fields = [] if pattern is None else pattern.fields
        for name in [*listed, *fields]:
            if name not in described:
                kind = "the manifest" if name in listed else "the path pattern"
                self.problems.append(UserError(
                    f"column {name!r} of {kind} is not in the contract", where=self.where,
                    todo="describe it; a column that must stay out gets role text with generate: drop"))
        for name, column in described.items():
            places = (name in listed) + (name in fields) + (name in self.tags)
            implied = [] if manifest is not None else [self.pixels.file]
            implied += [self.pixels.mask] if self.pixels.mask and self.pixels.mask not in listed else []
            if name in implied:
                if places:
                    self.problems.append(UserError(f"column {name!r} holds paths, which are found, not read",
                                                   where=f"{self.contract.path}:{column.line}",
                                                   todo="take it out of the pattern, and remove its tag"))
            elif places == 0:
                self.problems.append(UserError(
                    f"column {name!r} is in the contract but nowhere in the data",
                    where=f"{self.contract.path}:{column.line}",
                    todo="it has to be a column of the manifest, a {field} of the pattern, or have a tag"))
            elif places > 1:
                self.problems.append(UserError(f"column {name!r} comes from more than one place",
                                               where=f"{self.contract.path}:{column.line}",
                                               todo="keep one of manifest, pattern and tag"))

    def _listed(self, manifest: pa.Table) -> list[Row]:
        """Rows of the manifest whose file is there; names with tricks and files listed twice are refused."""
        texts = {name: _texts(manifest.column(name)) for name in manifest.column_names}
        names = [(n or "").strip().removeprefix("./") for n in texts[self.pixels.file]]
        masks = [(n or "").strip().removeprefix("./") for n in texts[self.pixels.mask]] \
            if self.pixels.mask in texts else None
        tricks = sum(bool(n) and below(self.root, n) is None for n in [*names, *(masks or [])])
        if tricks:
            self.problems.append(UserError(f"{tricks} paths of the manifest are absolute or lead out of the data "
                                           "folder", where=self.where, todo="give paths below the data folder"))
        twice = sum(times - 1 for name, times in Counter(names).items() if name and times > 1)
        if twice:
            self.problems.append(UserError(f"{twice} rows of the manifest name a file that another row names, too",
                                           where=self.where, todo="keep one row a file"))
        if self.problems:
            raise Problems(self.problems)
        rows = []
        for i, name in enumerate(names):
            cells = {n: t[i] or "" for n, t in texts.items()}
            files = self._files_of(name)
            mask: str | None = (masks[i] or None) if masks is not None else None
            if masks is None and self.pixels.mask is not None and files:
                mask = mask_of(files[0], self.known_files)
            if not files:
                self.refused.append((name, "missing"))
            elif self.pixels.mask is not None and (mask is None or not (self.root / mask).is_file()):
                self.refused.append((name, "no-mask"))
            else:
                rows.append(Row(files=files, mask=mask, cells=cells))
        used = {f for row in rows for f in row.files} | {row.mask for row in rows}
        unlisted = len(self.known_files - used - {n for n, _ in self.refused})
        if unlisted:
            self.counts["images that the manifest does not list"] = unlisted
        return rows

    def _files_of(self, name: str) -> tuple[str, ...]:
        """The file of a manifest's row, or the DICOM files of the folder it names (volumes)."""
        if not name:
            return ()
        path = self.root / name
        if path.is_file():
            return (str(PurePosixPath(name)),)
        if self.pixels.volumetric and path.is_dir():
            prefix = f"{PurePosixPath(name)}/"
            return tuple(f for f in self.files if f.startswith(prefix) and is_dicom(self.root / f))
        return ()

    def _found(self) -> list[Row]:
        """A row for every image file that is not the mask of another one."""
        if self.pixels.mask is None:
            return [Row(files=(f,), mask=None, cells={self.pixels.file: f}) for f in self.files]
        masks = {f: mask_of(f, self.known_files) for f in self.files}
        taken = {m for m in masks.values() if m is not None}
        rows = []
        for name, mask in masks.items():
            if name in taken or is_mask(name):
                continue
            if mask is None:
                self.refused.append((name, "no-mask"))
            else:
                rows.append(Row(files=(name,), mask=mask, cells={self.pixels.file: name, self.pixels.mask: mask}))
        return rows

    def _placed(self, rows: list[Row], pattern: Pattern, *, strict: bool) -> list[Row]:
        """Rows with the columns of their path; files that do not fit the pattern are left out and counted."""
        placed = []
        for row in rows:
            cells = pattern.match(row.files[0])
            if cells is not None:
                placed.append(replace(row, cells={**row.cells, **cells}))
            elif strict:
                self.refused.append((row.files[0], "pattern"))
            else:
                self.counts["images that do not fit the pattern"] += 1
        if not placed:
            self.problems.append(UserError(f"none of the {len(rows)} images fits the path pattern", where=self.where,
                                           todo="compare it with a path below the data folder"))
        return placed

    def _headers(self, rows: list[Row]) -> dict[str, Header]:
        """Headers of the DICOM files among the rows (all of them: they hold facts, modality or series)."""
        names = [f for row in rows for f in row.files]
        wanted = sorted(set(self.tags.values()))
        headers = {}
        with self.progress.step("read the headers", max(len(names), 1)) as step:
            for i, name in enumerate(names):
                if is_dicom(self.root / name) and (header := read_header(self.root / name, wanted)) is not None:
                    headers[name] = header
                step.update(i + 1)
        return headers

    def _told(self, row: Row, header: Header | None) -> Row:
        """The row with what its header says."""
        if header is None or not header.size[0]:
            return replace(row, readable=not is_dicom(self.root / row.files[0]))
        return replace(row, cells={**row.cells, **{name: header.facts[tag] for name, tag in self.tags.items()
                                                   if tag in header.facts}})

    def _frames(self, row: Row, headers: dict[str, Header]) -> list[int | None]:
        """The frames of a row's file that are images of their own; ``[None]``: the file is one image."""
        header = headers.get(row.files[0])
        return [None] if header is None or header.frames <= 1 else [*range(min(header.frames, MOST_FRAMES))]

    def _volumes(self, rows: list[Row], headers: dict[str, Header], pattern: Pattern | None) -> list[Row]:
        """Slices of one series become one row; localizers are left out, a folder with several series is refused."""
        volumes: list[Row] = []
        series: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            if len(row.files) > 1:  # a folder that the manifest names
                kept = tuple(f for f in row.files if f not in headers or not headers[f].localizer)
                if len({headers[f].series for f in kept if f in headers}) > 1:
                    self.refused.append((row.files[0], "several-series"))
                elif kept:
                    volumes.append(replace(row, files=kept))
                continue
            header = headers.get(row.files[0])
            if header is None or header.frames > 1 or not header.series:
                volumes.append(row)
            elif header.localizer:
                self.counts["localizers"] += 1
            else:
                series[header.series].append(row)
        for slices in series.values():
            files = tuple(f for row in slices for f in row.files)
            cells = slices[0].cells
            fields = [] if pattern is None else pattern.fields
            if any(row.cells.get(n) != cells.get(n) for row in slices for n in fields):
                self.refused.append((files[0], "series-in-two-places"))
            else:
                volumes.append(Row(files=files, mask=slices[0].mask, cells=cells))
        return sorted(volumes, key=lambda row: row.files)


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """Any column as text, as a CSV of it would hold it."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return [None] * len(column)
    array = column.combine_chunks()
    array = array.dictionary_decode() if pa.types.is_dictionary(column.type) else array
    if pa.types.is_floating(kind):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, kind), array)
        whole = pc.all(pc.equal(pc.floor(array), array), min_count=0).as_py()
        if whole and kind != pa.float16():  # 61.0 is how a frame with gaps prints 61
            array = array.cast(pa.int64(), safe=False)
    texts: list[str | None] = array.cast(pa.string()).to_pylist()
    return texts
