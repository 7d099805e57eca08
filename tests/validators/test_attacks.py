from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.validators import populations
from validators import leakage
from validators import statistics as st
from validators.attacks import ATTACKS, View
from validators.attacks.density import Domias, GenLRA
from validators.encode import Encoding, Features
from validators.finding import Verdict
from validators.leakage import by_person


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


def test_the_density_attack_is_a_ratio_of_kernel_densities():
    reference, synthetic, records = plain(60, 0), plain(60, 1), plain(10, 2)
    attack = Domias(0).fit(reference, synthetic)
    width = 60 ** (-1 / 7)

    def density(centres, points):
        return np.array([stats.multivariate_normal.pdf(centres, p, width**2 * np.eye(3)).mean() for p in points])

    x = attack.components(records.points)
    expected = np.log(density(attack.components(synthetic.points), x)) - np.log(
        density(attack.components(reference.points), x))
    assert attack.score(records) == pytest.approx(expected, abs=1e-3)


def test_the_likelihood_gain_is_that_of_a_refit():
    reference, synthetic, records = plain(50, 3), plain(40, 4), plain(6, 5)
    attack = GenLRA(0).fit(reference, synthetic)
    centres, fake, x = (attack.components(v.points) for v in (reference, synthetic, records))
    width = attack.real.bandwidth
    expected = []
    for record in x:
        near = fake[np.argsort(np.linalg.norm(fake - record, axis=1))[:10]]

        def likelihood(c, near=near):
            return np.log([np.exp(-0.5 * ((c - s) ** 2).sum(axis=1) / width**2).mean() for s in near]).sum()

        expected.append(likelihood(np.vstack([centres, record])) - likelihood(centres))
    assert attack.score(records) == pytest.approx(np.array(expected), abs=1e-3)


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
    assert "12 attacks" in found["leakage.membership.auc"].method
