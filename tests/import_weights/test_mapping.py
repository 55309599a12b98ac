from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.errors import InputError
from ssld.import_weights.mapping import class_num_of, map_onto
from ssld.models import swin
from ssld.models.beit import BEiT
from ssld.models.mixer import Mixer
from ssld.models.regnet_y import RegNetY
from ssld.models.vit import ViT
from ssld.models.zoo import backbone_names, build_network

CLASSES = 7


def classes_of(module: str):
    """A module of PaddleClas's backbones, quietly."""
    import importlib

    backbone_names()
    return importlib.import_module(f"paddleclas.ppcls.arch.backbone.{module}")


def resnet(basic: bool, version: str):
    channels = [64, 64, 128, 256] if basic else [64, 256, 512, 1024]
    config = {"block_type": "BasicBlock" if basic else "BottleneckBlock", "block_depth": [1, 2, 1, 1], "num_channels": channels}
    module = classes_of("legendary_models.resnet")
    return module.ResNet(config, module.MODEL_STAGES_PATTERN["ResNet18"], version=version, class_num=CLASSES)


def small_vit(kind: str):
    options = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "qkv_bias": True, "epsilon": 1e-6}
    vits = classes_of("model_zoo.distilled_vision_transformer")
    return getattr(vits, kind)(class_num=CLASSES, **options)


def small_swin(last_stage_shift="auto", img_size=64):
    builder = classes_of("legendary_models.swin_transformer").SwinTransformer
    return swin.with_option(builder)(last_stage_shift, img_size=img_size, embed_dim=16, depths=[2, 2, 2], num_heads=[1, 2, 4],
                                     window_size=4, class_num=CLASSES)


def small_convnext():
    builder = classes_of("model_zoo.convnext").ConvNeXt
    return builder(depths=[1, 2, 1, 1], dims=[8, 16, 24, 32], class_num=CLASSES)


def small_regnet():
    return RegNetY((1, 1, 2, 1), (16, 32, 48, 96), 8, CLASSES)


NETWORKS = {
    "timm_resnet_basic": lambda: resnet(True, "vb"), "timm_resnet_bottleneck": lambda: resnet(False, "vb"),
    "timm_resnet_d_basic": lambda: resnet(True, "vd"), "timm_resnet_d_bottleneck": lambda: resnet(False, "vd"),
    "torchvision_resnet_basic": lambda: resnet(True, "vb"), "timm_vit": lambda: small_vit("VisionTransformer"),
    "timm_deit_distilled": lambda: small_vit("DistilledVisionTransformer"),
    "torchvision_vit": lambda: small_vit("VisionTransformer"), "timm_swin": small_swin, "torchvision_swin": small_swin,
    "timm_convnext": small_convnext, "torchvision_convnext": small_convnext, "timm_regnet_y": small_regnet,
    "torchvision_regnet_y": small_regnet, "timm_beit": lambda: BEiT(CLASSES, 32, 2, 4, 32, 8),
    "timm_vit_gap": lambda: ViT(CLASSES, 32, 8, 32, depth=2, heads=4),
    "timm_mixer": lambda: Mixer(CLASSES, 32, 3, 16, 8, 32, epsilon=1e-6),
    "timm_eva": lambda: BEiT(CLASSES, 32, 2, 4, 32, 8, "absolute"),
    "timm_eva_resized": lambda: BEiT(CLASSES, 32, 2, 4, 48, 8, "absolute", 32), "timm_swin_96": lambda: small_swin(img_size=96)}


def loaded(network: nn.Layer, tensors: dict) -> nn.Layer:
    state = map_onto(network, tensors).state
    for name, tensor in network.state_dict().items():
        tensor.set_value(state[name])
    network.eval()
    return network


def deviation(network: nn.Layer, reference: dict, images) -> float:
    """Largest difference from the stored logits, relative to their largest deviation from each row's mean."""
    with paddle.no_grad():
        logits = network(paddle.to_tensor(images)).numpy()
    expected = np.array(reference["logits"])
    return np.abs(logits - expected).max() / np.abs(expected - expected.mean(1, keepdims=True)).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_are_those_of_the_network_that_the_weights_were_made_for(name, references, seeded):
    reference = references[name]
    network = loaded(NETWORKS[name](), seeded.tensors(reference["tensors"]))
    assert deviation(network, reference, seeded.images(reference["size"])) < 1e-4


def test_every_reference_is_compared(references):
    assert {name for name, value in references.items() if isinstance(value, dict)} == set(NETWORKS)


def test_swin_follows_the_size_of_the_images_whatever_it_was_built_for(references, seeded):
    for built, name in ((64, "timm_swin_96"), (96, "timm_swin")):
        network = loaded(small_swin(img_size=built), seeded.tensors(references[name]["tensors"]))
        assert deviation(network, references[name], seeded.images(references[name]["size"])) < 1e-4


@pytest.mark.parametrize("shift, agrees", [("off", True), ("on", False), (False, True)])
def test_swin_answers_otherwise_with_the_shift_that_paddleclas_has(shift, agrees, references, seeded):
    reference = references["timm_swin"]
    network = loaded(small_swin(shift), seeded.tensors(reference["tensors"]))
    found = deviation(network, reference, seeded.images(reference["size"]))
    assert found < 1e-4 if agrees else found > 1e-2


def test_an_unknown_shift_is_refused():
    with pytest.raises(InputError, match="last_stage_shift cannot be 'maybe'"):
        small_swin("maybe")


REAL = {"resnet18": ("ResNet18", {}), "resnet50": ("ResNet50", {}), "resnet50d": ("ResNet50_vd", {}),
        "deit_tiny_patch16_224": ("DeiT_tiny_patch16_224", {}),
        "swin_tiny_patch4_window7_224": ("SwinTransformer_tiny_patch4_window7_224", {}), "convnext_tiny": ("ConvNeXt_tiny", {}),
        "mixer_s16_224": ("Mixer_S_16", {"epsilon": 1e-6})}
LARGE = {"regnety_160": ("RegNetY_16GF", {}), "beitv2_base_patch16_224": ("BEiTv2_base_patch16", {}),
         "mixer_b16_224": ("Mixer_B_16", {}), "eva_large_patch14_196": ("BEiT_large_patch14", {"position_size": 196})}


@pytest.mark.parametrize("name", [*REAL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_every_tensor_of_a_published_network_finds_its_place(name, real_shapes):
    backbone, options = {**REAL, **LARGE}[name]
    tensors = {tensor: np.broadcast_to(np.float32(0.5), shape) for tensor, shape in real_shapes(name).items()}
    network = build_network(backbone, class_num_of(tensors), **options)
    mapped = map_onto(network, tensors)
    assert set(mapped.state) == set(network.state_dict())
    used = {source for source in mapped.source.values() if source}
    assert used | set(mapped.unused) == set(tensors) and not used & set(mapped.unused)
    assert all(tensor.endswith("num_batches_tracked") for tensor in mapped.unused)


def test_matrices_of_linear_layers_are_turned_and_convolutions_are_not(references, seeded):
    tensors = seeded.tensors(references["timm_vit"]["tensors"])
    state = map_onto(small_vit("VisionTransformer"), tensors).state
    np.testing.assert_array_equal(state["blocks.1.attn.proj.weight"], tensors["blocks.1.attn.proj.weight"].T)
    np.testing.assert_array_equal(state["patch_embed.proj.weight"], tensors["patch_embed.proj.weight"])


def test_convolutions_of_one_pixel_stand_for_linear_layers(references, seeded):
    tensors = seeded.tensors(references["timm_convnext"]["tensors"])
    expected = map_onto(small_convnext(), tensors).state
    for name, array in tensors.items():
        if ".mlp.fc" in name and array.ndim == 2:
            tensors[name] = array[:, :, None, None]
    found = map_onto(small_convnext(), tensors).state
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_half_precision_becomes_what_the_network_has(references, seeded):
    tensors = {name: array.astype(np.float16) for name, array in seeded.tensors(references["timm_vit"]["tensors"]).items()}
    assert {array.dtype for array in map_onto(small_vit("VisionTransformer"), tensors).state.values()} == {np.dtype("float32")}


def of_swin(references) -> dict:
    return {name: np.zeros(shape, np.float32) for name, shape in references["timm_swin"]["tensors"].items()}


def test_the_authors_names_of_swin_and_their_tables_are_understood(references, seeded):
    tensors = seeded.tensors(references["timm_swin"]["tensors"])
    expected = map_onto(small_swin(), tensors).state
    theirs = {}
    for name, array in tensors.items():
        for stage in (1, 2):
            name = name.replace(f"layers.{stage}.downsample", f"layers.{stage - 1}!downsample")
        theirs[name.replace("!", ".").replace("head.fc", "head")] = array
    theirs["layers.0.blocks.1.attn_mask"] = theirs["layers.0.blocks.0.attn.relative_position_index"] = np.zeros((2, 2))
    mapped = map_onto(small_swin(), theirs)
    assert all(np.array_equal(mapped.state[name], expected[name]) for name in expected)
    assert sorted(mapped.unused) == ["layers.0.blocks.0.attn.relative_position_index", "layers.0.blocks.1.attn_mask"]


OPENMMLAB = {"patch_embed.proj.": "patch_embed.projection.", "stem.proj.": "patch_embed.projection.", "blocks.": "layers.",
             ".norm1.": ".ln1.", ".norm2.": ".ln2.", ".mlp.fc1.": ".ffn.layers.0.0.", ".mlp.fc2.": ".ffn.layers.1.",
             ".mlp_tokens.fc1.": ".token_mix.layers.0.0.", ".mlp_tokens.fc2.": ".token_mix.layers.1.",
             ".mlp_channels.fc1.": ".channel_mix.layers.0.0.", ".mlp_channels.fc2.": ".channel_mix.layers.1."}


@pytest.mark.parametrize("name, head, norm", [("timm_vit_gap", "head.layers.head.", "ln1."), ("timm_mixer", "head.fc.", "ln1."),
                                              ("timm_eva", "head.fc.", "ln2."), ("timm_vit", "head.layers.head.", "ln1.")])
def test_openmmlabs_names_of_networks_of_tokens_are_understood(name, head, norm, references, seeded):
    tensors = seeded.tensors(references[name]["tensors"])
    expected, theirs = map_onto(NETWORKS[name](), tensors).state, {}
    for tensor, array in tensors.items():
        for ours, other in OPENMMLAB.items():
            tensor = tensor.replace(ours, other)
        for final in ("fc_norm.", "norm."):
            tensor = norm + tensor[len(final):] if tensor.startswith(final) else tensor
        theirs[tensor.replace("head.", head) if tensor.startswith("head.") else f"backbone.{tensor}"] = array
    assert class_num_of(theirs) == CLASSES and not set(theirs) & set(tensors)
    mapped = map_onto(NETWORKS[name](), theirs)
    assert not mapped.unused and all(np.array_equal(mapped.state[each], expected[each]) for each in expected)


@pytest.mark.parametrize("name", ["timm_resnet_bottleneck", "timm_resnet_d_basic"])
def test_openmmlabs_names_of_resnets_are_understood(name, references, seeded):
    tensors = seeded.tensors(references[name]["tensors"])
    expected, deep = map_onto(NETWORKS[name](), tensors).state, "_d_" in name
    theirs = {}
    for tensor, array in tensors.items():
        if deep:                                    # the third batch norm of the stem is its seventh layer there
            tensor = tensor.replace("bn1.", "stem.7.", 1) if tensor.startswith("bn1.") else tensor
            tensor = tensor.replace("conv1.", "stem.", 1) if tensor.startswith("conv1.") else tensor
        theirs[f"head.{tensor}" if tensor.startswith("fc.") else f"backbone.{tensor}"] = array
    mapped = map_onto(NETWORKS[name](), theirs)
    assert class_num_of(theirs) == CLASSES
    assert all(np.array_equal(mapped.state[each], expected[each]) for each in expected)


def test_a_missing_tensor_and_a_misspelt_one_are_named_with_the_nearest(references):
    tensors = of_swin(references)
    tensors["layers.0.blocks.0.norm3.weight"] = tensors.pop("layers.0.blocks.0.norm1.weight")
    with pytest.raises(InputError, match=r"of the network's \d+ tensors are in the file.\n"
                                         r"  only in the network \(1\): layers.0.blocks.0.norm1.weight \(nearest: "
                                         r"layers.0.blocks.0.norm3.weight\)\n  only in the file \(1\): layers.0.blocks.0"):
        map_onto(small_swin(), tensors)


def test_weights_of_a_deeper_network_are_refused(real_shapes):
    tensors = {name: np.broadcast_to(np.float32(0), shape) for name, shape in real_shapes("resnet50").items()}
    with pytest.raises(InputError, match=r"only in the file \(\d+\): layer1\.0\.conv3"):
        map_onto(resnet(True, "vb"), tensors)
    with pytest.raises(InputError, match=r"only in the file \(\d+\): layer1\.1\.conv1\.weight"):
        map_onto(resnet(False, "vb"), tensors)


def test_the_convolution_of_a_shortcut_that_does_change_something_is_not_made_up(real_shapes):
    tensors = {name: np.broadcast_to(np.float32(0), shape) for name, shape in real_shapes("resnet50").items()
               if not name.startswith("layer1.0.downsample")}
    with pytest.raises(InputError, match=r"only in the network \(5\): blocks.0.short.conv.weight"):
        map_onto(build_network("ResNet50", 1000), tensors)


def test_positions_of_another_image_size_say_which_option_is_missing(references):
    tensors = {name: np.zeros(shape, np.float32) for name, shape in references["timm_vit"]["tensors"].items()}
    tensors["pos_embed"] = np.zeros((1, 37, 32), np.float32)
    with pytest.raises(InputError, match=r"(?s)pos_embed \[1, 37, 32\] for pos_embed \[1, 17, 32\].*6 x 6 pat.*-o img_size"):
        map_onto(small_vit("VisionTransformer"), tensors)


def test_a_scaled_branch_that_the_network_does_not_have_is_refused(references):
    tensors = {name: np.zeros(shape, np.float32) for name, shape in references["timm_vit"]["tensors"].items()}
    tensors["blocks.0.ls1.gamma"] = np.ones(32, np.float32)
    with pytest.raises(InputError, match=r"only in the file \(1\): blocks.0.ls1.gamma"):
        map_onto(small_vit("VisionTransformer"), tensors)


def test_two_names_for_one_tensor_are_refused(references):
    tensors = of_swin(references)
    tensors["head.weight"] = tensors["head.fc.weight"]
    with pytest.raises(InputError, match="both head.fc.weight and head.weight would become head.weight"):
        map_onto(small_swin(), tensors)


def test_a_network_of_no_known_family_is_refused():
    with pytest.raises(InputError, match="weights of SmallResNet are called elsewhere is not known. Known networks: BEiT"):
        map_onto(build_network("SmallResNet", 4), {})


def test_the_number_of_classes_is_that_of_the_classifier():
    assert class_num_of({"head.fc.weight": np.zeros((21, 8)), "norm.weight": np.zeros(8)}) == 21
    with pytest.raises(InputError, match="there is no classifier: expected one of fc.weight"):
        class_num_of({"norm.weight": np.zeros(8)})
