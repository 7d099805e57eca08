import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import UserError
from synth.medical.find import below, find, is_image
from synth.medical.pattern import Pattern
from tests.medical.archives import dicom, picture, save


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    save(root / "a" / "one.png", picture(1))
    save(root / "b" / "c" / "two.PNG", picture(2))
    save(root / ".hidden" / "three.png", picture(3))
    save(root / "a" / ".four.png", picture(4))
    (root / "notes.txt").write_text("x")
    dicom(root / "dicom" / "1.2.840.99")  # a file named by its UID
    (root / "b" / "empty").write_bytes(b"")
    return root


def test_images_are_found_hidden_files_are_not_and_others_are_counted(folder):
    found = find(str(folder))
    assert found.files == ("a/one.png", "b/c/two.PNG", "dicom/1.2.840.99")
    assert found.others == 2
    assert found.root == folder.resolve()


def test_a_glob_names_some(folder):
    assert find(f"{folder}/a/*.png").files == ("one.png",)
    assert find(f"{folder}/**/*.PNG").files == ("b/c/two.PNG",)
    assert find(str(folder / "a" / "one.png")).files == ("one.png",)


def test_a_folder_with_brackets_in_its_name_is_a_folder(tmp_path):
    save(tmp_path / "CT [2020]" / "x.png", picture(1))
    assert find(str(tmp_path / "CT [2020]")).files == ("x.png",)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_that_leads_out_is_refused_without_its_name(folder, tmp_path, kind):
    save(tmp_path / "elsewhere" / "Secret_Name.png", picture(5))
    target = tmp_path / "elsewhere" if kind == "folder" else tmp_path / "elsewhere" / "Secret_Name.png"
    os.symlink(target, folder / ("Secret_Name" + (".png" if kind == "file" else "")))
    with pytest.raises(UserError, match="links to somewhere outside") as error:
        find(str(folder))
    assert "Secret" not in error.value.render()


def test_a_pipe_is_not_waited_for_and_a_broken_link_is_nothing(folder):
    os.mkfifo(folder / "pipe.png")
    os.symlink(folder / "gone.png", folder / "broken.png")
    assert not {"pipe.png", "broken.png"} & set(find(str(folder)).files)


def test_a_link_inside_the_folder_is_a_file_like_others(folder):
    os.symlink(folder / "a" / "one.png", folder / "again.png")
    assert "again.png" in find(str(folder)).files


@pytest.mark.parametrize(("source", "what"), [
    ("s3://bucket/x", "local folder"), ("/nowhere/at/all", "not there"), ("/nowhere/*.png", "not there")])
def test_what_cannot_be_a_folder(source, what):
    with pytest.raises(UserError, match=what):
        find(source)


def test_a_folder_without_images(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match="no image"):
        find(str(tmp_path))


def test_pickles_and_arrays_are_no_images(tmp_path):
    for name in ("weights.pt", "images.npy", "x.pkl", "set.npz", "DICOMDIR"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM")
        assert not is_image(tmp_path / name), name


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.png", "a/../../x.png", "~/x.png", "C:/x.png", "a\\..\\x.png",
                                  "a/x\0.png", ""])
def test_paths_with_tricks_mean_nothing(tmp_path, name):
    assert below(tmp_path.resolve(), name) is None


@given(st.text(st.sampled_from("a./~\\:"), max_size=12))
@settings(max_examples=150, deadline=None)
def test_what_a_name_means_lies_below_the_folder(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp().resolve()
    found = below(root, name)
    assert found is None or os.path.commonpath([root, os.path.realpath(found)]) == str(root)


@pytest.mark.parametrize(("pattern", "name", "columns"), [
    ("{label}/{patient}_*.png", "x/p1_2_3.png", {"label": "x", "patient": "p1"}),
    ("*/{label}/*.png", "Training/glioma tumor/gg (1).png", {"label": "glioma tumor"}),
    ("**/{patient}/*.dcm", "p7/a.dcm", {"patient": "p7"}),
    ("**/{patient}/*.dcm", "x/y/p7/a.dcm", {"patient": "p7"}),
    ("{patient}/{patient}_?.png", "p1/p1_2.png", {"patient": "p1"}),
    ("{patient}/{patient}_?.png", "p1/p2_2.png", None),
    ("{label}/*.png", "a/b/x.png", None),
    ("{label}/*.png", "x.png", None),
    ("{a}+(b).png", "1+(b).png", {"a": "1"}),
])
def test_a_pattern_reads_columns(pattern, name, columns):
    assert Pattern(pattern).match(name) == columns


@pytest.mark.parametrize("pattern", ["{label/*.png", "{}/x.png", "label}/x"])
def test_a_pattern_that_cannot_be(pattern):
    with pytest.raises(UserError):
        Pattern(pattern)
