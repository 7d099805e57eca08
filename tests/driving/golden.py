"""Golden loss curves of the driving recipes: a few steps on toy traffic, kept in ``golden/RECIPE.json``.

    python -m tests.driving.golden            # write the files anew, after a change that was meant; read the diff
    python -m tests.driving.golden --compare  # print the largest differences from the files instead
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from synth.contract.model import Training
from synth.driving import recipes, training
from synth.driving.model import DriverModel
from synth.driving.plan import facts
from synth.driving.players import ScenePlayers, Store
from synth.driving.scenes import Scenes
from synth.driving.tokens import Grids
from tests.driving.test_header import planned
from tests.driving.tiny import contract
from tests.driving.toys import traffic
from tests.gan.golden import STRETCHES, Watched, differences, summed

FOLDER = Path(__file__).parent / "golden"


def play(name: str) -> dict[str, Any]:
    """Train a recipe with small networks for a few steps, and sum up its history."""
    scenes = traffic(80)
    _, _, plan = planned(scenes)
    said = Training(recipe=name, options=(*contract(name).training.options, *(
        (f"{phase.name}.steps", STRETCHES) for phase in recipes.RECIPES[name].phases if phase.name != "likelihood")))
    recipe = recipes.resolve(recipes.named(said), scenes=80, effort=1.0)
    with mock.patch.object(training, "Trainer", Watched):
        made = DriverModel.fit(scenes.states, plan, np.arange(80) % 3, scenes.entities, scenes.shape, recipe, seed=7,
                               device="cpu").history
    return {"recipe": name, **summed(made)}


def players(scenes: Scenes) -> ScenePlayers:
    """Untrained players on scenes."""
    _, _, plan = planned(scenes)
    recipe = recipes.named(contract().training)
    torch.manual_seed(0)
    grids = Grids.fit(np.ones((9, 3, 2), np.float32), (10, 8))
    policy, critic = training.networks(recipe, grids, plan.condition.shape[1], 4, scenes.shape.steps)
    store = Store(training.on_bicycle(scenes.states, plan, scenes.shape.dt), facts(plan, scenes.shape.steps,
                  scenes.shape.dt), torch.ones(len(scenes)))
    return ScenePlayers(policy, critic, store, None, dt=scenes.shape.dt, kicked=0.5, forget=0.1, temperature=0.7)


def file(name: str) -> Path:
    """Where a recipe's figures are kept."""
    return FOLDER / f"{name.split('/')[-1]}.json"


def changed(name: str) -> dict[str, float]:
    """The figures of a recipe that left their tolerance."""
    kept = json.loads(file(name).read_text(encoding="utf-8"))
    return {key: round(gap, 2) for key, gap in differences(play(name), kept).items() if not gap <= 1}


def main() -> None:
    for name in [n for n in sys.argv[1:] if not n.startswith("-")] or recipes.RECIPES:
        if "--compare" in sys.argv[1:]:
            print(name, changed(name) or "as it was")
            continue
        FOLDER.mkdir(exist_ok=True)
        rounded = json.loads(json.dumps(play(name)), parse_float=lambda text: float(f"{float(text):.6g}"))
        file(name).write_text(json.dumps(rounded, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
