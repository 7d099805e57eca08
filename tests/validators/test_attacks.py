import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.validators import populations
from validators import leakage
from validators import statistics as st
from validators.attacks import ATTACKS, View
from validators.attacks.base import least_distance
from validators.attacks.density import Domias, GenLRA
from validators.encode import Encoding, Features
from validators.finding import Verdict
from validators.membership import by_person


@pytest.fixture(scope="module")
def views():
    e = populations.evidence(2_500, 5)
    encoding, features = Encoding.fit(e.reference, e.schema), Features.fit(e.reference, e.schema)

    def view(frame):
        return View(encoding.transform(frame), features.transform(frame), features.categorical)

    return {"train": view(e.train), "holdout": view(e.holdout), "reference": view(e.reference),
            "clean": view(e.synthetic), "memorised": view(populations.memorised(e, 5))}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_finds_a_memoriser_and_nothing_in_a_clean_table(views, name):
    def found(synthetic: str) -> float:
        fresh = {k: View(v.points, v.features, v.categorical) for k, v in views.items()}
        attack = ATTACKS[name](7).fit(fresh["reference"], fresh[synthetic])
        return float(st.auc(attack.score(fresh["train"]), attack.score(fresh["holdout"])))

    assert found("memorised") > 0.58
    assert abs(found("clean") - 0.5) < 0.06


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_deterministic(views, name):
    one, two = (ATTACKS[name](3).fit(views["reference"], views["clean"]).score(views["holdout"]) for _ in range(2))
    assert one.shape == (len(views["holdout"]),) and np.isfinite(one).all()
    assert (one == two).all()


def plain(rows: int, seed: int) -> View:
    points = np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32)
    return View(points, points.astype(float), np.zeros(3, bool))


def kernels(centres: np.ndarray, point: np.ndarray, width: float, most: int = 25) -> float:
    """Density up to a constant that both sides share, from the nearest centres."""
    near = np.sort(np.linalg.norm(centres - point, axis=1))[:most]
    return float(stats.norm.pdf(near / width).sum() / len(centres))


def test_the_density_attack_is_a_ratio_of_kernel_densities_of_one_width():
    reference, synthetic, records = plain(60, 0), plain(90, 1), plain(10, 2)
    expected = []
    for x in records.points:
        width = 0.5 * np.sort(np.linalg.norm(reference.points - x, axis=1))[9]
        expected.append(np.log(kernels(synthetic.points, x, width) / kernels(reference.points, x, width)))
    assert Domias(0).fit(reference, synthetic).score(records) == pytest.approx(np.array(expected), abs=1e-3)


def test_the_likelihood_gain_is_that_of_a_refit():
    reference, synthetic, records = plain(20, 3), plain(40, 4), plain(6, 5)  # so few that every row is a neighbour
    floor = least_distance(reference, synthetic)
    expected = []
    for x in records.points:
        gain = 0.0
        for s in synthetic.points[np.argsort(np.linalg.norm(synthetic.points - x, axis=1))[:10]]:
            width = 0.5 * max(np.linalg.norm(reference.points - s, axis=1).min(), floor)
            joined = np.vstack([reference.points, x])
            gain += np.log(kernels(joined, s, width) / kernels(reference.points, s, width))
        expected.append(gain)
    assert GenLRA(0).fit(reference, synthetic).score(records) == pytest.approx(np.array(expected), abs=1e-3)


def test_a_copy_among_strangers_is_what_the_distance_classifier_believes_in_most():
    reference, synthetic, others = plain(300, 6), plain(400, 7), plain(200, 8)
    members = plain(20, 9)
    joined = np.concatenate([synthetic.points, members.points + np.float32(0.02)])
    attack = ATTACKS["classifier on distances"](1).fit(reference, View(joined, joined.astype(float),
                                                                      synthetic.categorical))
    assert st.auc(attack.score(members), attack.score(others)) > 0.95


def test_a_registered_attack_names_its_paper():
    for make in ATTACKS.values():
        assert re.search(r"(19|20)\d\d", str(make.__doc__)), make


def test_a_person_has_one_score():
    scores, people = np.array([1.0, 5.0, 2.0, 4.0]), np.array([7, 3, 7, 9])
    assert [x.tolist() for x in by_person(scores, people, True)] == [[5.0, 1.5, 4.0], [5.0, 2.0, 4.0]]
    assert [x.tolist() for x in by_person(scores[1:], people[1:], False)] == [[5.0, 2.0, 4.0]]


def test_one_copied_row_a_person_is_found_by_person():
    """Of people with several rows the synthetic table has one each, somewhat moved."""
    e = populations.evidence(4_000, 5, repeated=True)
    first = np.unique(e.entities["train"], return_index=True)[1]
    one = populations.memorised(replace(e, train=e.train.iloc[first].reset_index(drop=True)), 5)
    found = {f.id: f for f in leakage.run(replace(e, synthetic=one), leakage.Limits()).findings}
    assert found["leakage.membership.auc"].verdict is Verdict.FAIL
    people = sum(len(np.unique(e.entities[p])) for p in ("holdout", "reference"))
    assert abs(found["leakage.membership.auc"].n - people) <= 10
    assert "16 attacks" in found["leakage.membership.auc"].method
