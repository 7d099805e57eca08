"""Learnt channels of telemetry before the gates: fresh ones pass, planted faults and replays do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synth.contract.traffic import Traffic
from synth.driving.evidence import SceneEvidence
from synth.driving.residual import Residual
from synth.driving.scenes import MEASURED, Scenes
from synth.driving.telemetry import telemetry as derived
from tests.validators.driving import traffic
from validators.driving import telemetry
from validators.driving.arms import arms
from validators.finding import Finding, Verdict

LAST = MEASURED.index("brake")


def sensed(scenes: Scenes, seed: int) -> Scenes:
    """Scenes whose sensors lag, wander and tremble."""
    rng = np.random.default_rng(seed)
    n, steps = len(scenes), scenes.shape.steps
    found = np.stack([derived(scenes)[name].astype(np.float64) for name in MEASURED], 1)
    for i, (wander, noise) in enumerate(((0.3, 0.1), (0.2, 0.1), (0.01, 0.003), (0.2, 0.02), (0.05, 0.02))):
        slow = np.zeros((n, steps))
        slow[:, 0] = rng.normal(size=n)
        for t in range(1, steps):
            slow[:, t] = 0.9 * slow[:, t - 1] + np.sqrt(1 - 0.9**2) * rng.normal(size=n)
        found[:, i] += wander * slow + noise * rng.normal(size=(n, steps))
    found[:, LAST] = np.nan  # not measured
    return replace(scenes, measured=found.astype(np.float32))


@pytest.fixture(scope="module")
def evidence() -> SceneEvidence:
    """Logs of 1,200 drivers, and what a law learnt from train's draws for fresh motion."""
    made = traffic.evidence(1_200, 5, synthetic=600)
    train, holdout, reference = (sensed(s, i) for i, s in enumerate((made.train, made.holdout, made.reference)))
    law, _ = Residual.fit(train, k=10, seed=3)
    assert law is not None
    drawn = replace(made.synthetic, measured=law.draw(made.synthetic, seed=4))
    return replace(made, train=train, holdout=holdout, reference=reference, synthetic=drawn,
                   contract=traffic.contract(traffic=Traffic(release=("telemetry",))))


def found(evidence: SceneEvidence) -> dict[str, Finding]:
    return {f.id: f for f in (*telemetry.fidelity(evidence, arms(evidence), 0.35),
                              *telemetry.replays(evidence, 0.015, 0.5))}


def changed(evidence: SceneEvidence, measured: np.ndarray) -> SceneEvidence:
    return replace(evidence, synthetic=replace(evidence.synthetic, measured=measured.astype(np.float32)))


def test_what_a_law_draws_is_like_untouched_drives_and_replays_nobody(evidence: SceneEvidence) -> None:
    said = found(evidence)
    assert said["fidelity.telemetry"].verdict is Verdict.PASS, said["fidelity.telemetry"]
    assert said["leakage.telemetry"].verdict is Verdict.PASS, said["leakage.telemetry"]
    assert said["leakage.telemetry"].detail["sensitivity"] > 0.9
    origin = said["fidelity.telemetry.origin"]
    assert origin.value == 5 and "derived from the motion, without what sensors add: speed, brake" in origin.method


def test_fresh_drives_are_not_accused(evidence: SceneEvidence) -> None:
    fresh = sensed(evidence.synthetic, 99)
    said = found(changed(evidence, np.asarray(fresh.measured)))
    assert {f.verdict for f in said.values()} == {Verdict.PASS, Verdict.INFO}


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_replays_of_what_train_sensors_did_are_stopped(evidence: SceneEvidence, share: float) -> None:
    synthetic, train = evidence.synthetic, evidence.train
    assert synthetic.measured is not None and train.measured is not None
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(synthetic))[:round(share * len(synthetic))]
    from_ = rng.integers(0, len(train), len(rows))
    base = [np.stack([derived(s)[name] for name in MEASURED], 1) for s in (synthetic, train)]
    measured = synthetic.measured.copy()
    rest = train.measured - base[1]
    rest += 0.1 * rest.std((0, 2))[:, None] * rng.normal(size=rest.shape)
    measured[rows] = base[0][rows] + rest[from_]
    said = found(changed(evidence, measured))["leakage.telemetry"]
    assert said.verdict is Verdict.FAIL and said.value == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("fault", "where"), [
    ("too quiet", "values"), ("no memory", "memory"), ("biased", "values")])
def test_faults_of_a_law_are_stopped(evidence: SceneEvidence, fault: str, where: str) -> None:
    synthetic = evidence.synthetic
    assert synthetic.measured is not None
    base = np.stack([derived(synthetic)[name] for name in MEASURED], 1)
    rest = synthetic.measured - base
    if fault == "too quiet":
        rest[:, 0] *= 0.1
    elif fault == "biased":
        rest[:, 0] += 1.0
    else:
        rest[:, 0] = np.random.default_rng(0).permuted(rest[:, 0], axis=1)
    said = found(changed(evidence, base + rest))["fidelity.telemetry"]
    assert said.verdict is Verdict.FAIL and said.detail["worst"] == f"acceleration, {where}"


def test_without_measured_channels_everything_is_derived_and_nothing_is_judged(evidence: SceneEvidence) -> None:
    quiet = replace(evidence, synthetic=replace(evidence.synthetic, measured=None))
    said = found(quiet)
    assert set(said) == {"fidelity.telemetry.origin"} and said["fidelity.telemetry.origin"].value == 0
    silent = replace(quiet, contract=traffic.contract(traffic=Traffic(release=("sumo",))))
    assert not telemetry.fidelity(silent, arms(silent), 0.35)
