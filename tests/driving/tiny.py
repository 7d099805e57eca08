"""A contract and options for generators that train in a second."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from unittest import mock

from synth.contract.model import Contract, Training
from synth.driving.generator import SceneGenerator
from synth.driving.scenes import Scenes
from synth.progress import Silent
from synth.tabular.generator import TableGenerator
from tests.driving.toys import SCHEMA

OPTIONS: tuple[tuple[str, Any], ...] = (
    ("hidden", 12), ("along", 10), ("across", 8), ("critic_width", 8), ("listing_passes", 1.0),
    ("header_passes", 20.0), ("header_hidden", 16), ("header_inner", 8),
    ("likelihood.steps", 12), ("settling.steps", 4), ("likelihood.batch", 8), ("settling.batch", 8))
CRITIC: tuple[tuple[str, Any], ...] = (("adversarial.steps", 3), ("adversarial.batch", 4),
                                       ("adversarial.critic_lead", 2))


def contract(recipe: str = "driving/closed-loop", options: tuple[tuple[str, Any], ...] = OPTIONS) -> Contract:
    more = {"driving/closed-loop": CRITIC, "driving/likelihood": (("control.steps", 2), ("control.batch", 4)),
            "driving/wgan-gp": (("noise.steps", 4), ("noise.batch", 4))}.get(recipe, ())
    options = tuple(o for o in options if recipe != "driving/wgan-gp" or "." not in o[0])
    return Contract(name="toys", version="1", domain="driving", path=Path("toys.yaml"), digest="", description="",
                    source="", columns=(), conditions=("manoeuvre", "weather"),
                    training=Training(recipe=recipe, options=(*options, *more)))


def fit(scenes: Scenes, folder: Path, recipe: str = "driving/closed-loop", *, seed: int = 3,
        rows: TableGenerator | None = None, **changed: Any) -> SceneGenerator:
    """``rows``: a trained table of the listing to take."""
    with mock.patch("synth.tabular.players.CALIBRATION_ROWS", 200), contextlib.ExitStack() as stack:
        if rows is not None:
            stack.enter_context(mock.patch.object(TableGenerator, "fit", return_value=rows))
        return SceneGenerator.fit(scenes, SCHEMA, contract(recipe, **changed), seed=seed, device="cpu",
                                  progress=Silent(), checkpoints=folder / "checkpoints")
