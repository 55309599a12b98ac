"""PaddleClas's Swin Transformer as its authors define it: windows do not shift where one covers the whole map.

PaddleClas 2.6.0 shifts them in every second block, also in the last stage, whose map at 224 pixels is one window: weights
trained with the authors' definition then give other features (by 15 to 26 % in small random networks).
"""
from __future__ import annotations

import functools
from collections.abc import Callable

from paddle import nn

from ..checks import one_of

OPTION = "last_stage_shift"
_MODULE = "swin_transformer"
_CHOICES = {"auto": "auto", "on": "on", True: "on", "off": "off", False: "off"}         # YAML reads on and off as truth values


def is_swin(builder: Callable) -> bool:
    """Whether a builder of PaddleClas makes a Swin Transformer (of the first version, which has the fault)."""
    return builder.__module__.rsplit(".", 1)[-1] == _MODULE


def with_option(builder: Callable) -> Callable:
    """The builder, which now takes last_stage_shift as well.

        auto    as the authors define it: no shift in a block whose map is no larger than a window; the default
        off     no shift in the last stage, whatever its map
        on      as PaddleClas has it, for weights that were trained with it
    """
    @functools.wraps(builder)
    def build(last_stage_shift="auto", **options) -> nn.Layer:
        choice = one_of(OPTION, last_stage_shift, _CHOICES)
        network = builder(**options)
        for place, stage in enumerate(network.layers):
            for block in stage.blocks:
                covered = min(block.input_resolution) <= block.window_size
                if (choice == "auto" and covered) or (choice == "off" and place == len(network.layers) - 1):
                    block.shift_size = 0
        return network
    return build
