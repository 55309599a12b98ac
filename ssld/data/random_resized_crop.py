"""The random crop of most ImageNet recipes outside PaddleClas."""
from __future__ import annotations

from collections.abc import Sequence

from ..softlabels.crops import DRAWS, crops_from
from .decode import JpegPicture
from .resize import Resize
from .transforms import TRANSFORMS, Transform, crop_ranges, width_and_height

_EITHER = ("bilinear", "bicubic")


@TRANSFORMS.register
class RandomResizedCrop(Transform):
    """A random rectangle of the image, resized to `size`: torchvision's rule.

    The area is drawn uniformly, the aspect ratio log-uniformly, up to ten times until the rectangle fits; if it never does, the
    largest centred one within the ratios is taken. RandCropImage draws from what fits, so its small crops are rarer.

    Args:
        size: side of the result in pixels, or [width, height].
        scale: range of the area as a share of the image's, in (0, 1].
        ratio: range of width / height.
        interpolation: see `Resize`; or random, for bilinear or bicubic, drawn for each image.
        backend: see `Resize`; the recipes' own is pil.

    Raises:
        InputError: ranges that are none, or an unknown name.

    Source: Szegedy et al., "Going Deeper with Convolutions", arXiv:1409.4842, section 6; torchvision's RandomResizedCrop.
    """

    geometric = random = True
    takes = (JpegPicture,)

    def __init__(self, size, scale: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3),
                 interpolation: str = "random", backend: str = "pil"):
        self.size, (self.scale, self.ratio) = width_and_height("size", size), crop_ranges(scale, ratio)
        self.resizes = [Resize(name, backend) for name in (_EITHER if interpolation == "random" else (interpolation,))]

    def __call__(self, image, rng):
        rows, columns = image.shape[:2]
        (top, left, height, width), = crops_from(rng.random((1, DRAWS)), columns, rows, self.scale, self.ratio).box.tolist()
        return self.resizes[rng.integers(len(self.resizes))](image[top:top + height, left:left + width], self.size)
