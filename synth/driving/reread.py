"""Scenes of an earlier release in the form that the gates look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.driving.evidence import SceneEvidence
from synth.driving.files import channels
from synth.driving.files.states import KINDS
from synth.driving.scenes import (
    HEADING,
    LANE_WIDTH,
    LANES,
    LENGTH,
    MEASURED,
    SPEED,
    WIDTH,
    D,
    S,
    Scenes,
    SceneShape,
)
from synth.records.union import Listing, another_form
from synth.release.published import STATES_FILE

STATES = {"s": S, "d": D, "heading": HEADING, "speed": SPEED}
SIZES = {"length": LENGTH, "width": WIDTH}


def reread(evidence: SceneEvidence, folder: Path, listing: Listing) -> Scenes:
    """The scenes of ``listing``, whose states are in ``folder``.

    Raises :class:`~synth.errors.UserError` if they are of another rate, length or number of vehicles.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    shape, table, rows = evidence.synthetic.shape, listing.table, listing.rows
    named = set(table[STATES_FILE].to_pylist()) if STATES_FILE in table.column_names else set()
    if len(named) != 1 or Path(str(name := named.pop())).name != name or not (folder / name).is_file():
        raise another_form("its files")
    file = pq.ParquetFile(folder / name)
    if float((file.schema_arrow.metadata or {}).get(b"rate", b"nan")) != shape.rate:
        raise another_form("the rate of its scenes")
    held = file.read()
    held = held.filter(pc.is_in(held["scene"], pa.array(rows, held["scene"].type)))
    scene = np.searchsorted(rows, held["scene"].to_numpy())
    vehicle, step = held["vehicle"].to_numpy(), held["step"].to_numpy()
    if len(scene) and (int(vehicle.max()) >= shape.vehicles or int(step.max()) + 1 != shape.steps):
        raise another_form("the shape of its scenes")
    n, k = len(rows), shape.vehicles
    states = np.zeros((n, k, shape.steps, len(STATES)), np.float32)
    for column, place in STATES.items():
        states[scene, vehicle, step, place] = held[column].to_numpy()
    present, sizes = np.zeros((n, k), bool), np.zeros((n, k, len(SIZES)), np.float32)
    present[scene, vehicle] = True
    for column, place in SIZES.items():
        sizes[scene, vehicle, place] = held[column].to_numpy()
    kinds = np.zeros((n, k), np.int8)
    kinds[scene, vehicle] = pc.index_in(held["kind"].cast(pa.string()), pa.array(KINDS)).to_numpy()
    road = np.zeros((n, 2), np.float32)
    np.maximum.at(road[:, LANES], scene, held["lane"].to_numpy().astype(np.float32) + 1)  # those that are driven on
    road[scene, LANE_WIDTH] = held["lane_width"].to_numpy()
    if "lanes" in listing.frame:
        road[:, LANES] = np.maximum(listing.frame["lanes"].to_numpy(dtype=np.float32), road[:, LANES])
    return Scenes(states=states, present=present, sizes=sizes, kinds=kinds, road=road, table=listing.frame,
                  entities=np.arange(n, dtype=np.int64), shape=shape, measured=learnt(folder, listing.rows, shape))


def learnt(folder: Path, rows: NDArray[np.int64], shape: SceneShape) -> NDArray[np.float32] | None:
    """The released channels of telemetry that were learnt, of the scenes ``rows`` (rising); ``None`` where none was, or
    none is released."""
    import pyarrow.parquet as pq

    if not (folder / channels.PARQUET).is_file():
        return None
    schema = pq.read_schema(folder / channels.PARQUET)
    names = [name for name in MEASURED if name in schema.names and (schema.field(name).metadata or {}).get(
        b"origin") == channels.LEARNED.encode()]
    if not names:
        return None
    held = pq.read_table(folder / channels.PARQUET, columns=["scene", "step", *names])
    scene, step = held["scene"].to_numpy(), held["step"].to_numpy()
    mine = np.isin(scene, rows) & (step < shape.steps)
    found = np.full((len(rows), len(MEASURED), shape.steps), np.nan, np.float32)
    for name in names:
        values = held[name].to_numpy()[mine]
        found[np.searchsorted(rows, scene[mine]), MEASURED.index(name), step[mine]] = values
    return found
