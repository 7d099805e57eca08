"""Everything a person can hand over that is wrong: exit 2, one screen that says where, nothing written elsewhere.

One test for each kind, through the command line. What is refused in which words is tested beside each reader.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.workspace import STAGES
from tests.e2e.conftest import DIRECT, little, only_run

SECRET = "Qz81Secret"
HEAD = "age,town,born,ill"
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: t
name: t
version: "1.0.0"
status: active
servers:
  - {{server: local, type: local, path: "{path}", format: {format}}}
schema:
  - name: t
    properties:
      - {{name: age, logicalType: integer, logicalTypeOptions: {{minimum: 0, maximum: 120}}}}
      - {{name: town, logicalType: string, customProperties: [{{property: synthesis.role, value: categorical}}]}}
      - {{name: born, logicalType: date}}
      - {{name: ill, logicalType: boolean}}
    customProperties:
      - {{property: synthesis.target, value: ill}}
      - {{property: synthesis.task, value: classification}}
customProperties:
  - {{property: synthesis.domain, value: tabular}}
{more}"""


def rows(count: int = 1200, **cells: str) -> list[str]:
    """Good rows; ``cells`` replace columns in the rows 30, 31 and 32."""
    good = [f"{20 + i % 60},{('north', 'south', 'west')[i % 3]},19{40 + i % 50}-0{1 + i % 9}-11,"
            f"{'yes' if i % 4 else 'no'}" for i in range(count)]
    for i in (30, 31, 32) if cells else ():
        values = dict(zip(HEAD.split(","), good[i].split(","), strict=True)) | cells
        good[i] = ",".join(values.values())
    return good


def write(folder: Path, data: bytes | str | list[str] | None, *, name: str = "t.csv", path: str = "", more: str = "",
          change: tuple[str, str] = ("", "")) -> Path:
    """The data and a contract for it in ``folder``; returns the contract."""
    if isinstance(data, list):
        data = "\n".join([HEAD, *data]) + "\n"
    if data is not None:
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    kind = "parquet" if name.endswith(".parquet") else "csv"
    text = CONTRACT.format(path=path or name, format=kind, more=more)
    assert change[0] in text
    contract = folder / "t.yaml"
    contract.write_text(text.replace(*change) if change[0] else text)
    return contract


def parquet(**columns) -> bytes:
    """A Parquet file of good columns, some replaced."""
    good = pa.Table.from_pylist([dict(zip(HEAD.split(","), row.split(","), strict=True)) for row in rows()])
    good = good.set_column(0, "age", pa.array([int(a) for a in good["age"].to_pylist()]))
    for name, values in columns.items():
        good = good.set_column(good.column_names.index(name), name, values)
    out = io.BytesIO()
    pq.write_table(good, out)
    return out.getvalue()


def test_the_good_table_is_good(synth, tmp_path):
    """So what is refused below is refused for the fault."""
    said = synth("check", write(tmp_path, rows()))
    assert (said.code, said.err.replace("read the table: done in 0.0 s\n", "")) == (0, "")
    assert synth("check", write(tmp_path, parquet(), name="t.parquet")).code == 0


CSV = {
    "missing file": (None, "no such file"),
    "empty file": (b"", "empty"),
    "ragged: a cell too many": ([*rows(), f"30,north,1950-01-11,yes,{SECRET}"], "row 1202"),
    "ragged: a cell too few": ([*rows(), "30,north"], "row 1202"),
    "not UTF-8": ("\n".join([HEAD, *rows(town="Z\xfcrich")]).encode("latin-1"), "encoding"),
    "not text": (b"\x00\x01\x02PK", "not text"),
    "column twice": (f"{HEAD},age\n" + "\n".join(f"{r},{SECRET}" for r in rows()), "'age'"),
    "column in the contract only": ("age,town,ill\n" + "\n".join("30,north,yes" for _ in range(1200)), "'born'"),
    "column in the data only": (f"{HEAD},pin\n" + "\n".join(f"{r},{SECRET}" for r in rows()), "'pin'"),
    "header only": ([], "row"),
    "all missing": ("\n".join([HEAD, *(f"{20 + i % 60},,1950-01-11,{'yes' if i % 4 else 'no'}" for i in range(1200))]),
                    "town"),
    "outside the bounds": (rows(age="4711"), "age"),
    "infinity": (rows(age="inf"), "age"),
    "not a number": (rows(age=SECRET), "age"),
    "mixed types in a column": (rows(born=SECRET), "born"),
    "not a date": (rows(born="1950-13-41"), "born"),
    "as many values as rows": ("\n".join([HEAD, *(f"30,{SECRET}{i},1950-01-11,{'yes' if i % 4 else 'no'}"
                                                 for i in range(1200))]), "town"),
    "three words for true and false": (rows(ill=SECRET), "ill"),
}


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("kind", CSV)
def test_bad_csv(synth, tmp_path, kind, verb):
    data, says = CSV[kind]
    refused(synth, tmp_path, write(tmp_path, data), verb, says)


def refused(synth, folder: Path, contract: Path, verb: str, says: str) -> None:
    """Exit 2, one screen with ``says``, no cell, nothing outside the workspace."""
    before = {p.name for p in folder.iterdir()}
    said = synth(verb, contract, *(DIRECT if verb == "run" else ()))
    assert said.code == 2, said.err
    assert said.one_screen and "what to do" in said.err, said.err
    assert says in said.err, said.err
    assert SECRET not in said.err + said.out and "4711" not in said.err
    assert {p.name for p in folder.iterdir()} - before <= {".synth"}


BINARY = parquet()
PARQUET = {
    "truncated": (BINARY[: len(BINARY) // 2], "Parquet"),
    "no Parquet at all": (f"{HEAD}\n{SECRET}".encode(), "Parquet"),
    "a damaged page": (BINARY[:60] + bytes(200) + BINARY[260:], "t.parquet"),
    "a number column of text": (parquet(age=pa.array([SECRET] * 1200)), "age"),
    "infinities": (parquet(age=pa.array([30.0, float("inf")] * 600)), "age"),
    "lists in a column": (parquet(town=pa.array([[SECRET]] * 1200)), "town"),
}


@pytest.mark.parametrize("kind", PARQUET)
def test_bad_parquet(synth, tmp_path, kind):
    data, says = PARQUET[kind]
    refused(synth, tmp_path, write(tmp_path, data, name="t.parquet"), "check", says)


def test_a_truncated_gzip(synth, tmp_path):
    data = gzip.compress("\n".join([HEAD, *rows()]).encode())
    refused(synth, tmp_path, write(tmp_path, data[: len(data) // 2], name="t.csv.gz"), "check", "t.csv.gz")


def test_a_gigabyte_in_one_cell_costs_no_gigabyte(synth, tmp_path):
    """A quotation mark that is never closed, in a file with a hole (which costs no disk)."""
    import resource

    contract = write(tmp_path, [*rows(), '30,"'])
    with (tmp_path / "t.csv").open("r+b") as file:
        file.seek(1 << 30)
        file.write(b"x")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(synth, tmp_path, contract, "check", "row")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_links_that_leave_the_folder_of_the_data(synth, tmp_path):
    (tmp_path / "secret.csv").write_text("\n".join([HEAD, *rows()]))
    (tmp_path / "data").mkdir()
    os.symlink(tmp_path / "secret.csv", tmp_path / "data" / "part.csv")
    refused(synth, tmp_path, write(tmp_path, None, path="data"), "check", "part.csv")


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("path", ["../t.csv", "data/../../t.csv", "../*.csv", "data/../t.csv"])
def test_a_location_that_climbs_out_of_the_contract_s_folder(synth, tmp_path, path, verb):
    """Good data lies at every one of these places: the location is refused, not what is there."""
    inner = tmp_path / "inner"
    for folder in (inner / "data", tmp_path, inner):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "t.csv").write_text("\n".join([HEAD, *rows()]))
    contract = write(inner, None, path=path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    refused(synth, tmp_path, contract, verb, "leaves the contract's folder")
    line = 1 + next(i for i, text in enumerate(contract.read_text().splitlines()) if path in text)
    assert f"t.yaml:{line}" in synth(verb, contract).err
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.parametrize(("data", "name"), [
    (b"\xef\xbb\xbf" + "\n".join([HEAD, *rows()]).encode(), "t.csv"),  # a byte-order mark
    ("\n".join([HEAD, *rows(born="1601-02-03")]).encode(), "t.csv"),  # older than nanoseconds can say
    ("\n".join([HEAD, *rows(town="=cmd()")]).encode(), "t.csv"),  # a formula; escaped when written (test_export)
    (parquet(born=pa.array(np.arange(1200) * 10**9, pa.timestamp("us", "Europe/Zurich"))), "t.parquet"),
    (parquet(town=pa.array(["north"] * 1200)), "t.parquet"),  # constant
], ids=["byte-order mark", "dates before 1678", "formula", "time zone", "constant"])
def test_unusual_but_good(synth, tmp_path, data, name):
    change = ("logicalType: date", "logicalType: timestamp") if name == "t.parquet" and b"Zurich" in data else ("", "")
    said = synth("check", write(tmp_path, data, name=name, change=change))
    assert said.code == 0, said.err


SETTINGS = {
    "unknown property": "synthesis.gatez, value: 1", "unknown recipe": "synthesis.training, value: {recipe: nothing}",
    "unknown option": "synthesis.training, value: {options: {speed: 3}}",
    "unknown gate": "synthesis.gates, value: {leekage: {auc: {limit: 0.6, reason: x}}}",
    "unknown limit": "synthesis.gates, value: {leakage: {acu: {limit: 0.6, reason: x}}}",
    "limit without a reason": "synthesis.gates, value: {leakage: {auc: {limit: 0.6}}}",
    "limit out of range": "synthesis.gates, value: {leakage: {distance: {limit: 0, reason: x}}}",
    "share above one": "synthesis.gates, value: {leakage: {isolated_share: {limit: 1.5, reason: x}}}",
    "a budget of nothing": "synthesis.budget, value: {epsilon: 0, delta: 1.0e-6}",
    "split over one": "synthesis.split, value: {train: 0.9, holdout: 0.9, reference: 0.2}",
    "a small k without a reason": "synthesis.k, value: 3",
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_bad_settings_have_their_line(synth, tmp_path, kind):
    contract = write(tmp_path, rows(), more=f"  - {{property: {SETTINGS[kind]}}}\n")
    line = len(contract.read_text().splitlines())
    refused(synth, tmp_path, contract, "check", f"t.yaml:{line}")


@pytest.mark.parametrize("text", ["", "- a\n", "{", "a: &a [*a]\n", "\x00\x01", "kind: DataContract\n"])
def test_contracts_that_are_none(synth, tmp_path, text):
    (tmp_path / "t.yaml").write_text(text)
    refused(synth, tmp_path, tmp_path / "t.yaml", "check", "t.yaml")
    refused(synth, tmp_path, tmp_path / "t.yaml", "run", "t.yaml")


def test_all_problems_at_once(synth, tmp_path):
    contract = write(tmp_path, rows(age="4711", born=SECRET, ill=SECRET))
    said = synth("check", contract)
    assert said.code == 2 and said.one_screen
    assert all(name in said.err for name in ("age", "born", "ill")) and SECRET not in said.err


@pytest.mark.parametrize(("data", "name"), [
    (None, "t.csv"), (b"", "t.csv"), (b"a,a\n1,2\n", "t.csv"), (BINARY[:500], "t.parquet"), (b"\x00\x01", "t.csv")])
def test_bad_data_for_a_draft(synth, tmp_path, data, name):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    before = set(tmp_path.iterdir())
    said = synth("init", name, "--name", "drafted")
    assert said.code == 2 and said.one_screen and name in said.err, said.err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("count", [1, 150])
def test_too_few_rows_run_and_end_inconclusive(forks, tmp_path, count):
    """Not an error: the report says what is missing. The gates' own limits hold here."""
    contract = little(tmp_path / "source", rows=count)
    text = contract.read_text()
    contract.write_text(text[: text.index("  - property: synthesis.gates")])
    said = forks.run(tmp_path, "run", contract, *DIRECT)
    assert said.code == 3 and "inconclusive" in said.err, said.err
    run = only_run(tmp_path)
    assert list(run.read()["stages"]) == list(STAGES[:5])
    report = json.loads((run.stage_folder("judge") / "report.json").read_text())
    assert "fail" not in {g["verdict"] for g in report["gates"]}
    assert not (tmp_path / ".store").exists()


@pytest.fixture(scope="module")
def pulled(forks, finished, tmp_path_factory):
    """A release, pulled with the key of its publisher trusted."""
    folder = tmp_path_factory.mktemp("pulled")
    shutil.copytree(finished.folder / "keys", folder / "keys")
    done = forks.run(folder, "pull", "people", "--store", finished.folder / ".store", "--to", "releases")
    assert done.code == 0, done.err
    (release,) = (folder / "releases" / "people").iterdir()
    assert forks.run(folder, "verify", release).code == 0
    return release


FILES = ("README.md", "contract.yaml", "croissant.json", "data/train-00000-of-00001.parquet", "manifest.json",
         "report.html", "report.json")


def test_the_release_has_no_other_files(pulled):
    found = {str(p.relative_to(pulled)) for p in pulled.rglob("*") if p.is_file()}
    assert set(FILES) <= found and len(found) <= len(FILES) + 2, found  # and its signature and public key


def test_verify_names_each_file_that_was_changed(forks, pulled, tmp_path):
    folder = pulled.parents[2]
    for name in sorted(str(p.relative_to(pulled)) for p in pulled.rglob("*") if p.is_file()):
        copy = tmp_path / name.replace("/", "-") / pulled.name
        shutil.copytree(pulled, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        said = forks.run(folder, "verify", copy)
        assert said.code == 2 and "Traceback" not in said.err, (name, said.err)
        assert Path(name).name in said.err or "signature" in said.err, (name, said.err)


def test_verify_names_a_swapped_version(forks, finished, pulled, tmp_path):
    """Whole, well signed, and not the version that its folder says."""
    copy = tmp_path / "people" / "2031.01.01.1"
    shutil.copytree(pulled, copy)
    said = forks.run(pulled.parents[2], "verify", copy)
    assert said.code == 2 and "swapped" in said.err and pulled.name in said.err, said.err
    store = tmp_path / "store"
    shutil.copytree(finished.folder / ".store", store)
    index = (store / "index.json").read_text()
    (store / "index.json").write_text(index.replace(pulled.name, "2031.01.01.1"))
    (store / "people" / pulled.name).rename(store / "people" / "2031.01.01.1")
    said = forks.run(pulled.parents[2], "pull", "people", "--store", store, "--to", tmp_path / "to")
    assert said.code == 2 and not list((tmp_path / "to").rglob("*.parquet")), said.err
