import gc

import numpy as np
import pytest

from dedup.errors import InputError
from dedup.images import read_bytes
from dedup.options import Options
from dedup.picture import View, describe
from dedup.reference import References, write_references


@pytest.fixture
def names(tmp_path, photo, save):
    shapes = ((240, 320), (320, 200), (100, 100))
    images = [photo(seed, *shape) for seed, shape in enumerate(shapes)] + [np.full((30, 40, 3), 9, np.uint8)]
    return [f"{i}.png" for i, image in enumerate(images) if save(tmp_path / f"{i}.png", image)]


def same_view(first, second):
    return first.shape == second.shape and np.array_equal(first.thumbnail, second.thumbnail) and all(
        np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first.features, second.features))


def test_every_picture_comes_back_as_it_was(tmp_path, names):
    assert write_references(tmp_path / "columns", names, Options(), tmp_path, None, map) == (names, [])
    references = References(tmp_path / "columns")
    assert len(references) == 4
    for row, name in enumerate(names):
        picture = describe(read_bytes(tmp_path / name), Options())
        assert same_view(references.view(row, False), picture.view)
        assert same_view(references.view(row, True), picture.view.mirrored())
        assert tuple(references["shape"][row]) == picture.shape and references["quality"][row] == picture.quality


def test_columns_are_ordinary_files_and_memory_mapped(tmp_path, names):
    write_references(tmp_path / "columns", names, Options(), tmp_path, lambda files: np.eye(4)[:len(files)], map)
    references = References(tmp_path / "columns")
    features = references["offsets"][-1]
    shapes = {"sha256": (4, 32), "hashes": (4, 8, 32), "quality": (4,), "colour": (4, 3), "shape": (4, 2),
              "working_shape": (4, 2), "thumbnail_shape": (4, 2), "thumbnail": (4, 160, 160), "offsets": (5,),
              "points": (features, 2), "sizes": (features,), "angles": (features,), "descriptors": (features, 128),
              "embedding": (4, 4)}
    assert {name: references[name].shape for name in References.NAMES} == shapes
    for name in References.NAMES:
        assert isinstance(references[name], np.memmap) and references[name].flags.aligned
        assert np.array_equal(np.load(tmp_path / "columns" / f"{name}.npy"), references[name])


def test_pictures_do_not_stay_in_memory(tmp_path, names):
    alive = []

    def read(function, names):
        for name in names:
            yield function(name)
            alive.append(sum(isinstance(thing, View) for thing in gc.get_objects()))
    before = sum(isinstance(thing, View) for thing in gc.get_objects())
    write_references(tmp_path / "columns", names * 3, Options(), tmp_path, None, read)
    assert len(alive) == 11 and max(alive) <= before + 2


def test_nothing_appears_when_writing_stops(tmp_path, names):
    def stop(function, names):
        yield function(names[0])
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        write_references(tmp_path / "columns", names, Options(), tmp_path, None, stop)
    assert list((tmp_path / "columns").iterdir()) == []


def test_embeddings_of_two_lengths_are_refused(tmp_path, names):
    def embed(files):
        return np.ones((len(files), 2 if len(files) == 64 else 3))
    with pytest.raises(InputError, match="embed returned 3 numbers per file, for other files 2"):
        write_references(tmp_path / "columns", names[3:] * 65, Options(), tmp_path, embed, map)
