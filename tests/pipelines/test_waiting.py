"""Threads do not spin for long while they wait: what a busy machine makes of it is in LOG.md."""

import os
import subprocess
import sys

import pytest

ASK = "import pipelines.cli, sys, os; print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize("said, expected", [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"),
                                            ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")])
def test_it_is_set_before_torch_is_loaded_and_what_a_person_said_wins(said: dict[str, str], expected: str) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    found = subprocess.run([sys.executable, "-c", ASK], env={**kept, **said}, capture_output=True, text=True,
                           check=True).stdout.split()
    assert found == ["False", expected]
