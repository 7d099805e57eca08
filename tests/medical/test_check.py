import numpy as np
import pytest

from synth.medical import check as room
from synth.medical.check import examine
from tests.medical.archives import IDENTIFIER, LABEL, NUMBER, contract, dicom, patterned, picture, pngs, save


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def texts(found):
    return "\n".join(p.render() for p in found)


def test_a_good_archive_has_no_problem_and_its_smallness_is_noted(folder):
    found = examine(patterned(pngs(folder)))
    assert found.problems == ()
    assert "there are 12 patients" in texts(found.notes)
    assert "2 of the 2 classes have fewer than 50" in texts(found.notes)
    assert "memory:" not in texts(found.notes) and "listing-" not in texts(found.notes)


def test_nothing_is_written(folder, tmp_path):
    wanted = patterned(pngs(folder))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    examine(wanted)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_several_problems_at_once(folder):
    pngs(folder)
    for i in range(6):
        (folder / "a" / f"p8{i}_Secret.png").write_bytes(b"")
    save(folder / "c" / "p99_0.png", picture(9))
    found = texts(examine(patterned(folder)).problems)
    assert "6 of 31 images were put aside" in found and "1 of the 3 classes of 'label' have one image only" in found
    assert "Secret" not in found


def test_what_the_contract_says_of_the_listing_is_checked_like_a_table(folder):
    pngs(folder)
    columns = {"file": IDENTIFIER, "patient": IDENTIFIER, "label": {**LABEL, "values": ["a", "z"]}}
    found = texts(examine(contract(folder, columns, pattern="{label}/{patient}_*.png")).problems)
    assert "'label' has labels that `synthesis.values` does not list (1 of 2)" in found
    assert "memory:" not in found


def test_files_that_cannot_be_read_do_not_count_as_rows_without_facts(folder):
    for number in range(24):
        dicom(folder / "xy"[number % 2] / f"{number}.dcm", number=number)
    (folder / "x" / "bad.dcm").write_bytes(b"")
    columns = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"}, "label": LABEL,
               "age": {**NUMBER, "tag": "PatientAge"}}
    found = examine(contract(folder, columns, pattern="{label}/*.dcm", modality="CT"))
    assert found.problems == () and "1 of 25 images read would be put aside: empty" in texts(found.notes)


def test_a_sample_is_tried_of_many_images_and_said_to_be_one(folder, monkeypatch):
    monkeypatch.setattr(room, "TRIED", 10)
    calls, prepare = [], room.prepare
    monkeypatch.setattr(room, "prepare", lambda *args: calls.append(1) or prepare(*args))
    found = examine(patterned(pngs(folder)))
    assert len(calls) == 10 and "10 of 24 images were tried" in texts(found.notes)


def test_remarks(folder):
    pngs(folder)
    save(folder / "b" / "p00_7.png", picture(7))
    save(folder / "odd.png", picture(8))
    notes = texts(examine(patterned(folder)).notes)
    assert "1 patients have images of more than one class" in notes
    assert "1 files are passed over: images that do not fit the pattern" in notes


def test_flips_where_a_column_holds_the_side(folder):
    for number in range(4):
        dicom(folder / "x" / f"{number}.dcm", number=number, Laterality="LR"[number % 2])
    columns = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"},
               "side": {**LABEL, "tag": "Laterality", "values": ["L", "R"]}}
    notes = texts(examine(contract(folder, columns, target="side", flips=True)).notes)
    assert "left and right may be exchanged" in notes


@pytest.mark.parametrize(("changed", "what"), [
    ({"more": {"training": {"recipe": "medical/nothing"}}}, "recipe"),
    ({"channels": 3, "release": "nifti"}, "NIfTI files here hold one channel"),
    ({"more": {"budget": {"epsilon": 3, "delta": 1e-6, "unit": "row"}}}, "does not declare its values"),
    ({"more": {"budget": {"epsilon": 3, "delta": 1e-6, "unit": "row"}, "training": {"recipe": "medical/cgan"}}},
     "reads images without noise"),
    ({"more": {"budget": {"epsilon": 3, "delta": 1e-6, "unit": "row"}}, "size": [16, 16, 16],
      "release": "nifti"},
     "volumes are not trained")])
def test_what_could_not_be_trained_or_released_is_said_first(folder, changed, what):
    assert what in texts(examine(patterned(pngs(folder), **changed)).problems)


def test_volumes_and_images_in_one_archive(folder):
    import nibabel

    pngs(folder)
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(8, 8, 8)), np.eye(4)),
                 folder / "a" / "p77_0.nii.gz")
    found = examine(patterned(folder, pattern="{label}/{patient}_*"))
    assert "1 of 25 images read would be put aside: dimensions" in texts(found.notes)


def test_the_commands_draft_and_check_an_archive(folder, tmp_path, capsys):
    from pipelines.commands import check, init
    from synth.errors import Problems

    pngs(folder, labels=("SecretA", "SecretB"))
    init(str(folder), "first", tmp_path, False)
    path = tmp_path / "first.yaml"
    with pytest.raises(Problems) as error:
        check(path)
    assert "no column says which patient" in error.value.render()
    path.write_text(path.read_text().replace("eachFileIsAPatient: false", "eachFileIsAPatient: true"))
    check(path)
    assert "contract and data fit each other" in (said := capsys.readouterr().out) and "Secret" not in said
    (folder / "SecretA" / "p00_0.png").write_bytes(b"")
    for i in range(5):
        (folder / "SecretB" / f"Secret{i}.png").write_bytes(b"")
    with pytest.raises(Problems) as error:
        check(path)
    assert "6 of 29 images were put aside" in error.value.render() and "Secret" not in error.value.render()
