import hashlib

import cv2
import numpy as np
import pytest

from dedup.options import Options
from dedup.picture import describe
from dedup.reference import References


@pytest.fixture
def pictures(photo):
    shapes = ((240, 320), (320, 200), (100, 100))
    images = [photo(seed, *shape) for seed, shape in enumerate(shapes)] + [np.full((30, 40, 3), 9, np.uint8)]
    return [describe(cv2.imencode(".png", image)[1].tobytes(), Options()) for image in images]


@pytest.fixture
def references(pictures):
    digests = [hashlib.sha256(bytes([i])).digest() for i in range(4)]
    return References.of(digests, pictures, [np.zeros(3)] * 4, np.zeros((4, 0), np.float32))


def same_view(first, second):
    return first.shape == second.shape and np.array_equal(first.thumbnail, second.thumbnail) and all(
        np.array_equal(a, b) for a, b in zip(first.features, second.features))


def test_every_picture_comes_back_as_it_was(references, pictures):
    assert len(references) == 4
    for row, picture in enumerate(pictures):
        assert same_view(references.view(row, False), picture.view)
        assert same_view(references.view(row, True), picture.view.mirrored())
        assert tuple(references["shape"][row]) == picture.shape


def test_columns_are_memory_mapped_and_equal_after_saving(references, tmp_path):
    references.save(tmp_path)
    loaded = References.load(tmp_path)
    for name in References.NAMES:
        assert isinstance(loaded[name], np.memmap) or loaded[name].size == 0
        assert np.array_equal(loaded[name], references[name]) and loaded[name].dtype == references[name].dtype
