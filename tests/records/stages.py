"""The first stages of a road, for tests of what comes after them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synth.contract import Contract
from synth.progress import Silent


def ingested(plug: Any, contract: Contract, folder: Path) -> Path:
    """``folder``, with the stages ``ingest`` and ``split`` in it."""
    for stage in ("ingest", "split"):
        (folder / stage).mkdir()
    plug.ingest(contract, folder / "ingest", progress=Silent())
    plug.split(contract, folder / "ingest", folder / "split", seed=1)
    return folder
