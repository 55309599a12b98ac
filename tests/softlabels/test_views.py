"""A view shows a teacher the pixels that Pillow would, and training replays the same ones."""
import numpy as np
import paddle
import pytest
from PIL import Image

from ssld.data.replay import Replay
from ssld.data.transforms import build_transforms
from ssld.errors import InputError
from ssld.softlabels.crops import Crops
from ssld.softlabels.views import View

CROPS = Crops(np.array([[3, 5, 20, 30], [0, 0, 40, 60], [10, 40, 1, 1]]), np.array([False, True, False]))


@pytest.fixture
def picture(workshop):
    with Image.open(workshop.folder / "wide.png") as image:
        return image.convert("RGB")


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
def test_crops_are_cut_resized_with_antialiasing_and_mirrored(picture, interpolation):
    shown, method = View(16, interpolation).cut(np.asarray(picture), CROPS), Image.Resampling[interpolation.upper()]
    assert shown.shape == (3, 16, 16, 3) and shown.dtype == np.uint8
    for pixels, (top, left, height, width), flip in zip(shown, CROPS.box.tolist(), CROPS.flip):
        expected = picture.crop((left, top, left + width, top + height)).resize((16, 16), method)
        expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else expected
        np.testing.assert_array_equal(pixels, expected)


def test_pixels_are_normalised_with_the_teachers_own_mean_and_deviation(picture):
    view = View(8, mean=[0.5, 0.4, 0.3], std=[0.5, 0.25, 0.2])
    pixels = view.cut(np.asarray(picture), CROPS)
    expected = ((pixels / 255 - [0.5, 0.4, 0.3]) / [0.5, 0.25, 0.2]).transpose(0, 3, 1, 2)
    found = view.normalised(paddle.to_tensor(pixels))
    assert found.dtype == paddle.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_training_replays_the_same_pixels(workshop, picture):
    view = View(24, mean=[0.5, 0.4, 0.3])
    replay = Replay(build_transforms(view.replay_ops(), "view"))
    rng = np.random.default_rng(0)
    again = np.stack(replay(replay.decode(workshop.folder / "wide.png", rng), CROPS, rng))
    expected = view.normalised(paddle.to_tensor(view.cut(np.asarray(picture), CROPS))).numpy()
    np.testing.assert_allclose(again, expected, atol=1e-6)


@pytest.mark.parametrize("size, short", [(224, 256), (475, 542), (32, 36)])
def test_the_teacher_is_measured_on_a_centre_crop_of_the_usual_share(size, short):
    ops = View(size).evaluation_ops()
    assert ops[1]["ResizeImage"]["resize_short"] == short and ops[2] == {"CropImage": {"size": size}}
    build_transforms(ops, "view")


def test_views_are_equal_when_they_show_the_same():
    assert View(8, mean=[0.5, 0.5, 0.5]) == View(8, mean=(0.5, 0.5, 0.5)) and View(8) != View(9)
    assert len({View(8), View(8), View(8, "bilinear")}) == 2


@pytest.mark.parametrize("options, message", [
    ({"size": 0}, "size must be a whole number"), ({"interpolation": "cubic"}, "Did you mean 'bicubic'"),
    ({"std": [0.2, 0.0, 0.2]}, "std must be above 0"), ({"mean": [0.5]}, "mean must be a list of 3 numbers")])
def test_what_is_no_view_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        View(**options)
