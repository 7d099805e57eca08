"""What a scene's weather means to a simulator, from the words of its listing.

Recordings say "rain" or "wet_night", not millimetres: friction is the contract's figure for the word
(``synthesis.traffic.friction``), the rest are round figures for the kind of weather that the word names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DRY = 0.9  # friction of a road about which nothing is said
WEATHER = "weather"  # the column of the listing


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """Sky, precipitation and road."""

    label: str = ""
    friction: float = DRY  # mu of tyre and road
    precipitation: str = "dry"  # dry, rain or snow
    intensity: float = 0.0  # mm/h
    sight: float = 10_000.0  # m
    night: bool = False

    @property
    def wet(self) -> bool:
        """Whether anything falls."""
        return self.precipitation != "dry"


def weather(label: str | None, friction: Mapping[str, float]) -> Weather:
    """The weather that a word names; unknown words are dry daylight with the contract's friction, if it has one."""
    word = (label or "").lower()
    mu = float(friction.get(label or "", DRY))
    night = "night" in word or "dark" in word
    heavy = "heavy" in word or "storm" in word
    kinds: tuple[tuple[tuple[str, ...], str, float, float], ...] = (
        (("snow", "ice", "icy", "sleet"), "snow", 4.0, 1_000.0),
        (("rain", "wet", "storm", "drizzle"), "rain", 4.0, 3_000.0),
        (("fog", "mist"), "dry", 0.0, 200.0),
    )
    for words, kind, intensity, sight in kinds:
        if any(w in word for w in words):
            return Weather(label=label or "", friction=mu, precipitation=kind, night=night,
                           intensity=intensity * (4 if heavy else 1), sight=sight / (2 if heavy else 1))
    return Weather(label=label or "", friction=mu, night=night)
