"""The command line in processes of its own: exit codes, one screen an error, kill -9 and other rudeness."""

from __future__ import annotations

import os
import signal
import time

import pytest

from synth.workspace import STAGES, Workspace
from tests.pipelines import fakes

DIRECT = ("--engine", "direct", "--device", "cpu")


def the_run(tmp_path):
    (run,) = Workspace(tmp_path / ".synth").runs()
    return run


def one_screen(text: str) -> bool:
    lines = text.strip().splitlines()
    return 0 < len(lines) <= 24 and "Traceback" not in text


def test_published(synth, contract, tmp_path):
    done = synth("run", str(contract), *DIRECT)
    assert done.returncode == 0
    assert "published" in done.stdout and "report.html" in done.stdout
    run = the_run(tmp_path)
    shown = synth("show", run.id)
    assert "published" in shown.stdout and "fidelity" in shown.stdout
    assert run.id in synth("runs").stdout
    assert synth("report", run.id).stdout.strip().endswith("report.html")


def test_rejected(synth, contract):
    done = synth("run", str(contract), *DIRECT, FAKE_VERDICT="fail")
    assert done.returncode == 3
    assert "fidelity (fail)" in done.stderr and "report.html" in done.stderr and one_screen(done.stderr)


def test_our_fault(synth, contract):
    done = synth("run", str(contract), *DIRECT, FAKE_HOOK="generate:raise")
    assert done.returncode == 1
    assert one_screen(done.stderr) and fakes.SECRET not in done.stderr + done.stdout


def test_a_full_disk(synth, contract, tmp_path):
    done = synth("run", str(contract), *DIRECT, FAKE_HOOK="fit:full")
    assert done.returncode == 2
    assert "disk is full" in done.stderr and "--resume" in done.stderr and fakes.SECRET not in done.stderr
    assert synth("run", "--resume", the_run(tmp_path).id, *DIRECT).returncode == 0


@pytest.mark.parametrize("stage", STAGES)
def test_kill_nine_in_every_stage_then_resume(synth, contract, tmp_path, stage):
    assert synth("run", str(contract), *DIRECT, FAKE_HOOK=f"{stage}:kill").returncode == -signal.SIGKILL
    run = the_run(tmp_path)
    assert list(run.read()["stages"]) == list(STAGES[:STAGES.index(stage)])
    assert not list((tmp_path / ".store").rglob("*.json"))
    assert "stopped" in synth("runs").stdout
    assert synth("run", "--resume", run.id, *DIRECT).returncode == 0
    assert len(list((tmp_path / ".store").rglob("*.json"))) == 1
    assert synth("run", "--resume", run.id, *DIRECT).returncode == 0  # once more changes nothing
    assert len(list((tmp_path / ".store").rglob("*.json"))) == 1
    assert run.read()["attempts"]["number"] == 1


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_hand(synth, contract, tmp_path, sent):
    process = synth("run", str(contract), *DIRECT, wait=False, FAKE_HOOK="fit:sleep")
    while "sleeping" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    run = the_run(tmp_path)
    assert f"--resume {run.id}" in err and one_screen(err)
    assert synth("run", "--resume", run.id, *DIRECT).returncode == 0


def test_two_runs_at_once_and_a_second_hand_on_one(synth, contract, tmp_path):
    first = synth("run", str(contract), *DIRECT, wait=False, FAKE_HOOK="fit:sleep")
    while "sleeping" not in first.stderr.readline():
        assert first.poll() is None
    run = the_run(tmp_path)
    second = synth("run", "--resume", run.id, *DIRECT)
    assert second.returncode == 2 and "another process" in second.stderr
    assert synth("run", str(contract), *DIRECT).returncode == 0
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert synth("run", "--resume", run.id, *DIRECT).returncode == 0
    assert len(list((tmp_path / ".store").rglob("*.json"))) == 2


@pytest.mark.slow
def test_kill_nine_and_ctrl_c_under_the_scheduler(synth, contract, tmp_path):
    process = synth("run", str(contract), "--device", "cpu", wait=False, FAKE_HOOK="fit:sleep")
    while "sleeping" not in (line := process.stderr.readline()):
        assert line, process.communicate()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    run = the_run(tmp_path)
    assert process.returncode == 130 and f"--resume {run.id}" in err, err
    assert "Traceback" not in err
    killed = synth("run", "--resume", run.id, FAKE_HOOK="judge:kill")
    assert killed.returncode == -signal.SIGKILL
    rejected = synth("run", "--resume", run.id, FAKE_VERDICT="fail")
    assert rejected.returncode == 3 and one_screen(rejected.stderr), rejected.stderr
    home = tmp_path / ".synth" / "prefect"
    assert (home / "prefect.db").is_file()
    time.sleep(0.5)
    ours = [p for p in os.listdir("/proc") if p.isdigit() and str(home).encode() in _read(f"/proc/{p}/environ")]
    assert ours == []  # no server is left, of the killed command either


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
