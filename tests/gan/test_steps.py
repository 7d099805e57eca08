"""Steps, schedules and books of the loop on small images: what each field of a phase does, and resuming all of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from synth.errors import UserError
from synth.gan import checkpoint, trainer
from synth.gan import steps as step_module
from synth.gan.books import finite
from synth.gan.penalties import PENALTIES
from synth.gan.players import Offer, View
from synth.gan.recipe import Phase, Recipe, with_options
from synth.gan.trainer import Trainer
from synth.progress import Silent
from tests.gan.toys import OFFER, TOYS, Latents, Pictures
from tests.gan.toys import players as toy

EVERYTHING: dict[str, Any] = {
    "objective": "relativistic", "penalties": (("r1", 0.2), ("r2", 0.2)), "penalty_every": 3, "half_life": 100.0,
    "ramps": (("penalty", 4.0, 1.0, 200), ("condition", 0.0, 1.0, 300), ("noise", 1.0, 0.0, 300)), "noise": 0.1,
    "augment": ("translation", "affine"), "augment_probability": 0.1, "augment_target": 0.3, "augment_speed": 2_000,
    "critic_steps": 2, "critic_lead": 3, "channels_last": True, "precision": "bfloat16", "anneal": True,
    "terms": (("features", 0.1),), "validate_every": 4, "patience": 6}


def recipe(steps: int = 16, **fields: Any) -> Recipe:
    given = {"batch": 16, "generator_rate": 2e-3, "critic_rate": 2e-3, "objective": "relativistic"} | fields
    return Recipe(name="r", players="pictures", phases=(Phase(name="game", steps=steps, **given),))


def run(made: Recipe, players: Pictures | None = None, **more: Any) -> tuple[Pictures, dict[str, Any]]:
    players = players if players is not None else Pictures()
    return players, Trainer(players, made, seed=1, progress=Silent(), **more).run()


def weights(module: nn.Module | None) -> bytes:
    assert module is not None
    return b"".join(v.contiguous().numpy().tobytes() for v in module.state_dict().values())


# -- resuming -------------------------------------------------------------------------------------------

TWO = Recipe(name="r", players="pictures", phases=tuple(
    Phase(name=name, steps=12, batch=16, **EVERYTHING) for name in ("first", "second")))


@pytest.fixture(scope="module")
def whole() -> tuple[Pictures, dict[str, Any]]:
    """The run that nobody interrupts."""
    return run(TWO)


@pytest.mark.parametrize("stop_at", [2, 20, 37, 75])
def test_a_resumed_run_with_every_schedule_gives_the_same_bytes(stop_at: int, whole: tuple[Pictures, dict[str, Any]],
                                                               tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_go, history = whole
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    cut = Pictures()
    cut.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        run(TWO, cut, checkpoint=tmp_path / "c.safetensors")
    torch.manual_seed(stop_at)
    rest, again = run(TWO, checkpoint=tmp_path / "c.safetensors")
    assert weights(rest.generator) == weights(one_go.generator)
    assert weights(rest.critic) == weights(one_go.critic)
    for one, other in zip(history["phases"], again["phases"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    if stop_at > 40:
        assert rest.drawn < one_go.drawn


def test_the_checkpoint_keeps_what_the_adaptive_probability_has_learnt(tmp_path: Path) -> None:
    _, history = run(TWO, checkpoint=tmp_path / "c.safetensors")
    state = checkpoint.read(tmp_path / "c.safetensors")[1]["state"]
    assert state["critic_steps"] == 3 + 2 * history["phases"][1]["steps"]
    assert state["augment"] == pytest.approx(history["phases"][1]["curve"][-1]["augment"], abs=1e-6)
    assert len(state["signs"]) == state["critic_steps"] % step_module.ADAPT_EVERY


# -- fields of a phase ----------------------------------------------------------------------------------

@pytest.mark.parametrize("every", [1, 4])
def test_lazy_penalties_come_every_so_often_with_the_weight_multiplied(every: int) -> None:
    """A penalty that is the weight of a probe: its gradient, summed over the steps, does not depend on the interval."""
    players, pulls = Pictures(), []
    assert players.critic is not None
    players.critic.probe = nn.Parameter(torch.zeros(()))

    def probe(critic: Any, real: Any, fake: Any) -> Tensor:
        pulls.append(1)
        critic.probe.register_hook(lambda slope: pulls.append(float(slope)))
        return critic.probe.expand(len(real.inputs))

    with mock.patch.dict(PENALTIES, r1=probe):
        run(recipe(12, penalties=(("r1", 0.7),), penalty_every=every, ramps=(("penalty", 2.0, 2.0, 10),)), players)
    slopes = [pull for pull in pulls if not isinstance(pull, int)]
    assert pulls.count(1) == 12 // every
    assert sum(slopes) / sum(1 for _ in slopes) == pytest.approx(0.7 * 2 * every)


def test_clipped_weights_stay_within_their_bound() -> None:
    players, _ = run(recipe(objective="wasserstein", clip=0.03, critic_steps=2))
    assert players.critic is not None
    largest = [float(p.detach().abs().max()) for p in players.critic.parameters()]
    assert max(largest) == pytest.approx(0.03)


def test_frozen_parameters_of_the_critic_stay_frozen() -> None:
    players = Pictures()
    assert players.critic is not None
    players.critic.first.requires_grad_(False)
    before = weights(players.critic.first)
    run(recipe(terms=(("features", 1.0),)), players)
    assert weights(players.critic.first) == before
    assert not any(p.requires_grad for p in players.critic.first.parameters())
    assert all(p.requires_grad for p in players.critic.second.parameters())


def test_a_step_of_the_generator_moves_no_weight_of_the_critic() -> None:
    players = Pictures()
    before = weights(players.critic)
    run(recipe(objective=None, terms=(("features", 1.0),), generator_rate=1e-2), players)
    assert weights(players.critic) == before
    assert players.critic is not None and all(p.grad is None for p in players.critic.parameters())


def test_a_phase_of_terms_alone_needs_no_critic() -> None:
    players = Latents()
    players.critic = None
    before = players.validate(players.generator)
    _, history = run(recipe(60, objective=None, terms=(("reconstruction", 1.0),)), players)
    assert history["phases"][0]["validation"] < before / 3
    assert list(history["phases"][0]["curve"][-1]) == ["step", "reconstruction"]


def test_an_adversarial_autoencoder_gives_its_latents_the_prior_and_its_images_back() -> None:
    played = dataclasses.replace(TOYS["toy/latent"].phases[0], steps=400, critic_rate=5e-3)
    players, history = run(dataclasses.replace(TOYS["toy/latent"], phases=(played,)), toy(TOYS["toy/latent"]))
    latents = players.generator.encoder(players.images).detach()
    assert history["phases"][0]["validation"] < 0.05  # mean squared error of intensities in [-1, 1]
    assert float(latents.mean(0).abs().max()) < 0.7 and 0.4 < float(latents.std()) < 1.6


def test_a_paired_task_learns_its_target() -> None:
    _, history = run(recipe(80, objective="least-squares", terms=(("reconstruction", 10.0),)),
                     Pictures(masks=True))
    curve = history["phases"][0]["curve"]
    assert curve[-1]["reconstruction"] < curve[0]["reconstruction"] / 3


def test_the_clock_of_the_work_ends_a_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10_000))
    monkeypatch.setattr(trainer, "work", lambda device: float(next(now)))
    _, history = run(recipe(500, seconds=20.0, anneal=True))
    assert 10 <= history["phases"][0]["steps"] <= 21 < history["phases"][0]["planned"]


def test_ramps_of_the_players_reach_them_and_others_do_not() -> None:
    players, _ = run(recipe(8, ramps=(("condition", 0.0, 1.0, 64), ("rate", 1.0, 0.5, 64))))
    strengths = [factors["condition"] for name, factors in players.prepared if name == "game"]
    assert all(set(factors) == {"condition"} for _, factors in players.prepared)
    assert strengths[0] == 0 and strengths[-1] == 1 and strengths == sorted(strengths) and len(set(strengths)) == 5


def test_watching_and_validating_do_not_change_the_training() -> None:
    """They draw random numbers, and so does the look at held-out records."""
    watched, _ = run(recipe(watch_every=5))
    assert watched.watched == [5, 10, 15]
    with mock.patch.object(step_module.Steps, "memorised", lambda self: {}):
        plain, _ = run(recipe())
    assert plain.watched == [16]
    assert weights(plain.generator) == weights(watched.generator)
    often, _ = run(recipe(validate_every=4))
    assert often.watched == [4, 8, 12, 16] and weights(often.critic) == weights(plain.critic)


def test_looking_at_held_out_records_changes_no_buffer() -> None:
    normed, _ = run(recipe(objective="non-saturating"), Pictures(normed=True))
    with mock.patch.object(step_module.Steps, "memorised", lambda self: {}):
        plain, _ = run(recipe(objective="non-saturating"), Pictures(normed=True))
    assert weights(normed.critic) == weights(plain.critic)


def test_a_critic_who_knows_its_records_by_heart_is_seen() -> None:
    """A planted one: it scores the images it trained on one, all others minus one."""
    class Remembers(nn.Module):
        def __init__(self, known: Tensor) -> None:
            super().__init__()
            self.known, self.weight = known, nn.Parameter(torch.zeros(()))

        def forward(self, images: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
            near = (images[:, None] - self.known).abs().flatten(2).amax(2).amin(1)
            return (near < 1e-3).float() * 2 - 1 + 0 * self.weight * images.mean()

    players = Pictures()
    players.critic = Remembers(players.images[:128])
    _, history = run(recipe(objective="hinge"), players)
    assert history["phases"][0]["sign_train"] == 1.0 and history["phases"][0]["sign_held_out"] == -1.0
    _, history = run(recipe(objective="hinge"))
    last = history["phases"][0]
    assert abs(last["sign_train"] - last["sign_held_out"]) < 0.5


def test_the_adaptive_probability_rises_while_the_critic_wins_and_stops_at_its_cap() -> None:
    fields: dict[str, Any] = {"augment": ("translation",), "augment_probability": 0.0, "augment_speed": 500,
                              "critic_rate": 2e-2, "generator_rate": 1e-6}
    _, history = run(recipe(60, augment_target=0.1, **fields))
    shares = [entry["augment"] for entry in history["phases"][0]["curve"]]
    assert shares[0] == 0 and max(shares) == 0.8 and shares == sorted(shares)
    _, history = run(recipe(60, augment_target=0.999, **fields | {"augment_probability": 0.5, "critic_rate": 1e-6}))
    assert history["phases"][0]["curve"][-1]["augment"] == 0.0


@pytest.mark.parametrize("phase", ["precision", "penalty_precision"])
def test_bfloat16_trains_to_about_the_same(phase: str) -> None:
    fields: dict[str, Any] = {"penalties": (("r1", 0.2), ("r2", 0.2)), "channels_last": True}
    _, exact = run(recipe(40, **fields))
    players, cast = run(recipe(40, **fields | {phase: "bfloat16"}))
    one, other = (h["phases"][0] for h in (exact, cast))
    assert 0 < abs(one["gap"] - other["gap"]) < 0.1 * abs(one["gap"])
    assert other["validation"] == pytest.approx(one["validation"], rel=0.2)
    assert all(p.dtype == torch.float32 for p in players.generator.parameters())


@pytest.mark.parametrize("size", [(8, 8), (4, 8, 6)])
def test_channels_last_is_a_layout_and_nothing_else(size: tuple[int, ...]) -> None:
    plain, one = run(recipe(10), Pictures(size))
    other, two = run(recipe(10, channels_last=True), Pictures(size))
    assert one["phases"][0]["gap"] == pytest.approx(two["phases"][0]["gap"], rel=1e-3)
    assert plain.critic is not None and other.critic is not None
    for mine, theirs in zip(plain.critic.parameters(), other.critic.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-2)
    layouts = {p.is_contiguous(memory_format=step_module._format(p.ndim)) for p in other.critic.parameters()}
    assert layouts == {True}


@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (16, 8, 1, 1), (4, 1, 4, 8, 6), (16, 8, 1, 1, 1)])
def test_one_channel_and_unit_kernels_are_laid_out_too(shape: tuple[int, ...]) -> None:
    """Their order in memory is the same either way, so ``contiguous`` leaves strides that say channels first."""
    laid = step_module.laid_out(torch.randn(shape))
    assert laid.stride()[1] == 1 and laid.stride()[-1] == shape[1]


def test_a_poisoned_step_with_every_schedule_goes_back_and_on() -> None:
    class Poisoned(Pictures):
        def fake(self, batch: Any) -> Any:
            seen = super().fake(batch)
            return View(seen.inputs * math.nan, seen.context) if self.drawn == 20 else seen

    players, history = run(recipe(**EVERYTHING), Poisoned())
    assert len(history["phases"][0]["rollbacks"]) == 1 and history["phases"][0]["steps"] == 16
    assert all(bool(v.isfinite().all()) for v in players.generator.state_dict().values())


def test_not_a_number_in_a_buffer_is_not_sound() -> None:
    """A running mean is in no loss of the training mode, so only the look at the weights can see it."""
    players = Pictures(normed=True)
    assert players.critic is not None and finite(players.critic)
    players.critic.norm.running_mean[3] = math.nan
    assert not finite(players.critic)


# -- refusals -------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"smoothing": 0.1}, "no such probability"),
    ({"objective": "hinge", "smoothing": 0.1}, "no such probability"),
    ({"objective": "least-squares", "smoothing": 0.1}, "no such probability"),
    ({"objective": "wasserstein", "clip": 0.1, "smoothing": 0.1}, "no such probability"),
    ({"objective": "minimax", "smoothing": 0.5}, r"\[0, .5\)"),
    ({"objective": "wasserstein"}, "needs the gradient penalty or clipped weights"),
    ({"objective": "wasserstein", "penalties": (("gradient", 0.0),)}, "needs the gradient penalty"),
    ({"clip": 0.1, "penalties": (("r1", 1.0),)}, "clipped weights together with the penalty 'r1'"),
    ({"clip": 0.1, "penalty_every": 4}, "lazy interval"),
    ({"augment": ("flip",)}, "left and right mean something"),
    ({"augment": ("warp",)}, "unknown operation of augmentation 'warp'"),
    ({"augment_target": 0.6}, "without operations to adapt"),
    ({"augment": ("affine",), "augment_probability": 1.2}, r"in \[0, 1\]"),
    ({"terms": (("cycle", 1.0),)}, r"unknown term 'cycle' \(known here: reconstruction, features\)"),
    ({"critic_terms": (("turns", 1.0),)}, "unknown term of the critic 'turns'"),
    ({"ramps": (("conditions", 0.0, 1.0, 10),)}, "unknown ramp 'conditions'"),
    ({"ramps": (("rate", 0.0, 1.0, 0),)}, "a ramp is"),
    ({"precision": "float16"}, "unknown precision 'float16'"),
    ({"objective": None, "terms": (("features", 1.0),), "noise": 0.1}, "a critic that does not train"),
    ({"objective": None, "terms": (("features", 0.0),)}, "nothing to learn from"),
    ({"half_life": -1.0}, "cannot be negative"),
    ({"critic_steps": 0}, "at least 1"),
]


@pytest.mark.parametrize(("fields", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_cannot_be_right_is_refused_with_the_reason(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Trainer(Pictures(), recipe(**fields), seed=1, progress=Silent())


def test_augmentation_is_refused_where_the_critic_sees_no_images_or_the_domain_forbids_it() -> None:
    with pytest.raises(UserError, match="does not look at images"):
        run(recipe(augment=("translation",)), Pictures(offer=Offer()))
    with pytest.raises(UserError, match="'brightness' changes what a record is here"):
        run(recipe(augment=("brightness",)), Pictures(offer=dataclasses.replace(OFFER, augment=("translation",))))
    run(recipe(2, augment=("flip",)), Pictures(offer=dataclasses.replace(OFFER, augment=("flip",))))


def test_weights_are_options_and_a_recipe_survives_json() -> None:
    made = recipe(**EVERYTHING | {"critic_terms": (("side", 0.5),)})
    changed = with_options(made, (("game.r1", 3.0), ("game.features", 2.0), ("game.side", 1.0),
                                  ("game.augment_target", 0.5), ("game.precision", "float32")))
    phase = changed.phases[0]
    assert phase.penalties == (("r1", 3.0), ("r2", 0.2)) and phase.terms == (("features", 2.0),)
    assert phase.critic_terms == (("side", 1.0),) and phase.augment_target == 0.5 and phase.precision == "float32"
    assert Recipe.from_json(changed.to_json()) == changed
    with pytest.raises(UserError, match=r"game\.r1"):
        with_options(made, (("game.r3", 1.0),))
