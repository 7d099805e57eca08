"""The listing: one row an image, its columns from a manifest, from the files' paths and from DICOM headers.

A column of the contract comes from exactly one place: the manifest (``pixels.manifest``), a field of the path
(``pixels.pattern``), or the header (the column's ``tag``). The mask of an image, where no manifest names it, is the
file of the same name in a folder ``masks`` or ``labels`` beside ``images``, or beside it as ``NAME_mask``.

The listing is private; :meth:`Listing.source` shows it to the reader of tables without writing it to a disk.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from synth.contract import Contract
from synth.contract.model import Column, IdentifierPolicy, Privacy, Role, Training
from synth.errors import Problems, UserError
from synth.medical.find import below, find, is_dicom
from synth.medical.headers import Header, read_header, unreadable
from synth.medical.pattern import Pattern
from synth.progress import Progress, Silent

PATIENT = "\0patient"  # the entity column of a listing whose contract has none; no contract column is called that
_IMAGES, _MASKS = ("images", "image", "imagesTr", "imgs"), ("masks", "mask", "labels", "labelsTr", "segmentations")
_MARKS = ("_mask", "_seg", "_label", "-mask", "-seg")
_SUFFIX = re.compile(r"(\.nii\.gz|\.[A-Za-z0-9]{1,5})$")


@dataclass(frozen=True)
class Row:
    """One image: its file (or the files of a series), its mask, the texts of its columns."""

    files: tuple[str, ...]
    mask: str | None
    cells: dict[str, str]


@dataclass(frozen=True)
class Listing:
    """All images of an archive that can be tried, and the names and codes of those that cannot."""

    contract: Contract
    root: Path
    rows: tuple[Row, ...]
    refused: tuple[tuple[str, str], ...]  # (file, reason code); private
    counts: dict[str, int] = field(default_factory=dict)  # of files passed over, by reason
    modalities: int = 0  # different ones in the headers
    capped: int = 0  # ages above 89

    @property
    def tried(self) -> int:
        """Images that the archive claims to hold."""
        return len(self.rows) + len(self.refused)

    def take(self, kept: list[int]) -> Listing:
        """The same with some rows only."""
        return replace(self, rows=tuple(self.rows[i] for i in kept))

    def column(self, name: str) -> list[str | None]:
        """The texts of one column, row by row."""
        return [row.cells.get(name) for row in self.rows]

    def patients(self) -> list[str]:
        """A key of each row's patient; rows without one, and rows of a contract without patients, have their own."""
        name = self.contract.entity
        keys = [None] * len(self.rows) if name is None else self.column(name)
        return [f"\0{i}" if key is None or not key.strip() else key for i, key in enumerate(keys)]

    @contextlib.contextmanager
    def source(self, entities: list[str] | None = None) -> Iterator[Contract]:
        """The contract of the listing as a table: a CSV text in this process's memory, gone afterwards.

        ``entities``: keys to use instead of the patients'. The training of the contract is left out: it is
        for images. Errors raised inside name "the table of images" as their place.
        """
        import fsspec
        import pyarrow.csv as arrow_csv

        contract = self.contract
        texts: dict[str, list[str | None]] = {c.name: self.column(c.name) for c in contract.columns}
        if entities is not None:
            name = contract.entity or PATIENT
            texts[name] = list(entities)
            if contract.entity is None:
                key = Column(name=PATIENT, role=Role.IDENTIFIER, privacy=Privacy.DIRECT,
                             generate=IdentifierPolicy.DROP)
                contract = replace(contract, entity=PATIENT, columns=(*contract.columns, key))
        memory, folder = fsspec.filesystem("memory"), f"/listing-{os.urandom(8).hex()}"
        url = f"memory:/{folder}/listing.csv"
        try:
            with memory.open(f"{folder}/listing.csv", "wb") as file:
                arrow_csv.write_csv(pa.table({n: pa.array(t, pa.string()) for n, t in texts.items()}), file)
            yield replace(contract, source=url, source_options=(), training=Training(), pixels=None)
        except Problems as problems:
            raise Problems([_renamed(p, url) for p in problems.problems], shown=problems.shown) from None
        except UserError as error:
            raise _renamed(error, url) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                memory.rm(folder, recursive=True)


def _renamed(error: UserError, url: str) -> UserError:
    path = url.removeprefix("memory:/")
    where = error.where.replace(url, "the table of images").replace(path, "the table of images")
    return UserError(error.what, where=where, todo=error.todo)


def make(contract: Contract, *, progress: Progress | None = None) -> Listing:
    """Everything the contract's archive lists. :class:`Problems` with all that is wrong with it."""
    return _Maker(contract, progress or Silent()).make()


def refuse(contract: Contract) -> list[UserError]:
    """What is wrong with the contract's words on images, before the archive is looked at."""
    pixels = contract.pixels
    if pixels is None:
        return [UserError("the contract has no block on pixels", where=str(contract.path),
                          todo="add `synthesis.pixels` (data_contracts/README.md)")]
    where, found = f"{contract.path}:{pixels.line}", []
    names = {c.name: c for c in contract.columns}
    for name, what in ((pixels.file, "file"), (pixels.mask, "mask")):
        if name is not None and (name not in names or names[name].modelled):
            found.append(UserError(f"the {what} column {name!r} of the pixels is not a described identifier",
                                   where=where, todo="describe it with role identifier and generate: drop"))
        elif name is not None and names[name].generate is not IdentifierPolicy.DROP:
            found.append(UserError(f"the {what} column {name!r} holds the paths of private files", where=where,
                                   todo="give it generate: drop; released files get names of their own"))
    if contract.entity is None and not pixels.each_file_is_a_patient:
        found.append(UserError("no column says which patient an image is of", where=where,
                               todo="name it as `synthesis.entity`; only if every file is of another person, set "
                                    "`eachFileIsAPatient: true` (the report will say so)"))
    if contract.entity is not None and pixels.each_file_is_a_patient:
        found.append(UserError("the contract names the patient and says that each file is one", where=where,
                               todo="keep `synthesis.entity`, or `eachFileIsAPatient`"))
    for column in contract.columns:
        if column.tag is not None and unreadable([column.tag]):
            found.append(UserError(f"column {column.name!r} asks for a tag that is not read from files",
                                   where=f"{contract.path}:{column.line}",
                                   todo="use the keyword of a permitted attribute, e.g. PatientID, PatientAge, "
                                        "PatientSex, StationName; names, dates and free text are never read"))
    return found


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
        rows = [replace(row, cells={**row.cells, **self._facts(headers.get(row.files[0]))}) for row in rows]
        if not rows and not self.refused and not self.problems:
            self.problems.append(UserError("no image is listed", where=self.where, todo="check pattern and manifest"))
        if self.problems:
            raise Problems(self.problems)
        used = {row.files[0] for row in rows}
        return Listing(contract=self.contract, root=self.root, rows=tuple(rows), refused=tuple(self.refused),
                       counts=dict(self.counts),
                       modalities=len({h.modality for n, h in headers.items() if h.modality and n in used}),
                       capped=sum(h.capped for n, h in headers.items() if n in used))

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
            from synth.contract.odcs import did_you_mean

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
                mask = self._mask_of(files[0])
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
        masks = {f: self._mask_of(f) for f in self.files}
        taken = {m for m in masks.values() if m is not None}
        rows = []
        for name, mask in masks.items():
            if name in taken or _is_mask(name):
                continue
            if mask is None:
                self.refused.append((name, "no-mask"))
            else:
                rows.append(Row(files=(name,), mask=mask, cells={self.pixels.file: name, self.pixels.mask: mask}))
        return rows

    def _mask_of(self, name: str) -> str | None:
        """The file beside ``name`` that is its mask by the convention, if there is one."""
        found = _SUFFIX.search(name)
        stem, suffix = (name[:found.start()], found[1]) if found else (name, "")
        folder, _, base = stem.rpartition("/")
        folder = f"{folder}/" if folder else ""
        stems = [f"{folder}{base}{mark}" for mark in _MARKS]
        parts = stem.split("/")
        for i, part in enumerate(parts[:-1]):
            if part in _IMAGES:
                stems += ["/".join([*parts[:i], other, *parts[i + 1:]]) for other in _MASKS]
        for each in stems:
            for end in dict.fromkeys((suffix, ".png", ".nii.gz", ".nii")):
                if f"{each}{end}" in self.known_files:
                    return f"{each}{end}"
        return None

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

    def _facts(self, header: Header | None) -> dict[str, str]:
        if header is None:
            return {}
        return {name: header.facts[tag] for name, tag in self.tags.items() if tag in header.facts}

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


def _is_mask(name: str) -> bool:
    """Whether a file without an image is a mask by its name."""
    parts = PurePosixPath(name).parts
    stem = _SUFFIX.sub("", parts[-1])
    return stem.endswith(_MARKS) or any(p in _MASKS for p in parts[:-1])


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

