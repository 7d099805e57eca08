import multiprocessing
import os
import signal
import stat
import time

import pytest

from synth.errors import UserError
from synth.workspace import Run, Workspace


@pytest.fixture
def run(tmp_path):
    return Workspace(tmp_path / "ws").new_run("people", contract_digest="d", seed=1)


def test_the_private_half_is_closed_to_others(run):
    for folder in (run.folder, run.private):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_finished_stage_is_found_again_and_a_changed_artefact_is_not(run):
    with run.stage("ingest") as (out, record):
        (out / "table").write_text("x")
        record["rows"] = 3
    assert run.done("ingest")["rows"] == 3
    (run.stage_folder("ingest") / "table").write_text("y")
    assert run.done("ingest") is None


def test_a_failed_stage_leaves_nothing_but_its_checkpoint(run):
    with pytest.raises(RuntimeError), run.stage("fit") as (out, _):
        (out / "checkpoint.safetensors").write_text("step 7")
        (out / "half").write_text("x")
        raise RuntimeError
    assert run.done("fit") is None and not run.stage_folder("fit").exists()
    with run.stage("fit") as (out, _):
        assert sorted(p.name for p in out.iterdir()) == ["checkpoint.safetensors"]
        (out / "model").write_text("done")
    assert list(run.done("fit")["artefacts"]) == ["model"]


def _hold(folder, ready):
    with Run(folder).lock():
        ready.set()
        time.sleep(60)


def test_two_processes_cannot_work_on_one_run_and_a_killed_one_lets_go(run):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(run.folder, ready))
    process.start()
    assert ready.wait(10)
    with pytest.raises(UserError, match="another process"), run.lock():
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with run.lock():
        pass


def test_runs_are_named_by_id_and_never_by_path(tmp_path, run):
    workspace = Workspace(tmp_path / "ws")
    assert [r.id for r in workspace.runs()] == [run.id]
    for bad in ("../people", "", "..", "/etc"):
        with pytest.raises(UserError):
            workspace.run(bad)
    with pytest.raises(UserError, match="no run"):
        workspace.run("people-none")
