"""Fit under a privacy budget: measure headers once, have rules drive noisy ones, teach the generator by those drives.

:func:`.measure.measured` alone is given recorded scenes. The drivers' policy learns from drives that rules make of
noisy headers (:mod:`.obedient`); those that do not show what their header says, collide or leave the road are thrown
away, which is post-processing. How real drivers differ from rules is what a budget costs here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synth.contract.model import Contract
from synth.driving.cut import numbers
from synth.driving.generator import SceneGenerator, friction_of
from synth.driving.geometry import collisions, off_road
from synth.driving.labels import labels
from synth.driving.private.measure import Known, measured
from synth.driving.private.obedient import obey
from synth.driving.roles import nearest_first
from synth.driving.scenes import MANOEUVRE, Scenes, joined
from synth.driving.staging import realise
from synth.driving.stored import StoredScenes
from synth.errors import UserError
from synth.gan.weights import phases_shown
from synth.progress import Progress
from synth.records.budget import keep_count
from synth.records.conditions import Conditioning
from synth.seeds import derive, generator
from synth.tabular.private import road as tables
from synth.tabular.private.inference import Fitted
from synth.workspace import write_json

DRAWS = 4  # times as many headers as scenes are wanted, before it is said that too few can be driven
LEAST = 50  # scenes to learn from


def fit(contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str, progress: Progress,
        checkpoints: Path) -> dict[str, Any]:
    """Like the plug's ``fit``, for a contract with a budget; the record has the statement under ``privacy``."""
    known = _measurement(contract, ingested, split, out, progress)
    count = tables.released_rows(known.rows)
    scenes = rehearsed(known, contract, min(count, contract.training.max_rows), derive(seed, "rehearsed"), progress)
    made = SceneGenerator.fit(scenes, known.listing, contract, seed=derive(seed, "model"), device=device,
                              progress=progress, checkpoints=checkpoints)
    made.save(out / "model")
    write_json(out / tables.STORED, known.to_json())
    history = made.history
    (out / "history.json").write_text(json.dumps(history) + "\n", encoding="utf-8")
    keep_count(out, "scenes", count)
    return {"rows": count, "rows_drawn_to_train_on": len(scenes), "recipe": contract.training.recipe,
            "released_phase": history.get("released"), "parameters": history.get("parameters"),
            "phases": phases_shown(history), "privacy": known.statement}


def rehearsed(known: Known, contract: Contract, count: int, seed: int, progress: Progress) -> Scenes:
    """``count`` scenes (or as many as can be driven) that rules drive from noisy headers, each showing what it says.

    Manoeuvres that rules seldom manage are drawn more often, so that each keeps its noisy share.
    """
    model, found, wanted = known.rows.fit(), list[Scenes](), dict[str, int]()
    with progress.step("driving noisy headers by rules", DRAWS) as step:
        for number in range(DRAWS):
            made = driven(known, contract, count, derive(seed, number), model)
            said = made.table[MANOEUVRE].to_numpy(dtype=str)
            if not wanted:
                wanted = {str(k): int(n) for k, n in zip(*np.unique(said, return_counts=True), strict=True)}
            found.append(made.take((labels(made) == said) & ~collisions(made).any((1, 2)) & ~off_road(made).any(1)))
            step.update(number + 1)
            shown = np.concatenate([part.table[MANOEUVRE].to_numpy(dtype=str) for part in found])
            if all((shown == kind).sum() >= least for kind, least in wanted.items()):
                break
    place = pd.Series(shown).groupby(shown).cumcount().to_numpy()
    good = joined(*found).take(place < pd.Series(shown).map(wanted).fillna(0).to_numpy())
    if len(good) < LEAST:
        raise UserError("under this budget there is more noise than traffic: hardly any header can be driven",
                        todo="raise epsilon, give more recordings, or lower `contributions`")
    return good


def driven(known: Known, contract: Contract, count: int, seed: int, model: Fitted | None = None) -> Scenes:
    """Scenes of noisy headers as rules drive them; of the listing what follows from the drive is worked out again.

    ``model`` is what ``known.rows.fit()`` gives, where it is known already.
    """
    rng = generator(seed, "headers")
    frame = known.rows.frame((model or known.rows.fit()).draw(count, rng), rng)
    table = frame[known.listing.names].reset_index(drop=True)
    mu = friction_of(table, contract.traffic.friction if contract.traffic is not None else ())
    asked = Conditioning.fit(table, known.listing, known.listing.names).encode(table)
    plan = realise(known.header, frame, mu, asked)
    made = Scenes(states=obey(plan, known.header.shape), present=plan.present, sizes=plan.sizes, kinds=plan.kinds,
                  road=plan.road, table=table, entities=np.arange(len(table), dtype=np.int64), shape=known.header.shape)
    return relisted(nearest_first(made), known)


def relisted(scenes: Scenes, known: Known) -> Scenes:
    """The same scenes with the numbers of their listing that follow from the drive."""
    table = scenes.table.copy()
    for name, values in numbers(scenes).items():
        if name in table and known.listing[name].is_number:
            column = known.listing[name]
            table[name] = np.clip(np.round(values.astype(np.float64), column.decimals or 0), column.minimum,
                                  column.maximum)
    return replace(scenes, table=table)


def _measurement(contract: Contract, ingested: Path, split: Path, out: Path, progress: Progress) -> Known:
    """What an interrupted or finished stage has measured, else a new measurement, stored before it is used.

    Measuring again would spend the budget again.
    """
    if (place := tables.earlier(out)) is not None:
        known = Known.from_json(json.loads(place.read_text(encoding="utf-8")))
        tables.require_same(known.statement, contract.budget, place.parent.name)
        return known
    begun = tables.begin(out)
    known = measured(StoredScenes.open(ingested, split), contract, progress)
    known = replace(known, statement=tables.told(known.statement, begun))
    write_json(out / tables.KEPT, known.to_json())
    (out / tables.KEPT).chmod(0o600)
    return known
