"""Recipes that draw masks with their images, at equal seconds: does a segmenter that learned from them work?

    python -m tests.benchmarks.medical_masks --data hippocampus_msd --dims 2 --seconds 200 --seeds 2

``--data`` is a folder with ``images`` and ``labels`` (or ``masks``) folders of NIfTI volumes of the same names, a
volume a patient. With ``--dims 2`` three slices of each volume through its labels are the images, otherwise the volumes
themselves; the condition is whether the structure is small, middling or large. For each seed the patients are dealt
anew: 60 % train, 20 % holdout, 20 % reference. A model trains on train for ``--seconds`` (CPU seconds of a thread; a
third of them for the generator of masks where images are drawn from masks) and draws as many images with masks as train
has. Dice is of a small U-Net that learned from the synthetic set alone, worst mask class, on holdout and reference
patients, over that of one that learned from train; the distances are the fidelity gate's. A model may have options:
``medical/r3-3d:width=0.5+adversarial.batch=4``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract import Contract  # noqa: E402
from synth.contract.pixels import Format, Pixels  # noqa: E402
from synth.medical.evidence import ImageEvidence, Images  # noqa: E402
from synth.medical.files import Refusal, fit_size, intensity_of, read  # noqa: E402
from synth.medical.intensity import Intensity  # noqa: E402
from synth.medical.masks import is_mask, mask_of  # noqa: E402
from synth.progress import Silent  # noqa: E402
from synth.seeds import generator  # noqa: E402
from synth.tabular.schema import TableSchema  # noqa: E402
from tests.benchmarks import report  # noqa: E402
from tests.benchmarks.medical_gates import listed, training  # noqa: E402
from validators.medical import fidelity, segmentation  # noqa: E402

RESULTS = Path(__file__).parent / "results"
RECIPES = {2: ("medical/r3", "medical/pix2pix", "medical/spade"), 3: ("medical/r3-3d", "medical/r3")}
CONTROLS = ("real", "bootstrap")
SIZES = {2: (32, 48), 3: (24, 36, 24)}
SLICES = (0.35, 0.5, 0.65)  # of the labelled extent along the first axis
KINDS = ("large", "middling", "small")
SHOWN = {"dice": "Dice", "real_dice": "Dice, real", "ratio": "ratio", "fidelity.kernel.efflite": "KID / floor, EffLite",
         "fidelity.kernel.radiomics": "KID / floor, radiomics"}


def volumes(folder: Path, pixels: Pixels) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Values [1, depth, height, width] and labels of the volumes that can be read, at the size of the contract."""
    names = [str(p.relative_to(folder)) for p in sorted(folder.rglob("*.nii*"))]
    for name in names:
        mask = None if is_mask(name) else mask_of(name, set(names))
        if mask is None:
            continue
        found = read(folder / name, pixels), read(folder / mask, pixels, mask=True)
        if isinstance(found[0], Refusal) or isinstance(found[1], Refusal):
            continue
        whole = intensity_of(pixels).low
        yield (fit_size(found[0].values, pixels.size, spacing=found[0].spacing, fill=whole)[0],
               fit_size(found[1].values, pixels.size, mask=True, spacing=found[0].spacing)[0][0].astype(np.uint8))


def population(folder: Path, dims: int) -> tuple[Images, Contract, TableSchema, Intensity]:
    """All images with their masks; entities are the volumes."""
    block = Pixels(file="f", mask="m", mask_classes=3, size=SIZES[3] if dims == 3 else (32, 32, 48),
                   release=Format.NIFTI, bits=16)
    intensity = intensity_of(block)
    images, masks, entities, amount = [], [], [], []
    for number, (values, labels) in enumerate(volumes(folder, block)):
        stored = intensity.store(values)
        if dims == 3:
            cuts = [(stored, labels)]
        else:
            along = np.flatnonzero(labels.any(axis=(1, 2)))
            at = [int(along[0] + share * (along[-1] - along[0])) for share in SLICES]
            cuts = [(stored[:, i], labels[i]) for i in at]
        images += [image for image, _ in cuts]
        masks += [mask for _, mask in cuts]
        entities += [number] * len(cuts)
        amount += [float((labels > 0).mean())] * len(cuts)
    sizes = pd.qcut(pd.Series(amount), 3, labels=list(KINDS[::-1])).astype(str).tolist()
    pixels = np.stack(images)
    _, contract, schema = listed(pixels[:1].reshape(1, 1, -1)[:, :, :1, None], ["large"])
    schema = TableSchema(columns=(replace(schema.columns[0], values=KINDS),))
    contract = replace(contract, pixels=replace(block, size=tuple(pixels.shape[2:])))
    table = pd.DataFrame({"label": pd.Series(sizes, dtype="str")})
    return (Images(pixels=pixels, masks=np.stack(masks), table=table, entities=np.array(entities)), contract, schema,
            intensity)


def dealt(everything: Images, contract: Contract, schema: TableSchema, intensity: Intensity, seed: int
          ) -> ImageEvidence:
    """Disjoint parts by volume; the synthetic one is fresh patients, until a model takes its place."""
    people = generator(seed, "dealt").permutation(len(np.unique(everything.entities)))
    edges = (np.array([0, 0.6, 0.8, 1.0]) * len(people)).astype(int)
    parts = [everything.take(np.flatnonzero(np.isin(everything.entities, people[a:b])))
             for a, b in itertools.pairwise(edges)]
    return ImageEvidence(contract=contract, schema=schema, intensity=intensity, seed=seed, train=parts[0],
                         holdout=parts[1], reference=parts[2], synthetic=parts[2])


def drawn(model: str, evidence: ImageEvidence, seconds: float, seed: int) -> tuple[Images, dict[str, Any]]:
    """A model's images and masks, and what they cost."""
    train = evidence.train
    if model == "real":
        return evidence.reference, {}
    if model == "bootstrap":
        return train.take(np.random.default_rng(seed).integers(len(train), size=len(train))), {}
    from synth.medical.model import ImageModel

    paired = model.partition(":")[0] != "medical/r3"
    used = time.process_time()
    fitted = ImageModel.fit(
        train, evidence.schema, pixels=evidence.pixels, target="label", seed=seed, device="cpu", progress=Silent(),
        training=training(model, seconds / 1.5 if paired else seconds))
    pixels, masks = fitted.draw(train.table, seed=seed)
    cost = {"cpu_s": time.process_time() - used, "parameters": fitted.history.get("parameters"),
            "steps": [p["steps"] for p in fitted.history["phases"]]}
    return replace(train, pixels=pixels, masks=masks, entities=np.arange(len(train))), cost


def row(model: str, evidence: ImageEvidence, dims: int, seconds: float, seed: int) -> dict[str, Any]:
    """Everything that is known of one training."""
    torch.manual_seed(seed)
    images, cost = drawn(model, evidence, seconds, seed)
    judged = replace(evidence, synthetic=images)
    found: dict[str, Any] = {"model": model, "seed": seed, "seconds": seconds, "dims": dims,
                             "images": len(evidence.train), **cost}
    for finding in fidelity.run(judged, fidelity.Limits(minimum_images=30)).findings:
        if finding.value is not None:
            found[finding.id] = round(float(finding.value), 4)
    dice, = segmentation.segmentation(judged, limit=0.8, patients=50)
    if dice.value is not None:
        bars = {s["name"]: s["values"] for s in dice.detail["pictures"][0]["series"]}
        found |= {"ratio": dice.value, "ratio_low": dice.low, "dice": min(bars["synthetic"]),
                  "real_dice": min(bars["real"]), "verdict": dice.verdict.value}
    return found


def page(rows: list[dict[str, Any]], command: str) -> str:
    """The results as Markdown: mean over seeds, spread where there are several."""
    lines = ["# Images with masks", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), "",
             f"Command: `{command}`  ", f"{datetime.now(UTC):%Y-%m-%d}, torch {torch.__version__}, "
             f"{torch.get_num_threads()} thread", ""]
    for dims, seconds in sorted({(r["dims"], r["seconds"]) for r in rows}):
        here = [r for r in rows if (r["dims"], r["seconds"]) == (dims, seconds)]
        lines += [f"## {dims}-D, {here[0]['images']:,} training images, {seconds:g} s a training", "",
                  "| model | seeds | " + " | ".join(SHOWN.values()) + " | steps | CPU s |",
                  "|---" * (len(SHOWN) + 4) + "|"]
        for model in dict.fromkeys(r["model"] for r in here):
            mine = [r for r in here if r["model"] == model]
            cells = [report.spread([r[key] for r in mine if r.get(key) is not None], ".2f") for key in SHOWN]
            steps = " + ".join(f"{s:,}" for s in mine[0].get("steps", [])) or "–"
            cpu = f"{np.mean([r['cpu_s'] for r in mine]):,.0f}" if "cpu_s" in mine[0] else "–"
            lines.append(f"| {model} | {len(mine)} | " + " | ".join(cells) + f" | {steps} | {cpu} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Train, judge, write."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--dims", type=int, choices=(2, 3), default=2)
    ask.add_argument("--seconds", type=float, default=200)
    ask.add_argument("--seeds", type=int, default=2)
    ask.add_argument("--models", default="")
    ask.add_argument("--rows", type=Path, default=RESULTS / "medical_masks.jsonl")
    ask.add_argument("--page", type=Path, default=RESULTS / "medical_masks.md")
    said = ask.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in said.rows.read_text().splitlines()] if said.rows.exists() else []
    known = population(said.data, said.dims)
    for seed in range(said.seeds):
        for model in said.models.split(",") if said.models else (*CONTROLS, *RECIPES[said.dims]):
            same = {"model": model, "seed": seed, "seconds": said.seconds, "dims": said.dims}
            if any(all(r.get(k) == v for k, v in same.items()) for r in rows):
                continue
            rows.append(row(model, dealt(*known, seed), said.dims, said.seconds, seed))
            with said.rows.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(json.dumps({k: rows[-1].get(k) for k in ("model", "seed", *SHOWN)}), flush=True)
            said.page.write_text(page(rows, f"python -m tests.benchmarks.medical_masks --data DIR --dims {said.dims} "
                                            f"--seconds {said.seconds:g} --seeds {said.seeds}"), encoding="utf-8")


if __name__ == "__main__":
    main()
