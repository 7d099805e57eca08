"""Earlier releases read back from their files and attacked together with the present one; splits that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.contract.pixels import Format
from synth.driving.files.write import write_scenes
from synth.driving.plug import PLUG as DRIVING
from synth.errors import Problems, UserError
from synth.medical.evidence import ImageEvidence, Images
from synth.medical.files import intensity_of
from synth.medical.files.write import write_set
from synth.medical.plug import PLUG as MEDICAL
from synth.progress import Silent
from synth.records.union import names
from synth.tabular.export import dress
from tests.medical.archives import patterned, pngs
from tests.validators.driving import faults, traffic
from tests.validators.medical import patients
from validators.driving import leakage
from validators.finding import Verdict
from validators.gates import judge_union
from validators.medical.copies import copies, pieces
from validators.medical.correlation import Correlation
from validators.releases import controls

HELD = controls(0, 100, ["earlier"], [])  # nobody held out today was trained on before


def archive(**changes: object) -> ImageEvidence:
    e = patients.evidence(60, 3, size=(24, 20), masks=True)
    terms = replace(e.contract, pixels=replace(e.pixels, **changes))  # type: ignore[arg-type]
    return replace(e, contract=terms, intensity=intensity_of(terms.pixels))  # type: ignore[arg-type]


def image_release(e: ImageEvidence, images: Images, folder: Path) -> Path:
    table = dress(images.table, e.schema, e.contract, seed=1)
    write_set(folder / "data" / "train", images.pixels, images.masks, table, e.intensity, e.pixels, seed=1,
              progress=Silent())
    return folder


@pytest.mark.parametrize("how", [{}, {"bits": 16}, {"release": Format.NIFTI, "window": (-100.0, 300.0), "bits": 16},
                                 {"release": Format.DICOM, "window": (-100.0, 300.0), "bits": 16, "modality": "CT"}],
                         ids=["png", "png 16", "nifti", "dicom"])
def test_released_images_come_back_as_the_gates_look_at_them(tmp_path: Path, how: dict[str, object]) -> None:
    e = archive(**how)
    found = MEDICAL.released(e, image_release(e, e.synthetic, tmp_path))
    step = 65_535 / (255 if e.pixels.bits == 8 else 400 if e.pixels.release is not Format.PNG else 65_535)
    assert np.abs(found.pixels.astype(int) - e.synthetic.pixels.astype(int)).max() <= step / 2 + 1
    assert np.array_equal(found.masks, e.synthetic.masks)
    assert found.table.equals(e.synthetic.table)


def test_released_scenes_come_back_as_the_gates_look_at_them(tmp_path: Path) -> None:
    e = traffic.evidence(60, 4, synthetic=50)
    write_scenes(tmp_path / "data" / "train", e.synthetic, dress(e.synthetic.table, e.schema, e.contract, seed=1),
                 replace(e.contract, traffic=replace(e.contract.traffic, release=())), seed=1, progress=Silent())
    found = DRIVING.released(e, tmp_path)
    for name in ("states", "present", "sizes", "kinds", "road"):
        assert np.array_equal(getattr(found, name), getattr(e.synthetic, name)), name
    assert found.table.equals(e.synthetic.table)


def test_a_release_of_another_form_is_named_and_not_joined(tmp_path: Path) -> None:
    e = archive()
    folder = image_release(e, e.synthetic, tmp_path)
    for changes, what in (({"size": (20, 20)}, "sizes"), ({"release": Format.DICOM}, "formats")):
        with pytest.raises(UserError, match=what):
            MEDICAL.released(archive(**changes), folder)
    other = replace(e.schema, columns=(replace(e.schema.columns[0], values=("none",)), *e.schema.columns[1:]))
    with pytest.raises(Problems, match="labels that the model does not know"):
        MEDICAL.released(replace(e, schema=other), folder)
    with pytest.raises(UserError, match="no table that lists its files"):
        MEDICAL.released(e, tmp_path / "data")
    listing = folder / "data" / "train" / "metadata.parquet"
    table = pq.read_table(listing)
    pq.write_table(table.set_column(0, "file_name", pa.array(["../../secret.png"] * len(table))), listing)
    with pytest.raises(UserError, match="formats"):
        MEDICAL.released(e, folder)


def test_another_rate_or_shape_of_scenes_is_not_joined(tmp_path: Path) -> None:
    e = traffic.evidence(60, 4, synthetic=20)
    write_scenes(tmp_path / "data" / "train", e.synthetic, dress(e.synthetic.table, e.schema, e.contract, seed=1),
                 replace(e.contract, traffic=replace(e.contract.traffic, release=())), seed=1, progress=Silent())
    for shape, what in (({"rate": 10.0}, "rate"), ({"vehicles": 2}, "shape"), ({"steps": 20}, "shape")):
        now = replace(e, synthetic=replace(e.synthetic, shape=replace(e.synthetic.shape, **shape)))
        with pytest.raises(UserError, match=what):
            DRIVING.released(now, tmp_path)


def test_all_releases_together_are_the_synthetic_set(monkeypatch: pytest.MonkeyPatch) -> None:
    e = replace(archive(), totals={"synthetic": 36}, critic=lambda images: np.zeros(len(images)))
    monkeypatch.setattr(type(MEDICAL), "cap", 50)
    union = MEDICAL.together(e, [e.synthetic, e.reference])
    assert len(union.synthetic) == 50 and union.total("synthetic") == 36 + 36 + len(e.reference)
    assert len(np.unique(union.synthetic.entities)) == 50
    assert union.critic is None and union.sample_again is None and union.shards is None
    assert union.synthetic.masks is not None and len(union.synthetic.masks) == 50


def test_copies_of_an_earlier_release_stop_a_clean_one() -> None:
    e = traffic.evidence(800, 11, synthetic=480)
    alone = leakage.run(e, leakage.Limits())
    assert Verdict.FAIL not in {f.verdict for f in alone.findings}
    earlier = faults.memorised(e, 0.5)
    found = judge_union(DRIVING.together(e, [earlier]), e.contract, HELD, 1)
    failed = {f.id for f in found.findings if f.verdict is Verdict.FAIL}
    assert "releases.copies.aligned" in failed


def test_copied_images_of_an_earlier_release_are_found() -> None:
    e = patients.evidence(300, 5)
    union = MEDICAL.together(e, [patients.memorised(e, 0.5)])
    found = {f.id: f.verdict for f in copies(union, pieces(union), (Correlation(),), excess=0.01, sensitivity=0.5,
                                             either=0.6, patients=20, images=50)}
    assert found["leakage.copies.correlation"] is Verdict.FAIL


def test_equal_records_have_different_names_and_the_same_ones_again() -> None:
    traces = np.array([[1, 2], [3, 4], [1, 2], [1, 2]], np.uint16)
    assert len(set(names(traces).tolist())) == 4
    assert set(names(traces[[3, 1, 0]]).tolist()) < set(names(traces).tolist())


def test_who_was_held_out_is_held_out_again(tmp_path: Path) -> None:
    contract = patterned(pngs(tmp_path / "data"))
    places = []
    for number, seed in enumerate((1, 99, 99)):
        ingested, split = tmp_path / f"ingest{number}", tmp_path / f"split{number}"
        ingested.mkdir()
        split.mkdir()
        MEDICAL.ingest(contract, ingested, progress=Silent())
        record = MEDICAL.split(contract, ingested, split, seed=seed, earlier=places if number == 1 else [])
        assert ("kept" in record) == (number == 1)
        if number == 0:
            places.append((ingested, split))
    parts = [np.load(tmp_path / f"split{number}" / "parts.npy") for number in range(3)]
    assert np.array_equal(parts[0], parts[1]) and not np.array_equal(parts[1], parts[2])
