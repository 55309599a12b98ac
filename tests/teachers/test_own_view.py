from __future__ import annotations

import cv2
import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.zoo import build_network
from ssld.teachers.eager import EagerEngine
from ssld.teachers.engines import make_engine
from ssld.teachers.live import LiveTeacher
from ssld.teachers.own_view import Normalisation, OwnView
from ssld.teachers.record import TeacherIdentity

SEEN, OWN = Normalisation((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)), Normalisation((0.5, 0.5, 0.5), (0.5, 0.25, 0.5))
PIXELS = np.random.default_rng(0).uniform(size=(4, 3, 16, 16))


def normalised(by: Normalisation, pixels=PIXELS):
    mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (by.mean, by.std))
    return paddle.to_tensor(((pixels - mean) / std).astype(np.float32))


def doubled(image):
    return image.repeat_interleave(2, 2).repeat_interleave(2, 3)


def close(answer, expected) -> None:
    np.testing.assert_allclose(answer.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.fixture
def network():
    return build_network("SmallResNet", 4, width=8)


def test_images_are_normalised_anew():
    close(OwnView(SEEN, OWN)(normalised(SEEN)), normalised(OWN))


def test_the_normalisation_comes_before_the_resize():
    """A constant picture stays constant whatever its size, so only the order and the numbers are left to be wrong."""
    grey = np.full((1, 3, 16, 16), 0.25)
    close(OwnView(SEEN, OWN, 24)(normalised(SEEN, grey)), normalised(OWN, np.full((1, 3, 24, 24), 0.25)))


@pytest.mark.parametrize("interpolation, flag, size", [("nearest", cv2.INTER_NEAREST, 32), ("bilinear", cv2.INTER_LINEAR, 24),
                                                       ("area", cv2.INTER_AREA, 8)])
def test_the_resize_is_that_of_opencv(interpolation, flag, size):
    image = normalised(SEEN)
    expected = np.stack([cv2.resize(each.transpose(1, 2, 0), (size, size), interpolation=flag) for each in image.numpy()])
    close(OwnView(size=size, interpolation=interpolation)(image), paddle.to_tensor(expected.transpose(0, 3, 1, 2)))


def test_images_that_are_right_already_are_passed_on_as_they_are():
    image = normalised(SEEN)
    assert OwnView(SEEN, SEEN, 16)(image) is image and OwnView(size=16)(image) is image
    assert LiveTeacher(None).own(image) is image


@pytest.mark.parametrize("view, differs, text", [
    (OwnView(SEEN, OWN), True, "images of the student's size, mean [0.5, 0.5, 0.5], std [0.5, 0.25, 0.5]; the student sees "
                               "mean [0.4, 0.5, 0.6], std [0.2, 0.3, 0.4]"),
    (OwnView(size=32, seen_size=(16, 16)), True, "images of 32 x 32 pixels (bicubic), normalised as the student sees them; the "
                                                 "student sees 16 x 16 pixels"),
    (OwnView(size=32), True, "images of 32 x 32 pixels (bicubic), normalised as the student sees them"),
    (OwnView(size=16, seen_size=(16, 16)), False, "images of 16 x 16 pixels (bicubic), normalised as the student sees them; "
                                                  "the student sees 16 x 16 pixels")])
def test_it_says_what_both_see(view, differs, text):
    assert str(view) == text and view.differs is differs


@pytest.mark.parametrize("engine", ["eager", "onednn_fp32"])
def test_a_teacher_with_a_view_is_one_that_is_asked_about_images_prepared_by_hand(network, engine):
    view, prepared = OwnView(SEEN, OWN, 32, "nearest"), doubled(normalised(OWN))
    teacher = LiveTeacher(make_engine(network, engine), view=view)
    expected = EagerEngine(network)(prepared)
    close(teacher({"image": normalised(SEEN)}).logits, expected)
    close(teacher.logits(normalised(SEEN)), expected)


@pytest.mark.parametrize("engine", ["eager", "onednn_fp32"])
def test_features_are_shown_at_the_teachers_own_size(network, engine):
    identity = TeacherIdentity("SmallResNet", 4, "x", "y", engine, "running")
    plain, other = (LiveTeacher(make_engine(network, engine), identity, view)
                    for view in (None, OwnView(SEEN, OWN, 32, "nearest")))
    shapes = plain.show(["stage2", "pool"], (32, 32))
    expected = plain({"image": doubled(normalised(OWN))})
    assert other.show(["stage2", "pool"], (16, 16)) == shapes == {"stage2": (16, 16, 16), "pool": (32,)}
    said = other({"image": normalised(SEEN)})
    close(said.logits, expected.logits)
    for name in shapes:
        close(said.features[name], expected.features[name])


def test_the_view_reaches_batch_statistics(network):
    teachers = [LiveTeacher(EagerEngine(network, "batch"), view=view) for view in (None, OwnView(SEEN, OWN, 32, "nearest"))]
    close(teachers[1]({"image": normalised(SEEN)}).logits, teachers[0]({"image": doubled(normalised(OWN))}).logits)


@pytest.mark.parametrize("make, message", [
    (lambda: Normalisation(std=(0, 1, 1)), "std must be above 0"),
    (lambda: Normalisation(mean=(0, 1)), "mean must be a list of 3 numbers"),
    (lambda: OwnView(size=0), "size must be a whole number"),
    (lambda: OwnView(size=8, interpolation="cubic"), "Did you mean 'bicubic'")])
def test_a_view_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
