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
