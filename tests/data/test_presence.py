from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from dedup.images import size_in_bytes
from dedup.paths import Paths
from ssld.data.presence import plain, present

MANY = 40                       # so many of one folder that it is listed


@pytest.fixture
def folder(tmp_path):
    """Two folders of files, one of them with links, a folder, tar files, and a name that is no UTF-8."""
    for name in ("a", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(MANY):
            (tmp_path / name / f"{i}.jpg").write_bytes(b"x")
    (tmp_path / "a" / "good_link.jpg").symlink_to(tmp_path / "a" / "0.jpg")
    (tmp_path / "a" / "dead_link.jpg").symlink_to(tmp_path / "a" / "gone.jpg")
    (tmp_path / "a" / "folder.jpg").mkdir()
    (tmp_path / "a" / "empty.jpg").write_bytes(b"")
    with open(os.fsencode(tmp_path / "a") + b"/\xff.jpg", "wb"):
        pass
    for tar in ("shard.tar", "a/inner.tar"):
        with tarfile.open(tmp_path / tar, "w") as archive:
            for i in range(MANY):
                archive.add(tmp_path / "a" / f"{i}.jpg", f"in/{i}.jpg")
            archive.add(tmp_path / "a" / "dead_link.jpg", "in/link.jpg")
    return tmp_path


def one_by_one(root, paths) -> list:
    return [size_in_bytes(root / path) >= 0 for path in paths]


NAMES = [*(f"{i}.jpg" for i in range(0, MANY, 2)), "gone.jpg", "good_link.jpg", "dead_link.jpg", "folder.jpg", "empty.jpg",
         "inner.tar", "link.jpg", "\udcff.jpg", "ü.jpg", "", ".", "..", *(f"gone{i}.jpg" for i in range(MANY))]


@pytest.mark.parametrize("prefix", ["a/", "deep/er/", "deep//er/", "./a/", "deep/../a/", "a/folder.jpg/", "nowhere/", "",
                                    "a/0.jpg/", "shard.tar/in/", "shard.tar/", "shard.tar/in//", "a/inner.tar/in/",
                                    "a/inner.tar/no/"])
@pytest.mark.parametrize("few", [False, True])
def test_the_answers_are_those_of_asking_file_by_file(folder, prefix, few):
    paths = [prefix + name for name in (NAMES[::13] if few else NAMES)]
    assert present(folder, Paths.of(paths)).tolist() == one_by_one(folder, paths)


def test_paths_of_many_folders_in_any_order_keep_their_rows(folder):
    paths = [prefix + name for prefix in ("a/", "deep/er/", "shard.tar/in/", "nowhere/") for name in NAMES]
    paths += [str(folder / "a" / name) for name in NAMES]               # absolute paths leave the root
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    found = present(folder, Paths.of(paths))
    assert found.tolist() == one_by_one(folder, paths) and 0 < found.sum() < len(paths)


def test_each_folder_is_listed_once_and_its_files_are_not_asked_for(folder, monkeypatch):
    paths = Paths.of([f"{name}/{i}.jpg" for i in range(MANY) for name in ("a", "deep/er")])
    listed, original = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or original(path))
    monkeypatch.setattr("ssld.data.presence.size_in_bytes", None)
    assert present(folder, paths).all() and sorted(listed) == [f"{folder}/a/", f"{folder}/deep/er/"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_be_entered_but_not_listed_is_asked_file_by_file(folder):
    (folder / "a").chmod(0o111)
    try:
        assert present(folder, Paths.of([f"a/{i}.jpg" for i in range(2 * MANY)])).tolist() == [True] * MANY + [False] * MANY
    finally:
        (folder / "a").chmod(0o755)


def test_an_empty_list_has_no_files(tmp_path):
    assert present(tmp_path, Paths.of([])).tolist() == []


def test_plain_paths_are_those_that_pathlib_leaves_as_they_are():
    paths = ["a.jpg", "a/b.jpg", "a b/ü.jpg", "a/b..c", "/a.jpg", "./a.jpg", "a//b.jpg", "a/./b.jpg", "a/", "a/.", ".", "",
             "a/../b", ".hidden", "7", "a/b"]
    found = plain(Paths.of(paths))

    for path, is_plain in zip(paths, found):
        if is_plain:
            assert str(Path("/root") / path) == f"/root/{path}"
    assert [p for p, is_plain in zip(paths, found) if is_plain] == ["a.jpg", "a/b.jpg", "a b/ü.jpg", "a/b..c", "7", "a/b"]
    assert plain(Paths.of([])).tolist() == [] and plain(Paths.of([""])).tolist() == [False]
