"""DICOM pixels in their order: modality LUT, VOI window, inversion; every storage of samples; codes for what is bad."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import config
from pydicom.dataset import Dataset

from synth.medical.files import Loaded, read, write_set
from synth.medical.files.deidentify import strangers
from tests.medical.files.made import RAMP, code, dicom, values, wanted

HU = wanted(window=(-100.0, 200.0), unit="HU", bits=16)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.dcm"


def lut(table: list[int], first: int, bits: int = 16) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(table), first, bits])
    item.add_new("LUTData", "OW", struct.pack(f"<{len(table)}H", *table))
    return item


# --- the order of things


def test_rescale_gives_units_that_a_declared_window_leaves_alone(file: Path) -> None:
    dicom(file, RAMP.astype(np.int16), RescaleSlope="2", RescaleIntercept="-100", WindowCenter="0", WindowWidth="10")
    assert (values(file, HU)[0] == RAMP * 2.0 - 100).all()


def test_a_negative_slope_turns_the_values_around(file: Path) -> None:
    dicom(file, RAMP.astype(np.int16), RescaleSlope="-1.5", RescaleIntercept="10")
    assert (values(file, HU)[0] == RAMP * -1.5 + 10).all()
    shown = values(file)[0]
    assert shown[0, 0] == 255 and shown[-1, -1] == 0


@pytest.mark.parametrize("slope", [1, -1])
def test_a_window_is_laid_over_rescaled_values_not_stored_ones(file: Path, slope: int) -> None:
    dicom(file, RAMP.astype(np.int16), RescaleSlope=str(slope), RescaleIntercept="1000", WindowCenter="1000.5",
          WindowWidth="101")
    expected = np.clip((RAMP * slope + 1000 - 950) / 100, 0, 1) * 255
    assert np.allclose(values(file)[0], expected, atol=1e-3)


@pytest.mark.parametrize(("function", "expected"), [
    ("LINEAR", lambda x: np.clip((x - 99.5) / 99 + 0.5, 0, 1)),
    ("LINEAR_EXACT", lambda x: np.clip((x - 100) / 100 + 0.5, 0, 1)),
    ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 100) / 100))),
])
def test_the_three_functions_of_a_window(file: Path, function: str, expected) -> None:
    dicom(file, RAMP.astype(np.uint16), WindowCenter="100", WindowWidth="100", VOILUTFunction=function)
    assert np.allclose(values(file)[0], 255 * expected(RAMP.astype(float)), atol=1e-2)


def test_the_first_of_several_windows_counts(file: Path) -> None:
    dicom(file, RAMP.astype(np.uint16), WindowCenter=["100", "5"], WindowWidth=["100", "3"])
    one = values(file)
    dicom(file, RAMP.astype(np.uint16), WindowCenter="100", WindowWidth="100")
    assert (one == values(file)).all()


def test_monochrome1_is_inverted_after_the_window(file: Path) -> None:
    said = dict(RescaleSlope="1", RescaleIntercept="0", WindowCenter="60.5", WindowWidth="41")
    dicom(file, RAMP.astype(np.uint16), **said)
    plain = values(file)
    dicom(file, RAMP.astype(np.uint16), PhotometricInterpretation="MONOCHROME1", **said)
    assert np.allclose(values(file), 255 - plain, atol=1e-4)
    # inverting before the window would have laid it over 319 - 60
    assert values(file)[0].reshape(-1)[:41].tolist() == pytest.approx([255.0] * 41)


def test_monochrome1_is_inverted_within_a_declared_window(file: Path) -> None:
    dicom(file, RAMP.astype(np.int16), PhotometricInterpretation="MONOCHROME1", RescaleSlope="1",
          RescaleIntercept="-100")
    assert (values(file, HU)[0] == 100 - (RAMP - 100.0)).all()  # -100 becomes 200 and 200 becomes -100


def test_a_modality_lut_comes_before_the_window(file: Path) -> None:
    table = [(3 * i) % 1000 for i in range(400)]
    dicom(file, RAMP.astype(np.uint16), ModalityLUTSequence=[lut(table, 0)], WindowCenter="500.5", WindowWidth="1001")
    assert np.allclose(values(file)[0], np.array(table)[RAMP] / 1000 * 255, atol=1e-3)
    assert (values(file, wanted(window=(0.0, 1000.0)))[0] == np.array(table)[RAMP]).all()


def test_a_voi_lut_is_looked_up_with_rescaled_values_and_clamped(file: Path) -> None:
    table = list(range(4095, -1, -40))[:100]
    dicom(file, RAMP.astype(np.int16), RescaleSlope="1", RescaleIntercept="-50", VOILUTSequence=[lut(table, 20, 12)],
          WindowCenter="1", WindowWidth="2")
    at = np.clip(RAMP - 50 - 20, 0, len(table) - 1)
    assert np.allclose(values(file)[0], np.array(table)[at] / 4095 * 255, atol=1e-2)


def test_padding_is_background_in_both_photometric_interpretations(file: Path) -> None:
    stored = RAMP.astype(np.int16).copy()
    stored[:3] = -2000
    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        dicom(file, stored, PixelPaddingValue=("SS", -2000), RescaleSlope="1", RescaleIntercept="0",
              PhotometricInterpretation=photometric)
        assert (values(file, HU)[0, :3] == -100).all()
        assert (values(file)[0, :3] == 0).all()
        assert values(file)[0, 3:].max() == 255  # the range is that of the picture, not of its padding


def test_padding_written_with_the_wrong_sign_is_still_padding(file: Path) -> None:
    stored = RAMP.astype(np.int16).copy()
    stored[0] = -2000
    dicom(file, stored, PixelPaddingValue=("US", 65536 - 2000))
    assert (values(file, HU)[0, 0] == -100).all()


# --- how samples are stored


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint32])
def test_every_width_and_sign(file: Path, kind: type) -> None:
    stored = (RAMP % 100 - (50 if np.issubdtype(kind, np.signedinteger) else 0)).astype(kind)
    dicom(file, stored)
    assert (values(file, wanted(window=(-1000.0, 1000.0)))[0] == stored).all()


def test_graphics_in_the_unused_high_bits_do_not_show(file: Path) -> None:
    stored = (RAMP.astype(np.uint16) | (RAMP % 2 << 15)).astype(np.uint16)
    dicom(file, stored, BitsStored=12, HighBit=11)
    assert (values(file, wanted(window=(0.0, 4095.0)))[0] == RAMP).all()


def test_overlay_planes_are_left_out_and_noted(file: Path) -> None:
    dicom(file, RAMP.astype(np.uint16))
    from pydicom import dcmread
    data = dcmread(file)
    data.add_new(0x60000010, "US", 16)
    data.add_new(0x60000011, "US", 20)
    data.add_new(0x60003000, "OW", b"\xff" * 40)
    data.save_as(file)
    found = read(file, wanted(window=(0.0, 400.0)))
    assert isinstance(found, Loaded) and found.notes == ("overlay-dropped",)
    assert (found.values[0] == RAMP).all()


def test_colour_keeps_its_channels_in_every_arrangement(file: Path) -> None:
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, (16, 20, 3)).astype(np.uint8)
    colour = wanted(channels=3)
    dicom(file, stored)
    assert (values(file, colour) == np.moveaxis(stored, -1, 0)).all()
    dicom(file, stored, PixelData=np.moveaxis(stored, -1, 0).tobytes(), PlanarConfiguration=1)
    assert (values(file, colour) == np.moveaxis(stored, -1, 0)).all()
    from pydicom.pixels import convert_color_space
    dicom(file, convert_color_space(stored, "RGB", "YBR_FULL"), PhotometricInterpretation="YBR_FULL")
    assert np.abs(values(file, colour) - np.moveaxis(stored, -1, 0)).max() <= 3
    assert code(file) == "colour"


def test_a_palette_becomes_colour_and_a_grey_one_grey(file: Path) -> None:
    said = {}
    for at, name in enumerate(("Red", "Green", "Blue")):
        table = [(i * (at + 1)) % 256 * 256 for i in range(256)]
        said[f"{name}PaletteColorLookupTableDescriptor"] = ("US", [256, 0, 16])
        said[f"{name}PaletteColorLookupTableData"] = ("OW", struct.pack("<256H", *table))
    stored = (RAMP % 256).astype(np.uint8)
    dicom(file, stored, PhotometricInterpretation="PALETTE COLOR", **said)
    found = values(file, wanted(channels=3))
    for at in range(3):
        assert np.allclose(found[at], (stored.astype(int) * (at + 1)) % 256 * 256 / 65535 * 255, atol=1e-3)
    assert code(file) == "colour"
    for name in ("Green", "Blue"):
        said[f"{name}PaletteColorLookupTableData"] = said["RedPaletteColorLookupTableData"]
    dicom(file, stored, PhotometricInterpretation="PALETTE COLOR", **said)
    assert np.allclose(values(file)[0], stored.astype(int) * 256 / 65535 * 255, atol=1e-3)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_lossless_compression_changes_nothing(file: Path, syntax: str) -> None:
    from pydicom import dcmread

    dicom(file, np.tile(RAMP, (5, 5)).astype(np.uint16), RescaleSlope="-1", RescaleIntercept="0")
    plain = values(file, HU)
    data = dcmread(file)
    data.compress(syntax)
    data.save_as(file)
    assert (values(file, HU) == plain).all()


def test_deflated_and_big_endian_and_bare_data_sets(file: Path) -> None:
    from pydicom import dcmread

    for syntax in ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2"):
        dicom(file, RAMP.astype(np.int16), syntax=syntax, RescaleSlope="2", RescaleIntercept="1")
        assert (values(file, HU)[0] == RAMP * 2 + 1).all()
    dicom(file, RAMP.astype(">i2"), syntax="1.2.840.10008.1.2.2", RescaleSlope="2", RescaleIntercept="1")
    assert (values(file, HU)[0] == RAMP * 2 + 1).all()
    dicom(file, RAMP.astype(np.int16))
    data = dcmread(file)
    bare = Dataset()
    bare.update({element.tag: element for element in data})
    bare.save_as(file, implicit_vr=True, little_endian=True)
    assert file.read_bytes()[128:132] != b"DICM"
    assert (values(file, HU)[0] == RAMP).all()


# --- frames


def test_a_row_of_the_listing_is_one_image(file: Path) -> None:
    frames = np.stack([RAMP, RAMP + 1, RAMP + 2]).astype(np.uint16)
    dicom(file, frames)
    assert code(file) == "multi-frame"
    window = wanted(window=(0.0, 400.0))
    assert (values(file, window, frame=2)[0] == RAMP + 2).all()
    assert code(file, window, frame=3) == "multi-frame"
    assert values(file, wanted((16, 16, 20), window=(0.0, 400.0)))[0].tolist() == frames.tolist()


def test_frames_have_their_own_slopes_windows_and_places(file: Path) -> None:
    def groups(at: int) -> Dataset:
        item = Dataset()
        for sequence, said in (("PixelValueTransformationSequence", {"RescaleSlope": str(at + 1),
                                                                      "RescaleIntercept": "0"}),
                               ("PlanePositionSequence", {"ImagePositionPatient": ["0", "0", str(9 - 3 * at)]})):
            inner = Dataset()
            for keyword, value in said.items():
                setattr(inner, keyword, value)
            setattr(item, sequence, [inner])
        return item

    shared = Dataset()
    for sequence, keyword, value in (("PlaneOrientationSequence", "ImageOrientationPatient", list("100010")),
                                     ("PixelMeasuresSequence", "PixelSpacing", ["0.5", "0.25"])):
        inner = Dataset()
        setattr(inner, keyword, value)
        setattr(shared, sequence, [inner])
    dicom(file, np.stack([RAMP] * 3).astype(np.uint16), SharedFunctionalGroupsSequence=[shared],
          PerFrameFunctionalGroupsSequence=[groups(at) for at in range(3)])
    found = read(file, wanted((16, 16, 20), window=(0.0, 1000.0)))
    assert isinstance(found, Loaded) and found.spacing == (3.0, 0.5, 0.25)
    assert [found.values[0, at, 0, 1] for at in range(3)] == [3, 2, 1]  # the last frame lies lowest


# --- what is bad has a code


def test_bad_files_are_refused_with_their_code(file: Path, tmp_path: Path) -> None:
    good = dicom(file, RAMP.astype(np.uint16)).read_bytes()
    for name, content, expected in (
            ("empty", b"", "empty"), ("short", good[:-100], "truncated"), ("head", good[:140], "truncated"),
            ("text", b"not an image at all" * 20, "not-an-image"), ("stub", b"DI", "truncated"),
            ("pickle", b"\x80\x04\x95" + b"q" * 300, "not-an-image"),
            ("numpy", b"\x93NUMPY\x01\x00" + b"{'descr': '|O'}" + b" " * 300, "not-an-image")):
        path = tmp_path / name
        path.write_bytes(content)
        assert code(path) == expected, name
    assert code(tmp_path / "none.dcm") == "missing"
    dicom(file, RAMP.astype(np.uint16), PixelData=None)
    assert code(file) == "no-pixels"
    dicom(file, RAMP.astype(np.uint16), PixelData=b"")
    assert code(file) == "no-pixels"
    dicom(file, RAMP.astype(np.uint16) * 0 + 7)
    assert code(file) == "constant"
    dicom(file, RAMP.astype(np.uint16))
    assert code(file, wanted(window=(1000.0, 2000.0))) == "constant"  # nothing of it lies in the window
    assert code(file, wanted(modality="MR")) == "modality"
    assert code(file, wanted((16, 16, 16))) == "dimensions"
    dicom(file, RAMP.astype(np.uint16), RescaleSlope="0", RescaleIntercept="1")
    assert code(file) == "damaged"
    dicom(file, RAMP.astype(np.uint16), BurnedInAnnotation="YES")
    assert code(file) == "burned-in-text"


def test_a_transfer_syntax_without_a_decoder(file: Path) -> None:
    from pydicom.encaps import encapsulate

    dicom(file, RAMP.astype(np.uint16), syntax="1.2.840.10008.1.2.1")
    raw = file.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0")
    file.write_bytes(raw)
    assert code(file) == "no-decoder"
    dicom(file, RAMP.astype(np.uint16), syntax="1.2.840.10008.1.2.4.90", PixelData=encapsulate([b"rubbish" * 9]))
    assert code(file) == "damaged"


def test_sizes_are_capped_before_decoding(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("pydicom.pixels.pixel_array", never)
    dicom(file, RAMP.astype(np.uint16), Rows=60000, Columns=60000)
    assert code(file) == "too-large"
    dicom(file, RAMP.astype(np.uint16), NumberOfFrames="2000000")
    assert code(file) == "too-large"


def test_a_codestream_larger_than_its_header_says_is_never_decoded(file: Path) -> None:
    from pydicom.encaps import encapsulate

    sides = struct.pack(">8IH", 60000, 60000, 0, 0, 60000, 60000, 0, 0, 1)
    stream = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + sides + b"\0" * 98
    dicom(file, RAMP.astype(np.uint16), syntax="1.2.840.10008.1.2.4.90", PixelData=encapsulate([stream]))
    assert code(file) == "too-large"
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 65000, 65000) + b"\x01\x01\x11\x00"
    dicom(file, RAMP.astype(np.uint8), syntax="1.2.840.10008.1.2.4.50", PixelData=encapsulate([jpeg + b"\0" * 99]))
    assert code(file) == "too-large"


def test_a_deflated_bomb_is_not_inflated(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.medical.files.dicom.MOST_BYTES", 1 << 16)
    dicom(file, RAMP.astype(np.uint16), syntax="1.2.840.10008.1.2.1.99")
    assert values(file, HU).shape == (1, 16, 20)
    whole = file.read_bytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = whole.index(b"1.2.840.10008.1.2.1.99") + 22
    cut = next(at for at in range(start, len(whole)) if _inflates(whole[at:]))
    file.write_bytes(whole[:cut] + packer.compress(b"\0" * (1 << 20)) + packer.flush())
    assert code(file) == "too-large"


def _inflates(raw: bytes) -> bool:
    try:
        return len(zlib.decompress(raw, -zlib.MAX_WBITS)) > 100
    except zlib.error:
        return False


def test_nothing_of_the_header_is_printed_and_facts_are_only_those_asked_for(
        file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dicom(file, RAMP.astype(np.uint16), PatientName="CANARY^NAME", PatientAge="094Y", PatientSex="F",
          PatientID="CANARY-7", StudyDate="CANARY", InstitutionAddress="CANARY street", PatientWeight="61.5")
    found = read(file, wanted(), tags=("PatientAge", "PatientSex", "PatientWeight", "PatientName", "StudyDate", "Rows"))
    assert isinstance(found, Loaded)
    assert found.facts == {"PatientAge": 90.0, "PatientSex": "F", "PatientWeight": 61.5, "Rows": 16.0}
    assert "age-capped" in found.notes
    assert "CANARY" not in repr(found) + "".join(capfd.readouterr())
    file.write_bytes(file.read_bytes()[:-200])
    assert code(file) == "truncated"
    assert "CANARY" not in "".join(capfd.readouterr())


def test_the_whitelist_sees_strangers_at_any_depth() -> None:
    inner, data = Dataset(), Dataset()
    inner.PatientName = "A"
    inner.add_new(0x00091001, "LO", "private")
    data.Modality, data.PlaneOrientationSequence = "CT", [inner]
    assert strangers(data, frozenset(("Modality", "PlaneOrientationSequence"))) == ["(0009,1001)", "PatientName"]


# --- against another toolkit


@pytest.mark.skipif(shutil.which("dcm2pnm") is None, reason="dcmtk is not installed")
@pytest.mark.parametrize(("option", "said"), [
    (["+Wi", "1"], {"RescaleSlope": "2", "RescaleIntercept": "-100", "WindowCenter": "150", "WindowWidth": "300"}),
    (["+Wi", "1"], {"RescaleSlope": "-1", "RescaleIntercept": "40", "WindowCenter": "-90", "WindowWidth": "151"}),
    (["+Wi", "1"], {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": "90", "WindowWidth": "61"}),
    (["+Wi", "2"], {"WindowCenter": ["90", "200"], "WindowWidth": ["61", "100"], "VOILUTFunction": "LINEAR"}),
    (["+Wi", "1"], {"WindowCenter": "90", "WindowWidth": "61", "VOILUTFunction": "SIGMOID"}),
    (["+Wl", "1"], {"VOILUTSequence": [lut(list(range(4000, 0, -20)), 30, 12)], "RescaleSlope": "1",
                    "RescaleIntercept": "-20"}),
    (["+Wl", "1"], {"ModalityLUTSequence": [lut([7 * i % 1000 for i in range(320)], 0)],
                    "PhotometricInterpretation": "MONOCHROME1", "VOILUTSequence": [lut(list(range(1000)), 0, 10)]}),
])
def test_dcmtk_shows_the_same_picture(file: Path, option: list[str], said: dict) -> None:
    from PIL import Image

    dicom(file, RAMP.astype(np.int16 if "RescaleSlope" in said else np.uint16), **said)
    if option == ["+Wi", "2"]:
        said = {**said, "WindowCenter": said["WindowCenter"][1], "WindowWidth": said["WindowWidth"][1]}
        subprocess.run(["dcm2pnm", *option, str(file), str(file.with_suffix(".pgm"))], check=True)
        dicom(file, RAMP.astype(np.uint16), **said)
    else:
        subprocess.run(["dcm2pnm", *option, str(file), str(file.with_suffix(".pgm"))], check=True)
    theirs = np.asarray(Image.open(file.with_suffix(".pgm"))).astype(float)
    assert np.ptp(theirs) > 100 and np.abs(values(file)[0] - theirs).max() <= 2  # dcmtk rounds twice


# --- what a header says stays there


def test_no_value_of_a_header_gets_from_a_file_into_a_released_one(file: Path, tmp_path: Path) -> None:
    """Every element that has text holds a canary; so do a private one, a nested one, a curve and an overlay."""
    import gzip

    import pyarrow as pa
    from pydicom import dcmread
    from pydicom.datadict import DicomDictionary, keyword_for_tag

    from synth.progress import Silent

    dicom(file, RAMP.astype(np.uint16))
    data = dcmread(file)
    with config.disable_value_validation():
        for tag, (vr, *_) in DicomDictionary.items():
            if vr in ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT") and tag >> 16 not in (0, 2) and tag not in data:
                data.add_new(tag, vr, f"CANARY {keyword_for_tag(tag)}"[:16])
        data.PatientID, data.PatientAge = "CANARY-1", "044Y"
        inner = Dataset()
        inner.PatientName = "CANARY"
        data.ReferencedStudySequence = [inner]
        data.add_new(0x00091001, "LO", "CANARY")
        data.add_new(0x50003000, "OW", b"CANARY")
        data.add_new(0x60003000, "OW", b"CANARY")
        data.save_as(file)
    assert file.read_bytes().count(b"CANARY") > 500
    facts_asked = ("PatientAge", "PatientName", "PatientComments", "StudyDescription")
    for release, modality in (("png", ""), ("nifti", ""), ("dicom", "CT"), ("dicom", "DX"), ("dicom", "")):
        pixels = wanted(window=(0.0, 400.0), release=release, modality=modality)
        found = read(file, replace(pixels, modality=""), tags=facts_asked, text=False)
        assert isinstance(found, Loaded) and found.facts == {"PatientAge": 44.0} and "CANARY" not in repr(found)
        out = tmp_path / f"{release}{modality}"
        write_set(out, found.intensity.store(found.values)[None], None, pa.table({"age": [found.facts["PatientAge"]]}),
                  found.intensity, pixels, seed=1, progress=Silent(), tags={"age": "PatientAge"})
        for path in out.iterdir():
            raw = path.read_bytes()
            assert b"CANARY" not in raw + (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else b""), path.name
