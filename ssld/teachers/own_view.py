"""A teacher that was trained on images of another size or normalisation than the student's."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ..checks import numbers, one_of, positive_int
from ..errors import InputError

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "area")


@dataclass(frozen=True)
class Normalisation:
    """(pixel - mean) / std of each channel, RGB, for pixels in [0, 1]; ImageNet's by default.

    Raises:
        InputError: not three numbers each, or a std of 0 or less.
    """

    mean: Sequence[float] = (0.485, 0.456, 0.406)
    std: Sequence[float] = (0.229, 0.224, 0.225)

    def __post_init__(self):
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(map(float, numbers(name, getattr(self, name), 3))))
        if min(self.std) <= 0:
            raise InputError(f"std must be above 0, not {list(self.std)}.")

    def __str__(self) -> str:
        return f"mean {list(self.mean)}, std {list(self.std)}"


@dataclass(frozen=True)
class OwnView:
    """Turns a batch as the student sees it into one as the teacher wants it: normalised anew, then resized.

    Attributes:
        seen: normalisation of the student's images.
        own: that of the teacher's.
        size: side of the teacher's images, pixels; None: as they are.
        interpolation: nearest, bilinear or bicubic without antialiasing, or area, the mean of the pixels that become one: the
            better choice where images become much smaller.
    """

    seen: Normalisation
    own: Normalisation
    size: Optional[int] = None
    interpolation: str = "bicubic"

    def __post_init__(self):
        one_of("interpolation", self.interpolation, INTERPOLATIONS)
        if self.size is not None:
            positive_int("size", self.size)

    def __call__(self, image: Tensor) -> Tensor:
        """float32 [B, 3, H, W] -> float32 [B, 3, size, size]."""
        if self.seen != self.own:
            gain = [seen / own for seen, own in zip(self.seen.std, self.own.std)]
            offset = [(seen - own) / std for seen, own, std in zip(self.seen.mean, self.own.mean, self.own.std)]
            image = image * _per_channel(gain) + _per_channel(offset)
        if self.size is None or tuple(image.shape[2:]) == (self.size, self.size):
            return image
        return F.interpolate(image, size=[self.size, self.size], mode=self.interpolation)

    def __str__(self) -> str:
        size = f"{self.size} x {self.size} pixels ({self.interpolation})" if self.size else "the student's size"
        return f"images of {size}, {self.own}" + ("" if self.seen == self.own else f"; the student sees {self.seen}")


def _per_channel(values: Sequence[float]) -> Tensor:
    return paddle.to_tensor(values, "float32").reshape([1, 3, 1, 1])
