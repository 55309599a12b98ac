import cv2
import numpy as np
import pytest

from dedup import hashes


def grey_of(rgb):
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def own_hash(grey):
    return hashes.hash_of(hashes.coefficients(hashes.reduce(grey)))


def distance(a, b):
    return int(np.unpackbits(a ^ b).sum())


@pytest.fixture(scope="module")
def grey(photo):
    return grey_of(photo(1, 256, 256))


def test_coefficients_are_those_of_the_cosine_transform(grey):
    reduced = hashes.reduce(grey)
    assert np.allclose(hashes.coefficients(reduced), cv2.dct(reduced)[1:17, 1:17], atol=1e-2)    # float32 sums of 4096


def test_half_of_the_bits_are_set(grey):
    assert np.unpackbits(own_hash(grey)).sum() == 128


def test_dihedral_hashes_equal_those_of_the_turned_picture(grey):
    turned = [g for base in (grey, grey.T) for g in (base, base[:, ::-1], base[::-1], base[::-1, ::-1])]
    variants = hashes.dihedral_hashes(hashes.coefficients(hashes.reduce(grey)))
    # a bit at the median may fall to either side by rounding
    assert max(distance(v, own_hash(np.ascontiguousarray(g))) for v, g in zip(variants, turned)) <= 2


def test_recompression_and_scaling_change_few_bits_and_another_picture_half(grey, photo):
    small = cv2.resize(grey, (130, 90), interpolation=cv2.INTER_AREA)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE)
    assert max(distance(own_hash(grey), own_hash(small)), distance(own_hash(grey), own_hash(jpeg))) <= 31
    assert distance(own_hash(grey), own_hash(grey_of(photo(2, 256, 256)))) > 80


def test_flat_pictures_have_no_bits_and_no_quality():
    for level in (0, 77, 255):
        flat = np.full((200, 300), level, np.uint8)
        assert not own_hash(flat).any()
        assert hashes.quality(hashes.reduce(flat)) == 0


def test_a_textured_picture_has_full_quality():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    assert hashes.quality(hashes.reduce(noise)) == 100


def test_search_finds_every_hash_within_the_radius_nearest_first():
    random = np.random.default_rng(0)
    stored = random.integers(0, 256, (50, 32), dtype=np.uint8)
    query = stored[7].copy()
    query[0] ^= 0b111
    stored[30] = query
    stored[31] = stored[7]
    rows, distances = hashes.HashTable(stored).within(query, 3)
    assert (rows.tolist(), distances.tolist()) == ([30, 7, 31], [0, 3, 3])
    assert hashes.HashTable(stored).within(query, 2)[0].tolist() == [30]
