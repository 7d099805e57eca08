"""Every image recipe at equal seconds, beside real images, classical augmentation, a bootstrap and a diffusion model.

    python -m tests.benchmarks.medical --data mednist_64_12k.npz --side 32 --seconds 300 --seeds 3

``--data`` is an npz with ``images`` uint8 [n, side, side] and ``labels``, or a folder of class folders of PNG files;
each image counts as a patient. For each seed the images are dealt anew: 60 % train, 20 % holdout, 20 % reference.
A model trains on train for ``--seconds`` (on a processor: CPU seconds of a thread, so that a busy machine costs
nobody steps), draws as many images as train has, with train's labels, and the
gates' own measures look at them: distance in two feature spaces over the real-against-real floor, coverage over its
floor, and a classifier that learned from the synthetic images alone and is asked about holdout. Rows go into a
JSONL file as they finish; what is there is not done again. ``--report`` writes the page from the rows alone. A
model may have options: ``medical/r3:adversarial.batch=16``.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.medical.evidence import ImageEvidence, Images  # noqa: E402
from synth.medical.intensity import as_float, as_stored  # noqa: E402
from synth.progress import Silent  # noqa: E402
from tests.benchmarks import report  # noqa: E402
from tests.benchmarks.medical_gates import drawn, population, training  # noqa: E402
from validators.medical import diversity, fidelity  # noqa: E402
from validators.medical.augment import Changes  # noqa: E402
from validators.medical.classifier import Classifier, Lesson, Schedule  # noqa: E402

HERE = Path(__file__).parent
RESULTS = HERE / "results"
RECIPES = ("medical/r3", "medical/cgan", "medical/sagan", "medical/wgan-gp", "medical/wgan", "medical/lsgan",
           "medical/dcgan", "medical/r3-ada", "medical/r3-diffaugment", "medical/aae")
CONTROLS = ("real", "bootstrap", "diffusion")
SHOWN = {"fidelity.kernel.efflite": "KID / floor, EffLite", "fidelity.kernel.radiomics": "KID / floor, radiomics",
         "fidelity.frechet.efflite": "FD∞ / floor, EffLite", "fidelity.frechet.radiomics": "FD∞ / floor, radiomics"}
COUNTS = ("steps", "parameters", "cpu_s", "draw_s")  # shown as whole numbers, means over seeds
LESSON = Schedule(steps=500)


def train_and_draw(model: str, evidence: ImageEvidence, seconds: float, seed: int, device: str
                   ) -> tuple[Images, dict[str, Any]]:
    """The synthetic set of a model for train's listing, and what it cost."""
    train = evidence.train
    start, used = time.monotonic(), time.process_time()
    if model == "real":  # fresh real images: the floor of every figure
        return evidence.reference, {}
    if model == "bootstrap":
        rng = np.random.default_rng(seed)
        return train.take(rng.integers(len(train), size=len(train))), {}
    if model == "diffusion":
        from tests.benchmarks.diffusion import Diffusion

        kinds, labels = np.unique(train.table["label"].to_numpy(dtype=str), return_inverse=True)
        rival = Diffusion(train.pixels.shape[1], len(kinds), seed=seed, device=device)
        rival.fit(as_float(train.pixels), labels.astype(np.int64), seconds)
        cost = {"train_s": rival.seconds, "steps": rival.steps, "parameters": rival.parameters,
                "cpu_s": time.process_time() - used}
        began = time.monotonic()
        made = rival.draw(labels.astype(np.int64), train.pixels.shape[2:], seed=seed)
        cost["draw_s"] = time.monotonic() - began
        return replace(train, pixels=as_stored(made), entities=np.arange(len(train))), cost
    from synth.medical.model import ImageModel

    generator = ImageModel.fit(train, evidence.schema, pixels=evidence.pixels, target="label", seed=seed,
                               device=device, progress=Silent(), training=training(model, seconds))
    cost = {"train_s": time.monotonic() - start, "cpu_s": time.process_time() - used,
            "steps": sum(p["steps"] for p in generator.history["phases"]),
            "parameters": generator.history.get("parameters")}
    began = time.monotonic()
    pixels, _ = generator.draw(train.table, seed=seed)
    cost["draw_s"] = time.monotonic() - began
    return replace(train, pixels=pixels, entities=np.arange(len(train))), cost


def downstream(evidence: ImageEvidence, seed: int) -> dict[str, Any]:
    """Balanced accuracy and recall by class on holdout, of a classifier that learned from the synthetic set alone."""
    kinds = sorted(set(evidence.train.table["label"]))

    def lesson(images: Images) -> Lesson:
        return Lesson.of(images, np.array([kinds.index(v) for v in images.table["label"]], dtype=float))

    asked = lesson(evidence.holdout)
    changes = Changes()

    def recall(taught: Lesson) -> np.ndarray:
        said = Classifier.train(taught, len(kinds), seed=seed, schedule=LESSON, changes=changes).predict(asked.images)
        return np.array([(said[asked.answers == i] == i).mean() for i in range(len(kinds))])

    real, synthetic = lesson(evidence.train), lesson(evidence.synthetic)
    alone, both = recall(synthetic), recall(real + synthetic)
    base = recall(real)
    return {"accuracy": float(alone.mean()), "worst": float(alone.min()), "real": float(base.mean()),
            "both": float(both.mean()), "recalls": [round(float(v), 4) for v in alone]}


def row(model: str, evidence: ImageEvidence, seconds: float, seed: int, device: str) -> dict[str, Any]:
    """Everything that is known of one training."""
    torch.manual_seed(seed)
    images, cost = train_and_draw(model, evidence, seconds, seed, device)
    judged = replace(evidence, synthetic=images)
    out: dict[str, Any] = {"model": model, "seed": seed, "seconds": seconds, "images": len(evidence.train),
                           "side": evidence.pixels.size[0], "device": device, **cost,
                           "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    for gate in (fidelity, diversity):
        for finding in gate.run(judged, gate.Limits()).findings:
            if finding.value is not None:
                out[finding.id] = round(float(finding.value), 5)
    return out | downstream(judged, seed)


def source(path: Path, side: int, most: int) -> Callable[[int], ImageEvidence]:
    """Evidence by seed: the images dealt anew, nothing synthetic yet."""
    from tests.benchmarks import class_folders

    everything, contract, schema = (class_folders.population if path.is_dir() else population)(path, side, most)
    train, rest = int(0.6 * len(everything)), int(0.2 * len(everything))

    def dealt(seed: int) -> ImageEvidence:
        found = drawn(everything, contract, schema, train, rest, seed)
        return replace(found, synthetic=found.reference)

    return dealt


def page(rows: list[dict[str, Any]], command: str) -> str:
    """The results as Markdown: mean and spread over seeds."""
    lines = ["# Image benchmark", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), "",
             "Mean ± standard deviation over seeds. Distances: 1 is what two real sets of 100 images differ by. "
             "Accuracy: balanced, on holdout, of a classifier that learned from the synthetic images alone; *real* is "
             "one that learned from train with classical augmentation, *both* from the two together.", "",
             f"Command: `{command}`  ", f"Machine: {torch.get_num_threads()} threads of {platform.processor() or 'x86'}"
             f" ({_cpu()}), torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}", ""]
    keys = [*SHOWN, "diversity.coverage", "accuracy", "worst", "real", "both", "steps", "cpu_s", "draw_s", "parameters"]
    heads = [*SHOWN.values(), "coverage / floor", "accuracy", "worst class", "real", "both", "steps", "train CPU s",
             "draw s", "weights"]
    groups = sorted({(r["device"], r["side"], r["images"], r["seconds"]) for r in rows})
    for device, side, images, seconds in groups:
        lines += [f"## {side} px, {images:,} training images, {seconds:g} s a training, {device}", "",
                  "| model | seeds | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
        same = (device, side, images, seconds)
        here = [r for r in rows if (r["device"], r["side"], r["images"], r["seconds"]) == same]
        for model in dict.fromkeys(r["model"] for r in here):
            mine = [r for r in here if r["model"] == model]
            found = {key: [r[key] for r in mine if r.get(key) is not None] for key in keys}
            cells = [f"{np.mean(v):,.0f}" if v and key in COUNTS else report.spread(v) for key, v in found.items()]
            lines.append(f"| {model} | {len(mine)} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _cpu() -> str:
    try:
        names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("model name")]
        return f"{len(names)} cores, {names[0]}"
    except (OSError, IndexError):
        return platform.machine()


def main() -> None:
    """Train, judge, write."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path)
    ask.add_argument("--side", type=int, default=32)
    ask.add_argument("--images", type=int, default=12_000, help="of the data, at most")
    ask.add_argument("--seconds", type=float, default=600)
    ask.add_argument("--seeds", type=int, default=3)
    ask.add_argument("--models", default=",".join((*CONTROLS, *RECIPES)))
    ask.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--rows", type=Path, default=RESULTS / "medical.jsonl")
    ask.add_argument("--page", type=Path, default=RESULTS / "medical.md")
    ask.add_argument("--report", action="store_true", help="write the page from the rows, train nothing")
    said = ask.parse_args()
    torch.set_num_threads(said.threads)
    rows = [json.loads(line) for line in said.rows.read_text().splitlines()] if said.rows.exists() else []
    command = (f"python -m tests.benchmarks.medical --data FILE --side {said.side} --seconds {said.seconds:g} "
               f"--seeds {said.seeds}")
    if not said.report:
        evidence = source(said.data, said.side, said.images)
        for seed in range(said.seeds):
            for model in said.models.split(","):
                dealt = evidence(seed)
                same = {"model": model, "seed": seed, "seconds": said.seconds, "side": said.side,
                        "device": said.device, "images": len(dealt.train)}
                if any(all(r.get(k) == v for k, v in same.items()) for r in rows):
                    continue
                rows.append(row(model, dealt, said.seconds, seed, said.device))
                said.rows.parent.mkdir(parents=True, exist_ok=True)
                with said.rows.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(json.dumps({k: rows[-1].get(k) for k in ("model", "seed", *SHOWN, "accuracy", "worst", "real")}),
                      flush=True)
                said.page.write_text(page(rows, command) + "\n", encoding="utf-8")
    if rows:
        said.page.write_text(page(rows, command) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
