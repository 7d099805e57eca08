"""Simulated patients with an anatomy of their own, lesions by class, and planted faults of an image generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from synth.contract import Column, Contract, Privacy, Role, Task
from synth.contract.pixels import Pixels
from synth.medical.evidence import ImageEvidence, Images
from synth.medical.intensity import Intensity, as_stored
from synth.seeds import generator
from synth.tabular.evidence import PARTS
from synth.tabular.schema import ColumnSchema, TableSchema

LESIONS = ("none", "bright", "dark", "wide")
SHARES = (0.4, 0.3, 0.2, 0.1)
SITES = ("north", "south")
BLOBS = 7  # of an anatomy: enough parameters that no two patients look alike


def schema() -> TableSchema:
    """What the listing models."""
    return TableSchema(columns=(
        ColumnSchema(name="lesion", role=Role.CATEGORICAL, nullable=False, values=LESIONS),
        ColumnSchema(name="site", role=Role.CATEGORICAL, nullable=False, values=SITES),
        ColumnSchema(name="age", role=Role.NUMERIC, nullable=False, integer=True)))


def contract(size: tuple[int, ...] = (32, 32), *, masks: bool = False, **changes: object) -> Contract:
    """A contract over :func:`schema`: target lesion, protected site, each image's patient known."""
    columns = (Column(name="file", role=Role.IDENTIFIER, privacy=Privacy.DIRECT),
               Column(name="patient", role=Role.IDENTIFIER, privacy=Privacy.DIRECT),
               Column(name="lesion", role=Role.CATEGORICAL, privacy=Privacy.SENSITIVE),
               Column(name="site", role=Role.CATEGORICAL, protected=True),
               Column(name="age", role=Role.NUMERIC, privacy=Privacy.QUASI))
    pixels = Pixels(file="file", size=size, flips=True, mask="mask" if masks else None, mask_classes=2 if masks else 0)
    base = Contract(name="scans", version="1.0.0", domain="medical", path=Path("scans.yaml"), digest="0" * 64,
                    description="", source="scans", columns=columns, entity="patient", target="lesion",
                    task=Task.CLASSIFICATION, pixels=pixels)
    return replace(base, **changes)  # type: ignore[arg-type]


def people(count: int, seed: int, *, images: int = 1, size: tuple[int, ...] = (32, 32),
           masks: bool = False) -> Images:
    """``count`` patients with ``images`` images each, of one anatomy; the lesion's place and the noise differ."""
    rng = generator(seed, "anatomy")
    dims, who = len(size), np.repeat(np.arange(count), images)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, s) for s in size), indexing="ij"), axis=-1)
    shape = (1,) * dims
    age = np.clip(np.round(rng.normal(55, 14, count)), 18, 90)
    lesion, site = rng.choice(len(LESIONS), count, p=SHARES), rng.choice(2, count, p=(0.65, 0.35))
    axes = rng.uniform(0.6, 0.9, (count, dims))
    centres = rng.uniform(-0.45, 0.45, (count, BLOBS, dims))
    widths = rng.uniform(0.12, 0.3, (count, BLOBS))
    heights = rng.uniform(-0.35, 0.35, (count, BLOBS))
    rows = len(who)
    moved = rng.normal(0, 0.04, (rows, dims))

    def distance(place: np.ndarray) -> np.ndarray:
        return ((grid[None] - place.reshape(rows, *shape, dims)) ** 2).sum(axis=-1)

    def wide(values: np.ndarray) -> np.ndarray:
        return values.reshape(rows, *shape)

    body = (((grid[None] - moved.reshape(rows, *shape, dims)) / axes[who].reshape(rows, *shape, dims)) ** 2).sum(-1)
    inside = 1 / (1 + np.exp(12 * (body - 1)))
    values = 0.9 * inside
    for blob in range(BLOBS):
        around = distance(centres[who, blob] + moved)
        values += inside * wide(heights[who, blob]) * np.exp(-around / (2 * wide(widths[who, blob]) ** 2))
    # older people have a wider dark core
    values -= 0.5 * inside * np.exp(-distance(moved) / (2 * wide(0.06 + 0.0022 * age[who]) ** 2))
    spot = rng.uniform(-0.4, 0.4, (rows, dims))
    depth = np.array([0.0, 0.9, -0.9, 0.7])[lesion[who]]
    width = np.array([0.1, 0.12, 0.12, 0.3])[lesion[who]]
    there = np.exp(-distance(spot) / (2 * wide(width) ** 2))
    values += wide(depth) * there
    values = values * wide(1 - 0.15 * site[who]) + rng.normal(0, 0.03, (rows, *size))
    table = pd.DataFrame({"lesion": pd.Series([LESIONS[i] for i in lesion[who]], dtype="str"),
                          "site": pd.Series([SITES[i] for i in site[who]], dtype="str"), "age": age[who]})
    drawn = ((there > 0.5) & wide(lesion[who] > 0)).astype(np.uint8) if masks else None
    return Images(pixels=as_stored((values[:, None] - 0.7).astype(np.float32)), masks=drawn, table=table,
                  entities=who.astype(np.int64))


def evidence(patients: int, seed: int, *, images: int = 1, size: tuple[int, ...] = (32, 32), masks: bool = False,
             terms: Contract | None = None) -> ImageEvidence:
    """Train .6, holdout .2, reference .2 of the patients; the synthetic images are fresh patients unless replaced."""
    real = people(patients, seed, images=images, size=size, masks=masks)
    edges = np.array([0.6, 0.8]) * patients
    part = np.searchsorted(edges, real.entities, side="right")
    parts = {name: real.take(part == number) for number, name in enumerate(PARTS)}
    fresh = people(len(parts["train"]), seed + 7_000, size=size, masks=masks)
    return ImageEvidence(contract=terms or contract(size, masks=masks), schema=schema(), seed=seed, synthetic=fresh,
                         intensity=Intensity(low=0, high=1), **parts)


def alone(images: Images) -> Images:
    """As synthetic images are: an entity each."""
    return replace(images, entities=np.arange(len(images)))


def memorised(e: ImageEvidence, share: float = 1.0, *, noise: float = 0.04, shift: int = 1) -> Images:
    """``share`` of the synthetic images are training images, moved by up to ``shift`` pixels and noisy."""
    rng = generator(e.seed, "memorised")
    count = int(share * len(e.synthetic))
    chosen = e.train.take(rng.choice(len(e.train), count, replace=count > len(e.train)))
    pixels = chosen.pixels.copy()
    for row in range(count):
        by = tuple(int(b) for b in rng.integers(-shift, shift + 1, pixels.ndim - 2))
        pixels[row] = np.roll(pixels[row], (0, *by), axis=tuple(range(pixels.ndim - 1)))
    noisy = pixels.astype(np.float64) + rng.normal(0, noise * 32_767, pixels.shape)
    rest = e.synthetic.take(np.arange(count, len(e.synthetic)))
    return alone(Images(
        pixels=np.concatenate([np.clip(noisy, 0, 65_535).astype(np.uint16), rest.pixels]),
        masks=None if chosen.masks is None or rest.masks is None else np.concatenate([chosen.masks, rest.masks]),
        table=pd.concat([chosen.table, rest.table], ignore_index=True), entities=np.arange(len(e.synthetic))))


def permuted(images: Images, seed: int) -> Images:
    """The same images under each other's labels (and masks)."""
    order = generator(seed, "permuted").permutation(len(images))
    return replace(images, table=images.table.iloc[order].reset_index(drop=True),
                   masks=None if images.masks is None else images.masks[order])
