"""Scenes: windows of recorded or generated traffic, in one form for generator, gates and export.

A scene is ``K`` vehicles round an ego vehicle over ``T`` steps on a stretch of road with parallel lanes, in the
road's own frame: ``s`` metres along the road from where the ego vehicle starts, ``d`` metres to the left of the
right edge of the drivable lanes, heading in radians from the road's direction (left positive), speed in m/s. Points
are centres of the vehicles' boxes. Nothing in it says where on earth or when it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

S, D, HEADING, SPEED = range(4)  # the last axis of ``Scenes.states``
LENGTH, WIDTH = range(2)  # of ``Scenes.sizes``
LANES, LANE_WIDTH = range(2)  # of ``Scenes.road``
ARRAYS = ("states", "present", "sizes", "kinds", "road")  # of ``Scenes``, which every set has
EGO = 0  # the slot of the ego vehicle
MANOEUVRES = ("free", "follow", "lane_change", "cut_in", "cut_out", "hard_brake", "near_miss")  # what a scene shows
MEASURED = ("acceleration", "lateral_acceleration", "yaw_rate", "steering_angle", "throttle", "brake")  # by a log
MANOEUVRE = "manoeuvre"  # column of ``Scenes.table``, made by the rules of :mod:`.labels`


class Kind(IntEnum):
    """Types of road users that are told apart."""

    CAR = 0
    TRUCK = 1
    MOTORCYCLE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneShape:
    """How large a scene is: the ego vehicle and ``vehicles - 1`` others, ``steps`` at ``rate`` Hz."""

    vehicles: int = 4
    steps: int = 40
    rate: float = 5.0

    @property
    def dt(self) -> float:
        """Seconds between steps."""
        return 1.0 / self.rate


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """``n`` scenes of one shape, in one order.

    ``states`` float32 [n, K, T, 4] (S, D, HEADING, SPEED; 0 where a slot is empty), ``present`` bool [n, K] (slot 0,
    the ego vehicle, always; a vehicle is there for the whole scene or not at all), ``sizes`` float32 [n, K, 2] in m,
    ``kinds`` int8 [n, K] (:class:`Kind`), ``road`` float32 [n, 2] (number of lanes, width of a lane in m),
    ``table`` the working frame of the scenes' listing (manoeuvre, weather, ... ; one row a scene), ``entities`` one
    opaque int64 a scene (the unit of privacy: scenes that share a driver or trip have the same). A synthetic scene
    is an entity of its own. ``measured`` float32 [n, len(MEASURED), T] are channels of the ego vehicle that logs
    measured (units of :mod:`.telemetry`), or that were learnt from such; NaN or ``None``: they follow from the motion.
    Slots after the ego vehicle are ordered by distance to it at the first step.
    """

    states: NDArray[np.float32]
    present: NDArray[np.bool_]
    sizes: NDArray[np.float32]
    kinds: NDArray[np.int8]
    road: NDArray[np.float32]
    table: pd.DataFrame
    entities: NDArray[np.int64]
    shape: SceneShape
    measured: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.states)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Scenes:
        """The scenes at ``rows``, in that order."""
        at = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Scenes(states=self.states[at], present=self.present[at], sizes=self.sizes[at], kinds=self.kinds[at],
                      road=self.road[at], table=self.table.iloc[at].reset_index(drop=True),
                      entities=self.entities[at], shape=self.shape,
                      measured=None if self.measured is None else self.measured[at])


def joined(*parts: Scenes) -> Scenes:
    """All scenes of several parts whose entities are different people; of channels what every part has."""
    before, entities = 0, []
    for part in parts:
        _, inverse = np.unique(part.entities, return_inverse=True)
        entities.append(before + inverse.astype(np.int64))
        before += int(inverse.max(initial=-1)) + 1
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
    measured = [part.measured for part in parts if part.measured is not None]
    return replace(parts[0], **arrays, table=pd.concat([part.table for part in parts], ignore_index=True),
                   entities=np.concatenate(entities),
                   measured=np.concatenate(measured) if len(measured) == len(parts) else None)
