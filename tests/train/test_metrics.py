from __future__ import annotations

import math

import numpy as np
import pytest

from ssld.train.metrics import target_rank, topk_accuracy


def test_the_rank_counts_the_classes_with_a_higher_score():
    logits = np.array([[1, 5, 3], [1, 5, 3], [1, 5, 3]], np.float32)
    assert target_rank(logits, np.array([1, 2, 0])).tolist() == [0, 1, 2]


def test_among_equal_scores_the_lower_class_number_wins_as_in_argmax():
    logits = np.array([[2, 2, 2, 1]] * 4, np.float32)
    assert target_rank(logits, np.arange(4)).tolist() == [0, 1, 2, 3]
    assert np.argmax(logits[0]) == 0


def test_a_row_with_nan_is_wrong_in_every_rank():
    logits = np.array([[np.nan, 1, 2], [0, np.nan, 9], [np.nan] * 3, [3, 2, 1]])
    rank = target_rank(logits, np.array([2, 2, 0, 0]))
    assert topk_accuracy(rank, (1, 3, 5)) == {"top1": 0.25, "top3": 0.25, "top5": 0.25}


def test_infinite_scores_are_ordered_as_numbers():
    logits = np.array([[-np.inf, np.inf, 0], [-np.inf, -np.inf, -np.inf]])
    assert target_rank(logits, np.array([1, 0])).tolist() == [0, 0]


def test_accuracy_equals_sorting_on_random_logits():
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(200, 12)), rng.integers(0, 12, 200)
    best = np.argsort(-logits, axis=1)
    expected = {f"top{k}": np.mean([label[i] in best[i, :k] for i in range(200)]) for k in (1, 5, 12)}
    assert topk_accuracy(target_rank(logits, label), (1, 5, 12)) == pytest.approx(expected)


def test_top_5_of_three_classes_is_always_right():
    assert topk_accuracy(target_rank(np.eye(3), np.array([2, 0, 1])))["top5"] == 1.0


def test_no_row_has_no_accuracy():
    assert math.isnan(topk_accuracy(np.zeros(0, np.int64))["top1"])
