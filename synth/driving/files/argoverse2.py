"""Argoverse 2 motion forecasting: a Parquet file and a map a scene, in the layout that the ``av2`` package reads.

Wilson et al., "Argoverse 2: Next Generation Datasets for Self-driving Perception and Forecasting", NeurIPS 2021.
Tracks have 10 Hz there, so scenes of another rate are interpolated (:func:`.roads.at_rate`); the schema holds no sizes
of vehicles. The ego vehicle is track ``AV`` and the focal track, the others are scored. As in the original, the first
50 of 110 steps are what a forecaster may see; of shorter scenes the same share.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.driving.files.base import SYNTHETIC, Released, number
from synth.driving.files.roads import Road
from synth.driving.scenes import EGO, HEADING, SPEED, D, Kind, S

if TYPE_CHECKING:
    import pyarrow as pa

RATE, OBSERVED = 10.0, 50 / 110
SCORED, FOCAL = 2, 3  # TrackCategory
TYPES = {Kind.CAR: "vehicle", Kind.TRUCK: "vehicle", Kind.MOTORCYCLE: "motorcyclist"}
CITY = "synthetic"
FOLDER = "argoverse2"


def names(row: int) -> tuple[str, str]:
    """Paths of a scene's tracks and map."""
    folder = f"{FOLDER}/{number(row)}"
    return f"{folder}/scenario_{number(row)}.parquet", f"{folder}/log_map_archive_{number(row)}.json"


def schema() -> pa.Schema:
    """Columns and types as in the original files."""
    import pyarrow as pa

    f8, i8, text = pa.float64(), pa.int64(), pa.string()
    return pa.schema([
        ("observed", pa.bool_()), ("track_id", text), ("object_type", text), ("object_category", i8), ("timestep", i8),
        ("position_x", f8), ("position_y", f8), ("heading", f8), ("velocity_x", f8), ("velocity_y", f8),
        ("scenario_id", text), ("start_timestamp", f8), ("end_timestamp", f8), ("num_timestamps", i8),
        ("focal_track_id", text), ("city", text)], metadata=SYNTHETIC)


def table(released: Released, row: int) -> pa.Table:
    """The tracks of a scene of a set that has :data:`RATE` already."""
    import pyarrow as pa

    scenes, slots = released.scenes, released.slots(row)
    steps = scenes.shape.steps
    states = scenes.states[row, slots].astype(np.float64).reshape(-1, scenes.states.shape[-1])
    ids = ["AV" if slot == EGO else str(slot) for slot in slots]
    types = [TYPES[Kind(int(scenes.kinds[row, slot]))] for slot in slots]
    categories = [FOCAL if slot == EGO else SCORED for slot in slots]
    each, rows = np.repeat(np.arange(len(slots)), steps), len(slots) * steps
    timestep = np.tile(np.arange(steps), len(slots))

    def told(values: list[Any]) -> pa.Array:
        return pa.array(values).take(pa.array(each))

    def same(value: Any) -> pa.Array:
        return pa.repeat(value, rows)

    return pa.table([
        timestep < max(1, round(steps * OBSERVED)), told(ids), told(types), told(categories), timestep,
        states[:, S], states[:, D], states[:, HEADING], states[:, SPEED] * np.cos(states[:, HEADING]),
        states[:, SPEED] * np.sin(states[:, HEADING]), same(number(row)), same(0.0), same((steps - 1) / RATE * 1e9),
        same(steps), same("AV"), same(CITY)], schema=schema())


def static_map(road: Road) -> str:
    """Lanes and drivable area as the JSON of a vector map."""
    def line(y: float) -> list[dict[str, float]]:
        return [{"x": x, "y": round(y, 3), "z": 0.0} for x in (road.start, (road.start + road.end) / 2, road.end)]

    def mark(edge: int) -> str:
        return "SOLID_WHITE" if edge in (0, road.lanes) else "DASHED_WHITE"

    width = road.lane_width
    segments = {str(i): {
        "id": i, "is_intersection": False, "lane_type": "VEHICLE", "left_lane_boundary": line((i + 1) * width),
        "right_lane_boundary": line(i * width), "centerline": line((i + 0.5) * width),
        "left_lane_mark_type": mark(i + 1), "right_lane_mark_type": mark(i),
        "left_neighbor_id": i + 1 if i + 1 < road.lanes else None, "right_neighbor_id": i - 1 if i else None,
        "predecessors": [], "successors": []} for i in range(road.lanes)}
    area = {"0": {"id": 0, "area_boundary": [*line(0.0), *reversed(line(road.width)), line(0.0)[0]]}}
    return json.dumps({"pedestrian_crossings": {}, "lane_segments": segments, "drivable_areas": area, **SYNTHETIC})


def write(folder: Path, released: Released, row: int) -> None:
    """Tracks and map of a scene of a set that has :data:`RATE` already."""
    import pyarrow.parquet as pq

    tracks, lanes = (folder / name for name in names(row))
    tracks.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(released, row), tracks, compression="zstd")
    lanes.write_text(static_map(released.road(row)), encoding="utf-8")
