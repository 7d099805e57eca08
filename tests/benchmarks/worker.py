"""One job of the benchmark in a process of its own: ``train`` a model and sample from it, or ``evaluate`` it.

A process of its own gives honest peak memory and CPU time. ``train`` writes ``synthetic.parquet`` and
``timings.json`` into ``--out``, ``evaluate`` reads them and writes ``row.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synth import seeds
from tests.benchmarks import datasets
from tests.benchmarks.baselines import BASELINES

RECIPES = {"conditional-gan": "tabular/conditional-gan", "likelihood": "tabular/likelihood",
           "wgan-gp": "tabular/wgan-gp"}
ASKED_ROWS = 1000  # rows drawn to see whether conditions hold


def peak_mebibytes(children: bool = False) -> float:
    """Largest resident memory of this process so far (or of its finished children)."""
    if not children:
        try:  # unlike getrusage, not inherited from the process that started us
            lines = Path("/proc/self/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
        except (OSError, StopIteration):
            pass
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF).ru_maxrss
    return usage / (1024 if sys.platform != "darwin" else 1024**2)


def condition_adherence(model: Any, data: datasets.Dataset, seed: int) -> dict[str, float]:
    """Percent of rows that satisfy what was asked for: the target's rarest class, and a pair of labels that
    occurs in few training rows (published conditional GANs hold neither by construction)."""
    from synth.tabular.conditions import parse

    labels = [c for c in data.schema.labels if c != data.target]
    rarest = data.train[data.target].value_counts().index[-1] if data.task == "classification" else None
    asked = [[(data.target, rarest)]] if rarest is not None else []
    if labels:
        first = data.train[labels[0]].value_counts()
        pair = [(labels[0], first.index[min(len(first) - 1, 3)])]
        if len(labels) > 1:
            second = data.train[labels[1]].value_counts()
            pair.append((labels[1], second.index[min(len(second) - 1, 3)]))
        asked.append(pair)
    kept, total, start = 0, 0, time.perf_counter()
    for number, pairs in enumerate(asked):
        frame = model.sample(ASKED_ROWS, seed=seeds.derive(seed, "asked", number),
                             where=parse([f"{name}={value}" for name, value in pairs], data.schema))
        holds = np.logical_and.reduce([(frame[name] == value).to_numpy() for name, value in pairs])
        kept, total = kept + int(holds.sum()), total + len(frame)
    if not total:
        return {}
    return {"adherence": 100 * kept / total, "asked_rows_per_second": total / (time.perf_counter() - start)}


def train_ours(data: datasets.Dataset, model_name: str, seed: int, out: Path) -> dict[str, Any]:
    """Fit one of our recipes, sample as many rows as train has, save and measure."""
    from synth.contract.model import Training
    from synth.progress import Lines
    from synth.tabular.model import TabularModel

    recipe, options = RECIPES.get(model_name, model_name), ()
    if ":" in model_name:  # "conditional-gan:critic=0": recipe options by name
        head, *pairs = model_name.split(":")
        recipe = RECIPES.get(head, head)
        options = tuple((k, json.loads(v)) for k, v in (p.split("=") for p in pairs))
    start, cpu = time.perf_counter(), time.process_time()
    model = TabularModel.fit(data.train, data.schema, training=Training(recipe=recipe, options=options), seed=seed,
                             device="cpu", progress=Lines(60), checkpoint=None, entities=data.train_groups,
                             target=data.target)
    result: dict[str, Any] = {"train_seconds": time.perf_counter() - start, "train_cpu": time.process_time() - cpu,
                              "peak_mib": peak_mebibytes()}
    start = time.perf_counter()
    frame = model.sample(len(data.train), seed=seeds.derive(seed, "sample"))
    result["sample_seconds"] = time.perf_counter() - start
    frame.to_parquet(out / "synthetic.parquet")
    (out / "history.json").write_text(json.dumps(model.history, default=str))
    if isinstance(model.history, dict) and "released" in model.history:
        result["note"] = f"released: {model.history['released']}"
    return result | condition_adherence(model, data, seed)


def train_peer(data: datasets.Dataset, peer: str, python: str, extra: list[str], seed: int,
               out: Path) -> dict[str, Any]:
    """Run a peer's driver in its own environment on CSV files."""
    data.train.to_csv(out / "train.csv", index=False)
    driver = Path(__file__).parent / "peers" / f"{peer}_driver.py"
    command = [python, str(driver), "--train", str(out / "train.csv"), "--out", str(out / "synthetic.csv"),
               "--cat", ",".join(data.schema.labels), "--rows", str(len(data.train)), "--seed", str(seed), *extra]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=out, check=False)
    if finished.returncode:
        raise RuntimeError(f"{peer} failed: {finished.stderr[-2000:]}")
    frame = datasets.like(datasets.read_table(out / "synthetic.csv"), data.train)
    frame.to_parquet(out / "synthetic.parquet")
    return json.loads(finished.stdout.strip().splitlines()[-1]) | {"peak_mib": peak_mebibytes(children=True)}


def train(data: datasets.Dataset, model: str, seed: int, out: Path, peer_python: str, extra: list[str]) -> None:
    """Make ``synthetic.parquet`` and ``timings.json`` in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    if model in BASELINES:
        start, cpu = time.perf_counter(), time.process_time()
        frame = BASELINES[model](data.train, len(data.train), seeds.derive(seed, model))
        result = {"train_seconds": time.perf_counter() - start, "train_cpu": time.process_time() - cpu,
                  "sample_seconds": 0.0, "peak_mib": peak_mebibytes()}
        frame.to_parquet(out / "synthetic.parquet")
    elif peer_python:
        result = train_peer(data, model, peer_python, extra, seed, out)
    elif model == "real-holdout":
        result = {}
    else:
        result = train_ours(data, model, seed, out)
    (out / "timings.json").write_text(json.dumps(result))


def fresh_real_rows(data: datasets.Dataset, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Train, fresh and untouched rows for the real-against-real row: all rows dealt out anew, 45/45/10 %, by
    group where rows have one. Fresh rows are about half of what a generator draws, so their Shape and Trend
    carry about 1.4 times the sampling noise."""
    rows = pd.concat([data.train, data.test], ignore_index=True)
    groups = (np.arange(len(rows)) if data.train_groups is None or data.test_groups is None
              else np.concatenate([data.train_groups, data.test_groups]))
    names = seeds.generator(seed, "fresh").permutation(np.unique(groups))
    cut = [int(0.45 * len(names)), int(0.9 * len(names))]
    return tuple(rows[np.isin(groups, part)].reset_index(drop=True) for part in np.split(names, cut))  # type: ignore


def evaluate(data: datasets.Dataset, model: str, seed: int, out: Path, quick: bool) -> dict[str, Any]:
    """The row of results of one finished training."""
    from tests.benchmarks.evaluate import evaluate as figures
    from tests.benchmarks.evaluate import real_floor

    settings = {"task": data.task, "seed": seed, "quick": quick, "log_target": data.log_target}
    result = json.loads((out / "timings.json").read_text())
    if model == "real-holdout":
        real, fresh, untouched = fresh_real_rows(data, seed)
        result |= figures(real, untouched, fresh, data.target, **settings)
        floor = real_floor(data.train, data.test, data.target, **settings)
        result |= {"c2st_untouched": floor["c2st_floor"], "mle": floor["mle_real"]}
    else:
        result |= figures(data.train, data.test, pd.read_parquet(out / "synthetic.parquet"), data.target, **settings)
    return result


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("train", "evaluate"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer-python", default="")
    parser.add_argument("--extra", default="", help="further arguments of the peer's driver")
    a = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    data = datasets.load(a.data)
    if a.step == "train":
        train(data, a.model, a.seed, a.out, a.peer_python, a.extra.split())
    else:
        start = time.perf_counter()
        row = evaluate(data, a.model, a.seed, a.out, a.quick)
        row["evaluate_seconds"] = time.perf_counter() - start
        (a.out / "row.json").write_text(json.dumps(row))


if __name__ == "__main__":
    main()
