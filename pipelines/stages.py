"""The six stages as plain functions: one call into ``synth`` or ``validators`` each, no scheduler.

Every body runs inside :func:`synth.errors.private_boundary` (only value-free errors get out) and
:meth:`synth.workspace.Run.stage` (a kill leaves the whole stage or none of it). Folders are handed over by
name; nothing of the data crosses a stage border in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import counting
from synth.contract import Contract
from synth.domain import Domain, fitting
from synth.errors import Rejected, UserError, private_boundary
from synth.progress import Progress, for_terminal
from synth.seeds import derive
from synth.workspace import STAGES, Run, now, write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a stage needs: the run, its contract and the choices recorded in ``run.json``."""

    run: Run
    contract: Contract
    plug: Domain
    seed: int
    device: str
    store: str
    progress: Progress

    @classmethod
    def open(cls, folder: Path, progress: Progress | None = None) -> Job:
        """The job of an existing run.

        Raises :class:`UserError` if the contract was changed since the run began: its stages would then have
        been made under two contracts.
        """
        from synth.contract.load import load

        run = Run(folder)
        record = run.read()
        contract = load(Path(record["contract"]))
        if contract.digest != record["contract_digest"]:
            raise UserError("the contract was changed since this run began", where=record["contract"],
                            todo="start a new run, or put the contract back and resume")
        return cls(run=run, contract=contract, plug=fitting(contract), seed=int(record["seed"]),
                   device=record["device"], store=record["store"], progress=progress or for_terminal())

    def folder(self, stage: str) -> Path:
        """Artefacts of a finished stage."""
        return self.run.stage_folder(stage)

    def seed_of(self, stage: str) -> int:
        """The stage's own seed."""
        return derive(self.seed, stage)


@contextmanager
def _work(job: Job, stage: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    with private_boundary(stage, job.run.private_log), job.run.stage(stage) as (out, record):
        yield out, record


def ingest(job: Job) -> None:
    """Read the private data against the contract, then judge it with the contract's own expectations."""
    from validators.expectations import validate

    with _work(job, "ingest") as (out, record):
        record.update(job.plug.ingest(job.contract, out, progress=job.progress))
        frame, schema = job.plug.table(job.contract, out)
        results = validate(frame, job.contract, schema)
        record["expectations"] = results
        refuse_failed(results, str(job.contract.path))


def refuse_failed(results: list[dict[str, Any]], where: str) -> None:
    """A :class:`UserError` naming every expectation that the real data fails, by column and count."""
    failed = [r for r in results if not r["success"]]
    if not failed:
        return
    lines = []
    for result in failed[:12]:
        count = result.get("unexpected_count")
        share = f": {count} of {result.get('element_count')} cells" if count is not None else ""
        lines.append(f"{result['type']} on column {result.get('column')!r}{share}")
    more = [f"... and {len(failed) - 12} more"] if len(failed) > 12 else []
    raise UserError("the real data does not meet its contract\n  " + "\n  ".join(lines + more), where=where,
                    todo="correct the data, or the contract if it promises too much")


def split(job: Job) -> None:
    """Decide train, holdout and reference by entity, before anything looked at the data."""
    with _work(job, "split") as (out, record):
        record.update(job.plug.split(job.contract, job.folder("ingest"), out, seed=job.seed_of("split"),
                                     earlier=counting.earlier(job)))


def fit(job: Job) -> None:
    """Train the generator on train only. The gates' plan was fixed in ``run.json`` before."""
    if "digest" not in job.run.read().get("plan", {}):
        raise UserError("the gates' plan is not recorded, so nothing may be trained", where=job.run.id,
                        todo="start a new run with `synth run`")
    with private_boundary("fit", job.run.private_log):
        counting.before_training(job)
    job.run.update(trained=True)
    with _work(job, "fit") as (out, record):
        record.update(job.plug.fit(job.contract, job.folder("ingest"), job.folder("split"), out,
                                   seed=job.seed_of("fit"), device=job.device, progress=job.progress))


def generate(job: Job) -> None:
    """Draw the synthetic table and the shards to publish."""
    with _work(job, "generate") as (out, record):
        record.update(job.plug.generate(job.contract, job.folder("ingest"), job.folder("split"), job.folder("fit"),
                                        out, seed=job.seed_of("generate"), progress=job.progress))


def judge(job: Job) -> None:
    """Every gate on the evidence, then the report. A blocked release is a result, not an error."""
    from validators import gates, report, waivers
    from validators.finding import overall

    run = job.run.read()
    plan = run["plan"]
    with _work(job, "judge") as (out, record):
        evidence = job.plug.evidence(job.contract, job.folder("ingest"), job.folder("split"), job.folder("fit"),
                                     job.folder("generate"), seed=job.seed_of("judge"))
        results = gates.judge(evidence, job.contract, job.contract.domain, job.progress,
                              {"plan_digest": plan["digest"]})
        joined = counting.together(job, evidence, out)
        results = waivers.apply([*results, *([joined.result] if joined.result else [])], job.contract.waivers)
        verdict = overall(results)
        data = report.build(contract=job.contract, results=results, run=run, plan=plan,
                            attempts=run["attempts"]["number"], code=code(), created=now(), files=shards_of(job),
                            ledger=counting.for_report(job, joined))
        write_json(out / "report.json", data)
        (out / "report.html").write_text(report.render(data), encoding="utf-8")
        record["verdict"] = verdict.value
        record["gates"] = {result.gate: result.verdict.value for result in results}
        record["waivers"] = waivers.given(results)
        record["ledger"] = {"seen": list(joined.seen), "tested": list(joined.tested)}


def shards_of(job: Job) -> dict[str, str]:
    """The files that are judged and are to be published, with their digests."""
    generated = job.run.read()["stages"]["generate"]["artefacts"]
    return {name: digest for name, digest in generated.items() if name.startswith("data/")}


def code() -> dict[str, str | None]:
    """Which code ran: for the report and the signature."""
    import synth
    from synth.release.provenance import code_commit

    return {"version": synth.__version__, "commit": code_commit()}


def publish(job: Job) -> None:
    """Assemble, sign and store the release, if every gate passed; else :class:`Rejected`."""
    from synth.release.ledger import Overtaken
    from synth.release.publish import publish as release

    judged = job.run.done("judge")
    if judged is None:
        raise UserError("the run was not judged, or its report was changed afterwards", where=job.run.id,
                        todo=f"go on with `synth run --resume {job.run.id}`")
    report = job.folder("judge") / "report.html"
    if judged["verdict"] not in ("pass", "waived"):
        blocking = ", ".join(f"{gate} ({verdict})" for gate, verdict in judged["gates"].items()
                             if verdict not in ("pass", "waived"))
        with private_boundary("publish", job.run.private_log):
            counting.withhold(job, f"the gates did not all pass: {blocking}")
        raise Rejected(f"not published: the gates did not all pass: {blocking}", where=str(report),
                       todo=f"open the report with `synth report {job.run.id} --open`")
    if expired := [w for w in judged.get("waivers") or [] if w["expires"] < now()[:10]]:
        raise UserError(f"the waiver of {expired[0]['finding']} by {expired[0]['name']} expired on "
                        f"{expired[0]['expires']}, before the release was published", where=job.run.id,
                        todo="nothing was published; have somebody sign for it again, in the contract, and start a new "
                             "run")
    said = json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))
    try:
        with _work(job, "publish") as (_, record):
            record.update(release(job.run.release, contract=job.contract, shards=job.folder("generate") / "data",
                                  report=said, html=report.read_text(encoding="utf-8"), store=job.store,
                                  run=job.run.id, provenance=provenance(job), progress=job.progress,
                                  count=counting.count(job, said)))
    except Overtaken:
        job.run.forget("judge")
        raise


def provenance(job: Job) -> dict[str, Any]:
    """What the signature says about how the release came to be. Never the seed: it would undo the privacy."""
    record = job.run.read()
    limits = record["plan"]["gates"]
    return {"plan_digest": record["plan"]["digest"], "started": record["created"],
            "attempts": record["attempts"]["number"], "recipe": job.contract.training.recipe,
            "commit": code()["commit"], "waivers": record["stages"]["judge"].get("waivers") or [],
            "gates": [{"gate": gate, "verdict": verdict, "limits": limits.get(gate, {})}
                      for gate, verdict in record["stages"]["judge"]["gates"].items()]}


BODIES: dict[str, Callable[[Job], None]] = {
    "ingest": ingest, "split": split, "fit": fit, "generate": generate, "judge": judge, "publish": publish,
}
assert tuple(BODIES) == STAGES
