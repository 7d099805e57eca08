"""Every published file is read back; a fault of each kind is counted under its name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from synth.contract.pixels import Format, Pixels
from synth.medical.files import intensity_of, write_set
from synth.progress import Silent
from tests.validators.medical import patients
from validators.finding import Verdict
from validators.medical import contract

FORMS = {"png": {"release": Format.PNG}, "png16": {"release": Format.PNG, "bits": 16},
         "nifti": {"release": Format.NIFTI, "unit": "HU", "window": (-500.0, 500.0)},
         "dicom": {"release": Format.DICOM, "bits": 16, "modality": "CT", "unit": "HU", "window": (-500.0, 500.0)}}


def released(folder, form: str, *, masks: bool = False, size=(32, 32)):
    """Evidence with twelve synthetic images, written as a release would have them."""
    pixels = Pixels(file="file", size=size, mask="mask" if masks else None, mask_classes=2 if masks else 0,
                    **FORMS[form])
    e = patients.evidence(20, 3, size=size, masks=masks, terms=patients.contract(pixels=pixels))
    write_set(folder / "train", e.synthetic.pixels, e.synthetic.masks,
              pa.Table.from_pandas(e.synthetic.table, preserve_index=False), intensity_of(pixels), pixels, seed=1,
              progress=Silent())
    return replace(e, shards=folder)


def verdicts(e) -> dict[str, tuple[Verdict, float | None]]:
    return {f.id: (f.verdict, f.value) for f in contract.run(e, contract.Limits()).findings}


@pytest.mark.parametrize(("form", "masks", "size"), [
    ("png", True, (32, 32)), ("png16", False, (32, 24)), ("nifti", True, (16, 20, 18)), ("dicom", False, (32, 32))])
def test_a_faultless_release_passes(tmp_path, form, masks, size):
    result = contract.run(released(tmp_path, form, masks=masks, size=size), contract.Limits())
    assert result.verdict is Verdict.PASS, [f.id for f in result.findings if f.verdict.blocks]
    files = {f.id for f in result.findings if f.id.startswith("contract.files.")}
    assert files == {f"contract.files.{k}" for k in contract.KINDS if masks or k != "mask"}
    assert "contract.listing.suite" in {f.id for f in result.findings}


def spoil(e, kind: str) -> None:
    """One fault in the folder of a PNG release with masks."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    folder = e.shards / "train"
    first, said = folder / "000000.png", PngInfo()
    said.add_text("SyntheticData", "YES")
    rng = np.random.default_rng(0)
    if kind == "unlisted":
        (folder / "notes.txt").write_text("kept by mistake")
    elif kind == "missing":
        first.unlink()
    elif kind == "unreadable":
        first.write_bytes(first.read_bytes()[:60])
    elif kind == "geometry":
        Image.fromarray(rng.integers(0, 255, (32, 31)).astype(np.uint8)).save(first, pnginfo=said)
    elif kind == "blank":
        Image.fromarray(np.full((32, 32), 7, np.uint8)).save(first, pnginfo=said)
    elif kind == "depth":
        Image.fromarray(rng.integers(0, 65_535, (32, 32)).astype(np.uint16)).save(first, pnginfo=said)
    elif kind == "unmarked":
        Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).save(first)
    else:
        Image.fromarray(np.full((32, 32), 5, np.uint8)).save(folder / "000000_mask.png")


@pytest.mark.parametrize("kind", [k for k in contract.KINDS if k != "range"])
def test_one_file_with_a_fault_is_counted_under_its_kind(tmp_path, kind):
    e = released(tmp_path, "png", masks=True)
    spoil(e, kind)
    found = verdicts(e)
    assert found[f"contract.files.{kind}"] == (Verdict.FAIL, 1.0)
    assert sum(v is Verdict.FAIL for v, _ in found.values()) == 1


def test_values_outside_the_window_are_counted(tmp_path):
    e = released(tmp_path, "nifti", size=(16, 20, 18))
    wide = replace(e.pixels, window=(-900.0, 900.0))
    write_set(tmp_path / "train", e.synthetic.pixels, None, pa.Table.from_pandas(e.synthetic.table),
              intensity_of(wide), wide, seed=1, progress=Silent())
    assert verdicts(e)["contract.files.range"] == (Verdict.FAIL, float(len(e.synthetic)))


@pytest.mark.parametrize("name", ["../000000.png", "/etc/passwd", "000001.png", None])
def test_a_row_that_points_elsewhere_is_counted(tmp_path, name):
    e = released(tmp_path, "png")
    path = tmp_path / "train" / contract.METADATA
    table = pd.read_parquet(path)
    table.loc[0, "file_name"] = name
    table.to_parquet(path)
    verdict, count = verdicts(e)["contract.files.missing"]
    assert verdict is Verdict.FAIL and count == (2 if name == "000001.png" else 1)


def test_a_label_outside_the_vocabulary_is_counted_in_the_listing(tmp_path):
    e = released(tmp_path, "png")
    table = e.synthetic.table.copy()
    table.loc[0, "lesion"] = "unheard of"
    assert verdicts(replace(e, synthetic=replace(e.synthetic, table=table)))["contract.listing.vocabulary"] == (
        Verdict.FAIL, 1.0)


def test_nothing_to_read_back_and_the_wrong_number_of_images_do_not_pass(tmp_path):
    e = released(tmp_path, "png")
    assert contract.run(replace(e, shards=None), contract.Limits()).verdict is Verdict.INCONCLUSIVE
    asked = replace(e, contract=replace(e.contract, rows=13))
    assert verdicts(asked)["contract.rows"] == (Verdict.FAIL, 12.0)
