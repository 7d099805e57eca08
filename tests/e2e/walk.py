"""The whole road through the command line, for domains whose releases list files: run, pulled, drawn from, revoked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from synth.workspace import STAGES, Workspace
from tests.e2e.conftest import DIRECT
from tests.e2e.secrets_scanner import Scanner

SECTIONS = ("summary", "intruder", "dp", "ledger", "decision")


@dataclass(frozen=True)
class Walked:
    """A run that was published as ``release``, and what every command said."""

    folder: Path
    run: Any
    release: Path
    outputs: tuple[Any, ...]


def walk(folder: Path, synth: Any, monkeypatch: pytest.MonkeyPatch, contract: Path, *, domain: str, name: str,
         unit: str, data: str, samples: Sequence[Sequence[str]]) -> Walked:
    """With the contract gate and one that counts: files, release and leaks are under test, not the generator. ``data``
    is drafted from, relative to ``folder``; ``samples`` are arguments of ``synth sample``. Then the same again: the
    second release is looked at together with the first."""
    from validators import gates

    monkeypatch.setitem(gates.GATES, domain, (gates.GATES[domain][0], gates.Gate("leakage", "tests.e2e.counted")))
    outputs = [synth("check", contract), synth("run", contract, *DIRECT, "--seed", "3")]
    for output in outputs:
        assert output.code == 0, output.err
    (run,) = Workspace(folder / ".synth").runs()
    assert list(run.read()["stages"]) == list(STAGES)
    for arguments in [("show", run.id), ("pull", name, "--to", "pulled"), ("list",), ("ledger", name),
                      *(("sample", run.id, *given) for given in samples), ("init", data, "--name", "drafted")]:
        outputs.append(synth(*arguments))
        assert outputs[-1].code == 0, (arguments, outputs[-1].err)
    (release,) = (folder / "pulled" / name).iterdir()
    page = (release / "report.html").read_text()
    assert all(f'<section id="{part}"' in page for part in SECTIONS)
    assert json.loads((release / "report.json").read_text())["ledger"]["unit"] == unit
    outputs.append(synth("run", contract, *DIRECT, "--seed", "4"))
    assert outputs[-1].code in (0, 3), outputs[-1].err  # 3: so few were held out that their share is not known
    together(folder, name, f"{name}/{release.name}")
    outputs.append(synth("revoke", f"{name}@{release.name}", "--as", "A. Okafor", "--reason", "a test", "--key",
                         folder / "keys" / "signing.pem"))
    assert outputs[-1].code == 0, outputs[-1].err
    outputs.append(synth("pull", f"{name}@{release.name}", "--to", "again"))
    assert outputs[-1].code == 2 and "revoked" in outputs[-1].err
    return Walked(folder, run, release, tuple(outputs))


def together(folder: Path, name: str, earlier: str) -> None:
    """The newest run held the same people out, and its release was judged with the ``earlier`` one."""
    first, second = sorted(Workspace(folder / ".synth").runs(), key=lambda run: run.read()["seed"])
    parts = [(run.stage_folder("split") / "parts.npy").read_bytes() for run in (first, second)]
    assert parts[0] == parts[1] and second.read()["stages"]["split"]["kept"]
    report = json.loads((second.stage_folder("judge") / "report.json").read_text())
    assert report["ledger"]["union"] == {"tested": [earlier], "not_tested": []}
    counts = {f["id"]: f["value"] for gate in report["gates"] for f in gate["findings"]}
    made = [run.read()["stages"]["generate"]["rows"] for run in (first, second)]
    assert counts["leakage.records"] == made[1] and counts["releases.records"] == sum(made)
    assert counts["releases.controls"] == 0


def nothing_came_along(walked: Walked, secrets: list[bytes], data: Path, *, files: int) -> None:
    """``secrets`` are in ``data`` and, besides the source and private halves, in none of at least ``files`` files."""
    assert Scanner(secrets).folder(data).found, "the scanner finds nothing even where the secrets are"
    private = {run.private for run in Workspace(walked.folder / ".synth").runs()}
    hidden = private | {walked.folder / "source"}
    outside = Scanner(secrets).folder(walked.folder, skip=lambda path: not hidden.isdisjoint([path, *path.parents]))
    for folder in private:
        outside.folder(folder / "judge")
    for number, output in enumerate(walked.outputs):
        outside.bytes((output.out + output.err).encode(), f"output {number}")
    assert outside.files > files and outside.found == {}
