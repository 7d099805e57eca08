"""A user's own networks: run from one file, named truly, and judged like the spaces that ship."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synth.contract.networks import NetworkKind
from synth.errors import UserError
from tests.validators.medical import onnx_files, patients
from validators.finding import Verdict
from validators.medical import diversity, fidelity, networks
from validators.medical.networks import UserNetwork, inception_score

SIZE = (24, 24)


@pytest.fixture(scope="module")
def archive():
    return patients.evidence(700, 4, size=SIZE)


def given(evidence, *found):
    pixels = replace(evidence.contract.pixels, networks=found)
    return replace(evidence, contract=replace(evidence.contract, pixels=pixels))


def test_features_are_what_the_network_says_of_the_mapped_range(tmp_path, archive):
    own = UserNetwork(onnx_files.network(onnx_files.features(tmp_path / "f.onnx"), range=(0.0, 255.0)))
    pixels = archive.train.pixels[:5]
    got = own.features(pixels)
    scaled = pixels[:, 0].astype(np.float64) / 65535 * 255
    cells = scaled.reshape(5, 3, 8, 3, 8).mean(axis=(2, 4)).reshape(5, 9)
    assert got.shape == (5, 27)
    np.testing.assert_allclose(got, np.tile(cells, 3), rtol=1e-4)
    assert UserNetwork(onnx_files.network(tmp_path / "f.onnx", side=48)).features(pixels).shape == (5, 108)


def test_inception_score_is_the_formula():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(4), size=50)
    mean = p.mean(axis=0)
    naive = np.exp(np.mean([sum(a * np.log(a / b) for a, b in zip(row, mean, strict=True)) for row in p]))
    weights = np.ones((50, 1), np.float32)
    assert inception_score(p.astype(np.float32), weights)[0] == pytest.approx(naive, rel=1e-5)
    assert inception_score(np.eye(4, dtype=np.float32), np.ones((4, 1), np.float32))[0] == pytest.approx(4)


def test_an_inception_network_judges_and_may_be_called_fid(tmp_path, archive):
    logits = np.random.default_rng(0).normal(size=(27, 5))
    inception = onnx_files.network(onnx_files.features(tmp_path / "i.onnx", logits), NetworkKind.INCEPTION)
    result = fidelity.run(given(archive, inception), fidelity.Limits())
    found = {f.id: f for f in result.findings}
    name = inception.name
    assert found[f"fidelity.frechet.{name}"].method.count("FID in the user's network") == 1
    assert "Not an FID" in found["fidelity.frechet.efflite"].method
    assert found[f"fidelity.kernel.{name}"].verdict is not Verdict.INFO
    score = found[f"fidelity.score.{name}"]
    assert score.verdict is Verdict.INFO and score.low < score.value < score.high and score.floor is not None
    assert not any("FID" in line for line in result.not_tested)
    assert any("FID" in line for line in fidelity.run(archive, fidelity.Limits()).not_tested)

    wrong = replace(archive, synthetic=replace(archive.synthetic, pixels=archive.synthetic.pixels // 3))
    found = {f.id: f for f in fidelity.run(given(wrong, inception), fidelity.Limits()).findings}
    assert found[f"fidelity.kernel.{name}"].verdict is Verdict.FAIL
    assert found[f"fidelity.frechet.{name}"].verdict is Verdict.FAIL


def test_lpips_is_reported_beside_real_pairs(tmp_path, archive):
    own = onnx_files.network(onnx_files.distance(tmp_path / "d.onnx"), NetworkKind.LPIPS)
    pixels = archive.train.pixels
    got = UserNetwork(own).distances(pixels[:70], pixels[70:140])
    want = 2 * np.abs(pixels[:70].astype(float) - pixels[70:140]).mean(axis=(1, 2, 3)) / 65535
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)

    collapsed = replace(archive, synthetic=replace(
        archive.synthetic, pixels=np.repeat(archive.synthetic.pixels[:1], len(archive.synthetic), axis=0)))
    found = {f.id: f for f in diversity.run(given(collapsed, own), diversity.Limits()).findings}
    rows = found[f"diversity.{own.name}"].detail["pictures"][0]["rows"]
    assert rows and all(row["value"] < 0.01 < row["floor"] for row in rows)


def test_wrong_files_are_told_apart(tmp_path, archive):
    pixels = archive.train.pixels[:2]
    good = onnx_files.network(onnx_files.features(tmp_path / "f.onnx"))
    onnx_files.distance(tmp_path / "f.onnx")
    with pytest.raises(UserError, match="not the one that the contract names"):
        UserNetwork(good).features(pixels)
    with pytest.raises(UserError, match="there is no such network"):
        UserNetwork(replace(good, file=tmp_path / "none.onnx")).features(pixels)
    with pytest.raises(UserError, match="has not 1 input"):
        UserNetwork(onnx_files.network(tmp_path / "f.onnx")).features(pixels)
    (tmp_path / "p.onnx").write_bytes(b"\x80\x05cbuiltins\nexit\n)R.")
    with pytest.raises(UserError, match="no ONNX network") as raised:
        UserNetwork(onnx_files.network(tmp_path / "p.onnx")).features(pixels)
    assert "one file" in raised.value.todo
    nan = onnx_files.features(tmp_path / "n.onnx", np.full((27, 2), np.nan))
    with pytest.raises(UserError, match="finite"):
        UserNetwork(onnx_files.network(nan)).features(pixels)


def test_weights_in_other_files_are_out_of_reach(tmp_path, archive):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(np.ones(108, np.float32).tobytes())
    reaching = onnx_files.network(onnx_files.outside(folder / "o.onnx"))
    with pytest.raises(UserError, match="no ONNX network"):
        UserNetwork(reaching).features(archive.train.pixels[:2])


def test_without_networks_the_spaces_are_those_that_ship(archive):
    assert networks.spaces(archive) == ("efflite", "radiomics")
