"""Golden loss curves: what every recipe does on tiny seeded data, kept in ``golden/RECIPE.json``.

    python -m tests.gan.golden            # write the files anew, after a change that was meant; read the diff
    python -m tests.gan.golden NAME ...   # only these recipes
    python -m tests.gan.golden --compare  # print the largest differences from the files instead

Recipes for tables run as they stand; toy recipes (:mod:`tests.gan.toys`) run every objective, penalty and schedule
of the core on small images. Kept are, for a table, the recipe as resolved for a large one (exact), and for all the
mean of each loss over a few stretches of each phase, the validation and how far each player moved. Movements show
what losses hardly do: a rate, a small penalty, a decay. Processors differ in rounding alone: noise that libraries
draw in a processor's own way (dropout, exponentials) is left out or drawn through uniforms.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from synth.contract.model import Role, Training
from synth.gan.recipe import Recipe
from synth.gan.trainer import Trainer
from synth.progress import Silent
from synth.seeds import generator
from synth.tabular import model, networks, rows
from synth.tabular.recipes import RECIPES, named, resolve
from synth.tabular.schema import ColumnSchema, TableSchema
from tests.gan import toys
from tests.gan.toys import TOYS

FOLDER = Path(__file__).parent / "golden"
STRETCHES = 6  # means a loss curve is kept as
LARGE = {"rows": 30_000, "cost": 200_000.0, "effort": 1.0}  # a table whose budgets bind, for the schedule alone
RELATIVE, ABSOLUTE = 0.01, 0.002
SMALL: dict[str, tuple[tuple[str, float], ...]] = {
    "autoregressive": (("embedding", 4), ("hidden", 24), ("inner", 16), ("critic_width", 24), ("dropout", 1e-9),
                       ("adversarial_passes", 50.0)),
    "noise": (("noise", 8), ("width", 24), ("blocks", 1), ("critic_width", 24)),
}
SCHEMA = TableSchema(columns=(
    ColumnSchema(name="size", role=Role.NUMERIC, nullable=False, decimals=1),
    ColumnSchema(name="count", role=Role.NUMERIC, nullable=True, integer=True, decimals=0),
    ColumnSchema(name="kind", role=Role.CATEGORICAL, nullable=False, values=("a", "b", "c"))))


def table() -> pd.DataFrame:
    """600 rows: a skewed number, a count that follows it and may be missing, a label that follows both."""
    rng = generator(1, "golden")
    size = np.round(rng.gamma(2, 10, 600), 1)
    count = np.floor(size / 10) + rng.integers(0, 2, 600)
    kind = np.where(size < 12, "a", np.where(rng.random(600) < 0.5, "b", "c"))
    count[rng.random(600) < 0.1] = np.nan
    return pd.DataFrame({"size": size, "count": count, "kind": pd.Series(kind, dtype="str")})


def gumbel(logits: Tensor, temperature: float) -> Tensor:
    """Straight-through Gumbel softmax whose noise is drawn through uniforms."""
    noise = -torch.log(-torch.log(torch.rand(logits.shape).clamp(1e-7, 1 - 1e-7)))
    soft = torch.softmax((logits + noise) / temperature, 1)
    hard = nn.functional.one_hot(soft.argmax(1), soft.shape[1]).to(soft.dtype)
    return hard - soft.detach() + soft


class Watched(Trainer):
    """A trainer that also notes how far the weights move in each phase."""

    def _phase(self, index: int, resumed: bool) -> None:
        critic = self.players.critic
        before = self.books.candidates[-1] if index else _copy(self.players.generator)
        judge = _copy(critic) if critic is not None else {}
        super()._phase(index, resumed)
        moved = {"generator": _distance(_copy(self.players.generator), before),
                 "average": _distance(_copy(self.books.average.module), before)}
        if critic is not None:
            moved["critic"] = _distance(_copy(critic), judge)
        self.books.history["phases"][-1]["moved"] = moved


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def _distance(after: dict[str, Tensor], before: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float((value - before[name]).double().square().sum()) for name, value in after.items()))


def play(name: str) -> dict[str, Any]:
    """Train a recipe as it stands, with small networks, and sum up its history."""
    if name in TOYS:
        made = Watched(toys.players(TOYS[name]), TOYS[name], seed=7, progress=Silent()).run()
        return {"recipe": name, **summed(made)}
    training = Training(recipe=name, options=SMALL[RECIPES[name].players])
    with (mock.patch.object(model, "Trainer", Watched), mock.patch.object(networks, "gumbel", gumbel),
          mock.patch.object(rows, "gumbel", gumbel)):
        made = model.TabularModel.fit(table(), SCHEMA, training=training, seed=7, device="cpu").history
    large = resolve(named(Training(recipe=name), rows=int(LARGE["rows"])), rows=int(LARGE["rows"]),
                    cost=LARGE["cost"], effort=LARGE["effort"])
    return {"recipe": name, **summed(made), "large_table": json.loads(json.dumps(large.to_json()))}


def summed(history: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a history of :class:`Watched`: means of each loss over stretches, validation, movements."""
    phases = []
    for phase in history["phases"]:
        losses = {key: [float(part.mean()) for part in np.array_split([e[key] for e in phase["curve"]], STRETCHES)]
                  for key in phase["curve"][-1] if key != "step" and not key.startswith("sign")}
        figures = {"validation": phase["validation"], **{f"moved.{k}": v for k, v in phase["moved"].items()}}
        phases.append({"name": phase["name"], "objective": phase["objective"], "steps": phase["steps"],
                       "planned": phase["planned"], "losses": losses, "figures": figures})
    return {"released": history["released"], "phases": phases}


def differences(made: dict[str, Any], kept: dict[str, Any]) -> dict[str, float]:
    """Every figure's difference in units of its tolerance; above 1 is a change, infinite one of the schedule."""
    out = {key: 0.0 if made[key] == kept[key] else math.inf for key in ("recipe", "released")}
    out["large_table"] = 0.0 if _recipe(made) == _recipe(kept) else math.inf
    out["phases"] = 0.0 if [p["name"] for p in made["phases"]] == [p["name"] for p in kept["phases"]] else math.inf
    for mine, theirs in zip(made["phases"], kept["phases"], strict=False):
        where = mine["name"]
        for key in ("objective", "steps", "planned"):
            out[f"{where}.{key}"] = 0.0 if mine[key] == theirs[key] else math.inf
        for part in ("losses", "figures"):
            if mine[part].keys() != theirs[part].keys():
                out[f"{where}.{part}"] = math.inf
                continue
            for key, value in mine[part].items():
                if value is None or theirs[part][key] is None:
                    out[f"{where}.{key}"] = 0.0 if value == theirs[part][key] else math.inf
                    continue
                kept_value = np.asarray(theirs[part][key])
                gap = np.abs(value - kept_value) / (ABSOLUTE + RELATIVE * np.abs(kept_value))
                out[f"{where}.{key}"] = float(np.nan_to_num(gap, nan=np.inf).max())
    return out


def _recipe(figures: dict[str, Any]) -> Recipe | None:
    """Fields that came after a file was written have their defaults in it."""
    return Recipe.from_json(figures["large_table"]) if "large_table" in figures else None


def file(name: str) -> Path:
    """Where a recipe's figures are kept."""
    domain, _, short = name.partition("/")
    return FOLDER / (f"{short}.json" if domain == "tabular" else f"{domain}-{short}.json")


def main() -> None:
    for name in [n for n in sys.argv[1:] if not n.startswith("-")] or [*RECIPES, *TOYS]:
        made = play(name)
        if "--compare" in sys.argv[1:]:
            worst = sorted(differences(made, json.loads(file(name).read_text())).items(), key=lambda pair: -pair[1])
            print(name, ", ".join(f"{key} {value:.3f}" for key, value in worst[:6]))
            continue
        FOLDER.mkdir(exist_ok=True)
        rounded = json.loads(json.dumps(made), parse_float=lambda text: float(f"{float(text):.6g}"))
        file(name).write_text(json.dumps(rounded, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
