"""How a teacher sees a crop of an image."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import paddle
from paddle import Tensor

from ..checks import numbers, positive_int
from ..data.resize import Resize
from ..errors import InputError
from .crops import Crops

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BACKEND = "pil"                # antialiased, as the input that published teachers were trained with
_SHORT_SIDE = 256 / 224         # of the evaluation's centre crop


@dataclass(frozen=True)
class View:
    """Cut, resize to a square, mirror if the crop says so, scale to [0, 1], normalise.

    Attributes:
        size: side of the teacher's input, pixels.
        interpolation: nearest, bilinear, bicubic, area or lanczos, by Pillow, antialiased.
        mean, std: of the teacher's normalisation, three numbers each, RGB, for pixels in [0, 1].

    Raises:
        InputError: a value that is none of these.
    """

    size: int = 224
    interpolation: str = "bicubic"
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    resize: Resize = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        positive_int("size", self.size)
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(numbers(name, getattr(self, name), 3)))
        if min(self.std) <= 0:
            raise InputError(f"std must be above 0, not {list(self.std)}.")
        object.__setattr__(self, "resize", Resize(self.interpolation, _BACKEND))

    def cut(self, image: np.ndarray, crops: Crops) -> np.ndarray:
        """The crops of an image, uint8 [H, W, 3] -> uint8 [n, size, size, 3]."""
        pixels = np.empty((len(crops.box), self.size, self.size, 3), np.uint8)
        for place, (top, left, height, width), flip in zip(pixels, crops.box.tolist(), crops.flip):
            resized = self.resize(image[top:top + height, left:left + width], (self.size, self.size))
            place[:] = resized[:, ::-1] if flip else resized
        return pixels

    def normalised(self, pixels: Tensor) -> Tensor:
        """uint8 [n, size, size, 3] -> float32 [n, 3, size, size], on the device of `pixels`."""
        gain = paddle.to_tensor([1 / (255 * std) for std in self.std], "float32")
        offset = paddle.to_tensor([-mean / std for mean, std in zip(self.mean, self.std)], "float32")
        return (pixels.astype("float32") * gain + offset).transpose([0, 3, 1, 2])

    def replay_ops(self) -> list[dict]:
        """The same view as `transform_ops` of training, whose random crop and flip stored ones replace."""
        cut = {"size": self.size, "interpolation": self.interpolation, "backend": _BACKEND}
        return [{"DecodeImage": {"ignore_orientation": True}}, {"RandCropImage": cut}, {"RandFlipImage": {}}, *self._ending()]

    def evaluation_ops(self) -> list[dict]:
        """`transform_ops` for measuring the teacher: shorter side to 256/224 of the size, centre crop."""
        resize = {"resize_short": int(_SHORT_SIDE * self.size), "interpolation": self.interpolation, "backend": _BACKEND}
        return [{"DecodeImage": {}}, {"ResizeImage": resize}, {"CropImage": {"size": self.size}}, *self._ending()]

    def card(self) -> dict:
        """What the metadata of a store says about it."""
        return {"size": self.size, "interpolation": self.interpolation, "backend": _BACKEND, "mean": list(self.mean),
                "std": list(self.std)}

    def _ending(self) -> list[dict]:
        return [{"NormalizeImage": {"mean": list(self.mean), "std": list(self.std)}}, {"ToCHWImage": {}}]
