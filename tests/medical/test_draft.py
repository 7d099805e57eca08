import numpy as np
import pytest

from synth.contract.load import loads
from synth.domain import recognised
from synth.errors import UserError
from synth.medical.check import examine
from synth.medical.draft import draft, recognises
from tests.medical.archives import dicom, picture, pngs, save


def drafted(folder):
    text = draft(str(folder), "first")
    return text, loads(text, folder.parent / "first.yaml")


def test_class_folders(tmp_path):
    text, contract = drafted(pngs(tmp_path / "data", labels=("SecretA", "SecretB"), side=100))
    assert contract.pixels.pattern == "{label}/*.png" and contract.target == "label"
    assert contract.pixels.size == (64, 64) and contract.pixels.bits == 8 and contract.pixels.channels == 1
    assert "Secret" not in text and "p00" not in text
    assert "no column says which patient" in examine(contract).problems[0].what
    sure = loads(text.replace("eachFileIsAPatient: false", "eachFileIsAPatient: true"), tmp_path / "first.yaml")
    assert examine(sure).problems == ()


def test_dicom_with_the_facts_of_its_headers(tmp_path):
    folder = tmp_path / "data"
    for number in range(12):
        for image in range(2):
            dicom(folder / "xy"[number % 2] / f"{number}_{image}.dcm", number=number, image=image)
    text, contract = drafted(folder)
    assert contract.entity == "patient" and contract.column("age").tag == "PatientAge"
    assert contract.column("sex").protected and contract.pixels.modality == "CT" and contract.pixels.bits == 16
    assert "NORTH" not in text and "PH0" not in text
    assert [p.what for p in examine(contract).problems] == ["the bounds of column 'age' are not confirmed"]
    sure = loads(text.replace("boundsConfirmed, value: false", "boundsConfirmed, value: true"), tmp_path / "first.yaml")
    assert examine(sure).problems == ()


def test_a_manifest(tmp_path):
    folder = tmp_path / "data"
    rows = ["image_path,patient_id,diagnosis,age"]
    for i in range(24):
        save(folder / "images" / f"{i}.png", picture(i, 24, 3))
        rows.append(f"images/{i}.png,{i // 2},{'SecretX' if i % 3 else 'SecretY'},{30 + i % 7}")
    (folder / "list.csv").write_text("\n".join(rows))
    text, contract = drafted(folder)
    assert contract.pixels.manifest == "list.csv" and contract.pixels.file == "image_path"
    assert contract.entity == "patient_id" and contract.target == "diagnosis" and contract.pixels.channels == 3
    assert "Secret" not in text
    sure = loads(text.replace("boundsConfirmed, value: false", "boundsConfirmed, value: true"), tmp_path / "first.yaml")
    assert examine(sure).problems == ()


def test_volumes_with_masks(tmp_path):
    import nibabel

    folder = tmp_path / "data"
    for i in range(6):
        for part, values in (("images", np.random.default_rng(i).normal(size=(20, 30, 24))),
                             ("labels", np.random.default_rng(i).integers(0, 3, (20, 30, 24)).astype(np.uint8))):
            (folder / "set" / part).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "set" / part / f"v{i}.nii.gz")
    text, contract = drafted(folder)
    assert contract.pixels.volumetric and contract.pixels.mask_classes == 3 and contract.pixels.release == "nifti"
    sure = loads(text.replace("eachFileIsAPatient: false", "eachFileIsAPatient: true"), tmp_path / "first.yaml")
    assert examine(sure).problems == ()


@pytest.mark.parametrize("wild", ['x: "y"', "a]b", "yes", "# no", "{z}"])
def test_folders_and_columns_with_wild_names_make_a_contract_that_loads(tmp_path, wild):
    folder = tmp_path / wild
    pngs(folder / "data")
    quoted = wild.replace('"', '""')
    rows = [f"a/p{i:02d}_0.png,{i % 3}" for i in range(0, 12, 2)]
    (folder / "data" / "list.csv").write_text("\n".join([f'file,"{quoted}"', *rows]))
    contract = loads(draft(str(folder / "data"), "first"), tmp_path / "first.yaml")
    assert [c.name for c in contract.columns] == ["file", wild]


def test_which_data_is_taken_for_images(tmp_path):
    images, tables = pngs(tmp_path / "images"), tmp_path / "tables"
    tables.mkdir()
    (tables / "a.csv").write_text("x,y\n1,2\n")
    assert recognises(str(images)) and recognises(f"{images}/a/*.png") and recognises(str(images / "a" / "p00_0.png"))
    assert not recognises(str(tables)) and not recognises(str(tables / "a.csv")) and not recognises("s3://x/y")
    assert not recognises(str(tmp_path / "nowhere"))
    assert recognised(str(images)).name == "medical" and recognised(str(tables)).name == "tabular"


def test_an_archive_that_holds_nothing_readable(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.png").write_bytes(b"no")
    with pytest.raises(UserError, match="none of the files looked at"):
        draft(str(tmp_path / "data"), "first")
