"""``synthesis.traffic``: what a contract says of the recorded traffic that its scenes are cut from.

The table of such a contract has one row a scene (a window of some seconds round one vehicle). Some of its columns are
derived (:data:`DERIVED`), the others come with the recordings; this block says how the recordings are read, how large a
scene is, and what is released.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from synth.contract.odcs import did_you_mean
from synth.contract.settings import Notes, Settings
from synth.errors import UserError

if TYPE_CHECKING:
    from synth.driving.scenes import SceneShape

_KEYS = ("format", "columns", "units", "vehicles", "seconds", "rate", "stride", "lanes", "laneWidth", "friction",
         "eachTrackIsADriver", "release", "scenarioFiles", "dbc", "positions", "endpoints")
DERIVED = ("manoeuvre", "lanes", "density", "speed", "min_ttc", "max_drac", "min_pet")  # made, not read
STATES = ("time", "track", "x", "y", "heading", "speed", "length", "width", "kind", "lane", "recording")
NEEDED = ("time", "track", "x", "y")  # of STATES; without a heading or a speed they follow from the path
SIGNALS = ("time", "speed", "yaw_rate", "acceleration", "lateral_acceleration", "steering_angle", "throttle",
           "brake")  # what is asked of the channels of a log; speed is needed
UNITS = {"length": ("m", "ft"), "speed": ("m/s", "km/h", "mph", "ft/s"), "angle": ("rad", "deg"), "time": ("s", "ms"),
         "acceleration": ("m/s^2", "g"), "pedal": ("1", "%"), "position": ("grid", "deg")}
RELEASES = ("argoverse2", "openscenario", "commonroad", "sumo", "telemetry")
VEHICLES, SECONDS, RATE = (1, 16), (1.0, 60.0), (1.0, 25.0)
MOST_STEPS = 256  # of a scene
FRICTION = 0.9  # of a dry road
POSITIONS = ("local", "global")  # of a stretch of road, or of places on earth, as a tracker in the vehicle has them
ENDPOINTS = 200.0  # m round the ends of trips that are cut away where places are on earth
LANE_WIDTH = 3.5  # m, of the one lane that a log without positions is put into


class RecordingFormat(StrEnum):
    """How the recordings are written."""

    TABLE = "table"  # CSV or Parquet with the contract's own columns
    NGSIM = "ngsim"  # CSV, feet, 10 Hz
    LEVELX = "levelx"  # the highD and inD families of CSV files
    ARGOVERSE2 = "argoverse2"  # motion forecasting, Parquet
    COMMONROAD = "commonroad"  # XML
    FCD = "fcd"  # SUMO's floating car data, XML
    TELEMETRY = "telemetry"  # logs of single vehicles without positions: CSV, Parquet, MF4, CAN messages with a DBC


@dataclass(frozen=True, kw_only=True, slots=True)
class Units:
    """Of the recordings' numbers; tables and logs alone, the other formats say theirs."""

    length: str = "m"
    speed: str = "m/s"
    angle: str = "rad"
    time: str = "s"
    acceleration: str = "m/s^2"
    pedal: str = "1"  # of a throttle or a brake: 1 is all of it
    position: str = "grid"  # in units of length; "deg": x is a longitude, y a latitude


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """The traffic of a data set of scenes."""

    format: RecordingFormat = RecordingFormat.TABLE
    columns: tuple[tuple[str, str], ...] = ()  # (one of STATES or SIGNALS, its column); "": none; not named: that name
    units: Units = field(default_factory=Units)
    vehicles: int = 4  # the ego vehicle included
    seconds: float = 8.0
    rate: float = 5.0  # Hz that scenes have; recordings have it or a higher one
    stride: float = 2.0  # s from one window to the next
    lanes: int | None = None  # of each direction, where the recordings do not say
    lane_width: float | None = None  # m
    friction: tuple[tuple[str, float], ...] = ()  # value of the weather column, coefficient of friction
    each_track_is_a_driver: bool = False  # asserted by a person where no column names a driver or trip
    positions: str = "local"
    endpoints: float | None = None  # m round the ends of a driver's trips; None: ENDPOINTS of places on earth, else 0
    dbc: str | None = None  # of logs of CAN messages: the file that says what they mean
    release: tuple[str, ...] = ("argoverse2", "openscenario", "commonroad", "sumo")
    scenario_files: int = 100  # released scenes that also have files of their own (XML); the tables hold all
    line: int = field(default=0, compare=False)

    @property
    def steps(self) -> int:
        """Of a scene."""
        return round(self.seconds * self.rate)

    @property
    def stride_steps(self) -> int:
        """Steps from one window to the next."""
        return max(1, round(self.stride * self.rate))

    @property
    def shape(self) -> SceneShape:
        """How large a scene is."""
        from synth.driving.scenes import SceneShape

        return SceneShape(vehicles=self.vehicles, steps=self.steps, rate=self.rate)

    def trimmed(self, on_earth: bool = False) -> float:
        """Metres round the ends of trips that are cut away; ``on_earth``: the recordings have latitudes."""
        if self.endpoints is not None:
            return self.endpoints
        return ENDPOINTS if on_earth or self.positions == "global" else 0.0

    def column(self, state: str) -> str:
        """The table's column for one of STATES."""
        return dict(self.columns).get(state, state)

    def mu(self, weather: str | None) -> float:
        """Coefficient of friction under a weather; a dry road's where the contract says nothing."""
        return dict(self.friction).get(weather or "", FRICTION)


def traffic(notes: Notes, settings: Settings) -> Traffic | None:
    """The block of a contract, ``None`` if it has none; problems go to ``notes``."""
    value, place = settings.get("traffic")
    if value is None:
        return None
    found = notes.keys(place, value, _KEYS, "'synthesis.traffic'")
    before = len(notes.problems)
    said: dict[str, Any] = {"line": notes.document.line(place)}
    if "format" in found:
        try:
            said["format"] = RecordingFormat(found["format"])
        except ValueError:
            notes.add("unknown format of the recordings", (*place, "format"),
                      did_you_mean(str(found["format"]), list(RecordingFormat)))
    log = said.get("format") is RecordingFormat.TELEMETRY
    _columns(notes, found.get("columns"), (*place, "columns"), said, SIGNALS if log else STATES,
             ("time", "speed") if log else NEEDED)
    _units(notes, found.get("units"), (*place, "units"), said)
    for key, name, (low, high), whole in (
            ("vehicles", "vehicles", VEHICLES, True), ("seconds", "seconds", SECONDS, False),
            ("rate", "rate", RATE, False), ("stride", "stride", (0.2, 600.0), False), ("lanes", "lanes", (1, 12), True),
            ("laneWidth", "lane_width", (2.4, 5.0), False), ("scenarioFiles", "scenario_files", (0, 50_000), True),
            ("endpoints", "endpoints", (0, 10_000), False)):
        if key in found:
            number = notes.number((*place, key), found[key], f"{key!r} of the traffic")
            if number is not None and (not low <= number <= high or (whole and number != int(number))):
                notes.add(f"{key!r} of the traffic must be a {'whole ' if whole else ''}number from {low:g} to "
                          f"{high:g}", (*place, key), "correct it")
            elif number is not None:
                said[name] = int(number) if whole else float(number)
    _friction(notes, found.get("friction"), (*place, "friction"), said)
    if "eachTrackIsADriver" in found:
        if not isinstance(found["eachTrackIsADriver"], bool):
            notes.add("'eachTrackIsADriver' of the traffic must be true or false", (*place, "eachTrackIsADriver"),
                      "write true or false")
        else:
            said["each_track_is_a_driver"] = found["eachTrackIsADriver"]
    if "positions" in found:
        if found["positions"] not in POSITIONS:
            notes.add("unknown kind of positions", (*place, "positions"), f"write {' or '.join(POSITIONS)}")
        else:
            said["positions"] = found["positions"]
    _release(notes, found.get("release"), (*place, "release"), said)
    _dbc(notes, found.get("dbc"), (*place, "dbc"), said)
    if len(notes.problems) > before:
        return None
    if log:
        said.setdefault("lane_width", LANE_WIDTH)
    block = Traffic(**said)
    if not 3 <= block.steps <= MOST_STEPS:
        notes.add(f"a scene of {block.steps} steps is not between 3 and {MOST_STEPS}", place,
                  "change 'seconds' or 'rate'; steps are their product")
    if block.format not in (RecordingFormat.TABLE, RecordingFormat.TELEMETRY) and (block.columns or "units" in found):
        notes.add(f"'columns' and 'units' are for tables and logs; {block.format} has its own", place, "remove them")
    if block.format is RecordingFormat.TELEMETRY and block.vehicles != 1:
        notes.add("a log without positions tells of one vehicle", (*place, "vehicles"), "write `vehicles: 1`")
    if block.format is RecordingFormat.TELEMETRY and {"positions", "endpoints"} & set(found):
        notes.add("a log without positions has no ends of trips to cut", place, "remove `positions` and `endpoints`")
    if block.format is not RecordingFormat.TELEMETRY and block.dbc is not None:
        notes.add("a DBC file is for logs of CAN messages", (*place, "dbc"), "remove it, or write `format: telemetry`")
    return block if len(notes.problems) == before else None


def _columns(notes: Notes, value: Any, place: Any, said: dict[str, Any], known: tuple[str, ...],
             needed: tuple[str, ...]) -> None:
    if value is None:
        return
    found = notes.keys(place, value, known, "'columns' of the traffic")
    for key, name in found.items():
        if name is None and key not in needed:
            found[key] = ""
        elif not isinstance(name, str) or not name.strip():
            notes.add(f"the column for {key!r} must be text", (*place, key), "name a column of the recordings")
            return
    named = [name for key, name in found.items() if name and key != "recording"]  # each track may be its own recording
    if len(set(named)) < len(named):
        notes.add("two of the traffic's 'columns' are the same column", place, "correct one of them")
    said["columns"] = tuple(found.items())


def _units(notes: Notes, value: Any, place: Any, said: dict[str, Any]) -> None:
    if value is None:
        return
    found = notes.keys(place, value, UNITS, "'units' of the traffic")
    for key, unit in found.items():
        if unit not in UNITS[key]:
            notes.add(f"unknown unit of {key}", (*place, key), f"one of {', '.join(UNITS[key])}")
            return
    said["units"] = Units(**found)


def _friction(notes: Notes, value: Any, place: Any, said: dict[str, Any]) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        notes.add("'friction' of the traffic must be a mapping", place, "e.g. {clear: 0.9, snow: 0.4}")
        return
    pairs = []
    for key, given in value.items():
        number = notes.number((*place, key), given, f"the friction of {key!r}")
        if number is not None and not 0.05 <= number <= 1.2:
            notes.add(f"the friction of {key!r} must be from 0.05 to 1.2", (*place, key), "0.9 is a dry road, 0.3 snow")
        elif number is not None:
            pairs.append((key, float(number)))
    said["friction"] = tuple(pairs)


def _dbc(notes: Notes, value: Any, place: Any, said: dict[str, Any]) -> None:
    if value is None:
        return
    from synth.contract.load import resolve

    if not isinstance(value, str) or not value.strip():
        notes.add("'dbc' of the traffic must be the path of a file", place, "write e.g. bus.dbc")
        return
    try:
        said["dbc"] = resolve(value, notes.document.path)
    except UserError as error:
        notes.add(error.what, place, error.todo)


def _release(notes: Notes, value: Any, place: Any, said: dict[str, Any]) -> None:
    if value is None:
        return
    if not isinstance(value, list) or not value or len(set(map(str, value))) < len(value):
        notes.add("'release' of the traffic must be a list of formats", place, f"some of {', '.join(RELEASES)}")
        return
    for i, name in enumerate(value):
        if name not in RELEASES:
            notes.add("unknown format of the released files", (*place, i), did_you_mean(str(name), list(RELEASES)))
            return
    said["release"] = tuple(value)
