from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines import fakes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def plug(monkeypatch):
    return fakes.install(monkeypatch)


@pytest.fixture
def contract(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text("name=tiny")
    return path


@pytest.fixture
def synth(tmp_path):
    """Run ``synth`` with the fakes in a process of its own, in ``tmp_path``."""
    def run(*arguments: str, wait: bool = True, **environment: str):
        code = ("from tests.pipelines import fakes; fakes.install()\n"
                "from pipelines.cli import main; main()")
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
        if not wait:
            return process
        out, err = process.communicate(timeout=180)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return run
