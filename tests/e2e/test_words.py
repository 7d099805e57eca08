"""What the commands say beside their results."""

from __future__ import annotations

import pytest

import synth as package
from synth.errors import UserError
from tests.e2e.conftest import DIRECT
from tests.e2e.people import plant


def test_a_hidden_validators_package_is_noticed_before_any_command(synth, monkeypatch):
    def hidden():
        raise UserError("another package called `validators` hides ours", todo="pip uninstall validators")

    monkeypatch.setattr(package, "guard", hidden)
    said = synth("runs")
    assert said.code == 2 and "hides ours" in said.err and said.one_screen and said.out == ""


def test_check_tells_what_would_not_stop_a_run(synth, tmp_path):
    planted = plant(tmp_path / "source", rows=120)
    text = planted.contract.read_text()
    kept = [line for line in text.splitlines() if "synthesis.target" not in line and "synthesis.task" not in line]
    planted.contract.write_text("\n".join(kept) + "\n")
    lines = (tmp_path / "source" / "people.csv").read_text().splitlines()
    lines[1:] = [",".join([*line.split(",")[:4], "north", *line.split(",")[5:]]) for line in lines[1:]]
    (tmp_path / "source" / "people.csv").write_text("\n".join(lines) + "\n")
    said = synth("check", planted.contract)
    assert said.code == 0, said.err
    for words in ("fewer than 1000 rows", "column 'town' has the same value in every row", "has no target"):
        assert f"{words}" in said.out, words
    assert said.out.count("note: ") == 3 and "north" not in said.out + said.err


def test_help_shows_how_conditions_are_written(synth):
    from synth.tabular.conditions import GRAMMAR

    said = synth("sample", "--help")
    assert said.code == 0
    assert all(line in said.out for line in GRAMMAR.splitlines())


@pytest.mark.parametrize("arguments", [
    ("run", "nothing.yaml", *DIRECT), ("show", "nothing"), ("show", "../x"), ("run",),
    ("run", "people.yaml", "--resume", "x"),
    ("run", "people.yaml", "--engine", "x"), ("run", "people.yaml", *DIRECT[:2], "--device", "tpu"),
    ("run", "people.yaml", "--store", "s3://me:secret@b", *DIRECT), ("report", "nothing"),
    ("init", "people.csv", "--name", "../x"), ("list", "--store", "ftp://a/b"), ("verify", "nothing"),
    ("demo", "--domain", "sound", *DIRECT[:2]), ("sample", "nothing", "--rows", "3"), ("pull", "people", "--to", "got"),
    ("impute", "nothing", "people.csv", "--out", "x.csv"), ("run", "people.yaml", "--seed", "x"),
    ("sample", "nothing", "--rows", "0"), ("nonsense",), ("serve", "nothing.yaml", "--cron", "0 2 * * *"),
], ids=" ".join)
def test_bad_arguments(synth, tmp_path, arguments):
    """Exit 2, one screen, no credentials repeated, and nothing but a workspace appears."""
    plant(tmp_path, rows=40)
    before = {p.name for p in tmp_path.iterdir()}
    said = synth(*arguments)
    assert said.code == 2, said.err
    assert said.one_screen and said.out == "" and "secret" not in said.err
    assert {p.name for p in tmp_path.iterdir()} - before <= {".synth"}
