"""PaddleClas's Swin Transformer as its authors define it, windows not shifting where one covers the whole map, and a small one.

PaddleClas 2.6.0 shifts them in every second block, also in the last stage, whose map at 224 pixels is one window: weights
trained with the authors' definition then give other features (by 15 to 26 % in small random networks).
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from paddle import nn

from ..checks import below_one, one_of, positive_int
from ..errors import InputError
from .paddleclas_backbones import module_of
from .vit_block import rates

OPTION = "last_stage_shift"
_MODULE = "swin_transformer"
_DROP_PATH = "model_zoo.vision_transformer"
_CHOICES = {"auto": "auto", "on": "on", True: "on", "off": "off", False: "off"}         # YAML reads on and off as truth values


def is_swin(builder: Callable) -> bool:
    """Whether a builder of PaddleClas makes a Swin Transformer (of the first version, which has the fault)."""
    return builder.__module__.rsplit(".", 1)[-1] == _MODULE


def with_option(builder: Callable) -> Callable:
    """The builder, which now takes last_stage_shift as well, and drop_path_rate where its name fixes one.

        auto    as the authors define it: no shift in a block whose map is no larger than a window; the default
        off     no shift in the last stage, whatever its map
        on      as PaddleClas has it, for weights that were trained with it
    """
    @functools.wraps(builder)
    def build(last_stage_shift="auto", drop_path_rate: float | None = None, **options) -> nn.Layer:
        choice = one_of(OPTION, last_stage_shift, _CHOICES)
        network = builder(**options)
        if drop_path_rate is not None:
            _set_drop_path(network, drop_path_rate)
        if choice == "off":
            for block in network.layers[-1].blocks:
                block.shift_size = 0
        elif choice == "auto":
            for stage in network.layers:
                for block in stage.blocks:
                    _follow_the_map(block)
        return network
    return build


def _set_drop_path(network: nn.Layer, rate: float) -> None:
    """Stochastic depth of the last block, from 0 at the first one."""
    blocks = [block for stage in network.layers for block in stage.blocks]
    for block, each in zip(blocks, rates(below_one("drop_path_rate", rate), len(blocks))):
        block.drop_path = module_of(_DROP_PATH).DropPath(each) if each else nn.Identity()


def _follow_the_map(block: nn.Layer) -> None:
    """Have a block shift only where its map is larger than a window, also when the images are not those of `img_size`."""
    full = block.shift_size

    def settle(layer: nn.Layer, inputs: Sequence) -> None:
        layer.shift_size = 0 if min(inputs[1]) <= layer.window_size else full

    if full:
        settle(block, (None, block.input_resolution))
        block.register_forward_pre_hook(settle)


def SmallSwin(class_num: int, img_size: int = 64, patch: int = 2, width: int = 32, depths: Sequence[int] = (2, 2, 2, 2),
              heads: Sequence[int] = (1, 2, 4, 8), window: int = 4, drop_path_rate: float = 0.0,
              last_stage_shift="auto") -> nn.Layer:
    """A Swin Transformer for small pictures: PaddleClas's class, 2.28 million weights at 10 classes.

    By default the maps of a 64-pixel picture are 32, 16, 8 and 4 positions wide, the last one a single window, as those of the
    large ones are at 224 pixels. For 32 pixels: patch 1, or patch 2 with window 2.

    Args:
        class_num: classes.
        img_size: height and width of the images, pixels.
        patch: side of a patch, pixels.
        width: of the tokens of the first stage; each later stage doubles it.
        depths: blocks of each stage.
        heads: of the attention of each stage; a divisor of its width.
        window: side of a window, positions; has to divide the map of every stage.
        drop_path_rate: stochastic depth of the last block, from 0 at the first one.
        last_stage_shift: auto, on or off; see `with_option`.

    Raises:
        InputError: values that do not fit each other.

    Source: Liu et al., "Swin Transformer", arXiv:2103.14030.
    """
    _check_shape(img_size, patch, width, depths, heads, window)
    return with_option(module_of(f"legendary_models.{_MODULE}").SwinTransformer)(
        last_stage_shift, class_num=class_num, img_size=img_size, patch_size=patch, embed_dim=width, depths=list(depths),
        num_heads=list(heads), window_size=window, drop_path_rate=drop_path_rate)


def _check_shape(img_size: int, patch: int, width: int, depths: Sequence[int], heads: Sequence[int], window: int) -> None:
    for name, value in {"img_size": img_size, "patch": patch, "width": width, "window": window}.items():
        positive_int(name, value)
    for name, values in {"depths": depths, "heads": heads}.items():
        if not isinstance(values, (list, tuple)) or not values or (name == "heads" and len(values) != len(depths)):
            raise InputError(f"{name} must be a list with a value for each stage, not {values!r}.")
        for value in values:
            positive_int(f"each value of {name}", value)
    for stage, head in enumerate(heads):
        side, stride = img_size // (patch << stage), patch << stage
        if img_size % stride or side % window:
            raise InputError(f"images of {img_size} pixels make a map of {img_size / stride:g} positions a side in stage "
                             f"{stage + 1}, which windows of {window} do not fill. Choose another img_size, patch or window.")
        if (width << stage) % head:
            raise InputError(f"stage {stage + 1} is {width << stage} wide, which {head} heads do not divide. Change heads.")
