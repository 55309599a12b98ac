import cv2
import numpy as np
import pytest

from dedup import sift
from dedup.images import ImageError
from dedup.options import Options
from dedup.picture import describe, mean_colour, thumbnail


def png(rgb):
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()


def test_a_picture_knows_its_sizes(photo):
    picture = describe(png(photo(0, 300, 512)), Options())
    assert (picture.shape, picture.view.shape, picture.view.thumbnail.shape) == ((300, 512), (150, 256), (94, 160))
    assert 0 < len(picture.view.features.sizes) <= 256
    assert not picture.is_flat and picture.colour is None and not picture.truncated


def test_a_flat_picture_and_one_below_eight_pixels_have_no_local_features(photo):
    for rgb in (np.full((200, 200, 3), 90, np.uint8), photo(0)[:7], photo(0)[:5, :5], photo(0)[:1, :1]):
        picture = describe(png(rgb), Options())
        assert picture.is_flat and len(picture.view.features.sizes) == 0
        assert np.allclose(picture.colour, rgb.reshape(-1, 3).mean(axis=0))


def test_a_picture_can_be_described_at_a_smaller_size():
    coarse = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    data = png(cv2.resize(coarse, (512, 300), interpolation=cv2.INTER_CUBIC))
    picture, full = describe(data, Options(), 192), describe(data, Options())
    assert (picture.shape, picture.view.shape, picture.view.thumbnail.shape) == ((300, 512), (112, 192), (93, 160))
    assert 64 <= len(picture.view.features.sizes) <= len(full.view.features.sizes)


def test_a_picture_with_few_key_points_is_described_at_full_size(photo):
    smooth = cv2.GaussianBlur(photo(0, 300, 512), (0, 0), 12)
    few, full = describe(png(smooth), Options(), 192), describe(png(smooth), Options())
    assert 0 < len(few.view.features.sizes) < 64
    assert few.view.shape == (150, 256) and np.array_equal(few.coefficients, full.coefficients)
    assert np.array_equal(few.view.features.descriptors, full.view.features.descriptors)


def test_faint_key_points_are_looked_for_where_few_are_strong(photo):
    faint = np.round(128 + (photo(0, 150, 256) - 128.0) * 0.04).astype(np.uint8)
    grey = cv2.cvtColor(faint, cv2.COLOR_RGB2GRAY)
    strong = len(sift.extract(grey, 256, 0.02).sizes)
    picture = describe(png(faint), Options(), 192)
    assert strong < len(picture.view.features.sizes) <= 256
    assert (picture.colour is not None) == (strong < 16)        # faint points do not make a picture any less sparse


def test_many_key_points_are_not_looked_for_twice(photo):
    rgb = cv2.resize(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8), (256, 170))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    strong = sift.extract(grey, 256, 0.02)
    assert len(strong.sizes) == 256
    assert np.array_equal(describe(png(rgb), Options()).view.features.descriptors, strong.descriptors)


def test_a_small_picture_is_enlarged_and_has_features(photo):
    small = cv2.resize(photo(0), (64, 48), interpolation=cv2.INTER_AREA)
    assert len(describe(png(small), Options()).view.features.sizes) > 30


def test_a_mirrored_view_is_that_of_the_mirrored_picture(photo):
    rgb = photo(1)
    view, flipped = (describe(png(p), Options()).view for p in (rgb, np.ascontiguousarray(rgb[:, ::-1])))
    assert np.abs(view.mirrored().thumbnail.astype(int) - flipped.thumbnail).mean() < 1     # area resize is symmetric
    assert view.mirrored().shape == flipped.shape


def test_thumbnails_have_a_longer_side_of_160():
    assert thumbnail(np.zeros((256, 100), np.uint8)).shape == (160, 62)
    assert thumbnail(np.zeros((20, 64), np.uint8)).shape == (50, 160)
    assert thumbnail(np.zeros((1, 256), np.uint8)).shape == (1, 160)


def test_mean_colour_is_red_green_blue():
    assert mean_colour(png(np.full((9, 9, 3), (200, 100, 50), np.uint8))).tolist() == [200, 100, 50]


def test_bytes_that_are_no_image_raise():
    with pytest.raises(ImageError):
        describe(b"nothing", Options())
