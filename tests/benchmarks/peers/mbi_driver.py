"""Runs MST or AIM over the installed ``mbi`` package (Apache-2.0), in its own environment, on columns cut into cells.

Usage: PYTHON mbi_driver.py --cells in.npz --out out.npz --rho 0.02 --method mst --rows 1000 [--seed 0]
``in.npz`` holds ``cells`` [rows, columns] and ``sizes``. The mechanisms are written from their papers (McKenna,
Miklau, Sheldon 2021; McKenna et al. 2022), inference and drawing are the package's. Prints one JSON line.
"""

import argparse
import json
import time
import warnings
from itertools import combinations

import jax
import numpy as np

warnings.simplefilter("ignore")
jax.config.update("jax_enable_x64", True)
from mbi import Dataset, Domain, LinearMeasurement, estimation, junction_tree  # noqa: E402

parser = argparse.ArgumentParser()
for name in ("--cells", "--out"):
    parser.add_argument(name, required=True)
parser.add_argument("--method", choices=["mst", "aim"], default="mst")
parser.add_argument("--rho", type=float, required=True)
parser.add_argument("--rows", type=int, required=True)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--model-mib", type=float, default=4.0)
parser.add_argument("--iterations", type=int, default=300)
parser.add_argument("--round-iterations", type=int, default=60, help="of each of AIM's rounds, from the last estimate")
a = parser.parse_args()
rng = np.random.default_rng(a.seed)
np.random.seed(a.seed)
given = np.load(a.cells)
cells, sizes = given["cells"], [int(s) for s in given["sizes"]]
names = [str(j) for j in range(len(sizes))]
domain = Domain(names, sizes)
data = Dataset({n: cells[:, j] for j, n in enumerate(names)}, domain)
start, cpu = time.perf_counter(), time.process_time()


def true(clique):
    return np.asarray(data.project(clique).datavector(), float)


def measured(clique, sigma):
    counts = true(clique)
    return LinearMeasurement(counts + rng.normal(0, sigma, counts.shape), clique, stddev=sigma)


def fitted(log, warm=None, iterations=a.iterations):
    return estimation.MirrorDescent().estimate(domain, log, iters=iterations, warm_start=warm)


def exponential(scores, epsilon, sensitivity=1.0):
    """Index drawn by the exponential mechanism (Gumbel noise on the scores)."""
    return int(np.argmax(np.asarray(scores) * epsilon / (2 * sensitivity) + rng.gumbel(size=len(scores))))


def mst():
    third = a.rho / 3
    log = [measured((n,), (len(names) / (2 * third)) ** 0.5) for n in names]
    model = fitted(log)
    pairs = list(combinations(names, 2))
    ones = {n: np.asarray(model.project((n,)).datavector()) for n in names}  # independent so far: pairs are products
    errors = {(p, q): float(np.abs(true((p, q)) - np.outer(ones[p], ones[q]).ravel() / ones[p].sum()).sum())
              for p, q in pairs}
    component = {n: i for i, n in enumerate(names)}
    epsilon = (8 * third / (len(names) - 1)) ** 0.5
    chosen = []
    while len(set(component.values())) > 1:
        open_ = [p for p in pairs if component[p[0]] != component[p[1]]]
        p = open_[exponential([errors[q] for q in open_], epsilon)]
        chosen.append(p)
        old, new = component[p[1]], component[p[0]]
        component = {n: new if c == old else c for n, c in component.items()}
    sigma = (len(chosen) / (2 * third)) ** 0.5
    return fitted(log + [measured(p, sigma) for p in chosen]), len(chosen)


def aim():
    rounds = 16 * len(names)
    sigma, epsilon = (rounds / (2 * 0.9 * a.rho)) ** 0.5, (8 * 0.1 * a.rho / rounds) ** 0.5
    log = [measured((n,), sigma) for n in names]
    used = len(names) / (2 * sigma**2)
    model = fitted(log)
    candidates = [(n,) for n in names] + list(combinations(names, 2))
    weights = {c: sum(len(set(c) & set(p)) for p in combinations(names, 2)) for c in candidates}
    truth = {c: true(c) for c in candidates}
    last = False
    while not last:
        if a.rho - used < 2 * (0.5 / sigma**2 + epsilon**2 / 8):
            left = a.rho - used
            sigma, epsilon, last = (1 / (2 * 0.9 * left)) ** 0.5, (8 * 0.1 * left) ** 0.5, True
        used += epsilon**2 / 8 + 0.5 / sigma**2
        limit = a.model_mib * used / a.rho
        held = [m.clique for m in log]
        small = [c for c in candidates if c in held
                 or junction_tree.hypothetical_model_size(domain, [*held, c]) <= limit]
        scores, estimate = [], {}
        for c in small:
            estimate[c] = np.asarray(model.project(c).datavector())
            gain = np.abs(truth[c] - estimate[c]).sum() - (2 / np.pi) ** 0.5 * sigma * truth[c].size
            scores.append(weights[c] * gain)
        c = small[exponential(scores, epsilon, max(weights[c] for c in small))]
        log.append(measured(c, sigma))
        model = fitted(log, model, a.round_iterations)
        change = np.abs(np.asarray(model.project(c).datavector()) - estimate[c]).sum()
        if change <= sigma * (2 / np.pi) ** 0.5 * truth[c].size:
            sigma, epsilon = sigma / 2, epsilon * 2
    return fitted(log, model), len(log) - len(names)


model, pairs = (mst if a.method == "mst" else aim)()
train_seconds, train_cpu = time.perf_counter() - start, time.process_time() - cpu
drawn = model.synthetic_data(rows=a.rows).to_dict()
np.savez(a.out, cells=np.stack([np.asarray(drawn[n]) for n in names], 1).astype(np.int64))
print(json.dumps({"train_seconds": train_seconds, "train_cpu": train_cpu, "pairs": pairs}))
