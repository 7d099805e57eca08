"""Where a step of the image training goes: how much of it is the networks' own arithmetic?

    python -m tests.benchmarks.medical_profile --data mednist_64_12k.npz --side 32 --recipes medical/r3,medical/wgan-gp

Counts CPU seconds of the process (on a GPU: wall time, with a wait for the device at each border), outermost calls
only: *networks* are forward passes of generator and critic, with all that differentiates them; the rest of a step is
drawing the batch, the critic's input pipe, the optimisers, and Python. Averaging and validations are not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from synth.contract.model import Training  # noqa: E402
from synth.gan.steps import Steps  # noqa: E402
from synth.medical import training  # noqa: E402
from synth.medical.model import ImageModel  # noqa: E402
from synth.medical.players import ImagePlayers  # noqa: E402
from synth.progress import Silent  # noqa: E402
from tests.benchmarks.medical import source  # noqa: E402

PAGE = Path(__file__).parent / "results" / "medical_profile.md"


class Clock:
    """Seconds by kind of work; of calls within calls the outermost counts."""

    def __init__(self, device: str) -> None:
        self.device, self.seconds, self.calls = device, defaultdict[str, float](float), defaultdict[str, int](int)
        self._inside = self._busy = False  # of a step; of a counted call within it

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def timed(self, kind: str, function: Callable[..., Any], *, outer: bool = False) -> Callable[..., Any]:
        """``function``, counted inside steps; ``outer``: it is a step."""

        def wrapped(*args: Any, **more: Any) -> Any:
            if self._busy or not (outer or self._inside):
                return function(*args, **more)
            start = self.now()
            self._inside, self._busy = True, not outer
            try:
                return function(*args, **more)
            finally:
                self._inside, self._busy = not outer, False
                self.seconds[kind] += self.now() - start
                self.calls[kind] += 1

        return wrapped


def profile(recipe: str, evidence: Any, steps: int, device: str) -> dict[str, float]:
    """Milliseconds a generator step by kind, and the networks' share of a step."""
    clock = Clock(device)
    kept = (training.build, torch.autograd.backward, torch.autograd.grad, ImagePlayers.draw, Steps.critic,
            Steps.generator)

    def build(*args: Any) -> Any:
        networks = kept[0](*args)
        for network in networks:
            network.forward = clock.timed("networks", network.forward)
        return networks

    training._timed, timed = (lambda players, given, progress: given), training._timed  # no steps but the counted ones
    training.build = build
    torch.autograd.backward = clock.timed("networks", kept[1])
    torch.autograd.grad = clock.timed("networks", kept[2])
    ImagePlayers.draw = clock.timed("batches", kept[3])
    Steps.critic = clock.timed("steps", kept[4], outer=True)
    Steps.generator = clock.timed("steps", kept[5], outer=True)
    try:
        ImageModel.fit(evidence.train, evidence.schema, pixels=evidence.pixels, target="label", seed=0, device=device,
                       progress=Silent(), training=Training(recipe=recipe, effort=1.0, options=(
                           ("adversarial.steps", steps),)))
    finally:
        (training.build, torch.autograd.backward, torch.autograd.grad, ImagePlayers.draw, Steps.critic,
         Steps.generator) = kept
        training._timed = timed
    found = {kind: 1e3 * seconds / steps for kind, seconds in clock.seconds.items()}
    return {**found, "share": found["networks"] / found["steps"]}


def main() -> None:
    """Profile and write."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--side", type=int, default=32)
    ask.add_argument("--images", type=int, default=3_000)
    ask.add_argument("--steps", type=int, default=60)
    ask.add_argument("--recipes", default="medical/r3,medical/wgan-gp")
    ask.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ask.add_argument("--threads", type=int, default=1)
    said = ask.parse_args()
    torch.set_num_threads(said.threads)
    evidence = source(said.data, said.side, said.images)(0)
    about = (__doc__ or "").split("\n\n")[2].replace("\n", " ").strip()
    lines = ["# Where a training step of images goes", "", about, "",
             f"Command: `python -m tests.benchmarks.medical_profile --data FILE --side {said.side}`; "
             f"{datetime.now(UTC):%Y-%m-%d}, {said.device}, {said.threads} thread, torch {torch.__version__}, "
             f"{said.side} px, {said.steps} steps.", "",
             "| recipe | ms a step | networks | drawing batches | share of networks |", "|---|---|---|---|---|"]
    for recipe in said.recipes.split(","):
        found = profile(recipe, evidence, said.steps, said.device)
        lines.append(f"| {recipe} | {found['steps']:.0f} | {found['networks']:.0f} | {found['batches']:.1f} | "
                     f"{100 * found['share']:.1f} % |")
        print(recipe, {k: round(v, 3) for k, v in found.items()}, flush=True)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
