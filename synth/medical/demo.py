"""The archive of the demo: a hospital of phantoms (:mod:`.phantoms`), because no small package holds labelled images.

    python -m synth.medical.demo [FOLDER]

writes ``phantoms/`` into FOLDER (default: ``data_contracts/data``, where ``data_contracts/phantoms.yaml`` looks).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

FOLDER = Path("data_contracts/data")
NAME = "phantoms"


def materialise(folder: Path) -> Path:
    """Build the archive in ``folder`` (made if needed) and return its path; one that is there is kept."""
    from synth.medical.phantoms import make

    path = Path(folder) / NAME
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{NAME}.{os.getpid()}")
    try:
        make(partial)
        if not path.exists():  # another process may have been quicker
            os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


if __name__ == "__main__":
    print(materialise(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
