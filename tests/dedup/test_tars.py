import io
import json
import os
import tarfile
import threading
from multiprocessing import get_context
from pathlib import Path

import pytest

from dedup import files, tars
from dedup.images import ImageError, read_bytes, size_in_bytes
from dedup.tars import is_tar_name, read_index, read_member, scan, split

LIMIT = 1 << 20


@pytest.fixture(autouse=True)
def forget():
    """Every test begins without an index in memory."""
    tars._index.cache_clear()


def write(path, members, **options):
    """A tar file of `name -> bytes`, or `name -> (type, link name)`."""
    with tarfile.open(path, "w", **options) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                tar.addfile(info)
    return str(path)


@pytest.fixture
def shard(tmp_path):
    return write(tmp_path / "a.tar", {"0001.jpg": b"first", "0001.cls": b"7", "inner/b.png": b"second" * 1000})


def index_file(shard):
    return Path(shard + ".index")


def test_members_are_read_by_position(shard):
    assert read_member(shard, "0001.jpg", LIMIT) == b"first"
    assert read_member(shard, "inner/b.png", LIMIT) == b"second" * 1000
    assert read_bytes(f"{shard}/0001.cls") == b"7"
    assert size_in_bytes(f"{shard}/inner/b.png") == 6000


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_every_kind_of_tar_is_read(tmp_path, kind):
    folder = "d" * 90 + "/" + "é" * (40 if kind == tarfile.USTAR_FORMAT else 120)
    names = [f"{folder}/long.jpg", "./dot.jpg", "/root.jpg", "日本.jpg"]
    shard = write(tmp_path / "a.tar", {name: name.encode() for name in names}, format=kind)
    for name, listed in zip(names, [names[0], "dot.jpg", "root.jpg", names[3]]):
        assert listed in read_index(shard).members
        assert read_member(shard, listed, LIMIT) == read_member(shard, f"./{listed}", LIMIT) == name.encode()


def test_names_of_tar_files_are_told_from_others():
    assert all(map(is_tar_name, ["a.tar", "A.TAR", "a.tar.gz", "a.tgz", "a.tar.zst", ".tar"]))
    assert not any(map(is_tar_name, ["a.jpg", "tar", "a.tar.d/b.jpg", "a.target", "a.tar.index", ".a.tar.index.0a.tmp"]))


def test_a_folder_that_is_called_like_a_tar_file_is_a_folder(tmp_path, shard):
    (tmp_path / "folder.tar" / "b.tar").mkdir(parents=True)
    (tmp_path / "folder.tar" / "b.tar" / "x.jpg").write_bytes(b"plain")
    inside = write(tmp_path / "folder.tar" / "c.tar", {"x.jpg": b"member"})
    assert split(str(tmp_path / "folder.tar" / "b.tar" / "x.jpg")) is None
    assert read_bytes(tmp_path / "folder.tar" / "b.tar" / "x.jpg") == b"plain"
    assert split(f"{inside}/x.jpg") == (inside, "x.jpg")
    assert read_bytes(f"{inside}/x.jpg") == b"member"


def test_a_hard_link_is_followed_and_other_links_and_kinds_are_errors(tmp_path):
    shard = write(tmp_path / "a.tar", {
        "a.jpg": b"first", "hard.jpg": (tarfile.LNKTYPE, "./a.jpg"), "lost.jpg": (tarfile.LNKTYPE, "none.jpg"),
        "soft.jpg": (tarfile.SYMTYPE, "a.jpg"), "pipe.jpg": (tarfile.FIFOTYPE, ""), "d.jpg": (tarfile.DIRTYPE, "")})
    assert read_bytes(f"{shard}/hard.jpg") == b"first"
    for name, message in (("lost", "is a hard link to nothing before it"), ("soft", "is a symbolic link"),
                          ("pipe", "is a pipe"), ("d", "no such member in a.tar")):
        with pytest.raises(ImageError, match=message):
            read_bytes(f"{shard}/{name}.jpg")
        assert size_in_bytes(f"{shard}/{name}.jpg") == -1


def test_a_sparse_member_is_an_error(tmp_path):
    header = tarfile.TarInfo("holes.jpg")
    header.type, header.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (0, 512)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "a.tar").write_bytes(bytes(block) + b"x" * 512 + bytes(1024))
    with pytest.raises(ImageError, match="is a sparse file"):
        read_bytes(tmp_path / "a.tar" / "holes.jpg")


def test_of_equal_names_the_last_counts(tmp_path):
    shard = write(tmp_path / "a.tar", {"a.jpg": b"old"})
    with tarfile.open(shard, "a") as tar:
        info = tarfile.TarInfo("a.jpg")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"new"))
    assert read_member(shard, "a.jpg", LIMIT) == b"new"


def test_what_is_not_there_empty_or_too_large_is_an_image_error(tmp_path, monkeypatch):
    shard = write(tmp_path / "a.tar", {"a.jpg": b"12345", "empty.jpg": b""})
    for name, message in (("none.jpg", "no such member in a.tar"), ("empty.jpg", "the file is empty"),
                          ("", "a tar file is no picture")):
        with pytest.raises(ImageError, match=message):
            read_bytes(os.path.join(shard, name))
    with pytest.raises(ImageError, match="No such file"):
        read_bytes(tmp_path / "none.tar" / "a.jpg")
    monkeypatch.setattr("dedup.images.MAX_BYTES", 4)
    with pytest.raises(ImageError, match="5 bytes are more than the 4"):
        read_bytes(f"{shard}/a.jpg")


@pytest.mark.parametrize("cut, whole, damage", [
    (512 + 700, [], "unexpected end of data"),                  # inside the bytes of the first member
    (512 + 1024 + 200, ["a.jpg"], "cut off at byte 1736"),      # inside the second header
    (2 * (512 + 1024), ["a.jpg", "b.jpg"], "cut off at byte 3072: there is no end mark")])
def test_whole_members_of_a_truncated_tar_file_are_read_and_the_rest_is_reported(tmp_path, cut, whole, damage):
    shard = write(tmp_path / "a.tar", {"a.jpg": b"a" * 1000, "b.jpg": b"b" * 1000})
    os.truncate(shard, cut)
    for name in ("a.jpg", "b.jpg"):
        if name in whole:
            assert read_bytes(f"{shard}/{name}") == name[:1].encode() * 1000
        else:
            with pytest.raises(ImageError, match="ends inside this member: 700 of 1000|no such member in a.tar.*damaged"):
                read_bytes(f"{shard}/{name}")
    assert damage in read_index(shard).damage
    with pytest.raises(ImageError, match=damage):
        read_bytes(shard)


def corrupted(shard, position, content):
    with open(shard, "r+b") as file:
        file.seek(position)
        file.write(content)
    return scan(shard)


def test_damage_in_the_middle_and_a_second_archive_behind_the_first_are_reported(tmp_path, shard):
    intact = os.path.getsize(shard)
    assert scan(shard).damage is None
    with open(shard, "ab") as file, open(write(tmp_path / "b.tar", {"c.jpg": b"third"}), "rb") as second:
        file.write(second.read())
    index = scan(shard)
    assert "more data follow the end mark" in index.damage and list(index.members) == ["0001.jpg", "0001.cls", "inner/b.png"]
    os.truncate(shard, intact)
    index = corrupted(shard, 1024, b"noise" * 100)
    assert "what stands at byte 1024 is no header; members found before that: 1" in index.damage
    assert "0001.jpg" in index.members


@pytest.mark.parametrize("size", [-1, -100, -512, -1024, -5000])
def test_a_negative_size_is_damage_and_does_not_lead_in_circles(tmp_path, size):
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "b.tar").write_bytes(bytes(header) + bytes(2048))
    assert read_index(str(tmp_path / "b.tar")) == ({}, "a negative size at byte 0; members found before that: 0")


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, b"\xff" * 3000])
def test_a_file_that_is_no_tar_is_damaged_from_its_start(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    assert "members found before that: 0" in read_index(str(tmp_path / "a.tar")).damage


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_refused_whatever_its_name(tmp_path, suffix):
    for name in (f"a.tar.{suffix}", "a.tar"):
        with tarfile.open(tmp_path / name, f"w:{suffix}") as tar:
            tar.addfile(tarfile.TarInfo("a.jpg"))
        with pytest.raises(ImageError, match=f"{name} is compressed .*write it again as a plain .tar"):
            read_bytes(tmp_path / name / "a.jpg")


def test_the_index_is_kept_beside_the_tar_file_and_used(shard, monkeypatch):
    before = read_index(shard)
    lines = index_file(shard).read_text().splitlines()
    assert json.loads(lines[0])["members"] == 3
    assert [json.loads(line)[0] for line in lines[1:]] == ["0001.jpg", "0001.cls", "inner/b.png"]
    tars._index.cache_clear()
    monkeypatch.setattr(tars, "scan", None)
    assert read_index(shard) == before


def test_an_index_keeps_names_with_line_ends_and_bytes_that_are_no_utf8(tmp_path, monkeypatch):
    shard = write(tmp_path / "a.tar", {"a\tb\n.jpg": b"first", "\udcff.jpg": b"second", "s.jpg": (tarfile.SYMTYPE, "x")},
                  encoding="utf-8", errors="surrogateescape", format=tarfile.GNU_FORMAT)
    before = read_index(shard)
    tars._index.cache_clear()
    monkeypatch.setattr(tars, "scan", None)
    assert read_index(shard) == before
    assert read_member(shard, "\udcff.jpg", LIMIT) == b"second"


def test_a_stale_index_is_not_believed(shard, tmp_path):
    read_index(shard)
    os.replace(write(tmp_path / "b.tar", {"0001.jpg": b"other", "longer.jpg": b"x" * 20_000}), shard)     # another size
    assert read_member(shard, "longer.jpg", LIMIT) == b"x" * 20_000
    size = os.path.getsize(shard)
    write(shard, {"fresh.jpg": b"y", "longer.jpg": b"z" * 20_000})
    assert os.path.getsize(shard) == size           # but another time
    assert read_member(shard, "longer.jpg", LIMIT) == b"z" * 20_000


@pytest.mark.parametrize("break_it", [
    lambda text: text[:-30], lambda text: text + "[", lambda text: "", lambda text: "[]", lambda text: "\0",
    lambda text: text.replace('"format": 1', '"format": 99')])
def test_a_damaged_index_is_made_again(shard, break_it):
    whole = read_index(shard)
    text = index_file(shard).read_text()
    index_file(shard).write_text(break_it(text))
    tars._index.cache_clear()
    assert read_index(shard) == whole
    assert index_file(shard).read_text() == text


def test_where_no_index_can_be_written_it_stays_in_memory(shard, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")
    monkeypatch.setattr(files.os, "replace", refuse)
    assert read_member(shard, "0001.jpg", LIMIT) == b"first"
    assert os.listdir(os.path.dirname(shard)) == ["a.tar"]
    monkeypatch.setattr(tars, "scan", None)
    assert read_member(shard, "0001.cls", LIMIT) == b"7"


def test_only_so_many_indexes_are_held_in_memory(tmp_path):
    for number in range(tars._OPEN_INDEXES + 5):
        read_index(write(tmp_path / f"{number}.tar", {"a.jpg": b"x"}))
    assert tars._index.cache_info().currsize == tars._OPEN_INDEXES


def read_many(paths):
    return [read_bytes(path) for path in paths]


def test_threads_and_processes_read_the_same_bytes(tmp_path):
    shards = [write(tmp_path / f"{s}.tar", {f"{n}.jpg": f"{s}-{n}".encode() for n in range(20)}) for s in range(4)]
    paths = [f"{shard}/{n}.jpg" for n in range(20) for shard in shards]
    expected = [f"{s}-{n}".encode() for n in range(20) for s in range(4)]
    results: list = []
    threads = [threading.Thread(target=lambda: results.append(read_many(paths))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8
    with get_context("fork").Pool(2) as pool:
        assert pool.map(read_many, [paths, paths[::-1]]) == [expected, expected[::-1]]


def test_a_missing_tar_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_index(str(tmp_path / "none.tar"))
