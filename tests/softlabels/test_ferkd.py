"""FerKD leaves crops out and replaces labels as its thresholds say, and never leaves an image without a crop."""
import numpy as np
import pytest

from ssld.errors import InputError
from ssld.softlabels.codec import Codec
from ssld.softlabels.crops import Crops
from ssld.softlabels.ferkd import FerKD
from ssld.softlabels.store import Store

CLASSES = 6
TOP = np.array([0.2, 0.35, 0.5, 0.65, 0.95, 0.999])     # what class 1 has of each crop


def encoded(kind="marginal_smoothing", k=2):
    """Six crops: class 1 has TOP, class 4 two thirds of what is left, the others share the rest."""
    p = np.repeat(((1 - TOP) / 12)[:, None], CLASSES, 1)
    p[:, 4] *= 8
    p[:, 1] = TOP
    codec = Codec(kind, k, CLASSES)
    return codec, codec.encode(p, Crops(np.ones((6, 4), int), np.zeros(6, bool))), p


def test_crops_outside_the_thresholds_are_left_out():
    codec, records, _ = encoded()
    assert FerKD(0.3, 0.6, 0.97, 0.1, "gt").usable(codec, records, 1).tolist() == [1, 2, 3, 4]
    assert FerKD(0.0, 0.6, 1.0, 0.1, "gt").usable(codec, records, 1).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_score_at_a_threshold_is_inside():
    codec, records, _ = encoded()
    score = FerKD(0, 0, 1, 0).scores(codec, records, 1)
    at = FerKD(float(score[2]), float(score[3]), float(score[4]), 0.1)
    assert at.usable(codec, records, 1).tolist() == np.flatnonzero((score >= score[2]) & (score <= score[4])).tolist()
    labels = codec.sparse(records)
    np.testing.assert_array_equal(at.adapt(codec, records, labels, 0).ids[3], labels.ids[3])       # not below: kept


@pytest.mark.parametrize("thresholds, kept", [((0.9995, 1, 1), 5), ((0, 0, 0.1), 5)])
def test_an_image_without_any_crop_keeps_the_one_of_the_highest_score(thresholds, kept):
    codec, records, _ = encoded()
    assert FerKD(*thresholds, 0.1).usable(codec, records, 1).tolist() == [kept]


@pytest.mark.parametrize("kind, k", [("marginal_smoothing", 2), ("marginal_renorm", 2), ("smoothing", None), ("full", None)])
def test_the_score_is_the_highest_probability_or_that_of_the_true_class(kind, k):
    codec, records, p = encoded(kind, k)
    tolerance = 4e-3 if kind == "full" else 2e-5
    np.testing.assert_allclose(FerKD(0, 0, 1, 0.1).scores(codec, records, 3), p.max(1), atol=tolerance)
    np.testing.assert_allclose(FerKD(0, 0, 1, 0.1, "gt").scores(codec, records, 1)[2:], p[2:, 1], atol=tolerance)


def test_a_true_class_that_is_not_kept_scores_what_marginal_smoothing_gives_it():
    codec, records, p = encoded()
    expected = (1 - p[:, 1] - p[:, 4]) / (CLASSES - 2)
    np.testing.assert_allclose(FerKD(0, 0, 1, 0.1, "gt").scores(codec, records, 0), expected, atol=1e-4)


@pytest.mark.parametrize("kind, k", [("marginal_smoothing", 2), ("marginal_renorm", 1), ("hard", None)])
def test_hard_crops_get_the_softened_truth_and_the_others_keep_what_the_teacher_says(kind, k):
    codec, records, p = encoded()
    labels = codec.sparse(records, kind, k)
    adapted = FerKD(0.1, 0.6, 1, 0.12).adapt(codec, records, labels, 3).dense(CLASSES)
    hard = p.max(1) < 0.6
    assert 0 < hard.sum() < 6
    softened = np.full(CLASSES, 0.12 / 5)
    softened[3] = 0.88
    np.testing.assert_allclose(adapted[hard], np.tile(softened, (hard.sum(), 1)), atol=1e-7)
    np.testing.assert_array_equal(adapted[~hard], labels.dense(CLASSES)[~hard])
    np.testing.assert_allclose(adapted.sum(1), 1, atol=1e-6)


def test_dense_labels_are_replaced_alike():
    codec, records, _ = encoded()
    ferkd, labels = FerKD(0.1, 0.6, 1, 0.12), codec.sparse(records)
    dense = ferkd.adapt_dense(codec, records, labels.dense(CLASSES), 3)
    np.testing.assert_allclose(dense, ferkd.adapt(codec, records, labels, 3).dense(CLASSES), atol=1e-7)
    assert dense.dtype == np.float32


def test_without_epsilon_the_true_class_is_certain():
    codec, records, _ = encoded()
    adapted = FerKD(0, 1, 1, 0.0).adapt(codec, records, codec.sparse(records), 3).dense(CLASSES)
    np.testing.assert_array_equal(adapted, np.tile(np.eye(CLASSES)[3], (6, 1)))


@pytest.mark.parametrize("arguments, message", [
    ((0.5, 0.4, 0.9, 0.1), "discard_below <= hard_below"), ((0.1, 0.9, 0.8, 0.1), "hard_below <= discard_above"),
    ((-0.1, 0.4, 0.9, 0.1), "discard_below must lie between 0 and 1"), ((0.1, 0.4, 1.5, 0.1), "discard_above must lie"),
    ((0.1, 0.4, 0.9, 1.0), r"epsilon must lie in \[0, 1\)"), ((0.1, 0.4, 0.9, 0.1, "mean"), "score cannot be 'mean'")])
def test_settings_that_there_cannot_be_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        FerKD(*arguments)


def test_thresholds_have_no_defaults():
    with pytest.raises(TypeError):
        FerKD()


def test_an_image_without_label_and_labels_without_confidence_are_refused():
    codec, records, _ = encoded()
    with pytest.raises(InputError, match="one has none"):
        FerKD(0, 0, 1, 0.1).usable(codec, records, -1)
    codec, records, _ = encoded("hard", None)
    with pytest.raises(InputError, match="the store holds hard labels only"):
        FerKD(0, 0, 1, 0.1).usable(codec, records, 1)


@pytest.fixture
def store(tmp_path, small):
    writer = small.writer(tmp_path)
    small.fill(writer)
    writer.finish()
    return Store(tmp_path)


@pytest.mark.parametrize("score", ["max", "gt"])
def test_a_survey_counts_what_happens_to_the_crops(store, small, score):
    ferkd, labels = FerKD(0.25, 0.4, 0.7, 0.1, score), np.arange(small.IMAGES) % small.CLASSES
    survey = ferkd.survey(store, labels)
    rows = np.flatnonzero(store.images.readable)
    scores = np.stack([ferkd.scores(store.codec, store.records(row), labels[row]) for row in rows])
    inside = (scores >= 0.25) & (scores <= 0.7)
    best = np.zeros_like(inside)
    best[np.arange(len(rows)), scores.argmax(1)] = ~inside.any(1)
    used = inside | best
    assert (survey.images, survey.of, survey.without) == (9, 9, int((~inside).all(1).sum()))
    assert survey.discarded == pytest.approx(1 - used.mean())
    assert survey.hard == pytest.approx((used & (scores < 0.4)).mean())
    assert survey.discarded + survey.hard + survey.kept == pytest.approx(1)
    np.testing.assert_allclose(survey.histogram, np.histogram(scores, 20, (0, 1))[0] / scores.size)
    assert survey.histogram.sum() == pytest.approx(1)


def test_a_survey_of_some_images_spreads_them_evenly_and_says_how_many_it_looked_at(store, monkeypatch):
    seen = []
    records = store.records
    monkeypatch.setattr(store, "records", lambda row: seen.append(row) or records(row))
    survey = FerKD(0.25, 0.4, 0.9, 0.1).survey(store, np.zeros(11, int), images=3)
    assert seen == [0, 3, 7]                    # of the readable 0 1 2 3 5 6 7 8 10
    text = survey.text()
    assert "3 of 9 images looked at" in text and f"{survey.discarded:.1%} of the crops are left out" in text
    assert "confidence (max)" in text and len(text.splitlines()) == 22
    assert f"0.30 - 0.35  {survey.histogram[6]:7.2%}" in text


def test_a_survey_looks_at_labelled_images_only_and_refuses_a_store_without_any(store):
    labels = np.full(11, -1)
    with pytest.raises(InputError, match="none of the 11 images of .* is readable and labelled"):
        FerKD(0.25, 0.4, 0.9, 0.1).survey(store, labels)
    labels[[3, 4]] = 0                          # 4 could not be read
    assert FerKD(0.25, 0.4, 0.9, 0.1).survey(store, labels)[1:3] == (1, 1)
