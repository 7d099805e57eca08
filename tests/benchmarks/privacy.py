"""What differential privacy costs: epsilon x generator x seed, one process each, finished rows are kept.

    python -m tests.benchmarks.privacy --data DIR --sets adult,shoppers --epsilons 1,3,10 --seeds 2 \\
        --arms ours,marginals,independent,critic,mst --mbi-python VENV/bin/python

``DIR`` has one folder per set (:mod:`tests.benchmarks.datasets`). Neighbours differ by one row, delta is 1e-6, and
every arm spends its whole budget, finding its cells included. What a contract would declare is taken from the table:
vocabularies as they are, bounds rounded outward to 1, 2 or 5 times a power of ten, printed precision. Figures are the
fast ones of :mod:`tests.benchmarks.evaluate`. Rows go to ``results/privacy.jsonl``, the table beside it is rewritten.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from synth.tabular.schema import TableSchema
from tests.benchmarks import report
from tests.benchmarks.audits import AUDITS, measured_as

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(__file__).parent / "results" / "privacy.jsonl"
COLUMNS = (("shape", "Shape error %", 2), ("trend", "Trend error %", 2), ("c2st_train", "C2ST train", 3),
           ("c2st_untouched", "C2ST untouched", 3), ("nmi", "NMI error", 4), ("mle", "TSTR AUC", 3),
           ("copies", "copies %", 2), ("cpu", "CPU s", 0))
NAMES = {"ours": "**ours**: recipe on rows of the measured model", "marginals": "**ours**, without the network",
         "ours-before": "ours, inference not converged", "marginals-before": "the same, without the network",
         "independent": "independent columns", "mst": "MST (mbi)", "aim": "AIM (mbi)",
         "critic": "GAN, DP-SGD on the critic", "likelihood": "DP-SGD on the likelihood",
         "split": "half marginals, half DP-SGD on the likelihood"}


def nice(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-9)))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= value))


def declared(schema: TableSchema, frame) -> TableSchema:
    """The schema a contract with a budget would have."""
    columns = []
    for column in schema.columns:
        if column.is_number:
            values = frame[column.name].dropna()
            low, high = float(values.min()), float(values.max())
            column = replace(column, minimum=0.0 if low >= 0 else -nice(-low), maximum=nice(high) if high > 0 else 0.0,
                             decimals=4 if column.decimals is None else column.decimals)
        columns.append(column)
    return TableSchema(columns=tuple(columns))


def audited(data, epsilon: float, arm: str):
    """The audit of one measurement of the train rows with canaries, as an arm of AUDITS makes it."""
    from synth.contract.model import Budget, Unit
    from tests.benchmarks.private_arms import DELTA
    from validators.audit import audit

    budget = Budget(epsilon=epsilon, delta=DELTA, unit=Unit.ROW)
    with measured_as(arm):
        return audit(data.train, np.arange(len(data.train)), declared(data.schema, data.train), budget)


def one(a: argparse.Namespace) -> None:
    """One row: train an arm and evaluate what it gives; printed as JSON."""
    import torch

    from tests.benchmarks import datasets, evaluate
    from tests.benchmarks.private_arms import ARMS

    torch.set_num_threads(1)
    data = datasets.load(a.data)
    start = time.process_time()
    if a.arm in AUDITS:
        found = audited(data, a.epsilon, a.arm)
        print(json.dumps({**found.to_json(), "cpu": round(time.process_time() - start, 1)}))
        return
    frame, facts = ARMS[a.arm](data.train, declared(data.schema, data.train), data.target, a.epsilon, a.seed,
                               python=a.mbi_python, effort=a.effort)
    cpu = time.process_time() - start + facts.pop("train_cpu", 0.0)
    figures = evaluate.evaluate(data.train, data.test, frame, data.target, task=data.task, seed=a.seed, fast=True)
    print(json.dumps({**{k: round(v, 5) for k, v in figures.items()}, "cpu": round(cpu, 1), **facts}))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default="adult,shoppers")
    parser.add_argument("--arms", default="ours,marginals,independent,critic,mst")
    parser.add_argument("--epsilons", default="1,3,10")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--effort", type=float, default=0.5, help="of our recipe")
    parser.add_argument("--mbi-python", default="", help="interpreter of an environment with mbi 2.0.0")
    parser.add_argument("--time-limit", type=float, default=1500)
    parser.add_argument("--table-only", action="store_true")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--epsilon", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    a = parser.parse_args(arguments)
    if a.arm:
        one(a)
        return 0
    failed = 0
    done = {(r["set"], r["arm"], r["epsilon"], r["seed"]) for r in _rows()}
    jobs = [] if a.table_only else [
        (name, arm, float(e), seed) for seed in range(a.first_seed, a.first_seed + a.seeds)
        for e in a.epsilons.split(",") for name in a.sets.split(",") for arm in a.arms.split(",")]
    for name, arm, epsilon, seed in jobs:
        if (name, arm, epsilon, seed) in done:
            continue
        command = [sys.executable, "-m", "tests.benchmarks.privacy", "--data", str((a.data / name).resolve()), "--arm",
                   arm, "--epsilon", str(epsilon), "--seed", str(seed), "--effort", str(a.effort),
                   "--mbi-python", a.mbi_python]
        try:
            said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=a.time_limit, check=False)
        except subprocess.TimeoutExpired:
            said = None
        if said is None or said.returncode:
            failed += 1
            print(name, arm, epsilon, seed, "failed", said.stderr[-600:] if said else "took too long", flush=True)
            continue
        row = {"set": name, "arm": arm, "epsilon": epsilon, "seed": seed, **json.loads(said.stdout.splitlines()[-1])}
        figures = [f"{k} {row[k]:.3f}" for k in ("c2st_untouched", "mle", "lower_bound", "cpu") if k in row]
        print(name, arm, epsilon, seed, *figures, flush=True)
        with OUT.open("a") as file:
            file.write(json.dumps(row) + "\n")
        OUT.with_suffix(".md").write_text(page(_rows(), a))
    OUT.with_suffix(".md").write_text(page(_rows(), a))
    return 1 if failed else 0


def _rows() -> list[dict]:
    return [json.loads(line) for line in OUT.read_text().splitlines()] if OUT.exists() else []


def _without() -> list[dict]:
    """Rows without a budget, of the tables' own benchmark."""
    path = OUT.with_name("tabular.jsonl")
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    names = {"conditional-gan": "ours, no budget", "wgan-gp": "WGAN-GP, no budget", "real-holdout": "real rows"}
    return [{**r, "arm": names[r["model"]], "cpu": r.get("train_cpu", 0.0)} for r in found if r["model"] in names]


def page(rows: list[dict], a: argparse.Namespace) -> str:
    """The results as Markdown: means over seeds, ± half of the range where there are several."""
    command = (f"python -m tests.benchmarks.privacy --data DIR --sets {a.sets} --epsilons {a.epsilons} "
               f"--seeds {a.seeds} --arms {a.arms} --effort {a.effort:g}"
               + (" --mbi-python VENV/bin/python" if a.mbi_python else ""))
    lines = ["# Tables under a privacy budget", "", "Neighbours differ by one row, delta is 1e-6, the whole budget is "
             "spent on everything that reads a row: cells, marginals, training. C2ST is 1 = indistinguishable. Means "
             "over seeds ± half of their range; CPU seconds of training on a machine that did other work, too. Rows "
             "without a budget are those of `tabular.md`.", "", f"    {command}", "",
             *report.written(OUT.with_suffix(".md"), "## ")]
    audits, rows = [r for r in rows if r["arm"] in AUDITS], [r for r in rows if r["arm"] not in AUDITS]
    for name in dict.fromkeys(r["set"] for r in rows):
        lines += [f"## {name}", "", "| epsilon | generator | seeds | " + " | ".join(h for _, h, _ in COLUMNS) + " |",
                  "|---" * (3 + len(COLUMNS)) + "|"]
        here = [r for r in rows if r["set"] == name]
        for epsilon in sorted({r["epsilon"] for r in here}):
            for arm in [n for n in NAMES if any(r["arm"] == n and r["epsilon"] == epsilon for r in here)]:
                these = [r for r in here if r["arm"] == arm and r["epsilon"] == epsilon]
                lines.append(_line(f"{epsilon:g}", NAMES[arm], these))
        for arm in ("ours, no budget", "WGAN-GP, no budget", "real rows"):
            these = [r for r in _without() if r["set"] == name and r["arm"] == arm]
            if these:
                lines.append(_line("none", arm, these))
        lines.append("")
    if audits:
        lines += ["## Audit", "", "One measurement with canaries for each seed, white box; bounds have 95 % "
                  "confidence, the highest is shown. Where the ceiling is below the claim, no outcome could "
                  "have contradicted it. The arm `faulty` has a quarter of the noise that its claim needs.", "",
                  "| set | claimed epsilon | measurement | canaries | guesses | right, of each seed | highest bound | "
                  "noise found, of the claimed | contradicted | ceiling |", "|---" * 10 + "|"]
        for name, epsilon, arm in sorted({(r["set"], r["epsilon"], r["arm"]) for r in audits}):
            mine = [r for r in audits if (r["set"], r["epsilon"], r["arm"]) == (name, epsilon, arm)]
            lines.append(
                f"| {name} | {epsilon:g} | {AUDITS[arm]} | {mine[0]['canaries']:,} | {mine[0]['guesses']} | "
                f"{', '.join(str(r['correct']) for r in mine)} | {max(r['lower_bound'] for r in mine):.2f} | "
                f"{report.ranged([r['noise'] for r in mine], 3)} | "
                f"{sum(r['contradicts'] for r in mine)} of {len(mine)} | {mine[0]['ceiling']:.2f} |")
        lines.append("")
    return "\n".join(lines)


def _line(epsilon: str, arm: str, rows: list[dict]) -> str:
    cells = [report.ranged([float(r[key]) for r in rows if key in r], digits, half=key != "cpu")
             for key, _, digits in COLUMNS]
    return f"| {epsilon} | {arm} | {len(rows)} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
