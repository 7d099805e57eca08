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
    _in_the_middle(*MIDDLE[stage], 2 if stage == "fit" else 0, what)


def _in_the_middle(module: str, path: str, time: int, what: Callable[[], Any]) -> None:
    """Do ``what`` before a function is called for the ``time``-th time (0: every time)."""
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    real, calls = getattr(owner, name), []

    def replacement(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if not time or len(calls) == time:
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


# In the middle of a measurement: the arrays that noise is put on, their number so far -> whether to stop here.
MEASURING: dict[str, Callable[[Any, int], bool]] = {
    "medical": lambda values, count: getattr(values, "ndim", 1) == 2,  # the sum of features; counts have one dimension
    "driving": lambda values, count: count == 60,  # some marginals are measured
}
LEARNING = {  # the generator learns from what was measured
    "medical": ("synth.medical.private.road", "match", 1),
    "driving": ("synth.gan.trainer", "Trainer._finish", 3),  # of the listing's table, the headers or the drivers
}


def kill_measuring(domain: str) -> None:
    """``kill -9`` after some of a domain's measurements with noise, and before the others."""
    from synth.gan.private import noise

    quick_measuring(domain)
    exact, count = noise.noisy, []

    def noisy(values: Any, scale: float) -> Any:
        count.append(1)
        if MEASURING[domain](values, len(count)):
            os.kill(os.getpid(), signal.SIGKILL)
        return exact(values, scale)

    noise.noisy = noisy


def kill_training(domain: str) -> None:
    """``kill -9`` after everything was measured, while the generator learns from it."""
    quick_measuring(domain)
    module, path, time = LEARNING[domain]
    _in_the_middle(module, path, time, lambda: os.kill(os.getpid(), signal.SIGKILL))


def quick_measuring(domain: str) -> None:
    """The contract gate alone, and of scenes, whose rows are wide, one round of measuring and little inference."""
    contract_alone(domain)
    if domain == "driving":
        from functools import partial

        from synth.driving.private import measure
        from synth.tabular.private import measure as marginals

        whole = marginals.fit
        measure.measure = partial(measure.measure, shares=marginals.Shares(rounds=(1.0,)))  # type: ignore[assignment]
        marginals.fit = lambda *args, **options: whole(*args, **{**options, "steps": 40})  # type: ignore[assignment]


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
