"""The highD and inD families (inD, rounD, exiD, uniD): ``NN_tracks.csv`` with two meta files beside it.

highD gives the upper left corner of boxes in pictures' axes (y down) in metres; the others give centres, headings in
degrees, y upwards. A plain reader of the three CSV files: their reader on PyPI adds a data-frame library for the same
lookups. The columns are those of the published format descriptions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from synth.contract.traffic import Traffic
from synth.driving.readers.base import Recorded, files, gathered, text
from synth.errors import UserError
from synth.progress import Progress

_HIGHD = ("frame", "id", "x", "y", "width", "height", "xVelocity", "yVelocity", "laneId")
_IND = ("frame", "trackId", "xCenter", "yCenter", "heading", "width", "length", "xVelocity", "yVelocity")


def read(source: str, options: Iterable[tuple[str, str]], block: Traffic, wanted: list[str], progress: Progress
         ) -> Recorded:
    """See :data:`synth.driving.readers.base.Reader`. About a vehicle: the meta files' columns, recording, track."""
    refused: Counter[str] = Counter()
    parts = []
    found = files(source, ("_tracks.csv",))
    with progress.step("read the recordings", len(found)) as step:
        for number, path in enumerate(found):
            try:
                parts.append(_file(path, wanted))
            except (ValueError, OSError, KeyError, IndexError):
                refused["damaged"] += 1
            step.update(number + 1)
    return gathered(parts, refused)


def _meta(path: Path, which: str) -> pd.DataFrame:
    beside = path.with_name(path.name.replace("_tracks.csv", f"_{which}.csv"))
    if not beside.is_file():
        raise UserError(f"a file of tracks has no {which} file beside it", where=str(path),
                        todo="give the three files of each recording together")
    return pd.read_csv(beside)


def _file(path: Path, wanted: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame, recording, tracks = pd.read_csv(path), _meta(path, "recordingMeta"), _meta(path, "tracksMeta")
    rate, name = float(recording["frameRate"].iloc[0]), path.name.removesuffix("_tracks.csv")
    high = set(_HIGHD) <= set(frame)
    if not high and not set(_IND) <= set(frame):
        raise UserError("a file of tracks has neither highD's nor inD's columns", where=str(path),
                        todo="use format: table for trajectories with other columns")
    key = "id" if high else "trackId"
    meta = tracks.set_index("id" if "id" in tracks else "trackId").reindex(frame[key]).reset_index(drop=True)
    vx, vy = frame["xVelocity"].to_numpy(float), frame["yVelocity"].to_numpy(float)
    states = pd.DataFrame({"time": frame["frame"].to_numpy(float) / rate, "speed": np.hypot(vx, vy)})
    if high:
        states["x"] = frame["x"] + frame["width"] / 2
        states["y"] = -(frame["y"] + frame["height"] / 2)
        direction = np.where(meta["drivingDirection"].to_numpy(float) == 1, np.pi, 0.0)
        turned = np.abs(np.angle(np.exp(1j * (np.arctan2(-vy, vx) - direction)))) < 0.5
        states["heading"] = np.where(turned & (states["speed"] > 1.0), np.arctan2(-vy, vx), direction)
        states["length"], states["width"] = frame["width"], frame["height"]
        states["lane"] = frame["laneId"].to_numpy(float)
    else:
        states["x"], states["y"] = frame["xCenter"], frame["yCenter"]
        states["heading"] = np.radians(frame["heading"].to_numpy(float))
        states["length"], states["width"] = frame["length"].to_numpy(float), frame["width"].to_numpy(float)
    states["kind"] = pd.Categorical(meta["class"].astype(str))
    states["recording"] = pd.Categorical([name] * len(frame))
    states["track"] = pd.Categorical(frame[key].astype(str))
    about = pd.DataFrame({"recording": states["recording"],
                          "track": pd.Categorical(name + "/" + frame[key].astype(str))})
    for column in wanted:
        if column in about:
            continue
        if column in meta:
            about[column] = pd.Categorical(text(meta[column]))
        elif column in recording:
            about[column] = pd.Categorical(list(text(recording[column].iloc[:1])) * len(frame))
        elif column in frame:
            about[column] = pd.Categorical(text(frame[column]))
    return states, about
