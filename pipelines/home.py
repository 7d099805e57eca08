"""The process and the scheduler's home: nothing leaves the workspace, nothing calls out.

Prefect decides where it writes and whom it calls from environment variables that it reads once, on import.
So :func:`prepare` must run before the first ``import prefect``; it imports nothing heavy itself.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from synth.errors import InternalError, UserError

STARTUP_SECONDS = 120
"""Time the embedded server gets to come up; Prefect's own 20 s fail on a busy machine."""


def harden() -> None:
    """Files of this process are for its user alone, and a crash writes no memory image."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def use_workspace(folder: Path) -> Path:
    """Make the workspace (0700) and keep temporary files inside it. Returns its absolute path."""
    harden()
    folder = folder.expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        temporary = folder / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        raise UserError("the workspace cannot be written", where=str(folder),
                        todo="choose a folder of yours with --workspace") from None
    os.environ["TMPDIR"] = str(temporary)
    tempfile.tempdir = str(temporary)
    return folder


def environment(workspace: Path) -> dict[str, str]:
    """Prefect's settings for a run that works offline and keeps everything in ``workspace/prefect``.

    Names that the caller's environment already sets win (see :func:`prepare`), except the two telemetry
    switches, the serializer and the home: those are promises, not preferences.
    """
    home = workspace / "prefect"
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        "PREFECT_TASKS_DEFAULT_PERSIST_RESULT": "false",
        "PREFECT_LOGGING_LOG_PRINTS": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(STARTUP_SECONDS),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # our own error screen is enough; the API keeps INFO
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }


FIRM = frozenset({
    "PREFECT_HOME", "PREFECT_PROFILES_PATH", "PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY", "PREFECT_RESULTS_DEFAULT_SERIALIZER",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT", "PREFECT_TASKS_DEFAULT_PERSIST_RESULT", "PREFECT_LOGGING_LOG_PRINTS",
})


def prepare(workspace: Path) -> None:
    """Point Prefect at the workspace. Must run before the first ``import prefect``.

    An existing ``PREFECT_API_URL`` is honoured: flow runs then report there, still without private values.
    """
    if "prefect" in sys.modules:
        if os.environ.get("PREFECT_HOME") == str(workspace / "prefect") or os.environ.get("PREFECT_API_URL"):
            return
        raise InternalError("Prefect was imported before its home was chosen",
                            todo="call pipelines.home.prepare before importing prefect")
    home = workspace / "prefect"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    for name, value in environment(workspace).items():
        if name in FIRM:
            os.environ[name] = value
        else:
            os.environ.setdefault(name, value)


def check_store(store: str) -> str:
    """The store as given if it carries no credentials, else a :class:`UserError` that does not repeat it.

    The address of the store is written into records, reports and the scheduler's database, so a key in it
    would be published. Credentials belong in the environment or the machine's role.
    """
    if "://" not in store:
        return str(Path(store).expanduser().absolute())
    parts = urlsplit(store)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError("the store's URL carries credentials or a query", where="--store",
                        todo="give a plain URL such as s3://bucket/folder and put keys into the environment "
                             "(e.g. AWS_ACCESS_KEY_ID), where they are not recorded")
    return store.rstrip("/")
