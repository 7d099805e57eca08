"""Shadow models of images (:mod:`validators.shadow_ratios` says what they are): patients, trainings, signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from synth.contract import Contract
from synth.medical.evidence import ImageEvidence, Images
from synth.medical.intensity import Intensity
from synth.medical.reread import joined
from synth.seeds import derive, generator
from synth.tabular.schema import TableSchema
from validators import shadow_ratios
from validators import statistics as st
from validators.diversity import neighbour_distances
from validators.finding import Finding
from validators.medical.contrastive import Contrastive
from validators.shadow_ratios import TARGETS, Words
from validators.shadowing import SECONDS, SHADOWS, Design, Pool, alike, choose, halves, in_processes, isolated, shorter

POOL = 2_000  # patients of train in the pool, and as many untouched ones
DRAWN = 3_000  # synthetic images looked at, at most
ISOLATION = 5  # neighbours
NEIGHBOURS = 10  # of a local count
WORDS = Words(people="patients", around="what synthetic images lie around theirs", private="the private critic")


@dataclass(frozen=True, kw_only=True)
class ImageDesign(Design):
    """Shadows of the contract's recipe for images and their listing."""

    # pixels see less than the encoder does: of sets with 20 % copies an AUC of .60 where it reaches .64, of all .66
    SIGNALS: ClassVar[tuple[str, ...]] = ("closest image", "local count", "critic")

    images: Images  # the pool
    encoder: Contrastive  # the gate's, which has seen train and untouched images alike
    schema: TableSchema
    contract: Contract  # with the training of a shadow
    intensity: Intensity
    draws: int  # synthetic images of every model, because nearness depends on their number

    @property
    def name(self) -> str:
        """See :class:`~validators.shadowing.Design`."""
        table = pd.util.hash_pandas_object(self.images.table, index=False).to_numpy()
        weights = [value.numpy() for value in self.encoder.network.state_dict().values()]
        masks = [] if self.images.masks is None else [self.images.masks]
        return self.digest((self.seed, self.contract, self.schema, self.intensity, self.draws),
                           (table, self.images.pixels, *masks, *weights))

    def score(self, number: int) -> np.ndarray:
        """See :class:`~validators.shadowing.Design`."""
        from synth.medical.generator import ImageGenerator
        from synth.progress import Silent

        inside = self.trained_on(number)
        model = ImageGenerator.fit(
            replace(self.images.take(inside), entities=self.owners[inside]), self.schema, self.contract, self.intensity,
            None, seed=derive(self.seed, "shadow", number), device="cpu", progress=Silent())
        synthetic = model.draw(self.draws, seed=derive(self.seed, "shadow images", number))
        return signals(self, synthetic, model.model.critic_scores)


def shadows(evidence: ImageEvidence, encoder: Contrastive, limit: float, least: int, *, count: int | None = None,
            seconds: float | None = None) -> list[Finding]:
    """Two findings: what the synthetic images tell (judged), and what the private critic would (information)."""
    fewest = min(len(np.unique(part.entities)) for part in (evidence.train, evidence.holdout, evidence.reference))
    silent = shadow_ratios.untestable(evidence, fewest, least, "patients of each part")
    if silent is not None:
        return [silent]
    assert evidence.scratch is not None
    pool = pooled(evidence, encoder, count or SHADOWS)
    scores = in_processes(pool.design, evidence.scratch, SECONDS if seconds is None else seconds, evidence.watch)
    return judged(evidence, pool, scores, limit)


def pooled(evidence: ImageEvidence, encoder: Contrastive, count: int) -> Pool[ImageDesign]:
    """The pool of patients, the most isolated of them as targets, and who trains which of ``count`` shadows."""
    rng = generator(evidence.seed, "shadows", "pool")
    untouched = joined([evidence.holdout, evidence.reference])
    chosen = choose(evidence.train.entities,
                    np.concatenate([evidence.holdout.entities, evidence.reference.entities]), POOL, rng)
    images = joined([evidence.train.take(chosen.train), untouched.take(chosen.untouched)])
    points = encoder.vectors(images.pixels)
    targets = isolated(neighbour_distances(points, points, ISOLATION, skip_self=True)[:, -1], chosen.owners, TARGETS)
    learnt = min(evidence.total("train"), evidence.contract.training.max_rows)
    return Pool(ImageDesign(
        owners=chosen.owners, inside=halves(count, 2 * chosen.most, rng),
        rows=np.flatnonzero(np.isin(chosen.owners, targets)), seed=evidence.seed, images=images, encoder=encoder,
        schema=evidence.schema, intensity=evidence.intensity, draws=min(len(evidence.synthetic), DRAWN),
        contract=replace(evidence.contract, training=shorter(evidence.contract.training, len(images) / 2 / learnt)),
    ), targets < chosen.most)


def judged(evidence: ImageEvidence, pool: Pool[ImageDesign], scores: np.ndarray, limit: float) -> list[Finding]:
    """Findings from scores (shadows done, signals, images of targets)."""
    few = shadow_ratios.too_few(len(scores), limit)
    if few is not None:
        return [few]
    return verdict(pool, scores, signals(pool.design, evidence.synthetic, evidence.critic), limit)


def verdict(pool: Pool[ImageDesign], scores: np.ndarray, real: np.ndarray, limit: float) -> list[Finding]:
    """Findings from scores of shadows and what the released model says."""
    return shadow_ratios.verdict(pool.design, pool.members, scores, real, limit, pool.design.contract.training, WORDS)


def signals(design: ImageDesign, synthetic: Images, critic: Callable[[Images], np.ndarray] | None) -> np.ndarray:
    """What synthetic images and a critic say of the scored images: (signals, images), NaN without critic.

    All relative to their mean, as models differ in how near they come to anybody, and critics in their scale.
    """
    records = design.images.take(design.rows)
    rng = generator(design.seed, "shadows", "synthetic")
    drawn = synthetic.take(st.choose(np.arange(len(synthetic)), design.draws, rng))
    made, real = (design.encoder.vectors(images.pixels) for images in (drawn, records))
    logs = np.log(neighbour_distances(made, real, NEIGHBOURS) + 1e-3)
    told = np.full(len(records), np.nan) if critic is None else critic(records)
    return alike(np.stack([-logs[:, 0], -logs.mean(axis=1), told]))
