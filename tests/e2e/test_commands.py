"""What is done with a finished run: more rows, filled cells, the demo, the schedule."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from synth.tabular.demo import materialise
from synth.workspace import Workspace
from tests.e2e.conftest import DIRECT, FORMULA, LITTLE, little, only_run
from tests.e2e.people import open_gates

ROOT = Path(__file__).resolve().parents[2]


def test_rows_under_conditions_and_in_balance(forks, finished):
    said = forks.run(finished.folder, "sample", finished.run.id, "--rows", "300", "--where", "town=north|south",
                     "--where", "age>=60", "--where", "ill=true", "--seed", "5", "--out", "some.parquet")
    assert said.code == 0, said.err
    assert "did not pass the gates themselves" in said.out
    rows = pq.read_table(finished.folder / "some.parquet").to_pylist()
    assert len(rows) == 300
    assert all(r["town"] in ("north", "south") and r["age"] >= 60 and r["ill"] for r in rows)
    assert forks.run(finished.folder, "sample", finished.run.id, "--rows", "400", "--balance", "town", "--out",
                     "even.parquet").code == 0
    towns = pq.read_table(finished.folder / "even.parquet")["town"].to_pylist()  # with the fold of the rare ones
    assert {t: towns.count(t) for t in set(towns)} == dict.fromkeys(("north", "south", "east", FORMULA, "(rare)"), 80)


@pytest.mark.parametrize(("condition", "says"), [
    ("twon=north", "town"), ("age>=old", "age"), ("town", "--where"), ("town=nowhere", "town")])
def test_conditions_that_cannot_be_meant(forks, finished, condition, says):
    said = forks.run(finished.folder, "sample", finished.run.id, "--rows", "3", "--where", condition)
    assert said.code == 2 and says in said.err and "Traceback" not in said.err, said.err
    assert len(said.err.splitlines()) <= 24 and not (finished.folder / "sample.parquet").exists()


def test_missing_cells_are_filled_and_the_others_stay(forks, finished):
    source = finished.folder / "source" / "people.csv"
    rows = list(csv.DictReader(source.open()))[:200]
    for i, row in enumerate(rows):
        row[("age", "town", "income", "ill")[i % 4]] = ""
    holes = finished.folder / "holes.csv"
    with holes.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert sum(row["town"] == FORMULA for row in rows) > 20
    said = forks.run(finished.folder, "impute", finished.run.id, "holes.csv", "--out", "whole.csv", "--seed", "5")
    assert said.code == 0, said.err
    assert "keep it as they are kept" in said.out and "did not pass the gates themselves" in said.out
    filled = list(csv.DictReader((finished.folder / "whole.csv").open()))
    assert len(filled) == 200
    for row, full in zip(rows, filled, strict=True):
        for name in ("age", "town", "income", "ill"):
            assert full[name] != "", name
            if row[name]:
                same = float(full[name]) == float(row[name]) if name in ("age", "income") else (
                    full[name] == escaped(row[name]))
                assert same, name
    missing = forks.run(finished.folder, "impute", finished.run.id, "nothing.csv", "--out", "x.csv")
    assert missing.code == 2 and "nothing.csv" in missing.err and "Traceback" not in missing.err


def test_no_csv_that_is_written_has_a_cell_that_a_spreadsheet_would_run(forks, finished):
    """Parquet has the town's name as it is, CSV with an apostrophe before it; so has the CSV of filled cells."""
    assert FORMULA in (finished.folder / "source" / "people.csv").read_text()
    for name in ("formulas.csv", "formulas.parquet"):
        said = forks.run(finished.folder, "sample", finished.run.id, "--rows", "200", "--seed", "5", "--out", name)
        assert said.code == 0, said.err
    raw = pq.read_table(finished.folder / "formulas.parquet")["town"].to_pylist()
    with (finished.folder / "formulas.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert FORMULA in raw and [row["town"] for row in rows] == [escaped(town) for town in raw]
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


def escaped(town: str) -> str:
    """As it is written to CSV."""
    return "'" + town if town == FORMULA else town


def test_the_demo_s_road_on_a_shrunken_table(forks, tmp_path):
    pytest.importorskip("causaldata")
    source = materialise(tmp_path / "data")
    lines = source.read_text().splitlines()
    source.write_text("\n".join([lines[0], *lines[1::16]]) + "\n")
    lines_of_contract = (ROOT / "data_contracts" / "cps.yaml").read_text().splitlines(keepends=True)
    contract = "".join(line for line in lines_of_contract if "synthesis.training" not in line)
    contract = contract.partition("  - property: synthesis.gates\n")[0]  # the last block: all gates are opened below
    settings = f"  - {{property: synthesis.training, value: {LITTLE}}}\n{open_gates()}"
    (tmp_path / "cps.yaml").write_text(contract + settings)
    said = forks.run(tmp_path, "demo", "--engine", "direct", hook=f"little_demo:{tmp_path}")
    assert said.code == 0, said.err
    run = only_run(tmp_path)
    assert f"report     {run.stage_folder('judge') / 'report.html'}" in said.out and "published  cps" in said.out
    release = tmp_path / ".store" / "cps" / run.read()["stages"]["publish"]["version"]
    table = pq.read_table(release / "data")
    assert table.column_names == [c for c in lines[0].split(",") if c not in ("data_id", "treat")]


def test_a_stopped_model_gives_no_rows_and_a_second_training_needs_a_person(forks, tmp_path):
    contract = little(tmp_path / "source", rows=260)
    text = contract.read_text().replace("coverage: {limit: 0,", "coverage: {limit: 1,")
    text = text.replace("maxAttempts, value: 50", "maxAttempts, value: 1")
    contract.write_text(text + "  - {property: synthesis.k, value: {limit: 5, reason: villages were merged before}}\n")
    said = forks.run(tmp_path, "run", contract, *DIRECT)
    assert said.code == 3, said.err
    run = only_run(tmp_path)
    refused = forks.run(tmp_path, "sample", run.id, "--rows", "5")
    assert refused.code == 2 and "did not pass this run" in refused.err
    assert not (tmp_path / "sample.parquet").exists() and not (tmp_path / ".store").exists()
    refused = forks.run(tmp_path, "run", contract, *DIRECT)
    assert refused.code == 2 and "--acknowledge-attempts" in refused.err
    again = forks.run(tmp_path, "run", contract, "--acknowledge-attempts", "M. Lindqvist: new seed, once", *DIRECT)
    assert again.code == 3, again.err
    second = Workspace(tmp_path / ".synth").runs()[-1]
    page = " ".join((second.stage_folder("judge") / "report.html").read_text().split())
    for words in ("M. Lindqvist: new seed, once", "more allowed</a> by a person", "Phases of the training",
                  "changed this number from 10: villages were merged before."):
        assert words in page, words
    report = json.loads((second.stage_folder("judge") / "report.json").read_text())
    assert report["attempts"]["made"] == 2 and report["attempts"]["acknowledged"] == "M. Lindqvist: new seed, once"
    phases = report["model"]["phases"]
    assert [phase["name"] for phase in phases] == ["likelihood", "settling", "control"]
    assert all(phase["steps"] > 0 and phase["validation"] > 0 and phase["seconds"] >= 0 for phase in phases)


@pytest.mark.slow
def test_serve_starts_says_so_and_stops(finished, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "SYNTH"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "serve", str(finished.contract), "--cron", "0 2 * * *"], cwd=tmp_path,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**environment, "PYTHONPATH": str(ROOT)})
    try:
        lines = []
        while "serving people at '0 2 * * *'" not in (line := process.stdout.readline()):
            lines.append(line)
            assert line, "".join(lines)
        time.sleep(3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode in (0, 130), rest
    assert "Traceback" not in rest
    home = str(tmp_path / ".synth" / "prefect").encode()
    time.sleep(0.5)
    left = [p for p in Path("/proc").iterdir() if p.name.isdigit() and home in _environment(p)]
    assert left == []


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
