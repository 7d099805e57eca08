from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def example() -> ModuleType:
    """The made-up report of ``example.py``, loaded by path (tests are no package)."""
    path = Path(__file__).parents[1] / "validators" / "report" / "example.py"
    spec = importlib.util.spec_from_file_location("report_example", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
