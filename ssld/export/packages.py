"""The further formats of an export, and the packages that they need."""
from __future__ import annotations

import importlib.util

from ..checks import one_of
from ..errors import InputError

ALSO = {"onnx": ("paddle2onnx", "onnxruntime"), "safetensors": ("safetensors",),
        "int8": ("paddle2onnx", "onnx", "onnxruntime", "ml_dtypes"), "detection": ()}


def need_packages(name: str) -> None:
    """Refuse to begin an export in a format whose packages are not there.

    Raises:
        InputError: says how to install them; or there is no such format.
    """
    missing = [package for package in one_of("also", name, ALSO) if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f"the format {name} needs packages that are not installed: {', '.join(missing)}. Install them: pip "
                         "install 'ssld[export]'")
