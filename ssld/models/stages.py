"""What the parts of each backbone are called: stages for learning-rate multipliers and taps, and the classifier."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paddle import nn

from ..errors import InputError

PENULTIMATE, FINAL = "penultimate", "final"         # features, see Stages.ends


@dataclass(frozen=True)
class Stages:
    """The parts of one network.

    Attributes:
        family: the architecture's name, such as "ResNet".
        groups: parameter-name prefixes of each group that a learning-rate multiplier applies to, input side first.
        classifier: prefix of the last linear layer.
        stride: pixels of the input per pixel of the last feature map, in each direction.
        last: the sublayer with the last feature before pooling, where that is not the end of the last group: a layer norm of
            all tokens.
    """

    family: str
    groups: tuple[tuple[str, ...], ...]
    classifier: str
    stride: int = 32
    last: str | None = None

    @property
    def ends(self) -> dict[str, str]:
        """Names for the last two features that mean the same for every network -> the sublayer whose output is meant."""
        ends = [prefixes[-1] for prefixes in self.groups if prefixes]       # the last group of a small member may be empty
        return {PENULTIMATE: ends[-2], FINAL: self.last or ends[-1]}

    def group_of(self, parameter: str) -> int | None:
        """The group of a parameter name; None for what lies behind the stages (head and classifier)."""
        for place, prefixes in enumerate(self.groups):
            if any(starts_with(parameter, prefix) for prefix in prefixes):
                return place
        return None


def stages_of(network: nn.Layer) -> Stages:
    """The parts of `network`.

    Raises:
        InputError: its class has no row in this file; names the prefixes that a row would have to group.
    """
    key = f"{type(network).__module__.rsplit('.', 1)[-1]}.{type(network).__name__}"
    if key not in _ROWS:
        prefixes = sorted({name.split(".")[0] for name, _ in network.named_parameters()})
        raise InputError(f"the stages of {type(network).__name__} are not known. Its parameters begin with: "
                         f"{', '.join(prefixes)}. Add a row for '{key}' to ssld/models/stages.py.")
    return _ROWS[key](network)


def starts_with(name: str, prefix: str) -> bool:
    """Whether a dotted name is `prefix` or lies below it."""
    return name == prefix or name.startswith(f"{prefix}.")


def _resnet(network) -> Stages:
    """PaddleClas's ResNet, plain and vd: the stem, then `blocks` cut at the four depths."""
    groups, first = [("stem",)], 0
    for depth in network.block_depth:
        groups.append(tuple(f"blocks.{i}" for i in range(first, first + depth)))
        first += depth
    return Stages("ResNet", tuple(groups), "fc")


def _mobilenet_v3(network) -> Stages:
    """Block i belongs to group min(i // 3, 4), the stem to the first: SSLD's five values for MobileNetV3."""
    blocks = range(len(network.blocks))
    groups = [[f"blocks.{i}" for i in blocks if min(i // 3, 4) == g] for g in range(5)]
    groups[0].insert(0, "conv")
    return Stages("MobileNetV3", tuple(map(tuple, groups)), "fc")


def _mobilenet_v1(network) -> Stages:
    """Thirteen separable blocks, cut where the resolution halves."""
    cuts = [(), (0,), (1, 2), (3, 4), (5, 6, 7, 8, 9, 10), (11, 12)]
    groups = [("conv",)] + [tuple(f"blocks.{i}" for i in cut) for cut in cuts[1:]]
    return Stages("MobileNetV1", tuple(groups), "fc")


def _small_resnet(network) -> Stages:
    """Ours: two halvings after the stem."""
    return Stages("SmallResNet", (("stem",), ("stage1",), ("stage2",), ("stage3",)), "fc", 4 * network.stem_stride)


def _tokens(family: str, last: str | None = None) -> Callable[[nn.Layer], Stages]:
    """Of a network whose tokens stay as many: what makes them, then four times a quarter of the blocks."""
    def row(network) -> Stages:
        makers = ("cls_token", "dist_token", "pos_embed", "patch_embed")
        stem = tuple(name for name in makers if hasattr(network, name))
        return Stages(family, (stem, *_quarters(network.blocks)), "head", _patch_of(network), last)
    return row


def _mixer(network) -> Stages:
    """Ours: the last stage is two blocks, and the three before it share the others, which is where ScaleKD cuts it."""
    depth = len(network.blocks)
    cuts = [(depth - 2) * third // 3 for third in range(4)] + [depth]
    return Stages("Mixer", (("patch_embed",), *_cut(cuts)), "head", network.patch)


def _swin(network) -> Stages:
    """The merging of patches belongs to the stage behind it, so that a stage ends with its last block."""
    groups, merging = [("absolute_pos_embed", "patch_embed")], []
    for place, stage in enumerate(network.layers):
        groups.append((*merging, *(f"layers.{place}.blocks.{block}" for block in range(len(stage.blocks)))))
        merging = [f"layers.{place}.downsample"]
    stride = network.patch_embed.patch_size[0] << (len(network.layers) - 1)
    return Stages("Swin", tuple(groups), "head", stride, "norm")


def _patch_of(network) -> int:
    """Side of a patch, pixels; ours says so, PaddleClas's patch embedding does, the convolutional stem makes 16."""
    return getattr(network, "patch", getattr(network.patch_embed, "patch_size", (16,))[0])


def _quarters(blocks: nn.LayerList) -> list[tuple[str, ...]]:
    """Four times a quarter of the blocks of a network whose tokens stay as many."""
    return _cut([len(blocks) * quarter // 4 for quarter in range(5)])


def _cut(cuts: Sequence[int]) -> list[tuple[str, ...]]:
    """The names of blocks between each two numbers."""
    return [tuple(f"blocks.{i}" for i in range(first, last)) for first, last in zip(cuts, cuts[1:])]


def _named(family: str, groups: Sequence[Sequence[str]], classifier: str) -> Callable[[nn.Layer], Stages]:
    """A row whose names are the same in every size of the family."""
    return lambda network: Stages(family, tuple(map(tuple, groups)), classifier)


def _by_prefix(family: str, stem: Sequence[str], stage_prefixes: Sequence[str], classifier: str):
    """A row whose stages are the sublayers with a common beginning, such as bb_0_0, bb_0_1, ..."""
    def row(network) -> Stages:
        children = [name for name, _ in network.named_children()]
        groups = [tuple(stem)] + [tuple(c for c in children if c.startswith(p)) for p in stage_prefixes]
        return Stages(family, tuple(groups), classifier)
    return row


_ROWS: dict[str, Callable[[nn.Layer], Stages]] = {
    "resnet.ResNet": _resnet,
    "mobilenet_v3.MobileNetV3": _mobilenet_v3,
    "mobilenet_v1.MobileNet": _mobilenet_v1,
    "mobilenet_v2.MobileNet": _named("MobileNetV2", [["conv1", "conv2"], ["conv3"], ["conv4"], ["conv5", "conv6"],
                                                     ["conv7", "conv8"]], "out"),
    "pp_lcnet.PPLCNet": _named("PPLCNet", [["conv1"]] + [[f"blocks{i}"] for i in range(2, 7)], "fc"),
    "pp_hgnet_v2.PPHGNetV2": _named("PPHGNetV2", [["stem"]] + [[f"stages.{i}"] for i in range(4)], "fc"),
    "res2net_vd.Res2Net_vd": _by_prefix("Res2Net_vd", ["conv1_1", "conv1_2", "conv1_3"], [f"bb_{i}_" for i in range(4)],
                                        "out"),
    "resnext101_wsl.ResNeXt101WSL": _by_prefix("ResNeXt101_wsl", ["_conv_stem"], [f"_conv{i}_" for i in range(1, 5)],
                                               "_out"),
    "shufflenet_v2.ShuffleNet": _by_prefix("ShuffleNetV2", ["_conv1"], [f"{i}_" for i in (2, 3, 4)], "_fc"),
    "small_resnet.SmallResNet": _small_resnet,
    "fbnet.FBNetC": _named("FBNet", [["stem", "stage1"], ["stage2"], ["stage3"], ["stage4"], ["stage5"]], "fc"),
    "efficientnet_v2_b0.EfficientNetV2B0": _named("EfficientNetV2", [["stem", "stage1"], ["stage2"], ["stage3"],
                                                                     ["stage4", "stage5"], ["stage6"]], "fc"),
    "regnet_y.RegNetY": lambda network: Stages("RegNetY", (("stem",), *((stage,) for stage in network.stages)), "fc"),
    "deit_conv_stem.DeiTConvStem": _tokens("DeiT", "norm"),
    "vision_transformer.VisionTransformer": _tokens("ViT", "norm"),
    "distilled_vision_transformer.DistilledVisionTransformer": _tokens("ViT", "norm"),
    "vit.ViT": _tokens("ViT", "norm"),
    "beit.BEiT": _tokens("BEiT"),
    "mixer.Mixer": _mixer,
    "swin_transformer.SwinTransformer": _swin,
    # its downsampling layers have a list of their own
    "convnext.ConvNeXt": _named("ConvNeXt", [["downsample_layers.0"], ["stages.0"]]
                                + [[f"downsample_layers.{i}", f"stages.{i}"] for i in range(1, 4)], "head"),
    "sret.SReTLT": _named("SReT", [["pos_embed", "patch_embed"]] + [[f"stages.{i}"] for i in range(3)], "head"),
}
