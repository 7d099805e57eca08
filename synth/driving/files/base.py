"""What every format is given: the scenes, the roads they play on, their weather."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synth.driving.files.roads import Road, roads
from synth.driving.files.weather import WEATHER, Weather, weather
from synth.driving.labels import labels as manoeuvres
from synth.driving.scenes import Scenes

SYNTHETIC = {"SyntheticData": "YES"}  # said wherever a format has a place for it
NOTE = "SyntheticData=YES: drawn from a generative model; no recording of anybody's drive"


@dataclass(frozen=True, kw_only=True)
class Released:
    """A set of scenes on its way out."""

    scenes: Scenes
    roads: list[Road]
    which: NDArray[np.int64]  # the road of each scene
    weather: list[Weather]  # of each scene
    shows: NDArray[np.str_]  # manoeuvre that each scene shows by the rules, whatever it was asked to show

    @classmethod
    def of(cls, scenes: Scenes, friction: Mapping[str, float]) -> Released:
        """The set with its roads and weather worked out."""
        stretches, which = roads(scenes)
        labels = scenes.table[WEATHER].tolist() if WEATHER in scenes.table else [None] * len(scenes)
        known: dict[str | None, Weather] = {}
        for label in labels:
            key = label if isinstance(label, str) else None
            known.setdefault(key, weather(key, friction))
        return cls(scenes=scenes, roads=stretches, which=which,
                   weather=[known[label if isinstance(label, str) else None] for label in labels],
                   shows=manoeuvres(scenes))

    def road(self, row: int) -> Road:
        """The road of a scene."""
        return self.roads[int(self.which[row])]

    def slots(self, row: int) -> list[int]:
        """Slots that hold a vehicle, the ego vehicle first."""
        return [int(slot) for slot in np.flatnonzero(self.scenes.present[row])]


def number(row: int) -> str:
    """A scene's name: its number in the set."""
    return f"{row:06d}"
