"""Shadow models: who is inside which, what the ratios say, and processes that are kept, bounded and may fail."""

import dataclasses
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from synth.contract import Attacks, Training
from synth.errors import InternalError
from synth.workspace import Workspace, scratch
from tests.validators import populations
from validators import leakage, shadowing
from validators.finding import Verdict
from validators.shadow_ratios import FEWEST, epsilon, likelihood_ratio
from validators.shadows import judged, pooled, shadows


@pytest.fixture(scope="module")
def evidence():
    terms = populations.contract(training=Training(recipe="tabular/likelihood", effort=0.02), attacks=Attacks.RELEASE)
    return populations.evidence(1_600, 3, repeated=True, terms=terms)


def test_everybody_is_inside_half_of_the_shadows_and_both_sides_lend_as_many(evidence):
    pool = pooled(evidence, 8)
    people = pool.design.inside.shape[1]
    assert (pool.design.inside.sum(axis=0) == 4).all() and (pool.design.inside.sum(axis=1) == people // 2).all()
    assert (pool.design.inside[:2].sum(axis=0) == 1).all()  # a pair completes each other
    assert len(np.unique(pool.design.owners)) == people and 0.2 < pool.members.mean() < 0.8
    targets = np.unique(pool.design.owners[pool.design.rows])
    assert len(targets) == len(pool.members)
    own = np.flatnonzero(np.isin(pool.design.owners, targets))  # all rows of a target are scored
    assert (own == pool.design.rows).all()


def test_the_likelihood_ratio_is_that_of_two_gaussians():
    rng = np.random.default_rng(0)
    inside = np.zeros((6, 3), bool)
    inside[::2] = True
    shadow, released = rng.normal(size=(6, 3)), rng.normal(size=3)
    with_, without = shadow[::2], shadow[1::2]
    spread = [np.sqrt(((s - s.mean(axis=0)) ** 2).sum() / 6) for s in (with_, without)]  # 3 people, 2 degrees each
    expected = stats.norm.logpdf(released, with_.mean(axis=0), spread[0]) - stats.norm.logpdf(
        released, without.mean(axis=0), spread[1])
    assert likelihood_ratio(shadow, inside, released) == pytest.approx(expected)


def test_the_bound_of_epsilon_holds_and_sees_what_is_plain():
    rng = np.random.default_rng(1)
    assert np.mean([epsilon(rng.normal(size=300), rng.normal(size=300)) > 0 for _ in range(300)]) < 0.07
    assert epsilon(rng.normal(3, 1, 300), rng.normal(size=300)) > 1.0


def planted(pool, shift):
    """Scores of eight shadows in which being inside adds ``shift`` standard deviations."""
    rng = np.random.default_rng(2)
    people = pool.design.owners[pool.design.rows]
    inside = pool.design.inside[:, people]
    return rng.normal(size=(len(inside), 3, len(people))) * 0.3 + shift * inside[:, None, :]


@pytest.mark.parametrize(("shift", "verdict"), [(1.0, Verdict.FAIL), (0.0, Verdict.INCONCLUSIVE)])
def test_a_released_model_that_resembles_those_with_its_people_is_found(evidence, monkeypatch, shift, verdict):
    pool, rng = pooled(evidence, FEWEST), np.random.default_rng(3)
    people = np.unique(pool.design.owners[pool.design.rows], return_inverse=True)[1]
    real = 0.3 * rng.normal(size=(3, len(people))) + shift * pool.members[people]
    monkeypatch.setattr("validators.shadows.signals", lambda *arguments: real)
    found = {f.id: f for f in judged(evidence, pool, planted(pool, shift), 0.60)}
    assert found["leakage.shadows"].verdict in ((verdict,) if shift else (Verdict.PASS, verdict))
    assert found["leakage.shadows.model"].verdict is Verdict.INFO
    assert "8 of 8 shadow models" in found["leakage.shadows"].method


def test_too_few_shadows_say_nothing(evidence):
    pool = pooled(evidence, FEWEST)
    (found,) = judged(evidence, pool, np.zeros((4, 3, len(pool.design.rows))), 0.6)
    assert found.verdict is Verdict.INCONCLUSIVE and found.method.startswith("4 shadow models")


@pytest.mark.slow
def test_shadows_are_trained_in_processes_kept_and_found_again(evidence, tmp_path):
    design = pooled(evidence, 2).design
    scores = shadowing.in_processes(design, tmp_path, 120.0)
    assert scores.shape == (2, 3, len(design.rows)) and np.isfinite(scores).all()
    before = time.monotonic()
    again = shadowing.in_processes(design, tmp_path, 120.0)
    assert (again == scores).all() and time.monotonic() - before < 2.0
    assert (scores[0] == shadowing.one(design, 0)).all()  # the same bytes in any process
    assert (tmp_path / design.name).stat().st_mode & 0o077 == 0
    assert design.name != dataclasses.replace(design, seed=design.seed + 1).name


def test_time_that_is_over_ends_the_training(evidence, tmp_path):
    design = dataclasses.replace(pooled(evidence, 2).design, training=Training(recipe="tabular/likelihood", effort=50))
    before = time.monotonic()
    assert len(shadowing.in_processes(design, tmp_path, 0.5)) == 0
    assert time.monotonic() - before < 10


def test_a_shadow_that_fails_is_an_error_without_its_words(evidence, tmp_path):
    design = dataclasses.replace(pooled(evidence, 2).design, training=Training(recipe="tabular/none"))
    with pytest.raises(InternalError) as caught:
        shadowing.in_processes(design, tmp_path, 60.0)
    assert "tabular/none" not in str(caught.value)


def test_the_release_profile_asks_for_shadows_and_the_quick_one_names_them_as_untested(evidence):
    assert shadows(evidence, 0.6, 300)[0].verdict is Verdict.INFO  # no private folder here
    quick = replace(evidence, contract=replace(evidence.contract, attacks=Attacks.QUICK))
    assert leakage.SHADOWLESS in leakage.not_tested(quick)
    assert leakage.SHADOWLESS not in leakage.not_tested(evidence)


def test_what_shadows_left_survives_an_interruption_and_not_the_judgement(tmp_path):
    run = Workspace(tmp_path).new_run("people", contract_digest="0", seed=1)
    with run.stage("generate"):
        pass
    folder = scratch(run.stage_folder("generate"), "judge")
    with pytest.raises(KeyboardInterrupt), run.stage("judge"):
        folder.mkdir()
        (folder / "0.npy").write_bytes(b"scores")
        raise KeyboardInterrupt
    with run.stage("judge"):
        assert (folder / "0.npy").read_bytes() == b"scores"
    assert not folder.exists() and not list(run.private.rglob("*.npy"))
