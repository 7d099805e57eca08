"""Segmentation: does a network that learned masks from synthetic images outline the same in real ones?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synth.medical.evidence import ImageEvidence, Images
from synth.seeds import derive, generator
from validators import pictures
from validators import statistics as st
from validators.finding import Finding, Verdict
from validators.medical.correlation import shrink
from validators.medical.trials import arms, untouched

if TYPE_CHECKING:
    import torch

SIDE = {2: 64, 3: 24}
LEAST = 30  # untouched patients whose mask has the class


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long a segmenter trains, whatever it learns from."""

    steps: int = 200
    batch: int = 16
    channels: tuple[int, ...] = (12, 24, 48)
    rate: float = 5e-3
    seeds: int = 2


def segmentation(evidence: ImageEvidence, *, limit: float, patients: int, schedule: Schedule | None = None
                 ) -> list[Finding]:
    """Dice of each mask class, synthetic-trained over real-trained, on untouched patients; nothing without masks."""
    real, synthetic = arms(evidence)
    test = untouched(evidence)
    if real.masks is None or test.masks is None:
        return []
    title = "Outlining masks after learning from synthetic images, over real ones (Dice, worst class)"
    people, inverse = np.unique(test.entities, return_inverse=True)
    pictured = [c for c in range(1, evidence.pixels.mask_classes)
                if len(np.unique(test.entities[(test.masks == c).reshape(len(test), -1).any(axis=1)])) >= LEAST]
    if synthetic.masks is None or len(people) < patients or not pictured or len(synthetic) < LEAST:
        return [Finding(id="downstream.dice", title=title, verdict=Verdict.INCONCLUSIVE, value=None, limit=limit,
                        direction="at least", unit="ratio", n=st.rounded(len(people)),
                        power=f"nothing can be said below {patients} untouched patients, {LEAST} of whom have a class",
                        remedy="provide more patients with masks, and release masks with the images")]
    plan = schedule or Schedule()
    weights = st.entity_weights(people, st.DRAWS, generator(evidence.seed, "segmentation", "bootstrap"))
    point, drawn, between = {}, {}, {}
    for name, part in (("real", real), ("synthetic", synthetic)):
        scores = []
        for number in range(plan.seeds):
            network = _train(part, evidence.pixels.mask_classes, plan, derive(evidence.seed, "segmentation", number))
            scores.append(_overlaps(network, test, pictured, inverse, len(people)))
        seeds = [_dice(s, np.ones((len(people), 1)))[:, 0] for s in scores]
        point[name], between[name] = np.mean(seeds, axis=0), np.var(seeds, axis=0, ddof=1) / plan.seeds
        drawn[name] = np.mean([_dice(s, weights) for s in scores], axis=0)
    ratios = point["synthetic"] / np.maximum(point["real"], 0.05)
    draws = drawn["synthetic"] / np.maximum(drawn["real"], 0.05)
    # the chance of training, as noise of the same size in every draw
    seed_error = ratios * np.sqrt(between["real"] / np.maximum(point["real"], 0.05) ** 2
                                  + between["synthetic"] / np.maximum(point["synthetic"], 0.05) ** 2)
    noise = generator(evidence.seed, "segmentation", "seeds").standard_normal(draws.shape)
    lows, highs = st.simultaneous(ratios, draws + seed_error[:, None] * noise)
    worst = st.deciding(-highs, -lows, -limit)
    learnable = float(point["real"][worst]) >= 0.3
    verdict = st.at_least(float(lows[worst]), float(highs[worst]), limit, enough=learnable)
    shown: dict[str, list[float | None]] = {n: [st.number(v) for v in point[n]] for n in point}
    return [Finding(
        id="downstream.dice", title=title, value=st.number(ratios[worst]), low=st.number(lows[worst]),
        high=st.number(highs[worst]), unit="ratio", floor=1.0, limit=limit, direction="at least",
        n=st.rounded(len(people)), verdict=verdict,
        method=f"a small U-Net, {plan.seeds} seeds, as many real as synthetic images, tested on holdout and reference "
               "patients; Dice over all voxels, simultaneous bounds by patient; the worst class decides",
        power="" if learnable else "real masks could not be learned: nothing is said",
        remedy="the masks do not fit their images: train longer" if learnable
        else "provide more patients, or masks that the images show",
        detail={"pictures": [pictures.bars("Dice on untouched patients, by mask class",
                                           [f"class {c}" for c in pictured], shown, "Dice")]})]


def _small(masks: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.int64]:
    """Nearest neighbours at another size."""
    places = [((np.arange(new) + 0.5) * old / new).astype(np.int64)
              for new, old in zip(size, masks.shape[1:], strict=True)]
    return np.asarray(masks[np.ix_(np.arange(len(masks)), *places)], np.int64)


def _padded(images: torch.Tensor, multiple: int) -> torch.Tensor:
    """Sides a multiple of what the network halves."""
    import torch

    pad = [x for side in reversed(images.shape[2:]) for x in (0, -side % multiple)]
    return torch.nn.functional.pad(images, pad, value=-1.0)


def _weights(masks: torch.Tensor, classes: int) -> torch.Tensor:
    """Of each class in the cross-entropy: rare ones count more, at most five times."""
    import torch

    counts = torch.bincount(masks.flatten(), minlength=classes).clamp(min=1).double()
    return (counts.max() / counts).sqrt().clamp(max=5).float()


def _train(part: Images, classes: int, plan: Schedule, seed: int) -> torch.nn.Module:
    import torch
    from monai.losses.dice import DiceCELoss
    from monai.networks.nets.unet import UNet

    assert part.masks is not None
    dims = part.pixels.ndim - 2
    images = torch.from_numpy(shrink(part.pixels, SIDE[dims]))
    masks = torch.from_numpy(_small(part.masks, tuple(images.shape[2:])))
    random = torch.Generator().manual_seed(seed % 2**31)
    multiple = 2 ** (len(plan.channels) - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**31)
        network = UNet(spatial_dims=dims, in_channels=part.pixels.shape[1], out_channels=classes,
                       channels=plan.channels, strides=(2,) * (len(plan.channels) - 1), num_res_units=1)
    # Dice over the batch and without the background: image by image, an empty mask teaches to outline nothing
    measure = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True,
                         weight=_weights(masks, classes))
    optimiser = torch.optim.AdamW(network.parameters(), plan.rate)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps)
    network.train()
    for _ in range(plan.steps):
        rows = torch.randint(len(images), (min(plan.batch, len(images)),), generator=random)
        said = network(_padded(images[rows], multiple))
        said = said[(slice(None), slice(None), *(slice(s) for s in images.shape[2:]))]
        loss = measure(said, masks[rows][:, None])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
    return network.eval()


def _overlaps(network: torch.nn.Module, test: Images, classes: list[int], inverse: np.ndarray,
              people: int) -> NDArray[np.float64]:
    """Of each patient and class: twice the overlap, and the sum of both areas (classes, people, 2)."""
    import torch

    assert test.masks is not None
    dims = test.pixels.ndim - 2
    images = torch.from_numpy(shrink(test.pixels, SIDE[dims]))
    truth = _small(test.masks, tuple(images.shape[2:]))
    out = np.zeros((len(classes), people, 2))
    with torch.no_grad():
        for begin in range(0, len(images), 32):
            rows = slice(begin, begin + 32)
            said = network(_padded(images[rows], 16)).argmax(dim=1).numpy()
            said = said[(slice(None), *(slice(s) for s in images.shape[2:]))].reshape(-1, truth[0].size)
            flat = truth[rows].reshape(len(said), -1)
            for number, c in enumerate(classes):
                one, two = said == c, flat == c
                np.add.at(out[number, :, 0], inverse[rows], 2.0 * (one & two).sum(axis=1))
                np.add.at(out[number, :, 1], inverse[rows], one.sum(axis=1) + two.sum(axis=1))
    return out


def _dice(overlaps: NDArray[np.float64], weights: np.ndarray) -> NDArray[np.float64]:
    """Dice over all voxels of the drawn patients: (classes, draws)."""
    return np.asarray((overlaps[..., 0] @ weights) / np.maximum(overlaps[..., 1] @ weights, 1e-9))
