"""How often the fidelity and diversity gates of images stop planted faults and let fresh real images pass.

    python -m tests.benchmarks.medical_gates --data mednist_64_12k.npz --side 32 --seeds 20 --fault-seeds 2

``--data`` is an npz with ``images`` uint8 [n, side, side] and ``labels`` (each image a patient of its own); without it
phantoms are drawn. Each seed draws disjoint train, holdout, reference and synthetic sets of one population; a fault
changes the synthetic one and is judged by the gate meant for it, a clean set by both. Each
finding's figure, from which the limits were chosen, is printed, too.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract import Column, Contract, Role, Task  # noqa: E402
from synth.contract.model import Training  # noqa: E402
from synth.contract.pixels import Pixels  # noqa: E402
from synth.medical.evidence import ImageEvidence, Images  # noqa: E402
from synth.medical.intensity import Intensity  # noqa: E402
from synth.seeds import generator  # noqa: E402
from synth.tabular.schema import ColumnSchema, TableSchema  # noqa: E402
from tests.benchmarks import report  # noqa: E402
from tests.validators.medical import faults, patients  # noqa: E402
from validators.finding import GateResult  # noqa: E402
from validators.medical import diversity, fidelity  # noqa: E402
from validators.medical.arms import SPACES, arms  # noqa: E402
from validators.medical.features import raw  # noqa: E402
from validators.memo import memo  # noqa: E402

GATES = {"fidelity": fidelity, "diversity": diversity}


def population(path: Path, side: int, most: int) -> tuple[Images, Contract, TableSchema]:
    """``most`` images of an npz at ``side`` pixels, shuffled, with their label as the listing."""
    found = np.load(path, allow_pickle=False)
    order = generator(0, "order").permutation(len(found["images"]))[:most]
    images, names = found["images"][order].astype(np.float64), [f"class {i}" for i in range(100)]
    factor = images.shape[1] // side
    images = images.reshape(len(images), side, factor, side, factor).mean(axis=(2, 4))
    labels = [names[int(i)] for i in found["labels"][order]]
    return listed(np.rint(images * 257).astype(np.uint16)[:, None], labels)


def listed(pixels: np.ndarray, labels: list[str]) -> tuple[Images, Contract, TableSchema]:
    """Square images uint16 [n, 1, side, side] with a label each, every image a patient of its own."""
    kinds, side = tuple(sorted(set(labels))), pixels.shape[-1]
    schema = TableSchema(columns=(ColumnSchema(name="label", role=Role.CATEGORICAL, nullable=False, values=kinds),))
    contract = Contract(name="images", version="1.0.0", domain="medical", path=Path("images.yaml"), digest="0" * 64,
                        description="", source="images", task=Task.CLASSIFICATION, target="label",
                        columns=(Column(name="label", role=Role.CATEGORICAL),),
                        pixels=Pixels(file="f", size=(side, side)))
    table = pd.DataFrame({"label": pd.Series(labels, dtype="str")})
    return Images(pixels=pixels, masks=None, table=table, entities=np.arange(len(pixels))), contract, schema


def training(model: str, seconds: float) -> Training:
    """A recipe with the options of ``medical/r3:width=0.5+adversarial.batch=4``, for so many seconds."""
    recipe, _, said = model.partition(":")
    options = tuple((name, float(value)) for name, value in (part.split("=") for part in said.split("+") if part))
    return Training(recipe=recipe, effort=100.0, options=(("seconds", seconds), *options))


def drawn(everything: Images, contract: Contract, schema: TableSchema, train: int, rest: int,
          seed: int) -> ImageEvidence:
    """Disjoint sets of a population, whose features are known already."""
    order = generator(seed, "benchmark").permutation(len(everything))
    edges = np.cumsum([0, train, rest, rest, train])
    parts = [everything.take(order[a:b]) for a, b in itertools.pairwise(edges)]
    return ImageEvidence(contract=contract, schema=schema, intensity=Intensity(low=0, high=255), seed=seed,
                         train=parts[0], holdout=parts[1], reference=parts[2], synthetic=parts[3])


def know(evidence: ImageEvidence, everything: Images, faulty: bool) -> None:
    """Features of images of the population are computed once for all seeds; entities are places in it."""
    sets = arms(evidence)
    for images in (sets.train, sets.real) if faulty else (sets.train, sets.real, sets.synthetic):
        for name in SPACES:
            found = raw(everything, name)[images.entities]
            memo(images, ("features", name), lambda found=found: found)


def judged(evidence: ImageEvidence, gates: tuple[str, ...]) -> list[GateResult]:
    """The verdicts of the gates under their default limits."""
    return [GATES[name].run(evidence, GATES[name].Limits()) for name in gates]


def row(kind: str, found: list[list[GateResult]], seconds: float) -> str:
    """One line of the table."""
    verdicts = Counter("pass" if all(r.verdict == "pass" for r in results) else
                       "fail" if any(r.verdict == "fail" for r in results) else "inconclusive" for results in found)
    blocked = Counter(f.id for results in found for r in results for f in r.findings if f.verdict.blocks)
    gates = " and ".join(r.gate for r in found[0])
    stopped = ", ".join(f"{name} ({count})" for name, count in blocked.most_common(8)) or "-"
    counts = " | ".join(str(verdicts[v]) for v in ("pass", "fail", "inconclusive"))
    return (f"| {kind} | {gates} | {len(found)} | {counts} | {stopped} | {seconds / max(len(found), 1):.1f} |")


def figures(kind: str, found: list[list[GateResult]]) -> list[str]:
    """Mean and range of every finding's figure over the seeds."""
    values: dict[str, list[float]] = {}
    for results in found:
        for finding in (f for r in results for f in r.findings if f.value is not None):
            values.setdefault(finding.id, []).append(float(finding.value or 0))
    return [f"| {kind} | {name} | {np.mean(v):.3f} | {min(v):.3f} | {max(v):.3f} |" for name, v in values.items()]


def main() -> None:
    """Run, print and write the page."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path)
    ask.add_argument("--side", type=int, default=32)
    ask.add_argument("--images", type=int, default=12_000, help="of the file, at most")
    ask.add_argument("--train", type=int, default=1_000)
    ask.add_argument("--rest", type=int, default=500, help="images of holdout, and of reference")
    ask.add_argument("--seeds", type=int, default=20)
    ask.add_argument("--fault-seeds", type=int, default=3)
    ask.add_argument("--kinds", nargs="*", default=None)
    ask.add_argument("--out", type=Path, default=None)
    said = ask.parse_args()
    source = population(said.data, said.side, said.images) if said.data else None
    kinds = [("clean", None, ("fidelity", "diversity"))]
    kinds += [(k, f, ("fidelity",)) for k, f in faults.FIDELITY.items()]
    kinds += [(k, f, ("diversity",)) for k, f in faults.DIVERSITY.items()]
    lines, details = [], []
    for kind, fault, gates in kinds:
        if said.kinds is not None and kind not in said.kinds:
            continue
        found, start = [], time.process_time()
        for seed in range(said.seeds if fault is None else said.fault_seeds):
            evidence = (drawn(*source, said.train, said.rest, seed) if source else
                        patients.evidence(round(said.train / 0.6), seed, size=(said.side, said.side)))
            if fault is not None:
                evidence = replace(evidence, synthetic=fault(evidence.synthetic, generator(seed, kind)))
            if source:
                know(evidence, source[0], fault is not None)
            found.append(judged(evidence, gates))
        lines.append(row(kind, found, time.process_time() - start))
        details += figures(kind, found)
        print(lines[-1], *figures(kind, found), sep="\n", flush=True)
    if said.out:
        machine = report.machine()
        said.out.write_text("\n".join([
            f"## {said.data.name if said.data else 'Phantoms'}, {said.side} pixels, {said.train:,} train, 2 x "
            f"{said.rest:,} untouched, {said.train:,} synthetic", "",
            f"Command: `python -m tests.benchmarks.medical_gates {' '.join(sys.argv[1:])}`.", "", f"{machine}", "",
            "| set | gates | seeds | pass | fail | inconclusive | stopped by | CPU s |",
            "|---|---|---|---|---|---|---|---|",
            *lines, "", "| set | finding | mean | least | most |", "|---|---|---|---|---|", *details, ""]))


if __name__ == "__main__":
    main()
