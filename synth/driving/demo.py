"""The recordings of the demo: motorways that SUMO drives (:mod:`.simulate`), because no package holds real ones.

    python -m synth.driving.demo [FOLDER]

writes ``motorway.parquet`` into FOLDER (default: ``data_contracts/data``, where ``data_contracts/motorway.yaml``
looks).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from synth.progress import Progress, for_terminal

FOLDER = Path("data_contracts/data")
NAME = "motorway.parquet"
SEED, RUNS, SECONDS = 20, 108, 20.0


def materialise(folder: Path, *, runs: int = RUNS, seconds: float = SECONDS, progress: Progress | None = None) -> Path:
    """Drive the recordings into ``folder`` (made if needed) and return the file; one that is there is kept."""
    from synth.driving import simulate

    path = Path(folder) / NAME
    if path.exists():
        return path
    states = simulate.simulate(simulate.runs(runs, seconds=seconds), seed=SEED, progress=progress or for_terminal())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{NAME}.{os.getpid()}")
    try:
        states.to_parquet(partial, index=False, compression="zstd")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


if __name__ == "__main__":
    print(materialise(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
