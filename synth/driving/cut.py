"""From the contract's recordings to labelled scenes in memory: read, resample, frame, cut, label, group."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract import Contract
from synth.driving import units
from synth.driving.encroachment import min_pet
from synth.driving.endpoints import trimmed
from synth.driving.groups import Groups, groups
from synth.driving.labels import labels
from synth.driving.measured import measured
from synth.driving.readers import Recorded, read
from synth.driving.road import carriageways
from synth.driving.safety import following
from synth.driving.scenes import EGO, LANES, MANOEUVRE, SPEED, Scenes
from synth.driving.tracks import Recording, recordings
from synth.driving.windows import Windows, windows
from synth.errors import Problems
from synth.progress import Progress

LONGEST, HARDEST = 10.0, 20.0  # s, m/s^2; what is beyond is listed as this


@dataclass(frozen=True)
class Cut:
    """Scenes without entities, the texts of their listing, their groups, and what was put aside."""

    scenes: Scenes
    texts: dict[str, list[str | None]]  # of the contract's columns that are in the listing
    groups: Groups
    refused: Counter[str]
    recordings: int
    vehicles: int  # tracks, pieces of tracks where they have gaps
    longest: float  # s that any recording lasts
    trimmed: dict[str, int] = field(default_factory=dict)  # ends of trips that were cut away: metres and counts


def cut(contract: Contract, progress: Progress) -> Cut:
    """All scenes of the contract's recordings; :class:`Problems` where units do not fit or columns lack."""
    recorded = read(contract, progress)
    if problems := units.doubts(recorded.states, contract.source):
        raise Problems(problems)
    return cut_states(contract, recorded, progress)


def cut_states(contract: Contract, recorded: Recorded, progress: Progress) -> Cut:
    """The same from states that were read."""
    block = contract.traffic
    assert block is not None
    metres = block.trimmed(recorded.on_earth)
    less = trimmed(recorded, metres, contract.entity)
    recorded, refused = less.recorded, Counter(recorded.refused)
    refused["near_an_end"] += less.gone
    found = recordings(recorded.states, block.rate, refused)
    parts: list[tuple[int, Recording, Windows]] = []
    with progress.step("cut scenes", max(len(found), 1)) as step:
        for number, recording in enumerate(found):
            ways, reasons = carriageways(recording, block.lanes, block.lane_width)
            refused.update(f"no_road_frame: {reason}" for reason in reasons)
            for way in ways:
                made = windows(recording, way, block.shape, block.stride_steps, refused)
                if len(made.start):
                    parts.append((number, recording, made))
            step.update(number + 1)
    scenes, rows, place = _together(contract, parts)
    scenes = replace(scenes, measured=measured(recorded.states, found, place, block.shape))
    drivers = _drivers(contract, recorded, rows)
    joined = groups(drivers, place[:, 0], place[:, 1])
    if (joined.group < 0).any():
        refused["shares_a_driver_across_a_cut"] += int((joined.group < 0).sum())
    density = np.concatenate([w.density for _, _, w in parts]) if parts else np.zeros(0)
    return Cut(scenes=scenes, texts=_texts(contract, recorded, scenes, density, rows), groups=joined,
               refused=+refused, recordings=len(found), vehicles=sum(len(r.rows) for r in found),
               longest=max((r.x.shape[1] / r.rate for r in found), default=0.0),
               trimmed={"metres": round(metres), "trips": less.trips, "states": less.states} if metres else {})


def _together(contract: Contract, parts: list[tuple[int, Recording, Windows]]
              ) -> tuple[Scenes, NDArray[np.int64], NDArray[np.int64]]:
    """All scenes in one order; rows of the states' table of everyone in them [n, K]; recording and start [n, 2]."""
    assert contract.traffic is not None
    shape = contract.traffic.shape
    slots, steps = shape.vehicles, shape.steps

    def all_of(name: str, empty: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.concatenate([getattr(w, name) for _, _, w in parts]) if parts else empty

    states = all_of("states", np.zeros((0, slots, steps, 4), np.float32))
    n = len(states)
    rows = np.concatenate([np.where(w.vehicles >= 0, r.rows[np.maximum(w.vehicles, 0)], -1) for _, r, w in parts]) \
        if parts else np.zeros((0, slots), np.int64)
    place = np.concatenate([np.column_stack([np.full(len(w.start), i), w.start]) for i, _, w in parts]) \
        if parts else np.zeros((0, 2), np.int64)
    scenes = Scenes(states=states, present=all_of("present", np.zeros((0, slots), bool)),  # type: ignore[arg-type]
                    sizes=all_of("sizes", np.zeros((0, slots, 2), np.float32)),  # type: ignore[arg-type]
                    kinds=all_of("kinds", np.zeros((0, slots), np.int8)),  # type: ignore[arg-type]
                    road=all_of("road", np.zeros((0, 2), np.float32)),  # type: ignore[arg-type]
                    table=pd.DataFrame(index=pd.RangeIndex(n)), entities=np.zeros(n, np.int64), shape=shape)
    return scenes, rows, place


def _drivers(contract: Contract, recorded: Recorded, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes of everyone in each scene [n, K], -1: nobody. A driver without a name is one for each track."""
    tracks = pd.factorize(pd.MultiIndex.from_arrays([recorded.states["recording"].astype(str),
                                                     recorded.states["track"].astype(str)]))[0]
    codes = np.asarray(tracks, np.int64)
    if contract.entity is not None:
        named = recorded.about[contract.entity]
        known = pd.factorize(named)[0]
        codes = np.where(known >= 0, known, codes + int(known.max(initial=-1)) + 1)
    found: NDArray[np.int64] = np.where(rows >= 0, codes[np.maximum(rows, 0)], -1)
    return found


def _texts(contract: Contract, recorded: Recorded, scenes: Scenes, density: NDArray[np.float64],
           rows: NDArray[np.int64]) -> dict[str, list[str | None]]:
    """The listing's columns as texts: derived ones, and those of the ego vehicle's track."""
    ego = rows[:, EGO] if len(rows) else np.zeros(0, np.int64)
    follows = numbers(scenes)
    made: dict[str, list[str]] = {
        MANOEUVRE: [str(v) for v in labels(scenes)], "lanes": [f"{v:.0f}" for v in follows.pop("lanes")],
        "density": [f"{v:.1f}" for v in density],
        **{name: [f"{v:.2f}" for v in values] for name, values in follows.items()}}
    found: dict[str, list[str | None]] = {}
    for column in contract.columns:
        if column.name in made:
            found[column.name] = list(made[column.name])
        else:
            cells = recorded.about[column.name].iloc[ego].astype(object)
            found[column.name] = [None if pd.isna(v) else str(v) for v in cells]
    return found


def numbers(scenes: Scenes) -> dict[str, NDArray[np.floating]]:
    """The numbers of the listing that follow from a drive, each [n]; unrounded."""
    pairs = following(scenes)
    return {"lanes": scenes.road[:, LANES], "speed": scenes.states[:, EGO, 0, SPEED],
            "min_ttc": np.minimum(pairs.min_ttc, LONGEST), "max_drac": np.minimum(pairs.max_drac, HARDEST),
            "min_pet": np.minimum(min_pet(scenes), LONGEST)}
