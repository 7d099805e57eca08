"""Runs the installed ``mostlyai-engine`` package (Apache-2.0, TabularARGN) in its own environment.

Usage: PYTHON mostlyai_driver.py --train train.csv --out syn.csv --seed 0 --cat a,b --rows 1000 [--minutes 240]
Reads and writes CSV, prints one JSON line of timings. Imports the installed package and nothing of ours.
Defaults of the package throughout (early stopping on its own validation part, value protection on).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from mostlyai import engine

parser = argparse.ArgumentParser()
for name in ("--train", "--out", "--cat"):
    parser.add_argument(name, required=True)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--rows", type=int, required=True)
parser.add_argument("--minutes", type=float, default=240.0)  # the package's default
parser.add_argument("--threads", type=int, default=1)
a = parser.parse_args()

torch.set_num_threads(a.threads)
engine.set_random_state(a.seed)
categorical = [c for c in a.cat.split(",") if c]
table = pd.read_csv(a.train, dtype={c: str for c in categorical}, keep_default_na=False, na_values=[""])
with tempfile.TemporaryDirectory() as folder:
    kinds = {c: "TABULAR_CATEGORICAL" if c in categorical else "TABULAR_NUMERIC_AUTO" for c in table}
    start, cpu = time.perf_counter(), time.process_time()
    engine.split(tgt_data=table, model_type="TABULAR", tgt_encoding_types=kinds, workspace_dir=folder)
    engine.analyze(workspace_dir=folder)
    engine.encode(workspace_dir=folder)
    engine.train(workspace_dir=folder, max_training_time=a.minutes, device="cpu")
    train_seconds, train_cpu = time.perf_counter() - start, time.process_time() - cpu
    start = time.perf_counter()
    engine.generate(sample_size=a.rows, workspace_dir=folder, device="cpu")
    sample_seconds = time.perf_counter() - start
    synthetic = pd.read_parquet(Path(folder) / "SyntheticData")
synthetic.to_csv(a.out, index=False)
print(json.dumps({"train_seconds": train_seconds, "train_cpu": train_cpu, "sample_seconds": sample_seconds,
                  "note": f"package defaults, at most {a.minutes:g} minutes"}))
