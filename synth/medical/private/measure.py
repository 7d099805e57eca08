"""The one place where images are read under a budget: the listing's marginals, and one noisy sum of features.

Each image of a patient adds a vector of length at most one (:mod:`.features`), and a patient has at most
``contributions`` images, so Gaussian noise on the sum hides whether a patient is there. Everything that shapes the
measurement (features, conditions, sizes) is fixed, declared or follows from the noisy listing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.contract.model import Contract, Unit
from synth.gan.private import noise
from synth.gan.private.accounting import Account, Gaussian, gaussian_epsilon, largest_mu
from synth.gan.private.gradients import Plan as NoisySteps
from synth.medical.canvas import Canvas
from synth.medical.generator import conditioning
from synth.medical.private.features import Features, told
from synth.medical.private.plan import Plan
from synth.medical.stored import StoredImages
from synth.progress import Progress
from synth.records.budget import chosen
from synth.records.conditions import Conditioning
from synth.seeds import derive
from synth.tabular.private import road as tables
from synth.tabular.private.measure import Measured

BATCH = 256
FINE = 1 / 1024  # of the noise: to what noisy sums are rounded
TRAINING = "critic of images"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of private images: noisy and declared facts, nothing else."""

    listing: Measured
    mean: Tensor  # float32 [features, 1 + K], noisy mean of features times conditions
    count: int  # of images, noisy
    statement: dict[str, Any]

    def rows(self, most: int, seed: int) -> pd.DataFrame:
        """Listing rows drawn from the noisy marginals."""
        return tables.drawn(self.listing, int(np.clip(self.count, tables.FEWEST, most)), derive(seed, "drawn"))


def measured(stored: StoredImages, contract: Contract, plan: Plan, canvas: Canvas, seed: int, progress: Progress
             ) -> tuple[Known, NoisySteps | None]:
    """Measure the train part; also the plan of the critic's noisy steps, which the statement holds already."""
    budget = contract.budget
    assert budget is not None
    rows, owners = chosen(stored, budget)
    frame, most = stored.table.read(rows), float(budget.contributions if budget.unit is Unit.ENTITY else 1)

    whole = largest_mu(budget.epsilon, budget.delta) ** 2
    part = Account(gaussian_epsilon((plan.listing * whole) ** 0.5, budget.delta), budget.delta)
    listing = tables.of_rows(frame, owners, stored.schema, contract, budget, part, progress)
    account = Account(budget.epsilon, budget.delta, tuple(part.spent))
    count = tables.released_rows(listing)
    before = Known(listing=listing, mean=torch.empty(0), count=count, statement={})
    conditions = conditions_of(before, contract, seed)

    share = (account.left if plan.critic == 0 else (1 - plan.listing - plan.critic) * whole) * (1 - 1e-9)
    scale = most / share**0.5
    account.spend(Gaussian(name="mean features of images", noise=scale, sensitivity=most))
    total = summed(stored, np.flatnonzero(rows), canvas, conditions, frame, progress)
    unit = scale * FINE
    noisy = noise.noisy(total / unit, scale / unit) * unit
    steps = None
    if plan.critic:
        steps = NoisySteps.within(
            budget.epsilon, budget.delta, rate=min(1.0, plan.critic_batch / count), steps=plan.critic_steps,
            norm=plan.critic_norm, before=tuple(account.spent))
        account.spend(steps.mechanism(TRAINING))
    said = {**tables.statement(budget, account), "covers": COVERED, "outside": list(OUTSIDE), "rng": RNG,
            "sampling": "none: every train image is measured once" if steps is None else
            "the critic's batches: every patient by a coin of their own; all else is measured once"}
    return Known(listing=listing, mean=torch.from_numpy(noisy / count).float(), count=count, statement=said), steps


def conditions_of(known: Known, contract: Contract, seed: int) -> Conditioning:
    """How conditions become numbers, by rows that are nobody's."""
    frame = known.rows(contract.training.max_rows, seed)
    return Conditioning.fit(frame, known.listing.schema, conditioning(contract, known.listing.schema))


def summed(stored: StoredImages, rows: NDArray[np.intp], canvas: Canvas, conditions: Conditioning, frame: pd.DataFrame,
           progress: Progress) -> NDArray[np.float64]:
    """The exact sum [features, 1 + K] over images; private until it is noised."""
    look = Features(canvas.width, stored.pixels.shape[2:])
    vectors = torch.from_numpy(conditions.encode(frame))
    total = torch.zeros(look.count, 1 + vectors.shape[1], dtype=torch.float64)
    with progress.step("measuring images with noise", max(1, len(rows))) as step, torch.no_grad():
        for start in range(0, len(rows), BATCH):
            seen = laid(stored, rows[start:start + BATCH], canvas)
            total += (look(seen).T @ told(vectors[start:start + BATCH])).double()
            step.update(min(start + BATCH, len(rows)))
    return total.numpy()


def laid(stored: StoredImages, rows: NDArray[np.intp], canvas: Canvas) -> Tensor:
    """Canvases of private images."""
    pixels = torch.from_numpy(stored.pixels[rows].astype(np.int32))
    return canvas.lay(pixels, None if stored.masks is None else torch.from_numpy(stored.masks[rows]))


COVERED = "the synthetic images and their listing, their number, the model, and whatever else is drawn from it"
OUTSIDE = (
    "the report, the data card and the gates' figures, which are computed from real images",
    "the run's own record: numbers of images and patients, files put aside, durations",
    "that the archive met the contract: files could be read, declared values and bounds",
    "what the readers make of a file by itself: its window where the contract declares none, its resizing",
    "which images and columns exist at all, and the choice of this contract, its budget and limits",
    "earlier runs and releases of the same source, which the ledger adds up",
)
RNG = ("operating system (os.urandom), Box-Muller in double precision; counts rounded to whole numbers, sums of "
       "features to a thousandth of their noise, a critic's gradients not rounded; not a discrete Gaussian sampler")
