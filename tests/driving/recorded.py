"""Small recordings of made-up traffic on a straight or bent road, and contracts for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from synth.contract import Contract
from synth.contract.load import loads

LANE = 3.5


def states(*, recordings: int = 3, lanes: int = 3, seconds: float = 14.0, rate: float = 10.0, bend: float = 0.0,
           bearing: float = 0.4, seed: int = 0, each: int = 4) -> pd.DataFrame:
    """Vehicles in platoons, ``each`` a lane, in several recordings; ``bend`` is the road's curvature in 1/m."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    rows = []
    for recording in range(recordings):
        for lane in range(lanes):
            for place in range(each):
                speed = 20.0 + 2 * lane + 0.5 * np.sin(time / 3 + place)
                s = 22.0 * place + 3.0 * lane + np.r_[0, np.cumsum((speed[1:] + speed[:-1]) / 2)] / rate
                d = (lane + 0.5) * LANE + 0.1 * np.sin(time / 2 + place)
                if recording % 2 == 0 and lane == 0 and place == each - 1 and lanes > 1:  # leaves its lane
                    share = np.clip((time - 5) / 3, 0, 1)
                    d = d + LANE * (3 * share**2 - 2 * share**3)
                x, y, heading = on_road(s, d, bend)
                turned = np.array([[np.cos(bearing), -np.sin(bearing)], [np.sin(bearing), np.cos(bearing)]])
                x, y = turned @ np.stack([x, y])
                direction = np.gradient(d, time) / speed
                rows.append(pd.DataFrame({
                    "recording": f"r{recording}", "track": f"{lane}{place}", "driver": f"D{recording}-{lane}-{place}",
                    "time": time, "x": x + 5e5, "y": y + 5.5e6, "heading": heading + direction + bearing,
                    "speed": speed, "length": 4.5, "width": 1.8, "kind": "car", "lane": np.floor(d / LANE) + 1,
                    "weather": ["dry", "wet"][recording % 2], "noise": rng.normal(size=len(time))}))
    return pd.concat(rows, ignore_index=True)


def on_road(s: np.ndarray, d: np.ndarray, bend: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and the road's direction at s along and d to the left of an arc."""
    if not bend:
        return s, d, np.zeros_like(s)
    angle = s * bend
    return np.sin(angle) * (1 / bend - d), 1 / bend - np.cos(angle) * (1 / bend - d), angle


def document(location: str, *, traffic: dict[str, Any] | None = None, entity: str | None = "driver",
             extra: tuple[str, ...] = ("weather",)) -> dict[str, Any]:
    """An ODCS document for such a table."""
    def column(name: str, kind: str, **custom: Any) -> dict[str, Any]:
        return {"name": name, "logicalType": kind,
                "customProperties": [{"property": f"synthesis.{k}", "value": v} for k, v in custom.items()]}

    properties = [column("manoeuvre", "string", role="categorical")]
    properties += [column(n, "number") for n in ("lanes", "density", "speed", "min_ttc", "max_drac", "min_pet")]
    properties += [column(n, "string", role="categorical") for n in extra]
    if entity is not None:
        properties.append(column(entity, "string", role="identifier", privacy="direct", generate="drop"))
    about = [{"property": "synthesis.target", "value": "manoeuvre"},
             {"property": "synthesis.task", "value": "classification"}]
    if entity is not None:
        about.append({"property": "synthesis.entity", "value": entity})
    block = {"seconds": 4, "stride": 1, **(traffic or {})}
    return {"apiVersion": "v3.1.0", "kind": "DataContract", "id": "road", "name": "road", "version": "1.0.0",
            "status": "draft", "servers": [{"server": "s", "type": "local", "location": location}],
            "schema": [{"name": "scenes", "properties": properties, "customProperties": about}],
            "customProperties": [{"property": "synthesis.domain", "value": "driving"},
                                 {"property": "synthesis.k", "value": {"limit": 2, "reason": "a test"}},
                                 {"property": "synthesis.traffic", "value": block}]}


def contract(folder: Path, table: pd.DataFrame | None = None, **said: Any) -> Contract:
    """The contract for a table that is written into ``folder`` (or for ``location``)."""
    location = said.pop("location", None)
    if table is not None:
        folder.mkdir(parents=True, exist_ok=True)
        table.to_parquet(folder / "states.parquet")
        location = str(folder / "states.parquet")
    return loads(yaml.safe_dump(document(str(location), **said)), folder / "road.yaml")
