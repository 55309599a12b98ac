from __future__ import annotations

import pytest

from ssld.errors import InputError
from ssld.registry import Registry, check_arguments, check_keys, nearest


def loss(temperature: float = 1.0, *, weight: float):
    return temperature, weight


@pytest.fixture
def registry():
    made = Registry("loss")
    made.register(loss)
    return made


def test_an_entry_is_built_from_keyword_arguments_which_stay_unchanged(registry):
    given = {"weight": 2}
    assert registry.build("loss", given, "a.yaml: Loss") == (1.0, 2) and given == {"weight": 2}


def test_an_unknown_name_is_answered_with_the_place_and_the_nearest_one(registry):
    with pytest.raises(InputError, match=r"^a\.yaml: Loss: there is no loss 'los'\. Did you mean 'loss'\?$"):
        registry.build("los", {}, "a.yaml: Loss")


def test_a_name_that_resembles_none_is_answered_with_all(registry):
    with pytest.raises(InputError, match="Known: loss"):
        registry.build("zzz", {}, "here")


def test_a_misspelt_option_is_answered_with_the_nearest_one(registry):
    with pytest.raises(InputError, match=r"^a\.yaml: Loss\.loss has no option 'temprature'\. Did you mean 'temperature'\?$"):
        registry.build("loss", {"temprature": 2, "weight": 1}, "a.yaml: Loss")


def test_an_option_without_default_must_be_given(registry):
    with pytest.raises(InputError, match="needs the option 'weight'"):
        registry.build("loss", None, "here")


def test_options_that_are_no_mapping_are_refused(registry):
    with pytest.raises(InputError, match="'key: value', found 3"):
        registry.build("loss", 3, "here")


def test_the_user_cannot_set_what_the_program_supplies(registry):
    assert registry.build("loss", {}, "here", weight=5, unused=1) == (1.0, 5)
    with pytest.raises(InputError, match="no option 'weight'"):
        registry.build("loss", {"weight": 1}, "here", weight=5)


def test_an_error_of_the_entry_itself_gets_the_place_in_front():
    registry = Registry("loss")

    @registry.register
    def strict(x):
        raise InputError(f"x must be small, not {x}")

    with pytest.raises(InputError, match=r"^here\.strict: x must be small, not 9$"):
        registry.build("strict", {"x": 9}, "here")


def test_two_entries_of_one_name_are_a_fault_of_the_program(registry):
    registry.register(loss)
    with pytest.raises(ValueError, match="two losss are called loss"):
        registry.register(type("loss", (), {}))


def test_a_function_that_takes_anything_takes_any_option():
    check_arguments(lambda **options: None, ["whatever"], "here")


def test_check_keys_names_the_first_stranger():
    check_keys({"a": 1}, ("a", "b"), "here")
    with pytest.raises(InputError, match="^here has no option 'samplr'. Did you mean 'sampler'?"):
        check_keys(["dataset", "samplr"], ("dataset", "sampler"), "here")


def test_nearest_knows_when_there_is_nothing_to_choose_from():
    assert nearest("x", []) == "None is known."
