"""Building a network by name: any PaddleClas backbone, or one of ours."""
from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable

import paddle
from paddle import nn

from ..checks import below_one, one_of, positive_int
from ..errors import InputError, located
from ..registry import check_arguments, nearest
from . import residual, swin
from .beit import BEiT_large_patch14, BEiTv2_base_patch16, BEiTv2_large_patch16
from .deit_conv_stem import DeiT_small_conv_stem, DeiT_tiny_conv_stem
from .efficientnet_v2_b0 import EfficientNetV2B0
from .fbnet import FBNetC
from .mixer import Mixer_B_14, Mixer_B_16, Mixer_S_16
from .paddleclas_backbones import backbones as _backbones
from .regnet_y import RegNetY_16GF
from .small_resnet import SmallResNet
from .sret import SReTLT
from .vit import ViT_B_14, ViT_B_16, ViT_S_16

OURS = {"BEiT_large_patch14": BEiT_large_patch14, "BEiTv2_base_patch16": BEiTv2_base_patch16,
        "BEiTv2_large_patch16": BEiTv2_large_patch16, "DeiT_small_conv_stem": DeiT_small_conv_stem,
        "DeiT_tiny_conv_stem": DeiT_tiny_conv_stem, "EfficientNetV2_B0": EfficientNetV2B0, "FBNetC": FBNetC,
        "Mixer_B_14": Mixer_B_14, "Mixer_B_16": Mixer_B_16, "Mixer_S_16": Mixer_S_16, "RegNetY_16GF": RegNetY_16GF,
        "SmallResNet": SmallResNet, "SmallSwin": swin.SmallSwin, "SReT_LT": SReTLT, "ViT_B_14": ViT_B_14,
        "ViT_B_16": ViT_B_16, "ViT_S_16": ViT_S_16}
_PREPARED = ("pretrained", "use_ssld", "lr_mult_list")      # ours to handle, for every backbone alike
_RATE = "drop_path_rate"
_networks = itertools.count()


def build_network(name: str, class_num: int, where: str = "Arch", drop_path: float | None = None,
                  zero_init_last: bool = False, **options) -> nn.Layer:
    """A new network with random weights.

    Args:
        name: of a PaddleClas backbone (ResNet50_vd, MobileNetV3_large_x1_0, ...) or one of OURS.
        class_num: width of the classifier.
        where: file and section, for error messages.
        drop_path: stochastic depth of the last block, from 0 at the first; `drop_path_rate` of backbones that have one, see
            ssld.models.residual for ResNets. None: as the backbone is defined, 0.2 for Swin-T.
        zero_init_last: each residual block begins as its shortcut; ResNets only, see ssld.models.residual.
        options: what the backbone's constructor takes besides.

    Raises:
        InputError: unknown name or option; the nearest one is shown.
    """
    builder = find_builder(name, class_num, where, **options)
    with located(where):
        below_one("drop_path", drop_path or 0.0)
        one_of("zero_init_last", zero_init_last, (True, False))
    own = drop_path is not None and _RATE in _options_of(builder)
    if own:
        options = {_RATE: drop_path, **options}
    # Some backbones name their parameters themselves, and Paddle refuses a second network of those names outside a
    # guard; others number them. An optimizer tells parameters apart by name only, so every name gets a prefix.
    prefix = f"net{next(_networks)}_"
    with paddle.utils.unique_name.guard(prefix):
        network = _built(builder, f"{where} ({name})", class_num=class_num, **options)
    for parameter in network.parameters():
        if not parameter.name.startswith(prefix):
            parameter.name = prefix + parameter.name
    with located(where):
        if drop_path and not own:
            residual.set_drop_path(network, drop_path)
        if zero_init_last:
            residual.zero_init_last(network)
    return network


def _built(builder: Callable, where: str, **options) -> nn.Layer:
    try:
        return builder(**options)
    except TypeError as error:
        if "multiple values for" not in str(error):
            raise
        fixed = str(error).rsplit(" ", 1)[-1]
        raise InputError(f"{where}: {fixed} is part of what this name stands for and cannot be set. Leave it out.") from error


def find_builder(name: str, class_num: int, where: str = "Arch", **options) -> Callable:
    """What builds a network, once it is clear that it can; arguments and errors as of `build_network`."""
    positive_int("class_num", class_num)
    if name in OURS:
        check_arguments(OURS[name], {"class_num": class_num, **options}, where)
        return OURS[name]
    if name not in backbone_names():
        raise InputError(f"{where}: there is no backbone '{name}'. {nearest(name, backbone_names())}")
    builder = getattr(_backbones(), name)
    extra = (swin.OPTION,) if swin.is_swin(builder) else ()
    _check_options(builder, options, f"{where} ({name})", extra)
    return swin.with_option(builder) if extra else builder


def published_weights(name: str, use_ssld: bool = False) -> str:
    """Download PaddleClas's published weights of a backbone; returns the path of the file.

    Args:
        name: of the backbone.
        use_ssld: the weights that PaddleClas distilled with SSLD, where there are some.

    Raises:
        InputError: none are published, or the download fails.
    """
    builder = getattr(_backbones(), name, None)
    url = getattr(sys.modules.get(getattr(builder, "__module__", ""), None), "MODEL_URLS", {}).get(name)
    if not url:
        raise InputError(f"PaddleClas publishes no weights of {name}. Give pretrained the path of a file.")
    if use_ssld:
        url = url.replace("_pretrained", "_ssld_pretrained")
    try:
        return paddle.utils.download.get_weights_path_from_url(url)
    except Exception as error:          # of whatever downloading raises
        raise InputError(f"the weights of {name} could not be downloaded from {url}: {error} Download the file elsewhere "
                         "and give pretrained its path.") from error


def backbone_names() -> list[str]:
    """Every name that build_network knows, sorted."""
    module = _backbones()
    theirs = [name for name, value in vars(module).items()
              if inspect.isfunction(value) and "pretrained" in inspect.signature(value).parameters]
    return sorted(theirs + list(OURS))


def _check_options(builder, options: dict, where: str, extra: tuple[str, ...] = ()) -> None:
    """Refuse options that no constructor of the backbone's file takes: the builders swallow anything."""
    known = _options_of(builder) | set(extra)
    for name in options:
        if name not in known:
            raise InputError(f"{where} has no option '{name}'. {nearest(name, known)}")


def _options_of(builder: Callable) -> set[str]:
    """What a builder takes: of ours what it says, of PaddleClas's what any constructor in its file does, or one of a class
    that it is derived from."""
    module = sys.modules[builder.__module__]
    if builder in OURS.values():
        return set(inspect.signature(builder).parameters)
    package = module.__name__.split(".")[0]
    classes = {base for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
               for base in value.__mro__ if issubclass(base, nn.Layer) and base.__module__.split(".")[0] == package}
    known: set[str] = set()
    for function in [builder] + [c.__init__ for c in classes]:
        known |= {n for n, p in inspect.signature(function).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    return known - {"self", *_PREPARED}
