"""From a contract to a run and through its stages: seeds, attempts, the gates' plan, locks and statuses.

``direct`` walks the road in this process; :mod:`pipelines.flow` hands the same stages to Prefect.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.home import check_store
from synth.errors import Interrupted, Rejected, SynthError, UserError, private_boundary
from synth.progress import Progress
from synth.workspace import STAGES, Run, Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempts:
    """Trainings counted against one contract digest in a workspace."""

    total: int  # all of them
    unpublished: int  # those since the last one that was published: what ``max_attempts`` limits

    @classmethod
    def count(cls, workspace: Workspace, contract_digest: str) -> Attempts:
        """Count the runs of this digest whose training began, finished or not."""
        total = unpublished = 0
        for run in workspace.runs():
            record = run.read()
            if record["contract_digest"] != contract_digest or not record.get("trained"):
                continue
            total += 1
            unpublished = 0 if record["status"] == "published" else unpublished + 1
        return cls(total=total, unpublished=unpublished)


def resolve_device(device: str) -> str:
    """``auto`` becomes ``cuda`` where there is one; asking for a missing one is a :class:`UserError`."""
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"unknown device {device!r}", where="--device", todo="use auto, cpu or cuda")
    if device == "cpu":
        return device
    from synth.gan.weights import device_named

    return device_named(device).type


def begin(contract_file: Path, *, workspace: Path, store: str, seed: int | None = None, device: str = "auto",
          acknowledge: str = "", domain: str | None = None) -> Run:
    """Make a new run: the contract parsed, its limits checked, the gates' plan hashed, the attempt counted.

    The seed is drawn from the operating system unless given; it stays in the workspace's record, because a
    published one would let anybody repeat the split and the noise. Raises :class:`UserError` for a bad
    contract, a store with credentials in its URL, and for more trainings than the contract allows: choosing
    the luckiest of many is a decision, so a person has to take it (``acknowledge``) and the report shows it.
    """
    from synth.contract.load import load
    from synth.domain import fitting
    from synth.errors import Problems
    from validators import gates

    store = check_store(store)
    contract_file = contract_file.expanduser().absolute()
    with private_boundary("contract", workspace / "log.txt"):
        contract = load(contract_file)
        fitting(contract)
        if problems := gates.check_limits(contract):
            raise Problems(problems)
        plan = gates.plan(contract)
    space = Workspace(workspace)
    with _one_at_a_time(workspace):
        attempts = Attempts.count(space, contract.digest)
        needed = attempts.unpublished >= contract.max_attempts
        if needed and not acknowledge:
            raise UserError(
                f"{attempts.unpublished} trainings on this contract were not published, and it allows "
                f"{contract.max_attempts}", where=str(contract_file),
                todo="read their reports (`synth runs`), then change the data, the contract or the settings; or go on "
                     "with --acknowledge-attempts \"who decided, and why\", which the report shows")
        return space.new_run(
            contract.name, contract_digest=contract.digest,
            seed=int.from_bytes(os.urandom(6), "big") if seed is None else seed,
            contract=str(contract_file), contract_version=contract.version, domain=contract.domain, store=store,
            device=resolve_device(device), plan=plan, source=contract.ledger,
            attempts={"number": attempts.total + 1, "unpublished": attempts.unpublished,
                      "allowed": contract.max_attempts, "acknowledged": acknowledge if needed else ""})


@contextlib.contextmanager
def _one_at_a_time(workspace: Path) -> Iterator[None]:
    """Counting attempts and making the next run is one step, also for two processes."""
    workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (workspace / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def status(run: Run) -> str:
    """``published``, ``rejected``, ``failed``, ``running``, or ``stopped`` (killed: nobody holds its lock)."""
    recorded = str(run.read()["status"])
    if recorded != "running":
        return recorded
    try:
        with run.lock():
            return "stopped"
    except UserError:
        return "running"


def pending(run: Run) -> list[str]:
    """The stages still to do: the first one that is not finished and unchanged, and all after it."""
    for position, stage in enumerate(STAGES):
        if run.done(stage) is None:
            return list(STAGES[position:])
    return []


@contextlib.contextmanager
def travelling(run: Run) -> Iterator[list[str]]:
    """Hold the run's lock, hand out the pending stages, and record how it ended."""
    with run.lock():
        todo = pending(run)
        if "ingest" in todo or run.read()["status"] != "published":
            run.update(status="running")
        try:
            yield todo
        except Rejected:
            quietly(run, "rejected")
            raise
        except BaseException as error:
            ours = isinstance(error, Exception) and not isinstance(error, Interrupted)
            quietly(run, "failed" if ours else "interrupted")
            raise
        run.update(status="published")


def quietly(run: Run, status: str) -> None:
    """Record a status if that is possible at all."""
    with contextlib.suppress(OSError, SynthError):  # e.g. a full disk: the first error is the one to show
        run.update(status=status)


def direct(run: Run, *, progress: Progress | None = None, before: Callable[[str], None] | None = None) -> Run:
    """Walk the pending stages in this process, without a scheduler.

    Raises :class:`Rejected` if a gate stopped the release, :class:`Interrupted` on Ctrl-C.
    """
    from pipelines import stages

    with travelling(run) as todo:
        job = stages.Job.open(run.folder, progress)
        try:
            for stage in todo:
                if before:
                    before(stage)
                stages.BODIES[stage](job)
        except KeyboardInterrupt:
            raise interrupted(run) from None
    return run


def interrupted(run: Run) -> Interrupted:
    """What a person sees after Ctrl-C."""
    left = pending(run)
    return Interrupted("stopped; nothing was published" if "publish" in left else "stopped after publishing",
                       where=f"run {run.id}, before or in stage {left[0]}" if left else f"run {run.id}",
                       todo=f"go on with `synth run --resume {run.id}`" if left else "")
