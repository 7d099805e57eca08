"""Recordings brought to one clock: what is kept is right, what is wrong is counted and does not come along."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from synth.driving.scenes import Kind
from synth.driving.tracks import kind_of, recordings
from tests.driving.recorded import states


def read(table: pd.DataFrame, rate: float = 5.0):
    refused: Counter[str] = Counter()
    return recordings(table, rate, refused), refused


def one(**changed: object) -> pd.DataFrame:
    table = states(recordings=1, lanes=1, each=2)
    return table.assign(**changed)


def test_clean_tracks_are_resampled_and_nothing_is_refused() -> None:
    table = states(recordings=2, seconds=6)
    found, refused = read(table)
    assert not refused and [r.name for r in found] == ["r0", "r1"]
    first = found[0]
    assert first.x.shape == (12, 30) and np.isfinite(first.x).all()
    track = table[(table.recording == "r0") & (table.track == "00")]
    assert np.abs(first.x[first.track == 0][0] - track.x.to_numpy()[::2]).max() < 0.02
    assert np.abs(first.speed[first.track == 0][0] - track.speed.to_numpy()[::2]).max() < 0.02
    assert (first.lane[0] == 1).all() and first.sizes[0].tolist() == [4.5, 1.8]


def test_speed_and_heading_follow_from_the_path() -> None:
    table = one()
    found, _ = read(table.drop(columns=["speed", "heading"]))
    given, _ = read(table)
    inside = slice(1, -1)
    assert np.abs(found[0].speed - given[0].speed)[:, inside].max() < 0.1
    assert np.abs(found[0].heading - given[0].heading)[:, inside].max() < 0.02


def test_gaps_split_a_track_and_jumps_do() -> None:
    table = one()
    holed = table.drop(table.index[(table.track == "00") & table.time.between(5, 7)])
    found, refused = read(holed)
    assert refused == {"gaps": 1} and len(found[0].rows) == 3
    jumped = table.copy()
    jumped.loc[(jumped.track == "00") & (jumped.time > 6), "x"] += 40
    found, refused = read(jumped)
    assert refused == {"jumps": 1} and len(found[0].rows) == 3
    whole = np.isfinite(found[0].x).sum()
    assert whole >= 2 * 70 - 2  # nothing is made up between the pieces, and little is lost


def test_repeated_rows_are_kept_once_and_a_vehicle_in_two_places_is_left_out() -> None:
    table = one()
    found, refused = read(pd.concat([table, table.iloc[:30]]))
    assert refused == {"repeated_rows": 30} and len(found[0].rows) == 2
    twice = table[table.track == "00"].iloc[:20].assign(x=lambda t: t.x + 30)
    found, refused = read(pd.concat([table, twice]))
    assert refused == {"twice_in_a_frame": 1} and len(found[0].rows) == 1


def test_rows_without_numbers_and_short_tracks() -> None:
    table = one()
    table.loc[table.index[3], "x"] = np.nan
    table.loc[table.index[5], "y"] = np.inf
    table.loc[table.index[7], "time"] = np.nan
    found, refused = read(table)
    assert refused == {"not_finite": 3} and len(found[0].rows) == 2 and np.isfinite(found[0].x[0]).all()
    short = pd.concat([table, one(track="9").iloc[:1]])
    assert read(short)[1]["too_short"] == 1
    still = one().assign(x=1.0, y=1.0).drop(columns="heading")
    assert read(still)[1] == {"too_short": 2}


def test_rates_and_sizes() -> None:
    slow = one().iloc[::5]
    found, refused = read(slow)
    assert not found and refused == {"slower_than_rate": 1}
    mixed = one()
    mixed = mixed[(mixed.track == "01") | (np.arange(len(mixed)) % 2 == 0)]  # 5 Hz and 10 Hz
    found, refused = read(mixed)
    assert not refused and found[0].x.shape == (2, 70)
    assert read(one(length=0.0))[1] == {"size": 2}
    assert read(one(length=np.nan))[0][0].sizes[:, 0].tolist() == [4.5, 4.5]


@pytest.mark.parametrize(("name", "kind"), [
    ("Car", Kind.CAR), ("veh_passenger", Kind.CAR), ("Truck", Kind.TRUCK), ("bus", Kind.TRUCK),
    ("motorcyclist", Kind.MOTORCYCLE), ("bicycle", Kind.MOTORCYCLE), ("pedestrian", None), ("static", None)])
def test_kinds(name: str, kind: Kind | None) -> None:
    assert kind_of(name) is kind


def test_people_on_foot_are_counted_and_unnamed_kinds_follow_from_size() -> None:
    assert read(one(kind="pedestrian"))[1] == {"not_a_vehicle": 2}
    assert read(one(length=14.0).drop(columns="kind"))[0][0].kinds.tolist() == [Kind.TRUCK] * 2
