"""The process that drives SUMO: arrays in on standard input, arrays out on standard output (both ``.npz``).

It runs apart because libsumo warns of another Arrow library than its own, and because a simulator keeps global
state. It imports numpy and libsumo only. Nothing about the vehicles touches a disk: the network is a road's shape,
and the device writes its conflicts into memory.
"""

from __future__ import annotations

import io
import math
import os
import sys
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np

TTC, DRAC = 10.0, 0.1  # thresholds of the device, s and m/s^2: what is milder is not told
_OPTIONS = (
    "--lateral-resolution", "0.4", "--collision.action", "warn", "--collision.mingap-factor", "0",
    "--collision.check-junctions", "false", "--time-to-teleport", "-1", "--no-step-log", "--no-warnings",
    "--xml-validation", "never", "--device.ssm.probability", "1", "--device.ssm.measures", "TTC DRAC",
    "--device.ssm.thresholds", f"{TTC:g} {DRAC:g}", "--device.ssm.range", "400", "--device.ssm.extratime", "0.1",
    "--device.ssm.trajectories", "false",
)


def main() -> None:
    """Replay every scene of standard input on its road's network, one after the other."""
    answer = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the simulator prints to standard output
    given = np.load(io.BytesIO(sys.stdin.buffer.read()))
    found = simulate(given, sys.argv[1:])
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **found)
    with os.fdopen(answer, "wb") as stream:
        stream.write(out.getvalue())


def simulate(given: Any, networks: list[str]) -> dict[str, np.ndarray]:
    """What SUMO says of each scene: ``collisions`` [n], ``min_ttc`` [n] s, ``drac`` [n], ``error`` [n] m."""
    import libsumo

    states, present, sizes, which = (np.asarray(given[name]) for name in ("states", "present", "sizes", "which"))
    found = {"collisions": np.zeros(len(states), bool), "min_ttc": np.full(len(states), np.inf),
             "drac": np.zeros(len(states)), "error": np.zeros(len(states))}
    memory = os.memfd_create("conflicts") if hasattr(os, "memfd_create") else None
    conflicts = os.devnull if memory is None else f"/proc/self/fd/{memory}"
    for number, path in enumerate(networks):
        rows = np.flatnonzero(which == number)
        if not len(rows):
            continue
        libsumo.start(["sumo", "-n", path, "--step-length", repr(float(given["dt"])), *_OPTIONS,
                       "--device.ssm.file", conflicts])
        libsumo.route.add("along", ["road"])
        for row in rows:
            _scene(libsumo, int(row), states[row], present[row], sizes[row], float(given["dt"]), found)
        libsumo.close()
        if memory is None:
            found["drac"][rows] = np.nan  # where files in memory cannot be had
        else:
            _drac(memory, found["drac"])
    return found


def _drac(memory: int, drac: np.ndarray) -> None:
    """Largest DRAC of each ego vehicle, from the device's conflicts; they are cleared for the next road."""
    os.lseek(memory, 0, os.SEEK_SET)
    text = b"".join(iter(lambda: os.read(memory, 1 << 20), b""))
    os.ftruncate(memory, 0)
    os.lseek(memory, 0, os.SEEK_SET)
    for conflict in ET.fromstring(text).iter("conflict"):
        row, _, slot = conflict.get("ego", "").partition(".")
        most = conflict.find("maxDRAC")
        value = "NA" if most is None else most.get("value", "NA")
        if slot == "0" and value not in ("NA", ""):
            drac[int(row)] = max(drac[int(row)], float(value))


def _scene(libsumo: Any, row: int, states: np.ndarray, present: np.ndarray, sizes: np.ndarray, dt: float,
           found: dict[str, np.ndarray]) -> None:
    """One scene; its vehicles come one step early, so that SUMO knows their speed at the first step."""
    vehicle, ego = libsumo.vehicle, f"{row}.0"
    names = {int(slot): f"{row}.{slot}" for slot in np.flatnonzero(present)}
    for slot, name in names.items():
        vehicle.add(name, "along", depart="now")
        vehicle.setLength(name, float(sizes[slot, 0]))
        vehicle.setWidth(name, float(sizes[slot, 1]))
        vehicle.setMinGap(name, 0.0)
        vehicle.setMaxSpeed(name, 100.0)
        vehicle.setSpeedMode(name, 0)
        vehicle.setLaneChangeMode(name, 0)
    for step in range(-1, states.shape[1]):
        asked = {}
        for slot, name in names.items():
            s, d, heading, speed = (float(v) for v in states[slot, max(step, 0)])
            back = speed * dt if step < 0 else 0.0
            half = float(sizes[slot, 0]) / 2 - back  # SUMO's position is the middle of the front bumper
            asked[name] = (s + half * math.cos(heading), d + half * math.sin(heading))
            vehicle.moveToXY(name, "", -1, *asked[name], 90.0 - math.degrees(heading), 2)
        libsumo.simulationStep()
        for name, (x, y) in asked.items():
            at = vehicle.getPosition(name)
            found["error"][row] = max(found["error"][row], math.hypot(at[0] - x, at[1] - y))
        if step < 0:
            continue
        found["collisions"][row] |= len(libsumo.simulation.getCollisions()) > 0
        said = vehicle.getParameter(ego, "device.ssm.minTTC")
        if said not in ("", "NA"):
            found["min_ttc"][row] = min(found["min_ttc"][row], float(said))
    for name in names.values():
        vehicle.remove(name)
    libsumo.simulationStep()


if __name__ == "__main__":
    main()
