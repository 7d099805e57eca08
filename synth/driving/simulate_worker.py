"""The process that drives SUMO: settings of runs in (JSON), states of vehicles out (``.npz``), by standard streams.

It runs apart because libsumo warns of another Arrow library than its own, and because a simulator keeps global state.
It imports numpy and libsumo only. What SUMO does not do by itself is done to it here: drivers who cut in, who brake
hard for nothing that the others see, and who look away while the one ahead brakes.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from typing import Any

import numpy as np

DT = 0.2  # s
NEVER_ALONE, USUAL = 256, 1621  # lane change modes: only as told, avoiding crashes; SUMO's own
CUT_IN, BRAKE, LOOK_AWAY = range(3)
_SHARES = (0.45, 0.25, 0.3)  # of the three, among what is injected
KINDS = (("car", "passenger", 0.83), ("truck", "truck", 0.14), ("motorcycle", "motorcycle", 0.03))  # ours, SUMO's
_OPTIONS = ("--step-length", str(DT), "--step-method.ballistic", "true", "--lanechange.duration", "4",
            "--collision.action", "warn", "--time-to-teleport", "-1", "--max-depart-delay", "2", "--no-step-log",
            "--no-warnings", "--xml-validation", "never", "--default.speeddev", "0")


def main() -> None:
    """Run every setting of standard input, one after the other."""
    answer = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the simulator prints to standard output
    runs = json.load(sys.stdin)
    states, vehicles = [], []
    for number, run in enumerate(runs):
        found, sizes = simulate(run)
        states.append(np.column_stack([np.full(len(found), number), found]))
        vehicles.append(np.column_stack([np.full(len(sizes), number), sizes]))
    out = io.BytesIO()
    arrays: Any = {"states": np.concatenate(states), "vehicles": np.concatenate(vehicles)}
    np.savez(out, **arrays)
    with os.fdopen(answer, "wb") as stream:
        stream.write(out.getvalue())


def network(lanes: int, width: float, length: float) -> str:
    """A straight one-way road as a SUMO network; lane 0 is on the right and begins at y = 0."""
    y = [f"{(i + 0.5) * width:.3f}" for i in range(lanes)]
    drawn = "".join(f'<lane id="road_{i}" index="{i}" speed="60" length="{length}" width="{width}" '
                    f'shape="0,{at} {length},{at}"/>' for i, at in enumerate(y))
    box, top = f"0,0,{length},{lanes * width}", lanes * width
    every = " ".join(f"road_{i}" for i in range(lanes))
    return (f'<net version="1.20"><location netOffset="0,0" convBoundary="{box}" origBoundary="{box}" '
            f'projParameter="!"/><edge id="road" from="start" to="end" priority="1">{drawn}</edge>'
            f'<junction id="start" type="dead_end" x="0" y="0" incLanes="" intLanes="" shape="0,0 0,{top}"/>'
            f'<junction id="end" type="dead_end" x="{length}" y="0" incLanes="{every}" intLanes="" '
            f'shape="{length},0 {length},{top}"/></net>')


def simulate(run: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """States [m, 6] (vehicle, step, x, y of the box's centre, lane, speed) and vehicles [v, 4] (number, kind, size)."""
    import libsumo

    with tempfile.TemporaryDirectory() as folder:
        net, types = os.path.join(folder, "net.xml"), os.path.join(folder, "types.xml")
        with open(net, "w", encoding="utf-8") as file:
            file.write(network(run["lanes"], run["laneWidth"], run["length"]))
        with open(types, "w", encoding="utf-8") as file:
            file.write("<additional>" + "".join(
                f'<vType id="{name}" vClass="{sumo}" carFollowModel="IDM" lcSpeedGain="1.4" lcKeepRight="0.6" '
                f'lcAssertive="1.2"/>' for name, sumo, _ in KINDS) + "</additional>")
        libsumo.start(["sumo", "-n", net, "-a", types, "--seed", str(run["seed"]), *_OPTIONS])
        try:
            return _Traffic(libsumo, run).recorded()
        finally:
            libsumo.close()


class _Traffic:
    """One run: drivers come, drive, do what they are made to do, and are watched on a part of the road."""

    def __init__(self, libsumo: Any, run: dict[str, Any]) -> None:
        self.sumo, self.api, self.run = libsumo, libsumo.vehicle, run
        self.rng = np.random.default_rng(run["seed"])
        self.made: dict[str, tuple[int, float, float]] = {}  # kind, length, width
        self.busy: dict[str, int] = {}  # vehicles that are made to do something, and the step at which it ends
        self.away: dict[str, tuple[str, int]] = {}  # who looks away, from whom, until which step
        libsumo.route.add("along", ["road"])

    def recorded(self) -> tuple[np.ndarray, np.ndarray]:
        run, rows = self.run, []
        self._fill()
        first = round(run["warm"] / DT)
        for step in range(first + round(run["seconds"] / DT)):
            self._arrive()
            self.sumo.simulationStep()
            there = self._there()
            self._wake(there, step)
            if step >= first - 10 and self.rng.random() < run["events"] * DT:
                self._inject(there, step)
            if step >= first:
                rows += [(int(name), step - first, x - self.made[name][1] / 2, y, lane, v)
                         for name, (lane, x, y, v) in there.items()
                         if run["from"] <= x - self.made[name][1] / 2 <= run["to"]]
        sizes = [(int(name), *made) for name, made in self.made.items()]
        return np.array(rows, float).reshape(-1, 6), np.array(sizes, float).reshape(-1, 4)

    def _there(self) -> dict[str, tuple[int, float, float, float]]:
        api, found = self.api, {}
        for name in api.getIDList():
            x, y = api.getPosition(name)
            found[name] = (api.getLaneIndex(name), x, y, api.getSpeed(name))
        return found

    def _fill(self) -> None:
        """Vehicles all along the road, at the density of the run."""
        gap = 1000.0 / self.run["density"]
        for lane in range(self.run["lanes"]):
            at = self.run["length"] - self.rng.uniform(0, gap)
            while at > 30:
                self._add(lane, at)
                at -= max(self.rng.gamma(2.5, gap / 2.5), 9.0)

    def _arrive(self) -> None:
        flow = self.run["density"] / 1000.0 * self.run["speed"]
        for lane in range(self.run["lanes"]):
            if self.rng.random() < flow * DT:
                self._add(lane, 20.0)

    def _add(self, lane: int, at: float) -> None:
        rng, run, api, name = self.rng, self.run, self.api, str(len(self.made))
        kind = int(rng.choice(len(KINDS), p=[share for *_, share in KINDS]))
        length, width = ((rng.normal(4.6, 0.35), rng.normal(1.82, 0.06)), (rng.uniform(8, 16.5), 2.5),
                         (rng.normal(2.2, 0.1), 0.8))[kind]
        desired = run["speed"] * (rng.normal(1.0, run["spread"]) if kind != 1 else rng.normal(0.78, 0.04))
        api.add(name, "along", KINDS[kind][0], depart="now", departLane=str(lane), departPos=f"{at:.2f}",
                departSpeed="max")  # as fast as is safe there
        self.made[name] = (kind, round(float(length), 2), round(float(width), 2))
        api.setLength(name, self.made[name][1])
        api.setWidth(name, self.made[name][2])
        api.setMaxSpeed(name, max(float(desired), 3.0))
        api.setTau(name, float(np.clip(rng.lognormal(np.log(run["tau"]), 0.3), 0.6, 3.5)))
        api.setMinGap(name, float(rng.uniform(1.5, 3.0)))
        api.setAccel(name, float(rng.uniform(0.8, 1.8) if kind != 1 else rng.uniform(0.4, 0.8)))
        api.setDecel(name, float(rng.uniform(1.6, 2.6)))
        api.setEmergencyDecel(name, float(run["brakes"]))
        api.setMaxSpeedLat(name, float(rng.uniform(0.7, 1.5)))

    def _wake(self, there: dict[str, tuple[int, float, float, float]], step: int) -> None:
        """Give drivers back to SUMO whose part is over, and those who must look up now."""
        for name, (ahead, until) in list(self.away.items()):
            if name in there and ahead in there:
                gap = there[ahead][1] - self.made[ahead][1] - there[name][1]
                closing = there[name][3] - there[ahead][3]
                late = closing > 0.5 and (gap / closing < 1.6 or closing**2 / (2 * max(gap, 0.1))
                                          > 0.55 * self.run["brakes"])
                if step < until and not late and gap > 3:
                    continue
            if name in there:
                self.api.setSpeed(name, -1)
                self.api.setSpeedMode(name, 31)
            del self.away[name]
        for name in [name for name, until in self.busy.items() if step >= until]:
            if name in there:
                self.api.setLaneChangeMode(name, USUAL)
            del self.busy[name]

    def _inject(self, there: dict[str, tuple[int, float, float, float]], step: int) -> None:
        what = int(self.rng.choice(3, p=_SHARES))
        names = [n for n, (_, x, _, v) in there.items() if self.run["from"] + 80 <= x <= self.run["to"] - 50
                 and n not in self.busy and v > 4]
        for name in self.rng.permutation(names)[:25]:
            if self._make(str(name), what, there, step):
                return

    def _make(self, name: str, what: int, there: dict[str, tuple[int, float, float, float]], step: int) -> bool:
        lane, x, _, v = there[name]
        brakes = self.run["brakes"]
        if what == CUT_IN:
            for side in self.rng.permutation([-1, 1]):
                to = lane + int(side)
                if not 0 <= to < self.run["lanes"]:
                    continue
                gaps = [(x - self.made[name][1] - ox, ov) for n, (ol, ox, _, ov) in there.items() if ol == to
                        and ox <= x and n not in self.busy]
                front = [ox - self.made[n][1] - x for n, (ol, ox, _, _) in there.items() if ol == to and ox > x]
                if not gaps or (front and min(front) < 9):
                    continue
                gap, behind = min(gaps)
                closing = max(behind - v, 0.0)
                if 4 < gap < 28 and closing**2 / (2 * gap) < 0.35 * brakes:
                    self.api.setLaneChangeMode(name, NEVER_ALONE)
                    self.api.changeLane(name, to, 6)
                    self.busy[name] = step + 40
                    return True
            return False
        loss = min(self.rng.uniform(4, 13), v - 1)
        self_brakes = self.rng.uniform(min(3.9, 0.95 * brakes), min(brakes, 8.0))
        if what == LOOK_AWAY:
            behind_me = [(x - self.made[name][1] - ox, n) for n, (ol, ox, _, _) in there.items()
                         if ol == lane and ox < x and n not in self.busy]
            if not behind_me:
                return False
            gap, other = min(behind_me)
            if not 6 < gap < 40 or other in self.away:
                return False
            self.api.setLaneChangeMode(other, 0)
            self.api.setSpeedMode(other, 0)
            self.api.setSpeed(other, there[other][3])
            self.away[other] = (name, step + round(3.5 / DT))
            self.busy[other] = step + 50
            loss = min(max(loss, 8.0), v - 1)
        self.api.setLaneChangeMode(name, 0)
        self.api.slowDown(name, v - loss, loss / self_brakes)
        self.busy[name] = step + 25
        return True


if __name__ == "__main__":
    main()
