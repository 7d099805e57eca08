"""The three European criteria: their statistics against simulation, what they find and what they let pass."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from synth.contract import Privacy
from tests.validators import populations
from validators.criteria import CRITERIA, criteria
from validators.criteria.base import Outcome, People, wilson
from validators.criteria.inference import right
from validators.criteria.linkability import chance
from validators.criteria.singling import Clause, _fits
from validators.finding import Verdict

LIMIT, LEAST = 0.10, 200


def verdicts(e):
    return {f.id.removeprefix("leakage.criteria."): f for f in criteria(e, LIMIT, LEAST)}


@pytest.mark.parametrize(("attack", "control"), [(0.02, 0.02), (0.3, 0.1), (0.9, 0.8), (0.2, 0.0), (1.0, 0.4)])
def test_the_interval_of_the_residual_risk_covers_it(attack, control):
    rng, trials, z = np.random.default_rng(0), 400, 1.96
    truth, covered = (attack - control) / (1 - control), 0
    for a, c in zip(rng.binomial(trials, attack, 1000) / trials, rng.binomial(trials, control, 1000) / trials,
                    strict=True):
        value, low, high = Outcome("x", a, c, 0.0, trials).residual(z)
        assert low <= value <= high
        covered += low <= truth <= high
    assert covered >= 930  # nominal: 950


def test_wilson_is_the_score_interval():
    for share, trials, z in ((0.1, 50, 1.96), (0.0, 20, 1.64), (1.0, 9, 2.5)):
        for edge in wilson(share, trials, z):
            if 0 < edge < 1:  # at its ends the score statistic is z
                assert abs(share - edge) / math.sqrt(edge * (1 - edge) / trials) == pytest.approx(z)


def test_chance_of_a_common_row_is_that_of_two_random_choices():
    rng = np.random.default_rng(1)
    hits = [len(set(rng.choice(30, 4, replace=False)) & set(rng.choice(30, 4, replace=False))) > 0 for _ in range(4000)]
    assert chance(30, 4) == pytest.approx(np.mean(hits), abs=0.03)
    assert chance(7, 4) == 1.0


def test_a_description_fits_what_it_says():
    table = np.array([[1.0, 2.0, np.nan, 4.0], [0.0, 1.0, 1.0, 1.0]])  # a number and a label
    assert _fits([Clause(0, ">=", 2.0)], table) == 2
    assert _fits([Clause(0, "<=", 2.0), Clause(1, "=", 1.0)], table) == 1
    assert _fits([Clause(0, "missing", math.nan)], table) == 1


def test_a_guess_is_right_within_the_tolerance_and_where_both_are_missing():
    assert right(pd.Series([100.0, 106.0, np.nan, np.nan]), pd.Series([104.0, 100.0, np.nan, 1.0])) == 0.5
    assert right(pd.Series(["a", "b"], dtype="str"), pd.Series(["a", np.nan], dtype="str")) == 0.5


def test_people_are_one_row_each_and_as_many_on_both_sides():
    e = populations.evidence(3_000, 5, repeated=True)
    people = People.of(e)
    untouched = sum(len(np.unique(e.entities[p])) for p in ("holdout", "reference"))
    assert len(people.train) == len(people.control) == min(untouched, len(np.unique(e.entities["train"])))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fresh_rows_break_no_criterion(seed):
    found = verdicts(populations.evidence(3_000, seed))
    assert set(found) == set(CRITERIA)
    assert Verdict.FAIL not in {f.verdict for f in found.values()}


def test_a_memoriser_breaks_linkability_and_inference():
    e = populations.evidence(3_000, 4)
    found = verdicts(replace(e, synthetic=populations.memorised(e, 4)))
    assert found["linkability"].verdict is Verdict.FAIL and found["inference"].verdict is Verdict.FAIL
    assert found["linkability"].value > 0.5


def test_values_that_one_person_has_single_them_out():
    """Columns shuffled by themselves keep no row, but every value that names somebody."""
    e = populations.evidence(3_000, 4)
    shuffled = populations.independent(replace(e, synthetic=e.train), 4)
    found = verdicts(replace(e, synthetic=shuffled))
    assert found["singling_out"].verdict is Verdict.FAIL and found["singling_out"].detail["worst"] == "one cell"
    assert found["linkability"].verdict is not Verdict.FAIL


def test_an_attack_no_better_than_its_baseline_is_said_to_be_uninformative():
    e = populations.evidence(3_000, 6)
    noise = populations.independent(e, 6)
    found = verdicts(replace(e, synthetic=noise))["inference"]
    remarks = [row[-1] for row in found.detail["pictures"][0]["rows"]]
    assert found.verdict in (Verdict.INFO, Verdict.PASS)
    assert "no better than its baseline" in remarks


def test_what_cannot_be_asked_is_said_and_stops_nothing():
    e = populations.evidence(3_000, 7)
    terms = replace(e.contract, columns=tuple(replace(c, privacy=Privacy.NONE) for c in e.contract.columns))
    assert verdicts(replace(e, contract=terms))["inference"].verdict is Verdict.INFO
    few = criteria(populations.evidence(300, 7), LIMIT, LEAST)
    assert [f.verdict for f in few] == [Verdict.INFO] and few[0].value is None
