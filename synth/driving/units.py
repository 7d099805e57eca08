"""Do the numbers of recordings fit the units that the contract names? What does not is asked back, never converted.

Looked at: the size of vehicles, the speed against the way that was driven, the heading against the direction of the
way. A person decides; a wrong guess would put every scene on a wrong scale.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from synth.errors import UserError

LEAST = 200  # steps that a judgement needs
SPEEDS = {3.6: "km/h", 1 / 0.44704: "mph", 1 / 0.3048: "ft/s"}  # how many of them are 1 m/s
NEAR = 0.08  # relative distance at which a ratio is taken for one of these
LENGTH, FEET = (2.5, 8.0), (9.0, 22.0)  # median length of vehicles in m; the same numbers when they are feet
FASTEST = 75.0  # m/s; the median of a road's traffic is below this
CREEPING = 0.005  # of a unit of length a second; a degree is 111 km
CROOKED = 0.3  # rad; the median error of headings above which they are not what they should be


def doubts(states: pd.DataFrame, where: str) -> list[UserError]:
    """What a person must answer before the recordings can be used."""
    dt, dx, dy, row = _steps(states)
    found: list[UserError] = []
    if "length" in states:
        sizes = states["length"].to_numpy(np.float64)
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        if len(sizes) and FEET[0] <= float(np.median(sizes)) <= FEET[1]:
            found.append(UserError("the lengths of vehicles look like feet", where=where,
                                   todo="say `units: {length: ft, ...}` under synthesis.traffic if they are; positions "
                                        "have the same unit"))
    if len(dt) < LEAST:
        return found
    driven = np.hypot(dx, dy) / dt
    x, y = (states[name].to_numpy(np.float64) for name in ("x", "y"))
    moves = driven[driven > 0]
    if (len(moves) >= LEAST and float(np.quantile(moves, 0.9)) < CREEPING and np.nanmax(np.abs(x)) <= 180
            and np.nanmax(np.abs(y)) <= 90):
        return [*found, UserError("the positions look like degrees of longitude and latitude", where=where,
                                  todo="map x to the longitude, y to the latitude, and say `units: {position: deg}` "
                                       "under synthesis.traffic if they are")]
    if "speed" in states:
        said = np.abs(states["speed"].to_numpy(np.float64)[row])
        fit = (driven > 1.0) & np.isfinite(said) & (said > 0)
        if fit.sum() >= LEAST:
            ratio = float(np.median(said[fit] / driven[fit]))
            if abs(ratio - 1) > 2 * NEAR:
                close = min(SPEEDS, key=lambda f: abs(ratio / f - 1))
                inverse = abs(ratio * 3.280839895 - 1) < NEAR
                if abs(ratio / close - 1) < NEAR:
                    what = f"look like {SPEEDS[close]}"
                    todo = f"say `units: {{speed: {SPEEDS[close]}}}` under synthesis.traffic if they are"
                elif inverse:
                    what, todo = "do not fit positions that look like feet", "say `units: {length: ft}` if they are"
                else:
                    what = f"are about {ratio:.2g} times what the positions say"
                    todo = "correct the unit of speeds, positions or times under synthesis.traffic"
                found.append(UserError(f"the speeds {what}", where=where, todo=todo))
    elif float(np.median(driven)) > FASTEST:
        found.append(UserError("vehicles drive faster than vehicles can", where=where,
                               todo="correct the unit of times or positions under synthesis.traffic"))
    if "heading" in states:
        found += _headings(states["heading"].to_numpy(np.float64)[row], np.arctan2(dy, dx), driven, where)
    return found


def _headings(said: np.ndarray, path: np.ndarray, driven: np.ndarray, where: str) -> list[UserError]:
    fit = (driven > 2.0) & np.isfinite(said)
    if fit.sum() < LEAST:
        return []
    said, path = said[fit], path[fit]
    if float(np.abs(said).max()) > 7.0:  # more than a turn
        return [UserError("the headings look like degrees", where=where,
                          todo="say `units: {angle: deg}` under synthesis.traffic if they are")]

    def error(heading: np.ndarray) -> float:
        return float(np.median(np.abs(np.angle(np.exp(1j * (heading - path))))))

    if error(said) <= CROOKED:
        return []
    for what, heading, todo in (
            ("point against the way that is driven", said + np.pi, "an axis is reversed, or the headings are; turn "
             "them round"),
            ("are mirrored", -said, "an axis is reversed (in pictures y points down); give x to the right, y upwards, "
             "headings anticlockwise"),
            ("are mirrored", np.pi - said, "the x axis is reversed; give x to the right, y upwards, headings "
             "anticlockwise"),
            ("are those of a compass (clockwise from north)", np.pi / 2 - said, "give headings anticlockwise from "
             "the x axis, or leave the column out: they follow from the path")):
        if error(heading) <= CROOKED:
            return [UserError(f"the headings {what}", where=where, todo=todo)]
    return [UserError("the headings do not fit the way that is driven", where=where,
                      todo="correct them, or leave the column out: they follow from the path")]


def _steps(states: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Times, ways along x and y and rows of the later states, between states of one track that follow each other."""
    track = pd.factorize(states["track"])[0].astype(np.int64)
    recording = pd.factorize(states["recording"])[0].astype(np.int64)
    time = states["time"].to_numpy(np.float64)
    order = np.lexsort((time, track, recording))[: 2_000_000]
    time, x, y = time[order], states["x"].to_numpy(np.float64)[order], states["y"].to_numpy(np.float64)[order]
    same = (np.diff(track[order]) == 0) & (np.diff(recording[order]) == 0)
    dt, dx, dy = np.diff(time), np.diff(x), np.diff(y)
    with np.errstate(invalid="ignore"):
        good = same & np.isfinite(dt + dx + dy) & (dt > 0) & (dt < 1.5)
    return dt[good], dx[good], dy[good], order[1:][good]
