"""Lists, image operators and samplers of old files."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .mixing import mixing_2x
from .section import Section, named_entry
from .translation import Translation

_UPRIGHT = "pictures are decoded as OpenCV does, which turns them upright after their Exif tag; Pillow does not"
_LAST_BATCH = "without drop_last the last batch of an epoch is filled up with pictures of it; PaddleClas left it smaller."
_LAYOUT = "put ToCHWImage at the end of the operators."
_HARMLESS: Mapping[str, Mapping[str, tuple]] = {        # operator -> option -> values that say what is done anyway
    "DecodeImage": {"to_np": ((False,), "pictures come from files."), "channel_first": ((False,), _LAYOUT)},
    "NormalizeImage": {"order": (("", "hwc"), _LAYOUT), "output_fp16": ((False,), "pictures are float32."),
                       "channel_num": ((3,), "pictures have three channels.")},
    "ResizeImage": {"return_numpy": ((True, False), "")},
}
_RESIZING = ("ResizeImage", "RandCropImage")
_OF_OTHER_MEANING = {
    "RandAugment": "PaddleClas's operator of this name always applies what it draws, without noise and in other ranges than "
                   "RandAugment here. Take it out, translate the rest by `ssld config translate`, and add the operator "
                   "that you want, such as 'RandAugment: {magnitude: 7, magnitude_std: 0.5}' for rand-m7-mstd0.5.",
    "RandomErasing": "PaddleClas's operator of this name erases behind NormalizeImage, under other names of its options. Take "
                     "it out, translate the rest by `ssld config translate`, and put in front of NormalizeImage what you want, "
                     "such as 'RandomErasing: {prob: 0.25, scale: [0.02, 0.33]}'.",
}


def translate_loader(section: Section, mode: str) -> dict:
    """DataLoader.Train or DataLoader.Eval of 2.x in the native form."""
    dataset, sampler, loader = section.inner("dataset"), section.inner("sampler"), section.inner("loader")
    section.close()
    native: dict[str, Any] = {"dataset": _dataset(dataset, mode), "sampler": sampler.rest()}
    if mode == "Train":
        for key in ("shuffle", "drop_last"):
            native["sampler"].setdefault(key, False)            # as PaddleClas's sampler does
        if not native["sampler"]["drop_last"]:
            section.translation.change(_LAST_BATCH)
    if loader.left:
        native["loader"] = loader.rest()
    return native


def translate_ops(translation: Translation, ops, path: str) -> list:
    """Image operators in the native form: DecodeImage first, ToCHWImage last, which 2.x did by itself.

    Raises:
        InputError: no list of operators, or an option that cannot be ignored.
    """
    if not isinstance(ops, list) or not ops:
        raise InputError(f"{translation.file}: {path} must be a list of operators, not {ops!r}.")
    native = [_operator(*named_entry(translation, op, f"{path}[{place}]")) for place, op in enumerate(ops)]
    if _name(native[0]) != "DecodeImage":
        translation.change(f"{path} begins with DecodeImage, which early 2.x did by itself.")
        native.insert(0, {"DecodeImage": {"to_rgb": True}})
    return native if "ToCHWImage" in map(_name, native) else [*native, "ToCHWImage"]


def _operator(name: str, options: Section):
    """One operator without PaddleClas's options that say nothing new."""
    if name in _OF_OTHER_MEANING:
        raise InputError(f"{options.where}: {_OF_OTHER_MEANING[name]}")
    for key, (harmless, why) in _HARMLESS.get(name, {}).items():
        options.only(key, harmless, why)
    pillow = name in ("DecodeImage", *_RESIZING) and options.text("backend", "cv2").lower() != "cv2"
    if pillow and name not in _RESIZING:
        options.translation.drop(f"{options.path}.backend", _UPRIGHT)
    left = {key: value for key, value in options.rest().items() if value is not None}
    if pillow and name in _RESIZING:
        left["backend"] = "pil"
    return {name: left} if left else name


def _name(operator) -> str:
    return operator if isinstance(operator, str) else next(iter(operator))


def _dataset(dataset: Section, mode: str) -> dict:
    mixing = mixing_2x(dataset, mode)
    dataset.only("relabel", (False,), "the labels of the list are taken as they are, from 0 to class_num - 1.")
    ops = translate_ops(dataset.translation, dataset.take("transform_ops"), dataset.place("transform_ops"))
    left = {key: value for key, value in dataset.rest().items() if value is not None}
    return {**left, "transform_ops": ops, **mixing}
