"""PaddleClas 1.x."""
from __future__ import annotations

import pytest

from ssld.config import Config
from ssld.errors import InputError
from ssld.paddleclas_config import is_old
from ssld.paddleclas_config import v1 as v1_form

PLAIN = ("ARCHITECTURE: {name: ResNet18, params: {lr_mult_list: [1, 1, 1, 1, 1]}}", "use_distillation: false",
         "pretrained_model: ''")


def test_the_architectures_name_says_who_teaches_whom(v1, tmp_path):
    native = v1().data
    assert native["Arch"] == {"student": {"name": "SmallResNet", "class_num": 4},
                              "teacher": {"name": "ResNet18", "class_num": 4, "pretrained": f"{tmp_path}/teacher"}}
    assert native["Loss"] == {"Train": [{"JSDivLoss": {"weight": 1.0, "form": "symmetric_kl"}}]}
    assert native["Optimizer"] == {"name": "Momentum", "momentum": 0.9, "regularizer": {"name": "L2", "coeff": 1e-5},
                                   "lr": {"name": "Cosine", "learning_rate": 0.02, "warmup_epoch": 1}}
    assert native["Global"] == {"output_dir": f"{tmp_path}/old", "epochs": 1, "save_interval": 1, "eval_interval": 1,
                                "eval_during_train": True, "use_visualdl": False, "seed": 5, "device": "auto"}
    assert native["Metric"] == {"Eval": [{"TopkAcc": {"topk": [1, 2]}}]}
    train = native["DataLoader"]["Train"]
    assert train["sampler"] == {"batch_size": 8, "shuffle": True, "drop_last": True}
    assert (train["dataset"]["image_root"], train["dataset"]["cls_label_path"]) == (str(tmp_path), f"{tmp_path}/train.txt")


@pytest.mark.parametrize("name, teacher, student", [
    ("ResNeXt101_32x16d_wsl_distill_ResNet50_vd", "ResNeXt101_32x16d_wsl", "ResNet50_vd"),
    ("ResNet50_vd_distill_MobileNetV3_large_x1_0", "ResNet50_vd", "MobileNetV3_large_x1_0")])
def test_the_two_published_runs_are_understood(v1, name, teacher, student):
    arch = v1(f"ARCHITECTURE.name: {name}").data["Arch"]
    assert (arch["teacher"]["name"], arch["student"]["name"]) == (teacher, student)


def test_two_weight_files_are_the_teachers_and_the_students(v1):
    arch = v1("pretrained_model: [t, s]").data["Arch"]
    assert (arch["teacher"]["pretrained"], arch["student"]["pretrained"]) == ("t", "s")


@pytest.mark.parametrize("processes, each", [(1, 8), (2, 4), (3, 2)])
def test_the_batch_is_that_of_all_processes_together(v1, processes, each, said):
    translation = v1(processes=processes)
    assert [side["sampler"]["batch_size"] for side in translation.data["DataLoader"].values()] == [each, each]
    assert f"8 // {processes} = {each}" in said(translation)


def test_the_processes_are_those_of_the_run(old_file, monkeypatch):
    monkeypatch.setattr(v1_form, "world_size", lambda: 4)
    config = Config.load(old_file("distill_1x"))
    assert config.data["DataLoader"]["Train"]["sampler"]["batch_size"] == 2


def test_a_batch_of_less_than_one_picture_for_each_process_is_refused(v1):
    with pytest.raises(InputError, match="TRAIN.batch_size 8 is the batch of all 9 processes together"):
        v1(processes=9)


def test_a_plain_file_becomes_supervised_training(v1):
    native = v1(*PLAIN, "ls_epsilon: 0.1").data
    assert native["Arch"] == {"student": {"name": "ResNet18", "class_num": 4, "lr_mult_list": [1, 1, 1, 1, 1]}}
    assert native["Loss"] == {"Train": [{"CELoss": {"weight": 1.0, "epsilon": 0.1}}]}
    assert v1(*PLAIN, "ls_epsilon: -1").data["Loss"] == {"Train": [{"CELoss": {"weight": 1.0}}]}


def test_parameters_of_the_architecture_reach_both_networks(v1):
    arch = v1("ARCHITECTURE.params: {lr_mult_list: [1, 1, 1, 1, 1], is_test: false, dropout_prob: 0.1}").data["Arch"]
    assert arch["student"]["lr_mult_list"] == [1, 1, 1, 1, 1] and "lr_mult_list" not in arch["teacher"]
    assert arch["student"]["dropout_prob"] == arch["teacher"]["dropout_prob"] == 0.1


def test_mixed_precision_averages_device_and_log_keep_their_meaning(v1):
    native = v1("use_fp16: true", "amp_scale_loss: 128.0", "use_dynamic_loss_scaling: true", "use_ema: true", "ema_decay: 0.99",
                "use_gpu: false", "vdl_dir: vdl", "validate: false", "valid_interval: 3").data
    assert native["AMP"] == {"use_amp": True, "scale_loss": 128.0, "use_dynamic_loss_scaling": True}
    assert native["EMA"] == {"decay": 0.99}
    settings = native["Global"]
    assert (settings["device"], settings["use_visualdl"], settings["eval_during_train"], settings["eval_interval"]) == (
        "cpu", True, False, 3)
    assert "AMP" not in v1("use_fp16: false", "amp_scale_loss: 128.0").data and "EMA" not in v1("ema_decay: 0.99").data


def test_a_file_without_evaluation_list_has_none(v1):
    assert list(v1("VALID").data["DataLoader"]) == ["Train"]


def test_what_has_no_effect_here_is_named(v1, said):
    text = said(v1("TRAIN.mix: [MixupOperator: {alpha: 0.2}]", "use_mix: false", "fuse_bn_act_ops: true",
                   "LOSS: {function: CELoss}"))
    for key in ("LOSS", "total_images", "image_shape", "VALID.shuffle_seed", "TRAIN.mix", "fuse_bn_act_ops"):
        assert f"dropped: {key} (" in text, key


@pytest.mark.parametrize("change, message", [
    ("use_distillation: false", "use_distillation is false, but ARCHITECTURE.name is 'ResNet18_distill"),
    ("ARCHITECTURE.name: ResNet18", "use_distillation is true, but ARCHITECTURE.name is 'ResNet18'"),
    ("ARCHITECTURE.params: {freeze_teacher: false}", "freeze_teacher: False is not supported"),
    ("ARCHITECTURE.parms: {}", "ARCHITECTURE has no option 'parms'. Did you mean 'params'"),
    ("pretrained_model: [a, b, c]", r"pretrained_model must be a path or \[teacher, student\]"),
    ("pretrained_model: 3", "pretrained_model must be a path"),
    ("ls_epsilon: 0.1", "ls_epsilon 0.1 smooths labels, but the teacher's distribution is the target"),
    ("use_mix: 'on'", "use_mix must be true or false"), ("multilabel: true", "multilabel: True is not supported"),
    ("load_static_weights: true", "load_static_weights: True is not supported"),
    ("checkpoints: output/3/ppcls", "checkpoints: 'output/3/ppcls' is not supported: a run goes on by itself"),
    ("mode: valid", "mode: 'valid' is not supported"), ("validate: 'yes'", "validate must be true or false"),
    ("model_save_dir: ''", "needs the option 'model_save_dir'"),
    ("clases_num: 4", "no option 'clases_num'. Did you mean 'classes_num'"),
    ("classes_num: many", "classes_num must be a whole number"), ("topk: [5]", "topk must be a whole number"),
    ("LEARNING_RATE.function: ExponentialWarmup", "there is no learning rate 'ExponentialWarmup' here. "),
    ("LEARNING_RATE.params.lr: fast", "LEARNING_RATE.params.lr must be a number above 0"),
    ("LEARNING_RATE.params.warmup: 5", "has no option 'warmup'. Did you mean 'warmup_epoch'"),
    ("OPTIMIZER.regularizer.coeff: 1.0", "OPTIMIZER.regularizer has no option 'coeff'"),
    ("OPTIMIZER.regularisation: {}", "OPTIMIZER has no option 'regularisation'. Did you mean 'regularizer'"),
    ("TRAIN.batch_size: 8.5", "TRAIN.batch_size must be a whole number"), ("TRAIN: [1]", "TRAIN must hold 'key: value'"),
    ("TRAIN.num_worker: 2", "TRAIN has no option 'num_worker'. Did you mean 'num_workers'"),
    ("TRAIN.shuffle_seed: x", "TRAIN.shuffle_seed must be a whole number"),
    ("TRAIN.data_dir: 3", "TRAIN.data_dir must be text"),
    ("TRAIN.transforms: null", "TRAIN.transforms must be a list of operators")])
def test_what_cannot_be_ignored_is_refused_by_name(v1, change, message):
    with pytest.raises(InputError, match=f"^old.yaml.*(?:{message})"):
        v1(change)


def test_any_of_its_sections_tells_a_1x_file():
    assert is_old({"ARCHITECTURE": {}}) and is_old({"TRAIN": {}}) and not is_old({"Train": {}})
