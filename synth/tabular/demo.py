"""The table of the demo: 15,992 people of the Current Population Survey, from the package ``causaldata``.

    python -m synth.tabular.demo [FOLDER]

writes ``cps.csv`` into FOLDER (default: ``data_contracts/data``, where ``data_contracts/cps.yaml`` looks for it).
The package holds earnings as 32-bit floats in 1982 dollars, whose digits below a cent are arithmetic, not income;
they are printed here to the cent, so that the file looks like the one a statistics office would hand over.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from synth.errors import UserError

FILE = "cps.csv"
FOLDER = Path("data_contracts/data")


def materialise(folder: Path) -> Path:
    """Write the demo table into ``folder`` (made if needed) and return its path; an existing file is kept."""
    path = Path(folder) / FILE
    if path.exists():
        return path
    try:
        cps_mixtape = importlib.import_module("causaldata").cps_mixtape
    except ImportError:
        raise UserError("the demo's table is not installed", where="package causaldata",
                        todo="install it with `pip install synth-pipeline[demo]`") from None
    table = cps_mixtape.load_pandas().data
    earnings = ["re74", "re75", "re78"]
    table[earnings] = table[earnings].astype("float64").round(2)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{FILE}.{os.getpid()}")
    table.to_csv(partial, index=False)
    os.replace(partial, path)  # another process sees no file or the whole one
    return path


if __name__ == "__main__":
    print(materialise(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
