"""The ingest stage of traffic: private recordings, read once, into scenes and their listing.

What identifies a drive stays behind: places on earth, times of day, names of tracks, drivers and plates end here; a
scene is in its road's frame and starts at nought. The record it returns has counts and reason codes only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from synth.contract import Contract
from synth.driving.cut import Cut, cut
from synth.driving.listing import source
from synth.driving.rules import alone, counted, few, refuse, stacked
from synth.driving.stored import save_arrays
from synth.errors import Problems
from synth.progress import Progress
from synth.tabular.ingest import ingest as ingest_table


def ingest(contract: Contract, out: Path, *, progress: Progress) -> dict[str, Any]:
    """Read the contract's recordings into ``out`` (:mod:`synth.driving.stored` says the files).

    Raises :class:`~synth.errors.Problems` with everything that is wrong with contract and recordings.
    """
    if problems := refuse(contract):
        raise Problems(problems)
    found = cut(contract, progress)
    if problems := [*few(contract, found), *alone(contract, found), *stacked(contract, found)]:
        raise Problems(problems)
    rows = np.flatnonzero(found.groups.group >= 0)
    save_arrays(out, found.scenes.take(rows))
    with listed(contract, found) as table:
        record = ingest_table(table, out, progress=progress)
    (out / "refused.json").write_text(json.dumps(dict(sorted(found.refused.items()))) + "\n", encoding="utf-8")
    return {**record, **summary(found)}


def listed(contract: Contract, found: Cut) -> Any:
    """The listing of the scenes that were kept, as a table (a context manager)."""
    rows = np.flatnonzero(found.groups.group >= 0)
    texts = {name: [cells[i] for i in rows] for name, cells in found.texts.items()}
    return source(contract, texts, [f"g{found.groups.group[i]}" for i in rows])


def summary(found: Cut) -> dict[str, Any]:
    """Counts for the record."""
    kept = found.groups.group >= 0
    return {"scenes": int(kept.sum()), "recordings": found.recordings, "vehicles": found.vehicles,
            "groups": len(np.unique(found.groups.group[kept])), "groups_cut": found.groups.cut,
            "refused": dict(sorted(found.refused.items())), "manoeuvres": counted(found),
            **({"ends_of_trips": found.trimmed} if found.trimmed else {})}
