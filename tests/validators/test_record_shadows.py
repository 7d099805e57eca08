"""Shadow models of images and scenes: a memoriser is caught, fresh people are not; trainings stay in their folder."""

import time
from dataclasses import replace

import numpy as np
import pytest

from synth.contract import Attacks
from synth.contract.model import Budget, Training
from synth.driving.scenes import D, S
from synth.errors import InternalError
from synth.seeds import generator
from tests.validators.driving import traffic
from tests.validators.medical import patients
from tests.validators.shadow_fakes import fake
from validators import gates, shadowing
from validators.driving import leakage as driving_leakage
from validators.driving import shadows as driving
from validators.finding import Verdict
from validators.medical import leakage as medical_leakage
from validators.medical import shadows as medical
from validators.medical.contrastive import Contrastive, Schedule
from validators.shadow_ratios import ASKED, FEWEST, SHADOWLESS

LIMIT = 0.70


class Images:
    """Phantoms of 16 px, a small encoder."""

    rooms, leakage = medical, medical_leakage

    def __init__(self):
        terms = replace(patients.contract((16, 16)), attacks=Attacks.RELEASE,
                        training=Training(recipe="medical/r3", effort=0.002), conditions=("lesion",))
        self.evidence = patients.evidence(250, 3, images=2, size=(16, 16), terms=terms)
        pixels = np.concatenate([self.evidence.part(p).pixels for p in ("train", "holdout", "reference")])
        self.encoder = Contrastive.fit(pixels, seed=1, schedule=Schedule(steps=40, batch=48, width=8, dimensions=16))
        self.pool = medical.pooled(self.evidence, self.encoder, FEWEST)

    def pooled(self, evidence, count):
        return medical.pooled(evidence, self.encoder, count)

    def shadows(self, evidence, **more):
        return medical.shadows(evidence, self.encoder, LIMIT, 50, **more)

    def records(self):
        return self.pool.design.images

    def noisy(self, records, count, seed):
        """``count`` of the records under noise, as synthetic ones."""
        rng = generator(seed, "noisy")
        taken = patients.alone(records.take(rng.choice(len(records), count)))
        noise = rng.normal(0, 0.04 * 32_767, taken.pixels.shape)
        return replace(taken, pixels=np.clip(taken.pixels + noise, 0, 65_535).astype(np.uint16))

    def fresh(self, count, seed):
        return patients.people(count, 50_000 + seed, size=(16, 16))


class Drives:
    """Toy traffic, two scenes a driver."""

    rooms, leakage = driving, driving_leakage

    def __init__(self):
        found = traffic.evidence(160, 3, each=2)
        self.evidence = replace(found, contract=replace(found.contract, attacks=Attacks.RELEASE, training=Training(
            recipe="driving/likelihood", effort=0.005)))
        self.pool = driving.pooled(self.evidence, FEWEST)

    def pooled(self, evidence, count):
        return driving.pooled(evidence, count)

    def shadows(self, evidence, **more):
        return driving.shadows(evidence, LIMIT, **more)

    def records(self):
        return self.pool.design.scenes

    def noisy(self, records, count, seed):
        rng = generator(seed, "noisy")
        taken = traffic.alone(records.take(rng.choice(len(records), count)))
        states = taken.states.copy()
        states[..., [S, D]] += rng.normal(0, (0.3, 0.1), (*states.shape[:3], 2)) * taken.present[..., None, None]
        return replace(taken, states=states.astype(np.float32))

    def fresh(self, count, seed):
        return traffic.alone(traffic.drives(count, 50_000 + seed))


@pytest.fixture(scope="module", params=[Images, Drives], ids=["images", "scenes"])
def side(request):
    return request.param()


@pytest.fixture(scope="module")
def scores(side):
    """Of shadows that give back noisy records of those whom they were trained on, among fresh ones."""
    design, found = side.pool.design, []
    for number in range(FEWEST):
        mine = side.records().take(design.inside[number][design.owners])
        drawn = side.noisy(mine, design.draws, number)
        found.append(side.rooms.signals(design, drawn, None))
    return np.stack(found)


def judged(side, scores, synthetic):
    return side.rooms.judged(replace(side.evidence, synthetic=synthetic), side.pool, scores, LIMIT)


def test_a_memoriser_is_caught(side, scores):
    (found,) = judged(side, scores, side.noisy(side.evidence.train, side.pool.design.draws, 77))
    assert found.verdict is Verdict.FAIL and found.low > LIMIT and "8 of 8 shadow models" in found.method


def test_fresh_people_are_not_accused(side, scores):
    found = [judged(side, scores, side.fresh(side.pool.design.draws, seed))[0] for seed in range(3)]
    assert Verdict.FAIL not in {f.verdict for f in found}
    assert np.median([f.value for f in found]) < 0.6 and all(f.low < 0.55 for f in found)


def test_copies_of_untouched_people_accuse_nobody(side, scores):
    """Whom a model did not meet it cannot give away."""
    drawn = side.noisy(side.evidence.holdout, side.pool.design.draws, 78)
    assert judged(side, scores, drawn)[0].verdict is not Verdict.FAIL


def test_both_sides_lend_as_many_and_all_records_of_a_target_are_scored(side):
    pool = side.pool
    people = pool.design.inside.shape[1]
    assert (pool.design.inside.sum(axis=0) == FEWEST // 2).all() and (pool.design.inside[:2].sum(axis=0) == 1).all()
    assert len(np.unique(pool.design.owners)) == people and pool.members.sum() == people // 2 == 80 + 20 * (
        side.rooms is medical)
    targets = np.unique(pool.design.owners[pool.design.rows])
    assert (np.flatnonzero(np.isin(pool.design.owners, targets)) == pool.design.rows).all()


def test_another_design_has_another_name(side):
    design = side.pool.design
    assert design.name == side.pooled(side.evidence, FEWEST).design.name
    other = replace(design.contract, training=replace(design.contract.training, effort=0.5))
    for changed in (replace(design, seed=4), replace(design, contract=other), replace(design, draws=7),
                    side.pooled(replace(side.evidence, seed=9), FEWEST).design):
        assert changed.name != design.name
    assert design.contract.training.effort < side.evidence.contract.training.effort


def test_what_cannot_be_tested_says_why(side, tmp_path):
    able = replace(side.evidence, scratch=tmp_path, sample_again=lambda rows, seed: side.fresh(rows, seed))
    assert "no model of this run" in side.shadows(side.evidence)[0].method
    budget = Budget(epsilon=3.0, delta=1e-6)
    private = replace(able, contract=replace(able.contract, budget=budget))
    assert "budget bounds every" in side.shadows(private)[0].method
    few = able.train.take(able.train.entities < 10)
    assert "it takes" in side.shadows(replace(able, train=few))[0].method
    assert {f.verdict for e in (side.evidence, private, replace(able, train=few)) for f in side.shadows(e)} == {
        Verdict.INFO}
    assert not list(tmp_path.iterdir())


def test_profiles_name_what_they_leave_out(side):
    quick = replace(side.evidence, contract=replace(side.evidence.contract, attacks=Attacks.QUICK))
    assert SHADOWLESS in side.leakage.not_tested(quick) and SHADOWLESS not in side.leakage.not_tested(side.evidence)
    assert ASKED in side.leakage.PANEL
    assert gates.check_limits(side.evidence.contract) == []


def test_a_shadow_is_trained_where_it_leaves_nothing(side, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    design = side.pool.design
    told = design.score(1)
    assert told.shape == (len(design.SIGNALS), len(design.rows)) and np.isfinite(told).all()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_true_shadows_run_in_processes_and_stay_in_scratch(side, tmp_path, monkeypatch):
    place, outside = tmp_path / "scratch", tmp_path / "outside"
    outside.mkdir()
    monkeypatch.chdir(outside)
    monkeypatch.setenv("TMPDIR", str(outside))
    able = replace(side.evidence, scratch=place, sample_again=lambda rows, seed: side.fresh(rows, seed))
    (found,) = side.shadows(able, count=2, seconds=400.0)
    assert found.verdict is Verdict.INCONCLUSIVE and found.method.startswith("2 shadow models were done")
    (folder,) = place.iterdir()
    assert sorted(p.name for p in folder.iterdir()) == ["0.npy", "1.npy", "design"]
    assert folder.stat().st_mode & 0o077 == 0 and not list(outside.iterdir())
    assert (np.load(folder / "0.npy") == side.pooled(able, 2).design.score(0)).all()  # the same bytes in any process


@pytest.mark.parametrize(("room", "made"), [
    (medical_leakage, lambda: patients.evidence(800, 5, size=(8, 8))),
    (driving_leakage, lambda: replace(traffic.evidence(450, 5), synthetic=traffic.drives(300, 9)))])
def test_the_gate_asks_for_shadows_only_where_the_contract_does(room, made, monkeypatch):
    asked, found = [], made()
    monkeypatch.setattr(room, "shadows", lambda evidence, *terms: asked.append(terms) or [])
    monkeypatch.setattr(room.copying, "copies", lambda *a, **k: [])  # the rest has tests of its own
    for name in ("membership", "attribute_inference"):
        monkeypatch.setattr(room, name, lambda *a, **k: [])
    monkeypatch.setattr(Contrastive, "fit", classmethod(lambda *a, **k: None))
    room.run(found, room.Limits())
    assert asked == []
    room.run(replace(found, contract=replace(found.contract, attacks=Attacks.RELEASE)), room.Limits())
    (terms,) = asked
    assert room.Limits().shadow_auc in terms


# -- processes, whatever they train ------------------------------------------------------------------------


def test_what_a_stopped_judgement_has_done_is_found_again(tmp_path, monkeypatch):
    """Two shadows end, then somebody stops the run; the next judgement trains only the others."""
    sleep = time.sleep

    def stop(seconds):
        sleep(0.05)
        if all((tmp_path / "fake" / f"{n}.npy").exists() for n in (0, 1)):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shadowing.time, "sleep", stop)
        shadowing.in_processes(fake(6, hangs=2), tmp_path, 300.0)
    first = [np.load(tmp_path / "fake" / f"{n}.npy") for n in (0, 1)]
    told: list = []
    found = shadowing.in_processes(fake(6), tmp_path, 300.0, lambda *said: told.append(said))
    assert told[0][0] >= 2 / 6 and told[-1][1] == "6 of 6 shadow models" and all(0 <= t[2] <= 300 for t in told)
    assert [int(s[0, 0]) for s in found] == [0, 1, 2, 3, 4, 5]
    assert (found[:2] == first).all() and len({s[1, 0] for s in found}) == 6  # a process each, the first two kept
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fake"]


def test_another_design_does_not_take_what_is_there(tmp_path):
    shadowing.in_processes(fake(2), tmp_path, 300.0)
    assert len(shadowing.in_processes(fake(2, called="other", hangs=0), tmp_path, 0.5)) == 0


def test_a_failure_is_told_without_its_words(tmp_path):
    with pytest.raises(InternalError) as caught:
        shadowing.in_processes(fake(2, fails=0), tmp_path, 300.0)
    assert "Mustermann" not in str(caught.value) and "could not be trained" in str(caught.value)
