"""The Prefect flow: one task a stage, thin round :mod:`pipelines.stages`.

What Prefect may see is names, paths, counts and verdicts. Parameters are a contract's path and a run's id;
tasks return nothing and persist nothing; prints are not captured; only value-free errors cross a task's
border. Import this module after :func:`pipelines.home.prepare` (a worker's environment does that part).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from pipelines import road
from pipelines.home import use_workspace
from pipelines.stages import BODIES, Job
from synth.errors import Unavailable, private_boundary
from synth.workspace import Run, Workspace

GPU_LIMIT = "synth-gpu"
"""Name of the global concurrency limit that stages on a GPU take one slot of (made with one slot)."""

GPU_STAGES = frozenset({"fit", "generate"})


def _worth_retrying(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """A store may be away for a moment; a bad contract or a rejected release stays what it is."""
    return isinstance(state.data, Unavailable)


def _stage_task(stage: str) -> Task[..., None]:
    # Retries only where the world outside can be at fault: never a gate, never a training.
    retries: dict[str, Any] = {}
    if stage == "publish":
        retries = {"retries": 3, "retry_delay_seconds": [2, 10, 30], "retry_condition_fn": _worth_retrying}

    @task(name=stage, task_run_name=stage, persist_result=False, cache_policy=NO_CACHE, log_prints=False, **retries)
    def body(run_folder: str) -> None:
        run = Run(Path(run_folder))
        with private_boundary(stage, run.private_log):
            job = Job.open(run.folder)
            with gpu_slot(job.device if stage in GPU_STAGES else "cpu"):
                BODIES[stage](job)

    return body


TASKS = {stage: _stage_task(stage) for stage in BODIES}


@contextlib.contextmanager
def gpu_slot(device: str) -> Iterator[None]:
    """Hold one slot of the GPU limit while a stage uses the device.

    A leased limit instead of Prefect's tag limits: a tag's slot taken by a killed process stays taken, a
    lease runs out.
    """
    if device != "cuda":
        yield
        return
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.concurrency.sync import concurrency
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(GPU_LIMIT)
        except ObjectNotFound:
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=1))
    with concurrency(GPU_LIMIT, occupy=1, strict=True):
        yield


@flow(name="augment", flow_run_name="augment", persist_result=False, log_prints=False)
def augment(contract: str, store: str = ".store", workspace: str = ".synth", seed: int | None = None,
            device: str = "auto", resume: str | None = None, acknowledge: str = "") -> None:
    """Take a private table from its contract to a published release, or to a report that says why not.

    Parameters are paths and ids only, because Prefect keeps them. ``resume`` goes on with a run of the
    workspace from its first unfinished stage (the other parameters are then read from its record). Raises
    the errors of :mod:`synth.errors`, which are value-free; a stopped release is
    :class:`synth.errors.Rejected`, so the flow run counts as failed and its message says which gate.
    """
    folder = use_workspace(Path(workspace))
    if resume is None:
        run = road.begin(Path(contract), workspace=folder, store=store, seed=seed, device=device,
                         acknowledge=acknowledge)
    else:
        run = Workspace(folder).run(resume)
    with road.travelling(run) as todo:
        for stage in todo:
            if stage == "publish":
                show_verdict(run)
            TASKS[stage](str(run.folder))


def show_verdict(run: Run) -> None:
    """Two artifacts on the flow run: the table of verdicts, and a link to the report."""
    record = run.read()
    gates = record["stages"]["judge"]["gates"]
    rows = "\n".join(f"| {gate} | {verdict} |" for gate, verdict in gates.items())
    name = re.sub(r"[^a-z0-9]+", "-", record["name"].lower()).strip("-")
    create_markdown_artifact(
        key=f"verdict-{name}", description=f"Verdict of run {run.id}",
        markdown=f"**{record['stages']['judge']['verdict']}**, attempt {record['attempts']['number']}\n\n"
                 f"| gate | verdict |\n|---|---|\n{rows}\n")
    create_link_artifact(key=f"report-{name}", link=(run.stage_folder("judge") / "report.html").as_uri(),
                         link_text=f"report of {run.id}", description="Kept in the run's workspace")


def drain() -> None:
    """Hand over the logs and events that Prefect still holds, before its server goes away."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        with contextlib.suppress(Exception):
            worker.drain_all(timeout=10)
