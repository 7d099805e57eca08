"""The picture of synthetic scenes in the report: one of each manoeuvre, and nobody's drive."""

from __future__ import annotations

from typing import Any

import numpy as np

from synth.driving.labels import labels
from synth.driving.safety import following
from synth.driving.scenes import EGO, LANE_WIDTH, LANES, LENGTH, MANOEUVRES, WIDTH, D, S, Scenes

COLUMNS = ("weather",)  # of the listing, told in the label beside the manoeuvre


def gallery(scenes: Scenes) -> dict[str, Any]:
    """The first synthetic scene that shows each manoeuvre, by the rules, not by what it was asked to show."""
    shown = labels(scenes)
    rows = [int(np.flatnonzero(shown == name)[0]) for name in MANOEUVRES if (shown == name).any()]
    return {"kind": "scenes", "title": "Synthetic scenes, the first that shows each manoeuvre",
            "items": [item(scenes, row, str(shown[row])) for row in rows]}


def item(scenes: Scenes, row: int, label: str) -> dict[str, Any]:
    """One scene as plain numbers."""
    one = scenes.take(np.array([row]))
    pairs = following(one)
    said = [str(one.table[name].iat[0]) for name in COLUMNS if name in one.table]
    vehicles = [{"length": round(float(one.sizes[0, slot, LENGTH]), 2),
                 "width": round(float(one.sizes[0, slot, WIDTH]), 2),
                 "path": np.round(one.states[0, slot][:, [S, D]].astype(np.float64), 2).tolist()}
                for slot in np.flatnonzero(one.present[0])]

    def curve(values: np.ndarray) -> list[float | None]:
        return [round(float(v), 2) if np.isfinite(v) else None for v in values]

    return {"label": ", ".join([label.replace("_", " "), *said]), "lanes": int(one.road[0, LANES]),
            "lane_width": round(float(one.road[0, LANE_WIDTH]), 2), "dt": one.shape.dt, "vehicles": vehicles,
            "gap": curve(pairs.gap[0, EGO]), "ttc": curve(pairs.ttc[0, EGO])}
