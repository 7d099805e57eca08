"""The reviewer's desk and the ledger over the command line: waived, approved, counted, attacked together, revoked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from synth.release.signing import signing_key
from synth.tabular.people import digest
from synth.workspace import Run, Workspace
from tests.e2e.conftest import DIRECT, little
from tests.e2e.people import plant
from tests.e2e.secrets_scanner import Scanner

WAIVERS = [{"finding": f"downstream.loss.{family}", "name": "A. Okafor", "reason": "a pilot, its partner was told",
            "expires": "2099-06-30"} for family in ("boosting", "linear")]


def demanding(folder: Path, key: str) -> Path:
    """A contract with a limit that the table does not meet, waivers for it, and one approval before it is given out."""
    contract = little(folder)
    text = contract.read_text().replace("loss: {limit: -1,", "loss: {limit: -0.001,")
    for name, value in (("approvals", 1), ("approvers", [{"name": "A. Okafor", "key": key}]), ("waivers", WAIVERS)):
        text += f"  - {{property: synthesis.{name}, value: {json.dumps(value)}}}\n"
    contract.write_text(text)
    return contract


def newest(folder: Path) -> Run:
    return Workspace(folder / ".synth").runs()[-1]


@pytest.fixture(scope="module")
def released(forks, tmp_path_factory):
    """Two releases of the same people, made one after the other with different seeds; the folder."""
    folder = tmp_path_factory.mktemp("desk")
    key = signing_key(folder / "okafor")
    contract = demanding(folder / "source", key.id)
    for seed in ("7", "8"):
        done = forks.run(folder, "run", contract, "--seed", seed, *DIRECT)
        assert done.code == 0, done.err
        assert "not given out yet: waiting for 1 approval" in done.out and "by A. Okafor until 2099-06-30" in done.out
    return folder


@pytest.fixture
def folder(released, tmp_path):
    """A copy of it to spoil. The key home remembers the ledger of the original, under its address."""
    shutil.copytree(released, tmp_path / "desk")
    return tmp_path / "desk"


def test_what_was_waived_stays_in_sight(forks, released):
    run = newest(released)
    judged = run.read()["stages"]["judge"]
    assert judged["verdict"] == "waived" and judged["gates"]["downstream"] == "waived"
    assert {w["finding"] for w in judged["waivers"]} <= {w["finding"] for w in WAIVERS}
    assert "waived: downstream.loss." in forks.run(released, "show", run.id).out
    listed = forks.run(released, "list").out
    assert listed.count("waiting for 1 approval, ") == 2 and " waived" in listed
    release = next((released / ".store" / "people").glob("*.2"))
    assert "Not everything passed" in (release / "README.md").read_text()
    page = (release / "report.html").read_text()
    assert "<strong>Waived</strong>" in page and "a pilot, its partner was told" in page


def test_releases_of_the_same_people_are_attacked_together(released):
    first, second = Workspace(released / ".synth").runs()
    assert "releases" not in first.read()["stages"]["judge"]["gates"]
    judged = second.read()["stages"]["judge"]
    assert judged["gates"]["releases"] == "pass"
    assert second.read()["stages"]["split"]["kept"] > 300  # the same people were held out, with another seed
    report = json.loads((second.stage_folder("judge") / "report.json").read_text())
    (gate,) = [g for g in report["gates"] if g["gate"] == "releases"]
    found = {f["id"]: f for f in gate["findings"]}
    assert found["releases.controls"]["value"] == 0 and found["releases.membership.auc"]["n"] > 100
    assert report["ledger"]["union"]["tested"] == [f"people/{release_names(released)[0]}"]
    assert report["ledger"]["releases"][0]["overlap"]["share"] == 1
    assert report["threat_model"]["not_tested"]


def release_names(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / ".store" / "people").iterdir())


def test_approved_pulled_revoked(forks, folder):
    name = f"people@{release_names(folder)[1]}"
    signed = ("--as", "A. Okafor", "--key", folder / "okafor" / "signing.pem")
    refused = forks.run(folder, "pull", name, "--to", "got")
    assert refused.code == 2 and "waiting for 1 of 1 approvals" in refused.err
    own = forks.run(folder, "approve", name, "--as", "Me", "--key", folder / "keys" / "signing.pem")
    assert own.code == 2 and "the second person is another one" in own.err
    assert forks.run(folder, "approve", "people", *signed).code == 2
    done = forks.run(folder, "approve", name, *signed)
    assert done.code == 0 and "may be pulled" in done.out, done.err
    again = forks.run(folder, "approve", name, *signed)
    assert again.code == 2 and "has approved the release already" in again.err
    assert forks.run(folder, "pull", "people", "--to", "got").code == 0
    gone = forks.run(folder, "revoke", name, "--reason", "a column too many", *signed)
    assert gone.code == 0, gone.err
    for to in ("got", "fresh"):
        refused = forks.run(folder, "pull", name, "--to", to)
        assert refused.code == 2 and "revoked by A. Okafor" in refused.err and "a column too many" in refused.err
        assert len(refused.err.splitlines()) < 10 and "Traceback" not in refused.err
    assert "revoked" in forks.run(folder, "list").out
    lost = forks.run(folder, "reject", name, "--reason", "x", "--as", "A", "--key", folder / "lost.pem")
    assert lost.code == 2 and "cannot be read" in lost.err
    assert forks.run(folder, "key", folder / "okafor" / "signing.pub").out.startswith("sha256:")


def test_the_ledger_is_shown_and_tampering_stops_everything(forks, folder):
    shown = forks.run(folder, "ledger", "people")
    assert shown.code == 0, shown.err
    assert shown.out.count(" published ") == 2 and "2 releases in the store say the same" in shown.out
    assert "no formal guarantee" in shown.out
    assert forks.run(folder, "ledger", "other").code == 2
    entry = folder / ".store" / ".ledger" / "people" / "00000002.json"
    entry.unlink()
    cut = forks.run(folder, "ledger", "people")
    assert cut.code == 2 and "cut short" in cut.err and "Traceback" not in cut.err
    stopped = forks.run(folder, "run", folder / "source" / "people.yaml", "--seed", "9", *DIRECT)
    assert stopped.code == 2 and "cut short" in stopped.err
    assert "trained" not in newest(folder).read()  # before anything was trained


def test_an_expired_waiver_stops_a_run_before_it_trains(forks, folder):
    contract = folder / "source" / "people.yaml"
    contract.write_text(contract.read_text().replace("2099-06-30", "2024-02-29"))
    for command in (("check", contract), ("run", contract, *DIRECT)):
        stopped = forks.run(folder, *command)
        assert stopped.code == 2 and "expired on 2024-02-29" in stopped.err
    assert len(Workspace(folder / ".synth").runs()) == 2


def test_ledger_and_statements_hold_no_private_value(forks, folder):
    """Nor the names that runs know people by, which could be guessed from a list of keys."""
    secrets = plant(folder / "again", rows=700).secrets
    table = (folder / "source" / "people.csv").read_text().splitlines()[1:]
    keys = sorted({line.split(",")[0] for line in table})
    names = [digest(key).to_bytes(8, order) for key in keys for order in ("big", "little")]
    inside = Scanner(names).folder(newest(folder).private)
    assert len(inside.found) >= len(keys) // 2, "the scanner finds nothing even where the names are"
    signed = ("--as", "A. Okafor", "--key", folder / "okafor" / "signing.pem")
    assert forks.run(folder, "approve", f"people@{release_names(folder)[1]}", *signed).code == 0
    outside = Scanner([*secrets, *names]).folder(folder / ".store")
    outside.folder(newest(folder).stage_folder("judge")).file(newest(folder).folder / "run.json")
    for arguments in (("ledger", "people"), ("list",)):
        outside.bytes(forks.run(folder, *arguments).out.encode(), arguments[0])
    assert outside.files > 20 and outside.found == {}
