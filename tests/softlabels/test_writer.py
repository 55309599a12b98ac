"""A store is whole or none, whoever writes it and whenever that one is killed."""
import json
import os
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.softlabels import shard_writer
from ssld.softlabels import writer as module
from ssld.softlabels.codec import Codec
from ssld.softlabels.store import Store
from ssld.train import row_files

SCRIPT = Path(__file__).with_name("writes_a_store.py")

def contents(folder) -> dict:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small):
    """The files of a store that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    writer = small.writer(folder)
    assert small.fill(writer) == small.IMAGES
    writer.finish()
    return contents(folder)


def test_a_store_is_a_file_for_each_shard_a_table_and_what_they_are(whole, small):
    meta = json.loads(whole["meta.json"])
    assert sorted(name for name in whole if "progress" not in name) == [
        "images.npz", "meta.json", "shard-00000.bin", "shard-00001.bin", "shard-00002.bin"]
    assert [len(whole[f"shard-0000{number}.bin"]) for number in range(3)] == [count * 6 * 20 for count in (4, 4, 3)]
    assert {key: meta[key] for key in ("version", "kind", "k", "class_num", "crops", "images", "seed", "scale", "orientation",
                                       "colour", "teachers")} == {
        "version": 1, "kind": "marginal_smoothing", "k": 3, "class_num": 7, "crops": 6, "images": 11, "seed": 5,
        "scale": [0.08, 1.0], "orientation": "ignored", "colour": "RGB", "teachers": None}
    assert meta["images_sha256"] == small.images().path.sha256()
    assert [entry["images"] for entry in meta["shards"]] == [4, 4, 3]


@pytest.mark.parametrize("when, number, done", [
    ("note", 1, 0), ("note", 2, 1), ("note", 4, 3), ("note", 5, 4), ("note", 10, 8), ("rename", 1, 4), ("rename", 3, 11),
    ("renamed", 1, 4), ("renamed", 3, 11), ("table", 1, 11), ("meta", 1, 11)])
def test_a_killed_process_is_gone_on_with_and_the_bytes_are_the_same(tmp_path, whole, when, number, done, small):
    folder = tmp_path / "store"
    killed = subprocess.run([sys.executable, small.__file__, folder, when, str(number)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with pytest.raises(InputError, match="not finished: start the same command again"):
        Store(folder)
    writer = small.writer(folder)
    assert small.fill(writer) == small.IMAGES - done
    writer.finish()
    assert {name: data for name, data in contents(folder).items() if not name.endswith(".tmp")} == whole
    Store(folder).verify(False)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_several_processes_write_what_one_does(tmp_path, whole, world, small):
    writers = [small.writer(tmp_path) for _ in range(world)]
    counts = [small.fill(writers[rank], rank, world) for rank in reversed(range(world))]
    assert sum(counts) == small.IMAGES
    writers[0].finish()
    assert contents(tmp_path) == whole


def test_another_number_of_processes_may_go_on(tmp_path, whole, small):
    small.fill(small.writer(tmp_path), 1, 2)
    assert small.fill(small.writer(tmp_path)) == small.IMAGES - 4
    small.writer(tmp_path).finish()
    assert contents(tmp_path) == whole


def test_what_is_not_noted_is_done_again(tmp_path, whole, monkeypatch, small):
    monkeypatch.setattr(row_files, "_NOTED_EVERY_S", 1e9)
    first = small.writer(tmp_path).shards()[0]
    for row in range(3):
        small.append(first, Codec("marginal_smoothing", 3, 7), row)
    writer = small.writer(tmp_path)
    assert writer.shards()[0].done == 0 and small.fill(writer) == small.IMAGES
    writer.finish()
    assert contents(tmp_path) == whole


def test_notes_of_rows_that_are_gone_do_not_count(tmp_path, whole, monkeypatch, small):
    monkeypatch.setattr(row_files, "_NOTED_EVERY_S", 0)
    first = small.writer(tmp_path).shards()[0]
    for row in range(3):
        small.append(first, Codec("marginal_smoothing", 3, 7), row)
    assert small.writer(tmp_path).shards()[0].done == 3
    os.truncate(first.partial, 2 * first.bytes_per_image + 1)
    writer = small.writer(tmp_path)
    assert writer.shards()[0].done == 0 and small.fill(writer) == small.IMAGES
    writer.finish()
    assert contents(tmp_path) == whole


def test_several_images_may_be_appended_at_once(tmp_path, whole, small):
    writer = small.writer(tmp_path / "store")
    for shard in writer.shards():
        rows = slice(shard.first, shard.stop)
        records = np.frombuffer(whole[shard.target.name], writer.codec.dtype).reshape(-1, small.CROPS)
        readable = np.arange(11)[rows] % 5 != 4
        shard.append(records, np.where(readable, np.arange(100, 111)[rows], 0), np.where(readable, np.arange(80, 91)[rows], 0),
                     readable)
        shard.close()
    writer.finish()
    assert contents(tmp_path / "store") == whole


@pytest.fixture
def finished(tmp_path, small):
    folder = tmp_path / "store"
    small.fill(small.writer(folder))
    small.writer(folder).finish()
    return folder


def test_a_finished_store_is_left_as_it_is(finished, whole, small):
    writer = small.writer(finished)
    assert small.fill(writer) == 0
    writer.finish()
    assert contents(finished) == whole


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: os.truncate(file, 100)])
def test_a_shard_that_is_lost_is_made_again_alone(finished, whole, damage, small):
    damage(finished / "shard-00001.bin")
    writer = small.writer(finished)
    with pytest.raises(InputError, match="shard-00001.bin is not whole. Start the same command again"):
        writer.finish()
    assert small.fill(writer) == 4
    writer.finish()
    assert contents(finished) == whole


def another(**columns):
    """The list with other paths or labels."""
    return lambda images: Manifest(images.root, columns.get("path", images.path), columns.get("label", images.label))


@pytest.mark.parametrize("change, message", [
    ({"seed": 6}, "seed 5 there, 6 now"), ({"crops": 7}, "crops 6 there, 7 now"), ({"scale": (0.2, 1.0)}, "scale"),
    ({"codec": Codec("marginal_smoothing", 2, 7)}, "k 3 there, 2 now"),
    ({"manifest": another(path=[f"{i}.jpg" for i in range(11)])}, "images_sha256"),
    ({"codec": Codec("marginal_renorm", 3, 7)}, "kind marginal_smoothing there, marginal_renorm now"),
    ({"manifest": another(label=np.zeros(11))}, "labels_sha256"), ({"shard_images": 5}, "shard_images 4 there, 5 now"),
    ({"teachers": ["a"]}, r"teachers None there, \['a'\] now"), ({"extra": 1}, "extra None there, 1 now")])
@pytest.mark.parametrize("is_finished", [False, True])
def test_a_folder_that_was_begun_with_something_else_is_refused_with_the_difference(tmp_path, small, change, message,
                                                                                    is_finished):
    writer = small.writer(tmp_path)
    if is_finished:
        small.fill(writer)
        writer.finish()
    before = contents(tmp_path)
    with pytest.raises(InputError, match=f"plan.json is the plan of another store: .*{message}.*Remove"):
        small.writer(tmp_path, **{key: value(small.images()) if key == "manifest" else value for key, value in change.items()})
    assert contents(tmp_path) == before


def test_a_store_that_came_from_elsewhere_is_not_written_over(finished, small):
    for file in (finished / "progress").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="holds a store, but not the notes of its making"):
        small.writer(finished)


def test_an_empty_list_is_refused(tmp_path, small):
    with pytest.raises(InputError, match="names no image"):
        small.writer(tmp_path / "store", manifest=Manifest(Path("/data"), [], np.zeros(0)))


def test_a_disk_without_enough_space_is_refused_with_the_bytes(tmp_path, monkeypatch, small):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(1000))
    with pytest.raises(InputError, match="needs 1,320 bytes for 6 crops of 11 images, of which 0 are there, but only 1,000"):
        small.writer(tmp_path / "store")


def test_what_is_there_already_needs_no_space(finished, monkeypatch, small):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(0))
    small.writer(finished)


def test_a_disk_that_fills_up_keeps_what_is_written(tmp_path, whole, monkeypatch, small):
    monkeypatch.setattr(row_files, "_NOTED_EVERY_S", 0)
    original, calls = os.fsync, []

    def fsync(handle):
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".partial"):
            calls.append(handle)
            if len(calls) == 7:
                raise OSError(28, "No space left on device")
        original(handle)

    monkeypatch.setattr(shard_writer.os, "fsync", fsync)
    with pytest.raises(InputError, match="shard-00001.bin could not be written: No space left on device.*is kept"):
        small.fill(small.writer(tmp_path))
    writer = small.writer(tmp_path)
    assert small.fill(writer) == small.IMAGES - 6
    writer.finish()
    assert contents(tmp_path) == whole


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path, small):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        small.writer(tmp_path / "file" / "store")


def test_records_of_another_shape_or_codec_are_a_fault_of_the_program(tmp_path, small):
    shard, other = small.writer(tmp_path).shards()[0], Codec("hard", None, 7)
    one = np.ones(1, int)
    for records in (np.zeros((1, 5), shard.dtype), np.zeros((1, 6), other.dtype), np.zeros((2, 6), shard.dtype)):
        with pytest.raises(ValueError, match="expected"):
            shard.append(records, one, one, one > 0)
    with pytest.raises(ValueError, match="0 of 4 images"):
        shard.close()
