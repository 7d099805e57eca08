"""Each rule with scenes that show it, scenes that just do not, and the order between them."""

import numpy as np
import pytest

from synth.driving.labels import HARD_BRAKE, NEAR, event, labels, lanes
from synth.driving.scenes import MANOEUVRES
from tests.driving.making import change, lane, scene


def braking(start: float, at: float, loss: float, for_: float) -> np.ndarray:
    """Speeds over 8 s at 5 Hz: ``start``, then ``loss`` m/s^2 for some seconds from ``at``."""
    time = np.arange(40) / 5
    return start - loss * np.clip(time - at, 0, for_)


SHOWN = {
    "free": scene((0.0, lane(0), 20.0), (30.0, lane(1), 20.0)),
    "follow": scene((0.0, lane(0), 20.0), (40.0, lane(0), 20.0)),
    "lane_change": scene((0.0, change(0, 1, 4.0), 20.0), (60.0, lane(0), 20.0)),
    "cut_out": scene((0.0, lane(0), 20.0), (30.0, change(0, 1, 4.0), 20.0)),
    "cut_in": scene((0.0, lane(0), 20.0), (25.0, change(1, 0, 4.0), 20.0)),
    "hard_brake": scene((0.0, lane(0), braking(25.0, 3.0, 5.0, 1.5)), (60.0, lane(1), 20.0)),
    "near_miss": scene((0.0, lane(0), 25.0), (30.0, lane(0), braking(25.0, 2.0, 4.0, 3.0))),
}


@pytest.mark.parametrize("name", MANOEUVRES)
def test_each_is_recognised(name: str) -> None:
    assert labels(SHOWN[name]).tolist() == [name]


def test_who_and_when() -> None:
    cut = event(SHOWN["cut_in"])
    assert cut.actor[0] == 1 and abs(cut.step[0] / 5 - 4.0) < .5
    out = event(SHOWN["cut_out"])
    assert out.actor[0] == 1 and abs(out.step[0] / 5 - 4.0) < .5
    own = event(SHOWN["lane_change"])
    assert own.actor[0] == 0 and abs(own.step[0] / 5 - 4.0) < .5
    brake = event(SHOWN["hard_brake"])
    assert brake.actor[0] == 0 and abs(brake.step[0] / 5 - 3.0) < .5
    assert event(SHOWN["follow"]).actor[0] == 1 and event(SHOWN["free"]).actor[0] == -1


def test_a_leader_that_brakes_counts_a_neighbour_does_not() -> None:
    brake = braking(20.0, 2.0, 4.0, 1.0)
    ahead = event(scene((0.0, lane(0), 18.0), (70.0, lane(0), brake)))
    assert ahead.label[0] == "hard_brake" and ahead.actor[0] == 1
    assert labels(scene((0.0, lane(0), 18.0), (70.0, lane(1), brake)))[0] == "free"
    gentle = braking(25.0, 2.0, HARD_BRAKE - .2, 2.0)
    assert labels(scene((0.0, lane(0), gentle)))[0] == "free"


def test_a_cut_in_is_near_and_the_next_ahead() -> None:
    far = scene((0.0, lane(0), 20.0), (NEAR + 6, change(1, 0, 4.0), 20.0))
    assert labels(far)[0] == "follow"
    between = scene((0.0, lane(0), 20.0), (30.0, change(1, 0, 4.0), 20.0), (15.0, lane(0), 20.0))
    assert labels(between)[0] == "follow"
    behind = scene((0.0, lane(0), 20.0), (-12.0, change(1, 0, 4.0), 20.0))
    assert labels(behind)[0] == "free"


def test_the_order_and_a_creeping_jam() -> None:
    both = scene((0.0, change(2, 1, 6.0), 20.0), (30.0, change(0, 2, 2.0), 20.0))
    assert labels(both)[0] == "cut_in"
    jam = scene((0.0, lane(0), 2.0), (7.5, lane(0), 0.5), steps=6)
    assert labels(jam)[0] == "follow"  # 1.7 s and less to a crash, at a walking pace
    followed = scene((0.0, lane(0), 10.0), (-25.0, lane(0), 20.0), steps=10)
    assert event(followed).label[0] == "near_miss" and event(followed).actor[0] == 1


def test_wander_along_a_line_is_no_change() -> None:
    rng = np.random.default_rng(0)
    on_line = scene((0.0, 3.5 + rng.uniform(-.2, .2, 40), 20.0))
    assert len(np.unique(lanes(on_line)[0, 0])) == 1 and labels(on_line)[0] == "free"
    assert (lanes(on_line)[0, 1:] == -1).all()


def test_many_and_none() -> None:
    one = SHOWN["cut_in"]
    many = one.take(np.zeros(5000, np.int64))
    assert (labels(many) == "cut_in").all()
    assert labels(one.take(np.zeros(1, bool))).shape == (0,)
