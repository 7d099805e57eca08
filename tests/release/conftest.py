from __future__ import annotations

from pathlib import Path

import pytest

from tests.release.bench_release import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("SYNTH_KEY_HOME", str(tmp_path / "keys"))
    monkeypatch.delenv("SYNTH_SIGNING_KEY", raising=False)
    monkeypatch.delenv("SYNTH_SIGNING_KEY_FILE", raising=False)
    return Bench(tmp_path)
