"""Files of released scenes, read back as a user would: is each there, listed, readable, and what was judged?

All files are opened: states of all scenes value by value, other tables by their schema and a sample by their values,
XML by its root, containers by their first bytes. Conformance with each format's standard is tested elsewhere, by
libraries that are not ours.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.driving.evidence import SceneEvidence
from synth.driving.files import argoverse2, measures, states
from synth.driving.files.base import SYNTHETIC
from synth.driving.scenes import HEADING, SPEED, D, S, Scenes
from synth.release.published import LISTING, MEASURES_FILE, STATES_FILE, listed_files
from validators.finding import Finding, Verdict

if TYPE_CHECKING:
    import pandas as pd

KINDS = {  # kind of fault -> what it is
    "unlisted": "Files that no row lists",
    "missing": "Rows with a file that is not there, or whose name leads elsewhere",
    "unreadable": "Files that cannot be read back",
    "shape": "Files with other columns, vehicles or steps than the contract says, or with numbers that are none",
    "unmarked": "Tables that do not say that they are synthetic",
    "differs": "Scenes whose released states are not the ones that were judged",
}
ROOTS = {  # column of the listing -> root element of its files
    "openscenario_file": "OpenSCENARIO", "opendrive_file": "OpenDRIVE", "commonroad_file": "commonRoad",
    "sumo_file": ("configuration", "sumoConfiguration"), "sumo_net": "net", "sumo_routes": "routes",
    "sumo_fcd": "fcd-export",
}
WHOLE = 50  # Argoverse 2 files whose values are read
CLOSE = 1e-3  # m, rad, m/s: float32 in a file
_METHOD = "Exact count over all published files, read back."


def judge(evidence: SceneEvidence, limit: float) -> list[Finding]:
    """A finding of each kind of fault; none where there is nothing to publish (``evidence.shards`` is None)."""
    if evidence.shards is None:
        return []
    folders = sorted(p.parent for p in evidence.shards.rglob(LISTING))
    if not folders:
        return [Finding(id="contract.files", title="Published files", verdict=Verdict.INCONCLUSIVE, value=None,
                        unit="files", method="there are no files to read back",
                        remedy="the generate stage left no table that lists files; report it with the contract")]
    counts, rows = Counter[str](), 0
    for folder in folders:
        rows += _folder(folder, evidence, counts)
    return [Finding(
        id=f"contract.files.{kind}", title=title, value=float(counts[kind]), limit=limit, n=rows, method=_METHOD,
        unit="scenes" if kind == "differs" else "files", remedy="this is a fault of the writer of files; report it "
        "with the contract", verdict=Verdict.INCONCLUSIVE if not rows else
        Verdict.FAIL if counts[kind] > limit else Verdict.PASS) for kind, title in KINDS.items()]


def _folder(folder: Path, evidence: SceneEvidence, counts: Counter[str]) -> int:
    """Count the faults of one folder; returns its rows."""
    import pandas as pd
    import pyarrow.parquet as pq

    listing = pd.read_parquet(folder / LISTING)
    counts["unmarked"] += not _marked(pq.read_schema(folder / LISTING).metadata)
    listed = {LISTING}
    for column in listed_files(evidence.contract):
        if column not in listing:
            counts["missing"] += len(listing)
            continue
        names = listing[column].dropna().astype(str)
        if column in (STATES_FILE, MEASURES_FILE, "argoverse2_file"):  # every scene has these
            counts["missing"] += len(listing) - len(names)
        unique = sorted(set(names))
        inside = [n for n in unique if _inside(folder, n)]
        counts["missing"] += len(unique) - len(inside)
        listed.update(inside)
        for place, name in enumerate(inside):
            for kind in _faults(folder / name, column, place < WHOLE, evidence, listing):
                counts[kind] += 1
    counts["unlisted"] += sum(p.is_symlink() or p.relative_to(folder).as_posix() not in listed
                              for p in folder.rglob("*") if not p.is_dir() or p.is_symlink())
    return len(listing)


def _inside(folder: Path, name: str) -> bool:
    """Whether a listed name is a plain file within the folder."""
    parts = Path(name).parts
    path = folder / name
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts and "\\" not in name and (
        path.is_file() and not path.is_symlink())


def _marked(metadata: dict[bytes, bytes] | None) -> bool:
    found = {k.decode(): v.decode("utf-8", "replace") for k, v in (metadata or {}).items()}
    return all(found.get(key) == value for key, value in SYNTHETIC.items())


def _faults(path: Path, column: str, whole: bool, evidence: SceneEvidence, listing: pd.DataFrame) -> list[str]:
    """Kinds of fault of one file; whatever a reader raises counts, and its words are not told."""
    try:
        if column == STATES_FILE:
            return _states(path, evidence, len(listing))
        if path.suffix == ".parquet":
            return _table(path, column, whole)
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
            return []
        if path.suffix == ".mf4":
            return [] if path.read_bytes()[:8] == b"MDF     " else ["unreadable"]
        return _xml(path, column)
    except Exception:
        return ["unreadable"]


def _xml(path: Path, column: str) -> list[str]:
    text = path.read_bytes()
    if b"<!DOCTYPE" in text:
        return ["unreadable"]
    wanted = ROOTS[column]
    root = ElementTree.fromstring(text).tag.rsplit("}", 1)[-1]
    return [] if root in ((wanted,) if isinstance(wanted, str) else wanted) else ["shape"]


def _table(path: Path, column: str, whole: bool) -> list[str]:
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    faults = [] if _marked(schema.metadata) else ["unmarked"]
    own = {"argoverse2_file": argoverse2.schema, MEASURES_FILE: measures.schema}.get(column)
    if own is not None and not schema.equals(own(), check_metadata=False):
        faults.append("shape")
    elif whole:
        table = pq.read_table(path)
        numbers = [c for c, kind in zip(table.columns, table.schema, strict=True) if _floating(kind.type)]
        if not table.num_rows or not all(np.isfinite(c.drop_null().to_numpy()).all() for c in numbers):
            faults.append("shape")
    return faults


def _floating(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind))


def _states(path: Path, evidence: SceneEvidence, rows: int) -> list[str]:
    """The table of all states: its columns, its scenes, and whether they are the judged ones."""
    import pyarrow.parquet as pq

    scenes = evidence.synthetic
    schema = pq.read_schema(path)
    faults = [] if _marked(schema.metadata) else ["unmarked"]
    if not schema.equals(states.schema(scenes.shape.rate), check_metadata=False):
        return [*faults, "shape"]
    table = pq.read_table(path, columns=["scene", "vehicle", "step", "s", "d", "heading", "speed"])
    scene, vehicle, step, *values = (table[name].to_numpy() for name in table.column_names)
    data = np.stack(values, axis=1)
    right = (len(scene) > 0 and np.isfinite(data).all() and set(np.unique(scene)) == set(range(rows))
             and vehicle.min() >= 0 and vehicle.max() < scenes.shape.vehicles and step.min() >= 0
             and step.max() < scenes.shape.steps and len(scene) % scenes.shape.steps == 0)
    if not right:
        return [*faults, "shape"]
    if rows == len(scenes):  # of large sets a sample was judged, and which scenes are in it is not told
        faults += ["differs"] * _different(scenes, scene, vehicle, step, data)
    return faults


def _different(scenes: Scenes, scene: np.ndarray, vehicle: np.ndarray, step: np.ndarray, data: np.ndarray) -> int:
    """How many scenes have other states in the file than those judged."""
    found = np.full(scenes.states.shape, np.nan, np.float32)
    found[scene[:, None], vehicle[:, None], step[:, None], np.array([S, D, HEADING, SPEED])] = data
    own = np.where(scenes.present[:, :, None, None], scenes.states, np.nan)
    same = (np.isnan(found) == np.isnan(own)) & ~(np.abs(found - own) > CLOSE)
    return int((~same.all(axis=(1, 2, 3))).sum())
