"""The embedded scheduler: one Prefect server for this process, on this machine only, gone when it ends.

Prefect would boot a server by itself, but imports the whole server into the caller for it, cannot be started
while the contract is still being read, leaves an orphan behind after ``kill -9``, and answers any user of the
machine. This one is a child with a password of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.home import STARTUP_SECONDS, prepare
from synth.errors import InternalError


@contextlib.contextmanager
def server(workspace: Path, *, long_lived: bool = False) -> Iterator[Callable[[], str]]:
    """Start booting a server; yields a function that waits until it answers and returns its API's URL.

    With ``PREFECT_API_URL`` set, that server is used and none is started. ``long_lived`` switches on the
    services that schedules need. The environment points at the server inside the block, so ``prefect`` must
    be imported inside it, and not before.
    """
    prepare(workspace)
    if given := os.environ.get("PREFECT_API_URL"):
        yield lambda: str(given)
        return
    port, password = free_port(), f"synth:{secrets.token_urlsafe(24)}"
    url = f"http://127.0.0.1:{port}/api"
    ours = {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": password, "PREFECT_SERVER_API_AUTH_STRING": password}
    os.environ.update(ours)
    process = _start(workspace, port, long_lived)
    try:
        yield lambda: _wait(url, process)
    finally:
        for name in ours:
            os.environ.pop(name, None)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()


def _start(workspace: Path, port: int, long_lived: bool) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PREFECT__SERVER_FINAL": "1", "PREFECT_UI_ENABLED": "0"}
    environment.pop("PREFECT_API_URL")
    if not long_lived:
        environment["PREFECT__SERVER_EPHEMERAL"] = "1"
    with (workspace / "prefect" / "server.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--host",
             "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"],
            cwd=workspace / "prefect", env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # Ctrl-C is for us; the server has to hear of it from us, afterwards
            preexec_fn=_die_with_parent if sys.platform == "linux" else None)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: no orphan after kill -9 of the parent


def free_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(url: str, process: subprocess.Popen[bytes], seconds: float = STARTUP_SECONDS) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError), \
                urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            if answer.status == 200:
                return url
        time.sleep(0.1)
    raise InternalError("the scheduler's server did not come up", where="prefect/server.log in the workspace",
                        todo="free some memory or processor time and resume; or add --engine direct")
