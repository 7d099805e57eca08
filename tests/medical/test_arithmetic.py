"""A critic's step at the sizes where bfloat16 ends the process; by itself, so that a fault is a status and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STEP = """
import sys, torch
from synth.gan.penalties import r1
from synth.gan.steps import channels_last
from synth.medical.networks import build, capacity
from synth.medical.recipes import RECIPES
from synth.medical.shape import ImageShape

torch.set_num_threads(1)
height, width, channels, batch = map(int, sys.argv[1:])
recipe = RECIPES["medical/r3"]
_, critic = build(recipe, ImageShape(size=(height, width), channels=channels), capacity(156, (height, width)))
channels_last(critic)
real = torch.randn(batch, channels, height, width).clone(memory_format=torch.channels_last)
seen, phase = (real, torch.zeros(batch, 0), None), recipe.phases[0]
with torch.autocast("cpu", torch.bfloat16, enabled=phase.precision == "bfloat16"):
    score = critic(*seen).float().mean()
with torch.autocast("cpu", torch.bfloat16, enabled=phase.penalty_precision == "bfloat16"):
    slope = r1(lambda images: critic(images, *seen[1:]).float(), real, real).mean()
(score + slope).backward()
"""


@pytest.mark.parametrize("numbers", [(32, 48, 1, 64), (128, 128, 3, 32)])
def test_the_default_recipe_survives_a_penalty(numbers: tuple[int, ...]) -> None:
    command = [sys.executable, "-c", STEP, *map(str, numbers)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stderr[-2000:]
