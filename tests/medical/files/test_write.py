"""What is written says what was drawn, in the right units, to our reader and to others, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.contract.pixels import Pixels
from synth.errors import UserError
from synth.medical.files import Loaded, intensity_of, mask_fits, read_released, unwritable, write_set
from synth.medical.files.deidentify import strangers
from synth.medical.files.dicom_write import WRITTEN, dicom_bytes, number_text
from synth.progress import Silent
from tests.medical.files.made import wanted

TABLE = pa.table({"label": ["a", "b", "a"], "age": [50.0, 97.0, None], "sex": ["M", "female", None]})
TAGS = {"age": "PatientAge", "sex": "PatientSex", "label": "BodyPartExamined"}
SETS: dict[str, dict[str, Any]] = {
    "png": {}, "png16": {"bits": 16}, "colour": {"channels": 3}, "png-units": {"window": (-3.0, 5.0), "bits": 16},
    "nifti": {"release": "nifti", "bits": 16},
    "nifti-hu": {"release": "nifti", "window": (-1000.0, 1000.0), "unit": "HU"},
    "nifti-small": {"release": "nifti", "window": (0.0, 1.0)},
    "volume": {"release": "nifti", "size": (5, 6, 7), "window": (-100.0, 300.0)},
    "ct": {"release": "dicom", "modality": "CT", "window": (-1000.0, 1000.0), "unit": "HU", "bits": 16},
    "ct-narrow": {"release": "dicom", "modality": "CT", "window": (-0.5, 0.25)},
    "mr": {"release": "dicom", "modality": "MR", "bits": 16}, "dx": {"release": "dicom", "modality": "DX"},
    "other": {"release": "dicom"}, "us": {"release": "dicom", "modality": "US", "channels": 3},
}
DICOM = [name for name, said in SETS.items() if said.get("release") == "dicom"]


def drawn(pixels: Pixels, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 65536, (3, pixels.channels, *pixels.size)).astype(np.uint16)


def made(folder: Path, pixels: Pixels, *, masks: bool = False, **options: Any) -> tuple[list[Path], np.ndarray]:
    images = drawn(pixels)
    labels = np.random.default_rng(1).integers(0, 3, (3, *pixels.size)).astype(np.uint8) if masks else None
    count = write_set(folder, images, labels, TABLE, intensity_of(pixels), pixels, seed=1, progress=Silent(),
                      **options)
    files = sorted(path for path in folder.glob("0*") if "mask" not in path.name)
    assert count == len(files) == 3
    return files, images


def pixels_of(name: str) -> Pixels:
    said = dict(SETS[name])
    return wanted(said.pop("size", (15, 21)), **said)


@pytest.mark.parametrize("name", SETS)
def test_our_reader_gets_back_what_was_drawn_in_its_units(tmp_path: Path, name: str) -> None:
    pixels = pixels_of(name)
    spacing = (2.0, 0.5, 0.75)[-len(pixels.size):]
    files, images = made(tmp_path, pixels, spacing=spacing)
    to = intensity_of(pixels)
    rounding = {8: 0.5 / 255, 16: 1e-6}[pixels.bits] * (to.high - to.low)
    if pixels.release != "png" and to.high - to.low >= 255 and to.low == int(to.low):
        rounding = max(rounding, 0.5) + 1e-3  # whole units
    for path, image in zip(files, images, strict=True):
        found = read_released(path, pixels)
        assert isinstance(found, Loaded)
        assert np.abs(found.values - to.restore(image)).max() <= rounding + 1e-3 * rounding + 1e-5
        assert found.intensity == to
        assert pixels.release == "png" or np.allclose(found.spacing, spacing)


@pytest.mark.parametrize("name", SETS)
def test_equal_seeds_make_equal_bytes(tmp_path: Path, name: str) -> None:
    for folder in ("a", "b"):
        made(tmp_path / folder, pixels_of(name), tags=TAGS)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name


@pytest.mark.parametrize("name", ["png", "volume", "nifti"])
def test_masks_stand_beside_their_images_and_the_table_lists_both(tmp_path: Path, name: str) -> None:
    pixels = replace(pixels_of(name), mask="m", mask_classes=3)
    files, _ = made(tmp_path, pixels, masks=True)
    table = pq.read_table(tmp_path / "metadata.parquet")
    assert table.column_names == ["file_name", "mask_file_name", "label", "age", "sex"]
    assert table.drop_columns(["file_name", "mask_file_name"]).equals(TABLE)
    listed = {"metadata.parquet", *table["file_name"].to_pylist(), *table["mask_file_name"].to_pylist()}
    assert listed == {path.name for path in tmp_path.iterdir()}
    labels = np.random.default_rng(1).integers(0, 3, (3, *pixels.size))
    for at, path in enumerate(files):
        image = read_released(path, pixels)
        mask = read_released(path.with_name(table["mask_file_name"][at].as_py()), pixels, mask=True)
        assert isinstance(image, Loaded) and isinstance(mask, Loaded)
        assert (mask.values[0] == labels[at]).all() and mask_fits(image, mask) is None


def test_hugging_face_s_layout_numbers_go_on_where_they_are_told_to(tmp_path: Path) -> None:
    pixels = pixels_of("png")
    write_set(tmp_path, drawn(pixels), None, TABLE, intensity_of(pixels), pixels, seed=1, progress=Silent(), start=7)
    assert pq.read_table(tmp_path / "metadata.parquet")["file_name"].to_pylist() == [
        "000007.png", "000008.png", "000009.png"]


def test_a_png_says_that_it_is_synthetic_and_what_its_samples_mean(tmp_path: Path) -> None:
    from PIL import Image

    files, images = made(tmp_path, pixels_of("png-units"))
    with Image.open(files[0]) as picture:
        text, samples = picture.text, np.asarray(picture)
    assert text["SyntheticData"] == "YES" and samples.dtype == np.uint16
    units = samples * float(text["RescaleSlope"]) + float(text["RescaleIntercept"])
    assert np.allclose(units, intensity_of(pixels_of("png-units")).restore(images[0, 0]), atol=1e-5)


@pytest.mark.parametrize(("name", "said"), [
    ("colour", {"release": "nifti", "channels": 3}), ("deep colour", {"bits": 16, "channels": 3}),
    ("colour CT", {"release": "dicom", "modality": "ct", "channels": 3})])
def test_what_has_no_released_form_is_known_beforehand(tmp_path: Path, name: str, said: dict[str, Any]) -> None:
    pixels = wanted(**said)
    problem = unwritable(pixels)
    assert isinstance(problem, UserError) and problem.todo
    with pytest.raises(UserError):
        made(tmp_path, pixels)
    assert not any(tmp_path.rglob("*.*"))
    assert all(unwritable(pixels_of(good)) is None for good in SETS)


# --- DICOM


@pytest.mark.parametrize("name", DICOM)
def test_a_dicom_file_is_built_of_the_whitelist_and_says_what_it_is(tmp_path: Path, name: str) -> None:
    from pydicom import dcmread

    files, _ = made(tmp_path, pixels_of(name), tags=TAGS)
    found = [dcmread(path) for path in files]
    for data in found:
        assert strangers(data, WRITTEN) == []
        assert data.SyntheticData == "YES" and list(data.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert data.PatientIdentityRemoved == "YES"
        purpose = data.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0]
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning) == (
            "109100", "DCM", "Synthesizing Equipment")
    uids = [str(data[keyword].value) for data in found
            for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")]
    assert len(set(uids)) == len(uids) and all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)
    assert [str(data.PatientSex) for data in found] == ["M", "F", ""]
    assert [str(data.get("PatientAge", "")) for data in found] == ["050Y", "090Y", ""]


def test_uids_differ_between_seeds_and_between_pictures_of_one_seed() -> None:
    from io import BytesIO

    from pydicom import dcmread

    pixels = pixels_of("mr")
    images = drawn(pixels)
    uids = {str(dcmread(BytesIO(dicom_bytes(image, intensity_of(pixels), pixels, seed=seed, number=0))).SOPInstanceUID)
            for image in images for seed in (1, 2)}
    assert len(uids) == 6


def test_only_some_facts_of_a_row_are_written() -> None:
    from io import BytesIO

    from pydicom import dcmread

    pixels = pixels_of("ct")
    raw = dicom_bytes(drawn(pixels)[0], intensity_of(pixels), pixels, seed=1, number=0, facts={
        "PatientName": "CANARY", "InstitutionName": "CANARY", "Manufacturer": "CANARY",
        "PatientWeight": 71.23456789012345, "Laterality": "left", "PatientAge": float("nan"), "ViewPosition": "pa"})
    data = dcmread(BytesIO(raw))
    assert b"CANARY" not in raw and "PatientAge" not in data
    assert (data.Laterality, data.ViewPosition) == ("L", "PA") and abs(data.PatientWeight - 71.2345678901) < 1e-9


@pytest.mark.parametrize("value", [1.0, -1024.0, 2000 / 65535, 1 / 3, -1e-7 / 3, 6.02e23, 123456789.123456789])
def test_decimal_strings_are_short_and_as_exact_as_they_can_be(value: float) -> None:
    text = number_text(value)
    assert len(text) <= 16 and abs(float(text) - value) <= 1e-8 * abs(value)


@pytest.mark.parametrize("name", DICOM)
def test_pydicom_and_monai_read_the_same_units(tmp_path: Path, name: str) -> None:
    from monai.transforms import LoadImage
    from pydicom import dcmread
    from pydicom.pixels import apply_modality_lut

    pixels = pixels_of(name)
    files, images = made(tmp_path, pixels)
    data = dcmread(files[0])
    expected = intensity_of(pixels).restore(images[0])
    plain = apply_modality_lut(data.pixel_array, data)
    plain = np.moveaxis(plain, -1, 0) if pixels.channels == 3 else plain[None]
    steps = max(1.0 if name in ("ct", "mr") else 0.0, (expected.max() - expected.min()) / 255) * 0.51
    if name != "mr":  # display values of 16 bits are whole
        assert np.abs(plain - expected).max() <= steps
    if pixels.channels == 1:  # MONAI's array is [column, row]
        theirs = np.asarray(LoadImage(image_only=True, reader="PydicomReader")(files[0])).squeeze()
        assert np.allclose(theirs.T, plain[0], atol=1e-3)


@pytest.mark.parametrize("name", ["nifti", "nifti-hu", "volume"])
def test_nibabel_and_monai_read_the_same_volume(tmp_path: Path, name: str) -> None:
    import nibabel
    from monai.transforms import LoadImage

    pixels = pixels_of(name)
    files, images = made(tmp_path, pixels, spacing=(2.0, 0.5, 0.75)[-len(pixels.size):])
    picture = nibabel.load(files[0])
    assert nibabel.aff2axcodes(picture.affine) == ("R", "A", "S")
    expected = intensity_of(pixels).restore(images[0, 0]).reshape((-1, *pixels.size[-2:]))
    assert np.allclose(np.asarray(picture.dataobj)[::-1, ::-1].T, expected, atol=0.51)
    assert picture.header.get_zooms() == ((0.75, 0.5, 2.0) if pixels.volumetric else (0.75, 0.5, 1.0))
    theirs = np.asarray(LoadImage(image_only=True)(files[0]))
    assert np.allclose(theirs.reshape(picture.shape), np.asarray(picture.dataobj), atol=1e-3)


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize("name", DICOM)
def test_dcmtk_reads_it(tmp_path: Path, name: str) -> None:
    files, _ = made(tmp_path, pixels_of(name), tags=TAGS)
    shown = subprocess.run(["dcmdump", "-q", "+P", "0008,001c", "+P", "0028,0010", "+P", "0018,a001", str(files[0])],
                           capture_output=True, text=True, check=True)
    assert "[YES]" in shown.stdout and "US 15" in shown.stdout and not shown.stderr
    if shutil.which("dcm2pnm"):
        subprocess.run(["dcm2pnm", "-q", "+Wi", "1", str(files[0]), str(tmp_path / "a.pgm")] if name not in ("us",)
                       else ["dcm2pnm", "-q", str(files[0]), str(tmp_path / "a.pgm")], check=True)
        assert (tmp_path / "a.pgm").stat().st_size > 15 * 21


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("name", DICOM)
def test_dciodvfy_finds_nothing_but_an_attribute_newer_than_it(tmp_path: Path, name: str) -> None:
    files, _ = made(tmp_path, pixels_of(name), tags=TAGS, spacing=(0.5, 0.75))
    said = subprocess.run(["dciodvfy", "-new", str(files[0])], capture_output=True, text=True).stderr
    assert [line for line in said.splitlines() if line.startswith("Error") and "0008,001c" not in line] == []
