"""Every figure of one synthetic table: ``python -m tests.benchmarks.evaluate --train A --test B --syn C``.

Prints one JSON object. ``c2st_train`` is the published figure; ``c2st_untouched`` (against rows no generator
has seen) is the one that counts, and ``c2st_floor`` is the same for real rows. ``--fast`` leaves out the
neighbour figures and takes the quick downstream grid.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from synth import seeds
from tests.benchmarks import datasets, detection, downstream, metrics, neighbours

UNTOUCHED_DRAWS = 3  # synthetic subsamples of the untouched part's size that are averaged


def untouched_score(test: pd.DataFrame, other: pd.DataFrame, *, seed: int, threads: int) -> float:
    """XGB-C2ST of untouched rows against equally many of ``other``, averaged over a few draws of these."""
    draws = UNTOUCHED_DRAWS if len(test) < 5000 else 1
    rows = min(len(test), len(other))
    return float(np.mean([
        detection.two_sample_score(test, detection.subsample(other, rows, seed=seeds.derive(seed, "untouched", k)),
                                   seed=seeds.derive(seed, "untouched", k), threads=threads)
        for k in range(draws)]))


def evaluate(train: pd.DataFrame, test: pd.DataFrame, synthetic: pd.DataFrame, target: str, *, task: str,
             seed: int = 0, quick: bool = False, fast: bool = False, log_target: bool = False,
             threads: int = 1) -> dict[str, float]:
    """All figures of ``synthetic`` against ``train`` (what the generator saw) and ``test`` (untouched)."""
    result = metrics.density(train, synthetic)
    result["c2st_train"] = detection.two_sample_score(train, synthetic, seed=seed, threads=threads)
    result["c2st_untouched"] = untouched_score(test, synthetic, seed=seed, threads=threads)
    result["mle"] = downstream.efficacy(synthetic, test, target, task=task, seed=seed, quick=quick or fast,
                                        log_target=log_target, threads=threads)
    result |= neighbours.copies(train, test, synthetic)
    if not fast:
        result["logistic"] = detection.two_sample_score(train, synthetic, seed=seed, kind="logistic")
        result |= neighbours.precision_recall(train, synthetic, seed=seed)
        result |= neighbours.closest_record(train, test, synthetic, seed=seed)
    return result


def real_floor(train: pd.DataFrame, test: pd.DataFrame, target: str, *, task: str, seed: int = 0,
               quick: bool = False, log_target: bool = False, threads: int = 1) -> dict[str, float]:
    """What real rows get: C2ST of untouched rows against train rows, and the downstream figure of train."""
    return {"c2st_floor": untouched_score(test, train, seed=seed, threads=threads),
            "mle_real": downstream.efficacy(train, test, target, task=task, seed=seed, quick=quick,
                                            log_target=log_target, threads=threads)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, help="CSV or Parquet file; or give --data")
    parser.add_argument("--test", type=Path)
    parser.add_argument("--data", type=Path, help="folder of one benchmark set, split by its protocol")
    parser.add_argument("--syn", type=Path, required=True)
    parser.add_argument("--name", help="set whose column kinds to use (adult, magic, shoppers, ...)")
    parser.add_argument("--cat", default="", help="comma-separated categorical columns, else guessed")
    parser.add_argument("--target", help="default: the last column")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="small downstream grid")
    parser.add_argument("--fast", action="store_true", help="quick grid and no neighbour figures")
    parser.add_argument("--no-real", action="store_true", help="leave out the real-against-real floor")
    a = parser.parse_args(arguments)
    if a.data:
        data = datasets.load(a.data, a.name)
        train, test, target, task, log_target = data.train, data.test, data.target, data.task, data.log_target
    else:
        raw = datasets.read_table(a.train)
        known = datasets.KNOWN.get(a.name or "", {})
        chosen = set(known.get("cat", ())) | {c for c in a.cat.split(",") if c}
        categorical = (chosen or datasets.guess_categorical(raw)) | datasets._texts(raw)
        train = datasets.working_frame(raw, categorical)
        test = datasets.like(datasets.read_table(a.test), train)
        target, log_target = a.target or known.get("target", train.columns[-1]), False
        task = "regression" if train[target].dtype == "float64" else "classification"
    synthetic = datasets.like(datasets.read_table(a.syn), train)
    start = time.perf_counter()
    result = evaluate(train, test, synthetic, target, task=task, seed=a.seed, quick=a.quick, fast=a.fast,
                      log_target=log_target)
    if not a.no_real:
        result |= real_floor(train, test, target, task=task, seed=a.seed, quick=a.quick or a.fast,
                             log_target=log_target)
    result["seconds"] = time.perf_counter() - start
    print(json.dumps({k: round(v, 5) for k, v in result.items()}, indent=1))


if __name__ == "__main__":
    main()
