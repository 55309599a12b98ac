"""What PaddleClas's losses compute, and what the terms compute that they become."""
from __future__ import annotations

import numpy as np
import paddle
import pytest
import yaml
from paddle.nn import functional as F

from ssld.build import build_terms
from ssld.config import Config
from ssld.errors import InputError
from ssld.methods import METHODS
from ssld.outputs import Outputs
from ssld.paddleclas_config import losses


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    student, teacher = (paddle.to_tensor(rng.normal(0, 3, (6, 4)).astype(np.float32)) for _ in range(2))
    return student, teacher, paddle.to_tensor(rng.integers(0, 4, 6))


@pytest.fixture
def total(v2, batch):
    """The total loss of a translated Loss.Train list on the batch."""
    def total(entries) -> float:
        native = v2(f"Loss.Train: {yaml.safe_dump(entries, default_flow_style=True)}").data
        student, teacher, label = batch
        return sum(float(term.weight * term.method(Outputs(student), Outputs(teacher), {"label": label}))
                   for term in build_terms(Config(native, "old.yaml")))
    return total


def dml(student, teacher) -> float:
    p, q = F.softmax(student), F.softmax(teacher)
    return float(F.kl_div(paddle.log(p), q, reduction="batchmean") + F.kl_div(paddle.log(q), p, reduction="batchmean")) / 2


def soft_ce(student, teacher) -> float:
    return float(F.cross_entropy(student, F.softmax(teacher), soft_label=True))


PAIR = [["Student", "Teacher"]]


def test_dml_is_the_halved_sum_of_both_divergences(total, batch):
    assert total([{"DistillationDMLLoss": {"weight": 1.0, "model_name_pairs": PAIR, "act": "softmax"}}]) == pytest.approx(
        dml(*batch[:2]), rel=1e-5)


def test_ce_between_models_takes_the_teachers_probabilities_as_target(total, batch):
    assert total([{"DistillationCELoss": {"weight": 1.0, "model_name_pairs": PAIR, "key": "logits"}}]) == pytest.approx(
        soft_ce(*batch[:2]), rel=1e-5)


def test_gtce_is_cross_entropy_with_the_labels_smoothed_by_epsilon(total, batch):
    entry = {"weight": 1.0, "model_names": ["Student"]}
    assert total([{"DistillationGTCELoss": entry}]) == pytest.approx(float(F.cross_entropy(batch[0], batch[2])), rel=1e-5)
    smooth = F.cross_entropy(batch[0], F.label_smooth(F.one_hot(batch[2], 4), epsilon=0.1), soft_label=True)
    assert total([{"DistillationGTCELoss": {**entry, "epsilon": 0.1}}]) == pytest.approx(float(smooth), rel=1e-5)


@pytest.mark.parametrize("options, temperature", [({}, 4), ({"temperature": 2}, 2)])
def test_kl_between_models_keeps_its_temperature_of_4_and_t_squared(total, batch, options, temperature):
    student, teacher = (logits / temperature for logits in batch[:2])
    expected = F.kl_div(F.log_softmax(student), F.softmax(teacher), reduction="sum") * temperature ** 2 / len(student)
    assert total([{"DistillationKLDivLoss": {"weight": 1.0, "model_name_pairs": PAIR, "key": "logits", **options}}]
                 ) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("options, alpha, beta, temperature", [({}, 1, 1, 1), ({"alpha": 0.5, "beta": 8.0, "temperature": 4.0},
                                                                              0.5, 8, 4)])
def test_dkd_keeps_its_weights_of_1(total, batch, options, alpha, beta, temperature):
    own = F.one_hot(batch[2], 4)
    (two_s, other_s), (two_t, other_t) = (
        (paddle.stack([(p * own).sum(-1), (p * (1 - own)).sum(-1)], -1), F.softmax(z - 1000 * own))
        for z, p in ((z / temperature, F.softmax(z / temperature)) for z in batch[:2]))
    divergences = (F.kl_div(paddle.log(two_s), two_t, reduction="sum"),
                   F.kl_div(paddle.log(other_s + own), other_t, reduction="sum"))
    expected = temperature ** 2 / 6 * float(alpha * divergences[0] + beta * divergences[1])
    assert total([{"DistillationDKDLoss": {"weight": 1.0, "model_name_pairs": PAIR, "use_target_as_gt": False, **options}}]
                 ) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("options, beta, gamma", [({}, 1, 1), ({"beta": 2.0, "gamma": 0.5}, 2, 0.5)])
def test_dist_is_the_sum_of_both_correlations(total, batch, options, beta, gamma):
    student, teacher = (F.softmax(logits).numpy() for logits in batch[:2])
    inter, intra = (1 - np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(*rows)])
                    for rows in ((student, teacher), (student.T, teacher.T)))
    assert total([{"DistillationDISTLoss": {"weight": 1.0, "model_name_pairs": PAIR, **options}}]) == pytest.approx(
        beta * inter + gamma * intra, rel=1e-4)


@pytest.mark.parametrize("old, options", [("MixCELoss", {}), ("MixCELoss", {"epsilon": 0.1}), ("SoftTargetCrossEntropy", {})])
def test_losses_for_mixed_pictures_are_cross_entropy_which_reads_mixed_labels(v2, old, options):
    entry = yaml.safe_dump({old: {"weight": 1.0, **options}}, default_flow_style=True).strip()
    assert v2("Arch: {name: ResNet18, class_num: 4}", f"Loss.Train: [{entry}]", "Metric.Eval: null").data["Loss"] == {
        "Train": [{"CELoss": {"weight": 1.0, **options}}]}


def test_weights_and_pairs_always_count(total, batch):
    """PaddleClas ignored the weight of a single loss, and took the first of its pairs alone."""
    once = dml(*batch[:2])
    assert total([{"DistillationDMLLoss": {"weight": 3.0, "model_name_pairs": PAIR}}]) == pytest.approx(3 * once, rel=1e-5)
    assert total([{"DistillationDMLLoss": {"weight": 3.0, "model_name_pairs": PAIR * 2}}]) == pytest.approx(6 * once, rel=1e-5)
    assert total([{"DistillationGTCELoss": {"weight": 0.5, "model_names": ["Student"]}},
                  {"DistillationCELoss": {"weight": 2.0, "model_name_pairs": PAIR}}]) == pytest.approx(
        0.5 * float(F.cross_entropy(batch[0], batch[2])) + 2 * soft_ce(*batch[:2]), rel=1e-5)


def test_the_notice_says_that_a_single_losss_weight_and_its_further_pairs_count(v2, said):
    single = said(v2("Loss.Train.0", f"Loss.Train.0.DistillationDMLLoss.model_name_pairs: {PAIR * 2}"))
    assert "DistillationDMLLoss.weight 2.0 counts; PaddleClas ignored the weight of a single loss" in single
    assert "all 2 pairs" in single and "the first alone" in single
    assert "ignored the weight" not in said(v2())


def test_a_symmetric_loss_takes_its_pair_in_either_order_and_others_do_not(v2):
    swapped = "model_name_pairs: [[Teacher, Student]]"
    assert v2(f"Loss.Train.1.DistillationDMLLoss.{swapped}").data == v2().data
    with pytest.raises(InputError, match=r"in the pair \['Teacher', 'Student'\] nobody learns from a frozen model"):
        v2(f"Loss.Train.1: {{DistillationCELoss: {{weight: 1.0, {swapped}}}}}")


def test_the_pairs_decide_who_teaches_whatever_the_models_are_called(v2):
    translation = v2("Arch.models: [Small: {name: MobileNetV1, class_num: 4}, Big: {name: ResNet18, class_num: 4}]",
                     "Arch.freeze_params_list: [false, true]", "Metric.Eval: null",
                     "Loss.Train: [DistillationCELoss: {weight: 1.0, model_name_pairs: [[Small, Big]]}]")
    assert {role: part["name"] for role, part in translation.data["Arch"].items()} == {"student": "MobileNetV1",
                                                                                       "teacher": "ResNet18"}


def test_a_loss_on_the_labels_teaches_no_frozen_model(v2, said):
    translation = v2("Loss.Train.0.DistillationGTCELoss.model_names: [Student, Teacher]")
    assert translation.data["Loss"] == v2().data["Loss"]
    assert "model_names Teacher (that model is frozen" in said(translation)
    with pytest.raises(InputError, match="no loss is left that trains Student"):
        v2("Loss.Train.1", "Loss.Train.0.DistillationGTCELoss.model_names: [Teacher]")


BETWEEN = "weight: 1.0, model_name_pairs: [[Student, Teacher]]"


@pytest.mark.parametrize("entry, message", [
    ("{DistillationDistanceLoss: {weight: 1.0, key: blocks5}}", "'DistillationDistanceLoss' here. There are methods for CE"),
    ("{ReviewKDLoss: {weight: 1.0}}", "'ReviewKDLoss' is not translated, since the method of that name here has other options"),
    ("{DistillationDMLLos: {weight: 1.0}}", "Did you mean 'DistillationDMLLoss'"),
    (f"{{DistillationDMLLoss: {{{BETWEEN}, key: blocks5}}}}", "key: 'blocks5' is not supported"),
    (f"{{DistillationDMLLoss: {{{BETWEEN}, act: sigmoid}}}}", "act: 'sigmoid' is not supported"),
    ("{DistillationDMLLoss: {weight: 1.0}}", r"model_name_pairs must be a list of \[student, teacher\] pairs, not None"),
    ("{DistillationDMLLoss: {weight: 1.0, model_name_pairs: [Student, Teacher]}}", "model_name_pairs must be a list"),
    ("{DistillationDMLLoss: {weight: 1.0, model_name_pairs: [[Student, Techer]]}}", "'Techer'. Did you mean 'Teacher'"),
    ("{DistillationDMLLoss: {weight: 1.0, model_name_pairs: [[Student, Student]]}}", "nobody learns from a frozen model"),
    (f"{{DistillationCELoss: {{{BETWEEN}, epsilon: 0.1}}}}", "epsilon: 0.1 is not supported"),
    (f"{{DistillationCELoss: {{{BETWEEN}, use_hard_label: true}}}}", "use_hard_label: True"),
    ("{DistillationGTCELoss: {weight: 1.0, model_names: [Studnt]}}", "no model 'Studnt'. Did you mean 'Student'"),
    ("{DistillationGTCELoss: {weight: 1.0, model_names: Student}}", "model_names must be a list"),
    ("{DistillationGTCELoss: {wait: 1.0, model_names: [Student]}}", "has no option 'wait'. Did you mean 'weight'"),
    ("[CELoss]", "expected one name with its settings"), ("{A: {}, B: {}}", "expected one name with its settings")])
def test_a_loss_that_cannot_be_translated_is_refused_by_name(v2, entry, message):
    with pytest.raises(InputError, match=rf"^old.yaml: Loss.Train\[0\].*{message}"):
        v2(f"Loss.Train: [{entry}]")


def test_what_cannot_be_a_weight_is_refused_where_it_stands(total):
    with pytest.raises(InputError, match=r"^old.yaml: Loss.Train\[0\].JSDivLoss: weight must be a number of at least 0"):
        total([{"DistillationDMLLoss": {"weight": "x", "model_name_pairs": PAIR}}])


@pytest.mark.parametrize("old, options, native", [
    ("DistillationKLDivLoss", {}, {"KDLoss": {"weight": 0.9, "temperature": 4}}),
    ("DistillationKLDivLoss", {"temperature": 2}, {"KDLoss": {"weight": 0.9, "temperature": 2}}),
    ("DistillationDKDLoss", {"beta": 8.0}, {"DKDLoss": {"weight": 0.9, "temperature": 1.0, "alpha": 1.0, "beta": 8.0}}),
    ("DistillationDISTLoss", {}, {"DISTLoss": {"weight": 0.9, "beta": 1.0, "gamma": 1.0}})])
def test_a_loss_is_known_as_soon_as_its_method_is_registered(v2, old, options, native, monkeypatch):
    change = f"Loss.Train.1: {{{old}: {{weight: 0.9, model_name_pairs: [[Student, Teacher]], {str(options)[1:-1]}}}}}"
    assert v2(change).data["Loss"]["Train"][1] == native
    names = [name for name in METHODS.names() if name not in native]
    monkeypatch.setattr(losses.METHODS, "names", lambda: names)
    with pytest.raises(InputError, match=f"loss '{old}' here. There are methods for CELoss, DistillationGTCELoss"):
        v2(change)


def test_the_label_of_dkd_is_the_true_one(v2):
    with pytest.raises(InputError, match="use_target_as_gt: True is not supported"):
        v2("Loss.Train: [DistillationDKDLoss: {weight: 1.0, model_name_pairs: [[Student, Teacher]], use_target_as_gt: true}]")
