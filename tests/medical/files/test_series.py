"""Slices of a series become one volume in patient space, or are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from synth.medical.files import Loaded, read
from tests.medical.files.made import code, dicom, wanted

VOLUME = np.arange(6 * 16 * 20).reshape(6, 16, 20)  # as stored: slice, row, column
PIXELS = wanted((16, 16, 16), window=(0.0, 2000.0))


def series(folder: Path, heights: Sequence[float], *, axes: Sequence[str] = tuple("100010"), normal: int = 2,
           names: Sequence[int] | None = None, **said: object) -> Path:
    folder.mkdir(exist_ok=True)
    for at, height in enumerate(heights):
        place = ["0", "0", "0"]
        place[normal] = f"{height:.3f}"
        dicom(folder / f"{(names or range(99))[at]:03d}.dcm", VOLUME[at].astype(np.uint16),
              ImagePositionPatient=place, ImageOrientationPatient=list(axes), PixelSpacing=["0.5", "0.75"], **said)
    return folder


def test_slices_are_ordered_by_place_not_by_name(tmp_path: Path) -> None:
    found = read(series(tmp_path / "s", [0, 2, 4, 6, 8, 10], names=[5, 3, 1, 0, 2, 4]), PIXELS, text=False)
    assert isinstance(found, Loaded)
    assert (found.values[0] == VOLUME).all() and found.spacing == (2.0, 0.5, 0.75)
    down = read(series(tmp_path / "t", [10, 8, 6, 4, 2, 0]), PIXELS, text=False)
    assert isinstance(down, Loaded) and (down.values[0] == VOLUME[::-1]).all()  # depth runs to the head


def test_sagittal_and_coronal_series_are_turned_to_the_same_space(tmp_path: Path) -> None:
    # sagittal: columns run to the back (P), rows to the feet (-S), slices to the left (L)
    folder = series(tmp_path / "s", [0, 2, 4, 6, 8, 10], axes=("0", "1", "0", "0", "0", "-1"), normal=0)
    found = read(folder, PIXELS, text=False)
    assert isinstance(found, Loaded)
    expected = np.transpose(VOLUME, (1, 2, 0))[::-1]  # (slice L, row -S, column P) as S, P, L
    assert (found.values[0] == expected).all() and found.spacing == (0.5, 0.75, 2.0)


def test_a_list_of_files_is_a_series_too_and_a_scout_is_left_out(tmp_path: Path) -> None:
    folder = series(tmp_path / "s", [0, 2, 4])
    dicom(folder / "scout.dcm", np.zeros((30, 40), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    found = read(sorted(folder.iterdir()), PIXELS, text=False)
    assert isinstance(found, Loaded) and found.values.shape == (1, 3, 16, 20)


@pytest.mark.parametrize(("heights", "said", "expected"), [
    ([0, 2, 4, 8, 10], {}, "slices"), ([0, 2, 2, 4], {}, "slices"), ([0, 2, 4.5, 6], {}, "slices"), ([0], {}, "slices"),
    ([0, 2, 4], {"ImagePositionPatient": None}, "slices"), ([0, 2, 4], {"PixelSpacing": None}, "slices"),
    ([0, 2, 4], {"Modality": "MR"}, "modality"),
])
def test_gaps_doubles_and_missing_places(tmp_path: Path, heights: list[float], said: dict, expected: str) -> None:
    pixels = wanted((16, 16, 16), window=(0.0, 2000.0), modality="CT")
    folder = series(tmp_path / "s", heights)
    if said:
        for path in folder.iterdir():
            from pydicom import dcmread
            data = dcmread(path)
            for keyword, value in said.items():
                if value is None:
                    delattr(data, keyword)
                else:
                    setattr(data, keyword, value)
            data.save_as(path)
    assert code(folder, pixels) == expected


def test_two_series_in_a_folder_tilted_gantries_and_sizes(tmp_path: Path) -> None:
    folder = series(tmp_path / "s", [0, 2, 4])
    dicom(folder / "z.dcm", VOLUME[3].astype(np.uint16), SeriesInstanceUID="1.2.4", ImagePositionPatient=list("006"),
          ImageOrientationPatient=list("100010"), PixelSpacing=["0.5", "0.75"])
    assert code(folder, PIXELS) == "several-series"
    folder = series(tmp_path / "t", [0, 2, 4])
    dicom(folder / "z.dcm", VOLUME[3, :, :10].astype(np.uint16), ImagePositionPatient=list("006"),
          ImageOrientationPatient=list("100010"), PixelSpacing=["0.5", "0.75"])
    assert code(folder, PIXELS) == "slices"
    folder = tmp_path / "u"
    folder.mkdir()
    for at in range(4):
        dicom(folder / f"{at}.dcm", VOLUME[at].astype(np.uint16), ImagePositionPatient=["0", str(at), str(2 * at)],
              ImageOrientationPatient=list("100010"), PixelSpacing=["0.5", "0.75"])
    assert code(folder, PIXELS) == "slices"
    assert code(folder, wanted()) == "dimensions"
    (tmp_path / "none").mkdir()
    assert code(tmp_path / "none", PIXELS) == "missing"
