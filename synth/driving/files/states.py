"""Our own Parquet: every state of every vehicle of the whole set, one row each.

========== ======== =====================================================================================
column     type     meaning
========== ======== =====================================================================================
scene      int32    the scene: the row of ``metadata.parquet`` (0 is the first)
vehicle    int8     slot in the scene; 0 is the ego vehicle
step       int16    0 is the start of the scene
time       float32  seconds since the start of the scene
s          float32  m along the road from where the ego vehicle starts (centre of the box)
d          float32  m to the left of the right edge of the drivable lanes (centre of the box)
heading    float32  rad from the road's direction, left positive
speed      float32  m/s
length     float32  m
width      float32  m
kind       string   car, truck or motorcycle
lane       int8     lane that holds the centre, 0 is the right one
lane_width float32  m, of every lane of the road
========== ======== =====================================================================================

A vehicle is there for the whole scene or not at all; rows are sorted by scene, vehicle, step. The rate in Hz stands in
the file's metadata (``rate``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synth.driving.files.base import SYNTHETIC
from synth.driving.files.roads import lane_of
from synth.driving.scenes import HEADING, LANE_WIDTH, LANES, LENGTH, SPEED, WIDTH, D, Kind, S, Scenes

if TYPE_CHECKING:
    import pyarrow as pa

    from synth.progress import Step

BLOCK = 2_000  # scenes of a row group
KINDS = tuple(kind.name.lower() for kind in Kind)


def schema(rate: float) -> pa.Schema:
    """Columns, types and metadata of the file."""
    import pyarrow as pa

    f4 = pa.float32()
    return pa.schema([
        ("scene", pa.int32()), ("vehicle", pa.int8()), ("step", pa.int16()), ("time", f4), ("s", f4), ("d", f4),
        ("heading", f4), ("speed", f4), ("length", f4), ("width", f4), ("kind", pa.dictionary(pa.int8(), pa.string())),
        ("lane", pa.int8()), ("lane_width", f4)], metadata={**SYNTHETIC, "rate": f"{rate:g}"})


def table(scenes: Scenes, first: int) -> pa.Table:
    """The rows of some scenes, the first of which is number ``first`` of its set."""
    import pyarrow as pa

    row, slot = np.nonzero(scenes.present)
    steps = scenes.shape.steps
    states = scenes.states[row, slot].reshape(-1, scenes.states.shape[-1])
    again = np.repeat(np.arange(len(row)), steps)
    step = np.tile(np.arange(steps), len(row))
    road, size = scenes.road[row][again], scenes.sizes[row, slot][again]
    lane = lane_of(states[:, D], road[:, LANES], road[:, LANE_WIDTH]).astype(np.int8)
    kind = pa.DictionaryArray.from_arrays(pa.array(scenes.kinds[row, slot][again], pa.int8()), list(KINDS))
    return pa.table([
        (row[again] + first).astype(np.int32), slot[again].astype(np.int8), step.astype(np.int16),
        (step * scenes.shape.dt).astype(np.float32), states[:, S], states[:, D], states[:, HEADING], states[:, SPEED],
        size[:, LENGTH], size[:, WIDTH], kind, lane, road[:, LANE_WIDTH]], schema=schema(scenes.shape.rate))


def write(path: Path, scenes: Scenes, step: Step) -> None:
    """The whole set into one file."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema(scenes.shape.rate), compression="zstd") as writer:
        for first in range(0, len(scenes), BLOCK):
            rows = np.arange(first, min(first + BLOCK, len(scenes)))
            writer.write_table(table(scenes.take(rows), first))
            step.update(float(rows[-1] + 1))
