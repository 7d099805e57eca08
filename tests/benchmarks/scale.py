"""Figures for the claims about size: ``python -m tests.benchmarks.scale categories sample road --out FILE``.

* ``categories``: peak memory and seconds of fitting and sampling a table with a 10,000-category column.
* ``sample``: seconds to draw 1,000,000 rows from a model of a 15-column table, on all cores.
* ``road``: the whole road (`synth run`) on a generated table, by default 5,000,000 rows x 15 columns: peak
  memory, seconds of each stage, and the share of wall time outside training and the gates.

Each is a process of its own; memory is the process's high-water mark.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth import seeds  # noqa: E402
from tests.benchmarks import datasets, report  # noqa: E402

CHUNK = 500_000


def people(rows: int, seed: int) -> pd.DataFrame:
    """A made-up table of 15 dependent columns: six numbers, a date, seven labels from 2 to 200 values, a target."""
    draw = seeds.generator(seed, "people")
    age = np.clip(draw.normal(45, 16, rows), 18, 95).round()
    wealth = draw.normal(size=rows) + age / 40
    region = draw.choice(200, rows, p=(w := 1 / np.arange(1, 201) ** 0.7) / w.sum())
    job = (region // 8 + draw.integers(0, 30, rows)) % 40
    income = np.exp(9.5 + 0.35 * wealth + 0.3 * draw.normal(size=rows)).round(2)
    visits = draw.poisson(np.exp(0.2 * wealth))
    claims = np.where(draw.random(rows) < 0.7, 0.0, np.exp(draw.normal(6, 1, rows)).round(2))
    score = wealth + (claims > 0) - 0.02 * age + draw.normal(size=rows)
    text = lambda codes, letter: pd.Series(codes, dtype="int64").astype("str").radd(letter)  # noqa: E731
    frame = pd.DataFrame({
        "age": age.astype(np.int64), "income": income, "visits": visits, "claims": claims,
        "tenure": np.minimum(age - 18, draw.exponential(8, rows)).round(1),
        "balance": (1000 * wealth + 500 * draw.normal(size=rows)).round(2),
        "joined": pd.to_datetime("2010-01-01") + pd.to_timedelta(draw.integers(0, 5000, rows), unit="D"),
        "region": text(region, "r"), "job": text(job, "j"), "plan": text(np.digitize(wealth, [0, 1, 2]), "p"),
        "channel": text(draw.integers(0, 6, rows), "c"), "status": text((age > 64) + 2 * (visits > 3), "s"),
        "device": text(draw.choice(12, rows, p=(d := 0.6 ** np.arange(12)) / d.sum()), "d"),
        "urban": text((draw.random(rows) < 0.3 + 0.4 * (region < 20)).astype(int), "u"),
        "churn": text((score + draw.normal(size=rows) > 1).astype(int), "k")})
    frame.loc[draw.random(rows) < 0.03, "income"] = np.nan
    return frame


CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: people
name: people
version: "1.0.0"
status: active
description: {purpose: A benchmark of size.}
servers:
  - {server: table, type: local, path: PLACE, format: parquet}
schema:
  - name: people
    physicalType: table
    properties:
PROPERTIES
    customProperties:
      - {property: synthesis.target, value: churn}
      - {property: synthesis.task, value: classification}
customProperties:
  - {property: synthesis.domain, value: tabular}
"""
TYPES = {"int64": "integer", "float64": "number"}


def write_people(folder: Path, rows: int, seed: int) -> Path:
    """Parquet parts of :func:`people` and a contract for them; the contract's path."""
    (folder / "table").mkdir(parents=True)
    sample = None
    for number, start in enumerate(range(0, rows, CHUNK)):
        part = people(min(CHUNK, rows - start), seeds.derive(seed, number))
        part.to_parquet(folder / "table" / f"part-{number:03}.parquet", index=False)
        sample = part.head(10)
    assert sample is not None
    lines = []
    for name in sample:
        kind = TYPES.get(str(sample[name].dtype), "string" if name != "joined" else "date")
        privacy = "sensitive" if name == "churn" else "quasi" if kind == "string" else "none"
        role = "categorical" if kind == "string" else "datetime" if name == "joined" else "numeric"
        lines.append(f"      - {{name: {name}, logicalType: {kind}, customProperties: [{{property: synthesis.role, "
                     f"value: {role}}}, {{property: synthesis.privacy, value: {privacy}}}]}}")
    contract = folder / "people.yaml"
    contract.write_text(CONTRACT.replace("PLACE", "table").replace("PROPERTIES", "\n".join(lines)))
    return contract


def categories(rows: int, count: int) -> dict[str, float]:
    """Fit and sample with a column of ``count`` categories, at the recipe's full effort."""
    from synth.contract.model import Training
    from synth.progress import Lines
    from synth.tabular.conditions import parse
    from synth.tabular.model import TabularModel
    from tests.benchmarks.worker import peak_mebibytes

    draw = seeds.generator(0, "categories")
    code = np.minimum((count * draw.random(rows) ** 2).astype(int), count - 1)
    code[:count] = np.arange(count)
    frame = pd.DataFrame({
        "code": pd.Series(code).astype("str").radd("c"), "amount": code / 100 + draw.normal(size=rows),
        "kind": pd.Series(code % 7).astype("str"), "other": draw.exponential(size=rows),
        "flag": pd.Series((draw.random(rows) < code / count).astype(int)).astype("str")})
    frame[["code", "kind", "flag"]] = frame[["code", "kind", "flag"]].astype("str")
    start = time.perf_counter()
    model = TabularModel.fit(frame, datasets.make_schema(frame), training=Training(), seed=0, device="cpu", k=1,
                             progress=Lines(30), target="flag")
    fitted = time.perf_counter()
    made = model.sample(rows, seed=1)
    asked = model.sample(1000, seed=2, where=parse([f"code=c{count - 1}"], model.schema))
    return {"rows": rows, "categories": count, "fit_seconds": fitted - start,
            "sample_seconds": time.perf_counter() - fitted, "peak_mib": peak_mebibytes(),
            "categories_drawn": int(made["code"].nunique()),
            "rare_condition_held_percent": 100 * float((asked["code"] == f"c{count - 1}").mean())}


def sample(rows: int) -> dict[str, float]:
    """Draw ``rows`` rows in batches from a model of the 15-column table, trained briefly (size is what counts)."""
    import torch

    from synth.contract.model import Training
    from synth.tabular.model import TabularModel
    from tests.benchmarks.worker import peak_mebibytes

    frame = people(50_000, 0)
    frame["joined"] = (frame["joined"] - pd.Timestamp(0)).dt.days.astype("float64")
    labels = {c for c in frame if not pd.api.types.is_numeric_dtype(frame[c].dtype)}
    frame = datasets.working_frame(frame, labels)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = TabularModel.fit(frame, datasets.make_schema(frame), training=Training(effort=0.002), seed=0,
                             device="cpu", target="churn")
    torch.set_num_threads(threads)
    start, cpu, drawn = time.perf_counter(), time.process_time(), 0
    for batch in model.sample_batches(rows, seed=1):
        drawn += len(batch)
    return {"rows": drawn, "columns": frame.shape[1], "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu, "threads": threads,
            "peak_mib": peak_mebibytes()}


def road(rows: int, keep: Path | None = None) -> dict[str, object]:
    """``synth run`` on the generated table: seconds a stage, peak memory, share outside training and gates."""
    with tempfile.TemporaryDirectory(dir=keep) as folder:
        place = Path(folder)
        contract = write_people(place, rows, 0)
        command = [sys.executable, "-c", "from pipelines.cli import main; main()", "run", str(contract), "--store",
                   str(place / "store"), "--workspace", str(place / "runs"), "--seed", "0", "--engine", "direct"]
        start = time.perf_counter()
        log = place / "log.txt"
        with log.open("w") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
            peak = 0
            while process.poll() is None:
                try:
                    text = Path(f"/proc/{process.pid}/status").read_text()
                    peak = max([peak, *(int(line.split()[1]) for line in text.splitlines() if "VmHWM" in line)])
                except OSError:
                    pass
                time.sleep(0.5)
        wall = time.perf_counter() - start
        runs = sorted((place / "runs" / "runs").glob("*/run.json"))
        record = json.loads(runs[-1].read_text()) if runs else {"stages": {}, "status": log.read_text()[-2000:]}
        seconds = {stage: r["seconds"] for stage, r in record["stages"].items()}
        fits = seconds.get("fit", 0.0)
        judged = runs[-1].parent / "private" / "judge" / "report.json" if runs else None
        if judged and judged.exists():
            known = json.loads(judged.read_text()).get("gates", [])
            fits += sum(g.get("seconds", 0.0) for g in known if g.get("gate") != "contract")
        size = sum(p.stat().st_size for p in (place / "table").glob("*")) / 2**20
        return {"rows": rows, "columns": 15, "table_mib": size, "status": record["status"], "exit": process.returncode,
                "seconds": wall, "stages": seconds, "peak_mib": peak / 1024,
                "outside_models_percent": 100 * (1 - fits / wall)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=("categories", "sample", "road"))
    parser.add_argument("--rows", type=int, help="default: 100,000 / 1,000,000 / 5,000,000")
    parser.add_argument("--categories", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scale.jsonl")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # we are the measured process
    a = parser.parse_args(arguments)
    if a.inside:
        result = (categories(a.rows or 100_000, a.categories) if a.what == ["categories"]
                  else sample(a.rows or 1_000_000))
        print(json.dumps(result))
        return 0
    a.out.parent.mkdir(parents=True, exist_ok=True)
    for what in a.what:
        if what == "road":
            row = road(a.rows or 5_000_000)
        else:
            given = ["--rows", str(a.rows)] if a.rows else []
            command = [sys.executable, "-m", "tests.benchmarks.scale", what, "--inside", *given,
                       "--categories", str(a.categories)]
            finished = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
                                      env=os.environ | {"PYTHONPATH": str(ROOT)})
            row = json.loads(finished.stdout.strip().splitlines()[-1])
        row = {"what": what, **row, "machine": report.machine()}
        print(json.dumps(row, indent=1), flush=True)
        with a.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        a.out.with_suffix(".md").write_text(markdown(a.out))
    return 0


def markdown(path: Path) -> str:
    """The latest figure of each kind and size."""
    latest = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        latest[row["what"], row["rows"]] = row
    out = ["# Size", "", "Command: `python -m tests.benchmarks.scale categories sample road`", "",
           "| what | rows | figures | machine |", "|---|---|---|---|"]
    for (what, rows), row in sorted(latest.items()):
        shown = []
        for key, value in row.items():
            if key not in ("what", "rows", "machine"):
                text = (", ".join(f"{k} {v:.0f}" for k, v in value.items()) if isinstance(value, dict)
                        else f"{value:,.1f}" if isinstance(value, float) else str(value))
                shown.append(f"{key.replace('_', ' ')}: {text}")
        m = row["machine"]
        out.append(f"| {what} | {rows:,} | {'; '.join(shown)} | {m['cores']} cores, {m['memory_gib']} GiB, {m['cpu']}, "
                   f"{m['date']} |")
    return "\n".join([*out, ""])


if __name__ == "__main__":
    sys.exit(main())
