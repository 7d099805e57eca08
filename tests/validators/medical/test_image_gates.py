"""The fidelity and diversity gates of images: fresh patients pass, planted faults and small sets do not."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from synth.medical.evidence import ImageEvidence, Images
from synth.seeds import generator
from tests.validators.medical import faults, patients
from validators.finding import Finding, GateResult, Verdict
from validators.medical import diversity, fidelity, listing
from validators.medical.features import efficientnet
from validators.report import tiles

PEOPLE = 500


@pytest.fixture(scope="module")
def clean() -> ImageEvidence:
    return patients.evidence(PEOPLE, 3)


@pytest.fixture(scope="module")
def results(clean: ImageEvidence) -> dict[str, GateResult]:
    return {"fidelity": fidelity.run(clean, fidelity.Limits()), "diversity": diversity.run(clean, diversity.Limits())}


def by_id(result: GateResult) -> dict[str, Finding]:
    return {f.id: f for f in result.findings}


def judged(clean: ImageEvidence, gate: Any, fault: faults.Fault) -> set[str]:
    """Ids of the findings that block a set with a fault."""
    evidence = replace(clean, synthetic=fault(clean.synthetic, generator(5, "fault")))
    return {f.id for f in gate.run(evidence, gate.Limits()).findings if f.verdict.blocks}


@pytest.mark.parametrize("gate", ["fidelity", "diversity"])
def test_fresh_patients_pass(results: dict[str, GateResult], gate: str) -> None:
    blocking = [(f.id, f.value, f.low, f.high) for f in results[gate].findings if f.verdict.blocks]
    assert not blocking
    assert results[gate].verdict is Verdict.PASS


def test_ratios_of_fresh_patients_are_near_one_and_inside_their_bounds(results: dict[str, GateResult]) -> None:
    found = by_id(results["fidelity"])
    for name in ("kernel.efflite", "kernel.radiomics", "frechet.efflite", "frechet.radiomics"):
        finding = found[f"fidelity.{name}"]
        assert finding.low is not None and finding.high is not None and finding.floor is not None
        assert finding.low <= 1 <= finding.high + 0.2 and abs(finding.floor - 1) < 0.3
        assert finding.detail["pictures"] and finding.method and finding.power


CAUGHT = {"noise .05": "fidelity.kernel.efflite", "blur 1 pixel": "fidelity.spectrum",
          "checkerboard .03": "fidelity.kernel.radiomics", "brighter by .08": "fidelity.intensity",
          "independent pixels": "fidelity.frechet.radiomics"}


@pytest.mark.parametrize("name", CAUGHT)
def test_fidelity_stops(clean: ImageEvidence, name: str) -> None:
    assert CAUGHT[name] in judged(clean, fidelity, faults.FIDELITY[name])


COLLAPSED = {"20 images": "diversity.recall", "one image a class": "diversity.similarity"}


@pytest.mark.parametrize("name", COLLAPSED)
def test_diversity_stops(clean: ImageEvidence, name: str) -> None:
    blocking = judged(clean, diversity, faults.DIVERSITY[name])
    assert COLLAPSED[name] in blocking and "diversity.duplicates" in blocking


def test_one_class_that_collapsed_is_named(clean: ImageEvidence) -> None:
    spoilt = faults.one_class_collapsed(clean.synthetic, generator(6))
    worst = by_id(diversity.run(replace(clean, synthetic=spoilt), diversity.Limits()))["diversity.similarity"]
    assert worst.verdict.blocks and worst.detail["worst"] == "bright"  # the second of the simulated classes


def test_a_wrong_mix_in_the_listing_is_stopped(clean: ImageEvidence) -> None:
    drawn = clean.synthetic
    table = drawn.table.assign(lesion=np.where(np.arange(len(drawn)) % 4 > 0, "none", drawn.table["lesion"]))
    (found,) = listing.judge(replace(clean, synthetic=replace(drawn, table=table)), 0.10)
    assert found.verdict is Verdict.FAIL and found.detail["worst"] == "lesion"


def test_same_evidence_same_findings(clean: ImageEvidence, results: dict[str, GateResult]) -> None:
    again = diversity.run(replace(clean), diversity.Limits())
    assert [dataclasses.asdict(f) for f in again.findings] == [
        dataclasses.asdict(f) for f in results["diversity"].findings]


@pytest.mark.parametrize("gate", [fidelity, diversity])
def test_few_patients_are_not_judged_whatever_they_look_like(gate: Any) -> None:
    small = patients.evidence(60, 1, images=3)
    result = gate.run(small, gate.Limits())
    assert result.verdict is Verdict.INCONCLUSIVE
    (only,) = result.findings
    assert only.value is None and "not computed: n too small" in only.power and "100" in only.remedy


def _evidence(base: ImageEvidence, change: Any) -> ImageEvidence:
    parts = ("train", "holdout", "reference", "synthetic")
    return replace(base, **{part: change(getattr(base, part)) for part in parts})


@pytest.mark.parametrize("size", [(20, 17), (16, 16, 18)])
def test_other_shapes_are_judged(size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "SLICES", (0.5,))  # three slices of a volume, not nine, for time
    evidence = patients.evidence(250, 2, size=size)
    for gate in (fidelity, diversity):
        result = gate.run(evidence, gate.Limits())
        assert not any(f.verdict is Verdict.FAIL for f in result.findings)
        assert all(f.value is None or np.isfinite(f.value) for f in result.findings)


def test_black_images_and_no_target_are_judged_and_stopped(clean: ImageEvidence) -> None:
    terms = replace(clean.contract, target=None, task=None)
    evidence = replace(clean, contract=terms, synthetic=replace(
        clean.synthetic, pixels=np.zeros_like(clean.synthetic.pixels)))
    for gate in (fidelity, diversity):
        result = gate.run(evidence, gate.Limits())
        assert result.verdict is Verdict.FAIL
        json.dumps(result.to_json())


def test_colour_is_judged(clean: ImageEvidence) -> None:
    def colour(images: Images) -> Images:
        rng = generator(9, len(images))
        shift = rng.integers(0, 3_000, (len(images), 3, 1, 1))
        return replace(images, pixels=np.clip(images.pixels.astype(np.int64) + shift, 0, 65_535).astype(np.uint16))

    small = patients.evidence(260, 4)
    result = fidelity.run(_evidence(small, colour), fidelity.Limits())
    assert not any(f.verdict is Verdict.FAIL for f in result.findings)


def test_reports_hold_synthetic_tiles_only_and_no_private_value(
        clean: ImageEvidence, results: dict[str, GateResult]) -> None:
    from PIL import Image

    text = json.dumps([r.to_json() for r in results.values()])
    assert "NaN" not in text and "Infinity" not in text
    shown = [p for r in results.values() for f in r.findings for p in f.detail.get("pictures", [])
             if p["kind"] == "images"]
    assert len(shown) == 1 and tiles.problems(shown[0]) == []
    items = shown[0]["items"]
    assert {i["label"] for i in items} == set(patients.LESIONS) and sum(len(i["png"]) for i in items) <= 200_000
    drawn = {(x >> 8).astype(np.uint8).tobytes() for x in clean.synthetic.pixels[:, 0]}
    for item in items:
        assert np.asarray(Image.open(io.BytesIO(base64.b64decode(item["png"])))).tobytes() in drawn


def test_limits_have_a_direction_and_a_range_that_holds_the_default() -> None:
    for gate in (fidelity, diversity):
        for f in dataclasses.fields(gate.Limits):
            low, high = f.metadata["range"]
            assert f.metadata["direction"] in ("at most", "at least") and low <= f.default <= high
            assert f.name in (gate.Limits.__doc__ or "")
