"""pydicom's own collection of odd files, which comes with the package: each is read right, or refused under a code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synth.medical.files import Loaded, Refusal, read
from tests.medical.files.made import values, wanted

pydicom = pytest.importorskip("pydicom")
FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
# the same picture, written in many ways: by transfer syntax, byte order, compression without loss, sample width
SAME = {
    "a slice": ["MR_small", "MR_small_RLE", "MR_small_bigendian", "MR_small_expb", "MR_small_implicit",
                "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "MR_small_padded"],
    "a liver": ["liver_1frame", "liver_expb_1frame"],
    "a dose": ["rtdose_1frame", "rtdose_expb_1frame", "rtdose_rle_1frame"],
    "colours": ["SC_rgb_rle", "SC_rgb_rle_16bit", "SC_rgb_rle_32bit"],
    "odd colours": ["SC_rgb_small_odd", "SC_rgb_small_odd_big_endian"],
}
REFUSED = {
    "no-pixels": ["rtplan", "rtplan_truncated", "rtstruct", "reportsi", "test-SR", "waveform_ecg",
                  "ExplVR_LitEndNoMeta"],
    "multi-frame": ["rtdose", "SC_rgb_rle_2frame", "examples_ybr_color"],
    "no-decoder": ["JPEG-lossy", "JPGExtended"],  # JPEG of 12 bits
    "too-large": ["JPEG2000-embedded-sequence-delimiter"],  # by what its codestream claims
    "truncated": ["MR_truncated", "UN_sequence", "empty_charset_LEI"],
    "damaged": ["badVR"],
}


def found(name: str) -> Path:
    path = FOLDER / f"{name}.dcm"
    if not path.is_file():
        pytest.skip("this copy of pydicom is without its collection")
    return path


@pytest.mark.parametrize("names", SAME.values(), ids=SAME)
def test_one_picture_written_in_many_ways_is_one_picture(names: list[str]) -> None:
    wide = wanted(size=(32, 32), channels=3)
    first, *others = (values(found(name), wide) for name in names)
    assert first.std() > 1
    for other in others:
        np.testing.assert_allclose(other, first, atol=1)  # 8 of 32 bits are rounded anew


@pytest.mark.parametrize("code", REFUSED)
def test_what_cannot_be_read_is_refused_for_its_reason(code: str) -> None:
    for name in REFUSED[code]:
        assert read(found(name), wanted(size=(32, 32))) == Refusal(code), name


def test_every_file_is_read_or_refused_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    files = sorted(p for p in FOLDER.glob("*") if p.is_file())
    if not files:
        pytest.skip("this copy of pydicom is without its collection")
    answers = [read(path, wanted(size=(32, 32), channels=3), text=False) for path in files]
    good = [answer.values for answer in answers if isinstance(answer, Loaded)]
    assert len(good) > 40 and all(np.isfinite(v).all() and v.min() < v.max() for v in good)
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} >= {*REFUSED, "not-an-image"}
    assert capfd.readouterr() == ("", "")
