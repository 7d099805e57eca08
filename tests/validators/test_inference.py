"""Attribute inference on tables at the edge of what can be asked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.validators import populations
from validators.finding import Verdict
from validators.inference import LEAST_CLASS, attribute_inference, holm
from validators.leakage import swapped


def test_a_column_whose_states_are_too_rare_to_guess_is_not_attacked():
    e = populations.evidence(150, 1)
    counts = e.holdout["ill"].value_counts()
    assert len(e.holdout) >= 20 and counts.max() < LEAST_CLASS
    findings = attribute_inference((e, swapped(e)), 0.03, 20)
    (skipped,) = [f for f in findings if f.id == "leakage.inference.skipped"]
    assert skipped.verdict is Verdict.INCONCLUSIVE and "ill" in skipped.detail["columns"]


@given(some.lists(some.floats(0, 1), min_size=1, max_size=8))
def test_corrected_chances_are_those_of_the_step_down_test(chances):
    corrected = holm(chances)
    for level in (0.01, 0.05, 0.3, *corrected):
        rejected, left = set(), sorted(range(len(chances)), key=lambda i: chances[i])
        while left and chances[left[0]] * len(left) <= level:
            rejected.add(left.pop(0))
        if level < 1:
            assert {i for i, c in enumerate(corrected) if c <= level} == rejected


@pytest.mark.parametrize("leaks", [True, False])
def test_each_sensitive_column_has_its_own_chance(leaks):
    e = populations.evidence(3_000, 2)
    found = attribute_inference((e, swapped(e)), 0.03, 300) if not leaks else attribute_inference(
        tuple(replace(side, synthetic=populations.memorised(e, 2)) for side in (e, swapped(e))), 0.03, 300)
    table = found[0].detail["pictures"][1]
    assert [row[0] for row in table["rows"]] == ["income", "ill"]
    smallest = np.min([row[2] for row in table["rows"]])
    assert smallest < 0.001 if leaks else smallest > 0.01
