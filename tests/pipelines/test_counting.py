"""A run's budget: held back before training, spent when published or withheld, refused when it is used up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import counting, stages
from synth.contract import Budget, Column, Contract, Role
from synth.errors import InternalError, Rejected, UserError
from synth.progress import Silent
from synth.release.ledger import Overtaken
from synth.workspace import Workspace, write_json
from tests.pipelines.fakes import raise_

BUDGET = Budget(epsilon=2.0, delta=1e-6, total_epsilon=5.0, total_delta=1e-5)


class Plug:
    name = "fake"

    def people(self, contract, ingested, split):
        names = np.arange(500, dtype=np.uint64)
        return "people", {"train": names[:300], "holdout": names[300:400], "reference": names[400:]}


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A function that makes a job of a run which is about to train."""
    monkeypatch.setenv("SYNTH_KEY_HOME", str(tmp_path / "keys"))

    def make(budget: Budget | None = BUDGET, **changes: Any) -> stages.Job:
        contract = Contract(name="tiny", version="1.0.0", domain="tabular", path=Path("tiny.yaml"), digest="a" * 64,
                            description="", source="x", columns=(Column(name="age", role=Role.NUMERIC),),
                            budget=budget)
        contract = replace(contract, **changes)
        run = Workspace(tmp_path / "space").new_run("tiny", contract_digest=contract.digest, seed=1, store=str(
            tmp_path / "store"), plan={"digest": "d" * 64, "gates": {}}, attempts={"number": 1}, source=contract.ledger)
        return stages.Job(run=run, contract=contract, plug=Plug(), seed=1, device="cpu",
                          store=str(tmp_path / "store"), progress=Silent())

    return make


def judged(job: stages.Job, verdict: str = "pass", privacy: dict[str, Any] | None = None, **more: Any) -> None:
    """Record what the stages before publish would have."""
    folder = job.run.stage_folder("judge")
    folder.mkdir()
    (folder / "report.html").write_text("<html></html>")
    write_json(folder / "report.json", {"gates": []})
    job.run.update(stages={
        "fit": {"privacy": privacy or {"epsilon": 1.98, "delta": 1e-6}},
        "judge": {"verdict": verdict, "gates": {"leakage": verdict}, "artefacts": {}, "seconds": 1.0, **more}})


def test_two_runs_spend_and_the_third_is_refused_before_it_trains(job):
    for _ in range(2):
        each = job()
        counting.before_training(each)
        judged(each)
        counting.ledger(each).publish(counting.ask(each), declared=False, release="tiny/2026.01.01.1",
                                      manifest_digest="0" * 64, attacks=())
    third = job()
    with pytest.raises(UserError, match="the budget of this source is used up") as caught:
        stages.fit(third)
    assert caught.value.exit_code == 2
    assert not third.run.read().get("trained") and "reserved" not in third.run.read()
    read = counting.ledger(third).read()
    assert [e["event"] for e in read.entries] == ["reserved", "published"] * 2
    facts = counting.for_report(third, counting.Together(result=None, seen=(), tested=(), not_tested=()))
    assert facts["spent"] == {"epsilon": 4.0, "delta": 2e-6} and facts["after"]["epsilon"] == 6.0
    assert facts["releases"][0]["overlap"]["share"] == 1.0
    shown = counting.described(read)
    assert shown[1][2:6] == ["reserved", read.entries[0]["run"], "tiny 1.0.0", "2, 1e-06"]


def test_a_run_that_a_gate_stopped_is_withheld_and_counts(job):
    each = job()
    counting.before_training(each)
    judged(each, "fail")
    with pytest.raises(Rejected):
        stages.publish(each)
    (account,) = counting.ledger(each).read().accounts.values()
    assert account.state == "withheld" and "leakage (fail)" in account.reason
    with pytest.raises(Rejected):  # and a second look changes nothing
        stages.publish(each)
    assert len(counting.ledger(each).read().entries) == 2


@pytest.mark.parametrize("said", [{"epsilon": 2.1, "delta": 1e-6}, {"epsilon": 1.0, "delta": 1e-5}, {"epsilon": "2"},
                                  {"epsilon": None, "delta": 1e-6}])
def test_a_training_that_does_not_say_that_it_kept_the_budget_is_not_published(job, said):
    each = job()
    judged(each, privacy=said)
    with pytest.raises(InternalError, match="kept the contract's budget"):
        counting.count(each, {"gates": []})


def test_without_a_budget_nothing_is_held_back_and_promises_still_bind(job):
    plain = job(budget=None)
    counting.before_training(plain)
    assert counting.ledger(plain).read().entries == ()
    each = job()
    counting.before_training(each)
    counting.ledger(each).publish(counting.ask(each), declared=False, release="tiny/2026.01.01.1",
                                  manifest_digest="0" * 64, attacks=())
    with pytest.raises(UserError, match="promised the same people"):
        counting.before_training(job(budget=None))
    with pytest.raises(UserError, match="promised the same people"):  # the same ledger under another contract's name
        counting.before_training(job(budget=None, name="other", source_name="tiny"))


def test_earlier_releases_that_cannot_be_joined_are_named_and_do_not_stop_a_run(job, tmp_path, monkeypatch):
    from tests.release.bench_release import Bench

    monkeypatch.setattr(Plug, "released", lambda self, evidence, folder: raise_(UserError("its files differ")),
                        raising=False)
    first = job(budget=None)
    assert counting.together(first, None, tmp_path).seen == ()
    made = Bench(tmp_path).publish(tmp_path / "store")  # in place; and one that is counted and gone
    book = counting.ledger(first)
    for number, name in enumerate((f"people/{made['version']}", "people/2020.01.01.1")):
        asked = replace(counting.ask(first), run=f"run-{number}")
        book.publish(asked, declared=True, release=name, manifest_digest=f"{number:064d}", attacks=())
    joined = counting.together(first, None, tmp_path)
    assert joined.result is None and joined.tested == ()
    assert "its files differ" in joined.not_tested[0] and "cannot be joined" in joined.not_tested[1]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("earlier")] == []
    facts = counting.for_report(first, joined)
    assert facts["published"] == 2 and facts["spent"] is None and facts["union"]["not_tested"]


def test_a_run_that_was_overtaken_is_judged_again(job, monkeypatch):
    each = job(budget=None)
    judged(each, ledger={"seen": []})
    monkeypatch.setattr("synth.release.publish.publish", lambda *_, **__: raise_(Overtaken(1, "x")))
    monkeypatch.setattr(each.run.__class__, "done", lambda self, stage: self.read()["stages"].get(stage))
    with pytest.raises(Overtaken):
        stages.publish(each)
    assert list(each.run.read()["stages"]) == ["fit"]


def test_a_waiver_that_expired_after_judging_stops_the_release(job):
    each = job(budget=None)
    judged(each, "waived", waivers=[{"finding": "downstream.task", "name": "A. Okafor", "expires": "2024-01-01",
                                     "reason": "x", "verdict": "fail"}])
    with pytest.raises(UserError, match="expired on 2024-01-01, before the release was published"):
        stages.publish(each)
