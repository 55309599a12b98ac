from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.distiller import Distiller, Term, check_needs
from ssld.errors import InputError
from ssld.methods.base import Method
from ssld.methods.ce import CELoss
from ssld.methods.js import JSDivLoss
from ssld.models.freeze import Frozen
from ssld.models.small_resnet import SmallResNet
from ssld.outputs import Outputs


class Constant(Method):
    """A loss that is always 3."""

    def forward(self, student, teacher, batch):
        return student.logits.sum() * 0 + 3.0


class Of_Features(Method):
    """A loss that reads features of the teacher; its name holds an underscore."""

    needs = frozenset({"features"})

    def forward(self, student, teacher, batch):
        return student.logits.sum() * 0


class Stored:
    """A teacher that knows probabilities only."""

    provides = frozenset({"probabilities"})

    def __call__(self, batch):
        return Outputs(paddle.zeros([2, 4]))


class LayerTeacher(nn.Layer):
    """A teacher that is itself a Layer, with weights that would take a gradient."""

    provides = frozenset({"probabilities", "logits"})

    def __init__(self, class_num: int = 4):
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, class_num)

    def forward(self, batch):
        return Outputs(self.fc(batch["image"].flatten(1)))


@pytest.fixture
def student():
    paddle.seed(0)
    return SmallResNet(4, width=4)


@pytest.fixture
def batch():
    return {"image": paddle.ones([2, 3, 8, 8]), "label": paddle.to_tensor([0, 1])}


def test_a_method_on_features_refuses_a_teacher_with_probabilities_and_says_what_would_do(student):
    with pytest.raises(InputError, match="Of_Features needs teacher features, but this teacher provides only probabilities.*"
                                         "JSDivLoss"):
        Distiller(student, Stored(), [Term(Of_Features())])


def test_the_methods_proposed_instead_are_all_satisfied_with_that_teacher():
    with pytest.raises(InputError) as error:
        check_needs(Of_Features(), Stored())
    assert " CELoss" not in str(error.value)              # it would ignore the teacher


def test_a_method_on_a_teacher_is_refused_without_one(student):
    with pytest.raises(InputError, match="JSDivLoss compares with a teacher, but there is none. Add Arch.teacher"):
        Distiller(student, None, [Term(JSDivLoss())])


def test_a_distiller_without_any_term_is_refused(student):
    with pytest.raises(InputError, match="Loss.Train is empty"):
        Distiller(student, None, [])


def test_the_weight_counts_also_when_there_is_one_term_and_the_log_shows_the_bare_loss(student, batch):
    losses = Distiller(student, None, [Term(Constant(), weight=2.0)])(batch)
    assert float(losses.total) == 6.0 and float(losses.parts["Constant"]) == 3.0


def test_weighted_terms_add_up(student, batch):
    terms = [Term(Constant(), weight=weight) for weight in (2.0, 0.5, 0)]
    assert float(Distiller(student, None, terms)(batch).total) == 7.5


def test_the_warm_up_grows_linearly_from_0_to_the_weight(student, batch):
    term = Term(Constant(), weight=2.0, warmup_epochs=4)
    assert [term.weight_at(epoch) for epoch in (0, 1, 2.5, 4, 9)] == [0, 0.5, 1.25, 2, 2]
    distiller = Distiller(student, None, [term])
    distiller.epoch = 1.0
    assert float(distiller(batch).total) == 1.5


@pytest.mark.parametrize("by_epoch, shares", [(True, [0, 1, 1, 2, 4, 4]), ("from_1", [1, 2, 2, 3, 4, 4])])
def test_the_warm_up_may_grow_at_the_beginning_of_each_epoch(by_epoch, shares):
    term = Term(Constant(), weight=2.0, warmup_epochs=4, warmup_by_epoch=by_epoch)
    found = [term.weight_at(epoch) for epoch in (0.99, 1, 1.5, 2, 4, 9)]
    assert found == [2.0 * share / 4 for share in shares]


def test_a_warm_up_of_one_epoch_leaves_the_first_one_out_unless_it_counts_from_1():
    assert Term(Constant(), warmup_epochs=1, warmup_by_epoch=True).weight_at(0.5) == 0
    assert Term(Constant(), warmup_epochs=1, warmup_by_epoch="from_1").weight_at(0) == 1


def test_a_misspelt_way_of_counting_epochs_is_refused():
    with pytest.raises(InputError, match="warmup_by_epoch cannot be 'from1'. Did you mean 'from_1'"):
        Term(Constant(), warmup_epochs=1, warmup_by_epoch="from1")


@pytest.mark.parametrize("options", [{"weight": -1}, {"weight": "1"}, {"weight": float("nan")}, {"warmup_epochs": -1}])
def test_a_negative_weight_or_warm_up_is_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Term(Constant(), **options)


def test_terms_of_one_class_get_names_of_their_own(student, batch):
    terms = [Term(Constant()), Term(CELoss()), Term(Constant()), Term(Constant())]
    assert list(Distiller(student, None, terms)(batch).parts) == ["Constant", "CELoss", "Constant_2", "Constant_3"]
    assert Distiller(student, LayerWithFeatures(), [Term(Of_Features()), Term(Of_Features())]).names == [
        "Of_Features", "Of_Features_2"]


class LayerWithFeatures(LayerTeacher):
    provides = frozenset({"features"})


def test_teacher_and_student_with_other_class_counts_are_refused_naming_both(student, batch):
    with pytest.raises(InputError, match="number of classes: 7 and 4"):
        Distiller(student, LayerTeacher(7), [Term(JSDivLoss())])(batch)


def test_the_teacher_is_no_part_of_the_distiller_even_when_it_is_a_layer(student):
    teacher = LayerTeacher()
    teacher.eval()
    distiller = Distiller(student, teacher, [Term(JSDivLoss())])
    assert set(distiller.state_dict()) == {f"student.{name}" for name in student.state_dict()}
    assert not {id(p) for p in teacher.parameters()} & {id(p) for p in distiller.parameters()}
    distiller.train()
    assert not teacher.training


def test_no_gradient_reaches_the_teacher(student, batch):
    teacher = LayerTeacher()
    Distiller(student, teacher, [Term(JSDivLoss())])(batch).total.backward()
    assert teacher.fc.weight.grad is None and student.fc.weight.grad is not None


def test_parameters_of_a_method_train_and_are_saved_with_the_student(student):
    method = Constant()
    method.projector = nn.Linear(2, 2)
    assert "methods.0.projector.weight" in Distiller(student, None, [Term(method)]).state_dict()


def test_the_loss_is_that_of_the_method_on_the_students_and_the_teachers_logits(student, batch, oracle):
    teacher = LayerTeacher()
    student.eval()
    losses = Distiller(student, teacher, [Term(JSDivLoss())])(batch)
    expected = oracle("losses").symmetric_kl(student(batch["image"]).numpy(), teacher(batch).logits.numpy())
    assert float(losses.total) == pytest.approx(expected, rel=2e-5)
    np.testing.assert_array_equal(losses.logits.numpy(), student(batch["image"]).numpy())


def test_training_mode_leaves_the_frozen_part_in_evaluation_mode(student):
    distiller = Distiller(student, None, [Term(CELoss())], Frozen(student, ["classifier"]))
    distiller.train()
    assert student.fc.training and not student.stem.training and not student.stage1[0].conv1[1].training
