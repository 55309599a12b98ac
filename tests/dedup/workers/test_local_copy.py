import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dedup.errors import InputError
from dedup.workers import local_copy as module
from dedup.workers.local_copy import local_copy


@pytest.fixture
def original(tmp_path):
    folder = tmp_path / "original"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(name.encode() * 1000)
    (folder / ".a.123.tmp").write_bytes(b"half a file")
    return folder


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_files_are_copied_once(original, tmp_path):
    copy = local_copy(original, tmp_path / "cache", "1f")
    assert content(copy) == {name: name.encode() * 1000 for name in "abc"}
    (original / "a").unlink()
    assert local_copy(original, tmp_path / "cache", "1f") == copy and (copy / "a").exists()


def test_many_at_once_make_one_copy(original, tmp_path, monkeypatch):
    copied, copy_file = [], module._copy_file
    monkeypatch.setattr(module, "_copy_file", lambda source, target: copied.append(source) or copy_file(source, target))
    with ThreadPoolExecutor(8) as threads:
        copies = list(threads.map(lambda _: local_copy(original, tmp_path / "cache", "1f"), range(8)))
    assert len(set(copies)) == 1 and len(copied) == 3


def test_an_interrupted_copy_is_made_again(original, tmp_path):
    script = ("import os, sys\nfrom dedup.workers import local_copy as module\n"
              "module._copy_file = lambda source, target: os.kill(os.getpid(), 9)\n"
              "module.local_copy(*sys.argv[1:])\n")
    killed = subprocess.run([sys.executable, "-c", script, str(original), str(tmp_path / "cache"), "1f"],
                            cwd=Path(__file__).parents[3])
    assert killed.returncode == -9
    assert not (tmp_path / "cache" / "1f").exists() and (tmp_path / "cache" / "1f.tmp").exists()
    assert len(content(local_copy(original, tmp_path / "cache", "1f"))) == 3
    assert not (tmp_path / "cache" / "1f.tmp").exists()


def test_a_full_disk_is_explained_and_leaves_nothing(original, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(module, "_copy_file", full)
    with pytest.raises(InputError, match="No space left on device.*Free some space there"):
        local_copy(original, tmp_path / "cache", "1f")
    assert not list((tmp_path / "cache").glob("1f*/*"))
