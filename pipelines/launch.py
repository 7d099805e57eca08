"""Send a run down the road by the chosen engine, and turn its ending into one of our errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines import road
from synth.errors import InternalError, SynthError, UserError
from synth.progress import for_terminal
from synth.workspace import Run

ENGINES = ("prefect", "direct")

Launch = Callable[[Run], Run]


@contextlib.contextmanager
def launcher(engine: str, workspace: Path) -> Iterator[Launch]:
    """Yields the function that walks a run's pending stages; the scheduler boots meanwhile.

    The function raises the errors of :mod:`synth.errors` only.
    """
    if engine not in ENGINES:
        raise UserError(f"unknown engine {engine!r}", where="--engine", todo=f"use {' or '.join(ENGINES)}")
    if engine == "direct":
        yield lambda run: _stoppable(run, lambda: road.direct(run))
        return
    from pipelines.server import server

    with server(workspace) as ready:
        yield lambda run: _stoppable(run, lambda: _through_prefect(run, workspace, ready))


def _stoppable(run: Run, go: Callable[[], Run]) -> Run:
    try:
        return go()
    except KeyboardInterrupt:
        raise road.interrupted(run) from None


def _through_prefect(run: Run, workspace: Path, ready: Callable[[], str]) -> Run:
    for_terminal().say("the scheduler comes up (offline, inside the workspace) ...")
    record = run.read()
    try:
        from pipelines.flow import augment, drain

        ready()
        try:
            augment(contract=record["contract"], store=record["store"], workspace=str(workspace), resume=run.id)
        finally:
            drain()
    except SynthError:
        raise
    except Exception as error:  # Prefect's own failures; their texts may hold anything
        road.quietly(run, "failed")
        raise InternalError(f"the scheduler failed with {type(error).__name__}", where=str(workspace / "prefect"),
                            todo=f"go on with `synth run --resume {run.id}`, or without a scheduler: "
                                 "add --engine direct") from None
    except BaseException as error:  # Prefect turns SIGTERM into an exception of its own
        if type(error).__name__ == "TerminationSignal":
            raise KeyboardInterrupt from None
        raise
    return run
