from __future__ import annotations

import copy
import shutil

import numpy as np
import paddle
import pytest

from ssld import build, build_data, build_teacher
from ssld.config import Config
from ssld.errors import InputError
from ssld.models.weights import save_weights
from ssld.models.zoo import build_network
from ssld.teachers.record import TeacherRecord


@pytest.fixture
def trainer_of(tiny, changed):
    """Builds the trainer of the tiny run after changes such as {"Global.epochs": 2}; None removes a setting."""
    return lambda changes=(), data=tiny: build.build_trainer(Config(changed(data, changes), "run.yaml"))


@pytest.fixture
def taught(tiny, tmp_path):
    """The tiny run with a teacher whose weights exist, and a loss on it."""
    save_weights(build_network("SmallResNet", 4, width=8), tmp_path / "teacher.pdparams")
    tiny["Arch"]["teacher"] = {"name": "SmallResNet", "class_num": 4, "width": 8, "engine": "eager",
                               "pretrained": str(tmp_path / "teacher")}
    tiny["Loss"]["Train"] = [{"JSDivLoss": {}}]
    return tiny


def refuse(trainer_of, changes, message):
    with pytest.raises(InputError, match=message):
        trainer_of(changes)


def test_the_tiny_run_builds_and_its_config_stays_as_it_was(trainer_of, taught):
    before = copy.deepcopy(taught)
    trainer = trainer_of(data=taught)
    assert taught == before
    assert trainer.total_steps == 3 and trainer.model.names == ["JSDivLoss"] and trainer.model.teacher is not None
    assert all(parameter.stop_gradient for parameter in trainer.model.teacher.engine.network.parameters())


@pytest.mark.parametrize("key, value, message", [
    ("Optimzer", {}, "there is no section 'Optimzer'. Did you mean 'Optimizer'"),
    ("Global.epoch", 3, "Global has no option 'epoch'. Did you mean 'epochs'"),
    ("Arch.studnt", {}, "Arch has no option 'studnt'. Did you mean 'student'"),
    ("Arch.student.widht", 3, "has no option 'widht'. Did you mean 'width'"),
    ("Arch.student.name", "SmalResNet", "there is no backbone 'SmalResNet'. Did you mean 'SmallResNet'"),
    ("Arch.student.engine", "auto", "engine cannot be 'auto'"),
    ("Loss.Tain", [], "Loss has no option 'Tain'. Did you mean 'Train'"),
    ("Loss.Train", [{"CEloss": {}}], r"Loss\.Train\[0\]: there is no method 'CEloss'. Did you mean 'CELoss'"),
    ("Loss.Train", [{"CELoss": {"epslon": 1}}], r"Loss\.Train\[0\]\.CELoss has no option 'epslon'. Did you mean 'epsilon'"),
    ("Loss.Train", [{"CELoss": {"weight": -1}}], r"Loss\.Train\[0\]\.CELoss: weight must be a number of at least 0"),
    ("Loss.Train", [{"CELoss": {}, "JSDivLoss": {}}], r"Loss\.Train\[0\]: expected one loss"),
    ("Loss.Train", [], "Loss.Train is empty"),
    ("Optimizer.momntum", 0.9, "Optimizer.Momentum has no option 'momntum'. Did you mean 'momentum'"),
    ("Optimizer.name", "Momentun", "there is no optimizer 'Momentun'. Did you mean 'Momentum'"),
    ("Optimizer.lr.learning_rte", 1, "lr.Cosine has no option 'learning_rte'. Did you mean 'learning_rate'"),
    ("Optimizer.lr", {}, "lr.Cosine needs the option 'learning_rate'"),
    ("DataLoader.Evl", {}, "DataLoader has no option 'Evl'. Did you mean 'Eval'"),
    ("DataLoader.Train.samplr", {}, "DataLoader.Train has no option 'samplr'. Did you mean 'sampler'"),
    ("DataLoader.Train.dataset.image_rot", "", "ImageNetDataset has no option 'image_rot'. Did you mean 'image_root'"),
    ("DataLoader.Train.sampler.batchsize", 1, "sampler has no option 'batchsize'. Did you mean 'batch_size'"),
    ("DataLoader.Train.sampler.seed", 1, "sampler has no option 'seed'"),
    ("DataLoader.Train.sampler.name", "RASample", "there is no sampler 'RASample'. Did you mean 'RASampler'"),
    ("DataLoader.Train.sampler.repeats", 3, "sampler has no option 'repeats'"),
    ("DataLoader.Eval.sampler.name", "RASampler", "Eval.sampler: RASampler is for training on images as they come, not here"),
    ("DataLoader.Train.loader", {"num_worker": 1}, "loader has no option 'num_worker'. Did you mean 'num_workers'"),
    ("Metric.Eval", [{"TopkAc": {}}], "expected TopkAcc"),
    ("Metric.Eval", [{"TopkAcc": {"topc": [1]}}], "TopkAcc has no option 'topc'"),
    ("Metric.Evall", [], "Metric has no option 'Evall'. Did you mean 'Eval'"),
    ("AMP.use_am", True, "AMP has no option 'use_am'. Did you mean 'use_amp'"),
    ("EMA.decy", 0.9, "EMA has no option 'decy'. Did you mean 'decay'"),
])
def test_an_unknown_section_option_or_name_is_refused_with_file_place_and_nearest_name(trainer_of, key, value, message):
    refuse(trainer_of, {key: value}, f"^run.yaml: .*{message}")


@pytest.mark.parametrize("key", ["Global.output_dir", "Arch.student.class_num", "DataLoader.Train.sampler.batch_size"])
def test_a_setting_that_is_needed_is_asked_for(trainer_of, tiny, key):
    *parents, last = key.split(".")
    place = tiny
    for part in parents:
        place = place[part]
    del place[last]
    refuse(trainer_of, {}, f"^run.yaml: .*needs the option '{last}'")


def test_a_teacher_without_weights_is_refused(trainer_of, taught):
    del taught["Arch"]["teacher"]["pretrained"]
    refuse(trainer_of, {}, "Arch.teacher needs 'pretrained'.*random weights would teach noise")


def test_a_missing_teacher_file_is_refused_before_any_list_is_opened(trainer_of, taught):
    refuse(trainer_of, {"Arch.teacher.pretrained": "nowhere", "DataLoader.Train.dataset.cls_label_path": "gone.txt"},
           "Arch.teacher.pretrained: there are no weights at 'nowhere'")


def test_teacher_weights_that_do_not_fit_name_file_counts_and_examples(trainer_of, taught):
    refuse(trainer_of, {"Arch.teacher.depth": 14},
           r"(?s)Arch\.teacher\.pretrained: .*teacher\.pdparams does not fit SmallResNet: \d+ of \d+ tensors match\..*"
           r"only in the network \(\d+\): .*stage1\.1\.conv1")


def test_a_teacher_with_other_class_count_than_the_student_is_refused_naming_both(trainer_of, taught):
    refuse(trainer_of, {"Arch.student.class_num": 5}, "SmallResNet has class_num 5, SmallResNet has 4")


def test_a_loss_on_the_teacher_is_refused_without_one(trainer_of):
    refuse(trainer_of, {"Loss.Train": [{"JSDivLoss": {}}]}, "JSDivLoss compares with a teacher, but there is none")


def test_a_label_beyond_the_classes_is_refused_with_its_line(trainer_of, tmp_path):
    file = tmp_path / "train.txt"
    file.write_text(file.read_text().replace("train/6.jpg 2", "train/6.jpg 9"))
    refuse(trainer_of, {}, r"train\.txt:7 \(train/6\.jpg\): label 9 is out of range, SmallResNet has 4 classes")


def test_labels_of_the_evaluation_list_are_checked_too(trainer_of, tmp_path):
    (tmp_path / "val.txt").write_text("val/0.jpg 0\nval/1.jpg 4\n")
    refuse(trainer_of, {}, r"val\.txt:2 .*label 4 is out of range")


def test_a_loss_on_labels_is_refused_when_some_are_missing(trainer_of, tmp_path):
    file = tmp_path / "train.txt"
    file.write_text(file.read_text().replace("train/6.jpg 2", "train/6.jpg").replace("train/7.jpg 3", "train/7.jpg -1"))
    refuse(trainer_of, {}, r"CELoss needs labels, but 2 of 24 images in .*train\.txt have none")


def test_unlabelled_images_are_welcome_where_only_a_teacher_is_needed(trainer_of, taught, tmp_path, capsys):
    (tmp_path / "train.txt").write_text("".join(f"train/{i}.jpg\n" for i in range(24)))
    assert trainer_of(data=taught).loader.dataset.manifest.unlabelled == 24
    assert "24 of 24 images are unlabelled" in capsys.readouterr().out


def test_an_evaluation_image_in_the_training_list_is_refused_with_both_lines(trainer_of, tmp_path):
    with open(tmp_path / "train.txt", "a") as file:
        file.write("val/3.jpg 0\n")
    refuse(trainer_of, {}, r"(?s)1 images of the training list.*train\.txt:25 \(val/3\.jpg\) is .*val\.txt:4 \(val/3\.jpg\)")


def test_an_evaluation_image_under_another_name_is_refused_too(trainer_of, tmp_path):
    shutil.copy(tmp_path / "val" / "3.jpg", tmp_path / "train" / "5.jpg")
    refuse(trainer_of, {}, r"(?s)train\.txt:6 \(train/5\.jpg\) is .*val\.txt:4")


@pytest.mark.parametrize("change, message", [
    ({"DataLoader.Train.sampler.batch_size": 25}, r"train\.txt: the list has 24 images, fewer than one batch.*zero steps"),
    ({"Global.update_freq": 4}, "update_freq 4 is more than the 3 batches.*zero steps")])
def test_an_epoch_of_zero_steps_is_refused(trainer_of, change, message):
    refuse(trainer_of, change, message)


def test_an_incomplete_batch_counts_when_it_is_not_dropped(trainer_of):
    assert trainer_of({"DataLoader.Train.sampler": {"batch_size": 25, "drop_last": False}}).total_steps == 1


def test_an_empty_list_is_refused(trainer_of, tmp_path):
    (tmp_path / "train.txt").write_text("\n")
    refuse(trainer_of, {}, "train.txt lists no image")


def test_missing_images_are_left_out_with_a_warning_up_to_the_limit(trainer_of, tmp_path, capsys):
    (tmp_path / "train" / "6.jpg").unlink()
    trainer = trainer_of({"DataLoader.Train.dataset.max_bad_fraction": 0.05})
    assert len(trainer.loader.dataset) == 23 and "train/6.jpg" not in trainer.loader.dataset.manifest.path
    assert "train.txt:7 (train/6.jpg)" in capsys.readouterr().err


def test_too_many_missing_images_are_an_error_that_lists_them(trainer_of, tmp_path):
    (tmp_path / "train" / "6.jpg").unlink()
    refuse(trainer_of, {}, r"(?s)1 of 24 images of .*train\.txt do not exist.*train\.txt:7 \(train/6\.jpg\).*max_bad_fraction")


@pytest.fixture
def constant_teacher(taught, tmp_path):
    """A teacher that answers class 0 whatever it sees."""
    network = build_network("SmallResNet", 4, width=8)
    network.fc.weight.set_value(paddle.zeros_like(network.fc.weight))
    network.fc.bias.set_value(paddle.to_tensor(np.float32([1, 0, 0, 0])))
    save_weights(network, tmp_path / "teacher.pdparams")
    return taught


def check_teacher(config):
    teacher = build.build_teacher(config)
    return build_teacher.check_teacher(config, teacher, TeacherRecord("absent", teacher.identity), build.evaluator(config))


def test_a_teacher_at_chance_level_is_warned_about_with_its_accuracy(constant_teacher, capsys):
    config = Config(constant_teacher, "run.yaml")
    evaluation = check_teacher(config)
    said = capsys.readouterr()
    assert evaluation.accuracy["top1"] == 0.3                   # classes 0, 1 have 3 of the 10 images, 2 and 3 have 2
    assert "top1 30.00 %" in said.out and "warning: top-1 0.3000 is hardly above chance" in said.err


def test_a_teacher_below_min_top1_stops_the_run(constant_teacher):
    constant_teacher["Arch"]["teacher"]["min_top1"] = 0.5
    config = Config(constant_teacher, "run.yaml")
    with pytest.raises(InputError, match="reaches top-1 0.3000, less than min_top1 0.5"):
        check_teacher(config)


def test_a_good_teacher_is_not_warned_about(constant_teacher, tmp_path, capsys):
    (tmp_path / "val.txt").write_text("val/0.jpg 0\nval/4.jpg 0\n")
    config = Config(constant_teacher, "run.yaml")
    assert check_teacher(config).accuracy["top1"] == 1.0
    assert not capsys.readouterr().err


def test_learning_rate_multipliers_reach_the_student_and_a_wrong_length_is_refused(trainer_of):
    student = trainer_of({"Arch.student.lr_mult_list": [0.1, 0.2, 0.3, 0.4]}).model.student
    assert student.stage3[0].conv1[0].weight.optimize_attr["learning_rate"] == 0.4
    refuse(trainer_of, {"Arch.student.lr_mult_list": [0.1, 0.2]}, "lr_mult_list of SmallResNet takes 4 values.*found 2")


def test_the_seed_decides_the_students_first_weights(trainer_of):
    first, same, other = (trainer_of({"Global.seed": seed}).model.student.fc.weight.numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_iter_per_epoch_replaces_the_length_of_the_list(trainer_of):
    assert trainer_of({"Global.iter_per_epoch": 7, "Global.epochs": 2}).total_steps == 14


def test_amp_on_the_cpu_is_warned_about(trainer_of, capsys):
    trainer_of({"AMP.use_amp": True})
    assert "AMP.use_amp has no effect on the CPU" in capsys.readouterr().err


def test_top_1_is_always_measured():
    assert build_data._topk(Config({"Metric": {"Eval": [{"TopkAcc": {"topk": [3]}}]}})) == (1, 3)
    assert build_data._topk(Config({})) == (1, 5)


@pytest.mark.parametrize("key, value, message", [
    ("Global.epochs", 0, "Global.epochs must be a whole number of at least 1"),
    ("Arch.student.lr_mult_list", 0.1, "lr_mult_list of SmallResNet must be a list of numbers"),
    ("Arch.student.trainable", ["fd"], "no parameter begins with 'fd'"),
    ("EMA.decay", 1.0, r"EMA.decay must lie in \[0, 1\)"),
    ("AMP.level", "O3", "AMP.level cannot be 'O3'")])
def test_a_wrong_value_is_refused_with_the_file(trainer_of, key, value, message):
    refuse(trainer_of, {key: value}, f"^run.yaml: .*{message}")


@pytest.mark.parametrize("key, value, message", [
    ("Loss.Train", [{"JSDivLoss": {"epsilon": 0.1}}], r"Loss\.Train\[0\]\.JSDivLoss has no option 'epsilon'"),
    ("Loss.Train", [{"SoftCELoss": {"epsilon": 0.1}}], r"Loss\.Train\[0\]\.SoftCELoss has no option 'epsilon'"),
    ("Arch.teacher.trainable", ["classifier"], r"Arch\.teacher has no option 'trainable'"),
    ("Arch.teacher.lr_mult_list", [1, 1, 1, 1], r"Arch\.teacher has no option 'lr_mult_list'")])
def test_a_soft_target_is_never_smoothed_and_a_teacher_never_trained(trainer_of, taught, key, value, message):
    refuse(trainer_of, {key: value}, message)


def test_images_are_mixed_where_the_config_says_so_and_never_in_an_evaluation(trainer_of, taught):
    mixing = [{"MixupOperator": {"alpha": 0.2}}]
    batch = next(trainer_of({"DataLoader.Train.dataset.batch_transform_ops": mixing}).loader.batches(0, 1))
    assert set(batch) >= {"partner", "share"} and batch["label"].numpy().dtype == np.int64
    refuse(trainer_of, {"DataLoader.Eval.dataset.batch_transform_ops": mixing},
           "DataLoader.Eval.dataset: batch_transform_ops mixes images, which an evaluation must not")


def test_a_smoothed_ground_truth_loss_beside_the_teacher_is_refused_when_labels_are_missing(trainer_of, taught, tmp_path):
    file = tmp_path / "train.txt"
    file.write_text(file.read_text().replace("train/6.jpg 2", "train/6.jpg"))
    refuse(trainer_of, {"Loss.Train": [{"JSDivLoss": {}}, {"CELoss": {"epsilon": 0.1}}]},
           r"CELoss needs labels, but 1 of 24 images in .*train\.txt have none")


def test_a_finetuning_list_with_unlabelled_rows_is_accepted_and_noted(trainer_of, taught, tmp_path, capsys):
    save_weights(build_network("SmallResNet", 4, width=4), tmp_path / "distilled.pdparams")
    file = tmp_path / "train.txt"
    file.write_text(file.read_text().replace("train/6.jpg 2", "train/6.jpg -1"))
    assert trainer_of({"Arch.student.pretrained": str(tmp_path / "distilled")}).loader.dataset.manifest.unlabelled == 1
    assert "train.txt: 1 of 24 images are unlabelled" in capsys.readouterr().out


@pytest.mark.parametrize("key, value, message", [
    ("Optimizer.lr.learning_rate", float("inf"), "learning_rate must be a number above 0, not inf"),
    ("Optimizer.momentum", 1.5, r"momentum must lie in \[0, 1\), not 1.5"),
    ("Optimizer.clip_norm", -1, "clip_norm must be a number above 0"),
    ("AMP.scale_loss", 0, "AMP.scale_loss must be a number above 0")])
def test_a_value_out_of_range_is_refused_with_the_file(trainer_of, key, value, message):
    refuse(trainer_of, {key: value}, f"^run.yaml: .*{message}")


@pytest.mark.parametrize("change, message", [
    ({"Optimizer": {"lr": 0.1}}, r"Optimizer\.lr: expected options as 'key: value', found 0\.1"),
    ({"Optimizer": {"name": ["Momentum"]}}, r"Optimizer: there is no optimizer '\['Momentum'\]'"),
    ({"Loss": {"Train": [{"CELoss": 3}]}}, r"Loss\.Train\[0\]\.CELoss: expected options as 'key: value', found 3"),
    ({"Metric": {"Eval": [{"TopkAcc": {"topk": 3}}]}}, r"TopkAcc\.topk must be a list of numbers, not 3"),
    ({"Global": {"output_dir": 3}}, r"Global: output_dir must be a text, not 3"),
    ({"Global": {"epochs": "2"}}, r"Global: epochs must be a whole number, not '2'")])
def test_a_value_of_another_kind_is_refused_by_its_place(tiny, change, message):
    for section, settings in change.items():
        tiny.setdefault(section, {}).update(settings)
    with pytest.raises(InputError, match=message):
        build.build_trainer(Config(tiny, "run.yaml"))


@pytest.mark.parametrize("part", ["dataset", "sampler", "loader"])
def test_a_part_of_the_data_loader_that_holds_no_options_is_refused(tiny, part):
    tiny["DataLoader"]["Train"][part] = "x"
    with pytest.raises(InputError, match=rf"DataLoader\.Train\.{part}: expected options as 'key: value', found 'x'"):
        build.build_trainer(Config(tiny, "run.yaml"))
