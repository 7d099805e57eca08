"""Images under a budget: what a patient can change, that the generator is handed no real image, and the statement."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.contract.model import Budget, Training, Unit
from synth.errors import UserError
from synth.gan.private import noise
from synth.gan.private.accounting import Gaussian
from synth.medical.canvas import Canvas
from synth.medical.plug import PLUG
from synth.medical.private import measure, plan, road, training
from synth.medical.private.features import Features, told
from synth.medical.stored import StoredImages, read_images
from synth.progress import Silent
from synth.tabular.private import road as tables
from synth.tabular.private.measure import kept
from tests.medical.archives import IDENTIFIER, LABEL, contract, picture, save
from tests.records.stages import ingested

OPTIONS = {"noise": 8, "width": 0.25, "batch": 16}
TINY: Any = {"effort": 0.0012, "options": OPTIONS}
CRITIC: Any = {**TINY, "options": {**OPTIONS, "critic": 0.4, "critic_steps": 3, "critic_batch": 20}}
BUDGET = {"epsilon": 8, "delta": 1e-4, "contributions": 2}


def archive(folder: Path, patients: int = 150) -> Path:
    """``LABEL/pNNN_I.png``, three images a patient; an image of label b is brighter."""
    for number in range(patients):
        for image in range(3):
            values = picture(10 * number + image).astype(float) * 0.5 + 90 * (number % 2)
            save(folder / "ab"[number % 2] / f"p{number:03d}_{image}.png", values.astype(np.uint8))
    return folder


def agreed(folder: Path, **changes: Any) -> Any:
    columns = {"file": IDENTIFIER, "patient": IDENTIFIER, "label": {**LABEL, "values": ["a", "b"]}}
    more = {"k": {"limit": 2, "reason": "a small test"}, "budget": BUDGET, "training": TINY, **changes}
    return contract(folder, columns, pattern="{label}/{patient}_*.png", more=more)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ingest and split of such an archive."""
    folder = tmp_path_factory.mktemp("budget")
    return ingested(PLUG, agreed(archive(folder / "data")), folder)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short training for the listing."""
    monkeypatch.setattr(road, "Training", lambda: Training(recipe="tabular/likelihood", effort=0.02))


def fitted(home: Path, out: Path, **changes: Any) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    return PLUG.fit(agreed(home / "data", **changes), home / "ingest", home / "split", out, seed=1, device="cpu",
                    progress=Silent())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.tuples(st.integers(8, 20), st.integers(8, 20)), st.integers(0, 9))
def test_no_image_adds_more_than_a_vector_of_length_one(channels: int, size: tuple[int, int], seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    canvas = (torch.rand(4, channels, *size, generator=rng) * 2 - 1) * torch.tensor([1.0, 50.0, 0.0, 1e-3])[
        :, None, None, None]
    look = Features(channels, size, whole=10, windows=4)
    features, sides = look(canvas), told(torch.randn(4, 5, generator=rng) * 3)
    assert features.shape == (4, look.count)
    whole = torch.einsum("bf,bk->bfk", features, sides).flatten(1).norm(dim=1)
    assert whole.max().item() <= 1 + 1e-5 and features.norm(dim=1).min().item() > 0.5


def test_a_patient_moves_the_sum_by_no_more_than_is_accounted(home: Path, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    stored, said = StoredImages.open(home / "ingest", home / "split"), agreed(home / "data")
    sums: list[np.ndarray] = []
    exact = measure.summed
    monkeypatch.setattr(measure, "summed", lambda *args: sums.append(exact(*args)) or sums[-1])

    def look(whose: StoredImages, listing: Any = None) -> measure.Known:
        if listing is not None:  # what the listing said before: only the images' sum is compared
            monkeypatch.setattr(measure.tables, "of_rows", lambda *_: listing)
        return measure.measured(whose, said, plan.Plan(), Canvas(channels=1), 1, Silent())[0]

    monkeypatch.setattr(noise, "seed", lambda: 3)
    first = look(stored)
    train = np.flatnonzero(stored.rows_of("train"))
    one = stored.entities() == stored.entities()[train[0]]
    assert one.sum() == 3
    parts = np.load(home / "split" / "parts.npy")
    parts[one] = 1
    (tmp_path / "split").mkdir()
    np.save(tmp_path / "split" / "parts.npy", parts)
    # the same of everybody else
    monkeypatch.setattr("synth.records.budget.kept", lambda entities, budget: np.flatnonzero(
        np.r_[True, True, np.diff(entities[:-1]) + np.diff(entities[1:]) != 0]))
    look(stored, first.listing)
    look(StoredImages.open(home / "ingest", tmp_path / "split"), first.listing)
    accounted = next(m for m in first.statement["mechanisms"] if "features" in m["name"])
    assert 0.5 < np.linalg.norm(sums[-1] - sums[-2]) <= accounted["sensitivity"] == 2.0


def test_at_most_so_many_images_of_a_patient_are_used() -> None:
    owners = np.repeat(np.arange(5), [1, 2, 3, 4, 40])
    chosen = kept(owners, Budget(epsilon=1, delta=1e-5, contributions=3))
    assert np.bincount(owners[chosen]).tolist() == [1, 2, 3, 3, 3]
    assert len(kept(np.arange(50), Budget(epsilon=1, delta=1e-5, unit=Unit.ROW))) == 50


def test_after_the_measurement_no_image_is_there_and_training_goes_on(home: Path, tmp_path: Path) -> None:
    said = agreed(home / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(road, "match", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fitted(home, tmp_path / "fit")
    before = (tmp_path / "fit" / road.KEPT).read_bytes()
    nowhere = tmp_path / "nowhere"
    record = PLUG.fit(said, nowhere, nowhere, tmp_path / "fit", seed=1, device="cpu", progress=Silent())
    assert (tmp_path / "fit" / road.KEPT).read_bytes() == before  # the budget was not spent again
    assert record["released_phase"] == "mean features" and record["privacy"]["epsilon"] == 8.0

    again = tmp_path / "again"
    again.mkdir()
    (tmp_path / "again.partial").mkdir()
    (tmp_path / "fit" / road.STORED).rename(again / road.STORED)  # of a stage that was finished, and is made anew
    record = PLUG.fit(said, nowhere, nowhere, tmp_path / "again.partial", seed=1, device="cpu", progress=Silent())
    assert (tmp_path / "again.partial" / road.STORED).read_bytes() == before
    assert record["privacy"]["epsilon"] == 8.0

    with pytest.raises(UserError, match="another budget"):
        PLUG.fit(dataclasses.replace(said, budget=dataclasses.replace(said.budget, epsilon=9.0)), nowhere, nowhere,
                 tmp_path / "fit", seed=1, device="cpu", progress=Silent())


def test_the_generator_is_handed_no_real_image_even_with_a_critic(home: Path, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Any] = []
    students, spar = training.Student, training.spar

    def student(*args: Any) -> training.Student:
        handed.extend(args)
        return students(*args)

    def fought(student: Any, critic: Any, gradients: Any, steps: int, progress: Any) -> dict[str, Any]:
        noised = gradients()
        assert {k: v.shape for k, v in noised.items()} == {k: v.shape for k, v in critic.named_parameters()}
        return spar(student, critic, lambda: noised, steps - 1, progress)

    monkeypatch.setattr(road, "Student", student)
    monkeypatch.setattr(road, "spar", fought)
    monkeypatch.setattr(measure.NoisySteps, "within", lambda *_, before, **given: measure.NoisySteps(  # found quickly
        multiplier=4.0, **given))
    record = fitted(home, tmp_path / "fit", training=CRITIC)
    real = StoredImages.open(home / "ingest", home / "split").pixels
    held = [v for v in handed if isinstance(v, torch.Tensor)]
    assert len(held) == 2 and all(v.shape[-2:] != real.shape[-2:] for v in held)  # conditions, noisy mean
    said = record["privacy"]
    kinds = {m["name"]: m["kind"] for m in said["mechanisms"]}
    assert kinds[measure.TRAINING] == "poisson-sampled gaussian" and said["epsilon_spent"] <= 8.0
    assert said["epsilon_spent"] > 4.0 and "coin" in said["sampling"]
    ours, theirs = (a["epsilon"] for a in said["accountants"])
    assert abs(ours - theirs) <= 0.02 * theirs


def test_statement_and_number_of_images_and_what_is_drawn(home: Path, tmp_path: Path) -> None:
    record = fitted(home, tmp_path / "fit")
    said = record["privacy"]
    assert said["covers"].startswith("the synthetic images") and said["unit"] == "entity"
    assert any("archive" in line for line in said["outside"]) and said["contributions"] == 2
    stored = StoredImages.open(home / "ingest", home / "split")
    exact = int(stored.rows_of("train").sum())
    (tmp_path / "made").mkdir()
    made = PLUG.generate(agreed(home / "data"), home / "ingest", home / "split", tmp_path / "fit", tmp_path / "made",
                         seed=1, progress=Silent())
    assert made["rows"] == record["rows"] == PLUG.rows_to_release(None, tmp_path / "fit") != exact
    images = read_images(tmp_path / "made" / "synthetic", stored.schema)
    assert set(images.table["label"]) <= {"a", "b"} and images.pixels.shape[1:] == (1, 16, 16)


def test_conditions_are_followed(home: Path, tmp_path: Path) -> None:
    fitted(home, tmp_path / "fit", training={**TINY, "effort": 0.018})
    generator = PLUG.load(tmp_path / "fit" / "model")  # type: ignore[attr-defined]
    drawn = generator.draw(200, seed=5)
    light = [drawn.pixels[drawn.table["label"] == v].mean() for v in "ab"]
    assert light[1] > light[0] + 10_000


def test_patients_who_share_an_image_stay_apart_under_a_budget(tmp_path: Path) -> None:
    folder = archive(tmp_path / "data", 40)
    save(folder / "a" / "p000_0.png", picture(999))
    save(folder / "a" / "p002_0.png", picture(999))
    for name, budget, found in (("with", BUDGET, 40), ("without", None, 39)):
        (tmp_path / name).mkdir()
        said = agreed(folder) if budget else dataclasses.replace(agreed(folder), budget=None, training=Training(
            recipe="medical/r3"))
        assert PLUG.ingest(said, tmp_path / name, progress=Silent())["entities"] == found


@pytest.mark.parametrize(("options", "what"), [
    ({"listing": 0.7, "critic": 0.4}, "shares"), ({"batch": 0}, "above 0"), ({"batch": 1.5}, "whole"),
    ({"wings": 2}, "no option"), ({"rate": "much"}, "a number")])
def test_options_that_cannot_be(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what):
        plan.of(Training(recipe="medical/r3", options=tuple(options.items())))


def test_a_gaussian_mechanism_is_what_the_sums_are_noised_by(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = measure.summed
    sums: list[np.ndarray] = []
    monkeypatch.setattr(measure, "summed", lambda *args: sums.append(exact(*args)) or sums[-1])
    known, _ = measure.measured(StoredImages.open(home / "ingest", home / "split"), agreed(home / "data"), plan.Plan(),
                                Canvas(channels=1), 1, Silent())
    said = next(m for m in known.statement["mechanisms"] if "features" in m["name"])
    error = known.mean.double().numpy() * known.count - sums[0]
    assert error.std() == pytest.approx(said["noise"], rel=0.03) and abs(error.mean()) < 0.1
    mu = Gaussian(name="x", noise=said["noise"], sensitivity=said["sensitivity"]).mu
    assert mu**2 / 2 == pytest.approx(said["rho"]) and known.count >= tables.FEWEST
