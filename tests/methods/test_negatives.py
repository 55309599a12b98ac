from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.negatives import Negatives


def draw(labels, rows, count, seed=0) -> np.ndarray:
    paddle.seed(seed)
    rows = np.asarray(rows)
    return Negatives(labels).draw(paddle.to_tensor(labels[rows]), paddle.to_tensor(rows), count).numpy()


@pytest.mark.parametrize("labels", [[2, 0, 1, 1, 0, 2, 5, 1], [-1, 0, 3, -1, 0, -1, 3, 1], [-1, -1, -1, -1], [0, 0, 0, 1],
                                    [-1, 2, 2, -1]], ids=["labelled", "some not", "none labelled", "a rare class", "one class"])
def test_every_image_of_another_class_is_drawn_equally_often_and_no_other(labels):
    labels = np.array(labels)
    rows = np.arange(len(labels))
    drawn = draw(labels, rows, 6000)
    for row, negatives in zip(rows, drawn):
        allowed = np.flatnonzero(rows != row if labels[row] < 0 else labels != labels[row])
        counts = np.bincount(negatives, minlength=len(labels))
        assert set(np.flatnonzero(counts)) == set(allowed)
        np.testing.assert_allclose(counts[allowed] / 6000, 1 / len(allowed), atol=0.03)


def test_the_last_image_of_a_large_list_can_be_reached_and_nothing_lies_behind_it():
    labels = np.arange(3).repeat(100_000)
    drawn = draw(labels, [0, 150_000, 299_999], 300_000)
    assert (labels[drawn] != [[0], [1], [2]]).all() and drawn.min() == 0 and drawn.max() == 299_999


def test_the_generator_of_the_step_decides_what_is_drawn():
    labels = np.arange(10) % 3
    first, again, other = (draw(labels, [0, 1], 50, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("images, width", [(256, 1), (257, 2), (65_536, 2), (65_537, 3)])
def test_it_keeps_as_many_bytes_an_image_as_their_numbers_need(images, width):
    labels = np.arange(images) % 10
    negatives = Negatives(labels)
    tensors = negatives.order, negatives.counts, negatives.starts
    assert sum(tensor.size * tensor.element_size() for tensor in tensors) == width * images + 2 * 8 * 11
    drawn = draw(labels, [0, images - 1], 20 * images)
    assert set(drawn[0]) == set(np.flatnonzero(labels != 0)) or width == 3
    assert drawn.max() == images - 1 and (labels[drawn] != labels[[[0], [images - 1]]]).all()


@pytest.mark.parametrize("labels", [[3, 3, 3], [-1], [0]])
def test_a_list_of_one_class_is_refused(labels):
    with pytest.raises(InputError, match=f"all {len(labels)} images of the training list have the same label"):
        Negatives(np.array(labels))
