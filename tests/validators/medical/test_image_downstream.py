"""Networks that learn from synthetic images: fresh patients serve as well as real ones, wrong labels do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from synth.contract import Task
from tests.validators.medical import patients
from validators.finding import Verdict
from validators.medical import downstream, segmentation
from validators.medical.augment import Changes, changed
from validators.medical.classifier import Classifier, Lesson, Schedule
from validators.medical.trials import AUGMENTED, MIXED, REAL, SYNTHETIC, TUNED, Budget, Question, Trial, trial

SMALL = Budget(seeds=2, others=1, schedule=Schedule(steps=70, batch=48, width=8))
TINY = Budget(seeds=1, others=1, schedule=Schedule(steps=6, batch=32, width=4))
SIZE = (24, 24)


def judged(e, budget=SMALL):
    return {f.id: f for f in downstream.run(e, downstream.Limits(), budget).findings}


@pytest.fixture(scope="module")
def archive():
    e = patients.evidence(900, 3, size=SIZE)
    simple = {"wide": "none", "dark": "bright"}  # two classes: learned in a few steps
    return replace(e, **{p: replace(e.part(p), table=e.part(p).table.assign(
        lesion=e.part(p).table["lesion"].replace(simple))) for p in ("train", "holdout", "reference", "synthetic")})


def test_fresh_patients_teach_as_well_as_real_ones(archive):
    found = judged(archive)
    ratio = found["downstream.ratio"]  # so few patients and steps may leave it open
    assert ratio.value is not None and ratio.value > 0.8, ratio
    assert Verdict.FAIL not in {f.verdict for f in found.values()}
    assert found["downstream.ratio"].detail["pictures"][0]["labels"] == [REAL, SYNTHETIC, MIXED, AUGMENTED, TUNED]
    assert {"downstream.gain.augmented", "downstream.gain.tuned", "downstream.gain.rarest"} <= set(found)
    groups = found["downstream.groups"].detail["pictures"][0]["rows"]
    assert [row[0] for row in groups] == ["site: north", "site: south"]


def test_permuted_labels_fail(archive):
    found = judged(replace(archive, synthetic=patients.permuted(archive.synthetic, 1)))
    ratio = found["downstream.ratio"]  # two classes: a guess has half of the accuracy and nothing above chance
    assert ratio.verdict is Verdict.FAIL and ratio.value is not None and ratio.value < 0.5, ratio
    assert found["downstream.mixed"].verdict is Verdict.FAIL


def test_what_real_images_cannot_teach_is_not_passed(archive):
    parts = {p: patients.permuted(archive.part(p), 5) for p in ("train", "holdout", "reference", "synthetic")}
    found = judged(replace(archive, **parts), TINY)
    assert found["downstream.task"].verdict is Verdict.INCONCLUSIVE
    assert found["downstream.ratio"].verdict is not Verdict.PASS


def test_too_few_patients_and_too_few_images_are_inconclusive():
    few = patients.evidence(150, 3, size=(16, 16))
    assert downstream.run(few, downstream.Limits(), SMALL).verdict is Verdict.INCONCLUSIVE
    e = patients.evidence(700, 3, size=(16, 16))
    short = replace(e, synthetic=e.synthetic.take(np.arange(30)))
    assert downstream.run(short, downstream.Limits(), SMALL).verdict is Verdict.INCONCLUSIVE


def test_without_a_target_a_column_of_the_listing_stands_in():
    e = patients.evidence(700, 3, size=(16, 16), terms=patients.contract((16, 16), target=None, task=None))
    asked = downstream.question(e, downstream.Limits())
    assert asked is not None and asked.column == "lesion" and len(asked.classes) == 4


def test_a_number_is_learned_by_regression():
    e = patients.evidence(600, 3, size=(16, 16), terms=patients.contract((16, 16), target="age", task=Task.REGRESSION))
    asked = downstream.question(e, downstream.Limits())
    assert asked is not None and asked.classes == ()
    assert np.std(asked.answers(e.train)) == pytest.approx(1)
    found = judged(e, TINY)  # six steps teach nothing: R2 near or below zero
    assert "downstream.class" not in found and found["downstream.loss"].verdict is not Verdict.PASS
    assert found["downstream.loss"].detail["real"] < 0.2 and found["downstream.task"].verdict is Verdict.INCONCLUSIVE


def test_the_same_seed_gives_the_same_figures():
    e = patients.evidence(200, 3, size=(16, 16))
    asked = Question("lesion", ("bright", "none"))
    budget = Budget(seeds=1, others=1, schedule=Schedule(steps=5, batch=16, width=4))
    one, two = trial(e, asked, budget), trial(e, asked, budget)
    assert all((one.draws[a] == two.draws[a]).all() for a in one.draws)


def test_what_ran_before_changes_no_figure():
    """Dropout once drew from the global generator, so a verdict hung on whatever had drawn from it before."""
    images = patients.people(60, 3, size=(16, 16))
    lesson, plan = Lesson.of(images, np.arange(60) % 2.0), Schedule(steps=8, batch=16, width=4)
    weights = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        before = torch.random.get_rng_state()
        network = Classifier.train(lesson, 2, seed=1, schedule=plan).network
        assert (torch.random.get_rng_state() == before).all()
        weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    assert (weights[0] == weights[1]).all()


def test_recalls_and_their_draws_are_weighted_shares():
    """Against counting by hand: weights say how often an image's patient was drawn."""
    e = patients.evidence(200, 3, size=(16, 16))
    asked = Question("lesion", ("bright", "none"))
    found = trial(e, asked, Budget(seeds=1, others=1, schedule=Schedule(steps=5, batch=16, width=4)))
    right = found.correct[REAL]
    truth = asked.answers(downstream.untouched(e))
    truth = truth[np.isfinite(truth)]
    assert found.images == len(truth)
    for c in (0, 1):
        assert found.recall[REAL][c] == pytest.approx(right[truth == c].mean())
        assert found.patients[c] == (truth == c).sum()
    assert found.score[REAL][0] == pytest.approx(found.recall[REAL].mean())
    assert found.recall_draws[REAL].mean(axis=1) == pytest.approx(found.recall[REAL], abs=0.03)


def test_the_spread_between_seeds_widens_the_interval():
    def made(scores):
        draws = {a: np.tile(np.array(s)[:, None], (1, 300)) for a, s in scores.items()}
        nothing = {a: np.zeros(0) for a in scores}
        return Trial({a: np.array(s) for a, s in scores.items()}, draws, nothing, nothing, nothing, 100, np.zeros(0))

    steady = made({"a": [0.8, 0.8], "b": [0.9, 0.9]}).compare("a", "b", lambda x, y: np.asarray(x - y))
    shaky = made({"a": [0.7, 0.9], "b": [0.9, 0.9]}).compare("a", "b", lambda x, y: np.asarray(x - y))
    assert steady[0] == shaky[0] == pytest.approx(-0.1)
    assert steady[3] == pytest.approx(0) and shaky[3] == pytest.approx(0.1)


def test_fine_tuning_goes_on_from_the_given_network():
    images = patients.people(40, 3, size=(16, 16))
    lesson = Lesson.of(images, np.arange(40) % 2.0)
    plan = Schedule(steps=4, batch=8, width=4, fine_tune=0.25)
    first = Classifier.train(lesson, 2, seed=1, schedule=plan)
    before = first.predict(lesson.images)
    second = Classifier.train(lesson, 2, seed=1, schedule=plan, after=first)
    assert (first.predict(lesson.images) == before).all() and second.network is not first.network


@pytest.mark.parametrize("shape", [(6, 1, 20, 24), (6, 3, 20, 20), (4, 1, 10, 12, 14)])
def test_changes_keep_the_shape_and_no_change_keeps_the_image(shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 1.9 - 0.95
    none = Changes(shift=0, zoom=0, turn=0, blur=0, gamma=0, gain=0, offset=0, noise=0)
    assert torch.allclose(changed(images, none, torch.Generator().manual_seed(1)), images, atol=1e-4)
    mirrored = changed(images, replace(none, flips=(len(shape) - 3,)), torch.Generator().manual_seed(1))
    same = torch.isclose(mirrored, images, atol=1e-4).flatten(1).all(dim=1)
    turned = torch.isclose(mirrored, images.flip(-1), atol=1e-4).flatten(1).all(dim=1)
    assert (same | turned).all() and same.any() and turned.any()
    moved = changed(images, Changes(), torch.Generator().manual_seed(1))
    assert moved.shape == images.shape and torch.isfinite(moved).all() and not torch.allclose(moved, images, atol=0.01)


def masked(patients_count, size):
    terms = patients.contract(size, masks=True, target=None, task=None)
    return patients.evidence(patients_count, 3, size=size, masks=True, terms=terms)


def test_masks_that_fit_teach_and_masks_of_others_do_not():
    e = masked(600, (32, 32))
    plan = segmentation.Schedule(steps=110, channels=(8, 16, 32), batch=16, seeds=2, rate=1e-2)
    fresh, = segmentation.segmentation(e, limit=0.6, patients=50, schedule=plan)
    wrong, = segmentation.segmentation(replace(e, synthetic=patients.permuted(e.synthetic, 1)), limit=0.6, patients=50,
                                       schedule=plan)
    assert fresh.value is not None and fresh.value > 0.7 and fresh.verdict is not Verdict.FAIL
    assert wrong.verdict is Verdict.FAIL


def test_a_segmenter_takes_volumes_and_says_so_where_real_masks_cannot_be_learned():
    e = masked(200, (10, 13, 11))
    plan = segmentation.Schedule(steps=2, channels=(4, 8), batch=4, seeds=2)
    found, = segmentation.segmentation(e, limit=0.6, patients=50, schedule=plan)
    assert found.verdict is Verdict.INCONCLUSIVE and "could not be learned" in found.power
    assert segmentation.segmentation(patients.evidence(50, 3), limit=0.6, patients=50) == []
    alone = replace(e, synthetic=replace(e.synthetic, masks=None))
    assert segmentation.segmentation(alone, limit=0.6, patients=50)[0].verdict is Verdict.INCONCLUSIVE


def test_dice_is_twice_the_overlap_over_both_areas():
    overlaps = np.array([[[2 * 3.0, 4 + 5.0], [2 * 1.0, 1 + 1.0]]])
    assert segmentation._dice(overlaps, np.array([[1.0, 2.0], [1.0, 0.0]])) == pytest.approx(
        np.array([[8 / 11, 6 / 9]]))
