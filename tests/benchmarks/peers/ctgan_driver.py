"""Runs the installed ``ctgan`` package (BUSL-1.1: benchmarking only) in its own environment.

Usage: PYTHON ctgan_driver.py --train train.csv --out syn.csv --seed 0 --cat a,b --rows 1000 [--epochs 300]
Reads and writes CSV, prints one JSON line of timings. Imports the installed package and nothing of ours.
"""

import argparse
import json
import time

import numpy as np
import pandas as pd
import torch
from ctgan import CTGAN

parser = argparse.ArgumentParser()
for name in ("--train", "--out", "--cat"):
    parser.add_argument(name, required=True)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--rows", type=int, required=True)
parser.add_argument("--epochs", type=int, default=300)  # the package's default
parser.add_argument("--threads", type=int, default=1)
a = parser.parse_args()

torch.set_num_threads(a.threads)
torch.manual_seed(a.seed)
np.random.seed(a.seed)
categorical = [c for c in a.cat.split(",") if c]
table = pd.read_csv(a.train, dtype={c: str for c in categorical}, keep_default_na=False, na_values=[""])
table[categorical] = table[categorical].fillna("(missing)")
start, cpu = time.perf_counter(), time.process_time()
model = CTGAN(epochs=a.epochs, enable_gpu=False)
model.fit(table, categorical)
train_seconds, train_cpu = time.perf_counter() - start, time.process_time() - cpu
start = time.perf_counter()
synthetic = model.sample(a.rows)
sample_seconds = time.perf_counter() - start
synthetic[categorical] = synthetic[categorical].replace("(missing)", "")
synthetic.to_csv(a.out, index=False)
print(json.dumps({"train_seconds": train_seconds, "train_cpu": train_cpu, "sample_seconds": sample_seconds,
                  "note": f"{a.epochs} epochs"}))
