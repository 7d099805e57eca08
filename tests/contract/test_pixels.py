"""The pixels block of a contract: read into a frozen object, or refused with every mistake at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from synth.contract.load import loads
from synth.contract.networks import Network, NetworkKind
from synth.contract.pixels import Format, Pixels, Window
from synth.domain import RECIPES, domains, fitting
from synth.errors import Problems, UserError

BASE = """\
apiVersion: v3.1.0
kind: DataContract
id: scans
name: scans
version: "1.0.0"
status: draft
servers:
  - {server: s, type: local, path: data}
schema:
  - name: scans
    properties:
      - name: path
        logicalType: string
        customProperties:
          - {property: synthesis.role, value: identifier}
      - name: lesion
        logicalType: string
        customProperties:
          - {property: synthesis.tag, value: StudyDescription}
customProperties:
  - {property: synthesis.domain, value: medical}
  - property: synthesis.pixels
    value: {file: path, size: 64}
"""
BLOCK = "{file: path, size: 64}"


def load(block: str = BLOCK, text: str = BASE):
    return loads(text.replace(BLOCK, block), Path("/x/scans.yaml"))


def test_the_least_that_can_be_said() -> None:
    contract = load()
    assert contract.pixels == Pixels(file="path", size=(64, 64))
    assert contract.pixels.window is Window.FILE and not contract.pixels.flips and not contract.pixels.volumetric
    assert contract.column("lesion").tag == "StudyDescription"
    assert contract.training.recipe == RECIPES["medical"]
    assert fitting(contract).name == "medical"


def test_everything_that_can_be_said() -> None:
    pixels = load("{file: path, mask: lesion, maskClasses: 3, size: [24, 40, 32], modality: MR, unit: a.u., "
                  "window: [0, 1e3], flips: true, manifest: list.csv, pattern: '{lesion}/{path}', "
                  "eachFileIsAPatient: true, bits: 16, channels: 1, release: nifti}").pixels
    assert pixels == Pixels(file="path", mask="lesion", mask_classes=3, size=(24, 40, 32), modality="MR", unit="a.u.",
                            window=(0.0, 1000.0), flips=True, manifest="list.csv", pattern="{lesion}/{path}",
                            each_file_is_a_patient=True, bits=16, release=Format.NIFTI)
    assert pixels.volumetric


@pytest.mark.parametrize(("block", "what"), [
    ("{size: 64}", "name no file column"), ("{file: path}", "'size'"), ("{file: path, size: 8}", "'size'"),
    ("{file: path, size: [64, true]}", "'size'"), ("{file: path, size: [64, 64, 64, 64]}", "'size'"),
    ("{file: path, size: [512, 512, 512]}", "more than"), ("{file: 3, size: 64}", "must be text"),
    ("{file: path, size: 64, channels: 4}", "'channels'"), ("{file: path, size: 64, bits: 12}", "'bits'"),
    ("{file: path, size: 64, window: [5, 5]}", "below its high end"),
    ("{file: path, size: 64, window: wide}", "an end of the window"),
    ("{file: path, size: 64, window: [.nan, 4]}", "an end of the window"),
    ("{file: path, size: 64, mask: lesion}", "belong together"),
    ("{file: path, size: 64, maskClasses: 2}", "belong together"),
    ("{file: path, size: 64, mask: lesion, maskClasses: 1}", "'maskClasses'"),
    ("{file: path, size: 64, release: jpeg}", "unknown format"), ("{file: path, size: 64, flips: 1}", "'flips'"),
    ("{file: path, size: 64, colour: 3}", "unknown key"), ("{file: path, size: 64, manifest: ../x.csv}", "leaves"),
    ("{file: path, size: 64, pattern: '/etc/{path}'}", "leaves"),
    ("{file: path, size: [32, 32, 32]}", "released as nifti"),
    ("{file: path, size: [32, 32, 32], channels: 3, release: nifti}", "one channel"), ("many", "mapping"),
])
def test_what_cannot_be_meant_is_refused_at_its_line(block: str, what: str) -> None:
    with pytest.raises(Problems) as found:
        load(block)
    problems = [p for p in found.value.problems if what in p.what]
    assert problems and all("scans.yaml:2" in (p.where or "") for p in problems), found.value.problems


def test_a_domain_gets_the_blocks_it_reads_and_no_others() -> None:
    lacking = load(text=BASE[:BASE.index("  - property: synthesis.pixels")])
    with pytest.raises(UserError, match=r"needs 'synthesis.pixels'"):
        fitting(lacking)
    foreign = load(text=BASE.replace("value: medical", "value: tabular"))
    with pytest.raises(UserError, match=r"does not have 'synthesis.pixels'"):
        fitting(foreign)


def test_every_domain_has_a_default_recipe() -> None:
    assert set(RECIPES) == set(domains())


def test_a_users_networks() -> None:
    digest = "ab" * 32
    block = f"{{file: path, size: 64, networks: [{{file: w/i.onnx, sha256: {digest}, kind: inception, side: 75}}]}}"
    network, = load(block).pixels.networks
    assert network == Network(file=Path("/x/w/i.onnx"), sha256=digest, kind=NetworkKind.INCEPTION, side=75)
    assert network.name == "inception-abababab" and network.range == (-1.0, 1.0)
    assert network.problem() is not None and "no such network" in network.problem().what


@pytest.mark.parametrize("item, said", [
    ("{file: w.pt, sha256: " + "ab" * 32 + "}", "an .onnx file"),
    ("{file: w.onnx, sha256: short}", "the digest of its file"),
    ("{file: w.onnx, sha256: " + "ab" * 32 + ", kind: fid}", "unknown kind"),
    ("{file: w.onnx, sha256: " + "ab" * 32 + ", side: 5}", "'side' of a network"),
    ("{file: w.onnx, sha256: " + "ab" * 32 + ", range: [1, 0]}", "below its high end"),
    ("{file: w.onnx, sha256: " + "ab" * 32 + ", range: 3}", "must be a number"),
    ("{file: w.onnx, sha256: " + "ab" * 32 + ", weights: x}", "unknown key 'weights'"),
    ("w.onnx", "must be a mapping"),
    ("{file: w.onnx, sha256: " + "ab" * 32 + "}, {file: v.onnx, sha256: " + "ab" * 32 + "}", "given twice"),
])
def test_networks_that_cannot_be_meant(item: str, said: str) -> None:
    with pytest.raises(Problems, match=said):
        load(f"{{file: path, size: 64, networks: [{item}]}}")


def test_networks_judge_no_volumes() -> None:
    with pytest.raises(Problems, match="not volumes"):
        load("{file: path, size: [32, 32, 32], release: nifti, networks: [{file: w.onnx, sha256: " + "ab" * 32 + "}]}")
