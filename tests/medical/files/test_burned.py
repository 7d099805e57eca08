"""Burned-in text is found on every kind of background; pictures without any are let through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from synth.medical.files.burned import has_text
from tests.medical.files.made import code, dicom, values, wanted


def background(kind: str, side: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1: 1: side * 1j, -1: 1: side * 1j]
    if kind == "noise":
        picture = rng.normal(110, 25, (side, side))
    elif kind == "smooth":
        picture = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), 8)
        picture = 30 + 150 * (picture - picture.min()) / np.ptp(picture) + rng.normal(0, 5, picture.shape)
    elif kind == "phantom":
        picture = 90.0 * ((x / 0.9) ** 2 + (y / 0.9) ** 2 < 1) + rng.normal(0, 5, (side, side))
        for _ in range(8):
            wide, high, left, top = *rng.uniform(0.1, 0.6, 2), *rng.uniform(-0.4, 0.4, 2)
            picture += rng.uniform(-40, 60) * (((x - left) / wide) ** 2 + ((y - top) / high) ** 2 < 1)
    elif kind == "ribs":  # thin, regular, bright, aligned: what is nearest to letters in anatomy
        picture = 60 + 80 * (np.sin(24 * x + 3 * y**2) > 0.6) * (np.abs(y) < 0.3 + 0.05 * rng.random()) + 0 * y
    else:  # a hand: bars side by side with joints
        picture = 40 + 120 * (np.sin(20 * x) > 0) * (np.sin(9 * y + 2) > -0.8) * (np.abs(x) < 0.5)
    return np.clip(picture, 0, 255).astype(np.uint8)


def written(picture: np.ndarray, text: str, size: int, at: tuple[int, int], colour: int = 255) -> np.ndarray:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(at, text, fill=colour, font=ImageFont.load_default(size))
    return np.asarray(image)


def seen(picture: np.ndarray) -> bool:
    return has_text(picture.astype(np.float32)[None])


@pytest.mark.parametrize("kind", ["noise", "smooth", "phantom"])
@pytest.mark.parametrize("size", [10, 12, 14, 16, 18, 20])
def test_names_are_found(kind: str, size: int) -> None:
    for seed, (text, at) in enumerate((("KOWALSKI", (2, 2)), ("Mueller, Anna", (4, 136)), ("DOE JOHN", (60, 80)),
                                       ("1961-04-13", (70, 2)))):
        picture = background(kind, 160, seed)
        assert not seen(picture), seed
        assert seen(written(picture, text, size, at)), (seed, text)


def test_black_on_bright_and_grey_on_dark() -> None:
    assert seen(written(np.full((128, 128), 200, np.uint8), "Smith Jane", 14, (10, 50), colour=0))
    assert seen(written(background("phantom", 128, 3), "ID 1234567", 12, (4, 4), colour=170))


def test_large_letters_of_a_large_picture() -> None:
    picture = background("phantom", 900, 1)
    assert not seen(picture) and seen(written(picture, "DOE JOHN", 70, (100, 60)))


@pytest.mark.parametrize("kind", ["noise", "smooth", "phantom", "ribs", "hand"])
def test_pictures_without_text_are_let_through(kind: str) -> None:
    wrong = sum(seen(background(kind, side, seed)) for side in (64, 128) for seed in range(10))
    assert wrong == 0


def test_colour_and_volumes() -> None:
    plain = np.stack([background("smooth", 128, seed) for seed in range(12)])
    assert not has_text(plain.astype(np.float32)[None])
    everywhere = np.stack([written(slice_, "KOWALSKI", 14, (4, 4)) for slice_ in plain])
    assert has_text(everywhere.astype(np.float32)[None])
    colour = np.stack([written(plain[0], "KOWALSKI", 14, (4, 4)), plain[0], plain[0]])
    assert has_text(colour.astype(np.float32)) and not has_text(np.stack([plain[0]] * 3).astype(np.float32))


def test_reading_refuses_such_an_image_whatever_its_header_says(tmp_path: Path) -> None:
    picture = written(background("smooth", 128, 0), "KOWALSKI ANNA", 14, (4, 4))
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert code(tmp_path / "a.png") == "burned-in-text"
    dicom(tmp_path / "b.dcm", picture.astype(np.int16) * 4, BurnedInAnnotation="NO", RescaleSlope="1",
          RescaleIntercept="-200", PhotometricInterpretation="MONOCHROME1")
    assert code(tmp_path / "b.dcm", wanted(window=(-200.0, 820.0))) == "burned-in-text"
    assert values(tmp_path / "b.dcm", text=False).shape == (1, 128, 128)


@pytest.mark.parametrize("picture", [np.zeros((64, 64)), np.ones((1, 40)), np.eye(5), np.arange(4096).reshape(64, 64)])
def test_odd_pictures_are_no_text(picture: np.ndarray) -> None:
    assert not seen(picture)
