"""Fit a generator of images under a privacy budget: measure, store, and train on what was measured.

:func:`synth.medical.private.measure.measured` is the only function here that is given real images, beside the noisy
gradients of a critic where the plan has one; the accountant has both before training begins. The listing comes from
rows drawn from noisy marginals, as in a table; images from noisy mean features. A training that was interrupted, or
whose results were changed, is made from the measurement, which is not made twice; a critic's training starts again, and
what was discarded is no part of the release.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from synth.contract.model import Contract, Training
from synth.gan import checkpoint
from synth.gan.private.accounting import Account, SampledGaussian
from synth.gan.private.gradients import Plan as NoisySteps
from synth.gan.private.gradients import PrivateGradients
from synth.gan.recipe import Phase, Recipe
from synth.gan.weights import device_named, phases_shown
from synth.medical.canvas import Canvas
from synth.medical.files import intensity_of
from synth.medical.generator import ImageGenerator
from synth.medical.model import ImageModel
from synth.medical.networks import build, capacity
from synth.medical.part import Judge, Part
from synth.medical.private import plan as plans
from synth.medical.private.measure import TRAINING, Known, conditions_of, laid, measured
from synth.medical.private.plan import Plan
from synth.medical.private.training import Student, match, spar
from synth.medical.shape import ImageShape
from synth.medical.stored import StoredImages
from synth.progress import Progress
from synth.records.budget import chosen, keep_count
from synth.seeds import derive
from synth.tabular.generator import TableGenerator
from synth.tabular.private import road as tables
from synth.tabular.private.measure import Measured

KEPT, STORED = "checkpoint-measured", "measured"  # in an interrupted stage, in a finished one


def fit(contract: Contract, ingested: Path, split: Path, out: Path, *, seed: int, device: str,
        progress: Progress) -> dict[str, Any]:
    """Like the plug's ``fit``, for a contract with a budget; the record has the statement under ``privacy``."""
    plan = plans.of(contract.training)
    assert contract.pixels is not None and contract.budget is not None
    canvas = Canvas(channels=contract.pixels.channels, classes=contract.pixels.mask_classes)

    def real() -> StoredImages:
        return StoredImages.open(ingested, split)

    known, steps = _measurement(real, contract, plan, canvas, out, seed, progress)
    frame = known.rows(contract.training.max_rows, seed)
    listing = TableGenerator.fit(
        frame, known.listing.schema, contract.constraints, training=Training(), seed=derive(seed, "listing"),
        device=device, progress=progress, checkpoint=out / "checkpoint-listing", target=contract.target,
        conditions=contract.conditions, k=contract.k)
    model = images_model(contract, plan, canvas, known, seed=derive(seed, "images"), drawn=seed, device=device,
                    progress=progress, gradients=None if steps is None else lambda critic: critics_gradients(
                        critic, real(), contract, canvas, known, seed, steps))
    generator = ImageGenerator(listing, model, intensity_of(contract.pixels))  # spacing: of private files
    generator.save(out / "model")
    (out / "history.json").write_text(json.dumps(generator.history) + "\n", encoding="utf-8")
    keep_count(out, "images", known.count)
    shutil.copy(out / KEPT, out / STORED)
    return {"rows": known.count, "rows_drawn_to_train_on": len(frame), "recipe": plans.NAME,
            "released_phase": model.history["released"], "parameters": model.history["parameters"],
            "phases": phases_shown(generator.history), "privacy": known.statement}


def images_model(contract: Contract, plan: Plan, canvas: Canvas, known: Known, *, seed: int, drawn: int, device: str,
                 progress: Progress, gradients: Callable[[nn.Module], PrivateGradients] | None) -> ImageModel:
    """The generator of images and the critic beside it (untrained where there are no ``gradients`` for it)."""
    assert contract.pixels is not None
    where = device_named(device)
    conditions = conditions_of(known, contract, drawn)
    vectors = torch.from_numpy(conditions.encode(known.rows(contract.training.max_rows, drawn)))
    shape = ImageShape(size=contract.pixels.size, channels=canvas.width, conditions=conditions.width)
    recipe = Recipe(name=plans.NAME, players="image", phases=(Phase(name="mean features"),), select="last", settings=(
        ("generator", "residual"), ("critic", "dcgan"), ("critic_norm", "group"), ("noise", plan.noise), ("blocks", 1)))
    widths = capacity(known.count, shape.size, width=plan.width)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.manual_seed(derive(seed, "networks"))
        generator, critic = build(recipe, shape, widths)
        student = Student(generator.to(where), canvas, vectors, known.mean, plan)
        phases = [match(student, math.ceil(plan.images * contract.training.effort / plan.batch), progress)]
        if gradients is not None:
            noised = gradients(critic.to(where))
            phases.append(spar(student, critic, noised.step, noised.plan.steps, progress))
    history = {"phases": phases, "released": phases[-1]["name"],
               "parameters": sum(p.numel() for p in generator.parameters())}
    part = Part(recipe, canvas, shape, widths, student.average)
    return ImageModel(part, None, conditions, Judge(critic).eval(), history)


def critics_gradients(critic: nn.Module, stored: StoredImages, contract: Contract, canvas: Canvas, known: Known,
                      seed: int, steps: NoisySteps) -> PrivateGradients:
    """Noisy gradients of a critic's loss on real images, by patient; the other place that is given real images."""
    budget = contract.budget
    assert budget is not None
    mask, owners = chosen(stored, budget)
    vectors = torch.from_numpy(conditions_of(known, contract, seed).encode(stored.table.read(mask)))
    shape = (canvas.width, *stored.pixels.shape[2:])
    device = next(critic.parameters()).device

    def loss(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        image, condition = row[:, :math.prod(shape)].reshape(1, *shape), row[:, math.prod(shape):]
        return torch.nn.functional.softplus(-functional_call(critic, parameters, (image, condition))).sum()

    account = Account(budget.epsilon, budget.delta, (_sampled(known.statement),))
    real = _Rows(stored, np.flatnonzero(mask), canvas, vectors, device)
    return PrivateGradients(critic, loss, real, owners, steps, account, name=TRAINING,
                            expected=steps.rate * known.count)


class _Rows:
    """Canvases and conditions of real images as flat rows, read when a step asks for them."""

    def __init__(self, stored: StoredImages, rows: np.ndarray, canvas: Canvas, vectors: Tensor,
                 device: torch.device) -> None:
        self.stored, self.rows, self.canvas, self.vectors, self.device = stored, rows, canvas, vectors, device

    def __getitem__(self, place: Tensor) -> Tensor:
        seen = laid(self.stored, self.rows[place.numpy()], self.canvas).flatten(1)
        return torch.cat([seen, self.vectors[place]], 1).to(self.device)


def _sampled(statement: dict[str, Any]) -> SampledGaussian:
    """The critic's training as the statement has it."""
    found = next(m for m in statement["mechanisms"] if m["name"] == TRAINING)
    return SampledGaussian(name=TRAINING, multiplier=found["noise"], rate=found["rate"], steps=found["steps"])


def _measurement(real: Callable[[], StoredImages], contract: Contract, plan: Plan, canvas: Canvas, out: Path, seed: int,
                 progress: Progress) -> tuple[Known, NoisySteps | None]:
    """What an interrupted stage has measured, else a new measurement, stored before it is used.

    Measuring again would spend the budget again.
    """
    budget = contract.budget
    assert budget is not None
    if (place := tables.earlier(out, KEPT, STORED)) is not None:
        if place != out / KEPT:
            shutil.copy(place, out / KEPT)
        tensors, said = checkpoint.read(place)
        tables.require_same(said["statement"], budget, place.parent.name)
        steps = said["steps"]
        return Known(listing=Measured.from_json(said["listing"]), mean=tensors["mean"], count=said["count"],
                     statement=said["statement"]), None if steps is None else NoisySteps(**steps)
    begun = tables.begin(out)
    known, noisy = measured(real(), contract, plan, canvas, seed, progress)
    known = dataclasses.replace(known, statement=tables.told(known.statement, begun))
    checkpoint.write(out / KEPT, {"mean": known.mean}, {
        "listing": known.listing.to_json(), "count": known.count, "statement": known.statement,
        "steps": None if noisy is None else dataclasses.asdict(noisy)})
    return known, noisy
