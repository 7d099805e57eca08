"""What happened: the texts of ``synth runs``, ``synth show`` and the address behind ``synth report``.

Everything shown comes from ``run.json``, which holds names, counts, digests and verdicts only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.desk import red
from pipelines.road import pending, status
from synth.errors import UserError
from synth.workspace import STAGES, Run, Workspace


def table(rows: list[list[str]]) -> str:
    """Columns padded to their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)


def runs(workspace: Workspace) -> str:
    """One line a run, oldest first."""
    lines = [["RUN", "STARTED", "STATUS", "STAGE", "ATTEMPT", "RELEASE"]]
    for run in workspace.runs():
        record = run.read()
        done = [stage for stage in STAGES if stage in record["stages"]]
        lines.append([run.id, record["created"], status(run), done[-1] if done else "-",
                      str(record["attempts"]["number"]), record["stages"].get("publish", {}).get("version", "-")])
    if len(lines) == 1:
        return f"no runs in {workspace.folder}; start one with `synth run CONTRACT`"
    return table(lines)


def show(run: Run) -> str:
    """A run on one screen."""
    record = run.read()
    lines = [["run", run.id], ["status", status(run)], ["started", record["created"]],
             ["contract", f"{record['contract']} (version {record['contract_version']}, "
                          f"sha256 {record['contract_digest'][:12]})"],
             ["domain", record["domain"]], ["device", record["device"]], ["store", record["store"]],
             ["attempt", _attempt(record["attempts"])], ["gates' plan", f"sha256 {record['plan']['digest'][:12]}"]]
    text = [table(lines), "", table([["STAGE", "SECONDS", "FINISHED", "WHAT"], *map(_stage(record), STAGES)])]
    judged = record["stages"].get("judge")
    if judged:
        text += ["", table([["GATE", "VERDICT"], *([gate, red(verdict) if verdict == "waived" else verdict]
                                                   for gate, verdict in judged["gates"].items())])]
        text += [red(f"waived: {w['finding']} ({w['verdict']}) by {w['name']} until {w['expires']}: {w['reason']}")
                 for w in judged.get("waivers") or []]
        text += ["", f"report: {report(run)}"]
    if release := record["stages"].get("publish"):
        text.append(f"release: {release['url']}")
        if release.get("standing"):
            text.append(red(f"published as {release['standing']}"))
    elif (todo := pending(run)) and status(run) not in ("running", "rejected"):
        text += ["", f"to do: {', '.join(todo)}; go on with `synth run --resume {run.id}`"]
    return "\n".join(text)


def _attempt(attempts: dict[str, Any]) -> str:
    text = f"{attempts['number']} ({attempts['unpublished']} unpublished before it, {attempts['allowed']} allowed)"
    return f"{text}; more acknowledged: {attempts['acknowledged']}" if attempts["acknowledged"] else text


def _stage(record: dict[str, Any]) -> Any:
    def line(stage: str) -> list[str]:
        found = record["stages"].get(stage)
        if found is None:
            return [stage, "-", "-", ""]
        counts = [f"{name} {value:,}" for name, value in found.items()
                  if isinstance(value, int) and not isinstance(value, bool)]
        return [stage, f"{found['seconds']:.1f}", found["finished"], ", ".join(counts[:4])]

    return line


def report(run: Run) -> Path:
    """The run's report; a :class:`UserError` if it was not judged yet."""
    path = run.stage_folder("judge") / "report.html"
    if not path.is_file():
        raise UserError("this run has no report yet", where=run.id,
                        todo=f"go on with `synth run --resume {run.id}`; the report comes with stage judge")
    return path
