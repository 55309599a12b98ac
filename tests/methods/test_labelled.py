"""Images without label beside images with one."""
from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.bce import BCELoss
from ssld.methods.ce import CELoss
from ssld.methods.labelled import with_labels

LABEL = np.arange(16) % 10
KNOWN = np.arange(16) % 3 != 1


@pytest.mark.parametrize("loss", [CELoss, BCELoss])
def test_an_image_without_label_counts_as_a_loss_of_0(loss_of, logits, loss):
    label = np.where(KNOWN, LABEL, -1)
    value, slope, _ = loss_of(loss(0.1, unlabelled="skip"), logits[0], label=label)
    rest, of_rest, _ = loss_of(loss(0.1), logits[0][KNOWN], label=LABEL[KNOWN])
    assert value == pytest.approx(rest * KNOWN.mean(), rel=1e-6)
    np.testing.assert_allclose(slope[KNOWN], of_rest * KNOWN.mean(), rtol=1e-5, atol=1e-9)
    assert not slope[~KNOWN].any()


@pytest.mark.parametrize("loss", [CELoss, BCELoss])
def test_a_batch_without_any_label_has_no_loss(loss_of, logits, loss):
    value, slope, _ = loss_of(loss(unlabelled="skip"), logits[0], label=np.full(16, -1))
    assert value == 0 and not slope.any()


def test_of_a_mixed_image_both_labels_have_to_be_known_unless_it_is_all_of_one():
    batch = {"label": paddle.to_tensor([3, -1, 5, 2]), "partner": paddle.to_tensor([1, 0, 1, 2]),
             "share": paddle.to_tensor([0.7, 0.7, 1.0, 0.4])}
    found, counts = with_labels(batch)
    assert counts.numpy().tolist() == [0, 0, 1, 1] and found["label"].numpy().tolist() == [3, 0, 5, 2]
    assert found["partner"] is batch["partner"]


@pytest.mark.parametrize("loss", [CELoss, BCELoss])
def test_labels_are_needed_unless_images_without_are_skipped(loss):
    assert loss().needs == {"label"} and not loss(unlabelled="skip").needs
    with pytest.raises(InputError, match="unlabelled"):
        loss(unlabelled="ignore")
