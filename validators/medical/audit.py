"""An audit of the promise made for images: canaries among them, guessed from the noisy sum of features.

As for tables (:mod:`validators.audit`). A canary is an image of four by four black and white fields, each by a coin,
with a listing row drawn evenly: nobody's, and with features that are nearly at right angles to another canary's. What
was measured less what all other images add is a sum of those canaries' features that are in, and noise; their coins
are estimated together. The canaries' share of the listing's marginals is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from synth.contract.model import Contract
from synth.gan.private import noise
from synth.medical.canvas import STEPS, Canvas
from synth.medical.evidence import ImageEvidence, Images
from synth.medical.private import plan as plans
from synth.medical.private.features import Features, told
from synth.medical.private.measure import Known, conditions_of, laid, measured, summed
from synth.progress import Silent
from synth.records.budget import units
from synth.tabular.private.measure import kept
from synth.tabular.schema import TableSchema
from validators.audit import GUESSES, SUSPECTED, Audit, asked, counted, declared, finding, guessed, plant
from validators.finding import Finding

FIELDS = 4  # of a canary, along each side
CANARIES = 4_000  # more than for tables: an image has half of its length in common with the others
BATCH = 256

Measure = Callable[["Held"], Known]


@dataclass(frozen=True)
class Held:
    """Images in memory as the measurement reads stored ones: all of them train."""

    images: Images
    schema: TableSchema

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pixels(self) -> NDArray[np.uint16]:
        """uint16 [n, channels, *size]."""
        return self.images.pixels

    @property
    def masks(self) -> NDArray[np.uint8] | None:
        """uint8 [n, *size], where there are masks."""
        return self.images.masks

    @property
    def table(self) -> Held:
        """The listing, which :meth:`read` reads."""
        return self

    def read(self, rows: NDArray[np.bool_]) -> pd.DataFrame:
        """The listing's rows under a mask."""
        return self.images.table[rows].reset_index(drop=True)

    def entities(self) -> NDArray[np.int64]:
        """Whose each image is."""
        return self.images.entities

    def rows_of(self, part: str) -> NDArray[np.bool_]:
        """All of them."""
        return np.ones(len(self), bool)


def planted(like: Images, schema: TableSchema, classes: int, many: int, rng: np.random.Generator) -> Images:
    """Canaries, each a unit of its own."""
    size = like.pixels.shape[2:]
    fields = rng.random((many, like.pixels.shape[1], *(min(FIELDS, s) for s in size))) < 0.5
    place = np.ix_(*(np.arange(s) * min(FIELDS, s) // s for s in size))
    pixels = np.where(fields[(slice(None), slice(None), *place)], STEPS, 0).astype(np.uint16)
    masks = None if like.masks is None else rng.integers(0, max(classes, 1), (many, *size)).astype(np.uint8)
    return Images(pixels=pixels, masks=masks, table=plant(schema, many, rng), entities=np.arange(many))


def audit(images: Images, schema: TableSchema, contract: Contract, seed: int, *, canaries: int = CANARIES,
          guesses: int = GUESSES, each: int = 1, run: Measure | None = None) -> Audit:
    """Audit the measurement of ``images`` under the contract's budget; ``schema`` is public.

    ``each``: equal images of a canary (more than ``contributions`` shows whether the bound on them holds).
    """
    budget, pixels = contract.budget, contract.pixels
    assert budget is not None and pixels is not None
    canvas, plan = Canvas(channels=pixels.channels, classes=pixels.mask_classes), plans.of(contract.training)
    rng = np.random.default_rng(noise.seed())
    images = images.take(kept(units(images.entities, budget), budget).astype(np.int64))  # so that all of it is used
    spies = planted(images, schema, pixels.mask_classes, canaries, rng)
    inside = rng.random(canaries) < 0.5
    shown = np.repeat(np.flatnonzero(inside), each)
    order = rng.permutation(len(images) + len(shown))
    joined = _joined(images, spies.take(shown), order)
    known = (run or (lambda held: measured(held, contract, plan, canvas, seed, Silent())[0]))(  # type: ignore[arg-type]
        Held(joined, schema))
    most = counted(each, budget)
    conditions = conditions_of(known, contract, seed)
    held = Held(images, schema)
    everyone = np.arange(len(images))
    rest = summed(held, everyone, canvas, conditions, images.table, Silent())  # type: ignore[arg-type]
    spent = next(m for m in known.statement["mechanisms"] if m["name"] == "mean features of images")
    left, scale = known.mean.double().numpy() * known.count - rest, float(spent["noise"])
    look, spied = Features(canvas.width, spies.pixels.shape[2:]), Held(spies, schema)
    sides = told(torch.from_numpy(conditions.encode(spies.table))).double()
    with torch.no_grad():
        seen = torch.cat([look(laid(spied, np.arange(canaries)[i:i + BATCH], canvas))  # type: ignore[arg-type]
                          for i in range(0, canaries, BATCH)]).double()
    theirs = most * (seen[inside].T @ sides[inside]).numpy()
    return guessed(coins(left, seen, sides, SUSPECTED * scale, most), inside, guesses, budget, rng,
                   left=(left - theirs) / scale)


def coins(left: NDArray[np.float64], seen: torch.Tensor, sides: torch.Tensor, scale: float, each: int
          ) -> NDArray[np.float64]:
    """The posterior mean of each canary's coin (less a half), from ``left`` [features, 1 + K] with noise ``scale``.

    ``seen`` [canaries, features] and ``sides`` [canaries, 1 + K]: what each adds is ``each`` times their product.
    """
    alike = ((seen @ seen.T) * (sides @ sides.T)).numpy() * (each / scale) ** 2
    pull = ((seen @ torch.from_numpy(left)) * sides).sum(1).numpy() * each / scale**2 - alike.sum(1) / 2
    return np.asarray(np.linalg.solve(alike + 4 * np.eye(len(seen)), pull))


def _joined(first: Images, second: Images, order: NDArray[np.int64]) -> Images:
    owners = np.concatenate([first.entities, int(first.entities.max(initial=0)) + 1 + second.entities])
    masks = None if first.masks is None or second.masks is None else np.concatenate([first.masks, second.masks])
    return Images(pixels=np.concatenate([first.pixels, second.pixels]), masks=masks, entities=owners,
                  table=pd.concat([first.table, second.table], ignore_index=True)).take(order)


def audited(evidence: ImageEvidence) -> list[Finding]:
    """The audit of a run's measurement, if asked for: a veto, and never a proof.

    Nothing that is released holds a canary. A critic's noisy steps, where the contract pays for them, are not audited.
    """
    contract, budget = evidence.contract, evidence.contract.budget
    if budget is None or not asked(contract):
        return []
    found = audit(evidence.train, declared(evidence.listing()), contract, evidence.seed)
    return [finding(found, "all other images and the noisy sum of features")]

