"""From a folder to the stored form, and what must not get there."""

from __future__ import annotations

import json
import pickle
import struct
import zlib

import numpy as np
import pytest

from synth.errors import Problems, UserError
from synth.medical import ingest as room
from synth.medical import workers
from synth.medical.cache import Cache, Prepared
from synth.medical.check import examine
from synth.medical.gather import make
from synth.medical.ingest import ingest
from synth.medical.intensity import as_float
from synth.medical.stored import StoredImages, read_images, write_images
from synth.progress import Silent
from synth.split import assign
from tests.medical.archives import (
    IDENTIFIER,
    LABEL,
    NUMBER,
    contract,
    crash_at_seven,
    dicom,
    patterned,
    picture,
    pngs,
    reciprocal,
    save,
)

K = {"k": {"limit": 2, "reason": "a small test"}}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def out(tmp_path):
    made = tmp_path / "out"
    made.mkdir()
    return made


def run(wanted, out):
    return ingest(wanted, out, progress=Silent())


def refused(wanted, out):
    with pytest.raises(UserError) as error:
        run(wanted, out)
    return error.value.render()


def put_aside(out):
    return {entry["file"]: entry["reason"] for entry in map(json.loads, (out / "quarantine.jsonl").open())}


def test_what_was_in_the_files_is_in_the_stored_form(folder, out):
    record = run(patterned(pngs(folder)), out)
    stored = StoredImages.open(out)
    assert stored.pixels.shape == (24, 1, 16, 16) and stored.pixels.dtype == np.uint16
    assert np.array_equal(stored.pixels[1, 0], picture(1).astype(np.uint16) * 257)  # a/p00_1.png
    assert stored.table.read()["label"].tolist() == ["a"] * 12 + ["b"] * 12
    assert stored.schema.names == ["label"]
    assert record["images"] == record["listed"] == record["rows"] == 24
    assert record["patients"] == record["entities"] == 12 and record["quarantined"] == {}
    entities = stored.entities()
    assert len(set(entities.tolist())) == 12 and (entities[0::2] == entities[1::2]).all()
    images = stored.images(np.arange(24) % 3 == 0)
    assert len(images) == 8 and images.table["label"].tolist() == ["a"] * 4 + ["b"] * 4
    assert as_float(images.pixels).min() >= -1


def test_units_and_spacing_of_a_scanner_are_kept(folder, out):
    for number in range(4):
        for scanner in range(3):
            dicom(folder / "x" / f"{number}{scanner}.dcm", number=10 * scanner + number, scanner=scanner)
    columns = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"}, "label": LABEL,
               "site": {**LABEL, "tag": "StationName"}}
    run(contract(folder, columns, size=48, bits=16, unit="HU", window=[-40, 120], modality="CT",
                 pattern="{label}/*.dcm", more=K), out)
    stored = StoredImages.open(out)
    values = stored.intensity.restore(stored.pixels)
    sites = stored.table.read()["site"].to_numpy()
    for site in set(sites):
        inner = values[sites == site][:, 0, 20:28, 20:28].mean()
        assert 5 < inner < 45, "a brain has the HU of a brain at every scanner, also where black is white"
    assert stored.intensity.unit == "HU" and stored.spacing is not None
    assert stored.spacing[0] == pytest.approx(200 * 1.04 / 48, rel=0.1)


def test_nothing_that_a_run_may_show_has_a_name_or_a_value(folder, out):
    pngs(folder)
    (folder / "a" / "p99_SecretName.png").write_bytes(b"")
    record = run(patterned(folder), out)
    assert record["quarantined"] == {"empty": 1}
    assert "Secret" not in json.dumps(record) and "p0" not in json.dumps(record)
    assert put_aside(out) == {"a/p99_SecretName.png": "empty"}


def test_patients_who_share_an_image_are_one_and_no_split_parts_them(folder, out):
    pngs(folder, patients=20)
    save(folder / "a" / "p90_0.png", picture(1000))  # p01's, in another class and under another name
    save(folder / "a" / "p91_0.png", (picture(7001).astype(int) * 0.7 + 20).astype(np.uint8))  # p07's, re-windowed
    wanted = patterned(folder)
    record = run(wanted, out)
    assert record["patients"] == 22 and record["patients_merged"] == 2 and record["entities"] == 20
    assert record["groups_of_like_images"] == 2 and record["images_like_another"] == 4
    stored = StoredImages.open(out)
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png"))
    entities = dict(zip(names, stored.entities().tolist(), strict=True))
    assert entities["a/p90_0.png"] == entities["b/p01_0.png"] == entities["b/p01_1.png"]
    assert entities["a/p91_0.png"] == entities["b/p07_1.png"]
    for seed in range(20):
        parts = assign(stored.entities(), stored.table.read()["label"].to_numpy(), wanted.split, seed)
        assert all(len(set(parts[stored.entities() == e])) == 1 for e in set(stored.entities().tolist()))


def test_rare_labels_are_counted_by_people_not_by_their_ids(folder, out):
    pngs(folder, patients=20)
    for patient in (90, 91):  # two ids with one picture: one person has the label "rare"
        save(folder / "rare" / f"p{patient}_0.png", picture(123_456))
    run(patterned(folder), out)
    assert "rare" not in StoredImages.open(out).schema["label"].values


BAD = {
    "empty": lambda p: p.write_bytes(b""),
    "truncated": lambda p: (save(p, picture(5, 64)), p.write_bytes(p.read_bytes()[:-700])),
    "not-an-image": lambda p: p.write_bytes(pickle.dumps({"weights": [1.0] * 50})),
    "constant": lambda p: save(p, np.zeros((16, 16), np.uint8)),
    "colour": lambda p: save(p, picture(5, 16, 3)),
    "too-large": lambda p: p.write_bytes(bomb(11_000, 11_000)),
}


def bomb(width, height):
    """A PNG of a few bytes that says it has 121 megapixels."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


@pytest.mark.parametrize("code", BAD)
def test_a_bad_file_is_put_aside_under_its_reason(folder, out, code):
    pngs(folder)
    BAD[code](folder / "a" / "p50_0.png")
    record = run(patterned(folder), out)
    assert record["quarantined"] == {code: 1} and record["rows"] == 24
    assert put_aside(out) == {"a/p50_0.png": code}


@pytest.mark.parametrize(("changed", "code"), [
    ({"PixelData": None}, "no-pixels"), ({"Modality": "MR"}, "modality"), ({"Rows": 20_000, "Columns": 20_000},
                                                                          "too-large")])
def test_a_bad_dicom_file_is_put_aside_under_its_reason(folder, out, changed, code):
    for number in range(12):
        dicom(folder / "xy"[number % 2] / f"{number}.dcm", number=number)
    dicom(folder / "x" / "bad.dcm", number=50, **changed)
    columns = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"}, "label": LABEL,
               "age": {**NUMBER, "tag": "PatientAge"}}
    record = run(contract(folder, columns, modality="CT", window=[-40, 120], pattern="{label}/*.dcm", more=K), out)
    assert record["quarantined"] == {code: 1}


def test_too_much_put_aside_stops_with_the_reasons(folder, out):
    pngs(folder)
    for i in range(3):
        (folder / "a" / f"p9{i}_Secret.png").write_bytes(b"")
    text = refused(patterned(folder), out)
    assert "3 of 27 images were put aside, more than 10%: 3 empty" in text and "Secret" not in text
    assert len(text.splitlines()) <= 6


def test_nothing_readable(folder, out):
    for i in range(3):
        (folder / "a").mkdir(parents=True, exist_ok=True)
        (folder / "a" / f"p{i}_0.png").write_bytes(b"")
    assert "none of 3 images can be used" in refused(patterned(folder), out)


def test_one_image_in_a_class(folder, out):
    pngs(folder)
    save(folder / "Secret" / "p60_0.png", picture(60_000))
    text = refused(patterned(folder), out)
    assert "1 of the 3 classes of 'label' have one image only" in text and "Secret" not in text


def test_a_patient_in_two_classes_is_counted_and_stays_whole(folder, out):
    pngs(folder)
    save(folder / "b" / "p00_7.png", picture(7))
    record = run(patterned(folder), out)
    assert record["patients_in_several_classes"] == 1 and record["entities"] == 12


def test_an_image_without_a_patient(folder, out):
    pngs(folder)
    rows = [f"{p.relative_to(folder)},{p.name[:3] if i else ''},{p.parent.name}"
            for i, p in enumerate(sorted(folder.rglob("*.png")))]
    (folder / "list.csv").write_text("\n".join(["file,patient,label", *rows]))
    columns = {"file": IDENTIFIER, "patient": IDENTIFIER, "label": LABEL}
    assert "1 of 24 images have no patient ('patient')" in refused(
        contract(folder, columns, manifest="list.csv", more=K), out)


def test_without_patients_each_file_is_one_and_record_and_report_say_so(folder, out):
    from validators.report.context import source

    asserted = contract(pngs(folder), {"file": IDENTIFIER, "label": LABEL}, entity=None, eachFileIsAPatient=True,
                        pattern="{label}/*.png", more=K)
    record = run(asserted, out)
    assert record["each_file_is_a_patient"] is True and record["entities"] == record["images"] == 24
    assert "every file is a patient" in source(asserted, record, [])["unit_of_privacy"]


def test_mixed_modalities_need_a_word(folder, out):
    for number in range(8):
        dicom(folder / "xy"[number % 2] / f"{number}.dcm", number=number, Modality="CT" if number < 7 else "MR")
    columns = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"}, "label": LABEL}
    assert "2 different modalities" in refused(contract(folder, columns, pattern="{label}/*.dcm", more=K), out)


def test_mixed_sizes_and_spacings_are_brought_to_one(folder, out):
    pngs(folder)
    save(folder / "a" / "p50_0.png", picture(5, 40)[:, :20])
    run(patterned(folder), out)
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png"))
    wide = StoredImages.open(out).pixels[names.index("a/p50_0.png"), 0]
    assert not wide[:, :4].any() and not wide[:, -4:].any() and wide[:, 4:12].any(), "padded, not stretched"


def masked(folder, *, spoil=False):
    for i in range(12):
        save(folder / "xy"[i % 2] / "images" / f"p{i:02d}_0.png", picture(i))
        mask = (picture(i) > 60).astype(np.uint8)
        save(folder / "xy"[i % 2] / "masks" / f"p{i:02d}_0.png", mask[:12] if spoil and i == 3 else mask)
    columns = {"file": IDENTIFIER, "mask": IDENTIFIER, "patient": IDENTIFIER, "label": LABEL}
    return contract(folder, columns, mask="mask", maskClasses=2, pattern="{label}/images/{patient}_*.png", more=K)


def test_masks_lie_on_their_images(folder, out):
    record = run(masked(folder), out)
    stored = StoredImages.open(out)
    assert stored.masks is not None and stored.masks.shape == (12, 16, 16) and record["quarantined"] == {}
    assert np.array_equal(stored.masks[0], (picture(0) > 60).astype(np.uint8))
    assert stored.images().masks is not None


def test_a_mask_that_does_not_fit_puts_its_image_aside(folder, out):
    assert run(masked(folder, spoil=True), out)["quarantined"] == {"mask-shape": 1}


def test_volumes_of_slices(folder, out):
    for number in range(6):
        for image in range(6):
            dicom(folder / "xy"[number % 2] / f"{number}_{image}.dcm", number=number, image=image, scanner=0,
                  SeriesInstanceUID=f"2.25.{number + 1}")
    columns = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"}, "label": LABEL}
    record = run(contract(folder, columns, size=[16, 32, 32], window=[-40, 120], unit="HU", release="nifti",
                          pattern="{label}/*.dcm", more=K), out)
    assert record["images"] == 6 and StoredImages.open(out).pixels.shape == (6, 1, 16, 32, 32)


class Stop(Exception):
    pass


def test_an_ingest_that_was_interrupted_goes_on_where_it_stopped(folder, out, tmp_path, monkeypatch):
    wanted = patterned(pngs(folder))
    (folder / "a" / "p00_1.png").write_bytes(b"")
    whole = tmp_path / "whole"
    whole.mkdir()
    run(wanted, whole)
    prepare, calls = room.prepare, []

    def counted(*args, **kwargs):
        if len(calls) == 10:
            raise Stop
        calls.append(1)
        return prepare(*args, **kwargs)

    monkeypatch.setattr(room, "prepare", counted)
    with pytest.raises(Stop):
        run(wanted, out)
    cut = out / "checkpoint-images.jsonl"
    cut.write_bytes(cut.read_bytes() + b'["ab12", "", 99')  # killed while it wrote
    calls.clear()
    monkeypatch.setattr(room, "prepare", lambda *args, **more: calls.append(1) or prepare(*args, **more))
    run(wanted, out)
    assert len(calls) == 14
    for name in ("images.npy", "entities.npy", "table.parquet", "schema.json", "quarantine.jsonl", "intensity.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


def test_several_processes_make_the_same_bytes(folder, out, tmp_path, monkeypatch):
    wanted = patterned(pngs(folder))
    (folder / "a" / "p00_1.png").write_bytes(b"")
    run(wanted, out)
    several = tmp_path / "several"
    several.mkdir()
    monkeypatch.setattr(workers, "WORTHWHILE", 5)
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: {0, 1})
    run(wanted, several)
    for name in ("images.npy", "entities.npy", "table.parquet", "quarantine.jsonl"):
        assert (out / name).read_bytes() == (several / name).read_bytes(), name


def test_a_decoder_that_crashes_costs_its_file_only(monkeypatch):
    monkeypatch.setattr(workers, "WORTHWHILE", 5)
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: {0, 1})
    assert list(workers.each(crash_at_seven, list(range(12)), died=-1)) == [*range(7), -1, *range(8, 12)]


def test_processes_that_do_not_start_are_not_taken_for_bad_files(monkeypatch):
    monkeypatch.setattr(workers, "WORTHWHILE", 2)
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(workers, "_START", "raise SystemExit(1)")
    with pytest.raises(RuntimeError, match="did not start"):
        list(workers.each(reciprocal, [1, 2, 3], died=-1.0))


def test_a_mistake_of_ours_is_not_a_file_put_aside(monkeypatch):
    monkeypatch.setattr(workers, "WORTHWHILE", 2)
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: {0, 1})
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(workers.each(reciprocal, [1, 2, 0, 3], died=-1.0))


def test_the_cache_is_of_these_bytes_and_these_settings(folder, out, monkeypatch):
    run(patterned(pngs(folder)), out)
    prepare, calls = room.prepare, []
    monkeypatch.setattr(room, "prepare", lambda *args, **more: calls.append(1) or prepare(*args, **more))
    run(patterned(folder), out)
    assert not calls
    save(folder / "a" / "p00_0.png", picture(99))
    run(patterned(folder), out)
    assert len(calls) == 1
    run(patterned(folder, size=24), out)
    assert len(calls) == 25
    assert StoredImages.open(out).pixels.shape[2:] == (24, 24)


def test_a_damaged_cache_is_not_believed(tmp_path):
    pixels = patterned(pngs(tmp_path / "data", patients=2)).pixels
    image = Prepared(pixels=np.arange(256, dtype=np.uint16).reshape(1, 16, 16), mask=None, spacing=(1.0, 2.0))
    with Cache(tmp_path / "c") as cache:
        for key in (b"1", b"2", b"3"):
            cache.add(key, image)
        cache.add(b"4", "empty")
    samples = tmp_path / "c.bin"
    content = bytearray(samples.read_bytes())
    content[600] ^= 1  # in the second image
    samples.write_bytes(content)
    with Cache(tmp_path / "c") as cache:
        assert len(cache) == 1 and cache.code(b"1") == "" and cache.code(b"4") is None
        cache.add(b"2", image)
        assert np.array_equal(cache.get(b"2", pixels).pixels, image.pixels)
        assert cache.get(b"1", pixels).spacing == (1.0, 2.0)
    with Cache(tmp_path / "c") as cache:
        assert len(cache) == 2


def test_images_are_written_and_read_back(folder, out, tmp_path):
    run(masked(folder), out)
    stored = StoredImages.open(out)
    images = stored.images()
    write_images(tmp_path / "copy", images, stored.schema, stored.intensity)
    back = read_images(tmp_path / "copy", stored.schema)
    assert np.array_equal(back.pixels, images.pixels) and np.array_equal(back.masks, images.masks)
    assert back.table.equals(images.table) and np.array_equal(back.entities, images.entities)


def test_what_nobody_confirmed_stops_before_anything_is_read(folder, out):
    pngs(folder)
    columns = {"file": IDENTIFIER, "patient": IDENTIFIER, "label": LABEL, "age": {**NUMBER, "boundsConfirmed": False}}
    with pytest.raises(Problems) as error:
        run(contract(folder, columns, pattern="{label}/{patient}_{age}.png"), out)
    assert "bounds of column 'age' are not confirmed" in error.value.render()
    assert not list(out.iterdir())


def framed(path, first, frames=3):
    """A DICOM file of several frames, each another picture."""
    from pydicom import dcmread

    data = dcmread(dicom(path, number=first, RescaleIntercept="0", RescaleSlope="1"))
    planes = [picture(100 * first + at, data.Rows).astype(data.pixel_array.dtype) for at in range(frames)]
    data.NumberOfFrames, data.PixelData = frames, np.stack(planes).tobytes()
    data.save_as(path, enforce_file_format=True)
    return planes


def test_each_frame_of_a_file_is_an_image_of_its_patient(folder, out):
    planes = [framed(folder / "ring" / f"{i:02d}.dcm", i) for i in range(12)]
    dicom(folder / "ring" / "plain.dcm", number=30, RescaleIntercept="200")
    columns = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"}, "label": LABEL}
    wanted = contract(folder, columns, pattern="{label}/*", size=planes[0][0].shape[0], window=[0, 255], more={
        "k": {"limit": 2, "reason": "a small test"}})
    listing = make(wanted)
    assert [row.frame for row in listing.rows] == [0, 1, 2] * 12 + [None] and listing.framed == 12
    assert any("12 files hold several frames" in note.what for note in examine(wanted).notes)
    record = run(wanted, out)
    stored = StoredImages.open(out)
    assert record["images"] == 37 and record["patients"] == 13 and not record["quarantined"]
    entities = stored.entities()
    assert [len(set(entities[3 * i : 3 * i + 3].tolist())) for i in range(12)] == [1] * 12
    shown = stored.pixels[:36, 0].astype(float).reshape(12, 3, -1)
    assert all(np.corrcoef(shown[i, at], planes[i][at].ravel())[0, 1] > 0.99 for i in (0, 5) for at in range(3))


def test_frames_of_a_file_are_one_patient_where_each_file_is_one(folder, out):
    for i in range(12):
        framed(folder / "ring" / f"{i:02d}.dcm", i)
    wanted = contract(folder, {"file": IDENTIFIER, "label": LABEL}, pattern="{label}/*", entity=None, size=32,
                      window=[0, 255], eachFileIsAPatient=True, more={"k": {"limit": 2, "reason": "a small test"}})
    assert run(wanted, out)["patients"] == 12


def test_a_header_that_claims_too_many_frames_is_put_aside(folder, out):
    from pydicom import dcmread

    for i in range(30):
        framed(folder / "ring" / f"{i:02d}.dcm", i, frames=2)
    data = dcmread(folder / "ring" / "03.dcm")
    data.NumberOfFrames = 3
    data.save_as(folder / "ring" / "03.dcm")
    columns = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"}, "label": LABEL}
    run(contract(folder, columns, pattern="{label}/*", size=32, window=[0, 255],
                 more={"k": {"limit": 2, "reason": "a small test"}}), out)
    assert put_aside(out) == {"ring/03.dcm": "truncated"}
