from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import synth
from synth.errors import InternalError, Rejected, UserError
from synth.release.card import plain
from synth.release.croissant import data_type
from synth.release.manifest import Manifest, walk
from synth.release.provenance import statement
from synth.release.publish import publish
from synth.release.published import public_document
from synth.release.signing import open_envelope, signing_key
from tests.release.bench_release import PRIVATE, PROVENANCE, REPORT, Bench, make_contract, write_shards


@pytest.fixture
def release(bench: Bench) -> Path:
    made = bench.publish()
    return bench.store / made["name"] / made["version"]


def test_a_release_has_exactly_its_files(release: Path) -> None:
    assert [p.relative_to(release).as_posix() for p in walk(release)] == [
        "README.md", "contract.yaml", "croissant.json", "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet", "manifest.json", "provenance.dsse.json", "publisher.pub", "report.html",
        "report.json"]


def test_the_manifest_lists_every_file_but_itself_and_the_signature(release: Path) -> None:
    manifest = json.loads((release / "manifest.json").read_text())
    listed = {f["path"]: f for f in manifest["files"]}
    for path in walk(release):
        name = path.relative_to(release).as_posix()
        if name in ("manifest.json", "provenance.dsse.json"):
            assert name not in listed
            continue
        entry = listed.pop(name)
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert entry["bytes"] == path.stat().st_size
        assert entry["rows"] == (50 if name.startswith("data/") else None)
    assert not listed and manifest["synthetic"] is True and manifest["retention_until"] == "2099-01-31"


def test_the_statement_says_what_was_done_and_not_the_seed(bench: Bench, release: Path) -> None:
    signed = open_envelope((release / "provenance.dsse.json").read_bytes(), signing_key(bench.keys).public)
    assert signed["_type"] == "https://in-toto.io/Statement/v1"
    assert signed["predicateType"] == "https://slsa.dev/provenance/v1"
    manifest = (release / "manifest.json").read_bytes()
    subjects = {s["name"]: s["digest"]["sha256"] for s in signed["subject"]}
    assert subjects.pop("manifest.json") == hashlib.sha256(manifest).hexdigest()
    assert subjects == {f["path"]: f["sha256"] for f in json.loads(manifest)["files"]}
    build = signed["predicate"]["buildDefinition"]
    parameters = build["externalParameters"]
    assert parameters["synthetic"] is True and parameters["version"] == release.name
    assert parameters["contract"]["digest"]["sha256"] == "c" * 64 and parameters["plan"]["digest"]["sha256"] == "d" * 64
    assert parameters["gates"] == PROVENANCE["gates"]
    assert build["resolvedDependencies"][0]["digest"] == {"gitCommit": "a" * 40}
    assert signed["predicate"]["runDetails"]["metadata"]["invocationId"] == "run-1"
    assert "seed" not in json.dumps(signed).lower()


@pytest.mark.parametrize("changed", [{"seed": 7}, {"private_path": "/x"}])
def test_nothing_unknown_gets_into_the_statement(bench: Bench, changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="unknown keys"):
        publish(bench.folder / "r", contract=make_contract(), shards=write_shards(bench.folder / "s"), report=REPORT,
                html="", provenance={**PROVENANCE, **changed}, store=bench.store, run="r", keys=bench.keys)
    assert not list(bench.store.rglob("*.parquet"))


def test_gates_are_stated_without_their_findings(bench: Bench) -> None:
    manifest = Manifest(name="people", version="2026.01.01.1", created="2026-01-01T00:00:00Z", files=())
    gate = {**PROVENANCE["gates"][0], "findings": ["big"], "seconds": 3}
    signed = statement(make_contract(), manifest, "e" * 64, {**PROVENANCE, "gates": [gate]})
    assert signed["predicate"]["buildDefinition"]["externalParameters"]["gates"] == PROVENANCE["gates"]


def test_the_published_contract_says_nothing_of_the_source(release: Path) -> None:
    text = (release / "contract.yaml").read_text()
    for secret in (PRIVATE, "patients_live", "jane.secret", "person_key", "secret-example-77", "secret_query",
                   "AGE_SECRET_COLUMN", "internal.owner", "examples", "servers"):
        assert secret not in text
    for path in walk(release):
        assert PRIVATE.encode() not in path.read_bytes() and b"person_key" not in path.read_bytes()


def test_the_published_contract_is_a_contract(release: Path) -> None:
    from open_data_contract_standard.model import OpenDataContractStandard

    contract = OpenDataContractStandard.from_string((release / "contract.yaml").read_text())
    assert contract.schema_ is not None and contract.schema_[0].properties is not None
    assert [p.name for p in contract.schema_[0].properties] == ["age", "income", "group", "ticket"]
    age = contract.schema_[0].properties[0]
    assert age.required and age.logicalTypeOptions == {"minimum": 0, "maximum": 120}
    assert [q.metric for q in age.quality or []] == ["nullValues"]
    # The pydantic model takes any property, the standard's schema does not.
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(yaml.safe_load((release / "contract.yaml").read_text()),
                        json.loads(OpenDataContractStandard.json_schema()))


def test_a_contract_built_in_code_is_published_too() -> None:
    document = public_document(make_contract(raw={}))
    assert document["name"] == "people" and len(document["schema"][0]["properties"]) == 4


def test_the_card_has_front_matter_the_verdict_and_the_terms(release: Path) -> None:
    text = (release / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["license"] == "cc-by-4.0" and "synthetic" in matter["tags"]
    assert matter["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert matter["size_categories"] == ["n<1K"] and matter["task_categories"] == ["tabular-classification"]
    assert ("| contract | Does every row keep the contract? | pass | 1 of 1 | "
            r"Rows \| that break a &lt;= b: 0, upper bound 0.01, limit at most 0.05 |") in body
    assert "re-identify" in body and "small table" in body and "what the contract does not say" in body
    assert "<b>" not in body and "2099-01-31" in body


@pytest.mark.parametrize("text", ["a|b\n# c", "<script>x</script>", "[x](javascript:1)", "![x](http://e)", "`$(x)`",
                                  "\\| x"])
def test_text_of_a_contract_cannot_change_the_card(text: str) -> None:
    line = plain(text)
    assert "\n" not in line and "<" not in line
    assert not re.search(r"(?<!\\)(\\\\)*[|`\[\]#!]", line)


def test_croissant_is_valid_and_reads_the_rows_back(release: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(str(release / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    rows = list(dataset.records("rows"))
    table = pq.read_table(release / "data")
    assert len(rows) == table.num_rows == 100
    assert sorted(r["rows/age"] for r in rows) == sorted(table["age"].to_pylist())
    metadata = dataset.metadata
    assert metadata.personal_sensitive_information == ["age", "income"]
    assert "re-identify" in metadata.data_social_impact


def test_croissant_carries_the_digests(release: Path) -> None:
    document = json.loads((release / "croissant.json").read_text())
    assert "http://mlcommons.org/croissant/1.1" in document["conformsTo"]
    files = [d for d in document["distribution"] if d["@type"] == "cr:FileObject"]
    assert len(files) == 2
    for file in files:
        assert file["encodingFormat"] == "application/x-parquet"
        assert file["sha256"] == hashlib.sha256((release / file["contentUrl"]).read_bytes()).hexdigest()


@pytest.mark.parametrize(("arrow", "expected"), [
    (pa.int64(), "sc:Integer"), (pa.uint8(), "sc:Integer"), (pa.float64(), "sc:Float"), (pa.bool_(), "sc:Boolean"),
    (pa.decimal128(9, 2), "sc:Float"), (pa.timestamp("us", "UTC"), "sc:DateTime"), (pa.date32(), "sc:Date"),
    (pa.string(), "sc:Text"), (pa.dictionary(pa.int8(), pa.string()), "sc:Text")])
def test_arrow_types_have_a_croissant_name(arrow: pa.DataType, expected: str) -> None:
    assert data_type(str(arrow)) == expected


def test_pandas_arrow_and_duckdb_layout(release: Path) -> None:
    import pandas as pd
    import pyarrow.dataset as ds

    assert len(pd.read_parquet(release / "data")) == 100
    assert ds.dataset(release / "data", format="parquet").count_rows() == 100


def test_shards_with_a_column_that_is_not_released_are_refused(bench: Bench) -> None:
    folder = write_shards(bench.folder / "leaky", shards=1)
    path = next(folder.iterdir())
    pq.write_table(pq.read_table(path).append_column("person_key", pa.array(["p"] * 50)), path)
    with pytest.raises(InternalError, match="does not release"):
        bench.publish(shards=folder)
    assert not list(bench.store.rglob("*.parquet"))


def test_no_shards_and_uneven_shards_are_refused(bench: Bench) -> None:
    (bench.folder / "none").mkdir()
    with pytest.raises(InternalError, match="no shards"):
        bench.publish(shards=bench.folder / "none")
    folder = write_shards(bench.folder / "uneven")
    path = sorted(folder.iterdir())[0]
    pq.write_table(pq.read_table(path).drop(["income"]), path)
    with pytest.raises(InternalError, match="same columns"):
        bench.publish(shards=folder)


def test_a_report_that_is_no_json_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError):
        publish(bench.folder / "r", contract=make_contract(), shards=write_shards(bench.folder / "s"),
                report={"value": float("nan")}, html="", provenance=PROVENANCE, store=bench.store, run="r",
                keys=bench.keys)
    assert not list(bench.store.rglob("*.parquet"))


def test_importing_synth_is_cheap_and_pulling_needs_no_torch() -> None:
    code = ("import sys, synth; light = set(sys.modules); synth.pull, synth.__version__; heavy = set(sys.modules);"
            "assert not {'cryptography', 'pyarrow', 'fsspec', 'numpy'} & light, light;"
            "assert not {'torch', 'pandas', 'sklearn', 'great_expectations'} & heavy")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(synth.__file__).parents[1])


def test_the_guard_notices_another_package_called_validators(tmp_path: Path) -> None:
    synth.guard()
    (tmp_path / "validators").mkdir()
    (tmp_path / "validators" / "__init__.py").write_text("")
    code = ("import sys; sys.path[:0] = sys.argv[1:]; import synth\n"
            "from synth.errors import UserError\n"
            "try: synth.guard()\nexcept UserError as error: print(error)")
    root = str(Path(synth.__file__).parents[1])
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path), root], capture_output=True, text=True,
                          check=True, cwd=tmp_path).stdout
    assert "another package called `validators`" in said and str(tmp_path) in said


def test_the_guard_notices_a_package_that_overwrote_ours(tmp_path: Path) -> None:
    home = Path(synth.__file__).parent
    for name in ("synth", "validators", "validators-0.36.0.dist-info"):
        (tmp_path / name).mkdir()
    for name in ("__init__.py", "errors.py"):
        (tmp_path / "synth" / name).write_bytes((home / name).read_bytes())
    (tmp_path / "validators" / "__init__.py").write_text("")
    code = "import synth\ntry: synth.guard()\nexcept Exception as error: print(error)"
    command = [sys.executable, "-c", code]
    assert "hides ours" in subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    (tmp_path / "validators-0.36.0.dist-info").rmdir()
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout == ""


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        synth.nothing  # noqa: B018


def test_a_release_needs_a_name_that_can_be_a_folder(bench: Bench) -> None:
    with pytest.raises(UserError):
        bench.publish(contract=make_contract(name="../up"))


@pytest.mark.parametrize("gates", [[], [{"gate": "contract", "verdict": "pass", "limits": {}},
                                        {"gate": "leakage", "verdict": "inconclusive", "limits": {}}]])
def test_what_a_gate_stopped_cannot_be_published(bench: Bench, gates: list[dict[str, Any]]) -> None:
    with pytest.raises(Rejected, match="not published"):
        publish(bench.folder / "r", contract=make_contract(), shards=write_shards(bench.folder / "s"), report=REPORT,
                html="", provenance={**PROVENANCE, "gates": gates}, store=bench.store, run="r", keys=bench.keys)
    assert not bench.store.exists() and not (bench.folder / "r").exists()


def test_the_envelope_is_small_and_plain(release: Path) -> None:
    outer = json.loads((release / "provenance.dsse.json").read_text())
    assert set(outer) == {"payloadType", "payload", "signatures"}
    assert base64.b64decode(outer["payload"], validate=True)
