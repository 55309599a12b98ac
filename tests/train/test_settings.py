from __future__ import annotations

import pytest

from ssld.errors import InputError
from ssld.train.settings import Settings


def test_an_output_folder_is_all_that_is_needed():
    settings = Settings("runs/x")
    assert (settings.epochs, settings.update_freq, settings.seed, settings.device) == (1, 1, 0, "auto")


@pytest.mark.parametrize("name", ["epochs", "update_freq", "print_batch_step", "eval_interval", "save_interval",
                                  "keep_checkpoints", "iter_per_epoch", "save_steps"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True])
def test_counts_must_be_whole_numbers_of_at_least_1(name, value):
    with pytest.raises(InputError, match=f"Global.{name} must be a whole number of at least 1"):
        Settings("x", **{name: value})
    assert getattr(Settings("x", **{name: 3}), name) == 3


@pytest.mark.parametrize("value", [-1, 1.5, "3"])
def test_a_seed_is_a_whole_number_of_at_least_0(value):
    with pytest.raises(InputError, match="Global.seed"):
        Settings("x", seed=value)
    assert Settings("x", seed=7).seed == 7


def test_the_first_evaluated_epoch_is_a_number():
    with pytest.raises(InputError, match="Global.start_eval_epoch"):
        Settings("x", start_eval_epoch="later")
