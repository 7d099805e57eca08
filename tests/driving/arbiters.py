"""Readers of other people, in an environment of their own: ``SYNTH_ARBITERS`` names its Python.

    python -m venv arbiters
    arbiters/bin/pip install commonroad-io==2024.3 commonroad-drivability-checker==2025.4.0 \
        asam-qc-openscenarioxml==1.0.0 asam-qc-opendrive==1.0.0
    arbiters/bin/pip install "numpy<2" "pandas<3" "pyarrow<22" rich universal-pathlib pyproj polars pillow numba \
        matplotlib "opencv-python-headless<4.12"
    arbiters/bin/pip install --no-deps av2==0.3.6          # without torch, which its readers do not need

They pin numpy and protobuf to versions that this project cannot have beside its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("SYNTH_ARBITERS", "")
needs_arbiters = pytest.mark.skipif(not Path(PYTHON).is_file(), reason="SYNTH_ARBITERS does not name a Python")


def commonroad(paths: list[Path], *, feasibility: int = 0) -> list[dict[str, Any]]:
    """What ``commonroad-io`` reads and its drivability checker says of each file.

    ``feasibility``: of so many obstacles of the first file, whether a kinematic single track car can drive them.
    """
    return _asked("arbiter_commonroad.py", feasibility, *paths)


def argoverse2(paths: list[Path]) -> list[dict[str, Any]]:
    """What the ``av2`` package reads of each scenario and its map."""
    return _asked("arbiter_argoverse2.py", *paths)


def _asked(script: str, *said: object) -> list[dict[str, Any]]:
    done = subprocess.run([PYTHON, str(Path(__file__).with_name(script)), *map(str, said)], capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return list(json.loads(done.stdout.splitlines()[-1]))


def asam(path: Path, folder: Path) -> tuple[int, int, list[str]]:
    """(checks completed, checks, issues) of the ASAM checker of a file's kind."""
    bundle, tool = ("xoscBundle", "qc_openscenario") if path.suffix == ".xosc" else ("xodrBundle", "qc_opendrive")
    config, result = folder / f"{path.name}.config.xml", folder / f"{path.name}.xqar"
    config.write_text(f'<Config><Param name="InputFile" value="{path}"/><CheckerBundle application="{bundle}">'
                      f'<Param name="resultFile" value="{result}"/></CheckerBundle></Config>', encoding="utf-8")
    done = subprocess.run([str(Path(PYTHON).with_name(tool)), "-c", str(config)], capture_output=True, text=True,
                          timeout=300, check=False, cwd=folder)
    assert result.is_file(), done.stderr[-2000:]
    text = result.read_text(encoding="utf-8")
    statuses = re.findall(r'<Checker [^>]*?status="(\w+)"', text)
    return statuses.count("completed"), len(statuses), re.findall(r'<Issue [^>]*description="([^"]*)"', text)
