"""Pictures: every mode of samples, masks, caps, and codes; and bringing them to one size."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synth.medical.files import fit_size
from tests.medical.files.made import RAMP, code, values, wanted

GREY = (RAMP % 256).astype(np.uint8)
COLOUR = np.random.default_rng(0).integers(0, 256, (16, 20, 3)).astype(np.uint8)


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def test_samples_of_every_depth_become_display_values_of_the_contract(tmp_path: Path) -> None:
    deep = (RAMP * 200).astype(np.uint16)
    assert (values(save(tmp_path / "a.png", GREY))[0] == GREY).all()
    assert np.allclose(values(save(tmp_path / "b.png", deep))[0], deep / 65535 * 255, atol=1e-3)
    assert (values(tmp_path / "b.png", wanted(bits=16))[0] == deep).all()
    assert np.allclose(values(tmp_path / "a.png", wanted(bits=16))[0], GREY * 257.0)
    assert (values(tmp_path / "b.png", wanted(window=(0.0, 70000.0)))[0] == deep).all()  # declared: as stored
    assert (values(save(tmp_path / "c.bmp", GREY))[0] == GREY).all()
    assert (values(save(tmp_path / "d.tif", deep), wanted(bits=16))[0] == deep).all()
    assert set(np.unique(values(save(tmp_path / "e.png", GREY > 100)))) == {0, 255}
    floats = save(tmp_path / "f.tif", RAMP.astype(np.float32) / 7)
    assert np.allclose(values(floats, wanted(window=(0.0, 50.0)))[0], RAMP / 7, atol=1e-4)
    assert values(floats)[0].max() == 255


def test_colour_grey_and_grey_that_is_stored_as_colour(tmp_path: Path) -> None:
    colour, path = wanted(channels=3), save(tmp_path / "a.png", COLOUR)
    assert (values(path, colour) == np.moveaxis(COLOUR, -1, 0)).all()
    assert code(path) == "colour"
    path = save(tmp_path / "b.png", np.stack([GREY] * 3, axis=-1))
    assert (values(path)[0] == GREY).all()
    assert (values(path, colour) == np.stack([GREY] * 3)).all()
    smooth = np.stack([np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)] * 3, axis=-1)
    jpeg = save(tmp_path / "c.jpg", smooth, quality=85)
    assert np.abs(values(jpeg)[0] - smooth[..., 0]).max() < 12
    alpha = np.dstack([COLOUR, np.where(RAMP > 100, 255, 0).astype(np.uint8)])
    found = values(save(tmp_path / "d.png", alpha), colour)
    assert (found[:, RAMP <= 100] == 0).all() and (found[:, RAMP > 100] == COLOUR[RAMP > 100].T).all()


def test_an_orientation_tag_is_obeyed_and_no_text_of_a_file_is_kept(tmp_path: Path) -> None:
    from PIL.Image import Exif

    exif = Exif()
    exif[0x0112] = 6
    assert values(save(tmp_path / "a.jpg", np.dstack([GREY] * 3), exif=exif, quality=95)).shape == (1, 20, 16)


def test_masks_are_labels_two_classes_may_be_any_two_values(tmp_path: Path) -> None:
    labels = (RAMP % 3).astype(np.uint8)
    three, two = wanted(mask="m", mask_classes=3), wanted(mask="m", mask_classes=2)
    assert (values(save(tmp_path / "a.png", labels), three, mask=True)[0] == labels).all()
    assert code(save(tmp_path / "b.png", labels * 100), three, mask=True) == "mask-values"
    white = save(tmp_path / "c.png", ((RAMP % 2) * 255).astype(np.uint8))
    assert (values(white, two, mask=True)[0] == RAMP % 2).all()
    assert code(tmp_path / "a.png", two, mask=True) == "mask-values"
    palette = Image.fromarray(labels).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "d.png")
    assert (values(tmp_path / "d.png", three, mask=True)[0] == labels).all()
    assert code(save(tmp_path / "e.png", COLOUR), three, mask=True) == "colour"


def test_bad_pictures_are_refused_with_their_code(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.png", COLOUR).read_bytes()
    for name, content, expected in (("b.png", whole[:-60], "truncated"), ("c.png", whole[:20], "damaged"),
                                    ("d.png", b"", "empty"), ("e.jpg", b"\xff\xd8\xff\xe0rubbish", "damaged"),
                                    ("f.eps", b"%!PS-Adobe-3.0 EPSF" + b" " * 200, "not-an-image"),
                                    ("g.svg", b"<svg>" + b" " * 200, "not-an-image")):
        path = tmp_path / name
        path.write_bytes(content)
        assert code(path, wanted(channels=3)) == expected, name
    assert code(save(tmp_path / "h.png", GREY * 0)) == "constant"
    assert code(save(tmp_path / "h.png", GREY * 0 + 9)) == "constant"
    assert code(tmp_path / "a.png", wanted((16, 16, 16))) == "dimensions"
    assert code(tmp_path) == "dimensions"
    spoilt = RAMP.astype(np.float32)
    spoilt[0, 0] = np.inf
    assert code(save(tmp_path / "i.tif", spoilt)) == "not-finite"
    Image.fromarray(GREY).save(tmp_path / "j.tif", save_all=True, append_images=[Image.fromarray(GREY[::-1].copy())])
    assert code(tmp_path / "j.tif") == "multi-frame"
    assert (values(tmp_path / "j.tif", frame=1)[0] == GREY[::-1]).all()


def test_a_hundred_megapixels_are_refused_before_they_are_decoded(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def never(*_: object) -> None:
        raise AssertionError("decoded")

    for side in (10_000, 60_000):
        head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(
            b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
        with monkeypatch.context() as patched:
            patched.setattr("PIL.ImageFile.ImageFile.load", never)
            assert code(tmp_path / "a.png") == "too-large"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.png")
    assert code(tmp_path / "a.png") == "not-a-file"


# --- one size


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(16, 32), st.integers(16, 32))
def test_a_picture_is_padded_not_stretched(height: int, width: int, rows: int, columns: int) -> None:
    image = np.ones((1, height, width), np.float32)
    out, spacing = fit_size(image, (rows, columns), fill=-1)
    assert out.shape == (1, rows, columns) and spacing is None
    inside = out[0] != -1
    tall, wide = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert inside.sum() == tall * wide and np.allclose(out[0][inside], 1)
    assert tall == rows or wide == columns
    factor = min(rows / height, columns / width)
    assert tall == max(1, round(height * factor)) and wide == max(1, round(width * factor))


@settings(max_examples=40, deadline=None)
@given(st.integers(17, 60), st.integers(0, 2**32))
def test_shrinking_averages_areas(side: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((1, side, side)).astype(np.float32)
    out, _ = fit_size(image, (16, 16))
    fine = np.kron(image[0], np.ones((16, 16)))  # every new sample is side x side of these
    oracle = fine.reshape(16, side, 16, side).mean(axis=(1, 3))
    assert np.allclose(out[0], oracle, atol=1e-5)


def test_stripes_finer_than_the_new_samples_become_grey_not_stripes() -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (1, 128, 64))
    out, _ = fit_size(stripes, (33, 33))
    assert np.ptp(out[0, 1:-1, 1:-1]) < 0.3
    labels, _ = fit_size(np.floor(stripes * 2.999), (33, 33), mask=True)
    assert set(np.unique(labels)) <= {0.0, 2.0}


def test_growing_is_linear_and_the_same_size_changes_nothing() -> None:
    ramp = np.tile(np.arange(8, dtype=np.float32), (1, 8, 1))
    out, _ = fit_size(ramp, (16, 16))
    assert np.allclose(np.diff(out[0, 0])[1:-1], 0.5) and out.min() == 0 and out.max() == 7
    same, _ = fit_size(COLOUR[..., 0][None].astype(np.float32), (16, 20))
    assert (same[0] == COLOUR[..., 0]).all()
