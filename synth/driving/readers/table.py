"""Trajectories in a CSV or Parquet table: one row a vehicle and moment, columns as the contract maps them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synth.contract.odcs import did_you_mean
from synth.contract.traffic import NEEDED, STATES, Traffic
from synth.driving.readers.base import FOOT, Recorded
from synth.driving.safety import GRAVITY
from synth.errors import Problems, UserError
from synth.progress import Progress
from synth.tabular.source import open_source

_TEXTS = ("track", "kind", "recording")
FACTORS = {"m": 1.0, "ft": FOOT, "m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704, "ft/s": FOOT, "rad": 1.0,
           "deg": np.pi / 180, "s": 1.0, "ms": 1e-3, "m/s^2": 1.0, "g": GRAVITY, "1": 1.0,
           "%": 0.01}
EARTH = 6_371_008.8  # m, mean radius
ON_EARTH = {"lat", "latitude", "lon", "lng", "long", "longitude", "gps_lat", "gps_lon", "gps_latitude",
            "gps_longitude"}  # a table with such a column comes from a tracker in the vehicle
_KIND = {"x": "length", "y": "length", "length": "length", "width": "length", "speed": "speed", "heading": "angle",
         "time": "time"}


def read(source: str, options: Iterable[tuple[str, str]], block: Traffic, wanted: list[str], progress: Progress
         ) -> Recorded:
    """See :data:`synth.driving.readers.base.Reader`."""
    opened = open_source(source, options)
    columns = dict(block.columns)
    here = {state: columns.get(state, state) for state in STATES}
    missing = [s for s in STATES if here[s] and here[s] not in opened.names and (s in columns or s in NEEDED)]
    if missing:
        raise Problems([UserError(
            f"column {here[s]!r} for {s!r} is not in the recordings", where=source,
            todo=f"name it under `columns` of synthesis.traffic; {did_you_mean(here[s], opened.names)}")
            for s in missing])
    states = [s for s in STATES if here[s] in opened.names]
    others = [name for name in wanted if name in opened.names]
    asked = list(dict.fromkeys([here[s] for s in states] + others))
    parts: dict[str, list[Any]] = {name: [] for name in asked}
    with progress.step("read the recordings", opened.rows or 1) as step:
        done = 0
        for batch in opened.batches(asked):
            for name in asked:
                parts[name].append(batch.column(batch.schema.get_field_index(name)))
            done += batch.num_rows
            step.update(done)
    frame = {name: pa.chunked_array(chunks) if chunks else pa.chunked_array([[]], pa.string())
             for name, chunks in parts.items()}
    out: dict[str, Any] = {}
    for state in states:
        values = frame[here[state]]
        if state in _TEXTS:
            out[state] = _labels(values)
        elif state == "time" and (pa.types.is_timestamp(values.type) or _is_text(values.type)):
            out[state] = _seconds(values, FACTORS[block.units.time])
        else:
            unit = getattr(block.units, _KIND[state]) if state in _KIND else None
            if state in ("x", "y") and block.units.position == "deg":
                unit = None
            out[state] = _numbers(values) * (FACTORS[unit] if unit else 1.0)
    degrees = block.units.position == "deg"
    if degrees:
        out["x"], out["y"] = _on_a_plane(out["x"], out["y"], source)
    if "recording" not in out:
        out["recording"] = pd.Categorical(np.full(len(out["time"]), "recording"))
    return Recorded(states=pd.DataFrame(out), about=pd.DataFrame({name: _labels(frame[name]) for name in others}),
                    on_earth=degrees or any(name.strip().lower() in ON_EARTH for name in opened.names))


def _on_a_plane(longitude: np.ndarray, latitude: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Metres to the east and north of the middle, equirectangular: within 100 km north or south of it distances to the
    east are right to 2 % at 50 degrees, and neighbours stay neighbours."""
    known = np.isfinite(longitude) & np.isfinite(latitude)
    if not known.any():
        return longitude, latitude
    if np.abs(latitude[known]).max() > 90 or np.abs(longitude[known]).max() > 180:
        raise UserError("x and y are no longitudes and latitudes", where=source,
                        todo="map x to the longitude and y to the latitude under `columns`, or leave `position` out of "
                             "the `units` of synthesis.traffic")
    middle = float(np.median(longitude[known])), float(np.median(latitude[known]))
    east = (longitude - middle[0] + 180) % 360 - 180
    return (np.radians(east) * EARTH * np.cos(np.radians(middle[1])), np.radians(latitude - middle[1]) * EARTH)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def _labels(values: pa.ChunkedArray) -> pd.Categorical:
    """Texts, in little memory."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not _is_text(values.type):
        if pa.types.is_floating(values.type):
            numbers = values.to_pandas()
            whole = bool((numbers.dropna() % 1 == 0).all())
            values = pa.chunked_array([pa.Array.from_pandas(numbers.astype("Int64") if whole else numbers)])
        values = values.cast(pa.string())
    coded = values.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return pd.Categorical.from_codes(codes, categories=coded.dictionary.to_pylist())


def _numbers(values: pa.ChunkedArray) -> np.ndarray:
    """Float64; what is no number is NaN."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if _is_text(values.type):
        return pd.to_numeric(values.to_pandas(), errors="coerce").to_numpy(np.float64)
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _seconds(values: pa.ChunkedArray, factor: float) -> np.ndarray:
    """Seconds from numbers in text, or from dates."""
    if pa.types.is_timestamp(values.type):
        return np.asarray(values.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy() / 1e6, np.float64)
    numbers = _numbers(values)
    if len(numbers) and np.isnan(numbers).mean() > 0.5:
        dates = pd.to_datetime(values.to_pandas(), errors="coerce", utc=True, format="ISO8601")
        return (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)
    return numbers * factor
