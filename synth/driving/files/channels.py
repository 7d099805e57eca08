"""Telemetry of the ego vehicles: Parquet for the whole set, ASAM MDF 4 (MF4) a scene with ``asammdf``.

Columns of the Parquet file are ``scene`` (row of the listing), ``step``, ``time`` (s) and the channels of
:mod:`synth.driving.telemetry`; units stand in the metadata of each column, and its origin: "derived" from the motion,
or "learned" (what sensors add was learnt from measured logs).
"""

from __future__ import annotations

import datetime
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np

from synth.driving.files.base import NOTE, SYNTHETIC, number
from synth.driving.scenes import MEASURED, Scenes
from synth.driving.telemetry import CHANNELS, telemetry

FOLDER, PARQUET = "telemetry", "telemetry.parquet"
LEARNED, DERIVED = "learned", "derived"
_START = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)  # no clock in a released file


def name(row: int) -> str:
    """Path of a scene's MF4 file."""
    return f"{FOLDER}/{number(row)}.mf4"


def write_parquet(path: Path, scenes: Scenes, found: dict[str, np.ndarray]) -> None:
    """All scenes, one row a step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n, steps = len(scenes), scenes.shape.steps
    step = np.tile(np.arange(steps), n)
    schema = pa.schema([("scene", pa.int32()), ("step", pa.int16()), ("time", pa.float32()), *(
        pa.field(channel, pa.float32(), metadata={"unit": unit, "origin": origin(scenes, channel)})
        for channel, unit in CHANNELS.items())],
        metadata={**SYNTHETIC, "rate": f"{scenes.shape.rate:g}"})
    pq.write_table(pa.table([
        np.repeat(np.arange(n), steps).astype(np.int32), step.astype(np.int16),
        (step * scenes.shape.dt).astype(np.float32), *(found[channel].reshape(-1) for channel in CHANNELS)],
        schema=schema), path, compression="zstd")


def write_mf4(folder: Path, scenes: Scenes, found: dict[str, np.ndarray], row: int) -> None:
    """The channels of one scene."""
    logging.getLogger("asammdf").setLevel(logging.ERROR)
    from asammdf import MDF, Signal

    path = folder / name(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    seconds = np.arange(scenes.shape.steps) * scenes.shape.dt
    made: Any = MDF(version="4.10")
    made.header.start_time = _START
    made.header.comment = NOTE
    made.append([Signal(found[channel][row], seconds, unit=unit, name=channel) for channel, unit in CHANNELS.items()],
                comment=NOTE)
    made.save(path, overwrite=True)
    made.close()
    path.write_bytes(_timeless(path.read_bytes()))


def _timeless(content: bytes) -> bytes:
    """The file with the fixed date in its history blocks (##FH: header of 24 bytes, two links, then the time)."""
    out, at = bytearray(content), content.find(b"##FH")
    while at >= 0:
        out[at + 40:at + 48] = struct.pack("<Q", int(_START.timestamp()) * 10**9)
        at = content.find(b"##FH", at + 1)
    return bytes(out)


def channels(scenes: Scenes) -> dict[str, np.ndarray]:
    """What both formats are given: what was learnt from measured logs, else what follows from the motion."""
    found = dict(telemetry(scenes))
    for channel in found:
        if origin(scenes, channel) == LEARNED:
            assert scenes.measured is not None
            found[channel] = scenes.measured[:, MEASURED.index(channel)]
    return found


def origin(scenes: Scenes, channel: str) -> str:
    """Where a channel's values come from."""
    if scenes.measured is None or channel not in MEASURED:
        return DERIVED
    return LEARNED if np.isfinite(scenes.measured[:, MEASURED.index(channel)]).all() else DERIVED
