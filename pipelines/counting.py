"""A run and the ledger of its source: held back before training, looked at while judging, written down when published.

The rules are in :mod:`synth.release`; here a run's records are put into their terms.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.errors import InternalError, UserError
from synth.progress import Silent
from synth.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.stages import Job
    from synth.release.accounts import Account, Spend
    from synth.release.ledger import Ask, Ledger, Read
    from synth.release.publish import Count
    from validators.finding import GateResult

ATTACKS = ("leakage", "releases")  # gates whose worst figures the ledger keeps
SHOWN = 60  # earlier releases that a report lists


def earlier(job: Job) -> list[tuple[Path, Path]]:
    """(ingest, split) folders of this workspace's published runs of the same source, oldest first."""
    found = []
    for run in Workspace(job.run.folder.parents[1]).runs():
        record = run.read()
        if run.id != job.run.id and "publish" in record["stages"] and (
                record.get("source"), record["store"]) == (job.contract.ledger, job.store):
            found.append((run.stage_folder("ingest"), run.stage_folder("split")))
    return found


def ledger(job: Job) -> Ledger:
    """The ledger that counts this run."""
    from synth.release.ledger import Ledger
    from synth.release.store import Store

    return Ledger(Store(job.store), job.contract.ledger)


def ask(job: Job) -> Ask:
    """What the run wants to let out, and about whom: those it trains on."""
    from synth.release.accounts import Spend
    from synth.release.ledger import Ask
    from synth.release.signing import signing_key
    from synth.release.sketch import LedgerKey, Sketch

    contract, budget = job.contract, job.contract.budget
    unit, names = job.plug.people(contract, job.folder("ingest"), job.folder("split"))
    total = None
    if budget is not None and budget.total_epsilon is not None and budget.total_delta is not None:
        total = Spend(epsilon=budget.total_epsilon, delta=budget.total_delta)
    return Ask(
        run=job.run.id, contract=f"{contract.name} {contract.version}", contract_digest=contract.digest,
        plan_digest=job.run.read()["plan"]["digest"], total=total,
        spend=Spend.none() if budget is None else Spend(epsilon=budget.epsilon, delta=budget.delta),
        people=Sketch.of(names["train"], unit, LedgerKey.of(signing_key())))


def before_training(job: Job) -> None:
    """Refuse a run that there is no room for, and hold back what it will spend."""
    asked, declared = ask(job), job.contract.source_name is not None
    if asked.spend.finite:
        job.run.update(reserved=ledger(job).reserve(asked, declared=declared))
    else:
        ledger(job).check(asked, declared=declared)


def withhold(job: Job, reason: str) -> None:
    """A gate stopped the run: what it held back is spent, because people read its report."""
    if job.run.read().get("reserved"):
        ledger(job).close(job.run.id, "withheld", reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """What the attacks saw of earlier releases."""

    result: GateResult | None
    seen: tuple[str, ...]  # manifest digests of all of them
    tested: tuple[str, ...]  # names of those joined
    not_tested: tuple[str, ...]  # the others, and why


def together(job: Job, evidence: Any, scratch: Path) -> Together:
    """Judge the leakage of this release and those before it together, where their forms agree."""
    from synth.release.pull import fetch
    from synth.release.signing import trust
    from validators import gates

    counted = ledger(job)
    released = [a for a in counted.read().released() if a.run != job.run.id]
    good, not_tested = dict[str, Any](), list[str]()
    with tempfile.TemporaryDirectory(dir=scratch, prefix="earlier-") as folder:
        for number, account in enumerate(released):
            name, _, version = account.release.partition("/")
            place = Path(folder) / str(number)
            place.mkdir()
            try:
                fetch(counted.store, name, version, place, trust(), Silent(), admit=False)
                good[account.release] = job.plug.released(evidence, place)
            except UserError as error:
                not_tested.append(f"release {account.release}, which cannot be joined to this one: {error.what}")
    result = None
    if good:
        union = job.plug.together(evidence, list(good.values()))
        result = gates.judge_union(union, job.contract, _controls(job, released), len(good), not_tested)
    return Together(result=result, seen=tuple(a.manifest_digest for a in released), tested=tuple(good),
                    not_tested=tuple(not_tested))


def _controls(job: Job, released: list[Account]) -> Any:
    """Whether those whom this run held out were held out by the earlier releases, by the ledger's sketches."""
    import numpy as np

    from synth.release.signing import signing_key
    from synth.release.sketch import LedgerKey
    from validators.releases import controls

    unit, names = job.plug.people(job.contract, job.folder("ingest"), job.folder("split"))
    key = LedgerKey.of(signing_key())
    held = key.digests(np.unique(np.concatenate([names["holdout"], names["reference"]])))
    looked_up, found, unknown = np.zeros(len(held), bool), np.zeros(len(held), bool), []
    for account in released:
        people = account.people
        if people is None or (people.key, people.unit) != (key.name, unit):
            unknown.append(account.release)
            continue
        looked_up |= np.ones(len(held), bool) if people.complete else held <= people.values[-1]
        found |= np.isin(held, people.values)
    return controls(int((found & looked_up).sum()), int(looked_up.sum()), [a.release for a in released], unknown)


def count(job: Job, report: Mapping[str, Any]) -> Count:
    """What the ledger is told of the release that is about to be published."""
    from synth.release.publish import Count

    _spent_as_asked(job)
    worst = [{"id": f["id"], "value": f["value"], "high": f["high"], "limit": f["limit"], "verdict": f["verdict"]}
             for gate in report.get("gates") or [] if gate["gate"] in ATTACKS for f in gate["findings"]
             if f["verdict"] != "info"]
    seen = (job.run.read()["stages"]["judge"].get("ledger") or {}).get("seen")
    return Count(ask=ask(job), attacks=tuple(worst), judged_with=None if seen is None else tuple(seen))


def _spent_as_asked(job: Job) -> None:
    """The accountant of the training must say that it kept the contract's budget, before the ledger says so."""
    budget = job.contract.budget
    if budget is None:
        return
    said = job.run.read()["stages"]["fit"].get("privacy") or {}
    epsilon, delta = said.get("epsilon"), said.get("delta")
    kept = isinstance(epsilon, (int, float)) and isinstance(delta, (int, float)) and (
        epsilon <= budget.epsilon * (1 + 1e-6) and delta <= budget.delta * (1 + 1e-6))
    if not kept:
        raise InternalError("the training's record does not say that it kept the contract's budget",
                            where=job.run.id, todo="nothing was published; start a new run")


def for_report(job: Job, joined: Together) -> dict[str, Any]:
    """The report's facts about earlier releases of the same people."""
    from synth.release.accounts import EXPIRED, RESERVED, RESTARTED, WITHHELD, others, together

    counted = ledger(job)
    read, mine = counted.read(), ask(job)
    before = others(read.accounts, job.run.id)
    published = [a for a in read.released() if a.run != job.run.id]
    states = [a.state for a in read.accounts.values() if a.run != job.run.id]
    uncounted = sum(e["name"] == job.contract.name and "ledger" not in e for e in counted.store.entries())
    return {
        "source": read.source, "declared": job.contract.source_name is not None, "length": len(read.entries),
        "head": read.head,
        "releases": [_shown(a, mine) for a in published[-SHOWN:]], "left_out": max(len(published) - SHOWN, 0),
        "published": len(published), "withheld": states.count(WITHHELD), "reserved": states.count(RESERVED),
        "expired": states.count(EXPIRED), "uncounted": uncounted,
        "restarted": [a.reason for a in read.accounts.values() if a.state == RESTARTED],
        "asked": mine.spend.to_json(), "total": None if mine.total is None else mine.total.to_json(),
        "spent": _bound(together(a.spend for a in before)) if before else {"epsilon": 0.0, "delta": 0.0},
        "after": _bound(together([mine.spend, *(a.spend for a in before)])),
        "composition": "added up (basic composition), every release in full for every person",
        "elsewhere": [{"source": source, "share": o.share, "low": o.low, "high": o.high}
                      for source, o in counted.elsewhere(mine.people)],
        "unit": mine.people.unit,
        "union": {"tested": list(joined.tested), "not_tested": list(joined.not_tested)},
    }


def _bound(spend: Spend) -> dict[str, float] | None:
    return {"epsilon": spend.epsilon, "delta": spend.delta} if spend.finite else None


def _shown(account: Account, mine: Ask) -> dict[str, Any]:
    """One earlier release; the share is of the people of the present one."""
    from synth.release.sketch import overlap

    shared = None if account.people is None else overlap(mine.people, account.people)
    worst = max((a for a in account.attacks if str(a.get("id", "")).endswith("membership.auc") and a.get("value")),
                key=lambda a: a["value"], default=None)
    return {"release": account.release, "at": account.at, "contract": account.contract, "revoked": account.revoked,
            "spend": account.spend.to_json(),
            "overlap": None if shared is None else {"share": shared.share, "low": shared.low, "high": shared.high},
            "membership": None if worst is None else {k: worst.get(k) for k in ("value", "high", "limit")}}


def described(read: Read) -> list[list[str]]:
    """A ledger as the rows of a table."""
    rows = [["ENTRY", "WHEN", "EVENT", "RELEASE OR RUN", "CONTRACT", "EPSILON, DELTA", "MEMBERSHIP AUC, OR WHY"]]
    for entry in read.entries:
        spend = entry.get("spend", ...)
        auc = [a["value"] for a in entry.get("attacks") or [] if str(a.get("id")).endswith("membership.auc")
               and isinstance(a.get("value"), (int, float))]
        rows.append([str(entry["sequence"]), entry["at"], entry["event"], entry.get("release") or entry["run"],
                     str(entry.get("contract", "")),
                     "" if spend is ... else "no guarantee" if spend is None else
                     f"{spend['epsilon']:g}, {spend['delta']:g}",
                     f"{max(auc):.3f}" if auc else str(entry.get("reason", ""))[:60]])
    return rows
