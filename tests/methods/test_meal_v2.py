from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.distiller import Distiller, Term, check_needs
from ssld.errors import InputError
from ssld.methods import METHODS
from ssld.methods.meal_v2 import MEALV2Discriminator
from ssld.methods.soft_ce import SoftCELoss
from ssld.outputs import Outputs

FORMS = ["log_probabilities", "probabilities", "logits"]


class Answer(Outputs):
    """What a live teacher says, which is never mixed here."""

    @property
    def unmixed(self):
        return self


@pytest.fixture
def layers_of():
    """The layers of a discriminator as numpy arrays."""
    return lambda method: [(layer.weight.numpy().astype(np.float64), layer.bias.numpy().astype(np.float64))
                           for layer in method.discriminator if isinstance(layer, nn.Linear)]


def tensor(array, dtype="float32", **options):
    return paddle.to_tensor(np.asarray(array), dtype=dtype, **options)


def build(class_num: int, inputs: str, seed: int = 0) -> MEALV2Discriminator:
    paddle.seed(seed)
    return MEALV2Discriminator(class_num, inputs)


def read(losses, logits, inputs: str):
    return {"logits": logits, "log_probabilities": losses.log_softmax(logits),
            "probabilities": np.exp(losses.log_softmax(logits))}[inputs]


@pytest.mark.parametrize("inputs", FORMS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_equals_the_formula_in_each_of_its_forms(oracle, layers_of, logits, inputs, seed):
    losses, method = oracle("losses"), build(10, inputs, seed)
    found = method(Answer(tensor(logits[0])), Answer(tensor(logits[1])), {})
    expected = losses.discriminator_loss(*(read(losses, z, inputs) for z in logits), layers_of(method))
    assert float(found) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("class_num, widths", [(1000, [125, 15, 2]), (8000, [1000, 125, 2]), (100, [12, 8, 2]),
                                               (2, [8, 8, 2])])
def test_the_widths_are_an_eighth_and_a_sixty_fourth_of_the_classes(layers_of, class_num, widths):
    layers = layers_of(MEALV2Discriminator(class_num))
    assert [weight.shape for weight, _ in layers] == list(zip([class_num, *widths], widths))
    for weight, bias in layers:
        assert max(np.abs(weight).max(), np.abs(bias).max()) <= len(weight) ** -0.5 * (1 + 1e-6)


@pytest.mark.parametrize("inputs", FORMS)
def test_student_and_discriminator_learn_and_the_teacher_does_not(inputs, logits):
    method = build(10, inputs, seed=1)
    student, teacher = (tensor(z, stop_gradient=False) for z in logits)
    method(Answer(student), Answer(teacher), {}).backward()
    assert np.abs(student.grad.numpy()).max() > 0 and teacher.grad is None
    assert all(np.abs(parameter.grad.numpy()).max() > 0 for parameter in method.parameters())


@pytest.mark.parametrize("inputs, least, most", [("probabilities", 0, 1e-3), ("log_probabilities", 0.01, 0.2),
                                                 ("logits", 0.01, 0.2)])
def test_the_gradient_of_the_probabilities_form_is_next_to_nothing_beside_the_similarity(inputs, least, most):
    shares = []
    for seed in range(9):
        rng = np.random.default_rng(seed)
        student, teacher = tensor(rng.normal(0, 2, (32, 1000)), stop_gradient=False), tensor(rng.normal(0, 2, (32, 1000)))
        norms = []
        for method in (build(1000, inputs, seed), SoftCELoss()):
            method(Answer(student), Answer(teacher), {}).backward()
            norms.append(float(student.grad.norm()))
            student.clear_grad()
        shares.append(norms[0] / norms[1])
    assert least < np.median(shares) < most


def test_the_term_for_both_partners_of_mixed_images_is_that_for_the_unmixed_labels(oracle, layers_of, logits):
    losses, method = oracle("losses"), build(10, "log_probabilities")
    student, own = (losses.log_softmax(z) for z in logits)
    theirs, share = own[np.random.default_rng(0).permutation(16)], 0.3
    of_both = [losses.discriminator_loss(student, labels, layers_of(method)) for labels in (own, theirs)]

    class Mixed(Outputs):
        unmixed = Answer(tensor(logits[1]))

    mixed = Mixed(tensor(np.log(share * np.exp(own) + (1 - share) * np.exp(theirs))))
    assert float(method(Answer(tensor(logits[0])), mixed, {})) == pytest.approx(
        share * of_both[0] + (1 - share) * of_both[1], rel=2e-5)


@pytest.mark.parametrize("inputs", FORMS[:2])
def test_a_constant_added_to_each_row_changes_nothing(logits, inputs):
    method, shift = build(10, inputs), np.linspace(-30, 30, 16)[:, None]
    plain, shifted = (float(method(Answer(tensor(logits[0] + by)), Answer(tensor(logits[1] - by)), {})) for by in (0, shift))
    assert shifted == pytest.approx(plain, rel=2e-5)


@pytest.mark.parametrize("inputs", FORMS)
def test_float16_logits_near_the_end_of_their_range_give_a_finite_loss(inputs):
    student = tensor([[60000, 0, -60000]], "float16", stop_gradient=False)
    loss = build(3, inputs)(Answer(student), Answer(tensor([[-60000, 0, 60000]], "float16")), {})
    loss.backward()
    assert np.isfinite(float(loss)) and np.isfinite(student.grad.numpy()).all()


def test_logits_are_refused_of_a_teacher_that_has_stored_labels_alone():
    class Stored:
        provides = frozenset({"probabilities"})

    check_needs(MEALV2Discriminator(10), Stored())
    check_needs(MEALV2Discriminator(10, "probabilities"), Stored())
    with pytest.raises(InputError, match="MEALV2Discriminator needs teacher logits, but this teacher provides only probab"):
        check_needs(MEALV2Discriminator(10, "logits"), Stored())


def test_the_discriminator_trains_with_the_student_and_is_no_part_of_it():
    class Live:
        provides = frozenset({"probabilities", "logits"})

    student = nn.Linear(4, 10)
    model = Distiller(student, Live(), [Term(SoftCELoss()), Term(MEALV2Discriminator(10))])
    assert len(model.parameters()) == len(student.parameters()) + 6
    assert len(student.state_dict()) == 2


def test_the_number_of_classes_comes_from_the_program():
    method = METHODS.build("MEALV2Discriminator", {"inputs": "logits"}, "run.yaml", class_num=10)
    assert method.needs == {"logits"} and method.discriminator[0].weight.shape == [10, 8]
    with pytest.raises(InputError, match="no option 'class_num'"):
        METHODS.build("MEALV2Discriminator", {"class_num": 10}, "run.yaml", class_num=10)


@pytest.mark.parametrize("options, message", [({"inputs": "probs"}, "inputs cannot be 'probs'"),
                                              ({"inputs": "logit"}, "Did you mean 'logits'")])
def test_another_form_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        MEALV2Discriminator(10, **options)
