"""Golden loss curves of the image recipes: a few steps on small discs, kept in ``golden/RECIPE.json``.

    python -m tests.medical.golden            # write the files anew, after a change that was meant; read the diff
    python -m tests.medical.golden --compare  # print the largest differences from the files instead

As in :mod:`tests.gan.golden`; in float32, which processors round alike to within the tolerance.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from synth.contract.model import Training
from synth.medical import model, players, training
from synth.medical.recipes import RECIPES
from tests.gan.golden import Watched, differences, summed
from tests.medical.shapes import SCHEMA, block, discs

FOLDER = Path(__file__).parent / "golden"
STEPS, BATCH = 6, 8
FEW = {2: (40, 40), 3: (10, 10)}  # images drawn to validate
OPTIONS = (("images", STEPS * BATCH), ("adversarial.batch", BATCH), ("width", 0.25), ("noise", 8))


def play(name: str) -> dict[str, Any]:
    """Train a recipe with small networks for a few steps, and sum up its history."""
    size = (16, 16, 16) if RECIPES[name].players == "volume" else (16, 20)
    classes = 3 if RECIPES[name].players in ("paired", "volume") else 0
    with (mock.patch.object(training, "Trainer", Watched), mock.patch.object(training, "_timed", lambda *a: a[1]),
          mock.patch.object(model, "_bfloat16", return_value=False), mock.patch.dict(players.COMPARED, FEW)):
        made = model.ImageModel.fit(
            discs(24, size, classes=classes), SCHEMA, pixels=block(size, classes=classes), conditions=("age",),
            target="label", training=Training(recipe=name, options=OPTIONS), seed=7, device="cpu").history
    return {"recipe": name, **summed(made)}


def file(name: str) -> Path:
    """Where a recipe's figures are kept."""
    return FOLDER / f"{name.split('/')[-1]}.json"


def changed(name: str) -> dict[str, float]:
    """The figures of a recipe that left their tolerance."""
    kept = json.loads(file(name).read_text(encoding="utf-8"))
    return {key: round(gap, 2) for key, gap in differences(play(name), kept).items() if not gap <= 1}


def main() -> None:
    for name in [n for n in sys.argv[1:] if not n.startswith("-")] or RECIPES:
        if "--compare" in sys.argv[1:]:
            print(name, changed(name) or "as it was")
            continue
        FOLDER.mkdir(exist_ok=True)
        rounded = json.loads(json.dumps(play(name)), parse_float=lambda text: float(f"{float(text):.6g}"))
        file(name).write_text(json.dumps(rounded, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
