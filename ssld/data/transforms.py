"""Image operators under PaddleClas's names, as functions of (image, rng).

An image is uint8 [H, W, 3] until NormalizeImage makes it float32. An operator may put work off, for the next one to do less
of it: DecodeImage may return a JpegPicture, AutoAugment returns a Toned; np.asarray does the work. `rng` is a numpy
Generator that belongs to this one visit of this one image, so a picture's augmentation does not depend on workers, ranks or
restarts.
"""
from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from dedup.images import read_bytes

from ..checks import numbers, positive
from ..errors import InputError, located
from ..registry import Registry
from .decode import FASTEST, JpegPicture, decode_any, ordinary_jpeg
from .resize import Resize
from .tones import Toned

TRANSFORMS = Registry("transform")


class Transform:
    """One operator. `geometric` ones move pixels and treat all channels alike; `random` ones use the rng. `takes` is what
    the operator can be given besides an array."""

    geometric = False
    random = False
    takes: tuple[type, ...] = ()

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} does not define what it does to an image")


@TRANSFORMS.register
class DecodeImage(Transform):
    """Reads a file into uint8 [H, W, 3]; see `ssld.data.decode` for who decodes it.

    Args:
        to_rgb: channel order of the result, RGB (true) or BGR.
        channel_first: only false; ToCHWImage changes the layout at the end.
        ignore_orientation: leave the pixels as the file has them instead of turning them upright after its Exif tag.
            Boxes that were stored for such pixels need it.
    """

    def __init__(self, to_rgb: bool = True, channel_first: bool = False, ignore_orientation: bool = False):
        if channel_first:
            raise InputError("channel_first is not supported here; put ToCHWImage at the end of transform_ops.")
        self.to_rgb, self.ignore_orientation = to_rgb, ignore_orientation
        self.decode_jpeg = FASTEST

    def __call__(self, file, rng):
        """uint8 [H, W, 3] RGB, or the JpegPicture that will be; Compose swaps the channels where it is cheapest."""
        encoded = read_bytes(file)
        header = ordinary_jpeg(encoded, self.ignore_orientation)
        if header is None:
            return decode_any(encoded, self.ignore_orientation)
        return JpegPicture(encoded, header, self.decode_jpeg, self.ignore_orientation)


@TRANSFORMS.register
class ResizeImage(Transform):
    """Resizes to a fixed size, or so that the shorter side has a given length.

    Args:
        resize_short: length of the shorter side, pixels.
        size: [width, height] or one number for both, pixels; exactly one of the two is given.
        interpolation, backend: see `Resize`.
    """

    geometric = True

    def __init__(self, resize_short: int | None = None, size=None, interpolation: str = "bilinear", backend: str = "cv2"):
        if (resize_short is None) == (size is None):
            raise InputError("give either resize_short or size.")
        self.resize_short = None if resize_short is None else int(positive("resize_short", resize_short))
        self.size = None if size is None else width_and_height("size", size)
        self.resize = Resize(interpolation, backend)

    def __call__(self, image, rng):
        height, width = image.shape[:2]
        if self.size:
            target = self.size
        else:
            scale = self.resize_short / min(height, width)
            target = max(round(width * scale), self.resize_short), max(round(height * scale), self.resize_short)
        return image if target == (width, height) else self.resize(image, target)


@TRANSFORMS.register
class CropImage(Transform):
    """The central `size` x `size` pixels (or [width, height]); a smaller image is an error that says so."""

    geometric = True
    takes = (JpegPicture,)

    def __init__(self, size):
        self.size = width_and_height("size", size)

    def __call__(self, image, rng):
        (width, height), (rows, columns) = self.size, image.shape[:2]
        if rows < height or columns < width:
            raise InputError(f"CropImage: a crop of {width} x {height} does not fit into an image of {columns} x {rows}; "
                             "put ResizeImage before it.")
        top, left = (rows - height) // 2, (columns - width) // 2
        return image[top:top + height, left:left + width]


@TRANSFORMS.register
class RandCropImage(Transform):
    """A random rectangle of the image, resized to `size`: PaddleClas's rule.

    The aspect ratio is drawn first (uniformly, or log-uniformly), then the area from `scale`, both bounded by what
    fits into the image, so there is no retry loop.

    Args:
        size: side of the result in pixels, or [width, height].
        scale: range of the area as a share of the image's, in (0, 1].
        ratio: range of width / height.
        use_log_aspect: draw the aspect ratio log-uniformly.
        interpolation, backend: see `Resize`.
    """

    geometric = random = True
    takes = (JpegPicture,)

    def __init__(self, size, scale: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3),
                 use_log_aspect: bool = False, interpolation: str = "bilinear", backend: str = "cv2"):
        self.size, (self.scale, self.ratio) = width_and_height("size", size), crop_ranges(scale, ratio)
        self.use_log_aspect = use_log_aspect
        self.resize = Resize(interpolation, backend)

    def __call__(self, image, rng):
        return self.cut(image, *self.box(image.shape[1], image.shape[0], rng))

    def cut(self, image: np.ndarray | JpegPicture, left: int, top: int, width: int, height: int) -> np.ndarray:
        """That rectangle of the image, resized to `size`."""
        return self.resize(image[top:top + height, left:left + width], self.size)

    def box(self, columns: int, rows: int, rng) -> tuple[int, int, int, int]:
        """left, top, width and height of the rectangle to cut from an image of columns x rows pixels."""
        if self.use_log_aspect:
            aspect = math.sqrt(math.exp(rng.uniform(*map(math.log, self.ratio))))
        else:
            aspect = math.sqrt(rng.uniform(*self.ratio))
        wide, high = aspect, 1 / aspect
        bound = min(columns / rows / wide ** 2, rows / columns / high ** 2)
        largest, smallest = min(self.scale[1], bound), min(self.scale[0], bound)
        side = math.sqrt(columns * rows * rng.uniform(smallest, largest))
        width = min(max(int(side * wide), 1), columns)
        height = min(max(int(side * high), 1), rows)
        return int(rng.integers(0, columns - width + 1)), int(rng.integers(0, rows - height + 1)), width, height


@TRANSFORMS.register
class RandFlipImage(Transform):
    """Mirrors half of the images.

    Args:
        flip_code: 1 left-right, 0 upside down, -1 both.
    """

    geometric = random = True

    def __init__(self, flip_code: int = 1):
        if flip_code not in (-1, 0, 1):
            raise InputError(f"flip_code must be 1 (left-right), 0 (upside down) or -1 (both), not {flip_code!r}.")
        self.flip_code = flip_code

    def __call__(self, image, rng):
        return self.mirror(image) if rng.random() < 0.5 else image

    def mirror(self, image: np.ndarray) -> np.ndarray:
        """The mirrored image."""
        return cv2.flip(image, self.flip_code)


@TRANSFORMS.register
class NormalizeImage(Transform):
    """(pixel * scale - mean) / std per channel, as a table look-up of the 256 possible pixels.

    Args:
        scale: number, or a quotient as text such as "1.0/255.0".
        mean, std: three numbers each, in the channel order of the image; ImageNet's by default.
        order: accepted for PaddleClas's sake and without effect; ToCHWImage decides the layout.

    Attributes:
        mean, std: the same for pixels in [0, 1].
    """

    takes = (Toned,)

    def __init__(self, scale="1.0/255.0", mean: Sequence[float] = (0.485, 0.456, 0.406),
                 std: Sequence[float] = (0.229, 0.224, 0.225), order: str = ""):
        if min(numbers("std", std, 3)) <= 0:
            raise InputError(f"std must be above 0, not {std}.")
        scale, mean = positive("scale", _quotient(scale)), numbers("mean", mean, 3)
        self.mean, self.std = ([value / (255 * scale) for value in values] for values in (mean, std))
        pixels = np.arange(256, dtype=np.float64) * scale
        self.tables = [((pixels - m) / s).astype(np.float32) for m, s in zip(mean, std)]

    def __call__(self, image, rng):
        tables = self.tables
        if isinstance(image, Toned):
            image, tables = image.image, self._after(image.tables)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"NormalizeImage takes uint8 [H, W, 3], found {image.dtype} {list(image.shape)}; put it before "
                             "ToCHWImage, once.")
        planes = np.empty((3, *image.shape[:2]), np.float32)
        for plane, channel, table in zip(planes, cv2.split(image), tables):
            cv2.LUT(channel, table, dst=plane)
        return planes.transpose(1, 2, 0)            # a view: ToCHWImage undoes it without a copy

    def _after(self, tones: np.ndarray | None) -> list[np.ndarray]:
        """The tables for an image that goes through others first."""
        return self.tables if tones is None else [table[tone] for table, tone in zip(self.tables, tones)]


@TRANSFORMS.register
class ToCHWImage(Transform):
    """[H, W, 3] to [3, H, W], contiguous."""

    def __call__(self, image, rng):
        return np.ascontiguousarray(image.transpose(2, 0, 1))


class _SwapChannels(Transform):
    """RGB to BGR."""

    def __call__(self, image, rng):
        return np.ascontiguousarray(image[:, :, ::-1])


class Compose:
    """A list of operators from file to array.

    Geometry does not mind the order of channels, so a swap to BGR waits until the leading geometric operators have made
    the picture small.
    """

    def __init__(self, operators: Sequence[Transform]):
        if not operators or not isinstance(operators[0], DecodeImage):
            raise InputError("transform_ops must begin with DecodeImage.")
        self.operators = list(operators)
        if not operators[0].to_rgb:
            place = 1
            while place < len(operators) and operators[place].geometric:
                place += 1
            self.operators.insert(place, _SwapChannels())
        self.random = any(operator.random for operator in operators)

    def __call__(self, file, rng: np.random.Generator) -> np.ndarray:
        image = self.operators[0](file, rng)
        for operator in self.operators[1:]:
            image = operator(image if isinstance(image, operator.takes) else np.asarray(image), rng)
        return np.asarray(image)


def build_transforms(ops: Sequence, where: str) -> Compose:
    """A `transform_ops` list of YAML (one-key mappings or bare names) as one callable.

    Raises:
        InputError: an unknown operator or option, or a list that does not begin with DecodeImage.
    """
    operators = []
    for place, op in enumerate(ops or []):
        name, options = next(iter(op.items())) if isinstance(op, Mapping) and len(op) == 1 else (op, {})
        if not isinstance(name, str):
            raise InputError(f"{where}[{place}]: expected one operator such as 'CropImage: {{size: 224}}', found {op!r}.")
        operators.append(TRANSFORMS.build(name, options, f"{where}[{place}]"))
    with located(where):
        return Compose(operators)


def crop_ranges(scale: Sequence[float], ratio: Sequence[float]) -> tuple[list, list]:
    """The ranges of a random crop's area and aspect ratio, checked."""
    scale, ratio = numbers("scale", scale, 2), numbers("ratio", ratio, 2)
    if not 0 < scale[0] <= scale[1] <= 1:
        raise InputError(f"scale must be [low, high] with 0 < low <= high <= 1, not {scale}.")
    if not 0 < ratio[0] <= ratio[1]:
        raise InputError(f"ratio must be [low, high] with 0 < low <= high, not {ratio}.")
    return scale, ratio


def width_and_height(name: str, size) -> tuple[int, int]:
    """A size in YAML, one number or [width, height], as (width, height)."""
    width, height = size if isinstance(size, (list, tuple)) and len(size) == 2 else (size, size)
    return int(positive(name, width)), int(positive(name, height))


def _quotient(value) -> float:
    """A number, or "a/b" as PaddleClas files write it."""
    if isinstance(value, (int, float)):
        return float(value)
    match = re.fullmatch(r"\s*([\d.]+(?:[eE][-+]?\d+)?)\s*(?:/\s*([\d.]+(?:[eE][-+]?\d+)?)\s*)?", str(value))
    if not match:
        raise InputError(f"scale must be a number or a quotient such as 1.0/255.0, not {value!r}.")
    return float(match[1]) / float(match[2] or 1)
