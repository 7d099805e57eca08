"""``synth``: the command line. Each command is a few lines; heavy imports happen inside them.

Exit codes: 0 done or published, 3 rejected by a gate, 2 bad contract or input, 1 our fault, 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import synth
from pipelines import console
from synth.errors import UserError
from synth.tabular.grammar import GRAMMAR

app = typer.Typer(
    name="synth", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Private data in, a gated and signed synthetic release out.",
    epilog="Exit codes: 0 published, 3 rejected by a gate, 2 bad contract or input, 1 our fault, 130 interrupted.")

WorkspaceOption = Annotated[Path, typer.Option("--workspace", help="Folder of the runs; it holds private data.")]
StoreOption = Annotated[str, typer.Option("--store", help="Where releases go: a folder or an fsspec URL.")]
ContractArgument = Annotated[Path, typer.Argument(help="The data contract (ODCS YAML).")]
RunArgument = Annotated[str, typer.Argument(help="A run's id, as `synth runs` shows it.", metavar="RUN")]
KeyOption = Annotated[str | None, typer.Option("--key", help="The publisher: a PEM file, or sha256:... of the key.")]
WORKSPACE, STORE = Path(".synth"), ".store"


@app.command()
def init(data: Annotated[str, typer.Argument(help="CSV or Parquet file, folder (also of images), glob or fsspec URL.")],
         name: Annotated[str, typer.Option("--name", help="Name of the contract and of its releases.")],
         folder: Annotated[Path, typer.Option("--folder", help="Where the contract goes.")] = Path("data_contracts"),
         force: Annotated[bool, typer.Option("--force", help="Overwrite an existing contract.")] = False) -> None:
    """Draft a contract from the data. Shows no value of it."""
    from pipelines import commands

    commands.init(data, name, folder, force)


@app.command()
def check(contract: ContractArgument) -> None:
    """Hold contract and data against each other, without training."""
    from pipelines import commands

    commands.check(contract)


@app.command()
def run(contract: Annotated[Path | None, typer.Argument(help="The data contract (ODCS YAML).")] = None,
        store: StoreOption = STORE, workspace: WorkspaceOption = WORKSPACE,
        seed: Annotated[int | None, typer.Option(help="Repeat a run exactly (default: drawn, and recorded).")] = None,
        device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
        resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on after an interruption.")] = None,
        engine: Annotated[str, typer.Option(help="prefect, or direct: the same stages without a scheduler.")]
        = "prefect",
        acknowledge: Annotated[str, typer.Option("--acknowledge-attempts", metavar="WHO_AND_WHY",
                                                 help="Train again after too many unpublished attempts.")] = ""
        ) -> None:
    """The whole road: ingest, split, fit, generate, judge, publish."""
    from pipelines import commands

    if (contract is None) == (resume is None):
        raise UserError("give a contract, or --resume RUN", todo="synth run CONTRACT | synth run --resume RUN")
    commands.run(contract, store=store, workspace=workspace, seed=seed, device=device, resume=resume, engine=engine,
                 acknowledge=acknowledge)


@app.command()
def demo(workspace: WorkspaceOption = WORKSPACE, store: StoreOption = STORE,
         engine: Annotated[str, typer.Option(help="prefect or direct.")] = "prefect",
         domain: Annotated[str, typer.Option(help="Which domain's demo; all runs every one.")] = "tabular") -> None:
    """The road on data anybody may have: a real table that comes with a package, phantoms, or simulated motorways."""
    from pipelines import commands

    commands.demo(domain, workspace=workspace, store=store, engine=engine)


@app.command()
def runs(workspace: WorkspaceOption = WORKSPACE) -> None:
    """List the runs of a workspace."""
    from pipelines import show as pages
    from synth.workspace import Workspace

    print(pages.runs(Workspace(workspace)))


@app.command()
def show(run: RunArgument, workspace: WorkspaceOption = WORKSPACE) -> None:
    """One run: status, stages, verdicts, attempts."""
    from pipelines import show as pages
    from synth.workspace import Workspace

    print(pages.show(Workspace(workspace).run(run)))


@app.command()
def report(run: RunArgument, workspace: WorkspaceOption = WORKSPACE,
           opened: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False) -> None:
    """Where a run's report is."""
    from pipelines import show as pages
    from synth.workspace import Workspace

    path = pages.report(Workspace(workspace).run(run))
    print(path)
    if opened:
        import webbrowser

        webbrowser.open(path.absolute().as_uri())


@app.command(epilog="Conditions:\n\n\b\n" + GRAMMAR)  # \b: the lines stay as they are
def sample(run: RunArgument, rows: Annotated[int, typer.Option(min=1, help="How many rows.")],
           out: Annotated[Path, typer.Option("--out", help="File to write, .parquet or .csv; for images a folder.")]
           = Path("sample.parquet"),
           where: Annotated[list[str] | None, typer.Option(help="Condition, e.g. sex=F; repeatable; see below.")]
           = None,
           balance: Annotated[str | None, typer.Option(help="Column whose categories get equal shares.")] = None,
           seed: Annotated[int | None, typer.Option(help="Draw the same rows again.")] = None,
           workspace: WorkspaceOption = WORKSPACE) -> None:
    """More rows, or images, from a kept model; conditions hold in every row."""
    from pipelines import commands

    commands.sample(run, rows, out, where or [], balance, seed, workspace)


@app.command()
def impute(run: RunArgument, file: Annotated[Path, typer.Argument(help="Table with missing cells.")],
           out: Annotated[Path, typer.Option("--out", help="File to write, .parquet or .csv.")],
           seed: Annotated[int | None, typer.Option(help="Draw the same values again.")] = None,
           workspace: WorkspaceOption = WORKSPACE) -> None:
    """Fill the missing cells of a table from the model's conditional distribution."""
    from pipelines import commands

    commands.impute(run, file, out, seed, workspace)


@app.command()
def pull(name: Annotated[str, typer.Argument(metavar="NAME[@VERSION]")],
         to: Annotated[Path, typer.Option("--to", help="Folder to make.")], store: StoreOption = STORE,
         key: KeyOption = None
         ) -> None:
    """Fetch a release: signature, manifest and digests are checked first."""
    from pipelines import commands

    commands.pull(name, to, store, key)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="A pulled release.")],
           key: KeyOption = None
           ) -> None:
    """Check a release's signature, manifest and files."""
    from pipelines import commands

    commands.verify(folder, key)


@app.command("list")
def list_command(store: StoreOption = STORE) -> None:
    """List the releases of a store."""
    from pipelines import commands

    commands.list_releases(store)


ReleaseArgument = Annotated[str, typer.Argument(help="The release, with its version.", metavar="NAME@VERSION")]
WhoOption = Annotated[str, typer.Option("--as", help="Who decides: your name.", metavar="NAME")]
OwnKeyOption = Annotated[Path, typer.Option("--key", help="Your private key, a PEM file that only you can read.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; whoever pulls is told.")]
PublisherOption = Annotated[str | None, typer.Option("--publisher", help="Whose release it is: PEM file or sha256:...")]


@app.command()
def approve(release: ReleaseArgument, who: WhoOption, key: OwnKeyOption, reason: ReasonOption = "",
            store: StoreOption = STORE, publisher: PublisherOption = None) -> None:
    """Sign for a release: it is given out once it has the approvals that its contract asks for."""
    from pipelines import desk

    desk.decide("approve", release, by=who, key=key, reason=reason, store=store, publisher=publisher)


@app.command()
def reject(release: ReleaseArgument, who: WhoOption, key: OwnKeyOption, reason: ReasonOption,
           store: StoreOption = STORE, publisher: PublisherOption = None) -> None:
    """Sign against a release that waits for approvals: it is never given out."""
    from pipelines import desk

    desk.decide("reject", release, by=who, key=key, reason=reason, store=store, publisher=publisher)


@app.command()
def revoke(release: ReleaseArgument, who: WhoOption, key: OwnKeyOption, reason: ReasonOption,
           store: StoreOption = STORE, publisher: PublisherOption = None) -> None:
    """Take a release back: nobody can pull it any more, and whoever tries is told why."""
    from pipelines import desk

    desk.decide("revoke", release, by=who, key=key, reason=reason, store=store, publisher=publisher)


@app.command()
def ledger(name: Annotated[str, typer.Argument(help="The source: `synthesis.source`, else the contract's name.")],
           store: StoreOption = STORE, key: KeyOption = None) -> None:
    """What was let out about the same people, and what it cost; verifies the chain."""
    from pipelines import desk

    desk.ledger(name, store=store, key=key)


@app.command("key")
def key_command(file: Annotated[Path, typer.Argument(help="A PEM file.")]) -> None:
    """The name of a key, sha256:..., for `synthesis.approvers` or --publisher."""
    from pipelines import desk

    desk.key(file)


@app.command()
def serve(contracts: Annotated[list[Path], typer.Argument(metavar="CONTRACT...")],
          cron: Annotated[str, typer.Option(help="When, e.g. '0 2 * * *'.")],
          store: StoreOption = STORE, workspace: WorkspaceOption = WORKSPACE,
          device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto") -> None:
    """Run contracts on a schedule, on the embedded server or on PREFECT_API_URL."""
    from pipelines.serve import serve as serve_forever

    serve_forever(contracts, cron=cron, store=store, workspace=workspace, device=device)


def main() -> None:
    """Entry point of ``synth``."""
    def command() -> int | None:
        synth.guard()
        code: int | None = app()
        return code

    sys.exit(console.guarded(command))


if __name__ == "__main__":
    main()
