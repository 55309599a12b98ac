from __future__ import annotations

import pickle
from functools import partial

import cv2
import numpy as np
import pytest

from dedup import Options, ReferenceIndex
from dedup.lists import Paths
from ssld.curation import stored_features
from ssld.curation.features import TeacherEmbedding
from ssld.curation.stored_features import StoredFeatures
from ssld.data.transforms import build_transforms
from ssld.errors import InputError
from ssld.models.zoo import build_network

PATHS = ["b/2.jpg", "a.jpg", "ü/x y.jpg", "/elsewhere/c.jpg", "z.jpg"]


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(len(PATHS), 6)).astype(np.float16)


@pytest.fixture
def stored(tmp_path, rows):
    np.save(tmp_path / "feature.npy", rows)
    return StoredFeatures.write(tmp_path / "index", "images", Paths.of(PATHS), tmp_path / "feature.npy")


def test_features_are_found_by_file_in_any_order(stored, rows):
    files = ["images/ü/x y.jpg", "images/b/2.jpg", "/elsewhere/c.jpg", "images/b/2.jpg"]
    found = stored(files)
    np.testing.assert_array_equal(found, rows[[2, 0, 3, 0]].astype(np.float32))
    assert found.dtype == np.float32


def test_a_file_that_was_not_stored_is_an_error_that_names_it(stored):
    with pytest.raises(InputError, match=r"1 files have no features in .*beginning with images/q.jpg.*score the list again"):
        stored(["images/a.jpg", "images/q.jpg"])


def test_others_are_asked_for_what_is_not_stored(stored, rows, tmp_path):
    asked = []

    def network(files):
        asked.extend(files)
        return np.full((len(files), 6), 7.0)

    both = StoredFeatures(tmp_path / "index", network)
    found = both(["val/1.jpg", "images/a.jpg", "val/2.jpg"])
    assert asked == ["val/1.jpg", "val/2.jpg"]
    np.testing.assert_array_equal(found, [[7.0] * 6, rows[1].astype(np.float32), [7.0] * 6])


def test_features_of_another_network_are_refused(stored, tmp_path):
    with pytest.raises(InputError, match="holds features of width 6, but the network gives"):
        StoredFeatures(tmp_path / "index", lambda files: np.zeros((len(files), 5)))(["val/1.jpg"])


def test_rows_that_are_not_known_count_as_not_stored(tmp_path, rows):
    np.save(tmp_path / "feature.npy", rows)
    known = np.array([True, False, True, True, True])
    some = StoredFeatures.write(tmp_path / "index", "images", Paths.of(PATHS), tmp_path / "feature.npy", known)
    np.testing.assert_array_equal(some(["images/z.jpg"]), rows[4:].astype(np.float32))
    with pytest.raises(InputError, match="beginning with images/a.jpg"):
        some(["images/a.jpg"])


def test_equal_hashes_of_different_paths_are_told_apart(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(stored_features, "_hash", lambda path: len(path) % 2)
    np.save(tmp_path / "feature.npy", rows)
    index = StoredFeatures.write(tmp_path / "index", "", Paths.of(PATHS), tmp_path / "feature.npy")
    np.testing.assert_array_equal(index(PATHS), rows.astype(np.float32))
    with pytest.raises(InputError, match="1 files have no features"):
        index(["no.jpg"])


def test_what_is_sent_to_a_worker_is_small_and_finds_the_same(tmp_path):
    count = 5000
    np.save(tmp_path / "feature.npy", np.arange(count, dtype=np.float16)[:, None])
    paths = [f"{i}.jpg" for i in range(count)]
    index = StoredFeatures.write(tmp_path / "index", "r", Paths.of(paths), tmp_path / "feature.npy")
    index(["r/7.jpg"])
    sent = pickle.dumps(index)
    copy = pickle.loads(sent)
    assert len(sent) < 1000
    np.testing.assert_array_equal(copy([f"r/{p}" for p in paths[::-1]])[:, 0], np.arange(count, dtype=np.float16)[::-1])


def test_the_index_may_be_moved_with_its_features(tmp_path, rows):
    (tmp_path / "first").mkdir()
    np.save(tmp_path / "first" / "feature.npy", rows)
    StoredFeatures.write(tmp_path / "first" / "index", "images", Paths.of(PATHS), tmp_path / "first" / "feature.npy")
    (tmp_path / "first").rename(tmp_path / "second")
    np.testing.assert_array_equal(StoredFeatures(tmp_path / "second" / "index")(["images/a.jpg"]), rows[1:2].astype(np.float32))


@pytest.mark.parametrize("shape", [(4, 6), (5,), (5, 2, 3)])
def test_features_for_another_number_of_paths_are_refused(tmp_path, shape):
    np.save(tmp_path / "feature.npy", np.zeros(shape, np.float16))
    with pytest.raises(InputError, match="5 paths need as many rows"):
        StoredFeatures.write(tmp_path / "index", "images", Paths.of(PATHS), tmp_path / "feature.npy")


def test_a_missing_or_damaged_index_is_refused(tmp_path, stored):
    with pytest.raises(InputError, match="holds no index of features"):
        StoredFeatures(tmp_path / "nowhere")
    (tmp_path / "feature.npy").write_bytes(b"\x93NUMPY cut")
    with pytest.raises(InputError, match=r"feature.npy cannot be read"):
        StoredFeatures(tmp_path / "index")(["images/a.jpg"])


def test_stored_features_serve_dedup_and_a_teacher_stands_in_for_the_evaluation_images(tmp_path, make_list):
    make_list(tmp_path, "pool", 6)
    (tmp_path / "val").mkdir()
    cv2.imwrite(str(tmp_path / "val" / "copy.png"), cv2.imread(str(tmp_path / "pool" / "4.jpg")))
    names, root = [f"{i}.jpg" for i in range(6)], str(tmp_path / "pool")
    transform = build_transforms([{"DecodeImage": {}}, "NormalizeImage", "ToCHWImage"], "test")
    teacher = TeacherEmbedding(partial(build_network, "SmallResNet", 3), transform, engine="eager")
    live = teacher([f"{root}/{name}" for name in names])
    np.save(tmp_path / "feature.npy", live.astype(np.float16))
    stored = StoredFeatures.write(tmp_path / "index", root, Paths.of(names), tmp_path / "feature.npy")
    embed = StoredFeatures(stored.folder, teacher)
    index = ReferenceIndex.build(["copy.png"], Options(embedding="SmallResNet", t_auto=0.9999), tmp_path / "val", embed)
    match = next(m for m in index.match(names, root).matches if m.query == "4.jpg")
    assert match.reference == "copy.png" and match.cosine == pytest.approx(1, abs=1e-3)
