"""The benchmark: sets x models x seeds, each training in a process of its own, finished rows are kept.

    python -m tests.benchmarks.tabular --data DIR --sets adult,magic,shoppers --seeds 5 \\
        --models conditional-gan,likelihood,wgan-gp,independent,copula,bootstrap,real-holdout --jobs 2

``DIR`` has one folder per set (see :mod:`tests.benchmarks.datasets`). Peers run in environments of their own:
``--peers ctgan,mostlyai --peer-venv ctgan=PATH --peer-venv mostlyai=PATH``. Results are appended to ``--out``
(JSON lines) as they come and the Markdown table beside it is rewritten, so an interrupted run goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # also runs as `python tests/benchmarks/tabular.py`
    sys.path.insert(0, str(ROOT))

from tests.benchmarks import report  # noqa: E402

MODELS = "conditional-gan,likelihood,wgan-gp,independent,copula,bootstrap,real-holdout"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training and its evaluation."""

    set: str
    model: str
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes a row unique."""
        return self.set, self.model, self.seed


def run_job(job: Job, *, data: Path, work: Path, quick: bool, peer_python: str, extra: str, time_limit: float,
            niceness: int) -> dict:
    """Train and evaluate in two processes with one thread each; the row, or one with ``error``."""
    out = work / job.set / job.model.replace(":", "_") / str(job.seed)
    out.mkdir(parents=True, exist_ok=True)
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    base = ["nice", "-n", str(niceness)] if niceness else []
    for step in ("train", "evaluate"):
        if step == "train" and (out / "timings.json").exists():
            continue
        command = [*base, sys.executable, "-m", "tests.benchmarks.worker", step, "--data", str(data / job.set),
                   "--model", job.model, "--seed", str(job.seed), "--out", str(out)]
        command += ["--quick"] * quick
        command += ["--peer-python", peer_python, "--extra", extra] if peer_python else []
        with (out / f"{step}.log").open("w") as log:
            try:
                code = subprocess.run(command, cwd=ROOT, env=os.environ | threads, stdout=log,
                                      stderr=subprocess.STDOUT, timeout=time_limit, check=False).returncode
            except subprocess.TimeoutExpired:
                return {"error": f"{step} took longer than {time_limit:g} s"}
        if code:
            return {"error": f"{step} failed with status {code}; see {out / f'{step}.log'}"}
    return json.loads((out / "row.json").read_text())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder per set")
    parser.add_argument("--sets", default="adult,magic,shoppers")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--models", default=MODELS, help="also RECIPE:option=value, e.g. conditional-gan:critic=0")
    parser.add_argument("--peers", default="", help="ctgan, mostlyai")
    parser.add_argument("--peer-venv", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--peer-extra", action="append", default=[], metavar="NAME=ARGUMENTS",
                        help="for the driver, e.g. ctgan='--epochs 300'")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small downstream grid")
    parser.add_argument("--time-limit", type=float, default=3600, help="seconds for each process")
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep synthetic tables and logs here (default: a temporary folder)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tabular.jsonl")
    parser.add_argument("--table-only", action="store_true", help="rewrite the Markdown page and stop")
    a = parser.parse_args(arguments)
    names = lambda text: [n for n in text.split(",") if n]  # noqa: E731
    shown = _shown(a)
    a.out.parent.mkdir(parents=True, exist_ok=True)
    if a.table_only:
        print(report.write(a.out))
        return 0
    venvs = dict(v.split("=", 1) for v in a.peer_venv)
    extras = dict(v.split("=", 1) for v in a.peer_extra)
    if missing := set(names(a.peers)) - set(venvs):
        parser.error(f"--peer-venv needed for {', '.join(sorted(missing))}")
    done = {(r["set"], r["model"], r["seed"]) for r in report.read(a.out)}
    seeds = range(a.first_seed, a.first_seed + a.seeds)
    jobs = [job for seed in seeds for name in names(a.sets) for model in names(a.models) + names(a.peers)
            if (job := Job(set=name, model=model, seed=seed)).key not in done]
    lock, machine, failures, start = threading.Lock(), report.machine(), [], time.perf_counter()

    with tempfile.TemporaryDirectory() as temporary:
        work = a.work or Path(temporary)

        def finish(job: Job) -> None:
            load = os.getloadavg()[0]
            python = str(Path(venvs[job.model]) / "bin" / "python") if job.model in venvs else ""
            row = run_job(job, data=a.data.resolve(), work=work.resolve(), quick=a.quick, peer_python=python,
                          extra=extras.get(job.model, ""), time_limit=a.time_limit, niceness=a.nice)
            with lock:
                print(f"{time.perf_counter() - start:7.0f} s  {job.set:10} {job.model:24} seed {job.seed}: "
                      + (row.get("error") or f"C2ST untouched {row['c2st_untouched']:.3f}"), flush=True)
                if "error" in row:
                    failures.append(job)
                    return
                sizes = json.loads((work / job.set / "sizes.json").read_text())
                with a.out.open("a") as file:
                    file.write(json.dumps({"set": job.set, "model": job.model, "seed": job.seed, **sizes, **row,
                                           "machine": machine, "command": shown, "load": round(load, 1)}) + "\n")
                report.write(a.out)

        for name in names(a.sets):
            _note_sizes(a.data / name, work / name)
        with ThreadPoolExecutor(a.jobs) as pool:
            list(pool.map(finish, jobs))
    print(report.write(a.out))
    return 1 if failures else 0


def _shown(a: argparse.Namespace) -> str:
    """The command as the results page quotes it: what decides the figures, without this machine's paths."""
    words = ["python", "-m", "tests.benchmarks.tabular", "--data", "DIR", "--sets", a.sets, "--seeds", str(a.seeds)]
    words += ["--first-seed", str(a.first_seed)] * bool(a.first_seed) + ["--models", a.models]
    words += ["--peers", a.peers] * bool(a.peers)
    words += [w for extra in a.peer_extra for w in ("--peer-extra", extra)]
    return shlex.join([*words, "--jobs", str(a.jobs), *["--quick"] * a.quick])


def _note_sizes(folder: Path, out: Path) -> None:
    """Row and column counts, by a process that goes away again (this one stays small)."""
    out.mkdir(parents=True, exist_ok=True)
    code = ("import json, sys; from pathlib import Path; from tests.benchmarks.datasets import load; "
            "d = load(Path(sys.argv[1])); print(json.dumps({'rows_train': len(d.train), 'rows_test': len(d.test), "
            "'columns': d.train.shape[1]}))")
    text = subprocess.run([sys.executable, "-c", code, str(folder.resolve())], cwd=ROOT, capture_output=True,
                          text=True, check=True).stdout
    (out / "sizes.json").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
