"""The whole road with its real stages on a small table: repeated, stopped, killed, failed, on a full disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from synth.workspace import STAGES
from tests.e2e.conftest import DIRECT, only_run
from tests.e2e.hooks import SECRET
from tests.e2e.secrets_scanner import Scanner

# What may differ between two runs with one seed: names and times.
PASSING = {"run", "report", "created_at", "seconds"}


def figures(value: Any) -> Any:
    """A report without what may differ."""
    if isinstance(value, dict):
        return {k: figures(v) for k, v in value.items() if k not in PASSING}
    return [figures(v) for v in value] if isinstance(value, list) else value


def releases(folder: Path) -> list[dict[str, Any]]:
    """What the store in ``folder`` shows as published."""
    index = folder / ".store" / "index.json"
    entries = json.loads(index.read_text())["releases"] if index.exists() else []
    return [entry for entry in entries if entry["state"] == "published"]


def test_the_same_seed_and_contract_give_the_same_bytes_and_figures(forks, finished, tmp_path):
    assert forks.run(tmp_path, "run", finished.contract, "--seed", "7", *DIRECT).code == 0
    again, first = only_run(tmp_path), finished.run
    for stage in ("ingest", "split", "fit", "generate"):
        kept = [run.read()["stages"][stage]["artefacts"] for run in (first, again)]
        for artefacts in kept:
            artefacts.pop("history.json", None)  # it has the seconds of each phase
        assert kept[0] == kept[1] and kept[0], stage
    shards = [sorted((run.stage_folder("generate") / "data").iterdir()) for run in (first, again)]
    assert [p.read_bytes() for p in shards[0]] == [p.read_bytes() for p in shards[1]] != []
    said = [json.loads((run.stage_folder("judge") / "report.json").read_text()) for run in (first, again)]
    assert figures(said[0]) == figures(said[1])
    assert len(json.dumps(figures(said[0]))) > 20_000  # there was something to compare


def test_another_seed_gives_another_table(forks, finished, tmp_path):
    assert forks.run(tmp_path, "run", finished.contract, "--seed", "8", *DIRECT, hook="kill:judge").code == -9
    made = [run.read()["stages"]["generate"]["artefacts"]["synthetic.parquet"]
            for run in (finished.run, only_run(tmp_path))]
    assert made[0] != made[1]


def test_stopped_and_killed_in_the_middle_of_every_stage_then_finished(forks, finished, tmp_path):
    """Every way to be stopped in every stage of one run, which in the end is the run that was never stopped."""
    first = True
    for stage in STAGES:
        for hook, code in ((f"kill:{stage}", -signal.SIGKILL), (f"interrupt:{stage}", 130)):
            arguments = ("run", finished.contract, "--seed", "7") if first else ("run", "--resume",
                                                                              only_run(tmp_path).id)
            first = False
            ended = forks.run(tmp_path, *arguments, *DIRECT, hook=hook)
            assert ended.code == code, (hook, ended.err)
            run = only_run(tmp_path)
            assert list(run.read()["stages"]) == list(STAGES[:STAGES.index(stage)]), hook
            assert releases(tmp_path) == [], hook
            if stage == "fit":
                assert list((run.private / "fit.partial").glob("checkpoint*")), "training would begin again"
            if code == 130:
                assert f"--resume {run.id}" in ended.err and "Traceback" not in ended.err
    assert forks.run(tmp_path, "run", "--resume", run.id, *DIRECT).code == 0
    assert len(releases(tmp_path)) == 1
    assert forks.run(tmp_path, "pull", "people", "--to", "pulled").code == 0
    shards = [run.stage_folder("generate") / "data" / "train-00000-of-00001.parquet" for run in (run, finished.run)]
    assert shards[0].read_bytes() == shards[1].read_bytes()
    said = [json.loads((run.stage_folder("judge") / "report.json").read_text()) for run in (run, finished.run)]
    assert [g["findings"] for g in figures(said[0]["gates"])] == [g["findings"] for g in figures(said[1]["gates"])]
    assert run.read()["attempts"]["number"] == 1


def test_a_library_s_error_in_any_stage_says_nothing_of_the_data(forks, finished, tmp_path):
    run = None
    for stage in STAGES:
        arguments = ("run", finished.contract) if run is None else ("run", "--resume", run.id)
        ended = forks.run(tmp_path, *arguments, *DIRECT, hook=f"fail:{stage}")
        run = only_run(tmp_path)
        assert ended.code == 1 and stage in ended.err, (stage, ended.err)
        assert SECRET not in ended.out + ended.err and "Traceback" not in ended.err
        assert len(ended.err.splitlines()) <= 24
    assert run.private_log.read_text().count(SECRET) >= len(STAGES)
    scanner = Scanner([SECRET.encode()]).folder(tmp_path, skip=lambda path: run.private in [path, *path.parents])
    assert scanner.found == {} and scanner.files > 3
    assert releases(tmp_path) == []


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    """``folder`` as a file system of its own."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "synth-test", str(folder)],
                          capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """A file that leaves ``left`` bytes of the disk free."""
    free = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(b"0" * max(0, free.f_bavail * free.f_frsize - left))
    return ballast


def size(folder: Path) -> int:
    """Bytes that the files below ``folder`` take of a disk."""
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in folder.rglob("*") if p.is_file())


def test_a_full_disk_under_the_workspace(forks, finished, tmp_path):
    """Too little room for each stage in turn; with room the same run goes on and is published."""
    with small_disk(tmp_path / ".synth", "64m"):
        (tmp_path / ".synth" / "runs").mkdir(mode=0o700)
        before, arguments = [], ("run", finished.contract, "--seed", "7")
        for stage in ("ingest", "fit", "generate", "judge"):
            ballast = fill(tmp_path / ".synth", size(finished.run.stage_folder(stage)) // 2 + 16_384)
            ended = forks.run(tmp_path, *arguments, *DIRECT)
            ballast.unlink()
            assert ended.code == 2, (stage, ended.err)
            assert "disk is full" in ended.err and "--resume" in ended.err and "Traceback" not in ended.err
            run = only_run(tmp_path)
            assert releases(tmp_path) == []
            before.append(len(run.read()["stages"]))
            arguments = ("run", "--resume", run.id)
        assert forks.run(tmp_path, *arguments, *DIRECT).code == 0
        assert len(releases(tmp_path)) == 1 and before == sorted(before)


def test_a_full_disk_under_the_store(forks, finished, tmp_path):
    with small_disk(tmp_path / "store", "1m"):
        ballast = fill(tmp_path / "store", 32_768)
        order = ("run", finished.contract, "--seed", "7", "--store", "store", *DIRECT)
        ended = forks.run(tmp_path, *order)
        assert ended.code == 2 and "disk is full" in ended.err, ended.err
        assert "no releases" in forks.run(tmp_path, "list", "--store", "store").out
        ballast.unlink()
        assert forks.run(tmp_path, "run", "--resume", only_run(tmp_path).id, *DIRECT).code == 0
        listed = forks.run(tmp_path, "list", "--store", "store").out
        assert len(re.findall(r"^people ", listed, re.MULTILINE)) == 1
