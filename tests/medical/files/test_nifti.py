"""NIfTI: one orientation, slopes, spacing, caps on what is decompressed."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from synth.medical.files import Loaded, fit_size, mask_fits, read
from tests.medical.files.made import code, nifti, values, wanted

ARRAY = np.arange(5 * 6 * 7).reshape(5, 6, 7).astype(np.int16)  # x, y, z
HU = wanted((16, 16, 16), window=(-50.0, 300.0))
SPL = np.flip(np.transpose(ARRAY, (2, 1, 0)), (1, 2))  # of a RAS array: to the head, the back, the left


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_orientation_of_the_same_anatomy_reads_the_same(tmp_path: Path, suffix: str) -> None:
    import nibabel
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    for codes in ("RAS", "LPS", "PIR", "SAL"):
        turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
        array = nibabel.apply_orientation(ARRAY, turn)
        path = nifti(tmp_path / f"{codes}{suffix}", array, affine @ inv_ornt_aff(turn, ARRAY.shape))
        found = read(path, HU, text=False)
        assert isinstance(found, Loaded)
        assert (found.values[0] == SPL).all(), codes
        assert found.spacing == (4.0, 3.0, 2.0)


def test_the_slope_of_the_header_is_applied(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", ARRAY)
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([-0.5, 7], "<f4").tobytes()
    path.write_bytes(raw)
    assert np.allclose(values(path, HU)[0], SPL * -0.5 + 7)


def test_without_a_window_the_range_is_the_header_s_else_the_values_own(tmp_path: Path) -> None:
    display = wanted((16, 16, 16))
    path = nifti(tmp_path / "a.nii", ARRAY, cal_min=10, cal_max=110)
    assert np.allclose(values(path, display)[0], np.clip((SPL - 10) / 100, 0, 1) * 255, atol=1e-3)
    path = nifti(tmp_path / "b.nii", ARRAY * 100)
    shown = values(path, display)[0]
    assert shown.min() == 0 and shown.max() == 255 and np.corrcoef(shown.ravel(), SPL.ravel())[0, 1] > 0.999


def test_a_slice_is_an_image_and_a_volume_is_none(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", ARRAY[:, :, :1], np.diag([2.0, 3.0, 4.0, 1.0]))
    found = read(path, wanted(window=(-50.0, 300.0)), text=False)
    assert isinstance(found, Loaded) and found.values.shape == (1, 6, 5) and found.spacing == (3.0, 2.0)
    assert code(path, HU) == "dimensions"
    assert code(nifti(tmp_path / "b.nii", ARRAY), wanted()) == "dimensions"
    assert code(nifti(tmp_path / "c.nii", np.stack([ARRAY] * 2, axis=-1)), HU) == "dimensions"


def test_bad_volumes_are_refused_with_their_code(tmp_path: Path) -> None:
    spoilt = ARRAY.astype(np.float32)
    spoilt[0, 0, 0] = np.nan
    assert code(nifti(tmp_path / "a.nii", spoilt), HU) == "not-finite"
    assert code(nifti(tmp_path / "b.nii", ARRAY * 0), HU) == "constant"
    whole = nifti(tmp_path / "c.nii", ARRAY).read_bytes()
    for name, content, expected in (
            ("d.nii", whole[:-10], "truncated"), ("e.nii", whole[:200], "not-an-image"),
            ("f.nii.gz", gzip.compress(whole)[:-40], "truncated"),
            ("g.nii.gz", gzip.compress(b"x" * 4000), "not-an-image"),
            ("h.nii.gz", b"\x1f\x8b" + b"\0" * 50, "damaged")):
        path = tmp_path / name
        path.write_bytes(content)
        assert code(path, HU) == expected, name
    for at, value in ((42, 0), (42, 30000), (70, 77)):  # a side of none, 30000 x 30000 x 7 voxels, no such data type
        raw = bytearray(whole)
        raw[at: at + 2] = int(value).to_bytes(2, "little")
        raw[44:46] = (30000 if value == 30000 else 6).to_bytes(2, "little")
        (tmp_path / "i.nii").write_bytes(raw)
        assert code(tmp_path / "i.nii", HU) == ("too-large" if value == 30000 else "damaged")


def test_a_bomb_is_decompressed_no_further_than_its_header_says(tmp_path: Path, monkeypatch) -> None:
    whole = nifti(tmp_path / "a.nii", ARRAY).read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(whole + b"\0" * 50_000_000, compresslevel=1))
    from synth.medical.files import nifti as module
    asked, plain = [], module.inflate
    monkeypatch.setattr(module, "inflate", lambda path, most: asked.append(most) or plain(path, most))
    assert values(tmp_path / "b.nii.gz", HU).shape == (1, 7, 6, 5)
    assert max(asked) <= len(whole)


def test_masks_have_labels_and_lie_on_their_image(tmp_path: Path) -> None:
    pixels = wanted((16, 16, 16), mask="mask", mask_classes=3, window=(-50.0, 300.0))
    image = read(nifti(tmp_path / "a.nii", ARRAY), pixels, text=False)
    mask = read(nifti(tmp_path / "m.nii", (ARRAY % 3).astype(np.uint8)), pixels, mask=True)
    assert isinstance(image, Loaded) and isinstance(mask, Loaded)
    assert (mask.values[0] == SPL % 3).all() and mask_fits(image, mask) is None
    empty = read(nifti(tmp_path / "e.nii", (ARRAY * 0).astype(np.uint8)), pixels, mask=True)
    assert isinstance(empty, Loaded)  # nothing to see is a finding, too
    for array, affine in ((ARRAY[:4], np.eye(4)), (ARRAY, np.diag([2.0, 1, 1, 1]))):
        other = read(nifti(tmp_path / "o.nii", (array % 3).astype(np.uint8), affine), pixels, mask=True)
        assert isinstance(other, Loaded)
        refusal = mask_fits(image, other)
        assert refusal is not None and refusal.code == "mask-shape"
    assert code(nifti(tmp_path / "b.nii", (ARRAY % 4).astype(np.uint8)), pixels, mask=True) == "mask-values"
    assert code(nifti(tmp_path / "c.nii", (ARRAY % 2 * 0.5).astype(np.float32)), pixels, mask=True) == "mask-values"


def test_a_volume_with_thick_slices_keeps_its_shape_in_millimetres() -> None:
    ball = np.zeros((1, 10, 40, 40), np.float32)
    z, y, x = np.mgrid[:10, :40, :40]
    ball[0] = ((z - 4.5) * 4) ** 2 + (y - 19.5) ** 2 + (x - 19.5) ** 2 < 15**2  # 4 x 1 x 1 mm
    small, spacing = fit_size(ball, (20, 20, 20), spacing=(4.0, 1.0, 1.0))
    assert spacing == (2.0, 2.0, 2.0)
    widths = [np.flatnonzero(small[0].max(axis=axes) > 0.5).size for axes in ((1, 2), (0, 2), (0, 1))]
    assert max(widths) - min(widths) <= 2
