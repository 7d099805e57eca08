"""Small logs of single drives without positions, as CSV, MF4 and CAN messages with their DBC; contracts for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.driving.recorded import document

DBC = """VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 291 Motion: 4 ECU
 SG_ Speed : 0|16@1+ (0.01,0) [0|655.35] "km/h" ECU
 SG_ YawRate : 16|16@1- (0.0001,0) [-3|3] "rad/s" ECU
BO_ 512 Pedals: 2 ECU
 SG_ Brake : 0|8@1+ (0.4,0) [0|100] "%" ECU
 SG_ Gear : 8|3@1+ (1,0) [0|7] "" ECU
"""


def drive(seed: int, *, seconds: float = 40.0, rate: float = 20.0, bend: float = 0.0, changes: float | None = None
          ) -> pd.DataFrame:
    """``time``, ``speed`` (m/s) and ``yaw_rate`` (rad/s) of a drive round a bend of a curvature (1/m), which brakes now
    and then; at ``changes`` seconds it goes 3.5 m to the left within 4 s."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    speed = 22 + 3 * np.sin(time / rng.uniform(5, 9) + rng.uniform(0, 6)) + rng.uniform(-3, 3)
    for start in rng.uniform(0, seconds, round(seconds / 20)):
        speed = speed - 7 * np.clip((time - start) / 1.6, 0, 1) + 7 * np.clip((time - start - 3) / 6, 0, 1)
    speed = np.maximum(speed, 3.0)
    heading = 0.004 * np.cumsum(rng.normal(0, 1, len(time))) / np.sqrt(rate)
    heading -= np.convolve(np.pad(heading, 20, "edge"), np.ones(41) / 41, "valid")
    if changes is not None:
        share = np.clip((time - changes) / 4, 0, 1)
        heading = heading + np.arctan(np.gradient(3.5 * (3 * share**2 - 2 * share**3), time) / speed)
    return pd.DataFrame({"time": time, "speed": speed, "yaw_rate": np.gradient(heading, time) + bend * speed})


def sensed(seed: int, table: pd.DataFrame, *, wander: float = 0.2, bias: float = 0.3) -> pd.DataFrame:
    """The drive as sensors and pedals tell it: accelerations that lag, tremble and wander with the slope, a steering
    wheel (fifteen times the wheels), pedals with a dead zone."""
    rng = np.random.default_rng(1000 + seed)
    dt = float(table["time"].iloc[1])
    along = np.gradient(table["speed"].to_numpy(), dt)
    rate, speed = table["yaw_rate"].to_numpy(), table["speed"].to_numpy()

    def slow(values: np.ndarray, seconds: float) -> np.ndarray:
        out, share = values.copy(), dt / seconds
        for i in range(1, len(out)):
            out[i] = out[i - 1] + share * (values[i] - out[i - 1])
        return out

    drift = wander * slow(rng.normal(0, np.sqrt(2 / dt), len(along)), 2.0)
    need = slow(along, 0.3) + 0.1 + 3e-4 * speed**2
    return table.assign(
        acceleration=slow(along, 0.3) + drift + bias + rng.normal(0, 0.1, len(along)),
        lateral_acceleration=speed * rate + 0.05 * speed * rng.normal(0, 0.1, len(along)),
        steering_angle=15 * np.arctan(2.7 * rate / np.maximum(speed, 1)) + rng.normal(0, 0.01, len(along)),
        throttle=np.clip(need / 4, 0, 1), brake=np.clip(-need / 9 - 0.02, 0, 1))


def write_messages(path: Path, table: pd.DataFrame, dbc: Path) -> None:
    """A candump of the drive, as the bus of :data:`DBC` sends it."""
    import cantools

    database = cantools.database.load_file(dbc)
    lines = []
    for row in table.itertuples():
        data = database.encode_message("Motion", {"Speed": 3.6 * row.speed, "YawRate": row.yaw_rate})
        lines.append(f"({1.7e9 + row.time:.6f}) can0 123#{data.hex().upper()}\n")
    path.write_text("".join(lines))


def write_mf4(path: Path, table: pd.DataFrame, unit: str = "m/s") -> None:
    """The drive's two channels as a measurement."""
    from asammdf import MDF, Signal

    with MDF(version="4.10") as log:
        log.append([Signal(table[n].to_numpy(), table["time"].to_numpy(), name=n, unit=u)
                    for n, u in (("speed", unit), ("yaw_rate", "rad/s"))])
        log.save(path, overwrite=True)


def contract_document(location: str, **traffic: Any) -> dict[str, Any]:
    """An ODCS document for a folder of logs, one folder a driver."""
    return document(location, traffic={"format": "telemetry", "vehicles": 1, "seconds": 6, "rate": 5, "stride": 2,
                                       **traffic}, entity="folder", extra=())
