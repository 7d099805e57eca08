"""The synthetic set as files in the field's formats, with the table that lists them beside them.

``metadata.parquet`` has one row a scene: what it was asked to show, and the files that hold it. The whole set is in
``states.parquet`` (:mod:`.states`), ``measures.parquet`` (:mod:`.measures`), in the Argoverse 2 files and in
``telemetry.parquet``; the formats of one file a scene (OpenSCENARIO, CommonRoad, SUMO, MF4) have the first
``scenario_files`` scenes of the set, and their columns are empty for the others. Equal input gives equal bytes: no
clock, no host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from synth.contract import Contract
from synth.driving.files import argoverse2, channels, commonroad, measures, openscenario, states, sumo
from synth.driving.files.base import SYNTHETIC, Released
from synth.driving.files.roads import at_rate
from synth.driving.scenes import Scenes
from synth.release.published import MEASURES_FILE, SCENE_FILES, STATES_FILE

if TYPE_CHECKING:
    import pyarrow as pa

    from synth.progress import Progress

METADATA, STATES, MEASURES = "metadata.parquet", "states.parquet", "measures.parquet"
Cells = dict[str, list[str | None]]


def write_scenes(folder: Path, scenes: Scenes, table: pa.Table, contract: Contract, *, seed: int,
                 progress: Progress) -> int:
    """Write the set into ``folder`` in the contract's formats; returns the number of scenes.

    ``table`` is the listing in the order of ``scenes``, dressed as it will be released. Nothing is drawn, so ``seed``
    changes nothing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert contract.traffic is not None
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    formats, n = contract.traffic.release, len(scenes)
    few = min(n, contract.traffic.scenario_files)
    released = Released.of(scenes, dict(contract.traffic.friction))
    cells: Cells = {STATES_FILE: [STATES] * n, MEASURES_FILE: [MEASURES] * n}
    with progress.step("write files", n * (1 + len(formats))) as step:
        states.write(folder / STATES, scenes, step)
        measures.write(folder / MEASURES, released)
        for done, name in enumerate(formats, start=1):
            def told(row: int, done: int = done) -> None:
                step.update(float(n * done + row + 1))
            cells.update(_FORMATS[name](folder, released, few, told))
            told(n - 1)
    listing = table
    for at, name in enumerate([STATES_FILE, MEASURES_FILE, *(c for given in formats for c in SCENE_FILES[given])]):
        listing = listing.add_column(at, pa.field(name, pa.string()), pa.array(cells[name], pa.string()))
    pq.write_table(listing.replace_schema_metadata({**(listing.schema.metadata or {}), **SYNTHETIC}),
                   folder / METADATA, compression="zstd")
    return n


def _argoverse2(folder: Path, released: Released, few: int, told: Callable[[int], None]) -> Cells:
    faster = replace(released, scenes=at_rate(released.scenes, argoverse2.RATE))
    rows = range(len(released.scenes))
    for row in rows:
        argoverse2.write(folder, faster, row)
        told(row)
    return _cells("argoverse2", [argoverse2.names(row) for row in rows], len(rows))


def _openscenario(folder: Path, released: Released, few: int, told: Callable[[int], None]) -> Cells:
    if few:
        openscenario.write_roads(folder, released, released.which[:few])
    for row in range(few):
        openscenario.write(folder, released, row)
        told(row)
    return _cells("openscenario", [openscenario.names(row, int(released.which[row])) for row in range(few)],
                  len(released.scenes))


def _commonroad(folder: Path, released: Released, few: int, told: Callable[[int], None]) -> Cells:
    for row in range(few):
        commonroad.write(folder, released, row)
        told(row)
    return _cells("commonroad", [(commonroad.name(row),) for row in range(few)], len(released.scenes))


def _sumo(folder: Path, released: Released, few: int, told: Callable[[int], None]) -> Cells:
    if few:
        sumo.write_networks(folder, released, released.which[:few])
    for row in range(few):
        sumo.write(folder, released, row)
        told(row)
    return _cells("sumo", [sumo.names(row, int(released.which[row])) for row in range(few)], len(released.scenes))


def _telemetry(folder: Path, released: Released, few: int, told: Callable[[int], None]) -> Cells:
    found = channels.channels(released.scenes)
    channels.write_parquet(folder / channels.PARQUET, released.scenes, found)
    for row in range(few):
        channels.write_mf4(folder, released.scenes, found, row)
        told(row)
    n = len(released.scenes)
    whole, each = SCENE_FILES["telemetry"]
    return {whole: [channels.PARQUET] * n, each: [channels.name(row) if row < few else None for row in range(n)]}


def _cells(name: str, paths: list[tuple[str, ...]], n: int) -> Cells:
    """The columns of a format, empty below its last scene."""
    empty: list[str | None] = [None] * (n - len(paths))
    return {column: [*(path[i] for path in paths), *empty] for i, column in enumerate(SCENE_FILES[name])}


_FORMATS: dict[str, Callable[[Path, Released, int, Callable[[int], None]], Cells]] = {
    "argoverse2": _argoverse2, "openscenario": _openscenario, "commonroad": _commonroad, "sumo": _sumo,
    "telemetry": _telemetry,
}
