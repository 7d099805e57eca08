"""The road for a hospital's archive through the command line: published, pulled, drawn from; no name leaves."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synth.workspace import Workspace
from tests.e2e.conftest import DIRECT
from tests.e2e.walk import nothing_came_along, walk

CONTRACT = Path(__file__).resolve().parents[2] / "data_contracts" / "phantoms.yaml"
PATIENTS = 90


def hospital(folder: Path, **changed: str) -> tuple[Path, list[bytes]]:
    """A small archive of phantoms, its contract, and what must not be found outside ``private/``."""
    from pydicom import dcmread

    from synth.medical.phantoms import make

    make(folder / "archive", patients=PATIENTS, most_images=2, seed=5)
    text = CONTRACT.read_text(encoding="utf-8").replace("path: data/phantoms", "path: archive")
    text = text.replace("size: 32", "size: 16")
    start, end = text.index("  - {property: synthesis.training"), text.index("  - property: synthesis.pixels")
    text = text[:start] + text[end:]  # the demo's effort and limits
    for before, after in changed.items():
        text = re.sub(rf"(?m)^(\s+){before}: .*$", rf"\1{before}: {after}", text)
    text += "  - {property: synthesis.training, value: {options: {images: 320, adversarial.batch: 64}}}\n"
    contract = folder / "phantoms.yaml"
    contract.write_text(text, encoding="utf-8")
    secrets = [b"Phantom^", b"Phantom Hospital", b"Shepp^Logan"]
    for path in sorted((folder / "archive").rglob("*_0.dcm"))[::20]:
        found = dcmread(path, stop_before_pixels=True)
        secrets += [str(v).encode() for v in (found.PatientID, found.StudyInstanceUID, found.SOPInstanceUID,
                                              found.AccessionNumber)] + [path.name.encode()]
    return contract, secrets


def test_an_archive_goes_the_whole_road_and_nobody_in_it_comes_along(
        tmp_path: Path, synth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet
    from pydicom import dcmread

    contract, secrets = hospital(tmp_path / "source")
    walked = walk(tmp_path, synth, monkeypatch, contract, domain="medical", name="phantoms", unit="images",
                  data="source/archive", samples=[
                      ("--rows", "12", "--where", "lesion=none", "--where", "age>=50", "--out", "more"),
                      ("--rows", "12", "--balance", "lesion", "--out", "even")])
    release = walked.release
    listing = parquet.read_table(release / "data" / "train" / "metadata.parquet").to_pydict()
    assert set(listing) == {"file_name", "lesion", "site", "age", "sex"}
    first = dcmread(release / "data" / "train" / listing["file_name"][0])
    assert first[0x0008, 0x001C].value == "YES" and first.PatientIdentityRemoved == "YES"
    made = walked.run.read()["stages"]["generate"]["rows"]
    assert first.pixel_array.shape == (16, 16) and len(listing["lesion"]) == made
    more = parquet.read_table(tmp_path / "more" / "train" / "metadata.parquet").to_pydict()
    assert set(more["lesion"]) == {"none"} and min(more["age"]) >= 50 and len(more["age"]) == 12
    even = parquet.read_table(tmp_path / "even" / "train" / "metadata.parquet").to_pydict()
    assert Counter(even["lesion"]) == {"diffuse": 3, "nodule": 3, "none": 3, "ring": 3}
    foreign_toolkits_read(release, listing)
    nothing_came_along(walked, secrets, tmp_path / "source" / "archive", files=100)


def foreign_toolkits_read(release: Path, listing: dict[str, list[Any]]) -> None:
    """The listing through its Croissant description, and a picture through Debian's dcmtk where it is installed."""
    mlcroissant = pytest.importorskip("mlcroissant")
    rows = list(mlcroissant.Dataset(str(release / "croissant.json")).records("rows"))
    assert [row["rows/lesion"].decode() for row in rows] == listing["lesion"]
    assert [row["rows/age"] for row in rows] == listing["age"]
    if shutil.which("dcmdump") is None:
        return
    picture = release / "data" / "train" / listing["file_name"][0]
    said = subprocess.run(["dcmdump", "+P", "0008,001c", "+P", "0012,0062", str(picture)], capture_output=True,
                          text=True, check=True)
    assert said.stdout.count("[YES]") == 2 and not said.stderr


@pytest.mark.slow
def test_a_poor_generator_of_images_is_not_let_out(tmp_path: Path, synth: Any) -> None:
    """Too few patients and hardly any training: the run ends with a report and without a release."""
    contract, _ = hospital(tmp_path / "source", release="png")
    done = synth("run", contract, *DIRECT, "--seed", "3")
    assert done.code == 3 and "fidelity" in done.err and "leakage" in done.err, done.err
    (run,) = Workspace(tmp_path / ".synth").runs()
    assert (run.private / "judge" / "report.html").is_file()
    assert not list((tmp_path / ".store").rglob("*.png"))
