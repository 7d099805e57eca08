"""The tail of the attacks: what it finds, and how often it accuses where nothing leaks."""

from dataclasses import replace

import numpy as np

from tests.benchmarks import leakage as benchmark
from tests.validators import populations
from validators import leakage
from validators.finding import Verdict
from validators.membership import Half
from validators.tail import tail


def half(members: np.ndarray, others: np.ndarray) -> Half:
    return Half(members[None], others[None], np.ones((len(members), 1)), np.ones((len(others), 1)), ("attack",))


def test_exchangeable_people_are_seldom_accused():
    rng, accused = np.random.default_rng(0), 0
    for _ in range(400):
        members = rng.normal(size=900)
        accused += tail([half(members, rng.normal(size=300)), half(members, rng.normal(size=300))], ("attack",),
                        0.05).verdict is Verdict.FAIL
    assert accused <= 30  # 20 are expected at most


def test_a_few_people_known_for_sure_are_enough():
    rng = np.random.default_rng(1)
    members = rng.normal(size=900)
    members[:12] += 10
    found = tail([half(members, rng.normal(size=900))], ("attack",), 0.05)
    assert found.verdict is Verdict.FAIL and found.detail["worst"] == "attack"


def test_equal_scores_accuse_nobody():
    assert tail([half(np.zeros(500), np.zeros(100))], ("attack",), 0.05).verdict is Verdict.INFO


def test_two_percent_of_the_people_copied_with_noise_are_found():
    e = populations.evidence(8_000, 77)
    kind = benchmark.OTHERS["2 % copied, moved .1"]
    draw = kind.make(e, lambda rows, seed: e.synthetic.iloc[:rows])
    sides = [leakage._views(replace(x, synthetic=draw(len(e.synthetic), 1))) for x in (e, leakage.swapped(e))]

    def score(side):
        found = []
        for name in leakage.SURE:
            attack = leakage.ATTACKS[name](3).fit(side.reference, side.synthetic)
            found.append((name, attack.score(side.members), attack.score(side.others)))
        return found

    assert tail(leakage._halves(e, sides, score, "x"), leakage.SURE, 0.02).verdict is Verdict.FAIL
