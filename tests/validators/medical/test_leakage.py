"""Planted faults of an image generator: a memoriser is stopped, fresh patients are not accused."""

from dataclasses import replace

import numpy as np
import pytest

from synth.contract.model import Privacy
from synth.medical.evidence import Images
from tests.validators.medical import patients
from validators.finding import Verdict
from validators.medical import leakage
from validators.medical.contrastive import Contrastive, Schedule
from validators.medical.copies import Nearness, Scale, copies, pieces
from validators.medical.correlation import Correlation
from validators.medical.membership import membership
from validators.medical.planted import KINDS, planted

PIXELS = Correlation()
PLAIN = replace(patients.contract(), columns=tuple(replace(c, privacy=Privacy.NONE)
                                                   for c in patients.contract().columns))


def looked(e, synthetic: Images, *detectors) -> dict[str, Verdict]:
    limits = leakage.Limits()
    found = copies(replace(e, synthetic=synthetic), pieces(e), detectors or (PIXELS,), excess=limits.copies,
                   sensitivity=limits.sensitivity, either=limits.either, patients=30, images=100)
    return {f.id: f.verdict for f in found}


@pytest.fixture(scope="module")
def single():
    return patients.evidence(700, 3, size=(24, 24), terms=PLAIN)


@pytest.fixture(scope="module")
def several():
    return patients.evidence(200, 5, images=3, size=(24, 24), terms=PLAIN)


@pytest.fixture(scope="module")
def encoder(single):
    schedule = Schedule(steps=50, batch=48, width=12)
    return Contrastive.fit(np.concatenate(pieces(single).pixels), seed=1, schedule=schedule)


@pytest.mark.parametrize("which", ["single", "several"])
def test_a_memoriser_is_stopped_and_fresh_patients_are_not(which, request):
    e = request.getfixturevalue(which)
    assert Verdict.FAIL not in looked(e, e.synthetic).values()
    for share in (0.1, 1.0):
        assert looked(e, patients.memorised(e, share))["leakage.copies.correlation"] is Verdict.FAIL


def test_a_single_exact_copy_is_unmistakable(single):
    pixels = single.synthetic.pixels.copy()
    pixels[5] = single.train.pixels[17]
    found = looked(single, replace(single.synthetic, pixels=pixels))
    assert found["leakage.copies.correlation.certain"] is Verdict.FAIL


def test_copies_of_holdout_patients_accuse_nobody(single):
    """The generator cannot have met them: the same images, memorised from the wrong side, are no leak."""
    turned = replace(single, train=single.holdout, synthetic=single.synthetic)
    found = looked(single, patients.memorised(turned, 0.2))
    assert Verdict.FAIL not in found.values()


def test_the_encoder_finds_a_memoriser_too(single, encoder):
    assert Verdict.FAIL not in looked(single, single.synthetic, encoder).values()
    found = looked(single, patients.memorised(single, 0.2), encoder)
    assert found["leakage.copies.encoder"] is Verdict.FAIL


def test_membership_is_judged_by_patient(several):
    schedule = Schedule(steps=10, batch=32, width=8)
    encoder = Contrastive.fit(np.concatenate(pieces(several).pixels), seed=1, schedule=schedule)
    one = several.train.take(np.unique(several.train.entities, return_index=True)[1])  # one image of each patient
    copied = patients.memorised(replace(several, train=one), 1.0)

    def told(who):
        found = membership(replace(several, synthetic=copied, critic=who), encoder, auc=0.6, tpr=0.1, critic=0.75,
                           patients=30)
        return {f.id: f for f in found}

    known = {images.tobytes() for images in several.train.pixels}
    found = told(lambda images: np.array([float(i.tobytes() in known) for i in images.pixels]))
    assert found["leakage.membership.auc"].verdict is Verdict.FAIL
    assert found["leakage.membership.critic"].verdict is Verdict.FAIL
    assert found["leakage.membership.critic"].n == 80  # patients, not images
    assert "best image" in found["leakage.membership.auc"].detail["pictures"][0]["rows"][1]["label"]
    assert told(None)["leakage.membership.critic"].verdict is Verdict.INFO


def test_a_detector_that_sees_nothing_makes_the_gate_inconclusive(single):
    class Blind:
        name, title = "blind", "nothing"

        def nearest(self, queries, pieces):
            random = np.random.default_rng(len(queries))
            return random.uniform(0.9, 1.1, (len(queries), len(pieces))), np.zeros((len(queries), len(pieces)), int)

    found = looked(single, single.synthetic, Blind())
    assert found["leakage.sensitivity.blind"] is found["leakage.sensitivity"] is Verdict.INCONCLUSIVE


def test_small_archives_fail_closed():
    e = patients.evidence(120, 3, images=3, terms=PLAIN)  # 24 patients of holdout
    result = leakage.run(e, leakage.Limits())
    assert result.verdict is Verdict.INCONCLUSIVE and len(result.findings) == 1
    few = replace(patients.evidence(300, 3), synthetic=patients.people(40, 9))
    assert leakage.run(few, leakage.Limits()).verdict is Verdict.INCONCLUSIVE


def test_pieces_are_equal_disjoint_and_whole_patients(several):
    dealt = pieces(several)
    people = [set(np.unique(part.entities).tolist()) for part in dealt.parts]
    assert dealt.train == 3 and {len(p) for p in people} == {40} and dealt.share == 1
    assert all(not a & b for i, a in enumerate(people) for b in people[:i])
    assert [len(part) for part in dealt.parts] == [120] * 5


def test_the_tail_is_calibrated_and_the_unmistakable_is_rare():
    """Of exchangeable pieces the threshold is passed as often as it says, and no image is unmistakable."""
    rng = np.random.default_rng(0)
    hits = certain = 0
    for _ in range(40):
        distance = rng.gamma(9, size=(1_000, 5))
        ratio = np.stack([distance[:, i] / np.delete(distance, i, 1).min(1) for i in range(5)], axis=1)
        scale = Scale.fit(Nearness(ratio, np.zeros_like(ratio, int)), [""] * 1_000, 3)
        scaled = scale.scaled(ratio, [""] * 1_000)
        hits += int((scaled[:, :3] < scale.tail).sum())
        certain += int((scaled[:, :3] < scale.unmistakable).sum())
    assert 0.0003 < hits / (40 * 3_000) < 0.002  # TAIL is .001
    assert certain <= 2


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (14, 18, 16)])
def test_correlation_sees_through_shifts_mirrors_gain_and_offset(size):
    images = patients.people(40, 7, size=size).pixels
    distance, index = PIXELS.nearest(images[:10], [images[20:], images[:20]])
    assert (index[:, 1] == np.arange(10)).all() and distance[:, 1].max() < 0.01 < distance[:, 0].min()
    disguised = np.roll(images[:10, ..., ::-1], 1, axis=-1) // 2 + 9_000
    distance, index = PIXELS.nearest(disguised, [images[20:], images[:20]])
    assert (index[:, 1] == np.arange(10)).all() and (distance[:, 1] < 0.8 * distance[:, 0]).mean() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_planted_copies_keep_shape_and_are_disguised(kind):
    images = patients.people(6, 7).pixels
    copy = planted(images, kind, np.random.default_rng(0))
    assert copy.shape == images.shape and copy.dtype == images.dtype
    assert (copy == images).all() == (kind == "exact")


def test_the_encoder_is_deterministic_and_takes_volumes():
    images = patients.people(40, 7, size=(12, 16, 14)).pixels
    one, two = (Contrastive.fit(images, seed=3, schedule=Schedule(steps=4, batch=16)).vectors(images) for _ in range(2))
    assert one.shape == (40, 64) and np.array_equal(one, two)
    assert np.linalg.norm(one, axis=1) == pytest.approx(np.ones(40), abs=1e-5)


@pytest.mark.slow
def test_the_whole_gate_passes_fresh_patients():
    e = patients.evidence(1_200, 21, terms=PLAIN)
    result = leakage.run(e, leakage.Limits())
    assert result.verdict is Verdict.PASS, [(f.id, f.value, f.low, f.high) for f in result.findings if f.verdict.blocks]
