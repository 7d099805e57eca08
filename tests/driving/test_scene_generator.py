"""The generator of scenes end to end on toy traffic: what it gives, that it repeats itself, what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from synth.contract.model import Training
from synth.driving import recipes
from synth.driving.generator import SceneGenerator, near_misses
from synth.driving.model import DriverModel
from synth.driving.players import ScenePlayers
from synth.driving.roles import cast, nearest_first
from synth.driving.scenes import S, Scenes
from synth.errors import UserError
from synth.gan.trainer import Trainer
from synth.tabular.conditions import Allowed, parse
from tests.driving import golden
from tests.driving.test_header import planned
from tests.driving.tiny import OPTIONS, fit
from tests.driving.toys import SCHEMA, traffic
from validators.driving.kinematics import impossible


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return traffic(120)


@pytest.fixture(scope="module")
def made(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> SceneGenerator:
    return fit(scenes, tmp_path_factory.mktemp("made"))


def test_drawn_scenes_are_whole_and_feasible(made: SceneGenerator) -> None:
    drawn = made.draw(50, seed=1)
    assert drawn.states.dtype == np.float32 and drawn.states.shape == (50, 4, 40, 4)
    assert drawn.kinds.dtype == np.int8 and drawn.present[:, 0].all() and len(np.unique(drawn.entities)) == 50
    SCHEMA.check(drawn.table)
    assert np.isfinite(drawn.states).all() and not drawn.states[~drawn.present].any()
    np.testing.assert_allclose(drawn.states[:, 0, 0, S], 0, atol=1e-6)
    np.testing.assert_allclose(drawn.states[:, 0, 0, 3], drawn.table["speed"], atol=1e-4)
    np.testing.assert_array_equal(drawn.road[:, 0], drawn.table["lanes"])
    away = (drawn.states - drawn.states[:, :1])[:, :, 0]
    apart = np.where(drawn.present, np.hypot(away[..., 0], away[..., 1]), 1e9)
    assert (np.diff(apart, axis=1) >= 0).all()
    broken = impossible(drawn, np.full(50, 0.9))
    assert not any(found.any() for found in broken.values()), {k: int(v.sum()) for k, v in broken.items()}


def test_conditions_hold_in_every_row_and_reach_the_drivers(made: SceneGenerator) -> None:
    drawn = made.draw(20, seed=1, where=["manoeuvre=lane_change", "weather=rain|snow", "min_ttc>=2"])
    assert (drawn.table["manoeuvre"] == "lane_change").all() and (drawn.table["min_ttc"] >= 2).all()
    even = made.draw(21, seed=1, balance="weather").table["weather"].value_counts()
    assert even.tolist() == [7, 7, 7]
    plan = made.plan(drawn)
    assert (plan.condition != made.plan(made.draw(20, seed=1)).condition).any()


def test_so_little_time_to_a_collision_is_a_near_miss_and_the_other_way_round() -> None:
    def found(*where: str) -> dict[str, Allowed]:
        return dict(near_misses(parse(where, SCHEMA), SCHEMA).columns)

    assert found("min_ttc<=1.2")["manoeuvre"].labels == {"near_miss"}
    assert found("manoeuvre=near_miss")["min_ttc"].high < 1.5
    assert set(found("min_ttc<=1.2", "manoeuvre=cut_in|near_miss")) == {"min_ttc", "manoeuvre"}
    assert found("min_ttc<=1.2", "manoeuvre=cut_in|near_miss")["manoeuvre"].labels == {"cut_in", "near_miss"}
    assert set(found("min_ttc<=3")) == {"min_ttc"} and set(found("manoeuvre=cut_in|near_miss")) == {"manoeuvre"}
    without = dataclasses.replace(SCHEMA, columns=SCHEMA.columns[:-1])
    assert set(near_misses(parse(["manoeuvre=near_miss"], without), without).columns) == {"manoeuvre"}


def test_equal_seeds_give_equal_bytes_and_saving_keeps_them(made: SceneGenerator, scenes: Scenes, tmp_path: Path
                                                            ) -> None:
    drawn = made.draw(9, seed=5)
    assert drawn.states.tobytes() == made.draw(9, seed=5).states.tobytes()
    assert (drawn.states != made.draw(9, seed=6).states).any()
    made.save(tmp_path / "model")
    loaded = SceneGenerator.load(tmp_path / "model")
    again = loaded.draw(9, seed=5)
    assert drawn.states.tobytes() == again.states.tobytes() and drawn.table.equals(again.table)
    scores = made.scores(scenes)
    assert scores.shape == (120,) and np.isfinite(scores).all() and scores.std() > 0
    np.testing.assert_allclose(loaded.scores(scenes), scores, rtol=1e-5)
    files = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert files == {".safetensors", ".json"}
    critic = made.drivers.critic_scores(cast(scenes).states, made.plan(scenes))
    assert critic is not None and critic.std() > 0
    (tmp_path / "model" / "drivers" / "critic.safetensors").unlink()
    released = SceneGenerator.load(tmp_path / "model")
    assert released.drivers.critic_scores(cast(scenes).states, released.plan(scenes)) is None


def test_scenes_that_no_driver_drives_are_less_likely(made: SceneGenerator, scenes: Scenes, tmp_path: Path) -> None:
    options = (*[o for o in OPTIONS if o[0] != "likelihood.steps"], ("likelihood.steps", 60))
    learned = fit(scenes, tmp_path, "driving/likelihood", options=options, rows=made.rows)
    backwards = scenes.states.copy()
    backwards[..., 0] = backwards[..., 0] * 0 + np.cumsum(backwards[..., ::-1, 3], -1) * 0.2 * scenes.present[..., None]
    backwards[..., 3] = backwards[..., ::-1, 3]
    noisy = backwards + np.random.default_rng(0).normal(0, [0.5, 0.3, 0.02, 2.0], backwards.shape).astype(np.float32)
    strange = dataclasses.replace(scenes, states=(noisy * scenes.present[..., None, None]).astype(np.float32))
    assert (learned.scores(scenes) > learned.scores(strange)).mean() > 0.9
    losses = learned.history["phases"][0]["curve"]
    assert losses[-1]["likelihood"] < losses[0]["likelihood"] - 0.2


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(made: SceneGenerator, scenes: Scenes,
                                                                 tmp_path: Path) -> None:
    whole = made.draw(4, seed=1)
    shown = Trainer._watch

    def stop(self: Trainer, steps: Any, losses: Any, step: Any) -> None:
        shown(self, steps, losses, step)
        if isinstance(self.players, ScenePlayers) and self.state["phase"] == 2 and self.state["step"] == 2:
            self.books.save(tmp_path / "cut" / "checkpoints" / "drivers", finished=False)
            raise KeyboardInterrupt

    with mock.patch.object(Trainer, "_watch", stop), pytest.raises(KeyboardInterrupt):
        fit(scenes, tmp_path / "cut", rows=made.rows)
    resumed = fit(scenes, tmp_path / "cut", rows=made.rows).draw(4, seed=1)
    assert resumed.states.tobytes() == whole.states.tobytes()


def test_whole_entities_are_held_back(scenes: Scenes, tmp_path: Path) -> None:
    held = []

    def look(self: Trainer) -> dict[str, Any]:
        held.append(self.players)
        raise KeyboardInterrupt

    _, _, plan = planned(scenes)
    said = Training(recipe="driving/likelihood", options=OPTIONS)
    recipe = recipes.resolve(recipes.named(said), scenes=120, effort=1)
    states = scenes.states.copy()
    states[:, 0, 0, S] = scenes.entities  # names each scene's entity
    plan = dataclasses.replace(plan, start=states[:, :, 0])
    with mock.patch.object(Trainer, "run", look), pytest.raises(KeyboardInterrupt):
        DriverModel.fit(states, plan, np.zeros(120, np.int64), scenes.entities, scenes.shape, recipe, seed=0,
                        device="cpu")
    parts = [set(store.states[:, 0, 0, 0].long().tolist()) for store in (held[0].train, held[0].held)]
    assert parts[1] and not parts[0] & parts[1] and parts[0] | parts[1] == set(range(60))


def test_history_has_no_values_and_shows_every_phase(made: SceneGenerator) -> None:
    history = made.history
    assert [phase["name"] for phase in history["phases"]] == ["likelihood", "settling", "adversarial"]
    assert history["header"]["phases"] and "follow" not in json.dumps(history)


def test_what_cannot_be_trained_is_refused(scenes: Scenes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no scene"):
        fit(scenes.take(np.zeros(0, np.int64)), tmp_path)
    with pytest.raises(UserError, match="unknown recipe"):
        fit(scenes, tmp_path, "driving/teleport")
    with pytest.raises(UserError, match="no option"):
        fit(scenes, tmp_path, options=(("horsepower", 200),))


def test_a_whole_scene_from_noise_keeps_the_same_promises(made: SceneGenerator, scenes: Scenes, tmp_path: Path) -> None:
    noise = fit(scenes, tmp_path, "driving/wgan-gp", rows=made.rows)
    drawn = noise.draw(12, seed=1)
    assert np.isfinite(drawn.states).all() and not drawn.states[~drawn.present].any()
    assert not any(found.any() for name, found in impossible(drawn, np.full(12, 0.9)).items() if name != "jerk")
    noise.save(tmp_path / "model")
    assert SceneGenerator.load(tmp_path / "model").draw(12, seed=1).states.tobytes() == drawn.states.tobytes()
    assert np.isfinite(noise.scores(scenes)).all()


def test_slots_follow_the_ego_vehicle_by_distance(scenes: Scenes) -> None:
    order = np.array([0, 3, 2, 1])
    mixed = dataclasses.replace(scenes, states=scenes.states[:, order], present=scenes.present[:, order],
                                sizes=scenes.sizes[:, order], kinds=scenes.kinds[:, order])
    back = nearest_first(mixed)
    np.testing.assert_array_equal(back.states, scenes.states)
    np.testing.assert_array_equal(back.sizes, scenes.sizes)


def test_gradients_flow_through_a_drive_to_every_weight(scenes: Scenes) -> None:
    players = golden.players(scenes)
    torch.manual_seed(0)
    players.fake(players.draw(4)).inputs.square().mean().backward()
    for name, weight in players.generator.named_parameters():
        assert weight.grad is not None and bool(weight.grad.abs().sum() > 0), name


@pytest.mark.parametrize("name", sorted(recipes.RECIPES))
def test_a_recipe_repeats_its_golden_curves(name: str) -> None:
    assert golden.changed(name) == {}


def test_every_golden_file_belongs_to_a_recipe() -> None:
    assert {golden.file(name) for name in recipes.RECIPES} == set(golden.FOLDER.iterdir())


def test_a_faster_critic_leaves_the_golden_tolerance() -> None:
    recipe = recipes.RECIPES["driving/closed-loop"]
    phases = (*recipe.phases[:2], dataclasses.replace(recipe.phases[2], critic_rate=2e-3))
    with mock.patch.dict(recipes.RECIPES, {recipe.name: dataclasses.replace(recipe, phases=phases)}):
        assert any("adversarial" in name for name in golden.changed(recipe.name))
