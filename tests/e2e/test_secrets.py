"""A secret planted in every private column is nowhere outside ``private/`` after a full run, however it is coated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synth.workspace import STAGES, Workspace
from tests.e2e.people import open_gates, plant
from tests.e2e.secrets_scanner import Scanner

ROOT = Path(__file__).resolve().parents[2]


def synth(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``synth`` in ``folder``, with everything it could write to below it."""
    places = {name: str(folder / name.lower()) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    for place in places.values():
        Path(place).mkdir(exist_ok=True)
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "SYNTH", "XDG"))}
    return subprocess.run([sys.executable, "-m", "pipelines.cli", *arguments], cwd=folder, text=True,
                          capture_output=True, timeout=500,
                          env={**keep, **places, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
                               "SYNTH_KEY_HOME": str(folder / "keys"), **environment})


@pytest.mark.slow
def test_nothing_private_leaves_private(tmp_path):
    """Published through the scheduler, sampled from, listed, pulled and verified; then every byte is searched."""
    planted = plant(tmp_path / "source", gates=open_gates())
    outputs = [synth(tmp_path, "run", str(planted.contract), "--device", "cpu")]
    assert outputs[0].returncode == 0, outputs[0].stderr
    assert len(outputs[0].stderr.splitlines()) <= 24 and "Traceback" not in outputs[0].stderr
    (run,) = Workspace(tmp_path / ".synth").runs()
    assert list(run.read()["stages"]) == list(STAGES)
    for arguments in [("show", run.id), ("runs",), ("report", run.id), ("list",), ("check", str(planted.contract)),
                      ("sample", run.id, "--rows", "50", "--where", "ill=true", "--out", "more.csv"),
                      ("pull", "people", "--to", "pulled"), ("ledger", "people"), ("key", "keys/signing.pub"),
                      ("init", "source/people.csv", "--name", "drafted")]:
        outputs.append(synth(tmp_path, *arguments))
        assert outputs[-1].returncode == 0, outputs[-1].stderr
    (release,) = (tmp_path / "pulled" / "people").iterdir()
    for arguments in [("verify", str(release)), ("revoke", f"people@{release.name}", "--as", "A. Okafor", "--key",
                                                 "keys/signing.pem", "--reason", "a test")]:
        outputs.append(synth(tmp_path, *arguments))
        assert outputs[-1].returncode == 0, outputs[-1].stderr
    assert (tmp_path / ".store" / ".ledger").is_dir() and (tmp_path / ".store" / ".statements").is_dir()

    private = run.private.relative_to(tmp_path).parts
    inside = Scanner(planted.secrets).folder(run.private)
    assert inside.found, "the scanner finds nothing even where the secrets are"

    def skipped(path: Path) -> bool:
        parts = path.relative_to(tmp_path).parts
        return parts[:len(private)] == private or parts[0] == "source"

    outside = Scanner(planted.secrets).folder(tmp_path, skip=skipped)
    report = run.private / "judge"  # what a reviewer is shown is outside, wherever it lies
    outside.folder(report)
    for output in outputs:
        outside.bytes((output.stdout + output.stderr).encode(), f"output of {output.args[3:]}")
    assert outside.files > 20  # the store, the pulled copy, the scheduler's home, the report, the record
    assert outside.found == {}


@pytest.mark.slow
def test_errors_carry_no_secret_either(tmp_path):
    """Every stage is made to fail over the data it holds; terminal, record and scheduler stay clean."""
    planted = plant(tmp_path / "source")
    table = (tmp_path / "source" / "people.csv").read_text().splitlines()
    table[9] = table[9].rsplit(",", 2)[0] + ",NOTANUMBER-Secret991,true"
    (tmp_path / "source" / "people.csv").write_text("\n".join(table) + "\n")
    done = synth(tmp_path, "run", str(planted.contract), "--device", "cpu")
    assert done.returncode == 2, done.stderr
    assert "income" in done.stderr and "Traceback" not in done.stderr
    (run,) = Workspace(tmp_path / ".synth").runs()
    private = run.private
    outside = Scanner([*planted.secrets, b"NOTANUMBER-Secret991"]).folder(
        tmp_path, skip=lambda p: private in [p, *p.parents] or (tmp_path / "source") in [p, *p.parents])
    outside.bytes((done.stdout + done.stderr).encode(), "output")
    assert outside.found == {}
