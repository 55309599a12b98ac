"""A store is read as it was written, or refused with the reason."""
import json
import os
import pickle
import shutil
from multiprocessing import get_context

import numpy as np
import pytest

from dedup.lists import Paths
from ssld.errors import InputError
from ssld.softlabels import store as module
from ssld.softlabels.crops import draw_crops
from ssld.softlabels.image_table import ImageTable
from ssld.softlabels.store import Store


@pytest.fixture
def folder(tmp_path, small):
    writer = small.writer(tmp_path / "store")
    small.fill(writer)
    writer.finish()
    return tmp_path / "store"


def change_meta(folder, **changes):
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, **changes}))


def test_every_image_has_its_own_crops_and_labels(folder, small):
    store = Store(folder)
    assert (store.class_num, store.crops, store.seed, store.codec.kind, store.codec.k) == (7, 6, 5, "marginal_smoothing", 3)
    for row in range(small.IMAGES):
        records = store.records(row)
        assert records.shape == (6,) and type(records) is np.ndarray and not records.flags.writeable
        if row % 5 == 4:
            assert not store.images.readable[row] and records.tobytes() == bytes(records.nbytes)
            continue
        drawn = draw_crops(5, store.images.path[row], 100 + row, 80 + row, 6)
        np.testing.assert_array_equal(store.codec.crops(records).box, drawn.box)
        np.testing.assert_array_equal(store.codec.crops(records).flip, drawn.flip)
        np.testing.assert_array_equal(store.codec.top(records, 1)[0][:, 0], small.labels(row).argmax(1))


def test_the_table_holds_paths_sizes_labels_and_what_could_be_read(folder, small):
    images, readable = Store(folder).images, np.arange(11) % 5 != 4
    assert list(images.path) == list(small.images().path)
    np.testing.assert_array_equal(images.width, np.where(readable, 100 + np.arange(11), 0))
    np.testing.assert_array_equal(images.height, np.where(readable, 80 + np.arange(11), 0))
    np.testing.assert_array_equal(images.label, small.images().label)
    np.testing.assert_array_equal(images.readable, readable)
    assert images.width.dtype == images.label.dtype == np.int64 and images.readable.dtype == bool


def test_rows_are_found_by_the_whole_path_with_its_extension(folder):
    asked = Paths.of(["n2/8.v1.jpg", "n0/0.v1.jpg", "n2/8.v1", "n2/8.v1.png", "8.v1.jpg", "n2/8.v1.jpg", ""])
    np.testing.assert_array_equal(Store(folder).rows_of(asked), [8, 0, -1, -1, -1, 8, -1])


def test_paths_of_any_bytes_survive(tmp_path):
    path = Paths.of(["ä b/1.jpg", "x\udcff.jpg", "日本/2.JPEG"]).take(np.array([2, 0, 1]))
    column = np.arange(3)
    ImageTable(path, column, column, column - 1, column > 0).write(tmp_path / "images.npz")
    assert list(ImageTable.read(tmp_path / "images.npz").path) == ["日本/2.JPEG", "ä b/1.jpg", "x\udcff.jpg"]


def test_another_process_opens_its_own_map(folder):
    store = Store(folder)
    store.records(0)
    for context in ("fork", "spawn"):
        with get_context(context).Pool(1) as pool:
            assert pool.apply(bytes_of, (store, 6)) == store.records(6).tobytes()
    assert b"shard" not in pickle.dumps(store)          # only the name of the folder travels


def bytes_of(store, row):
    return store.records(row).tobytes()


def test_shards_are_mapped_when_they_are_asked_for(folder, monkeypatch):
    opened, memmap = [], np.memmap

    def mapped(file, *args, **options):
        opened.append(file.name)
        return memmap(file, *args, **options)

    monkeypatch.setattr(module.np, "memmap", mapped)
    store = Store(folder)
    store.rows_of(Paths.of(["a"]))
    assert opened == []
    for row in (5, 6):
        store.records(row)
    assert opened == ["shard-00001.bin"]


@pytest.mark.parametrize("row", [-1, 11])
def test_a_row_that_is_none_is_never_another_image(folder, row):
    with pytest.raises(IndexError, match=f"no image {row}"):
        Store(folder).records(row)


def test_a_whole_store_is_verified_and_tells_its_checksums(folder, capsys):
    store = Store(folder)
    assert store.verify() == [entry["sha256"] for entry in store.meta["shards"]]
    assert "file 4/4" in capsys.readouterr().out
    store.verify(show_progress=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["shard-00002.bin", "images.npz"])
def test_an_altered_file_is_found_by_its_checksum(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(InputError, match=f"{name} was altered: .*remove {name} and start the command that made"):
        Store(folder).verify(False)


@pytest.mark.parametrize("name", ["shard-00001.bin", "images.npz"])
def test_a_missing_file_is_found_at_once(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing. Copy it again from where it came, or remove {name}"):
        Store(folder)


@pytest.mark.parametrize("size", [0, 359, 361])
def test_a_file_of_another_size_is_found_at_once(folder, size):
    os.truncate(folder / "shard-00002.bin", size)
    with pytest.raises(InputError, match=f"shard-00002.bin has {size} bytes, expected 360: it is not whole"):
        Store(folder)


@pytest.mark.parametrize("changes, message", [
    ({"version": 2}, "is of version 2; this release reads version 1"), ({"format": "x"}, "is of the format 'x'"),
    ({"record": [["box", "<u2", 4]]}, "describes records"), ({"k": 4}, "describes records"),
    ({"kind": "x"}, "kind cannot be 'x'"), ({"class_num": 70_000}, "at most 65,535")])
def test_what_this_release_cannot_read_is_refused(folder, changes, message):
    change_meta(folder, **changes)
    with pytest.raises(InputError, match=message):
        Store(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"format": "ssld soft labels"}'])
def test_a_meta_json_that_says_nothing_is_refused(folder, text):
    (folder / "meta.json").write_text(text)
    with pytest.raises(InputError, match=r"meta\.json cannot be read"):
        Store(folder)


def test_a_meta_json_that_lacks_entries_is_refused_with_their_names(folder):
    meta = json.loads((folder / "meta.json").read_text())
    del meta["shards"], meta["seed"]
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match=r"meta\.json lacks seed, shards"):
        Store(folder)


@pytest.mark.parametrize("lose", [lambda folder: (folder / "meta.json").unlink(), shutil.rmtree])
def test_a_folder_without_meta_json_is_not_finished(folder, lose):
    lose(folder)
    with pytest.raises(InputError, match="no store of soft labels.*start the same command again"):
        Store(folder)


def test_another_npz_in_place_of_the_table_is_refused(folder):
    np.savez(folder / "images.npz", x=np.zeros(3))
    change_meta(folder, table={"file": "images.npz", "bytes": (folder / "images.npz").stat().st_size, "sha256": ""})
    with pytest.raises(InputError, match="no table of images: it holds x"):
        Store(folder).rows_of(Paths.of(["a"]))


def test_equal_stores_have_one_checksum_and_others_another(folder, tmp_path, small):
    again = small.writer(tmp_path / "again")
    small.fill(again)
    again.finish()
    assert Store(folder).sha256 == Store(tmp_path / "again").sha256
    change_meta(folder, teachers=["other"])
    assert Store(folder).sha256 != Store(tmp_path / "again").sha256
