"""Commands in processes of their own without paying for the imports each time.

A server imports what a run needs, computes nothing, and forks once a command; so a command can be killed, stopped or
made to fail like any other process. ``python -m tests.e2e.forks`` is the server; :class:`Forks` talks to it.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = ("torch", "great_expectations", "sklearn.ensemble", "sklearn.neighbors", "scipy.stats", "faker", "fsspec",
             "pyarrow.parquet", "synth.tabular.model", "synth.tabular.plug", "synth.release.publish",
             "validators.expectations", "validators.suite", "validators.leakage", "validators.downstream",
             "validators.fidelity", "validators.diversity", "validators.contract", "validators.report")


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``code`` is negative for the signal that killed it."""

    code: int
    out: str
    err: str


class Forks:
    """A running server; use as a context manager."""

    def __enter__(self) -> Forks:
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "SYNTH"))}
        self.server = subprocess.Popen([sys.executable, "-m", "tests.e2e.forks"], cwd=ROOT, text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env={**keep, "OMP_NUM_THREADS": "1"})
        return self

    def __exit__(self, *_: object) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(30)

    def run(self, folder: Path, *arguments: str | Path, hook: str = "") -> Ended:
        """``synth ARGUMENTS`` in ``folder``, after ``tests.e2e.hooks.HOOK`` (``name`` or ``name:argument``)."""
        assert self.server.stdin is not None and self.server.stdout is not None
        order = {"folder": str(folder), "arguments": [*map(str, arguments)], "hook": hook}
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        code = json.loads(self.server.stdout.readline())
        return Ended(code, *((folder / f".{name}").read_text() for name in ("stdout", "stderr")))


def serve() -> None:
    """Read orders until the other end closes."""
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            _command(Path(order["folder"]), order["arguments"], order["hook"])
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), flush=True)


def _command(folder: Path, arguments: list[str], hook: str) -> None:
    code = 70
    try:
        os.chdir(folder)
        os.environ["SYNTH_KEY_HOME"] = str(folder / "keys")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        for number, name in ((1, ".stdout"), (2, ".stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        from pipelines import cli
        from tests.e2e import hooks

        if hook:
            name, _, argument = hook.partition(":")
            getattr(hooks, name)(*([argument] if argument else []))
        sys.argv = ["synth", *arguments]
        try:
            cli.main()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
