"""Recordings of several origins, read into one table of states (:mod:`synth.driving.tracks` says its columns)."""

from __future__ import annotations

import importlib

from synth.contract import Contract
from synth.contract.traffic import DERIVED, RecordingFormat
from synth.driving.readers.base import Reader, Recorded
from synth.errors import UserError
from synth.progress import Progress

_MODULES = {RecordingFormat.TABLE: "table", RecordingFormat.NGSIM: "ngsim", RecordingFormat.LEVELX: "levelx",
            RecordingFormat.ARGOVERSE2: "argoverse2", RecordingFormat.COMMONROAD: "commonroad",
            RecordingFormat.FCD: "fcd", RecordingFormat.TELEMETRY: "drives"}


def read(contract: Contract, progress: Progress) -> Recorded:
    """All states of the contract's recordings, with the columns of the contract that are not derived.

    Raises :class:`UserError` where the recordings cannot be read or lack a column. Files that are damaged are
    counted in ``refused`` where there are others.
    """
    assert contract.traffic is not None
    wanted = [c.name for c in contract.columns if c.name not in DERIVED]
    module = importlib.import_module(f"synth.driving.readers.{_MODULES[contract.traffic.format]}")
    reader: Reader = module.read
    found = reader(contract.source, contract.source_options, contract.traffic, wanted, progress)
    if not len(found.states):
        reasons = ", ".join(f"{n} {what}" for what, n in found.refused.items())
        raise UserError("there are no states of vehicles in the recordings" + (f" ({reasons})" if reasons else ""),
                        where=contract.source, todo="check the location and the format of the recordings")
    missing = [name for name in wanted if name not in found.about]
    if missing:
        known = ", ".join(str(n) for n in list(found.about)[:12])
        raise UserError(f"column {missing[0]!r} is not in the recordings", where=contract.source,
                        todo=f"correct the contract{'; there are: ' + known if known else ''}")
    return found


__all__ = ["Recorded", "read"]
