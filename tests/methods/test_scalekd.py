from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.distiller import Distiller, Term
from ssld.errors import InputError
from ssld.methods.base import Cost, Site
from ssld.methods.ce import CELoss
from ssld.methods.kd import KDLoss
from ssld.methods.scalekd import ScaleKDLoss
from ssld.models.small_resnet import SmallResNet
from ssld.models.zoo import build_network
from ssld.optim.optimizers import AdamW
from ssld.outputs import Outputs
from ssld.teachers.eager import EagerEngine, freeze
from ssld.teachers.live import LiveTeacher
from ssld.teachers.own_view import OwnView

# at 16 pixels the teacher's last features have 4 x 4 and 2 x 2 positions, 16 and 32 wide
SWIN = {"img_size": 16, "patch": 1, "width": 4, "window": 2, "heads": [1, 1, 2, 2]}
STUDENT, TEACHER = {"stage3": (3, 4, 4), "stage4": (5, 2, 2)}, {"layers.2.blocks.1": (16, 16), "norm": (4, 32)}
TARGET = "norm"


def swin(dtype="float32", seed=1, **options):
    paddle.seed(seed)
    paddle.set_default_dtype(dtype)
    try:
        network = build_network("SmallSwin", 4, **{**SWIN, **options})
        for parameter in network.parameters():
            parameter.set_value(parameter + 0.2 * paddle.randn(parameter.shape))
    finally:
        paddle.set_default_dtype("float32")
    return freeze(network)


def attached(network, dtype="float32", student=STUDENT, **options) -> ScaleKDLoss:
    paddle.seed(0)
    method = ScaleKDLoss(**{"heads": [2, 4], **options})
    method.attach(Site(student, TEACHER, np.zeros(4, np.int64), size=(16, 16), teacher_network=network, teacher_size=(16, 16)))
    for name, parameter in method.named_parameters():
        if "norm" in name and not parameter.stop_gradient:
            parameter.set_value(parameter + 0.2 * paddle.randn(parameter.shape))
    return method.to(dtype=dtype)


def draw(shapes, count=3, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0.3, 1, (count, *shape)) for name, shape in shapes.items()}


def ask(method, student, teacher, dtype="float32"):
    """The parts, and the student's features as tensors with the gradient of the whole."""
    student, teacher = ({name: paddle.to_tensor(value, dtype, stop_gradient=False) for name, value in part.items()}
                        for part in (student, teacher))
    parts = method(Outputs(None, student), Outputs(None, teacher), {})
    sum(parts.values()).backward()
    assert all(each.grad is None for each in teacher.values())
    return {name: float(part) for name, part in parts.items()}, student


@pytest.fixture(scope="module")
def network():
    return swin("float64")


def formula(oracle, method, network, weights, student, target):
    """The parts by name, float64; the tail is the network's own."""
    tools, tail = oracle("scalekd"), lambda x: method.tail(paddle.to_tensor(x)).numpy()
    view = {"direct": lambda x: x, "alt": lambda x: tools.without_constant(x, (2, 2))}
    parts = {}
    for name in view:
        w3, w4 = ({key.split(".", 2)[2]: value for key, value in weights.items() if key.split(".")[1] == f"{stage}_{name}"}
                  for stage in ("s3", "s4"))
        query = tail(tools.projector(w3, student["stage3"], 2, method.scales[name]))
        made = tools.projector(w4, student["stage4"], 4, method.scales[name], query if method.teacher_query else None)
        for stage, tokens in (("s3", query), ("s4", made)):
            parts[f"{stage}_{name}"] = method.weights[stage][name] * tools.distance(view[name](tokens), view[name](target))
    return parts


@pytest.mark.parametrize("options", [{"softmax_scale": [5, 0.5], "direct": [0.08, 0.3], "alternative": [0.06, 0.7]},
                                     {"query": "own"}], ids=["queries of the teacher", "own queries"])
def test_the_parts_equal_the_formula(oracle, weights_of, network, options):
    method, student, teacher = attached(network, "float64", **options), draw(STUDENT), draw({TARGET: TEACHER[TARGET]}, seed=1)
    parts, _ = ask(method, student, teacher, "float64")
    assert parts == pytest.approx(formula(oracle, method, network, weights_of(method), student, teacher[TARGET]), rel=1e-6)
    assert list(parts) == ["s3_direct", "s3_alt", "s4_direct", "s4_alt"]


def test_the_gradient_of_features_and_of_the_first_projector_is_that_of_finite_differences(network):
    """Along random directions, in float64; the path of F3 leads through the tail and, as query, through the second stage."""
    method, student, teacher = attached(network, "float64"), draw(STUDENT), draw({TARGET: TEACHER[TARGET]}, seed=1)
    _, seen = ask(method, student, teacher, "float64")
    trained = {name: parameter for name, parameter in method.named_parameters() if not parameter.stop_gradient}
    slopes = {name: tensor.grad.numpy() for name, tensor in [*seen.items(), *trained.items()]}
    rng, step = np.random.default_rng(2), 1e-6

    def loss(features):
        parts = method(Outputs(None, {name: paddle.to_tensor(each) for name, each in features.items()}),
                       Outputs(None, {name: paddle.to_tensor(each) for name, each in teacher.items()}), {})
        return float(sum(parts.values()))

    for name in (*student, *(each for each in trained if ".s3_alt." in each)):          # whose path is the longest
        direction, ends = rng.normal(0, 1, slopes[name].shape), []
        for sign in (1, -1):
            if name in student:
                ends.append(loss({**student, name: student[name] + sign * step * direction}))
            else:
                before = trained[name].numpy()
                trained[name].set_value(before + sign * step * direction)
                ends.append(loss(student))
                trained[name].set_value(before)
        assert (slopes[name] * direction).sum() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-7), name


def test_the_second_stage_teaches_the_first_through_its_queries_only_if_these_are_the_teachers(network):
    student, teacher = draw(STUDENT), draw({TARGET: TEACHER[TARGET]}, seed=1)
    for query in ("teacher", "own"):
        method = attached(network, "float64", query=query, direct=[0, 0.08], alternative=[0, 0.06])
        parts, seen = ask(method, student, teacher, "float64")
        assert list(parts) == ["s4_direct", "s4_alt"] and np.abs(seen["stage4"].grad.numpy()).max() > 0
        assert (seen["stage3"].grad is not None) == (query == "teacher")
        if query == "teacher":
            assert np.abs(seen["stage3"].grad.numpy()).max() > 0


@pytest.mark.parametrize("options, built", [
    ({"query": "own", "alternative": [0.06, 0]}, ["s3_direct", "s3_alt", "s4_direct"]),
    ({"alternative": 0}, ["s3_direct", "s4_direct"]), ({"direct": [0.1, 0], "alternative": 0}, ["s3_direct"]),
    ({"direct": 0, "alternative": [0, 1]}, ["s3_alt", "s4_alt"])])
def test_a_part_of_weight_0_is_neither_built_nor_computed_nor_logged(network, options, built):
    method = attached(network, "float64", **options)
    parts, _ = ask(method, draw(STUDENT), draw({TARGET: TEACHER[TARGET]}, seed=1), "float64")
    assert list(method.projectors) == built
    assert set(parts) <= set(built) and all(parts.values())
    assert all(parameter.grad is not None for parameter in method.parameters() if not parameter.stop_gradient)


def test_without_perception_each_stage_meets_the_teachers_own_feature(oracle, weights_of, network):
    method, student, teacher = attached(network, "float64", tpp=False), draw(STUDENT), draw(TEACHER, seed=1)
    parts, _ = ask(method, student, teacher, "float64")
    assert method.teacher_taps == tuple(TEACHER) and method.tail is None and not method.teacher_query
    tools, weights = oracle("scalekd"), weights_of(method)
    for stage, tap, feature, heads in (("s3", "stage3", "layers.2.blocks.1", 2), ("s4", "stage4", "norm", 4)):
        own = {key.split(".", 2)[2]: value for key, value in weights.items() if key.startswith(f"projectors.{stage}_direct.")}
        made = tools.projector(own, student[tap], heads)
        assert parts[f"{stage}_direct"] == pytest.approx(0.08 * tools.distance(made, teacher[feature]), rel=1e-6)


def test_features_of_any_network_will_do_without_perception():
    """Maps and tokens on either side; the teacher's network is not asked for."""
    method = ScaleKDLoss([2, 4], tpp=False, teacher_taps=["a", "b"], student_taps=["c", "d"])
    method.choose_taps(None)
    student, teacher = {"c": (17, 3), "d": (5, 2, 2)}, {"a": (8, 3, 3), "b": (5, 12)}
    method.attach(Site(student, teacher, np.zeros(2), size=(16, 16), teacher_size=(16, 16)))
    parts, _ = ask(method, draw(student), draw(teacher, seed=1))
    assert len(parts) == 4 and all(np.isfinite(value) for value in parts.values())


def test_float16_features_give_a_finite_loss_and_gradient():
    parts, seen = ask(attached(swin()), draw(STUDENT), draw({TARGET: TEACHER[TARGET]}, seed=1), "float16")
    assert all(np.isfinite(value) for value in parts.values())
    assert all(np.isfinite(each.grad.numpy()).all() for each in seen.values())


# ---- in a distiller

def distiller(network, **options) -> Distiller:
    paddle.seed(5)
    method = ScaleKDLoss(**{"heads": [2, 4], "student_taps": ["stage2", "stage3"], **options})
    model = Distiller(SmallResNet(4, width=4), LiveTeacher(EagerEngine(network)),
                      [Term(method), Term(KDLoss(), 0.5), Term(CELoss(), 0.5)])
    model.attach((16, 16), np.zeros(4, np.int64))
    model.train()
    return model


@pytest.fixture
def batch():
    paddle.seed(3)
    return {"image": paddle.randn([4, 3, 16, 16]), "label": paddle.to_tensor([0, 1, 2, 3])}


def step(model, batch):
    losses = model(batch)
    losses.total.backward()
    return losses


def test_every_part_is_logged_with_its_weight_and_the_whole_is_their_sum(batch):
    losses = step(distiller(swin()), batch)
    parts = {name: float(value) for name, value in losses.parts.items()}
    names = [f"ScaleKDLoss/{stage}_{view}" for stage in ("s3", "s4") for view in ("direct", "alt")]
    assert list(parts) == [*names, "ScaleKDLoss", "KDLoss", "CELoss"]
    assert parts["ScaleKDLoss"] == pytest.approx(sum(parts[name] for name in names), rel=1e-6)
    assert float(losses.total) == pytest.approx(parts["ScaleKDLoss"] + 0.5 * parts["KDLoss"] + 0.5 * parts["CELoss"], rel=1e-6)
    for name in names:                      # unrelated features are two apart at each of the four positions
        assert parts[name] == pytest.approx(2 * 4 * (0.08 if name.endswith("direct") else 0.06), rel=0.35)


@pytest.mark.parametrize("options", [{}, {"query": "own", "alternative": [0.06, 0]}, {"tpp": False}])
def test_no_parameter_is_left_without_a_gradient(batch, options):
    model = distiller(swin(), **options)
    step(model, batch)
    assert not [name for name, parameter in model.named_parameters() if not parameter.stop_gradient and parameter.grad is None]


def test_the_teacher_stays_in_evaluation_mode_and_is_the_same_to_the_bit_after_steps(batch):
    network = swin(drop_path_rate=0.5)
    before = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    model = distiller(network)
    optimizer = AdamW(model, 1e-2, weight_decay=0.1)
    for _ in range(3):
        model.eval()
        model.train()
        step(model, batch)
        optimizer.step()
        optimizer.clear_grad()
    assert not any(layer.training for layer in network.sublayers(include_self=True))
    assert all((before[name] == tensor.numpy()).all() for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None and parameter.stop_gradient for parameter in network.parameters())
    assert not any("layers." in name for name in model.state_dict())


def test_the_teachers_stochastic_depth_can_be_switched_on_for_its_features_and_its_tail(batch):
    for mode, same in (("eval", True), ("train", False)):
        model = distiller(swin(drop_path_rate=0.5), teacher_mode=mode)
        tail, tokens = model.methods[0].tail, paddle.randn([8, 16, 16])
        assert (tail(tokens).numpy() == tail(tokens).numpy()).all() == same
        asked = [model.teacher({"image": paddle.concat([batch["image"]] * 4)}).features["norm"].numpy() for _ in range(2)]
        assert (asked[0] == asked[1]).all() == same


def test_stochastic_depth_of_a_teacher_that_runs_as_a_program_is_refused():
    site = Site(STUDENT, TEACHER, np.zeros(2), teacher_network=swin(), teacher_size=(16, 16))
    with pytest.raises(InputError, match="teacher_mode: train needs a teacher that runs layer by layer. Set Arch.teacher"):
        ScaleKDLoss([2, 4], teacher_mode="train").attach(site)


def test_the_teacher_may_see_images_of_another_size(batch):
    paddle.seed(5)
    method = ScaleKDLoss([2, 4], student_taps=["stage2", "stage3"])
    teacher = LiveTeacher(EagerEngine(swin(img_size=32)), view=OwnView(size=32))
    model = Distiller(SmallResNet(4, width=4), teacher, [Term(method)])
    model.attach((16, 16), np.zeros(4, np.int64))
    assert (method.tail.grid_in, method.tail.grid_out, method.grids) == ((8, 8), (4, 4), {"s3": (8, 8), "s4": (4, 4)})
    assert np.isfinite(float(step(model, batch).total))


# ---- what it costs

# student: features of the two stages, norm aside; millions of parameters and 10^9 multiply-adds, Fan et al., counted
SWIN_L = [
    ("MobileNet-V1", (512, 14, 14), (1024, 7, 7), 19.79, 77.21, 7.69),
    ("ResNet-50", (1024, 14, 14), (2048, 7, 7), 35.72, 140.24, 13.85),
    ("ConvNeXt-T", (384, 14, 14), (768, 7, 7), 17.28, 67.36, 6.72),
    ("Swin-T", (196, 384), (49, 768), 17.28, 67.36, 6.72),
    ("Mixer-S/16", (196, 512), (196, 512), 19.79, 60.01, 8.04),
    ("Mixer-B/16, ViT-B/16", (196, 768), (196, 768), 26.58, 67.58, 10.81),
    ("ViT-S/16", (197, 384), (197, 384), 17.28, 57.11, 7.00),
]


def costs(width, student, **options):
    """Stated for a Swin teacher at 224 pixels; nothing is drawn."""
    with paddle.LazyGuard():
        network = build_network("SmallSwin", 4, img_size=224, patch=4, width=width, window=7, depths=[1, 1, 1, 2],
                                heads=[width // 32 * 2 ** stage for stage in range(4)])
        method = ScaleKDLoss(**{"heads": [8, 8], **options})
        method.attach(Site(dict(zip(("stage3", "stage4"), student)), {"norm": (49, 8 * width)}, np.zeros(2),
                           teacher_network=network))
    stated, trained = method.cost(), sum(int(parameter.size) for name, parameter in method.named_parameters()
                                         if not name.endswith(("_mean", "_variance")))
    assert sum(cost.parameters for cost in stated.values()) == trained
    return stated


@pytest.mark.parametrize("student, third, fourth, m3, m4, g", SWIN_L, ids=[row[0] for row in SWIN_L])
def test_the_stated_cost_is_the_published_one(student, third, fourth, m3, m4, g):
    found = costs(192, (third, fourth))
    assert found["cap_s3"].parameters / 1e6 == pytest.approx(m3, rel=0.01)
    assert found["cap_s4"].parameters / 1e6 == pytest.approx(m4, rel=0.01)
    assert (found["cap_s3"].multiply_adds + found["cap_s4"].multiply_adds) / 1e9 == pytest.approx(g, rel=0.01)
    assert found["tpp"] == Cost(0, pytest.approx(6.04e9, rel=0.01))


@pytest.mark.parametrize("width, millions, options", [(128, 134.6, {}), (96, 119.3, {"query": "own"})])
def test_smaller_teachers_cost_what_is_published(width, millions, options):
    found = costs(width, ((1024, 14, 14), (2048, 7, 7)), **options)
    assert sum(cost.parameters for cost in found.values()) / 1e6 == pytest.approx(millions, rel=0.01)


# ---- refused

@pytest.mark.parametrize("options, message", [
    ({"heads": [8]}, r"heads must be one value or two, not \[8\]"), ({"heads": [0, 8]}, "heads must be a whole number"),
    ({"direct": [0.1, -1]}, "direct must be a number of at least 0"), ({"softmax_scale": 0}, "softmax_scale must be a"),
    ({"norm": "gn"}, "norm cannot be 'gn'"), ({"query": "students"}, "query cannot be 'students'"),
    ({"tpp": False, "query": "teacher"}, "query: teacher needs tpp"), ({"teacher_mode": "both"}, "teacher_mode cannot be"),
    ({"direct": 0, "alternative": 0}, "direct and alternative are all 0"), ({"tpp_blocks": 0}, "tpp_blocks must be a whole"),
    ({"teacher_taps": ["a", "b"]}, "teacher_taps can be set only with tpp: false"),
    ({"student_taps": ["a", 3]}, "student_taps must be names of two features")])
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        ScaleKDLoss(**{"heads": [8, 8], **options})


@pytest.mark.parametrize("student, options, message", [
    (STUDENT, {"heads": [3, 4]}, "stage s3: heads: 3 heads do not divide the teacher's width of 16"),
    (STUDENT, {"heads": [2, 5]}, "stage s4: heads: 5 heads do not divide the teacher's width of 32"),
    ({**STUDENT, "stage4": (5,)}, {}, r"feature 'stage4' has the shape \[5\] for an image of 16 x 16 pixels: expected a map")])
def test_features_and_heads_that_do_not_fit_are_refused_when_the_layers_are_made(network, student, options, message):
    with pytest.raises(InputError, match=message):
        attached(network, student=student, **options)


def test_a_teacher_that_is_no_network_of_paddle_is_refused():
    with pytest.raises(InputError, match="needs the teacher's own layers: a live network of Paddle, not an ONNX file"):
        ScaleKDLoss([2, 4]).choose_taps(None)


def test_another_shape_than_at_first_is_refused_with_both_shapes(network):
    method = attached(network, "float64")
    with pytest.raises(InputError, match=r"'stage4' has the shape \[5, 3, 3\]; the projectors were made for \[5, 2, 2\]"):
        ask(method, {**draw(STUDENT), "stage4": np.zeros((3, 5, 3, 3))}, draw({TARGET: (4, 32)}), "float64")
