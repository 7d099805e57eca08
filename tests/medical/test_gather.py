import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.errors import Problems, UserError
from synth.medical.gather import make
from tests.medical.archives import IDENTIFIER, LABEL, NUMBER, contract, dicom, patterned, picture, pngs, save


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def refused(wanted):
    with pytest.raises(UserError) as error:
        make(wanted)
    return error.value.render()


COLUMNS = {"file": IDENTIFIER, "patient": IDENTIFIER, "label": LABEL}


def manifest(folder, rows, columns=("file", "patient", "label"), name="list.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (folder / name).write_text("\n".join(lines) + "\n")


def test_columns_from_the_path(folder):
    listing = make(patterned(pngs(folder, patients=4)))
    assert listing.column("patient") == ["p00", "p00", "p02", "p02", "p01", "p01", "p03", "p03"]
    assert listing.column("label") == ["a"] * 4 + ["b"] * 4
    assert [row.files for row in listing.rows][:2] == [("a/p00_0.png",), ("a/p00_1.png",)]


def test_columns_from_a_manifest_and_from_the_path(folder):
    pngs(folder, patients=4, images=1)
    rows = [(f"{'ab'[i % 2]}/p{i:02d}_0.png", f"{20 + i}") for i in range(4)]
    manifest(folder, rows, ("file", "age"))
    listing = make(contract(folder, {**COLUMNS, "age": NUMBER}, manifest="list.csv", pattern="{label}/{patient}_*.png"))
    assert listing.column("age") == ["20", "21", "22", "23"]
    assert listing.column("patient") == ["p00", "p01", "p02", "p03"]


def test_a_parquet_manifest_gives_the_texts_of_a_csv(folder):
    pngs(folder, patients=3, images=1, labels=("a",))
    table = pa.table({"file": [f"a/p{i:02d}_0.png" for i in range(3)], "patient": [7, 8, None],
                      "label": pa.array(["x", "y", "x"]).dictionary_encode(), "age": [61.0, np.nan, 40.0]})
    pq.write_table(table, folder / "list.parquet")
    listing = make(contract(folder, {**COLUMNS, "age": NUMBER}, manifest="list.parquet"))
    assert listing.column("age") == ["61", "", "40"]
    assert listing.column("patient") == ["7", "8", ""]
    assert listing.column("label") == ["x", "y", "x"]


def test_columns_from_tags_and_the_folder(folder):
    for i in range(3):
        dicom(folder / "ring" / f"{i}", number=i, age=88 + i)
    columns = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"}, "label": LABEL,
               "age": {**NUMBER, "tag": "PatientAge"}, "site": {**LABEL, "tag": "StationName"}}
    listing = make(contract(folder, columns, pattern="{label}/*"))
    assert listing.column("patient") == ["PH00000", "PH00001", "PH00002"]
    assert listing.column("age") == ["88", "89", "90"]
    assert listing.capped == 1 and listing.modalities == 1
    assert set(listing.column("site")) == {"NORTH-CT1"}


def test_a_column_that_is_nowhere_and_one_that_is_in_two_places(folder):
    pngs(folder, patients=2)
    manifest(folder, [("a/p00_0.png", "p00", "a")])
    text = refused(contract(folder, {**COLUMNS, "age": NUMBER}, manifest="list.csv", pattern="{label}/*.png"))
    assert "'age' is in the contract but nowhere" in text and "'label' comes from more than one place" in text


def test_a_column_of_the_manifest_that_nobody_described(folder):
    pngs(folder, patients=2)
    manifest(folder, [("a/p00_0.png", "p00", "a", "Secretly")], ("file", "patient", "label", "diary"))
    text = refused(contract(folder, COLUMNS, manifest="list.csv"))
    assert "'diary' of the manifest is not in the contract" in text and "Secretly" not in text


@pytest.mark.parametrize("name", ["/etc/hosts", "../outside.png", "a/../../x.png", "~root/x.png", "a\\p00_0.png"])
def test_names_with_path_tricks_stop_the_run_and_are_not_quoted(folder, name):
    pngs(folder, patients=2)
    manifest(folder, [("a/p00_0.png", "p00", "a"), (name, "p01", "b")])
    text = refused(contract(folder, COLUMNS, manifest="list.csv"))
    assert "1 paths of the manifest" in text and name not in text


def test_a_file_listed_twice(folder):
    pngs(folder, patients=2)
    manifest(folder, [("a/p00_0.png", "p00", "a"), ("./a/p00_0.png", "p01", "b")])
    assert "1 rows of the manifest name a file that another row" in refused(contract(folder, COLUMNS,
                                                                                     manifest="list.csv"))


def test_files_that_are_not_listed_or_not_there(folder):
    pngs(folder, patients=2)
    manifest(folder, [("a/p00_0.png", "p00", "a"), ("a/p77_0.png", "p77", "a")])
    listing = make(contract(folder, COLUMNS, manifest="list.csv"))
    assert len(listing.rows) == 1 and listing.tried == 2
    assert listing.refused == (("a/p77_0.png", "missing"),)
    assert listing.counts["images that the manifest does not list"] == 3


def test_files_that_do_not_fit_the_pattern_are_counted_and_none_is_an_error(folder):
    pngs(folder, patients=2)
    save(folder / "odd.png", picture(9))
    assert make(patterned(folder)).counts == {"images that do not fit the pattern": 1}
    assert "none of the 5 images fits" in refused(patterned(folder, pattern="{label}/{patient}.tif"))


def test_no_manifest_an_empty_one_one_without_the_file_column(folder):
    pngs(folder, patients=2)
    assert "not there" in refused(contract(folder, COLUMNS, manifest="list.csv"))
    manifest(folder, [("p00", "a")], ("patient", "label"))
    assert "no column 'file'" in refused(contract(folder, COLUMNS, manifest="list.csv"))
    manifest(folder, [])
    assert "no rows" in refused(contract(folder, COLUMNS, manifest="list.csv"))


def test_patients_have_to_be_named_or_asserted(folder):
    pngs(folder)
    columns = {"file": IDENTIFIER, "label": LABEL}
    assert "no column says which patient" in refused(contract(folder, columns, entity=None, pattern="{label}/*.png"))
    listing = make(contract(folder, columns, entity=None, pattern="{label}/*.png", eachFileIsAPatient=True))
    assert len(set(listing.patients())) == len(listing.rows) == 24
    assert "names the patient and says" in refused(patterned(folder, eachFileIsAPatient=True))


def test_tags_that_are_never_read(folder):
    pngs(folder)
    text = refused(contract(folder, {**COLUMNS, "name": {**IDENTIFIER, "tag": "PatientName"}}, pattern="{label}/*.png"))
    assert "'name' asks for a tag that is not read" in text


@pytest.mark.parametrize("layout", ["beside", "folders", "manifest"])
def test_masks_are_found_and_a_missing_one_is_refused(folder, layout):
    rows = []
    for i in range(3):
        image, mask = {"folders": (f"x/images/{i}.png", f"x/masks/{i}.png")}.get(layout, (f"{i}.png", f"{i}_mask.png"))
        save(folder / image, picture(i))
        if i < 2:
            save(folder / mask, (picture(i) > 50).astype(np.uint8))
        rows.append((image, mask, "a", f"p{i}"))
    manifest(folder, rows, ("file", "mask", "label", "patient"))
    columns = {"file": IDENTIFIER, "mask": IDENTIFIER, "patient": IDENTIFIER, "label": LABEL}
    said = {"manifest": "list.csv"}
    if layout != "manifest":
        manifest(folder, [(row[0], *row[2:]) for row in rows], ("file", "label", "patient"))
    listing = make(contract(folder, columns, mask="mask", maskClasses=2, **said))
    assert [row.mask for row in listing.rows] == [rows[0][1], rows[1][1]]
    assert listing.refused == ((rows[2][0], "no-mask"),)


def test_masks_without_a_manifest_are_no_images(folder):
    for i in range(3):
        save(folder / "p" / "images" / f"{i}.png", picture(i))
        save(folder / "p" / "labels" / f"{i}.png", (picture(i) > 50).astype(np.uint8))
    columns = {"file": IDENTIFIER, "mask": IDENTIFIER, "label": LABEL, "patient": IDENTIFIER}
    listing = make(contract(folder, columns, mask="mask", maskClasses=2, pattern="{label}/images/{patient}.png"))
    assert [row.files[0] for row in listing.rows] == [f"p/images/{i}.png" for i in range(3)]
    assert not listing.refused


def series(folder, count=2, slices=4):
    for number in range(count):
        for image in range(slices):
            dicom(folder / f"s{number}" / f"{image}.dcm", number=number, image=image,
                  SeriesInstanceUID=f"2.25.{number}")


VOLUMES = {"file": IDENTIFIER, "patient": {**IDENTIFIER, "tag": "PatientID"}, "label": LABEL}


def test_slices_of_a_series_are_one_volume_and_localizers_are_not_in_it(folder):
    series(folder)
    dicom(folder / "s0" / "9.dcm", SeriesInstanceUID="2.25.0", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    listing = make(contract(folder, VOLUMES, size=[16, 16, 16], pattern="{label}/*.dcm", release="nifti"))
    assert [len(row.files) for row in listing.rows] == [4, 4]
    assert listing.counts == {"localizers": 1}
    assert listing.column("label") == ["s0", "s1"]


def test_a_folder_of_a_manifest_is_a_volume_if_it_holds_one_series(folder):
    series(folder)
    dicom(folder / "s1" / "8.dcm", SeriesInstanceUID="2.25.7")
    manifest(folder, [("s0", "x"), ("s1", "y")], ("file", "label"))
    listing = make(contract(folder, VOLUMES, size=[16, 16, 16], manifest="list.csv", release="nifti"))
    assert [len(row.files) for row in listing.rows] == [4]
    assert listing.refused == (("s1/0.dcm", "several-series"),)


def test_slices_in_two_folders_of_the_pattern_are_put_aside(folder):
    series(folder, count=2)
    dicom(folder / "elsewhere" / "5.dcm", image=5, SeriesInstanceUID="2.25.0")
    listing = make(contract(folder, VOLUMES, size=[16, 16, 16], pattern="{label}/*.dcm", release="nifti"))
    assert len(listing.rows) == 1 and [code for _, code in listing.refused] == ["series-in-two-places"]


def test_the_table_of_a_listing_lives_in_memory_only_and_errors_call_it_by_its_name(folder, tmp_path):
    import fsspec

    listing = make(patterned(pngs(folder)))
    with listing.source() as table:
        assert table.source.startswith("memory://") and table.pixels is None
        assert fsspec.filesystem("memory").isfile(table.source.removeprefix("memory:/"))
    assert not fsspec.filesystem("memory").exists(table.source.removeprefix("memory:/"))
    with pytest.raises(Problems) as error, listing.source() as table:
        raise Problems([UserError("x", where=f"images.yaml, {table.source}")])
    assert error.value.problems[0].where == "images.yaml, the table of images"
