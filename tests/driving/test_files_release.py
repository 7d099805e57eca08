"""A set of scenes as a release: what it lists leaves, nothing else does, and the card says what is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synth
from synth.contract.load import load
from synth.driving.files.write import write_scenes
from synth.errors import InternalError
from synth.progress import Silent
from tests.driving.traffic import scenes
from tests.release.bench_release import Bench

CONTRACT = Path(__file__).resolve().parents[2] / "data_contracts" / "motorway.yaml"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("SYNTH_KEY_HOME", str(tmp_path / "keys"))
    monkeypatch.delenv("SYNTH_SIGNING_KEY", raising=False)
    return Bench(tmp_path)


@pytest.fixture
def contract():
    found = load(CONTRACT)
    return replace(found, traffic=replace(found.traffic, scenario_files=2))


@pytest.fixture
def shards(tmp_path: Path, contract) -> Path:
    traffic = scenes(5)
    write_scenes(tmp_path / "data" / "train", traffic, pa.Table.from_pandas(traffic.table, preserve_index=False),
                 contract, seed=0, progress=Silent())
    return tmp_path / "data"


def test_a_release_of_scenes_counts_scenes_and_can_be_pulled(bench, contract, shards, tmp_path):
    made = bench.publish(contract=contract, shards=shards)
    folder = synth.pull(contract.name, made["version"], store=bench.store, to=tmp_path / "pulled",
                        keys=bench.keys)
    files = {f["path"]: f for f in json.loads((folder / "manifest.json").read_text())["files"]}
    assert {path: f["rows"] for path, f in files.items() if f["rows"] is not None} == {"data/train/metadata.parquet": 5}
    assert sum(path.endswith(".xosc") for path in files) == 2 and sum("scenario_" in path for path in files) == 5
    listing = pd.read_parquet(folder / "data/train/metadata.parquet")
    assert len(listing) == 5 and (folder / "data/train" / listing.sumo_net[0]).is_file()
    card = (folder / "README.md").read_text()
    assert "5 scenes" in card and "first 2 scenes" in card and "| states_file | file |" in card
    assert "data/train/metadata.parquet" in card and "Every road in the files is straight" in card
    described = json.loads((folder / "croissant.json").read_text())
    assert {f["includes"] for f in described["distribution"] if "includes" in f} >= {
        "data/train/metadata.parquet", "data/train/**/*.xosc"}
    published = (folder / "contract.yaml").read_text()
    assert "scenarioFiles" not in published and "friction" in published and "recordings" not in published
    assert "columns:" not in published


@pytest.mark.parametrize("stray", ["train/notes.txt", "train/argoverse2/other.parquet", "train/sumo/9.fcd.xml"])
def test_a_stray_file_stops_the_release(bench, contract, shards, stray):
    path = shards / stray
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"manoeuvre": ["free"]}), path)
    else:
        path.write_text("x")
    with pytest.raises(InternalError, match="1 are not listed and 0 are missing"):
        bench.publish(contract=contract, shards=shards)


def test_a_missing_file_stops_the_release(bench, contract, shards):
    (shards / "train/openscenario/000001.xosc").unlink()
    with pytest.raises(InternalError, match="0 are not listed and 1 are missing"):
        bench.publish(contract=contract, shards=shards)


def test_a_release_without_its_listing_is_none(bench, contract, shards):
    (shards / "train/metadata.parquet").unlink()
    with pytest.raises(InternalError, match="no table that lists"):
        bench.publish(contract=contract, shards=shards)
