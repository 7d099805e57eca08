"""Contracts on a schedule: a deployment each, served by this process.

Reports to ``PREFECT_API_URL`` if that is set. Otherwise one long-lived server is started inside the
workspace, because a scheduled run must not pay for a server of its own, nor fight over the database.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.home import check_store, use_workspace
from pipelines.road import resolve_device
from pipelines.server import server
from synth.errors import Problems, UserError
from synth.progress import for_terminal


def serve(contracts: list[Path], *, cron: str, store: str, workspace: Path, device: str) -> None:
    """Serve until stopped. Every contract is read first, so a bad one is refused now and not at night."""
    from synth.contract.load import load
    from synth.domain import domain
    from validators.gates import check_limits

    store, folder = check_store(store), use_workspace(workspace)
    resolve_device(device)
    loaded = [load(path.expanduser().absolute()) for path in contracts]
    problems = [problem for contract in loaded
                for problem in (*check_limits(contract), *domain(contract.domain).check(contract))]
    if problems:
        raise Problems(problems)
    names = [contract.name for contract in loaded]
    if len(set(names)) < len(names):
        raise UserError("two contracts have the same name", where=", ".join(names), todo="rename one of them")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO")  # nobody else shows what happens here
    with server(folder, long_lived=True) as ready:
        from prefect import serve as serve_deployments
        from prefect.deployments.runner import EntrypointType

        from pipelines.flow import augment

        check_cron(cron)
        url = ready()
        deployments = [augment.to_deployment(
            name=contract.name, cron=cron, tags=["synth"], entrypoint_type=EntrypointType.MODULE_PATH,
            description=f"Contract {contract.name} {contract.version}",
            parameters={"contract": str(contract.path), "store": store, "workspace": str(folder), "device": device},
        ) for contract in loaded]
        for_terminal().say(f"serving {', '.join(names)} at '{cron}' (UTC) on {url}; stop with Ctrl-C")
        serve_deployments(*deployments, limit=1, print_starting_message=False)  # type: ignore[arg-type]


def check_cron(cron: str) -> None:
    """A :class:`UserError` for a schedule that Prefect would refuse later."""
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron=cron)
    except ValueError:
        raise UserError("this is not a cron schedule", where="--cron",
                        todo="five fields, e.g. --cron '0 2 * * *'") from None
