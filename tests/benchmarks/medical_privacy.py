"""What a privacy budget costs images: epsilon x way of spending it, on images of which each is a patient.

    python -m tests.benchmarks.medical_privacy --data mednist_64_12k.npz --arms ours,short,half --seeds 2

60 % of the images are train. ``ours``: the default, all but a tenth of the budget on noisy mean features; ``half``:
half of it trains a critic by noisy gradients after a short training, so that both take about as long; ``short``: that
short training alone; ``real``: fresh real images, the floor. Delta is 1e-5. Figures: balanced accuracy on holdout of a
forest on 16 x 16 pixels that learned from the synthetic images alone, of all classes and of the worst one; kernel
distance to holdout in the features of the training's own validation (unbiased: 0 where there is no difference); share
of holdout images with a synthetic one in their neighbourhood. Means over seeds ± half of their range. Finished rows
are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract.model import Budget, Training, Unit  # noqa: E402
from synth.medical.canvas import Canvas  # noqa: E402
from synth.medical.evidence import ImageEvidence, Images  # noqa: E402
from synth.medical.private import plan as plans  # noqa: E402
from synth.medical.private.measure import measured  # noqa: E402
from synth.medical.private.road import critics_gradients, images_model  # noqa: E402
from synth.medical.validation import Validation  # noqa: E402
from synth.progress import Silent  # noqa: E402
from tests.benchmarks import medical, report  # noqa: E402
from tests.benchmarks.audits import AUDITS, measured_as  # noqa: E402

OUT = Path(__file__).parent / "results" / "medical_privacy.jsonl"
DELTA = 1e-5
ARMS: dict[str, dict[str, float]] = {"ours": {}, "short": {}, "half": {"critic": 0.45}}
SHORT = 1 / 4.3  # of the effort: with noisy gradients after it, about the time of ``ours``
NAMES = {"ours": "**ours**: noisy mean features", "short": "the same, trained a quarter as long",
         "half": "half mean features, as short, then half a critic by DP-SGD",
         "real": "fresh real images"}
COMPARED = 1_000  # images
SHOWN = (("accuracy", "TSTR accuracy", 3), ("worst", "worst class", 3), ("kernel", "kernel distance", 3),
         ("coverage", "coverage", 3), ("cpu", "CPU s", 0))


class InMemory:
    """Images as the ingest stage keeps them: all of them are train."""

    def __init__(self, images: Images, evidence: ImageEvidence) -> None:
        self.images, self.pixels, self.masks, self.schema = images, images.pixels, None, evidence.schema
        self.table = self

    def __len__(self) -> int:
        return len(self.images)

    def rows_of(self, part: str) -> np.ndarray:
        return np.full(len(self), part == "train")

    def entities(self) -> np.ndarray:
        return np.arange(len(self))

    def read(self, rows: np.ndarray) -> Any:
        return self.images.table[rows].reset_index(drop=True)


def made(arm: str, evidence: ImageEvidence, epsilon: float, seed: int, effort: float) -> tuple[Images, dict[str, Any]]:
    """The synthetic set of an arm for train's listing, and facts about it."""
    if arm == "real":
        return evidence.reference, {}
    kinds = tuple(sorted(set(evidence.train.table["label"])))
    contract = replace(
        evidence.contract, budget=Budget(epsilon=epsilon, delta=DELTA, unit=Unit.ROW), columns=tuple(
            replace(c, values=kinds, required=True) for c in evidence.contract.columns),
        training=Training(recipe=plans.NAME, effort=effort * (1.0 if arm == "ours" else SHORT)))
    plan, canvas = replace(plans.Plan(), **ARMS[arm]), Canvas(channels=evidence.train.pixels.shape[1])
    stored: Any = InMemory(evidence.train, evidence)
    known, steps = measured(stored, contract, plan, canvas, seed, Silent())
    model = images_model(contract, plan, canvas, known, seed=seed, drawn=seed, device="cpu", progress=Silent(),
                         gradients=None if steps is None else lambda critic: critics_gradients(
                             critic, stored, contract, canvas, known, seed, steps))
    pixels, _ = model.draw(evidence.train.table, seed=seed)
    facts = {"noise": {m["name"]: round(m["noise"], 3) for m in known.statement["mechanisms"][-2:]}}
    return replace(evidence.train, pixels=pixels, entities=np.arange(len(pixels))), facts


def audited(evidence: ImageEvidence, epsilon: float, arm: str) -> dict[str, Any]:
    """What canaries among the train images show of one measurement, as an arm of AUDITS makes it."""
    from validators.medical.audit import audit

    kinds = tuple(sorted(set(evidence.train.table["label"])))
    contract = replace(evidence.contract, budget=Budget(epsilon=epsilon, delta=DELTA, unit=Unit.ROW), columns=tuple(
        replace(c, values=kinds, required=True) for c in evidence.contract.columns), training=Training(
            recipe=plans.NAME))
    with measured_as(arm):
        return audit(evidence.train, evidence.schema, contract, evidence.seed).to_json()


def figures(images: Images, evidence: ImageEvidence, seed: int) -> dict[str, float]:
    """How good a set is."""
    from sklearn.ensemble import RandomForestClassifier

    def table(of: Images) -> np.ndarray:
        n, _, side, _ = of.pixels.shape
        return of.pixels.reshape(n, -1, 16, side // 16, 16, side // 16).mean((1, 3, 5)).reshape(n, -1)

    judge = RandomForestClassifier(100, random_state=seed, n_jobs=1).fit(table(images), images.table["label"])
    said, truth = judge.predict(table(evidence.holdout)), evidence.holdout.table["label"].to_numpy()
    recalls = [float((said[truth == kind] == kind).mean()) for kind in np.unique(truth)]

    def canvas(of: Images) -> torch.Tensor:
        chosen = np.random.default_rng(seed).permutation(len(of))[:COMPARED]
        return torch.from_numpy(of.pixels[chosen].astype(np.float32)) * (2 / 65_535) - 1

    look = Validation(canvas(evidence.holdout))
    distance, coverage = look(canvas(images))
    return {"accuracy": float(np.mean(recalls)), "worst": min(recalls), "kernel": distance, "coverage": coverage}


def judged(arm: str, evidence: ImageEvidence, epsilon: float, seed: int, effort: float) -> dict[str, Any]:
    """An arm's figures, and what it cost."""
    start = time.process_time()
    images, facts = made(arm, evidence, epsilon, seed, effort)
    cpu = round(time.process_time() - start, 1)
    return {**{k: round(v, 4) for k, v in figures(images, evidence, seed).items()}, "cpu": cpu, **facts}


def page(rows: list[dict[str, Any]], command: str) -> str:
    """The results as Markdown."""
    machine = report.machine()
    lines = ["# Images under a privacy budget", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), "",
             f"    {command}", "", f"Machine: {machine['cores']} cores, {machine['cpu']}, {machine['date']}; one "
             "thread, beside other work. Without a budget: `medical.md` (another classifier).", ""]
    audits, rows = [r for r in rows if r["arm"] in AUDITS], [r for r in rows if r["arm"] not in AUDITS]
    for images, side in sorted({(r["images"], r["side"]) for r in rows}):
        lines += [f"## {images:,} training images of {side} px", "",
                  "| epsilon | generator | seeds | " + " | ".join(name for _, name, _ in SHOWN) + " |",
                  "|---" * (3 + len(SHOWN)) + "|"]
        here = [r for r in rows if (r["images"], r["side"]) == (images, side)]
        for epsilon, arm in dict.fromkeys((r["epsilon"], r["arm"]) for r in sorted(
                here, key=lambda r: (r["epsilon"] or np.inf, list(NAMES).index(r["arm"])))):
            mine = [r for r in here if (r["epsilon"], r["arm"]) == (epsilon, arm)]
            cells = [report.ranged([r[key] for r in mine], digits, half=key != "cpu") for key, _, digits in SHOWN]
            lines.append(f"| {epsilon or 'none'} | {NAMES[arm]} | {len(mine)} | " + " | ".join(cells) + " |")
        lines.append("")
    if audits:
        lines += ["## Audit", "", "One measurement with canaries among the train images each (arm `audit`), white box; "
                  "the bound has 95 % confidence. Where the ceiling is below the claim, no outcome could have "
                  "contradicted it. The arm `faulty` has a quarter of the noise that its claim needs.", "",
                  "| claimed epsilon | measurement | canaries | guesses | right | lower bound | noise found, of the "
                  "claimed | contradicted | ceiling | CPU s |", "|---" * 10 + "|"]
        lines += [f"| {r['epsilon']:g} | {AUDITS[r['arm']]} | "
                  f"{r['canaries']:,} | {r['guesses']} | {r['correct']} | {r['lower_bound']:.2f} | {r['noise']:.3f} | "
                  f"{'yes' if r['contradicts'] else 'no'} | {r['ceiling']:.2f} | {r['cpu']:.0f} |"
                  for r in sorted(audits, key=lambda r: (r["arm"], r["epsilon"]))] + [""]
    return "\n".join(lines)


def main() -> None:
    """Measure, train, judge, write."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--side", type=int, default=32)
    ask.add_argument("--images", type=int, default=12_000)
    ask.add_argument("--epsilons", default="1,3,10")
    ask.add_argument("--arms", default="ours,short,half")
    ask.add_argument("--seeds", type=int, default=1)
    ask.add_argument("--effort", type=float, default=0.774)
    ask.add_argument("--rows", type=Path, default=OUT)
    said = ask.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in said.rows.read_text().splitlines()] if said.rows.exists() else []
    command = (f"python -m tests.benchmarks.medical_privacy --data FILE --side {said.side} --images {said.images} "
               f"--epsilons {said.epsilons} --arms {said.arms} --seeds {said.seeds} --effort {said.effort:g}")
    dealt = medical.source(said.data, said.side, said.images)
    jobs = [(arm, float(e), seed) for seed in range(said.seeds) for e in said.epsilons.split(",")
            for arm in said.arms.split(",")]
    for arm, epsilon, seed in [("real", None, 0), *jobs]:
        evidence = dealt(seed)
        key = {"arm": arm, "epsilon": epsilon, "seed": seed, "images": len(evidence.train), "side": said.side}
        if any(all(r[k] == v for k, v in key.items()) for r in rows):
            continue
        start = time.process_time()
        if arm in AUDITS:
            found = audited(evidence, epsilon or 0.0, arm)
            row = {**key, **found, "cpu": round(time.process_time() - start, 1)}
        else:
            row = key | judged(arm, evidence, epsilon or 0.0, seed, said.effort)
        rows.append(row)
        print(json.dumps(row), flush=True)
        with said.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        said.rows.with_suffix(".md").write_text(page(rows, command) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
