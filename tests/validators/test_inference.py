"""Attribute inference on tables at the edge of what can be asked."""

from tests.validators import populations
from validators.finding import Verdict
from validators.inference import LEAST_CLASS, attribute_inference
from validators.leakage import swapped


def test_a_column_whose_states_are_too_rare_to_guess_is_not_attacked():
    e = populations.evidence(150, 1)
    counts = e.holdout["ill"].value_counts()
    assert len(e.holdout) >= 20 and counts.max() < LEAST_CLASS
    findings = attribute_inference((e, swapped(e)), 0.03, 20)
    (skipped,) = [f for f in findings if f.id == "leakage.inference.skipped"]
    assert skipped.verdict is Verdict.INCONCLUSIVE and "ill" in skipped.detail["columns"]
