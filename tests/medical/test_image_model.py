"""The image model end to end on small discs: what it learns, that it repeats itself, what it refuses."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from synth.contract.model import Training
from synth.errors import UserError
from synth.gan.players import View
from synth.gan.trainer import Trainer
from synth.medical import model as models
from synth.medical.canvas import Canvas
from synth.medical.evidence import Images
from synth.medical.model import ImageModel
from synth.medical.players import ImagePlayers, Store
from synth.medical.recipes import RECIPES
from tests.medical.golden import FOLDER, changed, file
from tests.medical.shapes import SCHEMA, block, discs

TINY = (("images", 32), ("adversarial.batch", 8), ("width", 0.25), ("noise", 8))


def fit(images: Images, recipe: str = "medical/r3", *, options: tuple[tuple[str, Any], ...] = TINY, flips: bool = False,
        seed: int = 3, **keywords: Any) -> ImageModel:
    size, classes = images.pixels.shape[2:], 0 if images.masks is None else int(images.masks.max()) + 1
    pixels = block(size, classes=classes, channels=images.pixels.shape[1], flips=flips)
    return ImageModel.fit(images, SCHEMA, pixels=pixels, conditions=("age",), target="label", seed=seed, device="cpu",
                          training=Training(recipe=recipe, options=options), **keywords)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_repeats_its_golden_curves(name: str) -> None:
    assert changed(name) == {}


def test_every_file_belongs_to_a_recipe() -> None:
    assert {file(name) for name in RECIPES} == set(FOLDER.iterdir())


def test_another_objective_leaves_the_golden_tolerance() -> None:
    recipe = RECIPES["medical/lsgan"]
    other = dataclasses.replace(recipe.phases[0], objective="hinge")
    with mock.patch.dict(RECIPES, {"medical/lsgan": dataclasses.replace(recipe, phases=(other,))}):
        assert "adversarial.critic" in changed("medical/lsgan")


@pytest.mark.parametrize(("recipe", "classes"), [("medical/r3", 0), ("medical/r3", 3), ("medical/spade", 3),
                                                 ("medical/aae", 0)])
def test_equal_seeds_give_equal_bytes_and_saving_keeps_them(recipe: str, classes: int, tmp_path: Path) -> None:
    images = discs(40, (16, 18), classes=classes)
    made = fit(images, recipe)
    pixels, masks = made.draw(images.table.iloc[:9], seed=5)
    assert pixels.dtype == np.uint16 and pixels.shape == (9, 1, 16, 18)
    assert (masks is None) == (classes == 0)
    if masks is not None:
        assert masks.dtype == np.uint8 and masks.shape == (9, 16, 18) and masks.max() < classes
    more, _ = made.draw(images.table, seed=5)
    np.testing.assert_array_equal(pixels, more[:9])
    assert (made.draw(images.table.iloc[:9], seed=6)[0] != pixels).any()
    made.save(tmp_path / "model")
    loaded = ImageModel.load(tmp_path / "model")
    again, masks_again = loaded.draw(images.table.iloc[:9], seed=5)
    np.testing.assert_array_equal(again, pixels)
    if masks is not None:
        np.testing.assert_array_equal(masks_again, masks)
    scores = made.critic_scores(images)
    assert scores.shape == (40,) and np.isfinite(scores).all() and scores.std() > 0
    np.testing.assert_allclose(loaded.critic_scores(images), scores, rtol=1e-5, atol=1e-6)
    twin = fit(images, recipe)
    np.testing.assert_array_equal(twin.draw(images.table.iloc[:9], seed=5)[0], pixels)


def test_a_release_without_the_critic_draws_and_has_no_scores(tmp_path: Path) -> None:
    images = discs(20)
    fit(images).save(tmp_path)
    (tmp_path / "critic.safetensors").unlink()
    made = ImageModel.load(tmp_path)
    assert made.draw(images.table.iloc[:2], seed=1)[0].shape == (2, 1, 16, 20)
    with pytest.raises(UserError, match="critic"):
        made.critic_scores(images)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}


def test_a_released_autoencoder_has_no_encoder(tmp_path: Path) -> None:
    made = fit(discs(20), "medical/aae")
    assert not any("encoder" in name for name in made.part.generator.state_dict())


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    images, options = discs(30), (*TINY[1:], ("images", 80))
    whole = fit(images, options=options).draw(images.table.iloc[:4], seed=1)[0]
    shown = Trainer._watch

    def stop(self: Trainer, steps: Any, losses: Any, step: Any) -> None:
        shown(self, steps, losses, step)
        if self.state["step"] == 5:
            self.books.save(tmp_path / "images", finished=False)
            raise KeyboardInterrupt

    with mock.patch.object(Trainer, "_watch", stop), pytest.raises(KeyboardInterrupt):
        fit(images, options=options, checkpoint=tmp_path / "images")
    resumed = fit(images, options=options, checkpoint=tmp_path / "images").draw(images.table.iloc[:4], seed=1)[0]
    np.testing.assert_array_equal(resumed, whole)


def test_whole_patients_are_held_back_and_never_trained_on() -> None:
    images, seen = discs(600, (16, 16), images_each=3), []
    images.pixels[:, 0, 0, 0] = np.arange(600)  # no two alike

    def run(self: Trainer) -> dict[str, Any]:
        seen.append(self.players)
        return {"phases": [], "released": "adversarial"}

    with mock.patch.object(Trainer, "run", run), mock.patch.object(ImagePlayers, "validate", return_value=0.0):
        fit(images)
    players = seen[0]
    assert players.held is not None and 50 <= len(players.held) <= 60 and len(players.train) + len(players.held) == 600
    held = {bytes(image.numpy()) for image in players.held.pixels}
    of = {bytes(images.pixels[i].tobytes()): images.entities[i] for i in range(600)}
    patients = {of[key] for key in held}
    assert all(of[bytes(image.numpy())] not in patients for image in players.train.pixels)


def test_flips_only_where_left_and_right_may_be_exchanged() -> None:
    pixels = np.zeros((1, 1, 16, 16), np.uint16)
    pixels[..., :8] = 65_535
    store = Store(pixels, (pixels[:, 0] > 0).astype(np.uint8), np.zeros((1, 0), np.float32), torch.device("cpu"))
    networks = torch.nn.Identity(), torch.nn.Identity()
    networks[0].noise = 4
    for flips in (False, True):
        players = ImagePlayers(*networks, store, None, Canvas(channels=1, classes=2), flips=flips)
        torch.manual_seed(0)
        batch = players.draw(64)
        left = batch.canvas[:, 0, 0, 0] > 0
        assert bool(left.all()) != flips and ("flip" in players.offer.augment) == flips
        assert torch.equal(batch.canvas[:, 2, 0, 0] > 0, left)  # the mask goes with its image


def test_real_and_generated_images_share_their_conditions() -> None:
    images = discs(30, (16, 16), classes=3)
    caught: list[View] = []
    real, fake = ImagePlayers.real, ImagePlayers.fake

    def note(which: Any) -> Any:
        def wrapped(self: ImagePlayers, batch: Any) -> Any:
            caught.append(which(self, batch))
            return caught[-1]
        return wrapped

    with mock.patch.object(ImagePlayers, "real", note(real)), mock.patch.object(ImagePlayers, "fake", note(fake)):
        fit(images, "medical/spade", options=(*TINY[1:], ("images", 8)))
    one, other = caught[:2]
    assert one.inputs.shape == other.inputs.shape and not torch.equal(one.inputs, other.inputs)
    for item, same in zip(one.context, other.context, strict=True):
        assert item is same or torch.equal(item, same)


def test_sample_grids_are_private_pictures_of_generated_images(tmp_path: Path) -> None:
    from PIL import Image

    images = discs(20, (16, 16), classes=3)
    fit(images, "medical/spade", grids=tmp_path / "grids")
    for folder in (tmp_path / "grids", tmp_path / "grids" / "masks"):
        pictures = sorted(folder.glob("step-*.png"))
        assert pictures and all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in pictures)
        assert Image.open(pictures[-1]).size == (8 * 16, 5 * 16)


def test_a_limit_by_the_clock_is_kept() -> None:
    made = fit(discs(30), options=(*TINY, ("seconds", 0.2)))
    phase = made.history["phases"][0]
    assert phase["steps"] >= 1 and phase["seconds"] < 5


def test_the_history_is_free_of_values() -> None:
    made = fit(discs(20))
    text = json.dumps(made.history)
    assert "bright" not in text and "dark" not in text


@pytest.mark.parametrize(("recipe", "options", "said"), [
    ("medical/none", (), "unknown recipe"), ("medical/pix2pix", (), "from masks"), ("medical/r3-3d", (), "volumes"),
    ("medical/r3", (("rate", 1.0),), "no option")])
def test_what_cannot_be_is_refused(recipe: str, options: tuple[tuple[str, Any], ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        fit(discs(10), recipe, options=options)


def test_no_images_are_refused() -> None:
    images = discs(10)
    with pytest.raises(UserError, match="no image"):
        fit(images.take(np.zeros(10, bool)))


def test_a_model_of_another_format_is_refused(tmp_path: Path) -> None:
    fit(discs(10)).save(tmp_path)
    description = json.loads((tmp_path / models.DESCRIPTION).read_text())
    (tmp_path / models.DESCRIPTION).write_text(json.dumps(description | {"format": 99}))
    with pytest.raises(UserError, match="format"):
        ImageModel.load(tmp_path)
