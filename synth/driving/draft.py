"""`synth init FOLDER`: a first contract from recordings of traffic, for a person to read, correct and confirm.

The draft says how the recordings are written, never what is in them.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from synth.contract.traffic import DERIVED, SIGNALS, STATES, RecordingFormat
from synth.errors import UserError

_MARKS = {  # of a CSV or Parquet table's columns
    RecordingFormat.NGSIM: {"vehicle_id", "local_x", "local_y"},
    RecordingFormat.ARGOVERSE2: {"track_id", "timestep", "position_x", "position_y", "object_type"}}
_NAMES = {  # of columns, by what they may be called; the first that is there is proposed
    "time": ("time", "t", "timestamp", "time_s", "seconds", "frame_time", "sim_time"),
    "track": ("track", "track_id", "trackid", "vehicle", "vehicle_id", "trip", "trip_id", "id", "object_id", "car_id"),
    "x": ("x", "x_m", "pos_x", "position_x", "x_utm", "easting", "xcenter", "local_x"),
    "y": ("y", "y_m", "pos_y", "position_y", "y_utm", "northing", "ycenter", "local_y"),
    "heading": ("heading", "heading_rad", "yaw", "psi", "psi_rad", "orientation", "angle"),
    "speed": ("speed", "v", "velocity", "speed_mps", "speed_kmh", "v_vel"),
    "length": ("length", "vehicle_length", "len"), "width": ("width", "vehicle_width"),
    "kind": ("kind", "type", "class", "vehicle_type", "agent_type", "object_type"),
    "lane": ("lane", "lane_id", "laneid"), "recording": ("recording", "recording_id", "recordingid", "case_id",
                                                         "scenario_id", "file", "session", "run")}
_TABLES = (".csv", ".parquet")
_ENTITIES = ("driver", "driver_id", "trip", "trip_id", "vin", "plate")
_METADATA = ("weather", "road", "daylight", "road_condition")
_IDENTIFYING = ("plate", "vin", "driver", "phone", "name", "latitude", "longitude", "lat", "lon", "lng", "trip",
                "road_id", "imei")
_HEAD = """\
# Drafted by `synth init` from recordings of traffic on {day}. It holds guesses, and no value of the data. Please
#   1. read `synthesis.traffic`: which columns hold what, in which units, how large a scene is, the width of lanes;
#   2. say which column names the driver or trip (`synthesis.entity`): no driver may be in two parts of the split;
#   3. keep the columns that describe a scene (weather) and give those that identify anybody role identifier.
# Then run `synth check` on this file. data_contracts/README.md explains every field.
"""


def recognises(source: str) -> bool:
    """Whether this looks like recordings of vehicles: by names of files, and columns of one table."""
    try:
        return _format(source) is not None
    except (UserError, OSError):
        return False


def _format(source: str) -> RecordingFormat | None:
    if re.match(r"[a-z0-9+.-]+://", source, re.IGNORECASE):
        return None
    from synth.driving.readers.telemetry import BUSES, FRAME
    path = Path(source)
    names = [path.name] if path.is_file() else [p.name for p in sorted(path.rglob("*"))[:2000] if p.is_file()] \
        if path.is_dir() else []
    low = [n.lower() for n in names]
    if any(re.fullmatch(r"\d+_tracks\.csv", n) for n in low):
        return RecordingFormat.LEVELX
    xml = [p for p in ([path] if path.is_file() else sorted(path.rglob("*.xml"))[:1]) if p.suffix.lower() == ".xml"]
    if xml and len([n for n in low if n.endswith(".xml")]) >= 0.5 * len(low):
        with xml[0].open("rb") as file:
            head = file.read(4096).lower()
        return RecordingFormat.COMMONROAD if b"<commonroad" in head else \
            RecordingFormat.FCD if b"<fcd-export" in head else None
    if low and sum(n.endswith((*BUSES, ".dbc")) for n in low) >= 0.5 * len(low) and any(n.endswith(BUSES) for n in low):
        return RecordingFormat.TELEMETRY
    if not any(n.endswith((".csv", ".parquet", ".txt", ".csv.gz", ".tsv")) for n in low):
        return None
    columns = {c.lower() for c in _columns(source)}
    for kind, marks in _MARKS.items():
        if marks <= columns:
            return kind
    found = _mapped(list(_columns(source)))
    has_motion = "speed" in found or "heading" in found or "lane" in found
    if {"time", "track", "x", "y"} <= set(found) and has_motion:
        return RecordingFormat.TABLE
    log = set(_signals(list(columns)))
    return RecordingFormat.TELEMETRY if set(FRAME) <= columns or {"time", "speed", "yaw_rate"} <= log else None


def _columns(source: str) -> list[str]:
    from synth.tabular.source import guess_options, open_source

    path = Path(source)
    if path.is_dir() and not any(p.suffix.lower() in _TABLES for p in path.iterdir()):  # a folder for each driver
        source = str(next((p for p in sorted(path.rglob("*")) if p.suffix.lower() in _TABLES), path))
    return open_source(source, guess_options(source)).names


def _mapped(names: list[str]) -> dict[str, str]:
    """The column proposed for each of STATES."""
    low = {name.lower(): name for name in reversed(names)}
    found: dict[str, str] = {}
    for state, tries in _NAMES.items():
        name = next((low[t] for t in tries if t in low and low[t] not in found.values()), None)
        if name is not None:
            found[state] = name
    return found


def _signals(names: list[str]) -> dict[str, str]:
    """The channel proposed for each of SIGNALS."""
    low = {name.lower(): name for name in reversed(names)}
    tries = {"time": _NAMES["time"], "speed": (*_NAMES["speed"], "vehicle_speed", "vehiclespeed"),
             "yaw_rate": ("yaw_rate", "yawrate", "yaw_velocity"),
             "acceleration": ("acceleration", "accel", "longitudinal_acceleration", "acc_x", "ax"),
             "lateral_acceleration": ("lateral_acceleration", "acc_y", "ay"),
             "steering_angle": ("steering_angle", "steeringangle", "steering_wheel_angle", "steering"),
             "throttle": ("throttle", "accelerator", "accelerator_pedal", "throttle_position"),
             "brake": ("brake", "brake_pedal", "brake_position")}
    return {key: next(low[n] for n in named if n in low) for key, named in tries.items() if set(named) & set(low)}


def draft(source: str, name: str) -> str:
    """YAML of a contract called ``name`` for the recordings at ``source``; :class:`UserError` if not understood."""
    kind = _format(source)
    if kind is None:
        raise UserError("this does not look like recordings of traffic", where=source,
                        todo="give a table with time, track, x and y, or NGSIM, highD, Argoverse 2, CommonRoad or FCD, "
                             "or logs of speed and yaw rate")
    columns: list[str] = []
    block = [f"      format: {kind.value}"]
    entity, weather = None, None
    options: dict[str, str] = {}
    log = kind is RecordingFormat.TELEMETRY
    if log:
        block += _of_log(source)
        columns.append(_column("folder", "identifier", "direct", "Name of the folder that a log is in; or name a text "
                               "column of the logs."))
        entity = "folder"
    if kind is RecordingFormat.TABLE:
        from synth.tabular.source import guess_options, open_source

        options = guess_options(source)
        names = open_source(source, options).names
        mapped = _mapped(names)
        block.append("      columns:  # confirm")
        block += [f"        {state}: {json.dumps(mapped[state])}" for state in STATES if state in mapped]
        block.append("      units: {length: m, speed: m/s, angle: rad, time: s}  # confirm; `synth check` asks where "
                     "the numbers do not fit")
        low = {n.lower(): n for n in names}
        entity = next((low[e] for e in _ENTITIES if e in low), None)
        weather = next((low[m] for m in _METADATA if m in low), None)
        kept = {low[m] for m in _METADATA if m in low}
        secret = {n for n in names if any(re.search(rf"(^|_){w}(_|$)", n.lower()) for w in _IDENTIFYING)}
        if entity is not None:
            secret.add(entity)
        columns += [_column(n, "identifier", "direct") for n in names if n in secret and n not in DERIVED]
        columns += [_column(n, "categorical", "none") for n in names if n in kept and n not in secret | set(DERIVED)]
    derived = [_column("manoeuvre", "categorical", "none", "What the scene shows, by rules."),
               _column("lanes", "numeric", "none", "Lanes of the road.", "integer"),
               _column("density", "numeric", "none", "Vehicles per km and lane round the scene.", "number"),
               _column("speed", "numeric", "none", "The ego vehicle's first speed, m/s.", "number"),
               _column("min_ttc", "numeric", "none", "Least time to collision, s, 10 at most.", "number")]
    block += [f"      vehicles: {1 if log else 4}", "      seconds: 8",
              "      rate: 5  # Hz of the scenes; no more than the recordings'",
              "      stride: 2",
              *([] if log else ["      # laneWidth: 3.5  # needed where the recordings have no numbers of lanes"])]
    if entity is None:
        block.append("      eachTrackIsADriver: false  # no driver or trip was found; a run waits until you name the "
                     "column, or assert this")
    location = str(Path(source).resolve()) if Path(source).exists() else source
    server = {"csv": "csv", "parquet": "parquet"}.get(options.get("format", ""), kind.value)
    reading = [f"    {ours}: {json.dumps(options[theirs])}" for ours, theirs in
               (("delimiter", "delimiter"), ("encoding", "encoding")) if theirs in options]
    conditions = ["manoeuvre", *([weather] if weather else [])]
    lines = [
        _HEAD.format(day=datetime.now(UTC).date()), "apiVersion: v3.1.0", "kind: DataContract", f"id: {name}",
        f"name: {name}", 'version: "1.0.0"', "status: draft", "description:",
        '  purpose: ""  # what the synthetic scenes are for; it stands in the report', "", "servers:",
        "  - server: source", "    type: local", f"    location: {json.dumps(location)}", f"    format: {server}",
        *reading, "",
        "schema:", "  - name: scenes", "    physicalType: table",
        "    description: One row is one scene, some seconds of traffic round one vehicle.", "    properties:",
        *columns, *derived, "    customProperties:",
        *([f"      - {{property: synthesis.entity, value: {json.dumps(entity)}}}"] if entity else []),
        "      - {property: synthesis.target, value: manoeuvre}",
        "      - {property: synthesis.task, value: classification}",
        f"      - {{property: synthesis.conditions, value: {json.dumps(conditions)}}}", "", "customProperties:",
        "  - {property: synthesis.domain, value: driving}", "  - property: synthesis.traffic", "    value:", *block]
    return "\n".join(lines) + "\n"


def _of_log(source: str) -> list[str]:
    """What is known of the channels of logs."""
    path = Path(source)
    tables = path.suffix.lower() in _TABLES or any(p.suffix.lower() in _TABLES for p in path.rglob("*"))
    found = _signals(_columns(source)) if tables else {}
    lines = ["      columns:  # confirm: the channels that hold them; yaw_rate: null if there is none"]
    lines += [f"        {key}: {json.dumps(found.get(key, key))}" for key in SIGNALS if key in (*SIGNALS[:3], *found)]
    return [*lines, "      units: {speed: m/s, angle: rad, time: s}  # confirm; yaw rates are angles a second",
            "      # dbc: bus.dbc  # needed for logs of CAN messages"]


def _column(name: str, role: str, privacy: str, description: str = "", kind: str = "string") -> str:
    lines = [f"      - name: {json.dumps(name)}", f"        logicalType: {kind}"]
    lines.append(f"        description: {json.dumps(description)}")
    if role != "identifier":
        lines.append("        required: true")
    lines += ["        customProperties:", f"          - {{property: synthesis.role, value: {role}}}",
              f"          - {{property: synthesis.privacy, value: {privacy}}}"]
    if role == "identifier":
        lines.append("          - {property: synthesis.generate, value: drop}")
    return "\n".join(lines)
