"""Prefect's home and server: offline, in the workspace, with a password, and no orphan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import home
from synth.errors import InternalError

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *arguments: str, **environment: str) -> str:
    keep = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")}
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, text=True, capture_output=True,
                          timeout=180, env={**keep, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_promises_win_over_the_environment_and_preferences_do_not(tmp_path):
    code = ("import sys, json, os; from pathlib import Path; from pipelines.home import prepare\n"
            "prepare(Path(sys.argv[1])); print(json.dumps(dict(os.environ)))")
    found = json.loads(python(code, str(tmp_path), DO_NOT_TRACK="0", PREFECT_SERVER_ANALYTICS_ENABLED="true",
                              PREFECT_HOME="/elsewhere", PREFECT_RESULTS_DEFAULT_SERIALIZER="pickle",
                              PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="DEBUG", PREFECT_API_URL="http://x/api"))
    assert found["DO_NOT_TRACK"] == "1" and found["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert found["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert found["PREFECT_RESULTS_DEFAULT_SERIALIZER"] == "json"
    assert found["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "DEBUG"
    assert found["PREFECT_API_URL"] == "http://x/api"
    assert (tmp_path / "prefect").stat().st_mode & 0o077 == 0


def test_prefect_understands_every_setting(tmp_path):
    """A misspelt name would be ignored in silence."""
    code = ("import sys; from pathlib import Path; from pipelines.home import prepare\n"
            "prepare(Path(sys.argv[1]))\n"
            "from prefect.settings import get_current_settings as get\n"
            "s = get(); print(s.home, s.server.analytics_enabled, s.results.default_serializer,\n"
            "  s.results.persist_by_default, s.tasks.default_persist_result, s.logging.log_prints,\n"
            "  s.server.ephemeral.startup_timeout_seconds, s.cloud.enable_orchestration_telemetry,\n"
            "  s.server.concurrency.lease_storage)")
    assert python(code, str(tmp_path)).split() == [
        str(tmp_path / "prefect"), "False", "json", "False", "False", "False", "120", "False",
        "prefect.server.concurrency.lease_storage.filesystem"]


def test_too_late_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "prefect", object())
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    with pytest.raises(InternalError, match="before its home"):
        home.prepare(tmp_path)


@pytest.mark.slow
def test_the_server_has_a_password_and_the_gpu_limit_is_leased(tmp_path):
    code = """
import os, sys, urllib.request, urllib.error
from pathlib import Path
from pipelines.server import server
from pipelines.home import use_workspace
folder = use_workspace(Path(sys.argv[1]))
with server(folder) as ready:
    url = ready()
    request = urllib.request.Request(url + "/flows/filter", b"{}", {"Content-Type": "application/json"})
    try:
        print(urllib.request.urlopen(request).status)
    except urllib.error.HTTPError as error:
        print(error.code)
    from prefect import flow
    from prefect.client.orchestration import get_client
    from pipelines.flow import GPU_LIMIT, drain, gpu_slot

    def taken():
        with get_client(sync_client=True) as client:
            limit = client.read_global_concurrency_limit_by_name(GPU_LIMIT)
            return limit.limit, limit.active_slots

    @flow(persist_result=False)
    def uses():
        with gpu_slot("cuda"):
            print(*taken())
        print(*taken())
        with gpu_slot("cpu"):
            print(*taken())

    uses()
    drain()
print(sorted(k for k in os.environ if k.startswith("PREFECT_API")))
"""
    assert python(code, str(tmp_path)).split("\n")[:5] == ["401", "1 1", "1 0", "1 0", "[]"]
