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
        seen: normalisation of the student's images; None: whatever it is, the teacher's is the same.
        own: that of the teacher's; None as well then.
        size: side of the teacher's images, pixels; None: as they are.
        interpolation: nearest, bilinear or bicubic without antialiasing, or area, the mean of the pixels that become one: the
            better choice where images become much smaller.
        seen_size: height and width of the student's images in training, pixels, where known: for what is said of it.
    """

    seen: Optional[Normalisation] = None
    own: Optional[Normalisation] = None
    size: Optional[int] = None
    interpolation: str = "bicubic"
    seen_size: Optional[tuple[int, int]] = None

    def __post_init__(self):
        one_of("interpolation", self.interpolation, INTERPOLATIONS)
        if self.size is not None:
            positive_int("size", self.size)

    def __call__(self, image: Tensor) -> Tensor:
        """float32 [B, 3, H, W] -> float32 [B, 3, size, size]."""
        with paddle.amp.auto_cast(enable=False):                        # float32 also where the networks are not
            return self._resized(image if self.seen == self.own else self._normalised_anew(image))

    def _normalised_anew(self, image: Tensor) -> Tensor:
        gain = [seen / own for seen, own in zip(self.seen.std, self.own.std)]
        offset = [(seen - own) / std for seen, own, std in zip(self.seen.mean, self.own.mean, self.own.std)]
        return image * _per_channel(gain) + _per_channel(offset)

    def _resized(self, image: Tensor) -> Tensor:
        size = self.size_of(tuple(image.shape[2:]))
        return image if tuple(image.shape[2:]) == size else F.interpolate(image, size=list(size), mode=self.interpolation)

    def size_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the teacher's images where the student's have `size`, pixels."""
        return size if self.size is None else (self.size, self.size)

    @property
    def differs(self) -> bool:
        """Whether, as far as known, the student's images in training are not the teacher's."""
        return self.seen != self.own or self.size is not None and self.seen_size != (self.size, self.size)

    def __str__(self) -> str:
        size = f"{_pixels(self.size_of((0, 0)))} ({self.interpolation})" if self.size else "the student's size"
        seen = [_pixels(self.seen_size)] if self.size and self.seen_size else []
        seen += [str(self.seen)] if self.seen != self.own else []
        return (f"images of {size}, {'normalised as the student sees them' if self.seen == self.own else self.own}"
                + (f"; the student sees {', '.join(seen)}" if seen else ""))


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _per_channel(values: Sequence[float]) -> Tensor:
    return paddle.to_tensor(values, "float32").reshape([1, 3, 1, 1])
