"""A real Prefect server and worker: deployed by ``infra/prefect.yaml``, started by the schedule, released."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pipelines.server import free_port
from synth.workspace import Workspace
from tests.e2e.people import open_gates, plant
from tests.e2e.secrets_scanner import Scanner

ROOT = Path(__file__).resolve().parents[2]
PREFECT = [sys.executable, "-m", "prefect"]


def ask(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def until(what: str, seconds: float, test, alive=()):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert all(process.poll() is None for process in alive), f"{what}: a process ended"
        try:
            if found := test():
                return found
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds} s")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_scheduled_run_through_a_server_and_a_worker(tmp_path):
    planted = plant(tmp_path / "source", gates=open_gates())
    home, port = tmp_path / "prefect", free_port()
    home.mkdir(mode=0o700)
    url = f"http://127.0.0.1:{port}/api"
    settings = dict(line.split("=", 1) for line in (ROOT / "infra" / "worker.env").read_text().splitlines()
                    if line and not line.startswith("#"))
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "SYNTH"))}
    environment = {
        **keep, **settings, "PREFECT_HOME": str(home), "PREFECT_API_URL": url, "PYTHONPATH": str(ROOT),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300", "PREFECT_API_REQUEST_TIMEOUT": "120",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3", "PREFECT_WORKER_QUERY_SECONDS": "2",
        "SYNTH_KEY_HOME": str(tmp_path / "keys"), "OMP_NUM_THREADS": "1", "SYNTH_DEPLOYMENT": "people",
        "SYNTH_CONTRACT": str(planted.contract), "SYNTH_STORE": str(tmp_path / "store"),
        "SYNTH_WORKSPACE": str(tmp_path / "space"), "SYNTH_CRON": "* * * * *",
    }
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> None:
        with (tmp_path / f"{name}.log").open("wb") as log:
            processes.append(subprocess.Popen([*PREFECT, *arguments], cwd=tmp_path, env=environment, stdout=log,
                                              stderr=log))

    def call(*arguments: str) -> None:
        done = subprocess.run([*PREFECT, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True,
                              timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        start("server", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui")
        until("server", 300, lambda: urllib.request.urlopen(f"{url}/health", timeout=5).status == 200, processes)
        call("work-pool", "create", "synth", "--type", "process")
        call("--no-prompt", "deploy", "--prefect-file", str(ROOT / "infra" / "prefect.yaml"), "--all")
        start("worker", "worker", "start", "--pool", "synth")

        def finished():
            runs = ask(f"{url}/flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC", "limit": 1})
            return [r for r in runs if r["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")]

        (run,) = until("scheduled run", 600, finished, processes)
        assert run["auto_scheduled"] is True
        assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
        assert set(run["parameters"]) <= {"contract", "store", "workspace", "device"}
        artifacts = {a["key"] for a in ask(f"{url}/artifacts/filter", {})}
        assert artifacts == {"verdict-people", "report-people"}
        tasks = ask(f"{url}/task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run["id"]]}}})
        assert {t["name"] for t in tasks} >= {"ingest", "split", "fit", "generate", "judge", "publish"}
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    first = Workspace(tmp_path / "space").runs()[0]
    assert first.read()["status"] == "published"
    index = json.loads(next((tmp_path / "store").glob("*.json")).read_text())
    assert [entry["state"] for entry in index["releases"]][:1] == ["published"]
    assert list((tmp_path / "store" / "people").rglob("manifest.json"))
    assert Scanner(planted.secrets).folder(home).found == {}
    for log in ("server.log", "worker.log"):
        scanner = Scanner(planted.secrets)
        scanner.file(tmp_path / log)
        assert scanner.found == {}
