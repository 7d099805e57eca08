"""Figures for the claims about size: ``python -m tests.benchmarks.scale sample categories road``.

* ``sample``: seconds to draw 1,000,000 rows from a model of a 15-column table, on all cores.
* ``categories``: the whole road (`synth run`) on a table with a column of 10,000 categories, each with at least k
  people behind it in train: peak memory. The training is short (``--effort``), since it is memory that is asked for.
* ``road``: the whole road on a generated table of 5,000,000 rows x 15 columns at full effort: peak memory, seconds of
  each stage, and the share of wall time that is neither training (the phases of the fit stage) nor the gates that fit
  models or search neighbours (all but the contract's).

Each is a process of its own; memory is the process's high-water mark. Seconds are wall time; CPU seconds stand beside
them, because other work may run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth import seeds  # noqa: E402
from synth.workspace import STAGES  # noqa: E402
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
      - {property: synthesis.target, value: TARGET}
      - {property: synthesis.task, value: classification}
customProperties:
  - {property: synthesis.domain, value: tabular}
"""
TYPES = {"int64": "integer", "float64": "number"}


def write_people(folder: Path, rows: int, seed: int) -> Path:
    """Parquet parts of :func:`people` and a contract for them; the contract's path."""
    parts = (people(min(CHUNK, rows - start), seeds.derive(seed, number))
             for number, start in enumerate(range(0, rows, CHUNK)))
    return write_table(folder, parts, "churn", "")


def write_categories(folder: Path, rows: int, count: int, effort: float) -> Path:
    """A table with a column ``code`` of ``count`` categories, which other columns depend on, and a contract."""
    draw = seeds.generator(0, "categories")
    code = np.minimum((count * draw.random(rows) ** 1.2).astype(int), count - 1)
    most = min(rows, 30 * count)  # every category often enough for k = 10 people in train
    code[:most] = np.arange(most) % count
    frame = pd.DataFrame({
        "code": pd.Series(code).astype("str").radd("c"), "amount": (code / 100 + draw.normal(size=rows)).round(3),
        "kind": pd.Series(code % 7).astype("str").radd("k"), "other": draw.exponential(size=rows).round(3),
        "flag": pd.Series((draw.random(rows) < code / count).astype(int)).astype("str").radd("f")})
    frame = frame.iloc[draw.permutation(rows)].reset_index(drop=True)
    training = f"\n  - {{property: synthesis.training, value: {{effort: {effort}, maxRows: {rows}}}}}"
    return write_table(folder, iter([frame]), "flag", training)


def write_table(folder: Path, parts: Iterator[pd.DataFrame], target: str, training: str) -> Path:
    """Parquet parts and a contract for them; the contract's path."""
    (folder / "table").mkdir(parents=True)
    sample = None
    for number, part in enumerate(parts):
        part.to_parquet(folder / "table" / f"part-{number:03}.parquet", index=False)
        sample = part.head(10)
    assert sample is not None
    lines = []
    for name in sample:
        kind = TYPES.get(str(sample[name].dtype), "string" if name != "joined" else "date")
        privacy = "sensitive" if name == target else "quasi" if kind == "string" else "none"
        role = "categorical" if kind == "string" else "datetime" if name == "joined" else "numeric"
        lines.append(f"      - {{name: {name}, logicalType: {kind}, customProperties: [{{property: synthesis.role, "
                     f"value: {role}}}, {{property: synthesis.privacy, value: {privacy}}}]}}")
    contract = folder / "people.yaml"
    text = CONTRACT.replace("PLACE", "table").replace("PROPERTIES", "\n".join(lines)).replace("TARGET", target)
    contract.write_text(text.rstrip() + training + "\n")
    return contract


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


def road(write: Callable[[Path], Path], spy: Path | None = None) -> dict[str, object]:
    """``synth run`` on a table that ``write`` puts into a folder: seconds and CPU seconds a stage, peak memory.

    ``spy``: py-spy writes a profile of the process (raw stacks) there.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        contract = write(place)
        command = [sys.executable, "-c", "from pipelines.cli import main; main()", "run", str(contract), "--store",
                   str(place / "store"), "--workspace", str(place / "runs"), "--seed", "0", "--engine", "direct"]
        start = time.perf_counter()
        log = place / "log.txt"
        with log.open("w") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
            watcher = None if spy is None else subprocess.Popen(
                ["py-spy", "record", "-p", str(process.pid), "-r", "5", "-f", "raw", "-o", str(spy)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            peak, cpu = watch(process, place)
            if watcher is not None:
                watcher.wait(120)
        wall = time.perf_counter() - start
        runs = sorted((place / "runs" / "runs").glob("*/run.json"))
        record = json.loads(runs[-1].read_text()) if runs else {"stages": {}, "status": log.read_text()[-2000:]}
        stages = record["stages"]
        models = phases = sum(phase["seconds"] for phase in stages.get("fit", {}).get("phases", []))
        blocked, gates = list[str](), dict[str, float]()
        judged = runs[-1].parent / "private" / "judge" / "report.json" if runs else None
        if judged and judged.exists():
            known = json.loads(judged.read_text()).get("gates", [])
            gates = {g["gate"]: g["seconds"] for g in known}
            models += sum(seconds for gate, seconds in gates.items() if gate != "contract")
            blocked = [f["id"] for g in known for f in g["findings"] if f["verdict"] in ("fail", "inconclusive")]
        outside = sum(seconds for stage, seconds in cpu.items() if stage not in ("fit", "judge"))
        for stage, inside in (("fit", phases), ("judge", models - phases)):  # CPU seconds in proportion to wall time
            if stage in stages:
                outside += cpu.get(stage, 0.0) * (1 - inside / max(stages[stage]["seconds"], 1e-9))
        size = sum(p.stat().st_size for p in (place / "table").glob("*")) / 2**20
        return {"table_mib": size, "status": record["status"], "exit": process.returncode, "seconds": wall,
                "stages": {stage: r["seconds"] for stage, r in stages.items()}, "stages_cpu": cpu, "gates": gates,
                "cpu_seconds": sum(cpu.values()), "peak_mib": peak, "trained_on": stages.get("fit", {}).get("rows"),
                "drawn": stages.get("generate", {}).get("rows"), "blocked_by": blocked,
                "training_seconds": phases, "outside_models_percent": 100 * (1 - models / wall),
                "outside_models_cpu_percent": 100 * outside / max(sum(cpu.values()), 1e-9)}


def watch(process: subprocess.Popen[bytes], place: Path) -> tuple[float, dict[str, float]]:
    """Peak memory (MiB) and CPU seconds of each stage, until the process has ended."""
    peak, spent, stage = 0.0, {"start": 0.0}, "start"
    tick = os.sysconf("SC_CLK_TCK")
    while process.poll() is None:
        try:
            text = Path(f"/proc/{process.pid}/status").read_text()
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
            peak = max([peak, *(int(line.split()[1]) / 1024 for line in text.splitlines() if "VmHWM" in line)])
            now = (int(fields[11]) + int(fields[12])) / tick
            folders = {p.name.removesuffix(".partial") for p in place.glob("runs/runs/*/private/*")}
            stage = next((s for s in reversed(STAGES) if s in folders), stage)
            spent[stage] = now - sum(seconds for name, seconds in spent.items() if name != stage)
        except (OSError, IndexError):
            pass
        time.sleep(0.5)
    return peak, spent


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for; every figure is kept as a line of JSON, the latest are in the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=("categories", "sample", "road"))
    parser.add_argument("--rows", type=int, help="default: 400,000 / 1,000,000 / 5,000,000")
    parser.add_argument("--categories", type=int, default=10_000)
    parser.add_argument("--effort", type=float, default=0.05, help="of the training beside 10,000 categories")
    parser.add_argument("--spy", type=Path, help="py-spy's profile of a road, as raw stacks")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scale.jsonl")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # we are the measured process
    a = parser.parse_args(arguments)
    if a.inside:
        print(json.dumps(sample(a.rows or 1_000_000)))
        return 0
    a.out.parent.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m tests.benchmarks.scale", *(arguments or sys.argv[1:])])
    for what in a.what:
        row: dict[str, object] = {"what": what, "seed": 0}
        if what == "road":
            rows = a.rows or 5_000_000
            row |= {"rows": rows, "columns": 15, **road(lambda folder, n=rows: write_people(folder, n, 0), a.spy)}
        elif what == "categories":
            rows = a.rows or 400_000
            row |= {"rows": rows, "columns": 5, "categories": a.categories, "effort": a.effort, **road(
                lambda folder, n=rows: write_categories(folder, n, a.categories, a.effort), a.spy)}
        else:
            given = ["--rows", str(a.rows)] if a.rows else []
            finished = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.scale", what, "--inside", *given], cwd=ROOT, text=True,
                stdout=subprocess.PIPE, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
            row |= json.loads(finished.stdout.strip().splitlines()[-1])
        row |= {"load": os.getloadavg()[1], "command": command, "machine": report.machine()}
        print(json.dumps(row, indent=1), flush=True)
        with a.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        a.out.with_suffix(".md").write_text(markdown(a.out))
    return 0


def markdown(path: Path) -> str:
    """The latest figures of each kind and size."""
    latest = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        latest[row["what"], row["rows"]] = row
    out = ["# Size", "", *str(__doc__).strip().splitlines()[2:], "",
           "\"load\" is the mean number of busy processes over the last five minutes, this one included: above "
           "the number of cores wall time says little.", ""]
    for (what, rows), row in sorted(latest.items()):
        m = row["machine"]
        out += [f"## {what}, {rows:,} rows", "", f"`{row['command']}`; seed {row['seed']}; {m['cores']} cores, "
                f"{m['memory_gib']} GiB, {m['cpu']}, Python {m['python']}, {m['date']}", "",
                "| figure | value |", "|---|---|"]
        for key, value in row.items():
            if key not in ("what", "rows", "machine", "command", "seed"):
                text = (", ".join(f"{k} {v:,.1f}" for k, v in value.items()) if isinstance(value, dict)
                        else f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int)
                        else ", ".join(value) or "-" if isinstance(value, list) else str(value))
                out.append(f"| {key.replace('_', ' ').replace('mib', 'MiB')} | {text} |")
        out.append("")
    return "\n".join(out)


if __name__ == "__main__":
    sys.exit(main())
