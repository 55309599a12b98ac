from __future__ import annotations

import pytest

from ssld.data.class_folders import read_class_folders
from ssld.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Three classes, one of them with a subfolder; files that belong to none."""
    for name in ("b/2.png", "b/1.JPG", "a b/x/deep.jpeg", "a b/1.png", "c/only.webp", "stray.png", ".hidden/1.png",
                 "c/notes.txt"):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_bytes(b"x")
    return tmp_path / "root"


def test_classes_are_the_sorted_names_of_the_subfolders(folder):
    manifest, names = read_class_folders(folder)
    assert names == ["a b", "b", "c"]
    assert list(zip(manifest.path, manifest.label.tolist())) == [
        ("a b/1.png", 0), ("a b/x/deep.jpeg", 0), ("b/1.JPG", 1), ("b/2.png", 1), ("c/only.webp", 2)]
    assert manifest.file(0) == folder / "a b" / "1.png" and manifest.place(4) == "c/only.webp"


def test_the_classes_of_another_folder_may_be_given(folder):
    manifest, names = read_class_folders(folder, ["c", "b", "none", "a b"])
    assert names == ["c", "b", "none", "a b"] and manifest.label.tolist() == [3, 3, 1, 1, 0]
    with pytest.raises(InputError, match=r"root/c: 'c' is none of the 2 classes"):
        read_class_folders(folder, ["a b", "b"])


def test_a_class_without_a_picture_is_refused(folder):
    (folder / "d").mkdir()
    with pytest.raises(InputError, match=r"class 'd': .*root/d holds no image file"):
        read_class_folders(folder)


@pytest.mark.parametrize("name, message", [("gone", "cannot be read: No such file"),
                                           ("stray.png", "cannot be read: Not a directory"),
                                           ("c", "holds no subfolder. Expected one for each class")])
def test_what_is_no_folder_of_classes_is_refused(folder, name, message):
    with pytest.raises(InputError, match=message):
        read_class_folders(folder / name)


def test_a_folder_that_may_not_be_listed_is_refused(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))
    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(InputError, match="root cannot be read: Permission denied"):
        read_class_folders(folder)
