"""Telemetry of a drive: CSV, Parquet, ASAM MDF 4 (MF4), and logged CAN messages decoded with a DBC.

The result is one table at a fixed rate: ``time`` in seconds from the first value (a clock would say when somebody
drove) and a column a channel, which holds its last value for at most :data:`HOLD` seconds. Only channels that are
numbers are taken. Errors say counts, never a value.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.errors import UserError

HOLD, TICK = 1.0, 1e-6  # s; what clocks of computers since 1970 can tell apart as floats
LOGS = (".asc", ".blf", ".log", ".trc")  # of CAN messages, as python-can reads them
BUSES = (".mf4", ".mdf", *LOGS)  # suffixes that nothing but logs of vehicles have
FRAME = ("time", "id", "data")  # columns of a CSV of CAN messages; data is hexadecimal
FITS = 0.5  # share of the messages with a known number that must have the length that the DBC says
_HEX = set("0123456789abcdefABCDEF")
Frames = Iterable[tuple[float, int, bytes]]
Channel = tuple[list[float], list[float]]  # times and values


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """``table`` float64 with ``time`` and a column a channel (NaN: nothing heard), ``units`` where they are known."""

    table: pd.DataFrame
    units: Mapping[str, str]
    every: Mapping[str, float]  # channel -> median seconds from one value to the next
    refused: Counter[str] = field(default_factory=Counter)  # messages or channels, by reason


class Misfit(UserError):
    """What was said of the log is wrong, not the log: other logs will not fit it either."""


def read_telemetry(source: str, *, rate: float = 10.0, dbc: str | None = None, time: str = "time") -> Telemetry:
    """The channels of one log at ``rate`` Hz.

    ``dbc`` describes the messages of a log of CAN messages (:data:`LOGS`, or a CSV with the columns :data:`FRAME`, or
    an MF4 file with bus logging); ``time`` is the column of seconds of a CSV or Parquet file of channels. Raises
    :class:`UserError` where the log cannot be read, where it needs a DBC, and where the DBC does not fit it.
    """
    path = Path(source)
    if not path.is_file():
        raise UserError("there is no such log", where=source, todo="check its location")
    suffix = path.suffix.lower()
    if suffix in (".mf4", ".mdf"):
        return _measured(path, rate, dbc)
    if suffix in LOGS:
        return _decoded(_logged(path), dbc, source, rate)
    if suffix not in (".csv", ".parquet"):
        raise UserError(f"logs called *{suffix} are not known", where=source,
                        todo=f"use .csv, .parquet, .mf4 or {', '.join(LOGS)}")
    try:
        table = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path)
    except Exception:  # a library's text may quote cells
        raise UserError("the log cannot be read as a table", where=source, todo="check the file") from None
    if set(FRAME) <= set(table.columns):
        return _decoded(_rows(table, source), dbc, source, rate)
    return _channels(table, time, source, rate)


def _channels(table: pd.DataFrame, time: str, source: str, rate: float) -> Telemetry:
    if time not in table.columns:
        raise UserError(f"the log has no column {time!r}", where=source, todo="name the column of seconds with `time`")
    seconds = pd.to_numeric(table[time], errors="coerce").to_numpy(np.float64)
    found, refused = {}, Counter[str]()
    for name in table.columns:
        values = pd.to_numeric(table[name], errors="coerce")
        if name == time:
            continue
        if values.isna().all():
            refused["channel without numbers"] += 1
            continue
        keep = np.isfinite(seconds) & values.notna().to_numpy()
        found[str(name)] = (seconds[keep], values.to_numpy(np.float64)[keep])
    return _at(found, {}, refused, rate, source)


def _measured(path: Path, rate: float, dbc: str | None) -> Telemetry:
    logging.getLogger("asammdf").setLevel(logging.CRITICAL)
    from asammdf import MDF

    try:
        with MDF(path) as log:
            if any("CAN_DataFrame" in name for name in log.channels_db):
                _needed(dbc, str(path))
                _database(str(dbc))  # says what is wrong with it before the other library does
                decoded: Any = log.extract_bus_logging({"CAN": [(str(dbc), 0)]})
                found, units, refused = _signals(decoded)
                decoded.close()
                if not found:
                    raise _misfit(str(dbc), "none of the log's messages is in the DBC")
            else:
                found, units, refused = _signals(log)
    except UserError:
        raise
    except Exception:  # a library's text may quote the file
        raise UserError("the log cannot be read as MDF", where=str(path), todo="check the file") from None
    return _at(found, units, refused, rate, str(path))


def _signals(log: Any) -> tuple[dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]], dict[str, str],
                                Counter[str]]:
    found, units, refused = {}, {}, Counter[str]()
    for signal in log.iter_channels(skip_master=True):
        if signal.samples.dtype.kind not in "biuf" or signal.samples.ndim != 1 or not len(signal.samples):
            refused["channel without numbers"] += 1
            continue
        found[signal.name] = (signal.timestamps.astype(np.float64), signal.samples.astype(np.float64))
        units[signal.name] = signal.unit
    return found, units, refused


def _logged(path: Path) -> Frames:
    import can

    try:
        with can.LogReader(str(path)) as reader:
            return [(m.timestamp, m.arbitration_id, bytes(m.data)) for m in reader if not m.is_error_frame]
    except Exception:  # a library's text may quote the file
        raise UserError("the log of CAN messages cannot be read", where=str(path), todo="check the file") from None


def _rows(table: pd.DataFrame, source: str) -> Frames:
    """Messages of a CSV; numbers of messages are decimal, or hexadecimal with 0x."""
    frames, bad = [], 0
    for time, number, data in table[list(FRAME)].astype("str").itertuples(index=False):
        text = data.replace(" ", "").removeprefix("0x")
        try:
            if len(text) % 2 or not set(text) <= _HEX:
                raise ValueError
            frames.append((float(time), int(number, 0), bytes.fromhex(text)))
        except ValueError:
            bad += 1
    if bad:
        raise UserError(f"{bad:,} of {len(table):,} rows are no CAN messages", where=source,
                        todo="time in s, id decimal or 0x..., data hexadecimal")
    return frames


def _decoded(frames: Frames, dbc: str | None, source: str, rate: float) -> Telemetry:
    _needed(dbc, source)
    database = _database(str(dbc))
    known = {message.frame_id: message for message in database.messages}
    found: dict[str, Channel] = {}
    refused, total, named = Counter[str](), 0, 0
    for time, number, data in frames:
        total += 1
        message = known.get(number)
        if message is None:
            refused["message not in the DBC"] += 1
            continue
        named += 1
        if len(data) < message.length:
            refused["message shorter than the DBC says"] += 1
            continue
        try:
            values = message.decode(data, decode_choices=False)
        except Exception:  # a multiplexer value that the DBC does not know, ...
            refused["message that the DBC cannot decode"] += 1
            continue
        for name, value in values.items():
            if isinstance(value, (int, float)):
                times, numbers = found.setdefault(name, ([], []))
                times.append(time)
                numbers.append(float(value))
    if not total:
        raise UserError("the log has no messages", where=source, todo="check the file")
    if not named:
        raise _misfit(str(dbc), f"none of the log's {total:,} messages is in the DBC")
    bad = refused["message shorter than the DBC says"] + refused["message that the DBC cannot decode"]
    if named - bad < FITS * named:
        raise _misfit(str(dbc), f"{bad:,} of the log's {named:,} messages in the DBC have another length or form there")
    units = {signal.name: signal.unit or "" for message in database.messages for signal in message.signals}
    return _at({name: (np.array(t), np.array(v)) for name, (t, v) in found.items()}, units, refused, rate, source)


def _needed(dbc: str | None, source: str) -> None:
    if dbc is None:
        raise Misfit("a log of CAN messages needs a DBC file that says what they mean", where=source,
                     todo="name it with `dbc`")


def _database(dbc: str) -> Any:
    from cantools import database

    if not Path(dbc).is_file():
        raise Misfit("there is no such DBC file", where=dbc, todo="check its location")
    try:
        return database.load_file(dbc, strict=True)
    except Exception:  # a library's text may quote the file
        raise Misfit("the DBC file cannot be read, or its signals overlap", where=dbc,
                        todo="open it in an editor for DBC files") from None


def _misfit(dbc: str, what: str) -> Misfit:
    return Misfit(f"the DBC does not fit the log: {what}", where=dbc,
                  todo="name the DBC of the bus and the vehicle that the log is from")


def _at(found: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], units: Mapping[str, str],
        refused: Counter[str], rate: float, source: str) -> Telemetry:
    """The channels at one rate: each holds its last value for :data:`HOLD` seconds."""
    times = [t for t, _ in found.values() if len(t)]
    if not times:
        raise UserError("the log has no channel with numbers", where=source, todo="check the file")
    first, last = min(t.min() for t in times), max(t.max() for t in times)
    steps = np.floor((last - first) * rate + TICK)
    if not steps < 1e8:
        raise UserError("the log's times span years", where=source, todo="times must be seconds")
    grid = np.arange(int(steps) + 1) / rate
    columns, every = {"time": grid}, {}
    for name, (t, v) in found.items():
        order = np.argsort(t, kind="stable")
        moments, values = t[order] - first, v[order]
        every[name] = float(np.median(np.diff(moments))) if len(moments) > 1 else np.inf
        at = np.searchsorted(moments, grid + TICK, side="right") - 1
        fresh = (at >= 0) & (grid - moments[np.maximum(at, 0)] <= HOLD + TICK)
        columns[name] = np.where(fresh & np.isfinite(values[np.maximum(at, 0)]), values[np.maximum(at, 0)], np.nan)
    return Telemetry(table=pd.DataFrame(columns), units={n: units.get(n, "") for n in found}, every=every,
                     refused=refused)
