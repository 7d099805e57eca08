"""Units that do not fit the numbers are asked back; right ones are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from synth.driving.units import doubts
from tests.driving.recorded import states

FOOT = 0.3048


@pytest.fixture(scope="module")
def right() -> pd.DataFrame:
    return states(recordings=2, lanes=2, each=3)


def asked(table: pd.DataFrame) -> str:
    found = doubts(table, "recordings")
    assert len(found) <= 2 and all(len(d.render().splitlines()) <= 3 for d in found)
    return " / ".join(d.what for d in found)


def test_right_units_raise_no_question(right: pd.DataFrame) -> None:
    assert asked(right) == ""
    assert asked(right.drop(columns=["heading", "speed", "length"])) == ""
    assert asked(right.assign(heading=right.heading + 4 * np.pi - 0.2).assign(heading=right.heading)) == ""
    slow = right.assign(speed=right.speed * 1.05)
    assert asked(slow) == ""


@pytest.mark.parametrize(("factor", "unit"), [(3.6, "km/h"), (1 / 0.44704, "mph"), (1 / FOOT, "ft/s"), (0.1, "about")])
def test_speeds(right: pd.DataFrame, factor: float, unit: str) -> None:
    assert unit in asked(right.assign(speed=right.speed * factor))


def test_feet(right: pd.DataFrame) -> None:
    feet = right.assign(x=right.x / FOOT, y=right.y / FOOT, length=right.length / FOOT)
    assert "lengths of vehicles look like feet" in asked(feet)
    assert "positions that look like feet" in asked(feet)
    everything = feet.assign(speed=right.speed / FOOT)
    assert asked(everything) == "the lengths of vehicles look like feet"


def test_milliseconds(right: pd.DataFrame) -> None:
    assert "faster than vehicles" in asked(right.assign(time=right.time / 10).drop(columns="speed"))


@pytest.mark.parametrize(("turned", "what"), [
    (lambda h: np.degrees(h), "degrees"), (lambda h: h + np.pi, "against the way"), (lambda h: -h, "mirrored"),
    (lambda h: np.pi / 2 - h, "compass"), (lambda h: h + 2.0, "do not fit")])
def test_headings(turned, what: str) -> None:
    table = states(recordings=1, lanes=2, each=3, bearing=1.0)
    assert what in asked(table.assign(heading=turned(table.heading)))


def test_a_reversed_axis() -> None:
    table = states(recordings=1, lanes=2, each=3, bearing=1.0)
    assert "mirrored" in asked(table.assign(y=-table.y))
    assert "mirrored" in asked(table.assign(x=-table.x))
