from hypothesis import given
from hypothesis import strategies as st

from synth.progress import Lines
from synth.seeds import derive, generator


@given(st.integers(0, 2**63 - 1), st.text(max_size=20), st.text(max_size=20))
def test_streams_are_stable_and_distinct(seed, a, b):
    assert derive(seed, a) == derive(seed, a)
    assert (derive(seed, a) == derive(seed, b)) == (a == b)
    assert 0 <= derive(seed, a) < 2**63


def test_a_known_value_so_that_released_seeds_keep_their_meaning():
    assert derive(7, "fit") == 7162288957168675371
    assert generator(7, "fit").integers(1 << 30) == generator(7, "fit").integers(1 << 30)


def test_a_log_gets_a_line_at_the_end_and_now_and_then(capsys):
    lines = Lines(every=0.0)
    with lines.step("training", 4) as step:
        step.update(2, "phase 1")
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].startswith("training: 50 %") and "phase 1" in shown[0]
    assert shown[-1].startswith("training: done in")
