"""The workspace of a run: the only interface between stages.

    WORKSPACE/                       0700, chosen with --workspace (default .synth/)
      runs/RUN_ID/
        run.json                     contract digest, seed, stage records: value-free, may be shown
        private/                     0700: everything derived from private rows
          STAGE/...                  artefacts of a stage
          log.txt                    tracebacks
        release/                     written by the publish stage alone
        lock                         held while a process works on the run

A stage writes into ``private/STAGE.partial``, which becomes ``private/STAGE`` in one rename when it
finished, together with a record in ``run.json``: a kill at any moment leaves either the whole stage or
none of it. Records hold the digests of the artefacts, so a resumed run notices a changed file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synth.errors import UserError

STAGES = ("ingest", "split", "fit", "generate", "judge", "publish")


def scratch(stage_folder: Path, stage: str) -> Path:
    """A private folder that ``stage`` may keep things in while it runs: it survives an interruption, not the stage.

    ``stage_folder`` is the folder of any other stage of the run.
    """
    return stage_folder.parent / f"{stage}.partial" / "checkpoint-scratch"


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(data, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


@dataclass(frozen=True)
class Run:
    """One run's folder. Everything in ``record`` is value-free."""

    folder: Path

    @property
    def id(self) -> str:
        """The run's name, e.g. ``cps-20261121T235500-1a2b``."""
        return self.folder.name

    @property
    def private(self) -> Path:
        """The private half (0700)."""
        return self.folder / "private"

    @property
    def release(self) -> Path:
        """The half that may leave."""
        return self.folder / "release"

    @property
    def private_log(self) -> Path:
        """Tracebacks, which may quote values."""
        return self.private / "log.txt"

    def read(self) -> dict[str, Any]:
        """The run's record."""
        try:
            return json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"there is no run {self.id!r}", where=str(self.folder.parent),
                            todo="`synth runs` lists the runs of a workspace") from None

    def update(self, **fields: Any) -> None:
        """Merge ``fields`` into the record."""
        write_json(self.folder / "run.json", {**self.read(), **fields})

    def stage_folder(self, stage: str) -> Path:
        """Where a finished stage's artefacts are."""
        return self.private / stage

    def done(self, stage: str) -> dict[str, Any] | None:
        """The record of a finished stage whose artefacts are all still there unchanged, else None."""
        record = self.read()["stages"].get(stage)
        if record is None:
            return None
        for name, digest in record["artefacts"].items():
            path = self.stage_folder(stage) / name
            if not path.is_file() or sha256_file(path) != digest:
                return None
        return record

    def forget(self, stage: str) -> None:
        """Have a finished stage done again; what comes after it follows."""
        stages = self.read()["stages"]
        self.update(stages={name: record for name, record in stages.items() if name != stage})

    @contextlib.contextmanager
    def stage(self, stage: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Work on a stage: yields (folder to write into, record to fill); both become visible on success.

        Files named ``checkpoint*`` in the folder survive an interruption and are found again.
        """
        partial, final = self.private / f"{stage}.partial", self.stage_folder(stage)
        if partial.exists():
            for path in partial.iterdir():
                if not path.name.startswith("checkpoint"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        partial.mkdir(mode=0o700, parents=True, exist_ok=True)
        start, record = time.monotonic(), dict[str, Any]()
        yield partial, record
        for path in partial.glob("checkpoint*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        artefacts = {str(p.relative_to(partial)): sha256_file(p) for p in sorted(partial.rglob("*")) if p.is_file()}
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
        stages = self.read()["stages"]
        stages[stage] = {**record, "artefacts": artefacts, "seconds": round(time.monotonic() - start, 3),
                         "finished": now()}
        self.update(stages=stages)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One process at a time; a second one gets a :class:`UserError` at once."""
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(f"run {self.id!r} is being worked on by another process",
                                where=str(self.folder), todo="wait for it, or stop it first") from None
            yield


def now() -> str:
    """UTC time in ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Workspace:
    """A folder of runs."""

    folder: Path

    def new_run(self, name: str, *, contract_digest: str, seed: int, **fields: Any) -> Run:
        """Make the folders of a new run and its first record."""
        root = self.folder / "runs"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.mkdir(mode=0o700, exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        while True:
            folder = root / f"{name}-{stamp}-{os.urandom(2).hex()}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                break
        run = Run(folder)
        run.private.mkdir(mode=0o700)
        write_json(folder / "run.json", {"id": run.id, "name": name, "created": now(), "seed": seed,
                                         "contract_digest": contract_digest, "status": "running",
                                         "stages": {}, **fields})
        return run

    def run(self, run_id: str) -> Run:
        """An existing run; a :class:`UserError` if there is none (or if the id is a path)."""
        if "/" in run_id or run_id in ("", ".", ".."):
            raise UserError("a run is named by its id, not by a path", todo="`synth runs` lists the runs")
        run = Run(self.folder / "runs" / run_id)
        run.read()
        return run

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        root = self.folder / "runs"
        found = [Run(p) for p in root.iterdir() if (p / "run.json").is_file()] if root.is_dir() else []
        return sorted(found, key=lambda r: r.read()["created"])
