"""A domain and gates that do next to nothing, so that the order of things can be tested in milliseconds.

``install`` works in a test (with monkeypatch) and in a script of its own process (without).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
import types
from pathlib import Path
from typing import Any

import synth.contract
import synth.domain
import synth.release
from pipelines import counting
from synth.contract import Column, Contract, Role
from synth.errors import UserError
from synth.workspace import STAGES
from validators.finding import Finding, GateResult, Verdict

SECRET = "SENTINEL-7c1f"


class Frame:
    """Stands for a table of private rows."""


class Plug:
    name = "fake"
    blocks: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.hooks: dict[str, Any] = {}

    def _do(self, stage: str, out: Path | None) -> dict[str, Any]:
        self.calls.append(stage)
        if hook := self.hooks.get(stage):
            hook()
        if out is not None:
            (out / f"{stage}.txt").write_text(stage)
        return {"rows": 100}

    def ingest(self, contract, out, *, progress):
        return self._do("ingest", out)

    def table(self, contract, ingested):
        return Frame(), None

    def split(self, contract, ingested, out, *, seed, earlier=()):
        return self._do("split", out)

    def fit(self, contract, ingested, split, out, *, seed, device, progress):
        return self._do("fit", out)

    def generate(self, contract, ingested, split, fitted, out, *, seed, progress):
        return self._do("generate", out)

    def evidence(self, contract, ingested, split, fitted, generated, *, seed):
        self._do("judge", None)
        return Frame()


def hook_from_environment(stage: str) -> None:
    """FAKE_HOOK=fit:kill | fit:sleep | fit:raise | fit:full"""
    wanted, _, what = os.environ.get("FAKE_HOOK", "").partition(":")
    if wanted != stage:
        return
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        print("sleeping", file=sys.stderr, flush=True)
        time.sleep(60)
    if what == "raise":
        raise ValueError(f"could not convert {SECRET}")
    if what == "full":
        raise OSError(28, f"No space left on device: {SECRET}")


def load(path: Path) -> Contract:
    """A contract file is one line of ``key=value`` words."""
    if not path.is_file():
        raise UserError("there is no such contract", where=str(path), todo="give the path of a contract")
    data = path.read_bytes()
    words = dict(word.split("=") for word in data.decode().split())
    return Contract(name=words.get("name", "tiny"), version="1.0.0", domain="fake", path=path,
                    digest=hashlib.sha256(data).hexdigest(), description="", source="x",
                    max_attempts=int(words.get("attempts", 3)),
                    columns=(Column(name="age", role=Role.NUMERIC, bounds_confirmed="draft" not in words),))


def result(verdict: str) -> GateResult:
    finding = Finding(id="fidelity.x", title="x", verdict=Verdict(verdict), value=1.0)
    return GateResult(gate="fidelity", title="Fidelity", question="?", findings=(finding,))


def install(monkeypatch: Any = None, *, verdict: str | None = None) -> Plug:
    """Put the fakes in place of the rooms and return the plug."""
    plug = Plug()
    for stage in STAGES:
        plug.hooks[stage] = lambda stage=stage: hook_from_environment(stage)
    said = verdict or os.environ.get("FAKE_VERDICT", "pass")

    def module(name: str, **members: Any) -> types.ModuleType:
        made = types.ModuleType(name)
        vars(made).update(members)
        if monkeypatch is None:
            sys.modules[name] = made
        else:
            monkeypatch.setitem(sys.modules, name, made)
        parent, _, leaf = name.rpartition(".")
        parent_module = sys.modules.get(parent)
        if parent_module is not None:
            if monkeypatch is None:
                setattr(parent_module, leaf, made)
            else:
                monkeypatch.setattr(parent_module, leaf, made, raising=False)
        return made

    module("synth.tabular.fakeplug", PLUG=plug)
    if monkeypatch is None:
        synth.domain._MODULES["fake"] = "synth.tabular.fakeplug"
    else:
        monkeypatch.setitem(synth.domain._MODULES, "fake", "synth.tabular.fakeplug")

    module("synth.contract.load", load=load)
    module("validators.gates", check_limits=lambda contract: [],
           plan=lambda contract: {"gates": {"fidelity": {"shape": 0.1}}, "digest": "0" * 64},
           judge=lambda evidence, contract, domain, progress, context: [result(said)])
    module("validators.expectations",
           validate=lambda frame, contract, schema: [
               {"success": os.environ.get("FAKE_GX") != "fail", "type": "expect_column_values_to_be_between",
                "column": "age", "element_count": 100, "unexpected_count": 3, "unexpected_percent": 3.0}])
    module("validators.report", build=lambda **facts: {"verdict": said, "attempts": facts["attempts"]},
           render=lambda data: f"<html>{data['verdict']}</html>")
    module("synth.release.publish", publish=publish)
    nothing = counting.Together(result=None, seen=(), tested=(), not_tested=())
    for name, stub in {"earlier": lambda job: [], "before_training": lambda job: None, "count": lambda job, said: None,
                       "withhold": lambda job, reason: None, "for_report": lambda job, joined: {},
                       "together": lambda job, evidence, scratch: nothing}.items():
        setattr(counting, name, stub) if monkeypatch is None else monkeypatch.setattr(counting, name, stub)
    return plug


def publish(root, *, contract, shards, report, html, provenance, store, run, keys=None, progress=None, count=None):
    """The real one's contract in small: one version a run, whole or not at all."""
    hook_from_environment("publish")
    folder = Path(store) / contract.name
    folder.mkdir(parents=True, exist_ok=True)
    release = folder / f"{run}.json"
    partial = root / "partial"
    root.mkdir(exist_ok=True)
    partial.write_text(json.dumps({"report": report, "provenance": provenance}))
    partial.replace(release)
    return {"name": contract.name, "version": run, "url": str(release), "manifest_digest": "0" * 64}


def raise_(error: BaseException) -> None:
    """``raise`` as an expression."""
    raise error
