"""The road's frame and the windows: straight, bent and two-way roads against what they were made from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from synth.driving.road import carriageways
from synth.driving.scenes import HEADING, SPEED, D, S, SceneShape
from synth.driving.tracks import recordings
from synth.driving.windows import windows
from tests.driving.recorded import LANE, states


def ways(table: pd.DataFrame, **said: float):
    (recording,) = recordings(table, 5.0, Counter())
    return recording, *carriageways(recording, **said)


@pytest.mark.parametrize("bend", [0.0, 1 / 600, -1 / 400])
@pytest.mark.parametrize("bearing", [0.4, -2.5])
def test_the_frame_is_the_one_the_road_was_made_in(bend: float, bearing: float) -> None:
    recording, (way,), reasons = ways(states(recordings=1, bend=bend, bearing=bearing))
    assert not reasons and way.lanes == 3 and way.lane_width == pytest.approx(LANE, abs=0.15)
    lane = np.floor(way.d / way.lane_width)
    right = recording.lane[way.vehicles] - 1
    settled = np.abs(way.d / way.lane_width - lane - 0.5) < 0.3
    assert (lane == right)[settled][: 10 * 70].mean() > 0.95
    assert np.abs(way.heading).max() < 0.15
    driven = np.diff(way.s, axis=1) * 5
    assert np.abs(driven - way.speed[:, 1:]).max() < 1.2  # lanes off the line have another radius
    still = [i for i in range(len(way.d)) if np.ptp(way.d[i]) < 1]
    assert len(still) == 11  # one changes its lane, nobody else seems to


def test_lanes_from_their_width_alone() -> None:
    table = states(recordings=1).drop(columns="lane")
    assert ways(table)[2] == ["lanes_unknown"]
    _, (way,), _ = ways(table, lane_width=LANE)
    assert way.lanes == 3
    assert np.median(np.abs(way.d % LANE - LANE / 2)) < 0.2


def test_two_directions_are_two_roads() -> None:
    there = states(recordings=1)
    back = there.assign(track="b" + there.track, x=2 * there.x.mean() - there.x + 10 * np.sin(0.4) * 2,
                        y=2 * there.y.mean() - there.y - 10 * np.cos(0.4) * 2, heading=there.heading + np.pi)
    _, found, reasons = ways(pd.concat([there, back]))
    assert not reasons and [len(way.vehicles) for way in found] == [12, 12]
    assert all(np.abs(way.heading).max() < 0.15 for way in found)
    assert (np.diff(found[1].s, axis=1) > 0).all()


def test_where_there_is_no_frame() -> None:
    table = states(recordings=1)
    crossing = pd.concat([table.assign(track=table.track + str(i), heading=table.heading + a) for i, a in
                          enumerate((0, np.pi / 2))])
    assert ways(crossing)[2] == ["no_axis"]
    lost = table.assign(heading=table.heading + 0.9 * table.track.str.endswith("0"))  # every fourth crosses the road
    assert ways(lost)[2] == ["astray"]
    assert ways(table.assign(speed=0.1))[2] == ["nobody_moves"]
    assert ways(states(recordings=1, bend=1 / 90, lanes=1, seconds=4, each=2), lane_width=LANE)[2] == ["bends"]
    assert ways(table.assign(lane=1))[2] == ["lanes_unknown"]  # three lanes of one number are none


def test_a_window_starts_at_nought_with_the_nearest() -> None:
    recording, (way,), _ = ways(states(recordings=1))
    refused: Counter[str] = Counter()
    found = windows(recording, way, SceneShape(vehicles=4, steps=20), 5, refused)
    assert len(found.start) == 12 * 11 and not refused
    assert (found.states[:, 0, 0, S] == 0).all() and found.present.all()
    apart = np.hypot(found.states[:, 1:, 0, S], found.states[:, 1:, 0, D] - found.states[:, :1, 0, D])
    assert (np.diff(apart, axis=1) >= -1e-4).all()
    row = 17
    vehicles, at = found.vehicles[row], found.start[row]
    assert np.allclose(found.states[row, 2, :, SPEED], recording.speed[vehicles[2], at:at + 20])
    assert np.allclose(found.states[row, 0, :, D], way.d[list(way.vehicles).index(vehicles[0]), at:at + 20], atol=1e-4)
    assert found.density.min() > 9 and found.density.max() < 120
    assert np.abs(found.states[..., HEADING]).max() < 0.15


def test_a_leader_is_in_the_scene_or_there_is_no_scene() -> None:
    table = states(recordings=1, lanes=1, each=3)
    gone = table[~((table.track == "02") & (table.time > 8))]  # the first of the platoon leaves
    recording, (way,), _ = ways(gone, lane_width=LANE)
    refused: Counter[str] = Counter()
    found = windows(recording, way, SceneShape(vehicles=2, steps=20), 5, refused)
    assert refused["leader_leaves"] > 0
    behind = {int(v): i for i, v in enumerate(recording.track)}[1]
    own = found.vehicles[:, 0] == behind
    early = own & (found.start <= 20)
    assert (found.vehicles[early, 1] == next(i for i in range(3) if recording.track[i] == 2)).all() and early.any()
    assert not (own & (found.start > 20) & (found.start < 41)).any()
