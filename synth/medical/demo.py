"""The archive of the demo: a hospital of phantoms (:mod:`.phantoms`), because no small package holds labelled images.

    python -m synth.medical.demo [FOLDER]

writes ``phantoms/`` into FOLDER (default: ``data_contracts/data``, where ``data_contracts/phantoms.yaml`` looks). An
archive that other code made is made anew: its heads would not be those that the contract's limits are for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

FOLDER = Path("data_contracts/data")
NAME = "phantoms"
MADE = ".made"  # in the archive: what made it; hidden files are no images


def materialise(folder: Path) -> Path:
    """Build the archive in ``folder`` (made if needed) and return its path; one of this version's phantoms is kept."""
    from synth.medical import phantoms

    path = Path(folder) / NAME
    maker = hashlib.sha256(Path(phantoms.__file__).read_bytes()).hexdigest()
    if _made_by(path) == maker:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (path.with_name(f".{NAME}.{os.getpid()}{end}") for end in ("", ".old"))
    try:
        phantoms.make(partial)
        (partial / MADE).write_text(maker, encoding="utf-8")
        if path.exists() and _made_by(path) != maker:  # another process may have been quicker
            os.replace(path, old)
        if not path.exists():
            os.replace(partial, path)
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)
    return path


def _made_by(path: Path) -> str:
    made = path / MADE
    return made.read_text(encoding="utf-8") if made.is_file() else ""


if __name__ == "__main__":
    print(materialise(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
