"""Feature spaces: deterministic, the same in any batch, and sensitive to what they are named after."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from synth.errors import UserError
from synth.seeds import generator
from tests.validators.medical import patients
from validators import memo
from validators.medical import features, signal
from validators.medical.features import efficientnet, radiomics

SHAPES = [(1, 32, 32), (3, 24, 40), (1, 18, 20, 16), (1, 16, 16)]


def noise(n: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return generator(seed, *shape).integers(0, 65_536, (n, *shape)).astype(np.uint16)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["efflite", "radiomics"])
def test_features_do_not_depend_on_the_batch(name: str, shape: tuple[int, ...]) -> None:
    pixels = noise(3, shape)
    pixels[1] = 0
    kind = features.extractor(name)
    together = kind.features(pixels)
    assert together.dtype == np.float32 and np.isfinite(together).all()
    for i in range(3):
        assert np.allclose(kind.features(pixels[i : i + 1])[0], together[i], rtol=1e-3, atol=1e-3)
    assert (together[0] != together[2]).any()


def test_the_network_is_the_published_one() -> None:
    """A red dahlia is among ImageNet's daisies (985) as the classification head of the same weights sees it."""
    torch = pytest.importorskip("torch")
    from sklearn.datasets import load_sample_image

    picture = load_sample_image("flower.jpg")[:, 100:527].transpose(2, 0, 1)[None]
    weights = efficientnet._weights()
    found = torch.from_numpy(efficientnet.EfficientNetLite().features(picture.astype(np.uint16) * 257))
    scores = (found @ weights["_fc.weight"].T + weights["_fc.bias"])[0]
    assert 985 in scores.topk(5).indices.tolist()


def test_folding_the_normalisation_changes_nothing() -> None:
    torch = pytest.importorskip("torch")
    from torch.nn import functional as F

    weights = efficientnet._weights()
    x = torch.from_numpy(generator(2).normal(size=(2, 3, 32, 32)).astype(np.float32))
    padded = F.pad(x, (0, 1, 0, 1))  # TensorFlow pads an even side after the image
    plain = F.conv2d(padded, weights["_conv_stem.weight"], stride=2)
    facts = [weights[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    plain = F.relu6(F.batch_norm(plain, *facts, eps=1e-3))
    folded = efficientnet._layers(weights)[0][0](x)
    assert torch.allclose(folded, plain, atol=1e-4)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "DIGEST", "0" * 64)
    with pytest.raises(UserError, match="not the ones") as caught:
        efficientnet.EfficientNetLite().features(noise(1, (1, 32, 32)))
    assert str(Path.home()) not in str(caught.value) and "site-packages" not in str(caught.value)


def test_missing_weights_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(efficientnet.importlib, "import_module", absent)
    with pytest.raises(UserError, match="not installed"):
        efficientnet.EfficientNetLite().features(noise(1, (1, 32, 32)))


def test_cooccurrence_is_its_definition() -> None:
    grey = generator(3).random((2, 7, 6))
    found = radiomics.cooccurrence(grey, 1)
    levels = radiomics.codes(grey)
    for image in range(2):
        per_axis = []
        for axis in (0, 1):
            matrix = np.zeros((16, 16))
            for r in range(7 - (axis == 0)):
                for c in range(6 - (axis == 1)):
                    a, b = levels[image, r, c], levels[image, r + (axis == 0), c + (axis == 1)]
                    matrix[a, b] += 1
                    matrix[b, a] += 1
            matrix /= matrix.sum()
            i, j = np.indices(matrix.shape)
            per_axis.append([np.log((matrix * (i - j) ** 2).sum() + 0.01), (matrix * abs(i - j)).sum(),
                             (matrix / (1 + (i - j) ** 2)).sum(), (matrix**2).sum(),
                             -(matrix[matrix > 0] * np.log(matrix[matrix > 0])).sum()])
        assert found[image, :5] == pytest.approx(np.mean(per_axis, axis=0))


def test_power_is_kept_and_lands_in_its_band() -> None:
    x = np.arange(64)
    wave = np.cos(2 * np.pi * 0.25 * x)[None, :] * np.ones((64, 1))
    power, band = radiomics.banded_power(wave[None], (0.0, 0.2, 0.3, 0.9))
    counts = np.bincount(band, minlength=4)[:3]
    energy = power[0] * counts
    assert energy[1] > 0.99 * energy.sum()
    window = np.outer(np.hanning(66)[1:-1], np.hanning(66)[1:-1])
    assert energy.sum() == pytest.approx(((wave - wave.mean()) * window).__pow__(2).sum(), rel=0.02)


def test_wavelet_energy_of_stripes_is_fine_detail_along_one_axis() -> None:
    stripes = np.tile([0.0, 1.0], 16)[None, None, :] * np.ones((1, 32, 1))
    found = radiomics.wavelet(stripes)[0]
    assert found[0] == pytest.approx(np.log(0.25 / 2 + radiomics.TINY))  # mean over the two one-axis details
    assert found[1:] == pytest.approx(np.log(radiomics.TINY))


def test_histograms_and_their_distance() -> None:
    pixels = np.zeros((2, 1, 4, 4), np.uint16)
    pixels[1] = 65_535
    found = signal.histograms(pixels)
    assert found[0, 0] == 1 and found[1, 255] == 1
    assert signal.wasserstein(found[0], found[1]) == pytest.approx(255 / 256)
    a, b = generator(1).random((2, 256))
    naive = sum(abs(a[: i + 1].sum() / a.sum() - b[: i + 1].sum() / b.sum()) for i in range(256)) / 256
    assert signal.wasserstein(a, b) == pytest.approx(naive)


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (18, 20, 16), (512, 16)])
def test_bands_fit_the_size(size: tuple[int, ...]) -> None:
    assert signal.powers(noise(2, (1, *size))).shape == (2, len(signal.band_names(size)))


def test_a_space_is_scaled_by_its_reference_and_drops_constants() -> None:
    images = patients.people(80, 1, size=(24, 24))
    for name in ("efflite", "radiomics"):
        found = features.Space.fit(images, name).of(images)
        assert np.mean(found.astype(float) ** 2) == pytest.approx(1, abs=0.2)
        assert (found.std(axis=0) > 0).all() and abs(found.mean()) < 0.2


def test_an_own_extractor_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mean:
        name, title, version, method, columns = "mean", "Mean", "1", "the mean", True

        def features(self, pixels: np.ndarray) -> np.ndarray:
            return pixels.reshape(len(pixels), -1).mean(axis=1, keepdims=True).astype(np.float32)

    features.extractor("efflite")
    monkeypatch.setattr(features, "_EXTRACTORS", dict(features._EXTRACTORS))
    features.register(Mean())
    assert features.raw(patients.people(5, 1), "mean").shape == (5, 1)
    with pytest.raises(UserError, match="no feature extractor 'inception'"):
        features.extractor("inception")


def test_what_is_remembered_goes_with_its_owner() -> None:
    images, calls = patients.people(4, 1), []
    for _ in range(2):
        memo.memo(images, "x", lambda: calls.append(1))
    assert calls == [1]
    at = id(images)
    del images
    gc.collect()
    assert at not in memo._KEPT
