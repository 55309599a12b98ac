"""PaddleClas 2.x, section by section."""
from __future__ import annotations

import copy

import pytest

from ssld.config import Config, read_with_bases
from ssld.errors import InputError
from ssld.paddleclas_config import is_old, translate


def test_an_old_file_is_recognised_by_its_arch_and_a_native_one_is_not(old_file):
    assert is_old(read_with_bases(old_file("distill_2x"))) and is_old({"Arch": {"name": "ResNet50"}})
    assert not is_old({"Arch": {"student": {"name": "ResNet50"}}}) and not is_old({}) and not is_old({"Arch": None})


def test_translating_leaves_the_old_file_as_it_was(old_file):
    data = read_with_bases(old_file("distill_2x"))
    before = copy.deepcopy(data)
    translate(data, "old.yaml")
    assert data == before


def test_a_distillation_file_becomes_student_teacher_and_terms(v2, tmp_path):
    native = v2().data
    assert native["Arch"] == {
        "student": {"name": "MobileNetV3_small_x0_35", "class_num": 4, "dropout_prob": None},
        "teacher": {"name": "ResNet18", "class_num": 4, "pretrained": f"{tmp_path}/teacher"}}
    assert native["Loss"] == {"Train": [{"CELoss": {"weight": 0.5}}, {"JSDivLoss": {"weight": 2.0, "form": "symmetric_kl"}}]}
    assert native["Metric"] == {"Eval": [{"TopkAcc": {"topk": [1, 2]}}]}
    assert native["Optimizer"] == {"name": "Momentum", "momentum": 0.9, "regularizer": {"name": "L2", "coeff": 1e-5},
                                   "lr": {"name": "Cosine", "learning_rate": 0.02, "warmup_epoch": 0}}
    assert "AMP" not in native and "Infer" not in native


@pytest.mark.parametrize("key", ["Infer", "Loss.Eval", "Metric.Train", "Global.image_shape", "Global.save_inference_dir",
                                 "Global.to_static", "Arch.infer_model_name", "Arch.models[0].Teacher.return_patterns"])
def test_what_has_no_effect_here_is_named_with_a_reason(v2, key, said):
    assert f"{key} (" in said(v2()) or f"{key}, " in said(v2())


def test_a_key_that_says_nothing_is_not_reported(v2, said):
    text = said(v2())
    assert "checkpoints" not in text and "order" not in text and "channel_first" not in text


@pytest.mark.parametrize("change, message", [
    ("Global.checkpoints: output/latest", "Global.checkpoints: 'output/latest' is not supported: a run goes on by itself"),
    ("Global.use_multilabel: true", "Global.use_multilabel: True is not supported: an image has one label"),
    ("Global.eval_mode: retrieval", "Global.eval_mode: 'retrieval' is not supported"),
    ("Global.train_mode: fixmatch", "Global.train_mode: 'fixmatch' is not supported"),
    ("Global.epoch: 3", "Global has no option 'epoch'. Did you mean 'epochs'"),
    ("Global.foo: null", "Global has no option 'foo'"),
    ("Global.epochs: many", "Global.epochs must be a whole number, not 'many'"),
    ("Global.eval_during_train: 'no'", "Global.eval_during_train must be true or false"),
    ("Global.output_dir: null", "Global needs the option 'output_dir'"),
    ("Global: [1]", "Global must hold 'key: value' settings"),
    ("Optimzer: {}", " has no option 'Optimzer'. Did you mean 'Optimizer'"),
    ("Slim: {quant: {name: pact}}", "Slim: .* is not supported"),
    ("Arch.use_sync_bn: true", "Arch.use_sync_bn: True is not supported"),
    ("Arch.freeze_param_list: [true, false]", "Arch has no option 'freeze_param_list'. Did you mean 'freeze_params_list'"),
    ("Arch.freeze_params_list: [true]", r"freeze_params_list must hold true or false for each of the 2 models, not \[True\]"),
    ("Arch.freeze_params_list: [1, 0]", "freeze_params_list must hold true or false"),
    ("Arch.freeze_params_list: [true, true]", "freezes every model: nobody learns"),
    ("Arch.pretrained_list: [path]", "pretrained_list must hold a path or null for each of the 2 models"),
    ("Arch.pretrained_list: path", "Arch.pretrained_list must be a list"),
    ("Arch.models: []", "Arch needs 'models'"),
    ("Arch.models.0: {A: {}, B: {}}", r"Arch.models\[0\]: expected one name with its settings"),
    ("Arch.models.0: {Student: {name: ResNet18}}", "two models have the same name: Student, Student"),
    ("Arch.models.0.Teacher.name: null", r"Arch.models\[0\].Teacher needs the option 'name'"),
    ("Arch.models.0.Teacher.pretrained: 3", "pretrained must be true, false or a path, not 3"),
    ("Arch.models.0.Teacher.class_num: four", "class_num must be a whole number of at least 1, not 'four'"),
    ("Arch.name: ResNet18", "only a DistillationModel holds several models"),
    ("Optimizer: [{Momentum: {scope: backbone}}]", "Optimizer is a list of optimizers"),
    ("DataLoader.UnLabelTrain: {}", "DataLoader has no option 'UnLabelTrain'"),
    ("DataLoader.Train.batch_size: 8", "DataLoader.Train has no option 'batch_size'"),
    ("Metric.Eval.0: {Recallk: {topk: 1}}", r"Metric.Eval\[0\].Recallk: there is no such metric"),
    ("Metric.Eval.0.DistillationTopkAcc.model_key: Teacher", r"model_key: 'Teacher' is not supported: the student \(Student\)"),
    ("AMP.use_am: true", "AMP has no option 'use_am'. Did you mean 'use_amp'"),
    ("AMP.scale_loss: big", "AMP.scale_loss must be a number above 0"),
    ("EMA: {decay: slow}", "EMA.decay must be a number above 0"), ("EMA: {decoy: 0.9}", "Did you mean 'decay'")])
def test_what_cannot_be_ignored_is_refused_by_name(v2, change, message):
    with pytest.raises(InputError, match=f"^old.yaml.*{message}"):
        v2(change)


def test_a_teacher_that_trains_along_is_refused_and_without_labels_for_another_reason(v2):
    with pytest.raises(InputError, match="Teacher and Student all train, but models that teach each other are not supported"):
        v2("Arch.freeze_params_list: null")
    with pytest.raises(InputError, match="all train, but without a loss on labels they would agree on the same constant"):
        v2("Arch.freeze_params_list: [false, false]", "Loss.Train.0")


def test_pretrained_list_and_whole_checkpoints_name_the_weights_of_each_model(v2):
    arch = v2("Arch.pretrained_list: [a/teacher, null]", "Arch.models.0.Teacher.pretrained: true").data["Arch"]
    assert arch["teacher"]["pretrained"] == "a/teacher" and "pretrained" not in arch["student"]
    assert v2("Arch.pretrained_list: [null, s]").data["Arch"]["student"]["pretrained"] == "s"
    arch = v2("Global.pretrained_model: whole").data["Arch"]
    assert [(part["pretrained"], part["pretrained_part"]) for part in arch.values()] == [("whole", "Student"),
                                                                                         ("whole", "Teacher")]


def test_published_weights_keep_their_kind(v2, said):
    def teacher(*changes):
        translation = v2("Arch.models.0.Teacher.use_ssld: true", *changes)
        return translation.data["Arch"]["teacher"], "use_ssld" in said(translation)
    options, noted = teacher("Arch.models.0.Teacher.pretrained: true")
    assert options["use_ssld"] is True and not noted
    options, noted = teacher()
    assert "use_ssld" not in options and noted


def test_models_without_class_num_have_a_thousand_classes_or_those_beside_the_models(v2, said):
    changes = ["Arch.models.0.Teacher.class_num", "Arch.models.1.Student.class_num"]
    translation = v2(*changes)
    assert {part["class_num"] for part in translation.data["Arch"].values()} == {4}
    assert "class_num 4 counts for Teacher and Student too" in said(translation)
    assert {part["class_num"] for part in v2(*changes, "Arch.class_num").data["Arch"].values()} == {1000}
    assert {part["class_num"] for part in v2(*changes, "Arch.class_num", "Global.class_num: 7").data["Arch"].values()} == {7}
    assert "class_num" not in said(v2())


def test_a_frozen_model_that_no_loss_compares_with_is_left_out(v2, said):
    translation = v2("Arch.models.0: {Old: {name: ResNet34}}", "Loss.Train.1")
    assert list(translation.data["Arch"]) == ["student"] and "Arch.models[0].Old (frozen" in said(translation)


def test_two_teachers_are_refused(v2):
    with pytest.raises(InputError, match="A and Teacher all teach, but one teacher is supported"):
        v2("Arch.models: [A: {name: ResNet18}, Teacher: {name: ResNet18}, Student: {name: ResNet18}]",
           "Arch.freeze_params_list: [true, true, false]",
           "Loss.Train.1.DistillationDMLLoss.model_name_pairs: [[Student, Teacher], [Student, A]]")


def test_multipliers_stay_with_the_student_alone(v2, said):
    translation = v2("Arch.models.0.Teacher.lr_mult_list: [1]", "Arch.models.1.Student.lr_mult_list: [0.1, 1, 1, 1, 1]")
    assert translation.data["Arch"]["student"]["lr_mult_list"] == [0.1, 1, 1, 1, 1]
    assert "lr_mult_list" not in translation.data["Arch"]["teacher"] and "Teacher.lr_mult_list (" in said(translation)


def test_a_plain_file_becomes_supervised_training(plain):
    native = plain("Global.pretrained_model: weights").data
    assert native["Arch"] == {"student": {"name": "ResNet18", "class_num": 4, "pretrained": "weights"}}
    assert native["Loss"] == {"Train": [{"CELoss": {"weight": 1.0, "epsilon": 0.1}}]}
    assert native["Metric"] == {"Eval": [{"TopkAcc": {"topk": [2]}}]}
    assert plain("Arch.class_num", "Global.class_num: 9").data["Arch"]["student"]["class_num"] == 9


def test_gpu_becomes_auto_and_says_so_and_other_devices_stay(v2, said):
    assert v2().data["Global"]["device"] == "auto" and "-o Global.device=gpu insists" in said(v2())
    assert v2("Global.device: cpu").data["Global"]["device"] == "cpu"


def test_global_keys_keep_their_meaning(v2):
    settings = v2("Global.iter_per_epoch: 7", "Global.update_freq: 3", "Global.seed: 5",
                  "Global.max_num_latest_checkpoint: 4").data["Global"]
    assert (settings["iter_per_epoch"], settings["update_freq"], settings["seed"], settings["keep_checkpoints"]) == (2, 3, 5, 4)


@pytest.mark.parametrize("section, native", [
    ("{use_amp: true, level: O2, use_promote: true}", {"use_amp": True, "level": "O2", "scale_loss": 1.0,
                                                       "use_dynamic_loss_scaling": False}),
    ("{scale_loss: 128.0, use_dynamic_loss_scaling: true, level: O1}", {"use_amp": True, "level": "O1", "scale_loss": 128.0,
                                                                      "use_dynamic_loss_scaling": True}),
    ("{use_amp: false, scale_loss: 128.0}", None), ("null", None)])
def test_mixed_precision_is_on_unless_the_section_is_absent_or_says_no(v2, section, native):
    assert v2(f"AMP: {section}").data.get("AMP") == native


def test_averaged_weights_keep_their_decay(v2):
    assert v2("EMA: {decay: 0.99996}").data["EMA"] == {"decay": 0.99996}


def test_the_regularizer_wins_over_weight_decay_as_it_did(v2, said):
    translation = v2("Optimizer.weight_decay: 0.5")
    assert "weight_decay" not in translation.data["Optimizer"] and "Optimizer.weight_decay (" in said(translation)
    assert v2("Optimizer.weight_decay: 1.0e-4", "Optimizer.regularizer").data["Optimizer"]["weight_decay"] == 1e-4


def test_what_an_anchor_repeated_is_written_out(v2):
    assert "&" not in v2().native_yaml() and "*" not in v2().native_yaml()


@pytest.mark.parametrize("change, message", [
    ("Optimizer.name: RMSProp", "there is no optimizer 'RMSProp'"),
    ("Optimizer.momentm: 0.9", "has no option 'momentm'. Did you mean 'momentum'"),
    ("Optimizer.lr.name: OneCycleLR", "there is no learning-rate schedule 'OneCycleLR'"),
    ("Optimizer.regularizer.name: L1", "regularizer.name must be L2"),
    ("DataLoader.Train.sampler.name: PKSampler", "there is no sampler 'PKSampler'"),
    ("DataLoader.Train.dataset.name: MultiLabelDataset", "there is no dataset 'MultiLabelDataset'"),
    ("DataLoader.Train.loader.num_worker: 1", "has no option 'num_worker'. Did you mean 'num_workers'"),
    ("DataLoader.Train.dataset.transform_ops.1: {TimmAutoAugment: {}}", "there is no transform 'TimmAutoAugment'"),
    ("Arch.models.1.Student.name: MobileNetV3_smal", "there is no backbone 'MobileNetV3_smal'"),
    ("Arch.models.1.Student.dropout_prop: 0.1", "has no option 'dropout_prop'. Did you mean 'dropout_prob'"),
    ("Arch.models.0.Teacher.pretrained: false", "Arch.teacher needs 'pretrained'"),
    ("Arch.models.1: {Student: {name: SmallResNet, class_num: 4, lr_mult_list: [1, 1]}}",
     "lr_mult_list of SmallResNet takes 4 values .* found 2")])
def test_what_only_the_native_classes_know_is_refused_by_them_with_the_old_file_named(v2, change, message, tmp_path, make_list):
    from ssld import build, build_networks
    from ssld.timetable import Timetable
    make_list(tmp_path, "train", 8, size=36)
    config = Config(v2(change).data, "old.yaml")
    with pytest.raises(InputError, match=f"^old.yaml.*{message}"):
        settings = build.build_settings(config)
        build.build_train_loader(config, settings)
        build.build_schedule(config, Timetable.uniform(settings.epochs, 2))
        network = build.build_student(config)
        build.build_optimizer(config, network, 0.1)
        build_networks.build_frozen_network(config)
