"""What PaddleDetection 2.6 calls the tensors of PaddleClas backbones.

    PaddleClas                                                  PaddleDetection
    stem.{i}.conv, stem.{i}.bn                   (vd)           conv1.conv1_{i+1}.conv, conv1.conv1_{i+1}.norm
    stem.0.conv, stem.0.bn                       (plain)        conv1.conv1.conv, conv1.conv1.norm
    blocks.{k}.conv0|1|2.conv, .bn                              res{s}.res{s}{block}.branch2a|b|c.conv, .norm      s = 2 .. 5
    blocks.{k}.short.conv, .bn                   (res2, plain)  res{s}.res{s}a.short.conv, .norm
    blocks.{k}.short.conv, .bn                   (vd, res3..5)  res{s}.res{s}a.short.conv.conv, .norm
    fc                                                          -
    conv.conv, conv.bn                           (MobileNetV3)  conv1.conv, conv1.bn
    blocks.{k}.X                                 (MobileNetV3)  conv{k+2}.X
    last_second_conv, last_conv, fc              (MobileNetV3)  -

{block} is a, b, c, ...; in a res4 of more than ten blocks a, b1, b2, ...
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import InputError

_DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}           # blocks of res2 to res5
_MOBILE = {"large": (15, {3, 4, 5, *range(10, 15)}), "small": (11, {0, *range(3, 11)})}        # blocks; those that squeeze
_NORM = ("weight", "bias", "_mean", "_variance")
KNOWN = "ResNet18, 34, 50 and 101, plain and _vd, MobileNetV3_large_* and MobileNetV3_small_*"


@dataclass(frozen=True)
class DetectionNames:
    """One backbone in PaddleDetection.

    Attributes:
        section: of the YAML, the backbone's class.
        options: what makes the class this backbone.
        mapping: PaddleClas's name of a tensor -> PaddleDetection's; all that the backbone has there.
        dropped: beginnings of the names that a detector has no use for.
    """

    section: str
    options: Mapping
    mapping: Mapping[str, str]
    dropped: tuple[str, ...]

    def rename(self, state: Mapping) -> tuple[dict, list[str]]:
        """The tensors of a PaddleClas network under PaddleDetection's names, and the names of those that were dropped.

        Raises:
            InputError: a tensor that the detector's backbone has is missing, or one is left that has no name there.
        """
        missing = [f"{there} ({here})" for here, there in self.mapping.items() if here not in state]
        dropped = [name for name in state if name.split(".")[0] in self.dropped]
        left = [name for name in state if name not in self.mapping and name not in dropped]
        if missing or left:
            raise InputError(f"these weights are not those of PaddleDetection's {self.section} {dict(self.options)}. Nothing "
                             f"was written.{_listed('missing', missing)}{_listed('without a name there', left)}")
        return {there: state[here] for here, there in self.mapping.items()}, dropped


def detection_names(backbone: str) -> DetectionNames:
    """The names of a backbone of PaddleClas, such as ResNet50_vd.

    Raises:
        InputError: PaddleDetection has none of this kind, or its names are not known.
    """
    resnet = re.fullmatch(r"ResNet(\d+)(_vd)?", backbone)
    mobile = re.fullmatch(r"MobileNetV3_(large|small)_x(\d+)_(\d+)", backbone)
    if resnet and int(resnet[1]) in _DEPTHS:
        return _resnet(int(resnet[1]), vd=bool(resnet[2]))
    if mobile:
        return _mobilenet(mobile[1], float(f"{mobile[2]}.{mobile[3]}"))
    raise InputError(f"PaddleDetection's names of {backbone} are not known. Backbones that can go there: {KNOWN}.")


def _resnet(depth: int, vd: bool) -> DetectionNames:
    layers = [(f"stem.{i}", f"conv1.conv1_{i + 1}") for i in range(3)] if vd else [("stem.0", "conv1.conv1")]
    block = 0
    for stage, count in enumerate(_DEPTHS[depth], 2):
        for place in range(count):
            there = f"res{stage}.res{stage}{_letter(stage, count, place)}"
            layers += [(f"blocks.{block}.conv{i}", f"{there}.branch2{'abc'[i]}") for i in range(3 if depth >= 50 else 2)]
            if place == 0:
                layers.append((f"blocks.{block}.short", f"{there}.short{'.conv' if vd and stage > 2 else ''}"))
            block += 1
    options = {"depth": depth, "variant": "d" if vd else "b", "norm_type": "bn", "freeze_at": 0, "return_idx": [0, 1, 2, 3],
               "num_stages": 4}
    return DetectionNames("ResNet", options, _conv_norms(layers, "norm"), ("fc",))


def _letter(stage: int, count: int, place: int) -> str:
    if stage == 4 and count > 10:
        return f"b{place}" if place else "a"
    return chr(ord("a") + place)


def _mobilenet(size: str, scale: float) -> DetectionNames:
    count, squeezing = _MOBILE[size]
    layers = [("conv", "conv1")]
    layers += [(f"blocks.{k}.{part}", f"conv{k + 2}.{part}") for k in range(count)
               for part in ("expand_conv", "bottleneck_conv", "linear_conv")]
    squeezes = {f"blocks.{k}.mid_se.{conv}.{tensor}": f"conv{k + 2}.mid_se.{conv}.{tensor}" for k in sorted(squeezing)
                for conv in ("conv1", "conv2") for tensor in ("weight", "bias")}
    ends = {"large": [4, 7, 13, 16], "small": [2, 4, 9, 12]}[size]            # the last map of strides 4, 8, 16, 32
    options = {"model_name": size, "scale": scale, "with_extra_blocks": False, "extra_block_filters": [],
               "feature_maps": ends}
    return DetectionNames("MobileNetV3", options, {**_conv_norms(layers, "bn"), **squeezes},
                          ("last_second_conv", "last_conv", "fc"))


def _conv_norms(layers: Iterable[tuple[str, str]], norm: str) -> dict[str, str]:
    """The five tensors of each convolution with batch norm."""
    return {here: there for clas, det in layers
            for here, there in [(f"{clas}.conv.weight", f"{det}.conv.weight"),
                                *((f"{clas}.bn.{tensor}", f"{det}.{norm}.{tensor}") for tensor in _NORM)]}


def _listed(title: str, names: list[str]) -> str:
    more = f", ... {len(names) - 5} more" if len(names) > 5 else ""
    return f"\n  {title} ({len(names)}): {', '.join(names[:5])}{more}" if names else ""
