"""What happens inside a command's process: a signal or an error in the middle of a real stage."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

SECRET = "SENTINEL-cell-4711"

# In the middle of a stage: some of its work is done and written, some is not.
MIDDLE = {
    "ingest": ("synth.tabular.plug", "TabularPlug.table"),  # the table is written, the expectations are not checked
    "split": ("synth.split", "assign"),
    "fit": ("synth.gan.trainer", "Trainer._finish"),  # the end of a phase, before its checkpoint
    "generate": ("synth.tabular.stored", "FrameWriter.write"),
    "judge": ("validators.diversity", "run"),
    "publish": ("synth.release.store", "Store.commit"),  # every file is in the store, the index does not say so
}


def _before(stage: str, what: Callable[[], Any]) -> None:
    """Do ``what`` when the stage comes to its middle (in ``fit`` the second time: there is a checkpoint then)."""
    module, _, path = MIDDLE[stage][0], ".", MIDDLE[stage][1]
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    real, calls = getattr(owner, name), []

    def replacement(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if stage != "fit" or len(calls) == 2:
            what()
        return real(*given, **named)

    setattr(owner, name, replacement)


def kill(stage: str) -> None:
    """``kill -9`` in the middle of a stage."""
    _before(stage, lambda: os.kill(os.getpid(), signal.SIGKILL))


def contract_alone(domain: str) -> None:
    """Judge by the contract gate: the road is under test, not the generator."""
    from validators import gates

    gates.GATES[domain] = gates.GATES[domain][:1]


def kill_measuring(domain: str) -> None:
    """``kill -9`` after a domain's listing was measured with noise, and before its images are."""
    from synth.gan.private import noise

    contract_alone(domain)
    exact = noise.noisy

    def noisy(values: Any, scale: float) -> Any:
        if getattr(values, "ndim", 1) == 2:  # the sum of features; counts are in one dimension
            os.kill(os.getpid(), signal.SIGKILL)
        return exact(values, scale)

    noise.noisy = noisy


def kill_training(domain: str) -> None:
    """``kill -9`` after everything was measured, while the generator of images learns from it."""
    from synth.medical.private import road

    contract_alone(domain)
    road.match = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]


def interrupt(stage: str) -> None:
    """Ctrl-C in the middle of a stage."""
    _before(stage, lambda: os.kill(os.getpid(), signal.SIGINT))


def fail(stage: str) -> None:
    """A library's error that quotes a cell."""
    def wrong() -> None:
        raise ValueError(f"could not convert string to float: '{SECRET}'")

    _before(stage, wrong)


def little_demo(folder: str) -> None:
    """The demo's table and contract, shrunken."""
    from synth.tabular.plug import TabularPlug

    def demo(_self: Any) -> Path:
        return Path(folder) / "cps.yaml"

    TabularPlug.demo = demo  # type: ignore[method-assign]
