"""Mixup and CutMix of old files."""
from __future__ import annotations

import pytest

from ssld.data.mix import build_mix
from ssld.errors import InputError

OPS = "DataLoader.Train.dataset.batch_transform_ops"


def native_ops(translation) -> list:
    return translation.data["DataLoader"]["Train"]["dataset"]["batch_transform_ops"]


@pytest.mark.parametrize("old, native", [
    ("[MixupOperator: {alpha: 0.8}]", [{"MixupOperator": {"alpha": 0.8}}]),
    ("[MixupOperator: null]", [{"MixupOperator": {"alpha": 1.0}}]),
    ("[CutmixOperator: {class_num: 4}]", [{"CutmixOperator": {"alpha": 0.2}}]),
    ("[OpSampler: {class_num: 4, MixupOperator: {alpha: 0.8, prob: 0.5}, CutmixOperator: {prob: 0.3}}]",
     [{"OpSampler": {"MixupOperator": {"alpha": 0.8, "prob": 0.5}, "CutmixOperator": {"alpha": 0.2, "prob": 0.3}}}])])
def test_mixing_stays_where_2x_has_it_with_alphas_of_its_own(v2, old, native, said):
    translation = v2(f"{OPS}: {old}")
    assert native_ops(translation) == native and build_mix(native, "ops") is not None
    assert "put a softmax over it where epsilon was not set" in said(translation)
    assert ("class_num (losses mix the labels" in said(translation)) == ("class_num" in old)


def test_a_2x_file_that_mixes_nothing_says_nothing_of_it(v2, said):
    for change in (f"{OPS}: null", f"{OPS}: []"):
        assert v2(change).data == v2().data and "softmax over it" not in said(v2(change))


@pytest.mark.parametrize("old, native", [
    ("[MixupOperator: {alpha: 0.4}]", [{"MixupOperator": {"alpha": 0.4}}]),
    ("[MixupOperator: null]", [{"MixupOperator": {"alpha": 0.2}}]),
    ("[CutmixOperator: {}]", [{"CutmixOperator": {"alpha": 0.2}}])])
def test_mixing_of_1x_counts_where_use_mix_is_on(v1, old, native, said):
    translation = v1("use_mix: true", f"TRAIN.mix: {old}")
    assert native_ops(translation) == native
    assert "mix" not in said(translation)
    dropped = v1("use_mix: false", f"TRAIN.mix: {old}")
    assert dropped.data == v1().data and "dropped: TRAIN.mix (pictures are not mixed (use_mix is off))" in said(dropped)


def test_an_override_of_the_1x_key_names_the_native_one(v1):
    with pytest.raises(InputError, match=f"this key is {OPS}"):
        v1("use_mix: true", "TRAIN.mix: [MixupOperator: {}]").check_override("TRAIN.mix=null")


@pytest.mark.parametrize("change, message", [
    (f"{OPS}: [FmixOperator: {{alpha: 1}}]", r"ops\[0\].FmixOperator: FmixOperator mixes pictures in a way that"),
    (f"{OPS}: [HackedMixupOperator: {{}}]", "Known: OpSampler, MixupOperator, CutmixOperator"),
    (f"{OPS}: [OpSampler: {{FmixOperator: {{prob: 1}}}}]", r"ops\[0\].OpSampler.FmixOperator: FmixOperator mixes pictures"),
    (f"{OPS}: [OpSampler: {{MixupOperator: 0.2}}]", "OpSampler.MixupOperator must hold 'key: value' settings, not 0.2"),
    (f"{OPS}: MixupOperator", "batch_transform_ops must be a list"),
    ("DataLoader.Eval.dataset.batch_transform_ops: [MixupOperator: {alpha: 0.2}]",
     "DataLoader.Eval.dataset.batch_transform_ops: pictures are mixed in training only")])
def test_mixing_of_2x_that_does_not_exist_is_refused_by_name(v2, change, message):
    with pytest.raises(InputError, match=f"^old.yaml: .*{message}"):
        v2(change)


@pytest.mark.parametrize("change, message", [
    ("TRAIN.mix: [FmixOperator: {alpha: 1}]", r"TRAIN.mix\[0\].FmixOperator: FmixOperator mixes pictures in a way"),
    ("TRAIN.mix: []", "TRAIN.mix is empty, but use_mix is true"), ("TRAIN.num_workers: 0", "TRAIN.mix is empty")])
def test_mixing_of_1x_that_does_not_exist_is_refused_by_name(v1, change, message):
    with pytest.raises(InputError, match=f"^old.yaml: {message}"):
        v1("use_mix: true", change)
