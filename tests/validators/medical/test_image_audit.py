"""The audit of images under a budget: what it says of an honest measurement, and the planted faults it must catch.

Chance is fixed here, so that none of these tests ends otherwise now and then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from synth.contract.model import Budget, Training, Unit
from synth.gan.private import noise
from synth.medical.canvas import STEPS, Canvas
from synth.medical.private.features import Features, told
from synth.tabular.private import measure as marginals
from synth.tabular.schema import TableSchema
from tests.validators.medical import patients
from validators.finding import Verdict
from validators.medical import audit

BUDGET = Budget(epsilon=1.0, delta=1e-6, unit=Unit.ENTITY, contributions=1)
AGE = (18.0, 90.0)


@pytest.fixture(autouse=True)
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance that repeats, few features, little inference for the listing."""
    rng, whole, look = np.random.default_rng(7), marginals.fit, Features.__init__
    monkeypatch.setattr(noise, "uniform", lambda size: 1 - rng.random(size))
    monkeypatch.setattr(noise, "seed", lambda: 5)
    monkeypatch.setattr(marginals, "fit", lambda *args, **options: whole(*args, **{**options, "steps": 20}))
    monkeypatch.setattr(Features, "__init__", lambda self, channels, size: look(
        self, channels, size, whole=150, windows=4))


def agreed(**changes: Any) -> Any:
    said = patients.contract((16, 16))
    words = {"lesion": patients.LESIONS, "site": patients.SITES}
    columns = tuple(replace(c, values=words[c.name], required=True) if c.name in words else
                    replace(c, minimum=AGE[0], maximum=AGE[1], required=True, decimals=0) if c.name == "age" else c
                    for c in said.columns)
    return replace(said, columns=columns, budget=BUDGET, training=Training(recipe="medical/private"), **changes)


def schema() -> TableSchema:
    return TableSchema(columns=tuple(replace(c, minimum=AGE[0], maximum=AGE[1]) if c.is_number else c
                                     for c in patients.schema().columns))


@pytest.fixture(scope="module")
def images() -> Any:
    return patients.people(600, 3, size=(16, 16))


def test_canaries_are_nearly_at_right_angles(images: Any) -> None:
    spies = audit.planted(images, schema(), 0, 60, np.random.default_rng(1))
    assert set(np.unique(spies.pixels)) == {0, STEPS} and spies.pixels.shape == (60, 1, 16, 16)
    look, canvas = Features(1, (16, 16)), Canvas(channels=1)
    with torch.no_grad():
        seen = look(canvas.lay(torch.from_numpy(spies.pixels.astype(np.int32)), None))
    cosine = torch.nn.functional.normalize(seen, dim=1) @ torch.nn.functional.normalize(seen, dim=1).T
    assert float(cosine.fill_diagonal_(0).mean()) < 0.6
    assert told(torch.ones(3, 2)).norm(dim=1).max() <= 1 + 1e-6


def test_an_honest_measurement_is_not_contradicted(images: Any) -> None:
    found = audit.audit(images, schema(), agreed(), 1)
    assert found.correct > 55 and not found.contradicts and found.could_contradict and found.claimed == 1.0
    assert found.cells > 500 and found.noise == pytest.approx(1, abs=0.1)


def test_noise_a_quarter_of_what_is_claimed_is_caught(images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = noise.noisy
    monkeypatch.setattr(noise, "noisy", lambda counts, scale: right(counts, scale / 4))
    assert audit.audit(images, schema(), agreed(), 1).contradicts


def test_a_little_less_noise_is_seen_in_the_noise_itself(images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = noise.noisy
    monkeypatch.setattr(noise, "noisy", lambda counts, scale: right(counts, 0.8 * scale))
    found = audit.audit(images, schema(), agreed(), 1)
    assert found.quiet and found.contradicts and found.lower_bound <= 1.0


def test_images_of_a_patient_without_bound_are_caught(images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not audit.audit(images, schema(), agreed(), 1, each=5).contradicts
    whole = audit.measured
    everything = lambda owners, budget: np.arange(len(owners))  # noqa: E731

    def unbounded(held: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr("synth.records.budget.kept", everything)
            patch.setattr(marginals, "kept", everything)
            return whole(held, agreed(), audit.plans.of(agreed().training), Canvas(channels=1), 1, audit.Silent())[0]

    monkeypatch.setattr(audit, "counted", lambda each, budget: each)
    assert audit.audit(images, schema(), agreed(), 1, each=5, run=unbounded).contradicts


def test_features_that_are_not_cut_to_length_are_caught(images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No clipping: a vector four times as long as is accounted."""
    exact = Features.forward
    monkeypatch.setattr(Features, "forward", lambda self, canvas: 4 * exact(self, canvas))
    assert audit.audit(images, schema(), agreed(), 1).contradicts


def test_a_run_that_asks_for_an_audit_has_it_in_its_findings(images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = replace(patients.evidence(50, 4, size=(16, 16)), train=images)
    assert audit.audited(replace(evidence, contract=agreed())) == []
    wanted = replace(evidence, contract=agreed(), schema=schema())
    wanted = replace(wanted, contract=replace(wanted.contract, budget=replace(BUDGET, audit=True)))
    found, = audit.audited(wanted)
    assert found.verdict is Verdict.PASS and found.limit == 1.0 and "4,000 canaries" in found.method
    assert found.detail["audit"]["claimed"] == 1.0
    right = noise.noisy
    monkeypatch.setattr(noise, "noisy", lambda counts, scale: right(counts, scale / 8))
    broken, = audit.audited(wanted)
    assert broken.verdict is Verdict.FAIL and "do not release" in broken.remedy
