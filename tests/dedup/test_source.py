import hashlib
import os
import tarfile

import pytest

from dedup.errors import InputError
from dedup.source import Source, open_source


def test_a_list_keeps_its_lines_and_counts_repeated_paths(tmp_path):
    (tmp_path / "list.txt").write_text("b.jpg 1\na.jpg -1\nb.jpg 2\nb.jpg 1\n")
    source = open_source(tmp_path / "list.txt")
    assert (list(source.paths), list(source.lines), source.repeated) == (["b.jpg", "a.jpg"], ["b.jpg 1", "a.jpg -1"], 2)
    assert source.root == str(tmp_path)
    assert source.sha256 == hashlib.sha256((tmp_path / "list.txt").read_bytes()).hexdigest()
    assert open_source(tmp_path / "list.txt", root="/elsewhere").root == "/elsewhere"


def test_a_folder_is_listed_in_sorted_order_without_other_files(tmp_path):
    for name in ("b.jpg", "a/z.PNG", "a/c.jpeg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    source = open_source(tmp_path)
    assert list(source.paths) == list(source.lines) == ["a/c.jpeg", "a/z.PNG", "b.jpg"]
    assert source.root == str(tmp_path)
    assert list(open_source(tmp_path / "a", root=tmp_path).paths) == ["a/c.jpeg", "a/z.PNG"]


def test_paths_in_memory_and_an_open_source_are_taken_as_they_are():
    source = Source.of(["x.jpg", "y.jpg", "x.jpg"], "/root")
    assert (list(source.paths), source.repeated) == (["x.jpg", "y.jpg"], 1)
    assert open_source(source) is source


def test_an_empty_folder_and_a_missing_list_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no image file"):
        open_source(tmp_path)
    with pytest.raises(InputError, match="cannot be read as an image list"):
        open_source(tmp_path / "none.txt")


@pytest.mark.parametrize("name", ["a\tb.jpg", "a\nb.jpg", "a\rb.jpg", "\udcff.jpg"])
def test_names_that_no_list_can_hold_are_refused(tmp_path, name):
    message = "holds a tab, a line end or bytes that are not UTF-8.*Rename"
    with pytest.raises(InputError, match=message):
        Source.of(["a.jpg", name], tmp_path)
    tar(tmp_path / "inside" / "a.tar", name)
    with pytest.raises(InputError, match=message):
        open_source(tmp_path / "inside")
    (tmp_path / "inside" / "a.tar").unlink()
    (tmp_path / "inside" / name).touch()
    with pytest.raises(InputError, match=message):
        open_source(tmp_path / "inside")


def test_unusual_names_that_a_list_can_hold_are_taken(tmp_path):
    names = ["a\u00a0b.jpg", "\u3000.jpg", "c d.jpg", "e\u2028.jpg"]
    for name in names:
        (tmp_path / name).touch()
    assert list(open_source(tmp_path).paths) == sorted(names)


def tar(path, *names):
    """A tar file of empty members."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w", encoding="utf-8", errors="surrogateescape", format=tarfile.GNU_FORMAT) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return path


def test_pictures_in_the_tar_files_of_a_folder_are_listed_and_other_members_are_not(tmp_path):
    tar(tmp_path / "shard-1.tar", "0002.jpg", "0001.jpg", "0001.cls", "inner/c.PNG", "0001.left.webp")
    tar(tmp_path / "deep" / "shard-0.tar", "./b.jpg")
    tar(tmp_path / "labels.tar", "0001.cls")
    (tmp_path / "real.tar").mkdir()
    (tmp_path / "real.tar" / "x.jpg").touch()
    expected = ["deep/shard-0.tar/b.jpg", "real.tar/x.jpg", "shard-1.tar/0001.jpg", "shard-1.tar/0001.left.webp",
                "shard-1.tar/0002.jpg", "shard-1.tar/inner/c.PNG"]
    assert list(open_source(tmp_path).paths) == expected
    assert list(open_source(tmp_path).paths) == expected        # the index files beside them change nothing
    assert list(open_source(tmp_path / "deep", root=tmp_path).paths) == expected[:1]


def test_one_tar_file_is_a_source_below_its_folder(tmp_path, monkeypatch):
    shard = tar(tmp_path / "a" / "shard.tar", "b.jpg", "a.jpg")
    source = open_source(shard)
    assert (list(source.paths), source.root) == (["shard.tar/a.jpg", "shard.tar/b.jpg"], str(tmp_path / "a"))
    source = open_source(shard, root=tmp_path)
    assert (list(source.paths), source.root) == (["a/shard.tar/a.jpg", "a/shard.tar/b.jpg"], str(tmp_path))
    monkeypatch.chdir(tmp_path / "a")
    assert list(open_source("shard.tar").paths) == list(open_source(".").paths) == ["shard.tar/a.jpg", "shard.tar/b.jpg"]
    with pytest.raises(InputError, match="holds no image file"):
        open_source(tar(tmp_path / "none.tar", "a.cls"))


def test_a_damaged_tar_file_counts_as_one_more_picture(tmp_path):
    os.truncate(tar(tmp_path / "a.tar", "x.jpg", "y.jpg"), 512 + 100)
    assert list(open_source(tmp_path).paths) == ["a.tar", "a.tar/x.jpg"]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
def test_a_compressed_tar_file_is_refused(tmp_path, name):
    with tarfile.open(tmp_path / name, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x.jpg"))
    for source in (tmp_path, tmp_path / name):
        with pytest.raises(InputError, match=f"{name} cannot be read: .*compressed.*write it again as a plain .tar"):
            open_source(source)


def test_a_folder_that_cannot_be_listed_is_named_and_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="locked cannot be read: Permission denied.*missing without notice"):
        open_source(tmp_path)


def test_a_link_to_a_file_that_is_gone_is_listed_so_that_it_is_counted(tmp_path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert list(open_source(tmp_path).paths) == ["gone.jpg"]
