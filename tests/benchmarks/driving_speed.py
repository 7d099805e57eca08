"""How long drawing takes: scenes of a trained generator on one thread and on two.

    python -m tests.benchmarks.driving_speed --train a.npz --draw 10000

What a policy has learnt does not change how long a drive takes, so training is short. Drawing is everything from the
seed to the scenes: listing, headers, drives. Each row is the best of ``--times``; two threads give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from synth.driving.scenes import Scenes
from tests.benchmarks.driving import DEFAULT, RESULTS, fitted, read


def digest(scenes: Scenes) -> str:
    """Of the states and the listing."""
    return hashlib.sha256(scenes.states.tobytes() + scenes.table.to_csv().encode()).hexdigest()


def main() -> None:
    """Train, draw, write the page."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--train", type=Path, required=True)
    ask.add_argument("--draw", type=int, default=10_000)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--times", type=int, default=3)
    ask.add_argument("--threads", default="1,2")
    ask.add_argument("--page", type=Path, default=RESULTS / "driving_speed.md")
    said = ask.parse_args()
    torch.set_num_threads(1)
    scenes, schema = read(said.train)
    rng = np.random.default_rng(said.seed)
    few = scenes.take(np.sort(rng.permutation(len(scenes))[:1500]))
    made, _ = fitted(DEFAULT, schema, 0.05, few, said.seed)
    lines, seen = [], set()
    for threads in map(int, said.threads.split(",")):
        torch.set_num_threads(threads)
        made.draw(64, seed=said.seed)  # so that nothing is loaded while it is timed
        taken = []
        for _ in range(said.times):
            began, used = time.monotonic(), time.process_time()
            drawn = made.draw(said.draw, seed=said.seed)
            taken.append((time.process_time() - used, time.monotonic() - began))
            seen.add(digest(drawn))
        cpu, wall = (min(values) for values in zip(*taken, strict=True))
        lines.append(f"| {threads} | {cpu:.1f} | {wall:.1f} | {1000 * cpu / said.draw:.2f} |")
    shape = scenes.shape
    said.page.write_text("\n".join([
        "# How long drawing takes", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), "",
        f"{said.draw:,} scenes of {shape.vehicles} vehicles and {shape.steps * shape.dt:g} s at {shape.rate:g} Hz; "
        f"seed {said.seed}; {platform.machine()}, {os.cpu_count()} processors, shared with other work (load "
        f"{os.getloadavg()[0]:.1f}, so wall time is more than on an idle machine); torch {torch.__version__}, "
        f"{datetime.now(UTC):%Y-%m-%d}.", "",
        f"Command: `python -m tests.benchmarks.driving_speed --train RUN_A --draw {said.draw}`", "",
        "| threads | CPU s | wall s | CPU ms a scene |", "|---|---|---|---|", *lines, "",
        "Same bytes on every number of threads: " + ("yes." if len(seen) == 1 else "**no**."), ""]), encoding="utf-8")
    print(said.page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
