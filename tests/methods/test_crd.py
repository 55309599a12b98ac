from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.distiller import Distiller, Term
from ssld.errors import InputError
from ssld.methods.crd import CRDLoss
from ssld.models.small_resnet import SmallResNet

NAMES = ("of_student.weight", "of_student.bias", "of_teacher.weight", "of_teacher.bias")
LABELS = np.arange(20) % 4


def build(site_of, labels=LABELS, seed=0, **options) -> CRDLoss:
    paddle.seed(seed)
    method = CRDLoss(**{"embedding": 4, "negatives": 7, **options})
    method.attach(site_of((5,), (6,), labels, seed))
    return method


def banks_of(method):
    return [bank.rows.numpy() for bank in (method.student_bank, method.teacher_bank)]


def features(seed, count=4):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (count, 5)), rng.normal(0, 1, (count, 6))


@pytest.fixture
def follow(oracle):
    """The oracle of a method at its beginning, in float64."""
    def follow(method):
        return oracle("losses").CRD(*(rows.astype(np.float64) for rows in banks_of(method)), method.temperature,
                                    method.momentum)
    return follow


@pytest.fixture
def negatives_of(monkeypatch):
    """Makes a method draw the given negatives, int [B, K]."""
    def negatives_of(method, drawn):
        monkeypatch.setattr(method.negatives, "draw", lambda label, index, count: paddle.to_tensor(drawn.astype(np.int32)))
    return negatives_of


@pytest.mark.parametrize("options", [{}, {"chunk": 3}, {"temperature": 0.5, "momentum": 0.9}])
def test_loss_gradients_and_banks_equal_the_formula_over_three_steps_and_z_stays_that_of_the_first(
        loss_of_features, weights_of, oracle, site_of, follow, negatives_of, options):
    method, rng, constants = build(site_of, **options), np.random.default_rng(0), []
    reference, weights = follow(method), [weights_of(method)[name] for name in NAMES]
    for step in range(3):
        (f_s, f_t), images, drawn = features(step), np.array([3, 8, 13, 2 + step]), rng.integers(0, 20, (4, 7))
        negatives_of(method, drawn)
        index = np.concatenate([images[:, None], drawn], 1)
        expected = reference.loss(f_s, f_t, *weights, index)
        slopes = oracle("losses").slopes(lambda f, *w, f_t=f_t, index=index: reference.loss(f, f_t, *w, index), f_s, *weights)
        value, slope = loss_of_features(method, f_s, f_t, index=images, label=LABELS[images])
        assert value == pytest.approx(expected, rel=2e-5)
        parameters = dict(method.named_parameters())
        found = [slope["pool"], *(parameters[name].grad.numpy() for name in NAMES)]
        for name, mine, theirs in zip(("features", *NAMES), found, slopes):
            np.testing.assert_allclose(mine, theirs, atol=1e-4 * np.abs(theirs).max(), err_msg=name)
        reference.move(f_s, f_t, *weights, images)
        for mine, theirs in zip(banks_of(method), (reference.m_s, reference.m_t)):
            np.testing.assert_allclose(mine, theirs, atol=1e-6)
        method.clear_gradients()
        constants.append((float(method.teacher_bank.z), float(method.student_bank.z)))
    assert len(set(constants)) == 1 and constants[0] == pytest.approx((reference.z_s, reference.z_t), rel=2e-5)


def test_it_is_exact_with_many_negatives_of_a_long_list(loss_of_features, weights_of, site_of, follow, negatives_of):
    """Each negative adds about 1 / K, which a sum of logarithms of ratios would lose in float32."""
    labels = np.arange(5000) % 10
    method = build(site_of, labels, negatives=4000)
    drawn, images, (f_s, f_t) = np.random.default_rng(0).integers(0, 5000, (4, 4000)), np.arange(4), features(0)
    negatives_of(method, drawn)
    expected = follow(method).loss(f_s, f_t, *(weights_of(method)[name] for name in NAMES),
                                   np.concatenate([images[:, None], drawn], 1))
    assert loss_of_features(method, f_s, f_t, index=images, label=labels[images])[0] == pytest.approx(expected, rel=2e-5)


def test_an_image_that_is_there_several_times_moves_its_row_once_by_the_mean(loss_of_features, weights_of, site_of, follow):
    method = build(site_of)
    reference, weights, (f_s, f_t) = follow(method), [weights_of(method)[name] for name in NAMES], features(0)
    images = np.array([5, 9, 5, 5])
    loss_of_features(method, f_s, f_t, index=images, label=LABELS[images])
    reference.move(f_s, f_t, *weights, images)
    for mine, theirs in zip(banks_of(method), (reference.m_s, reference.m_t)):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_copies_of_an_image_leave_the_same_banks_in_whatever_order_they_come(loss_of_features, site_of):
    """As repeated augmentation brings them: each of a few images several times."""
    (f_s, f_t), images, banks = features(0, 12), np.repeat([5, 9, 2, 14], 3), []
    for order in (np.arange(12), np.arange(12).reshape(4, 3).T.reshape(-1)):        # copies side by side, or far apart
        method = build(site_of)
        loss_of_features(method, f_s[order], f_t[order], index=images[order], label=LABELS[images[order]])
        banks.append(banks_of(method))
    for one, other in zip(*banks):
        np.testing.assert_allclose(one, other, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(one[[5, 9, 2, 14]], axis=1), 1, rtol=1e-6)


def test_all_processes_write_the_same_row_for_copies_of_an_image(site_of, monkeypatch):
    """Paddle does not say which of several writes to one row comes last, so they have to be equal to the bit."""
    method, written = build(site_of), []
    monkeypatch.setattr(paddle, "scatter_", lambda rows, index, new: written.append((index.numpy(), new.numpy())))
    rows = paddle.nn.functional.normalize(paddle.randn([24, 4]))
    method._remember(paddle.to_tensor(np.tile([5, 9, 2, 14, 5, 5], 4)), paddle.concat([rows, rows.flip(0)], axis=1))
    assert len(written) == 2
    for index, new in written:
        for image in (5, 9, 2, 14):
            assert len(np.unique(new[index == image], axis=0)) == 1


def test_other_rows_stay_as_they_are_and_moved_ones_have_length_1(loss_of_features, site_of):
    method = build(site_of)
    before, images = banks_of(method), np.array([5, 9, 1, 0])
    loss_of_features(method, *features(0), index=images, label=LABELS[images])
    for old, new in zip(before, banks_of(method)):
        np.testing.assert_array_equal(np.delete(old, images, 0), np.delete(new, images, 0))
        np.testing.assert_allclose(np.linalg.norm(new[images], axis=1), 1, rtol=1e-6)


def test_the_banks_begin_uniform_within_their_bound_and_follow_the_seed(site_of):
    labels = np.arange(4000) % 4
    first, again, other = (banks_of(build(site_of, labels, seed)) for seed in (1, 1, 2))
    for bank in first:
        assert np.abs(bank).max() <= 1 / np.sqrt(4 / 3) and bank.std() == pytest.approx(0.5, rel=0.02)
        assert abs(bank.mean()) < 0.02
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != first[1]).any() and (first[0] != other[0]).any()


def test_mixed_images_are_compared_under_their_own_index(loss_of_features, site_of):
    images, values = np.array([5, 9, 1, 0]), []
    for mixed in ({}, {"partner": np.array([3, 2, 1, 0]), "share": np.full(4, 0.3, np.float32)}):
        method = build(site_of)
        values.append(loss_of_features(method, *features(0), index=images, label=LABELS[images], **mixed)[0])
    assert values[0] == values[1]


def test_images_without_labels_are_compared_with_all_others(loss_of_features, site_of):
    labels = np.where(np.arange(20) < 10, -1, np.arange(20) % 4)
    images = np.array([0, 5, 12, 13])
    method = build(site_of, labels)
    assert method.needs == {"features", "index"}
    assert np.isfinite(loss_of_features(method, *features(0), index=images, label=labels[images])[0])


def test_banks_and_constants_resume_and_are_no_part_of_the_student(loss_of_features, site_of):
    class Live:
        provides = frozenset({"features"})

    method, other, images = build(site_of), build(site_of, seed=1), np.array([5, 9, 1, 0])
    student = SmallResNet(4, width=4)
    model = Distiller(student, Live(), [Term(method)])
    loss_of_features(method, *features(0), index=images, label=LABELS[images])
    state = model.state_dict()
    kept = {name for name in state if name.startswith("methods.")}
    assert kept == {"methods.0." + name for name in (*NAMES, "student_bank.rows", "student_bank.z", "teacher_bank.rows",
                                                     "teacher_bank.z")}
    assert not any("bank" in name for name in student.state_dict())
    for name, tensor in other.state_dict().items():             # as the trainer resumes
        tensor.set_value(state[f"methods.0.{name}"].numpy())
    again = []
    for each in (method, other):
        paddle.seed(7)
        again.append(loss_of_features(each, *features(1), index=images, label=LABELS[images])[0])
    assert again[0] == again[1]


def test_one_image_identical_rows_and_float16_give_a_finite_loss_and_gradient(loss_of_features, site_of):
    for f_s, f_t in ((np.full((1, 5), 300.0), np.full((1, 6), 300.0)), (np.ones((4, 5)), np.zeros((4, 6)))):
        images = np.arange(len(f_s))
        value, slope = loss_of_features(build(site_of), f_s, f_t, dtype="float16", index=images, label=LABELS[images])
        assert np.isfinite(value) and np.isfinite(slope["pool"]).all()


@pytest.mark.parametrize("options", [{"embedding": 0}, {"negatives": 0}, {"momentum": 1}, {"temperature": 0}, {"chunk": 0}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        CRDLoss(**options)
