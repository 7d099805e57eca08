from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines import cli
from synth.workspace import Run, Workspace
from tests.e2e.forks import Forks
from tests.e2e.people import open_gates, plant

DIRECT = ("--engine", "direct", "--device", "cpu")


@dataclass(frozen=True)
class Said:
    """What a command left on the terminal, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def one_screen(self) -> bool:
        """An error of at most 24 lines of a terminal, without a traceback."""
        lines = self.err.strip().splitlines()
        return 0 < len(lines) <= 24 and "Traceback" not in self.err


@pytest.fixture
def synth(tmp_path, monkeypatch):
    """The command line in this process (a new one costs seconds), in ``tmp_path``; undoes what a process keeps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SYNTH_KEY_HOME", str(tmp_path / "keys"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    limit, mask, handler = resource.getrlimit(resource.RLIMIT_CORE), os.umask(0o077), signal.getsignal(signal.SIGTERM)

    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr("sys.argv", ["synth", *map(str, arguments)])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as ending:
                code = ending.code
        return Said(code or 0, out.getvalue(), err.getvalue())

    yield run
    os.umask(mask)
    signal.signal(signal.SIGTERM, handler)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, limit)


@pytest.fixture(scope="session")
def forks():
    """Commands in processes of their own, cheaply."""
    with Forks() as running:
        yield running


@dataclass(frozen=True)
class Finished:
    """A published run that tests look at and never change."""

    folder: Path
    contract: Path
    run: Run


FORMULA = "=WEST(1+1)"
LITTLE = "{recipe: tabular/likelihood, effort: 0.02}"


def little(folder: Path, rows: int = 700) -> Path:
    """A small table in ``folder`` with a contract that is trained on in a moment and passes; returns the contract."""
    contract = plant(folder, rows=rows, gates=open_gates()).contract
    contract.write_text(contract.read_text().replace("{effort: 0.02}", LITTLE))
    return contract


def only_run(folder: Path) -> Run:
    """The one run of the workspace in ``folder``."""
    (run,) = Workspace(folder / ".synth").runs()
    return run


@pytest.fixture(scope="session")
def finished(forks, tmp_path_factory):
    """One real run with seed 7, published; a town of its table has a name that a spreadsheet would run."""
    folder = tmp_path_factory.mktemp("finished")
    contract = little(folder / "source")
    table = contract.parent / "people.csv"
    table.write_text(table.read_text().replace(",west,", f",{FORMULA},"))
    done = forks.run(folder, "run", contract, "--seed", "7", *DIRECT)
    assert done.code == 0, done.err
    return Finished(folder, contract, only_run(folder))
