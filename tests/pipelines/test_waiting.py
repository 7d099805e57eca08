"""On a busy machine threads do not spin for long while they wait: what that is worth is in LOG.md."""

import os
import subprocess
import sys

import pytest

ASK = ("import os; os.getloadavg = lambda: ({load}, 0.0, 0.0); import pipelines.cli, sys; "
       "print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))")


@pytest.mark.parametrize("load, said, expected", [
    (99.0, {}, "1000"), (0.01, {}, "None"), (99.0, {"GOMP_SPINCOUNT": "7"}, "7"),
    (99.0, {"OMP_WAIT_POLICY": "ACTIVE"}, "None")])
def test_it_is_set_before_torch_is_loaded_and_what_a_person_said_wins(load: float, said: dict[str, str],
                                                                      expected: str) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    found = subprocess.run([sys.executable, "-c", ASK.format(load=load)], env={**kept, **said}, capture_output=True,
                           text=True, check=True).stdout.split()
    assert found == ["False", expected]
