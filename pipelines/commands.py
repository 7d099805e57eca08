"""The bodies of the commands, plain functions that print what a person needs next."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from pipelines import road
from pipelines.desk import red
from pipelines.home import check_store, harden, use_workspace
from pipelines.launch import launcher
from synth.errors import Problems, Rejected, UserError, private_boundary
from synth.progress import for_terminal
from synth.workspace import Run, Workspace

NOT_JUDGED = "note: these rows did not pass the gates themselves; only a release did, so use one where that matters"


def init(data: str, name: str, folder: Path, force: bool) -> None:
    """Draft ``folder/name.yaml``."""
    from synth.domain import recognised

    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", name):
        raise UserError("the name must be lower-case letters, digits, - and _", where="--name",
                        todo="choose a name such as patients-2026")
    path = folder / f"{name}.yaml"
    if path.exists() and not force:
        raise UserError("this contract exists already", where=str(path), todo="choose another --name, or --force")
    with private_boundary("init"):
        text = recognised(data).draft(data, name)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"drafted {path}\nnext: read it, confirm what it asks for, then `synth check {path}`")


def check(path: Path) -> None:
    """All problems of a contract and its data at once."""
    from synth.contract.load import load
    from synth.domain import fitting
    from validators import gates

    harden()
    with private_boundary("check"):
        contract = load(path)
        found = fitting(contract).examine(contract, progress=for_terminal())
        problems = [*gates.check_limits(contract), *found.problems]
    if problems:
        raise Problems(problems)
    for note in found.notes:
        print(f"note: {note.render()}")
    print(f"{path}: contract and data fit each other\nnext: `synth run {path}`")


def run(contract: Path | None, *, store: str, workspace: Path, seed: int | None, device: str, resume: str | None,
        engine: str, acknowledge: str) -> None:
    """Start or resume a run and say where its release and report are."""
    store = check_store(store)
    folder = use_workspace(workspace)
    with launcher(engine, folder) as launch:
        if resume is not None:
            found = Workspace(folder).run(resume)
        else:
            assert contract is not None
            found = road.begin(contract, workspace=folder, store=store, seed=seed, device=device,
                               acknowledge=acknowledge)
        print(f"run {found.id}", file=sys.stderr, flush=True)
        published(launch(found))


def published(run: Run) -> None:
    """The last lines of a good run."""
    release = run.read()["stages"]["publish"]
    judged = run.read()["stages"]["judge"]
    for waiver in judged.get("waivers") or []:
        print(red(f"waived     {waiver['finding']} ({waiver['verdict']}) by {waiver['name']} until "
                  f"{waiver['expires']}: {waiver['reason']}"))
    if release.get("standing"):
        print(red(f"not given out yet: {release['standing']}; `synth approve {release['name']}@{release['version']} "
                  f"--as NAME --key FILE --store {run.read()['store']}`"))
    print(f"published  {release['name']} {release['version']}\nrelease    {release['url']}\n"
          f"report     {run.stage_folder('judge') / 'report.html'}\n"
          f"pull it    synth pull {release['name']}@{release['version']} --store {run.read()['store']} --to FOLDER")


DEMO_SEED = 101  # the table is public, so its split need not be secret, and everybody sees the same demo


def demo(name: str, *, workspace: Path, store: str, engine: str) -> None:
    """The demo of one domain, or of all of them."""
    from synth.domain import domain, domains

    folder, store = use_workspace(workspace), check_store(store)
    stopped: Rejected | None = None
    with launcher(engine, folder) as launch:
        for each in domains() if name == "all" else [name]:
            contract = domain(each).demo()
            found = road.begin(contract, workspace=folder, store=store, seed=DEMO_SEED,
                               acknowledge="the demo, run again")
            print(f"run {found.id}", file=sys.stderr, flush=True)
            try:
                published(launch(found))
            except Rejected as rejected:  # the other domains are still shown
                stopped = rejected
                if name == "all":
                    print(f"{each}: {rejected.render()}", flush=True)
    if stopped is not None:
        raise stopped


def _model_of(run_id: str, workspace: Path, *, judged: bool) -> tuple[Run, Any, Any]:
    """A run, its contract and its domain; the model must exist and, if asked, have passed the gates."""
    from synth.contract.load import load
    from synth.domain import fitting

    run = Workspace(use_workspace(workspace)).run(run_id)
    record = run.read()
    if run.done("fit") is None:
        raise UserError("this run has no model yet", where=run_id,
                        todo=f"go on with `synth run --resume {run_id}`")
    if judged and record["stages"].get("judge", {}).get("verdict") not in ("pass", "waived"):
        raise UserError("the gates did not pass this run's model, so no rows of it are given out", where=run_id,
                        todo=f"read why: `synth report {run_id}`")
    contract = load(Path(record["contract"]))
    if contract.digest != record["contract_digest"]:
        raise UserError("the contract was changed since this run", where=record["contract"],
                        todo="put the contract back as it was, or start a new run")
    return run, contract, fitting(contract)


def _seed(seed: int | None) -> int:
    return int.from_bytes(os.urandom(6), "big") if seed is None else seed


def sample(run_id: str, rows: int, out: Path, where: list[str], balance: str | None, seed: int | None,
           workspace: Path) -> None:
    """Rows from the model of a run that passed its gates."""
    run, contract, plug = _model_of(run_id, workspace, judged=True)
    plug.check_output(contract, out)
    with private_boundary("sample", run.private_log):
        count = plug.sample(contract, run.stage_folder("ingest"), run.stage_folder("fit"), rows, out,
                            seed=_seed(seed), where=where, balance=balance, progress=for_terminal())
    print(f"{count:,} synthetic rows in {out}\n{NOT_JUDGED}")


def impute(run_id: str, file: Path, out: Path, seed: int | None, workspace: Path) -> None:
    """The table of ``file`` with its missing cells drawn from the model."""
    run, contract, plug = _model_of(run_id, workspace, judged=False)
    plug.check_output(contract, out)
    with private_boundary("impute", run.private_log):
        count = plug.impute(contract, run.stage_folder("ingest"), run.stage_folder("fit"), str(file), out,
                            seed=_seed(seed), progress=for_terminal())
    print(f"{count:,} rows in {out}; it holds the private rows of {file}, so keep it as they are kept\n{NOT_JUDGED}")


def pull(name: str, to: Path, store: str, key: str | None) -> None:
    """Fetch and verify."""
    from synth.release.pull import pull as fetch

    with private_boundary("pull"):
        print(fetch(name, store=check_store(store), to=to, key=key, progress=for_terminal()))


def verify(folder: Path, key: str | None) -> None:
    """Verify a folder."""
    from synth.release.pull import verify as examine

    with private_boundary("verify"):
        found = examine(folder, key)
    whose = "a key trusted here" if found.trusted else "a key that is NOT trusted here; name the publisher with --key"
    print(f"{found.name} {found.version}: signature, manifest and {found.files} files are as published\n"
          f"signed by {found.key_id}, {whose}")


def list_releases(store: str) -> None:
    """One line a release."""
    from pipelines.show import table
    from synth.release.pull import list_releases as listed

    with private_boundary("list"):
        found = listed(check_store(store))
    lines = [["NAME", "VERSION", "CREATED", "ROWS", "CONTRACT", "EXPIRED", "STANDING"]]
    lines += [[entry["name"], entry["version"], entry["created"], f"{entry['rows']:,}", entry["contract_version"],
               "yes" if entry["expired"] else "", red(_standing(entry))] for entry in found]
    print(table(lines) if found else f"no releases in {store}")


def _standing(entry: dict[str, Any]) -> str:
    """Why a release is not given out, and what was waived to publish it."""
    waived = f"{entry['waived']} waived" if entry.get("waived") else ""
    return ", ".join(filter(None, (str(entry.get("standing") or ""), waived)))
