"""Drives of single vehicles from logs without positions: where a vehicle goes follows from its speed and yaw rate.

A log is a recording with one track. Its way is dead-reckoned, and what bends over a long way (the road, drift of the
sensor) is taken out by running means over :data:`ROAD` metres, so that what is left is how the vehicle moves along its
road and within it; the road is straight then, and which lane it was is not known. Without a yaw rate the vehicle keeps
to the middle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.contract.odcs import did_you_mean
from synth.contract.traffic import UNITS, Traffic
from synth.driving.measured import PREFIX
from synth.driving.readers.base import Recorded, files, gathered, text
from synth.driving.readers.table import FACTORS
from synth.driving.readers.telemetry import BUSES, Misfit, Telemetry, read_telemetry
from synth.driving.scenes import MEASURED
from synth.errors import UserError
from synth.progress import Progress

SUFFIXES = (".csv", ".parquet", *BUSES)
ROAD, STEP = 800.0, 2.0  # m; a change of lane within 90 m keeps four fifths of its way
FINER = 2.0  # how many values a step of a scene is made of
FASTEST, TURNING, SIDEWAYS = 75.0, 2.0, 15.0  # m/s, rad/s, m/s^2: hardly anybody does more
NAMES = {"km/h": ("km/h", "kmh", "kph", "kmph", "km/hr"), "m/s": ("m/s", "mps", "m/sec"), "mph": ("mph", "mi/h"),
         "ft/s": ("ft/s", "fps"), "deg": ("deg/s", "°/s", "dps", "degree/s", "deg", "°"),
         "rad": ("rad/s", "rps", "rad"),
         "%": ("%", "percent"), "g": ("g",), "m/s^2": ("m/s^2", "m/s²", "m/s2", "m/s/s")}
KINDS = {"acceleration": "acceleration", "lateral_acceleration": "acceleration", "yaw_rate": "angle",
         "steering_angle": "angle", "throttle": "pedal", "brake": "pedal"}  # measured channel -> what unit it has
MOST = {"acceleration": 15.0, "angle": 15.0, "pedal": 1.2}  # that is ordinary: m/s^2, rad (of a steering wheel), 1


def read(source: str, options: Iterable[tuple[str, str]], block: Traffic, wanted: list[str], progress: Progress
         ) -> Recorded:
    """See :data:`synth.driving.readers.base.Reader`. About a drive: recording, folder, and texts of a table's columns
    that are the same in all its rows, such as a driver."""
    refused: Counter[str] = Counter()
    parts: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    found, last = files(source, SUFFIXES), None
    with progress.step("read the logs", len(found)) as step:
        for number, path in enumerate(found):
            try:
                log = read_telemetry(str(path), rate=FINER * block.rate, dbc=block.dbc, time=block.column("time"))
                states = _states(log, block, refused, str(path))
            except Misfit:
                raise
            except UserError as error:
                refused["damaged"] += 1
                last = error
            else:
                if states is not None:
                    parts.append((states, _about(path, len(states), wanted)))
            step.update(number + 1)
    if not parts and last is not None:
        raise last
    return gathered([(s.assign(recording=pd.Categorical([str(n)] * len(s)), track=pd.Categorical(["ego"] * len(s))), a)
                     for n, (s, a) in enumerate(parts)], refused)


def _states(log: Telemetry, block: Traffic, refused: Counter[str], where: str) -> pd.DataFrame | None:
    """Time, x, y, heading and speed of one log; ``None`` if its values come more slowly than the contract's rate."""
    name, turn = block.column("speed"), dict(block.columns).get("yaw_rate", "yaw_rate")
    _known(name, log, where)
    turns = bool(turn) and (turn in log.table or "yaw_rate" in dict(block.columns))
    if turns:
        _known(turn, log, where)
    _fitting(log.units.get(name, ""), block.units.speed, "speeds", "speed", where)
    _fitting(log.units.get(turn, "") if turns else "", block.units.angle, "yaw rates", "angle", where)
    if max(log.every[name], log.every[turn] if turns else 0.0) > 1.05 / block.rate:
        refused["slower_than_rate"] += 1
        return None
    speed = log.table[name].to_numpy(np.float64) * FACTORS[block.units.speed]
    rate = log.table[turn].to_numpy(np.float64) * FACTORS[block.units.angle] if turns else np.zeros(len(speed))
    _likely(speed, rate, where)
    there = np.isfinite(speed) & np.isfinite(rate)
    more = {PREFIX + name: values for name in MEASURED
            if (values := _channel(log, name, block, refused, where)) is not None}
    dt = float(log.table["time"].iloc[1]) if len(log.table) > 1 else 1.0
    parts = [_driven(log.table["time"].to_numpy(np.float64)[run], speed[run], rate[run], dt).assign(
                 **{name: values[run] for name, values in more.items()})
             for run in np.split(np.arange(len(speed)), np.flatnonzero(np.diff(there.astype(int))) + 1)
             if len(run) > 2 and there[run[0]]]
    return pd.concat(parts, ignore_index=True) if parts else None


def _driven(time: NDArray[np.float64], speed: NDArray[np.float64], rate: NDArray[np.float64], dt: float
            ) -> pd.DataFrame:
    """The way of one stretch without silence."""
    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.r_[0.0, np.cumsum((values[1:] + values[:-1]) / 2)] * dt
        return found

    angle, way = summed(rate), summed(speed)
    heading = angle - _road(way, angle)
    across = summed(speed * np.sin(heading))
    return pd.DataFrame({"time": time, "x": summed(speed * np.cos(heading)), "y": across - _road(way, across),
                         "heading": heading, "speed": speed})


def _road(way: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean over a way in m of a straight line's rest, and the line: nothing bends towards the ends."""
    grid = np.arange(0.0, way[-1] + STEP, STEP)
    even = np.interp(grid, way, values)
    line = np.polyval(np.polyfit(grid, even, 1), grid) if len(grid) > 2 else even
    total = np.r_[0.0, np.cumsum(even - line)]
    at, over = np.arange(len(grid)), round(ROAD / STEP / 2)
    low, high = np.maximum(at - over, 0), np.minimum(at + over, len(grid) - 1)
    found: NDArray[np.float64] = np.interp(way, grid, line + (total[high + 1] - total[low]) / (high + 1 - low))
    return found


def _channel(log: Telemetry, name: str, block: Traffic, refused: Counter[str], where: str
             ) -> NDArray[np.float64] | None:
    """A measured channel in SI units; ``None`` if the log has none, or tells it more slowly than scenes need it."""
    named = dict(block.columns)
    column, kind = named.get(name, name), KINDS[name]
    if not column or (column not in log.table and name not in named):
        return None
    _known(column, log, where)
    unit = getattr(block.units, kind)
    _fitting(log.units.get(column, ""), unit, f"channels of {name.replace('_', ' ')}", kind, where)
    if log.every[column] > 1.05 / block.rate:
        refused["slow_channel"] += 1
        return None
    values = log.table[column].to_numpy(np.float64) * FACTORS[unit]
    known = values[np.isfinite(values)]
    if len(known) and float(np.quantile(np.abs(known), 0.99)) > MOST[kind]:
        other = next(u for u in UNITS[kind] if u != unit)
        raise Misfit(f"the channels of {name.replace('_', ' ')} are more than vehicles have", where=where,
                     todo=f"say `units: {{{kind}: {other}}}` under synthesis.traffic if they are, or leave the channel "
                          f"out with `columns: {{{name}: null}}`")
    return values


def _about(path: Path, rows: int, wanted: list[str]) -> pd.DataFrame:
    about = {"recording": path.name, "folder": path.parent.name}
    rest = [name for name in wanted if name not in about]
    if rest and path.suffix.lower() in (".csv", ".parquet"):
        table = _columns(path, rest)
        for name in rest:
            said = list(text(table[name]).dropna().unique()) if name in table else []
            if len(said) == 1:
                about[name] = said[0]
    return pd.DataFrame({name: pd.Categorical([value] * rows) for name, value in about.items()})


def _columns(path: Path, wanted: list[str]) -> pd.DataFrame:
    """Those of the columns that a table has, and no others."""
    if path.suffix.lower() == ".csv":
        return pd.read_csv(path, usecols=lambda name: name in wanted)
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read([name for name in wanted if name in file.schema_arrow.names]).to_pandas()


def _known(name: str, log: Telemetry, where: str) -> None:
    if name not in log.table:
        raise UserError(f"the log has no channel {name!r}", where=where,
                        todo=f"name it under `columns` of synthesis.traffic; "
                             f"{did_you_mean(name, [str(c) for c in log.table if c != 'time'])}")


def _fitting(told: str, said: str, what: str, key: str, where: str) -> None:
    """The log tells its units, and they are not the contract's."""
    meant = next((unit for unit, names in NAMES.items() if told.strip().lower() in names), said)
    if meant != said:
        raise Misfit(f"the log says that its {what} are in {told.strip()}", where=where,
                     todo=f"say `units: {{{key}: {meant}}}` under synthesis.traffic")


def _likely(speed: NDArray[np.float64], rate: NDArray[np.float64], where: str) -> None:
    known = np.isfinite(speed) & np.isfinite(rate)
    if not known.any():
        return
    if float(np.quantile(np.abs(speed[known]), 0.99)) > FASTEST:
        raise Misfit("the speeds are more than vehicles drive", where=where,
                     todo="say `units: {speed: km/h}` under synthesis.traffic if they are")
    sideways = np.abs(speed * rate)[known]
    if float(np.quantile(np.abs(rate[known]), 0.99)) > TURNING or float(np.quantile(sideways, 0.99)) > SIDEWAYS:
        raise Misfit("the yaw rates are more than vehicles turn", where=where,
                     todo="say `units: {angle: deg}` under synthesis.traffic if they are degrees a second")


