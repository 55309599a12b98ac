import errno
import hashlib
import json
import os

import pytest

from dedup.errors import InputError
from dedup.files import atomic_write, sha256_file, write_json


def test_a_file_appears_whole_and_its_folder_is_made(tmp_path):
    with atomic_write(tmp_path / "new" / "a.txt") as file:
        file.write("one\ntwo\n")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"one\ntwo\n"
    assert os.listdir(tmp_path / "new") == ["a.txt"]


def test_an_interrupted_write_leaves_the_old_content_and_no_other_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        with atomic_write(tmp_path / "a.txt") as file:
            file.write("half")
            raise KeyboardInterrupt
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_an_input_error_that_names_the_file(tmp_path):
    with pytest.raises(InputError, match=r"a\.bin could not be written: No space left on device"):
        with atomic_write(tmp_path / "a.bin", "wb"):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_json_is_written_readably_and_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"b": [1, 2.5, None]}
    assert text.endswith("}\n")


def test_sha256_of_a_file_of_several_blocks(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(content)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()
