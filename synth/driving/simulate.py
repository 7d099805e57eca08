"""Recordings that hold nothing private: SUMO drives motorways in several weathers and densities.

Each run is one recording of some seconds on a straight road of two or three lanes, as if filmed from above: states of
all vehicles at 5 Hz. SUMO decides who follows, overtakes and brakes; who cuts in, brakes for nothing or looks away is
injected (:mod:`.simulate_worker`), so that every manoeuvre is seen; vehicles wander within their lanes and change
them smoothly. Everything follows from the seed. (Traffic that SUMO drives by itself hardly ever comes below 3 s to
collision.)
"""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synth.driving.safety import GRAVITY
from synth.errors import InternalError, UserError
from synth.progress import Progress, Silent
from synth.seeds import generator

RATE = 5.0  # Hz
_WORKER = Path(__file__).with_name("simulate_worker.py")
_LIMIT = 1800  # s for a batch of runs; one takes a third of a second
_BATCH = 12  # runs of one process
KINDS = ("car", "truck", "motorcycle")
FRICTION = {"clear": 0.9, "rain": 0.65, "snow": 0.45}
_WEATHER = {  # desired speed m/s, time headway s
    "clear": (32.0, 1.15), "rain": (27.0, 1.4), "snow": (20.0, 1.8)}
_DENSITY = {"low": 7.0, "medium": 14.0, "high": 23.0}  # vehicles per km and lane
WANDER, WANDER_TIME = 0.12, 3.0  # m, s: standard deviation and memory of the place within a lane
WANDER_SPEED = 8.0  # m/s; from here on
STEEPEST = 0.15  # tangent of the angle to the road
SMOOTH = 0.5  # s: over which SUMO's straight changes of lanes are bent


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one recording is of."""

    number: int
    weather: str
    density: str
    lanes: int
    seconds: float = 30.0

    def settings(self, seed: int) -> dict[str, Any]:
        """For the worker."""
        speed, tau = _WEATHER[self.weather]
        density = _DENSITY[self.density]
        flowing = min(speed, max((1000 / density - 8) / (1.3 * tau), 4.0))
        return {"seed": int(generator(seed, f"simulate/{self.number}").integers(1, 2**31 - 1)), "lanes": self.lanes,
                "laneWidth": 3.5, "length": 1500.0, "from": 450.0, "to": 1250.0, "warm": 16.0,
                "seconds": self.seconds, "density": density, "speed": speed, "start": flowing, "spread": 0.1,
                "tau": tau, "brakes": min(0.93 * FRICTION[self.weather] * GRAVITY, 8.5), "events": 0.45}


def available() -> bool:
    """Whether SUMO is installed (``libsumo``, with the extra ``demo``)."""
    return importlib.util.find_spec("libsumo") is not None


def runs(count: int, *, seconds: float = 30.0) -> list[Run]:
    """``count`` runs that go round all weathers, densities and numbers of lanes."""
    cells = [(w, d, n) for n in (3, 2) for d in _DENSITY for w in _WEATHER]
    return [Run(number=i, weather=cells[i % len(cells)][0], density=cells[i % len(cells)][1],
                lanes=cells[i % len(cells)][2], seconds=seconds) for i in range(count)]


def simulate(planned: list[Run], *, seed: int, progress: Progress | None = None) -> pd.DataFrame:
    """States of all vehicles of the runs, one row a vehicle and moment.

    Columns: recording, trip, driver, plate, time (s since midnight), x, y (m, in a grid of the country, the road in
    any direction), heading (rad, mathematically), speed (m/s), length, width (m), kind, lane (1 the rightmost),
    weather. Raises :class:`UserError` where ``libsumo`` is not installed.
    """
    if not available():
        raise UserError("SUMO is not installed, so there are no recordings for the demo",
                        todo="install it: pip install 'synth-pipeline[demo]' (package libsumo)")
    progress = progress or Silent()
    frames = []
    with progress.step("drive in SUMO", max(len(planned), 1)) as step:
        for start in range(0, len(planned), _BATCH):
            batch = planned[start:start + _BATCH]
            states, vehicles = _drive([run.settings(seed) for run in batch])
            for i, run in enumerate(batch):
                frames.append(_recording(run, states[states[:, 0] == i, 1:], vehicles[vehicles[:, 0] == i, 1:], seed))
            step.update(start + len(batch), "")
    return pd.concat(frames, ignore_index=True)


def _drive(settings: list[dict[str, Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The worker's states and vehicles."""
    done = subprocess.run([sys.executable, "-P", str(_WORKER)], input=json.dumps(settings).encode(),
                          capture_output=True, timeout=_LIMIT, check=False)
    if done.returncode:
        raise InternalError(f"the simulation in SUMO ended with exit code {done.returncode}")
    said = np.load(io.BytesIO(done.stdout))
    return said["states"], said["vehicles"]


def _recording(run: Run, states: NDArray[np.float64], vehicles: NDArray[np.float64], seed: int) -> pd.DataFrame:
    """One run as a person with a camera and a list of plates would have it."""
    rng = generator(seed, f"recording/{run.number}")
    order = np.lexsort((states[:, 1], states[:, 0]))
    vehicle, step, x, y, lane, speed = states[order].T
    across, heading = np.empty_like(y), np.empty_like(y)
    starts = np.flatnonzero(np.r_[True, (np.diff(vehicle) != 0) | (np.diff(step) != 1)])
    for a, b in zip(starts, np.r_[starts[1:], len(vehicle)], strict=True):
        across[a:b] = _smooth(_held(y[a:b], speed[a:b])) + wander(speed[a:b], rng)
        slope = np.gradient(across[a:b]) * RATE if b - a > 1 else np.zeros(1)
        heading[a:b] = np.arctan2(slope, np.maximum(speed[a:b], 0.5))
    size = vehicles[np.searchsorted(vehicles[:, 0], vehicle)]
    kept = step < _crash(step, x, across, size[:, 2], size[:, 3]) - RATE
    vehicle, step, x, across, heading, speed, lane, size = (
        v[kept] for v in (vehicle, step, x, across, heading, speed, lane, size))
    bearing, east, north = rng.uniform(-np.pi, np.pi), rng.uniform(3e5, 7e5), rng.uniform(5.2e6, 6e6)
    turn = np.array([[np.cos(bearing), -np.sin(bearing)], [np.sin(bearing), np.cos(bearing)]])
    place = np.column_stack([x, across]) @ turn.T
    names = np.array([f"{run.number:03d}-{int(v):04d}" for v in vehicles[:, 0]])
    plates = np.array([f"{''.join(rng.choice(list('ABCDEFGHKLMNPRSTUVWXYZ'), 3))}-{rng.integers(1000, 9999)}"
                       for _ in vehicles])
    drivers = np.array([f"D{rng.integers(10**8, 10**9)}" for _ in vehicles])
    which = np.searchsorted(vehicles[:, 0], vehicle)
    return pd.DataFrame({
        "recording": f"rec-{run.number:03d}", "trip": names[which], "driver": drivers[which], "plate": plates[which],
        "time": np.round(rng.integers(21600, 72000) + step / RATE, 3), "x": np.round(east + place[:, 0], 3),
        "y": np.round(north + place[:, 1], 3), "heading": np.round(np.angle(np.exp(1j * (heading + bearing))), 5),
        "speed": np.round(np.hypot(speed, np.tan(heading) * speed), 3), "length": size[:, 2], "width": size[:, 3],
        "kind": np.array(KINDS)[size[:, 1].astype(int)], "lane": lane.astype(np.int64) + 1, "weather": run.weather})


def _crash(step: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], length: NDArray[np.float64],
           width: NDArray[np.float64]) -> float:
    """The first step at which two vehicles touch; a recording ends before it. Infinite without one."""
    for at in np.unique(step):
        here = step == at
        near = np.abs(x[here] - x[here][:, None]) < (length[here] + length[here][:, None]) / 2
        beside = np.abs(y[here] - y[here][:, None]) < (width[here] + width[here][:, None]) / 2
        if (near & beside).sum() > here.sum():
            return float(at)
    return float("inf")


def wander(speed: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A smooth wander about 0 of a vehicle in its lane, m: an Ornstein-Uhlenbeck process of second order, [steps].

    Its clock runs with the vehicle, and stands while it stands.
    """
    keep = np.exp(-3.0 / WANDER_TIME / RATE)
    clock = np.cumsum(np.minimum(speed / WANDER_SPEED, 1.0))
    found = np.empty(len(speed) + 42)
    first = second = 0.0
    for i, push in enumerate(rng.normal(size=len(found))):
        first = keep * first + push
        second = keep * second + (1 - keep) * first
        found[i] = second
    scale = (1 - keep) * np.sqrt((1 + keep**2) / (1 - keep**2) ** 3)  # standard deviation of ``second``
    return WANDER / scale * np.interp(clock + 40, np.arange(len(found)), found)


def _held(path: NDArray[np.float64], speed: NDArray[np.float64]) -> NDArray[np.float64]:
    """The path across the road, no steeper than a car that goes forward can drive."""
    found = path.copy()
    for i in range(1, len(path)):
        most = STEEPEST * speed[i] / RATE
        found[i] = found[i - 1] + min(max(path[i] - found[i - 1], -most), most)
    return found


def _smooth(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """The path averaged with a bell of SMOOTH seconds."""
    from scipy.ndimage import gaussian_filter1d

    found: NDArray[np.float64] = gaussian_filter1d(path, SMOOTH * RATE, mode="nearest")
    return found
