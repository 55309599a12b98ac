"""Mixup and CutMix against plain numpy."""
from __future__ import annotations

import copy
import math

import numpy as np
import paddle
import pytest

from ssld.data.mix import build_mix
from ssld.errors import InputError

ROWS, HEIGHT, WIDTH = 12, 17, 23


@pytest.fixture
def batch():
    pixels = np.random.default_rng(0).normal(size=(ROWS, 3, HEIGHT, WIDTH)).astype(np.float32)
    return {"image": paddle.to_tensor(pixels), "label": paddle.arange(ROWS), "index": paddle.arange(ROWS) % 3}


def mix(**options):
    (name, given), = options.items()
    return build_mix([{name: given}], "run.yaml: batch_transform_ops")


def seeds(count: int):
    return (np.random.default_rng(seed) for seed in range(count))


def test_mixup_is_the_weighted_mean_of_both_images(batch):
    mixed = mix(MixupOperator={"alpha": 0.8})(batch, np.random.default_rng(1))
    image, partner, share = batch["image"].numpy(), mixed["partner"].numpy(), mixed["share"].numpy()
    assert (partner.dtype, share.dtype) == (np.int64, np.float32) and len(set(share)) == 1 and 0 <= share[0] <= 1
    assert sorted(partner) == list(range(ROWS)) and list(partner) != list(range(ROWS))
    weight = share[:, None, None, None].astype(np.float64)
    np.testing.assert_allclose(mixed["image"].numpy(), weight * image + (1 - weight) * image[partner], atol=1e-6)


def box_of(rng, alpha: float):
    """What CutMix draws after its partners: (top, bottom, left, right), by the published rule."""
    side = math.sqrt(1 - rng.beta(alpha, alpha))
    height, width = int(HEIGHT * side), int(WIDTH * side)
    row, column = int(rng.integers(HEIGHT)), int(rng.integers(WIDTH))
    return (*np.clip([row - height // 2, row + height // 2], 0, HEIGHT),
            *np.clip([column - width // 2, column + width // 2], 0, WIDTH))


def test_cutmix_pastes_one_box_and_its_share_is_that_of_the_pixels_left(batch):
    operator, areas = mix(CutmixOperator={"alpha": 1.0}), set()
    for rng in seeds(40):
        same = copy.deepcopy(rng)
        mixed = operator(batch, rng)
        same.random()                                       # whether to mix
        order = np.argsort(same.random(ROWS))
        top, bottom, left, right = box_of(same, 1.0)
        expected = batch["image"].numpy().copy()
        expected[:, :, top:bottom, left:right] = expected[order][:, :, top:bottom, left:right]
        np.testing.assert_array_equal(mixed["partner"].numpy(), order)
        np.testing.assert_array_equal(mixed["image"].numpy(), expected)
        area = (bottom - top) * (right - left)
        np.testing.assert_allclose(mixed["share"].numpy(), 1 - area / (HEIGHT * WIDTH), rtol=1e-6)
        areas.add(area)
    assert min(areas) == 0 and max(areas) > HEIGHT * WIDTH / 2          # the empty box too


def test_a_box_at_the_edge_is_cut_off_and_lambda_corrected(batch):
    """Of 400 boxes the mean share that is left is larger than the mean lambda of 1/2."""
    operator = mix(CutmixOperator={"alpha": 1.0})
    shares = [float(operator(batch, rng)["share"][0]) for rng in seeds(400)]
    assert 0.6 < np.mean(shares) < 0.75


def test_the_batch_given_and_its_labels_are_left_alone(batch):
    before = {key: value.numpy().copy() for key, value in batch.items()}
    for operator in (mix(MixupOperator={"alpha": 0.8}), mix(CutmixOperator={"alpha": 1.0})):
        mixed = operator(batch, np.random.default_rng(3))
        assert set(batch) == set(before) and set(mixed) == {*before, "partner", "share"}
        for key, value in before.items():
            np.testing.assert_array_equal(batch[key].numpy(), value)
        for key in ("label", "index"):
            np.testing.assert_array_equal(mixed[key].numpy(), before[key])


@pytest.mark.parametrize("name", ["MixupOperator", "CutmixOperator"])
def test_the_same_generator_mixes_the_same_way(batch, name):
    operator = mix(**{name: {"alpha": 1.0}})
    first, again, other = (operator(batch, np.random.default_rng(seed))["image"].numpy() for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_lambda_is_drawn_from_beta(batch, alpha):
    operator = mix(MixupOperator={"alpha": alpha})
    shares = np.array([float(operator(batch, rng)["share"][0]) for rng in seeds(400)])
    assert shares.mean() == pytest.approx(0.5, abs=0.06)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.2)


def test_partners_of_a_reversed_batch_stand_at_the_other_end(batch):
    mixed = mix(MixupOperator={"alpha": 0.8, "partner": "reversed"})(batch, np.random.default_rng(0))
    np.testing.assert_array_equal(mixed["partner"].numpy(), np.arange(ROWS)[::-1])


def test_a_reversed_batch_must_be_even(batch):
    odd = {key: value[:ROWS - 1] for key, value in batch.items()}
    for name in ("MixupOperator", "CutmixOperator"):
        with pytest.raises(InputError, match="in pairs, but a batch has 11. Use an even batch_size, or partner: permutation"):
            mix(**{name: {"alpha": 0.8, "partner": "reversed"}})(odd, np.random.default_rng(0))
        assert mix(**{name: {"alpha": 0.8}})(odd, np.random.default_rng(0))["image"].shape[0] == 11


def test_mixup_and_cutmix_in_turn_with_reversed_partners_mix_every_batch_and_share_the_rule_of_the_recipes(batch):
    """As A1 and A2 have it: one draw a batch, half of them CutMix, the partner at the other end of the batch."""
    halves = {"MixupOperator": {"alpha": 0.2, "prob": 0.5, "partner": "reversed"},
              "CutmixOperator": {"alpha": 1.0, "prob": 0.5, "partner": "reversed"}}
    untouched, mixup, cutmix = mixes(mix(OpSampler=halves), batch, 300)
    assert untouched < 15 and abs(mixup - cutmix) < 90      # an empty box of CutMix leaves the pixels; five deviations of 17
    for rng in seeds(30):
        mixed = mix(OpSampler=halves)(batch, rng)
        np.testing.assert_array_equal(mixed["partner"].numpy(), np.arange(ROWS)[::-1])
        assert len(set(mixed["share"].numpy())) == 1


@pytest.mark.parametrize("partner", ["permutation", "reversed"])
def test_within_an_image_partners_are_crops_of_it(batch, partner):
    operator = mix(CutmixOperator={"alpha": 1.0, "within_image": True, "partner": partner})
    index, met = batch["index"].numpy(), set()
    for rng in seeds(30):
        found = operator(batch, rng)["partner"].numpy()
        np.testing.assert_array_equal(index[found], index)
        assert sorted(found) == list(range(ROWS))
        met |= set(zip(range(ROWS), found.tolist()))
    if partner == "permutation":
        assert len(met) == ROWS * 4                         # each of the 4 crops of an image meets each of them
    else:
        assert met == {(row, 9 + 2 * (row % 3) - row) for row in range(ROWS)}


def test_the_only_crop_of_an_image_stays_as_it_is(batch):
    mixed = mix(MixupOperator={"alpha": 1.0, "within_image": True})({**batch, "index": paddle.arange(ROWS)},
                                                                    np.random.default_rng(0))
    np.testing.assert_allclose(mixed["image"].numpy(), batch["image"].numpy(), atol=1e-6)


def mixes(operator, batch, count: int) -> list:
    """Of so many batches, how many were left alone, mixed by Mixup, and by CutMix."""
    found = [0, 0, 0]
    for rng in seeds(count):
        mixed = operator(batch, rng)
        changed = (mixed["image"].numpy() != batch["image"].numpy()).any(axis=(0, 1))
        found[0 if mixed is batch else 1 if changed.all() else 2] += 1
    return found


def test_prob_leaves_batches_as_they_are(batch):
    untouched, mixed, _ = mixes(mix(MixupOperator={"alpha": 1.0, "prob": 0.3}), batch, 300)
    assert untouched == pytest.approx(210, abs=30) and untouched + mixed == 300
    assert mixes(mix(MixupOperator={"alpha": 1.0, "prob": 0.0}), batch, 20) == [20, 0, 0]


def test_a_sampler_draws_its_operators_by_their_probabilities(batch):
    both = {"MixupOperator": {"alpha": 0.8, "prob": 0.5}, "CutmixOperator": {"alpha": 1.0, "prob": 0.2}}
    untouched, mixup, cutmix = mixes(mix(OpSampler=both), batch, 400)
    assert (untouched, mixup, cutmix) == (pytest.approx(120, abs=35), pytest.approx(200, abs=40), pytest.approx(80, abs=30))


def test_nothing_to_do_is_none():
    assert build_mix(None, "x") is None and build_mix([], "x") is None


@pytest.mark.parametrize("ops, message", [
    ({"MixupOperator": {"alpha": 1.0}}, "ops must be a list of one operator"), (["MixupOperator"], "must be a list of one"),
    ([{"MixupOperator": {"alpha": 1.0}}, {"CutmixOperator": {"alpha": 1.0}}], "put them into OpSampler"),
    ([{"MixupOperater": {"alpha": 1.0}}], "no batch operator 'MixupOperater'. Did you mean 'MixupOperator'"),
    ([{"FmixOperator": {"alpha": 1.0}}], "no batch operator 'FmixOperator'"),
    ([{"MixupOperator": {}}], "MixupOperator needs the option 'alpha'"),
    ([{"MixupOperator": {"alpha": 0}}], "MixupOperator: alpha must be a number above 0, not 0"),
    ([{"MixupOperator": {"alpha": 1.0, "prob": 2}}], "prob must lie between 0 and 1"),
    ([{"MixupOperator": {"alpha": 1.0, "partner": "reverse"}}], "partner cannot be 'reverse'. Did you mean 'reversed'"),
    ([{"MixupOperator": {"alpha": 1.0, "within_image": "yes"}}], "within_image must be true or false"),
    ([{"MixupOperator": {"alfa": 1.0}}], "no option 'alfa'. Did you mean 'alpha'"),
    ([{"OpSampler": {}}], "OpSampler is empty"), ([{"OpSampler": [1]}], "OpSampler: expected options as 'key: value'"),
    ([{"OpSampler": {"MixupOperator": {"alpha": 1.0}}}], "OpSampler.MixupOperator needs the option 'prob'"),
    ([{"OpSampler": {"MixUp": {"alpha": 1.0, "prob": 0.5}}}], "OpSampler: there is no batch operator 'MixUp'"),
    ([{"OpSampler": {"MixupOperator": {"alpha": 1.0, "prob": 0.7}, "CutmixOperator": {"alpha": 1.0, "prob": 0.7}}}],
     r"OpSampler: the probabilities \(prob\) of the operators add up to 1.4")])
def test_a_list_that_cannot_be_understood_is_refused_where_it_stands(ops, message):
    with pytest.raises(InputError, match=f"^run.yaml: ops.*{message}|^run.yaml: {message}"):
        build_mix(ops, "run.yaml: ops")
