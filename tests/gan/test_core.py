"""The adversarial core on toy players: objectives and penalties against naive code, resume, refusals, the NaN guard."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from synth.errors import InternalError, UserError
from synth.gan import trainer as trainers
from synth.gan.averaging import Average
from synth.gan.checks import check
from synth.gan.objectives import OBJECTIVES
from synth.gan.penalties import gradient_penalty, r1, r2
from synth.gan.recipe import Phase, Recipe, with_options
from synth.gan.trainer import Trainer
from synth.progress import Silent


class Toy:
    """A Gaussian in two dimensions: the generator shifts and scales noise."""

    def __init__(self, poison: bool = False, nan_loss: tuple[int, ...] = (), nan_slope: tuple[int, ...] = ()) -> None:
        torch.manual_seed(0)
        self.generator = nn.Linear(2, 2)
        self.critic: nn.Module | None = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1),
                                                      nn.Flatten(0))
        self.poison, self.stop_at, self.drawn = poison, math.inf, 0
        self.nan_loss, self.nan_slope = nan_loss, nan_slope  # counts of draws after which something breaks

    def draw(self, records: int) -> Tensor:
        self.drawn += 1
        if self.drawn > self.stop_at:
            raise KeyboardInterrupt
        return torch.randn(records, 2) * 0.5 + torch.tensor([2.0, -1.0])

    def likelihood(self, batch: Tensor) -> Tensor:
        loss = self._break((self.generator(torch.zeros_like(batch)) - batch).square().mean())
        return loss * math.nan if self.poison else loss

    def _break(self, value: Tensor) -> Tensor:
        if self.drawn in self.nan_slope:  # a finite loss whose gradient is not: only the weights show it
            value = value + 0 * (self.generator.weight * 0).sum().sqrt()
        return value * math.nan if self.drawn in self.nan_loss else value

    def real(self, batch: Tensor) -> Tensor:
        return batch

    def fake(self, batch: Tensor) -> Tensor:
        return self._break(self.generator(torch.randn_like(batch)))

    def validate(self, generator: nn.Module) -> float:
        with torch.no_grad():
            return float((generator(torch.zeros(1, 2)) - torch.tensor([[2.0, -1.0]])).square().sum())


RECIPE = Recipe(name="toy", players="toy", phases=(
    Phase(name="warm", steps=30, batch=32, likelihood=1.0, generator_rate=1e-1, validate_every=10, patience=4),
    Phase(name="game", steps=40, batch=32, objective="relativistic", penalties=(("r1", 0.1), ("r2", 0.1)),
          critic_lead=3, generator_rate=1e-2, critic_rate=1e-2, validate_every=10)))


def weights(players: Toy) -> bytes:
    return b"".join(v.numpy().tobytes() for v in players.generator.state_dict().values())


def test_objectives_are_their_formulas() -> None:
    real, fake = torch.randn(64), torch.randn(64)
    critic, generator = OBJECTIVES["relativistic"]
    naive = sum(math.log1p(math.exp(-(r - f))) for r, f in zip(real.tolist(), fake.tolist(), strict=True)) / 64
    assert float(critic(real, fake)) == pytest.approx(naive, rel=1e-5)
    assert float(generator(real, fake)) == pytest.approx(float(critic(fake, real)), rel=1e-6)
    critic, generator = OBJECTIVES["wasserstein"]
    assert float(critic(real, fake)) == pytest.approx(float(fake.mean() - real.mean()), rel=1e-5)


def test_penalties_of_a_quadratic_critic_are_known() -> None:
    def critic(x: Tensor) -> Tensor:
        return (x**2).sum(1)

    real, fake = torch.randn(16, 3), torch.randn(16, 3)
    torch.testing.assert_close(r1(critic, real, fake), (2 * real).square().sum(1) / 2)
    torch.testing.assert_close(r2(critic, real, fake), (2 * fake).square().sum(1) / 2)
    same = gradient_penalty(critic, real, real)
    torch.testing.assert_close(same, ((2 * real).norm(dim=1) - 1).square(), rtol=1e-4, atol=1e-5)


def test_the_average_of_a_constant_is_the_constant() -> None:
    layer = nn.Linear(3, 3)
    average = Average(layer, 0.99)
    for _ in range(5):
        average.update(layer)
    torch.testing.assert_close(average.module.weight, layer.weight)


def test_the_game_finds_the_distribution() -> None:
    players = Toy()
    before = players.validate(players.generator)
    history = Trainer(players, RECIPE, seed=1, progress=Silent()).run()
    assert players.validate(players.generator) < before / 10
    assert history["released"] in ("warm", "game")
    assert min(p["validation"] for p in history["phases"]) == pytest.approx(players.validate(players.generator))


@pytest.mark.parametrize("stop_at", [5, 29, 36, 80, 111])
def test_a_resumed_run_gives_the_same_bytes(stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Toy()
    Trainer(whole, RECIPE, seed=1, progress=Silent()).run()
    monkeypatch.setattr(trainers, "CHECKPOINT_SECONDS", 0.0)
    cut = Toy()
    cut.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        Trainer(cut, RECIPE, seed=1, progress=Silent(), checkpoint=tmp_path / "c.safetensors").run()
    rest = Toy()
    torch.manual_seed(stop_at)  # the caller's random state must not matter
    Trainer(rest, RECIPE, seed=1, progress=Silent(), checkpoint=tmp_path / "c.safetensors").run()
    assert weights(rest) == weights(whole)
    assert rest.drawn < 120


def test_a_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    Trainer(Toy(), RECIPE, seed=1, progress=Silent(), checkpoint=tmp_path / "c.safetensors").run()
    with pytest.raises(InternalError, match="another recipe or seed"):
        Trainer(Toy(), RECIPE, seed=2, progress=Silent(), checkpoint=tmp_path / "c.safetensors").run()


def test_a_loss_that_is_not_a_number_stops_the_run() -> None:
    with pytest.raises(InternalError, match="diverged in phase 'warm' at step 1"):
        Trainer(Toy(poison=True), RECIPE, seed=1, progress=Silent()).run()


@pytest.mark.parametrize("broken", [
    {"nan_loss": (7,)}, {"nan_slope": (7,)}, {"nan_slope": (30,)}, {"nan_loss": (41, 51, 61)}, {"nan_slope": (113,)}])
def test_a_planted_nan_is_survived_and_recorded(broken: dict[str, tuple[int, ...]]) -> None:
    players = Toy(**broken)
    history = Trainer(players, RECIPE, seed=1, progress=Silent()).run()
    assert sum(len(p["rollbacks"]) for p in history["phases"]) == len(next(iter(broken.values())))
    assert all(p["steps"] == p["planned"] and math.isfinite(p["validation"]) for p in history["phases"])
    assert players.validate(players.generator) < 0.5
    for module in (players.generator, players.critic):
        assert module is not None and all(bool(torch.isfinite(v).all()) for v in module.parameters())


def test_the_fourth_nan_of_a_phase_stops_the_run() -> None:
    with pytest.raises(InternalError, match=r"diverged in phase 'game' at step 1: .* again after 3 returns"):
        Trainer(Toy(nan_loss=tuple(range(31, 300))), RECIPE, seed=1, progress=Silent()).run()


def test_a_run_interrupted_after_a_return_resumes_to_the_same_bytes(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut, rest = (Toy(nan_loss=(9,), nan_slope=(14,)) for _ in range(3))
    Trainer(whole, RECIPE, seed=1, progress=Silent()).run()
    monkeypatch.setattr(trainers, "CHECKPOINT_SECONDS", 0.0)
    cut.stop_at = 14  # the weights in the checkpoint are broken, and no loss has shown it yet
    with pytest.raises(KeyboardInterrupt):
        Trainer(cut, RECIPE, seed=1, progress=Silent(), checkpoint=tmp_path / "c.safetensors").run()
    rest.drawn, rest.nan_loss, rest.nan_slope = 14, (), ()
    history = Trainer(rest, RECIPE, seed=1, progress=Silent(), checkpoint=tmp_path / "c.safetensors").run()
    assert history["phases"][0]["rollbacks"] == [9, 14]
    assert weights(rest) == weights(whole)


def test_history_says_what_each_phase_did() -> None:
    history = Trainer(Toy(), RECIPE, seed=1, progress=Silent()).run()
    warm, game = history["phases"]
    assert (warm["objective"], game["objective"]) == (None, "relativistic")
    assert warm["gap"] is None and 0 < abs(game["gap"]) < 10
    gaps = [entry["gap"] for entry in game["curve"]]
    assert len(gaps) == 40 and game["gap"] == pytest.approx(sum(gaps[-10:]) / 10, abs=1e-5)
    for phase in (warm, game):
        assert phase["seconds"] > 0 and phase["steps"] <= phase["planned"] and phase["rollbacks"] == []
        assert [v["step"] for v in phase["validations"]] == list(range(10, phase["steps"] + 1, 10))


@pytest.mark.parametrize(("phase", "reason"), [
    (Phase(name="p", steps=1, objective="relativistic", penalties=(("r1", 1.0),)), "BatchNorm1d in the critic"),
    (Phase(name="p", steps=1, objective="wasserstein"), "needs the gradient penalty"),
    (Phase(name="p", steps=1, objective="cross"), "unknown objective"),
    (Phase(name="p", steps=1), "nothing to learn from"),
    (Phase(name="p", steps=1, likelihood=1.0, batch=501), "packs of 2"),
])
def test_recipes_that_cannot_work_are_refused_with_the_reason(phase: Phase, reason: str) -> None:
    critic = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    with pytest.raises(UserError, match=reason):
        check(Recipe(name="r", players="toy", phases=(phase,), pack=2), critic)


def test_options_replace_fields_by_name_and_are_checked() -> None:
    changed = with_options(RECIPE, (("warm.steps", 7.0), ("pack", 2)))
    assert changed.phases[0].steps == 7 and isinstance(changed.phases[0].steps, int) and changed.pack == 2
    for name, value in (("warm.stepps", 7.0), ("warm.steps", 7.5), ("warm.steps", "many"), ("cold.steps", 7.0)):
        with pytest.raises(UserError):
            with_options(RECIPE, ((name, value),))
    assert Recipe.from_json(changed.to_json()) == changed
