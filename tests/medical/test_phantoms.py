import hashlib
import json
from collections import Counter

import numpy as np
import pydicom
import pytest

from synth.contract.load import load
from synth.medical import demo, phantoms
from synth.medical.files import Loaded, read
from synth.medical.ingest import ingest
from synth.medical.phantoms import DEFECTS, FINDINGS, SCANNERS, draw, head, make, spoil
from synth.medical.stored import StoredImages
from synth.progress import Silent

CONTRACT = "data_contracts/phantoms.yaml"


@pytest.fixture
def pixels(request):
    return load(request.config.rootpath / CONTRACT).pixels


def digests(folder):
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.dcm")}


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    counts = make(tmp_path / "a", patients=14, seed=5)
    assert make(tmp_path / "b", patients=14, seed=5) == counts
    make(tmp_path / "c", patients=14, seed=6)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert len(digests(tmp_path / "a")) == counts["images"] + counts["defects"]
    assert counts["twice"] == counts["defects"] == 1
    shared = set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "c").values())
    assert not shared


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_defect_is_put_aside_at_every_scanner(tmp_path, pixels, kind):
    reasons = Counter()
    for number in range(12):
        patient = draw(number, seed=9)
        path = tmp_path / "bad.dcm"
        spoil(kind, patient, number, path, 9)
        found = read(path, pixels)
        assert not isinstance(found, Loaded), (kind, patient.scanner.name)
        reasons[found.code] += 1
    assert set(reasons) <= ({"truncated", "damaged"} if kind in ("truncated", "damaged") else {kind})


def test_sound_slices_are_read_and_look_alike_at_every_scanner(pixels):
    """Also where white is low: inside the head is brain, not its negative."""
    means = {scanner.name: [] for scanner in SCANNERS}
    for number in range(40):
        patient = draw(number, seed=3)
        values = head(patient, number, 0)
        middle = values.shape[0] // 2
        means[patient.scanner.name].append(values[middle - 4:middle + 4, middle - 4:middle + 4].mean())
    assert all(0 < np.mean(found) < 60 for found in means.values())


def test_findings_differ_from_none_by_what_they_add():
    size = np.linspace(-1, 1, 64)
    y, x = np.meshgrid(size, size, indexing="ij")
    added = {f: phantoms.lesion(f, x, y, np.random.default_rng(1), np.random.default_rng(2)) for f in FINDINGS}
    assert not added["none"].any()
    assert added["nodule"].max() > 40 and added["nodule"].min() == 0
    assert added["ring"].max() > 40 and added["ring"].min() < -20
    assert added["diffuse"].max() < 0


def test_ventricles_widen_with_age():
    from dataclasses import replace

    def dark(age):
        patient = replace(draw(1, seed=4), age=age, finding="none", scanner=replace(SCANNERS[0], noise=0.0))
        values = head(patient, 8, 0)
        return ((values > 0) & (values < 18)).sum()

    assert dark(20) < dark(55) < dark(90)


def test_the_hospital_goes_the_whole_way_to_the_stored_form(tmp_path, request):
    """Patients that are in it twice are found, defects put aside, and what a header says of people stays out."""
    from dataclasses import replace

    counts = make(tmp_path / "phantoms", patients=120, seed=5, most_images=2)
    contract = replace(load(request.config.rootpath / CONTRACT), source=str(tmp_path / "phantoms"))
    out = tmp_path / "out"
    out.mkdir()
    record = ingest(contract, out, progress=Silent())
    assert record["images"] == counts["images"] and sum(record["quarantined"].values()) == counts["defects"]
    assert record["patients"] == 120 + counts["twice"]
    assert counts["twice"] <= record["patients_merged"] <= counts["twice"] + 6
    stored = StoredImages.open(out)
    assert set(stored.table.read()["lesion"]) == set(FINDINGS)
    assert stored.table.read()["age"].max() <= 90
    ages = [int(str(pydicom.dcmread(p, stop_before_pixels=True).PatientAge)[:3])
            for p in (tmp_path / "phantoms").rglob("*_0.dcm")]
    assert max(ages) > 90, "there is somebody to protect"
    (out / "quarantine.jsonl").unlink()  # names of files, on purpose
    for path in out.iterdir():
        content = path.read_bytes()
        for secret in (b"PH000", b"Phantom^", b"Shepp", b"2.25.", b"A0000"):
            assert secret not in content, (path.name, secret)
    assert "PH0" not in json.dumps(record)


def test_the_demo_builds_it_once(tmp_path, monkeypatch):
    made = []

    def small(folder):
        made.append(folder)
        return make(folder, patients=4)

    monkeypatch.setattr(phantoms, "make", small)
    path = demo.materialise(tmp_path / "data")
    assert path == tmp_path / "data" / "phantoms" and len(list(path.rglob("*.dcm"))) > 4
    assert demo.materialise(tmp_path / "data") == path and len(made) == 1
    (path / demo.MADE).write_text("an earlier version")
    assert demo.materialise(tmp_path / "data") == path and len(made) == 2
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["phantoms"]
