"""Records hold what the format says, and every kind is recovered by its formula."""
import struct

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.softlabels.codec import KINDS, MARGINAL, Codec
from ssld.softlabels.crops import Crops, draw_crops

SIZES = [12, 21841]
SPARSE = [("hard", None), ("smoothing", None), ("marginal_smoothing", 1), ("marginal_smoothing", 5), ("marginal_renorm", 5),
          ("marginal_smoothing", 10), ("marginal_renorm", 12), ("marginal_smoothing", 12)]


def distributions(class_num, count=40, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (count, class_num)) * rng.uniform(0.5, 12, (count, 1))
    p = np.exp(logits - logits.max(1, keepdims=True))
    return (p / p.sum(1, keepdims=True)).astype(np.float32)


def crops(count):
    return draw_crops(0, "a.jpg", 640, 480, count)


def stored(kind, k, class_num, p=None):
    codec = Codec(kind, k, class_num)
    p = distributions(class_num) if p is None else p
    return codec, codec.encode(p, crops(len(p))), p


def recovered(kind, k, class_num, ids, values):
    """The formulas in float64, for one label."""
    ids, values, label = list(ids[:k]), [float(v) for v in values[:k]], np.zeros(class_num)
    total = sum(values)
    if kind == "hard":
        label[ids[0]] = 1
        return label
    if kind == "marginal_renorm":
        label[ids] = np.array(values) / max(total, 1e-12)
        return label
    if total > 1 or k == class_num:
        values, total = [v / total for v in values], 1
    label[:] = (1 - total) / (class_num - k) if k < class_num else 0
    label[ids] = values
    return label


@pytest.mark.parametrize("kind, k, size", [
    ("hard", None, 10), ("smoothing", None, 12), ("marginal_smoothing", 5, 28), ("marginal_renorm", 5, 28),
    ("marginal_smoothing", 10, 48), ("full", None, 8 + 2 * 1000)])
def test_a_record_has_the_size_of_the_format(kind, k, size):
    assert Codec(kind, k, 1000).dtype.itemsize == size


def test_a_record_is_what_the_format_says_byte_by_byte():
    p = np.array([[0.1, 0.6, 0.0, 0.3]])
    record = Codec("marginal_smoothing", 2, 4).encode(p, Crops(np.array([[1, 258, 300, 400]]), np.array([True])))
    assert record.tobytes() == struct.pack("<8H", 1 + 32768, 258, 300, 400, 1, 3, int(0.6 * 65535), int(0.3 * 65535))
    full = Codec("full", None, 4).encode(p, Crops(np.array([[1, 258, 300, 400]]), np.array([False])))
    assert full.tobytes() == struct.pack("<4H4e", 1, 258, 300, 400, np.log(0.1), np.log(0.6), -np.inf, np.log(0.3))


def test_the_fields_are_named_for_a_reader_without_this_program():
    assert Codec("marginal_smoothing", 5, 10).fields() == [["box", "<u2", 4], ["cls", "<u2", 5], ["prob", "<u2", 5]]
    assert Codec("full", None, 10).fields() == [["box", "<u2", 4], ["log", "<f2", 10]]


@pytest.mark.parametrize("kind, k", [("hard", None), ("marginal_smoothing", 5), ("full", None)])
def test_crops_come_back_exactly(kind, k):
    box = np.array([[32_766, 0, 1, 32_767], [0, 32_766, 32_767, 1], [5, 6, 7, 8], [5, 6, 7, 8]])
    flip = np.array([True, False, True, False])
    back = Codec(kind, k, 12).crops(Codec(kind, k, 12).encode(distributions(12, 4), Crops(box, flip)))
    np.testing.assert_array_equal(back.box, box)
    np.testing.assert_array_equal(back.flip, flip)


@pytest.mark.parametrize("class_num", SIZES)
@pytest.mark.parametrize("kind, k", SPARSE)
def test_every_kind_is_recovered_by_its_formula_sums_to_one_and_is_nowhere_negative(kind, k, class_num):
    codec, records, p = stored(kind, k, class_num)
    order = np.argsort(-p, axis=1, kind="stable")
    expected = np.stack([recovered(kind, codec.k, class_num, ids, np.floor(row[ids[:codec.k]].astype(float) * 65535) / 65535)
                         for ids, row in zip(order, p)])
    dense = codec.dense(records)
    np.testing.assert_allclose(dense, expected, atol=1e-7)
    np.testing.assert_allclose(dense.sum(1, dtype=np.float64), 1, atol=2e-6)
    assert dense.min() >= 0
    np.testing.assert_array_equal(codec.sparse(records).dense(class_num), dense)


@pytest.mark.parametrize("class_num", SIZES)
def test_full_labels_are_within_the_rounding_of_half_precision(class_num):
    codec, records, p = stored("full", None, class_num)
    dense = codec.dense(records)
    np.testing.assert_allclose(dense.sum(1, dtype=np.float64), 1, atol=2e-6)
    assert dense.min() >= 0 and dense.dtype == np.float32
    entropy, cross = -(dense * np.log(np.maximum(dense, 1e-38))).sum(1), -(dense * np.log(np.maximum(p, 1e-38))).sum(1)
    np.testing.assert_allclose(cross, entropy, atol=1e-4)       # the loss of a student that says what the teacher said


def test_full_keeps_what_half_precision_probabilities_would_lose():
    p = np.array([[1 - 2e-20, 1e-20, 1e-20, 0]], np.float32)
    codec, records, _ = stored("full", None, 4, p)
    np.testing.assert_allclose(codec.dense(records), p, rtol=0.02)


@pytest.mark.parametrize("have", SPARSE + [("full", None)])
@pytest.mark.parametrize("want", SPARSE)
def test_a_store_serves_everything_that_needs_no_more_and_nothing_else(have, want):
    codec, records, p = stored(*have, 12)
    wanted_k = want[1] or 1
    served = have[0] == "full" or want[0] == "hard" or (have[0] != "hard" and wanted_k <= (have[1] or 1))
    if not served:
        with pytest.raises(InputError, match=f"holds kind {have[0]} with K = {codec.k} and cannot be read as {want[0]}"):
            codec.sparse(records, *want)
        return
    direct, its_own, _ = stored(*want, 12)
    tolerance = 4e-3 if have[0] == "full" else 0        # half precision of a logarithm below 4; otherwise the same bytes
    np.testing.assert_allclose(codec.dense(records, *want), direct.dense(its_own), atol=tolerance)


def test_a_request_without_k_means_all_that_is_stored():
    codec, records, _ = stored("marginal_smoothing", 5, 12)
    assert codec.check_request("marginal_renorm", None) == ("marginal_renorm", 5)
    assert codec.check_request(None, None) == ("marginal_smoothing", 5) and codec.check_request(None, 3)[1] == 3
    assert codec.check_request("hard", None) == ("hard", 1)
    with pytest.raises(InputError, match="K must be a whole number"):
        stored("full", None, 12)[0].check_request("marginal_smoothing", None)
    with pytest.raises(InputError, match="cannot be read as full"):
        codec.dense(records, "full")
    with pytest.raises(InputError, match="full, which has no sparse form"):
        codec = stored("full", None, 12)[0]
        codec.sparse(np.zeros(1, codec.dtype))
    with pytest.raises(InputError, match="hard takes no K"):
        codec.check_request("hard", 5)


def test_where_rounding_made_the_kept_classes_exceed_one_they_are_divided_and_nothing_is_left():
    codec = Codec("marginal_smoothing", 2, 12)
    records = np.zeros(1, codec.dtype)
    records["cls"], records["prob"] = [3, 4], [60_000, 5_600]
    expected = np.zeros((1, 12))
    expected[0, [3, 4]] = 60_000 / 65_600, 5_600 / 65_600
    np.testing.assert_allclose(codec.dense(records), expected, rtol=1e-6)
    assert codec.sparse(records).rest[0] == 0 and codec.mass(records)[0] > 1


@pytest.mark.parametrize("kind", MARGINAL)
def test_all_classes_may_be_kept_without_dividing_by_zero(kind):
    with np.errstate(all="raise"):
        codec, records, p = stored(kind, 12, 12)
        np.testing.assert_allclose(codec.dense(records), p, atol=2e-4)
        assert (codec.sparse(records).rest == 0).all()


def test_equal_probabilities_keep_the_lower_ids():
    codec, records, _ = stored("marginal_smoothing", 3, 12, np.full((2, 12), 1 / 12))
    np.testing.assert_array_equal(codec.top(records)[0], [[0, 1, 2]] * 2)
    np.testing.assert_allclose(codec.mass(records), 3 / 12, atol=5e-5)


def test_the_kept_mass_is_what_the_kept_classes_had():
    codec, records, p = stored("marginal_smoothing", 3, 12)
    np.testing.assert_allclose(codec.mass(records), -np.sort(-p, axis=1)[:, :3].sum(1), atol=5e-5)
    for kind in ("hard", "full"):
        codec, records, _ = stored(kind, None, 12)
        np.testing.assert_array_equal(codec.mass(records), np.ones(len(records)))


def test_a_certain_teacher_is_stored_as_certain():
    codec, records, _ = stored("marginal_smoothing", 2, 3, np.array([[0, 1.0000001, 0]], np.float32))
    np.testing.assert_array_equal(codec.dense(records), [[0, 1, 0]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row, sum_", [([0.5, 0.4, 0.09], "0.99"), ([0.6, 0.5, -0.1], "1"), ([np.nan, 0.5, 0.5], "nan"),
                                       ([np.inf, 0, 0], "inf"), ([4.0, -2.0, -1.0], "1")])
def test_rows_that_are_no_distributions_are_refused(kind, row, sum_):
    p = np.array([[0.2, 0.3, 0.5], row])
    with pytest.raises(InputError, match=f"label 1 is no distribution: it sums to {sum_}.*after softmax"):
        Codec(kind, 2 if kind in MARGINAL else None, 3).encode(p, crops(2))


def test_labels_of_another_class_count_are_refused():
    with pytest.raises(InputError, match=r"shape \[2, 3\] do not fit the store, which is for 4 classes"):
        Codec("hard", None, 4).encode(np.full((2, 3), 1 / 3), crops(2))


@pytest.mark.parametrize("arguments, message", [
    (("hard", None, 65_536), "at most 65,535 classes"), (("soft", None, 10), "kind cannot be 'soft'"),
    (("marginal_smoothing", None, 10), "K must be a whole number"), (("marginal_renorm", 0, 10), "K must be a whole number"),
    (("marginal_smoothing", 11, 10), "K = 11 classes cannot be kept of 10"), (("smoothing", 5, 10), "smoothing takes no K"),
    (("full", 5, 10), "full takes no K"), (("hard", None, 0), "class_num must be")])
def test_a_codec_that_there_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Codec(*arguments)


@pytest.mark.parametrize("kind", ["hard", "smoothing", "marginal_renorm"])
def test_ids_beyond_the_classes_are_refused_with_the_place(kind):
    codec, records, _ = stored(kind, 5 if kind in MARGINAL else None, 12)
    records["cls"][3, 0] = 12
    with pytest.raises(InputError, match=r"labels/teacher holds the class 12, but is for 12 classes \(0 to 11\)"):
        Codec(kind, codec.k, 12, "labels/teacher").sparse(records)


def test_pairs_are_stored_as_the_distributions_that_they_are_of():
    codec, records, p = stored("marginal_smoothing", 5, 12)
    ids = np.argsort(-p, axis=1, kind="stable")[:, :5]
    pairs = codec.encode_top(ids, np.take_along_axis(p, ids, 1), crops(len(p)))
    np.testing.assert_array_equal(pairs, records)


@pytest.mark.parametrize("ids, values, message", [
    ([[0, 12]], [[0.6, 0.3]], "the class 12 is out of range"), ([[-1, 3]], [[0.6, 0.3]], "the class -1 is out of range"),
    ([[3, 3]], [[0.6, 0.3]], r"names a class twice: \[3, 3\]"), ([[0, 1]], [[0.3, 0.6]], "descending order"),
    ([[0, 1]], [[0.8, 0.3]], "sum of at most 1"), ([[0, 1]], [[0.8, np.nan]], "sum of at most 1")])
def test_pairs_that_cannot_be_of_one_label_are_refused(ids, values, message):
    with pytest.raises(InputError, match=message):
        Codec("marginal_smoothing", 2, 12).encode_top(np.array(ids), np.array(values), crops(1))
